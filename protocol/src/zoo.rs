//! Known bugs as runtime switches, to prove that the judge finds them. Compiled only with `feature = "zoo"`.
//!
//! Each entry of the table says what goes wrong and where that comes from, what it is called on a command line, of what kind it is, and the rules of
//! the judge that it breaks: a bug counts as found only by one of these. Where the switch stands in the code, the line above it is the right one.

/// What a bug has to do with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Kind {
    Votes,
    Commit,
    Durability,
    Membership,
    Snapshots,
    Leases,
    FlowControl,
    Sessions,
    Clients,
    History,
}

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal, $kind:ident, breaks [$($rule:literal),+];)*) => {
        /// A bug that some implementation of a replicated log, or of a chat upon one, has had.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)*
        }

        impl Bug {
            /// The whole zoo.
            pub const ALL: &[Bug] = &[$(Bug::$bug),*];

            /// The name by which `sim --bug` knows it.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)* }
            }

            pub fn kind(self) -> Kind {
                match self { $(Bug::$bug => Kind::$kind,)* }
            }

            /// The judge's rules that it breaks.
            pub fn breaks(self) -> &'static [&'static str] {
                match self { $(Bug::$bug => &[$($rule),+],)* }
            }

            /// What goes wrong, and the source.
            pub fn about(self) -> &'static str {
                match self { $(Bug::$bug => concat!($($doc),+),)* }
            }
        }
    };
}

bugs! {
    // Votes.
    /// A vote is answered before it is on disk: after a crash the voter may vote again in the same term (thesis 3.8).
    VoteBeforeDurable = "vote-before-durable", Votes, breaks ["vote-durable", "vote-once", "election-safety"];
    /// Logs are compared by length before term in the election restriction (thesis 3.6.1).
    CompareIndexFirst = "compare-index-first", Votes, breaks ["leader-completeness"];

    /// A vote is given without a look at the candidate's log, so that a leader may lack what is committed (Raft paper 5.4.1).
    VoteWithoutLogCheck = "vote-without-log-check", Votes, breaks ["leader-completeness", "state-machine-safety"];
    /// A vote that comes twice is counted twice (ktoso/akka-raft issue 45).
    CountVotesTwice = "count-votes-twice", Votes, breaks ["vote-quorum", "election-safety", "leader-completeness"];
    /// With an even number of voters half of them make a leader (btmorr/leifdb pull request 73).
    HalfIsMajority = "half-is-majority", Votes, breaks ["vote-quorum", "election-safety", "leader-completeness"];
    /// Who has no vote is asked for one and counted as if it had (rabbitmq/ra pull request 427).
    CountLearnerVotes = "count-learner-votes", Votes, breaks ["vote-quorum", "election-safety", "leader-completeness"];
    /// A granted pre-vote that comes late counts as a vote (canonical/raft issue 196 and pull request 248).
    CountPreVotes = "count-pre-votes", Votes, breaks ["vote-quorum", "election-safety", "leader-completeness"];
    /// A vote that was given in an older term counts in this one (eatonphil/raft-rs issue 3, andreev-io/little-raft issue 44).
    CountStaleVotes = "count-stale-votes", Votes, breaks ["vote-quorum", "election-safety", "leader-completeness"];
    /// A candidate counts its own vote and writes nothing of it down, so that it may vote for another one as well (vesoft-inc/nebula pull request 3415).
    OwnVoteNotSaved = "own-vote-not-saved", Votes, breaks ["vote-durable", "vote-once", "election-safety"];
    /// The vote on disk is not looked at when a node starts (thesis 3.8; ktoso/akka-raft issue 56).
    ForgetVote = "forget-vote", Votes, breaks ["vote-once", "monotonic", "election-safety"];
    /// Who begins to follow a leader is free to vote again in the same term (etcd-io/etcd pull request 2461, redpanda-data/redpanda pull request 19).
    ResetVoteInTerm = "reset-vote-in-term", Votes, breaks ["monotonic", "vote-once", "election-safety"];

    // Commit.
    /// Entries of older terms are committed by counting replicas (thesis 3.6.2, figure 3.7).
    CountOldTerms = "count-old-terms", Commit, breaks ["durable-quorum", "leader-completeness"];
    /// A follower takes the leader's commit index for its own log, whether that is the leader's so far or not (Raft paper figure 2; atomix/copycat issue 265).
    CommitUnverified = "commit-unverified", Commit, breaks ["state-machine-safety", "append-only", "log-matching"];
    /// Entries are taken, and heartbeats answered, without a look at the term of the entry before (Raft paper figure 2; cloud-software-foundation/c5 issue 43).
    NoPreviousCheck = "no-previous-check", Commit, breaks ["log-matching", "state-machine-safety", "durable-quorum", "leader-completeness", "append-only"];
    /// A follower that has another leader's entry at a place keeps it (Raft paper figure 2, third rule of AppendEntries).
    KeepConflicting = "keep-conflicting", Commit, breaks ["durable-quorum", "state-machine-safety", "log-matching", "leader-completeness"];
    /// A heartbeat that comes late cuts off the entries that came after it was sent, although they are acknowledged (willemt/raft issue 37).
    HeartbeatTruncates = "heartbeat-truncates", Commit, breaks ["leader-completeness", "durable-quorum", "acknowledged-durable", "state-machine-safety", "append-only"];
    /// A follower acknowledges all of its log, and not just what is known to be the leader's (etcd-io/etcd pull request 1367).
    AckOwnLast = "ack-own-last", Commit, breaks ["durable-quorum", "leader-completeness", "state-machine-safety"];
    /// The leader takes an answer for an acknowledgement of all that it has appended by then (adjoint-io/raft pull request 86).
    CreditLeadersLast = "credit-leaders-last", Commit, breaks ["durable-quorum", "leader-completeness"];
    /// The leader counts itself for what its own disk has not written (etcd-io/etcd issue 14370).
    CommitOwnUndurable = "commit-own-undurable", Commit, breaks ["durable-quorum", "leader-completeness"];

    // Durability.
    /// A follower acknowledges an append before it is on disk: after a crash a committed entry may be on a minority only.
    AckBeforeDurable = "ack-before-durable", Durability, breaks ["acknowledged-durable", "durable-survives", "durable-quorum"];
    /// What a node with a damaged log acknowledges is counted (Alagappan et al., FAST 2018).
    CountDamaged = "count-damaged", Durability, breaks ["durable-quorum", "repair-silent", "leader-completeness"];
    /// What was written of entries that are replaced counts for those that replace them (rabbitmq/ra pull request 637).
    CreditReplaced = "credit-replaced", Durability, breaks ["acknowledged-durable", "durable-quorum", "durable-survives"];
    /// A node whose log has lost something votes as if it were whole (Alagappan et al., FAST 2018).
    VoteWhileRepairing = "vote-while-repairing", Durability, breaks ["repair-silent", "leader-completeness"];
    /// The leader goes on believing what the earlier run of a follower had, although that may be lost (atomix/atomix issue 1028).
    KeepMatchedAfterRestart = "keep-matched-after-restart", Durability, breaks ["durable-quorum", "leader-completeness", "liveness"];

    // Membership.
    /// While voters change, a majority of the new ones commits (thesis 4.3).
    CommitByNewMajority = "commit-by-new-majority", Membership, breaks ["durable-quorum"];
    /// What a learner acknowledges is counted (thesis 4.2.1).
    CountLearners = "count-learners", Membership, breaks ["durable-quorum"];
    /// Members are changed before an entry of the leader's term is committed (Ongaro 2015, raft-dev).
    ChangeBeforeNoop = "change-before-noop", Membership, breaks ["configuration-steps", "durable-quorum", "leader-completeness"];
    /// Members count when the entry that names them is committed, and not from the moment on in which it stands in the log (thesis 4.1).
    MembershipAtCommit = "membership-at-commit", Membership, breaks ["durable-quorum", "vote-quorum", "leader-completeness"];
    /// What a configuration said that was cut off the log counts on (camunda/camunda issue 57393, canonical/raft issue 250).
    KeepTruncatedConfiguration = "keep-truncated-configuration", Membership, breaks ["durable-quorum", "vote-quorum", "leader-completeness", "configuration-steps"];
    /// Members are changed again before the last change is committed (thesis 4.1, 4.3).
    TwoChangesAtOnce = "two-changes-at-once", Membership, breaks ["configuration-steps", "durable-quorum", "leader-completeness"];
    /// A joint configuration is left before it is committed (camunda/camunda issue 60086).
    LeaveJointEarly = "leave-joint-early", Membership, breaks ["configuration-steps", "durable-quorum", "leader-completeness"];
    /// A leader that is not among the new voters counts itself all the same (camunda/camunda pull request 15232).
    RemovedLeaderCounts = "removed-leader-counts", Membership, breaks ["durable-quorum", "leader-completeness"];

    // Snapshots.
    /// A snapshot is acknowledged before it is in use (Raft paper figure 13, thesis chapter 5).
    AckSnapshotEarly = "ack-snapshot-early", Snapshots, breaks ["acknowledged-durable", "durable-quorum", "durable-survives"];
    /// The session table is not taken from a snapshot (thesis 6.3).
    SnapshotWithoutSessions = "snapshot-without-sessions", Snapshots, breaks ["equal-state-hash", "exactly-once"];
    /// The members are not taken from a snapshot (moby/swarmkit pull request 238, databendlabs/openraft issue 1808).
    SnapshotWithoutConfiguration = "snapshot-without-configuration", Snapshots, breaks ["vote-quorum", "durable-quorum", "leader-completeness", "liveness"];
    /// Parts of different snapshots make one (smg-project/smg pull request 837, camunda/camunda issue 4346).
    MixSnapshotParts = "mix-snapshot-parts", Snapshots, breaks ["equal-state-hash", "one-order", "delivery-order", "acknowledged-kept", "exactly-once", "final-read"];
    /// A snapshot that the log holds already cuts off what follows it there (camunda/camunda issue 6092).
    SnapshotDropsWhatFollows = "snapshot-drops-what-follows", Snapshots, breaks ["leader-completeness", "durable-quorum", "acknowledged-durable", "append-only", "state-machine-safety", "liveness"];
    /// A follower is told once that it needs a snapshot: if that is lost, it waits for ever (dgraph-io/dgraph pull request 2707, etcd-io/etcd pull request 12695).
    SnapshotToldOnce = "snapshot-told-once", Snapshots, breaks ["liveness"];

    // Leases.
    /// A lease is kept when another node is told to stand (thesis 6.4.1).
    KeepLease = "keep-lease", Leases, breaks ["linearizable-reads"];
    /// Who has confirmed a lease stands as soon as its link to the leader breaks.
    StandUnderLease = "stand-under-lease", Leases, breaks ["linearizable-reads"];
    /// Votes are given although a leader was just heard, which may have a lease (thesis 6.4.1; sofastack/sofa-jraft issue 25).
    NoVoteGate = "no-vote-gate", Leases, breaks ["linearizable-reads"];
    /// A node that has just started votes at once: it does not know what it confirmed before (thesis 6.4.1).
    OpenGateAfterRestart = "open-gate-after-restart", Leases, breaks ["linearizable-reads"];
    /// A lease begins when the answers come, and not when the round was sent (thesis 6.4.1; yugabyte/yugabyte-db issue 16 says how it has to be).
    LeaseFromAnswer = "lease-from-answer", Leases, breaks ["linearizable-reads"];
    /// A leader answers reads without making sure that it still leads (thesis 6.4; hashicorp/consul issue 54).
    ReadUnconfirmed = "read-unconfirmed", Leases, breaks ["linearizable-reads"];
    /// A new leader answers reads before it knows what is committed (thesis 6.4; etcd-io/etcd issue 7331).
    ReadBeforeNoop = "read-before-noop", Leases, breaks ["linearizable-reads"];
    /// A read is answered before the state has come to its read index (thesis 6.4).
    ReadBeforeApplied = "read-before-applied", Leases, breaks ["linearizable-reads"];

    // FlowControl.
    /// A refused append is sent again from the same place, for ever (cubefs/cubefs issue 2376).
    RejectNeverMovesBack = "reject-never-moves-back", FlowControl, breaks ["liveness"];
    /// What was under way when a link broke takes its part of the window for ever (matrixarkai/TemporalStore pull request 114).
    LeakWindow = "leak-window", FlowControl, breaks ["liveness"];

    // Sessions.
    /// The session table is not restored at start: a repeated request is executed again (thesis 6.3).
    ForgetSessions = "forget-sessions", Sessions, breaks ["exactly-once"];
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_name_is_its_own() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
    }
}
