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
    Chat,
    Tentative,
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
    KeepLease = "keep-lease", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// Who has confirmed a lease stands as soon as its link to the leader breaks.
    StandUnderLease = "stand-under-lease", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// Votes are given although a leader was just heard, which may have a lease (thesis 6.4.1; sofastack/sofa-jraft issue 25).
    NoVoteGate = "no-vote-gate", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// A node that has just started votes at once: it does not know what it confirmed before (thesis 6.4.1).
    OpenGateAfterRestart = "open-gate-after-restart", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// A lease begins when the answers come, and not when the round was sent (thesis 6.4.1; yugabyte/yugabyte-db issue 16 says how it has to be).
    LeaseFromAnswer = "lease-from-answer", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// A leader answers reads without making sure that it still leads (thesis 6.4; hashicorp/consul issue 54).
    ReadUnconfirmed = "read-unconfirmed", Leases, breaks ["lease-exclusive", "linearizable-reads"];
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
    /// The session table is not restored at start: a repeated request is executed again (thesis 6.3; nats-server #3272, what was published with an id
    /// before a restart is taken again after it).
    ForgetSessions = "forget-sessions", Sessions, breaks ["exactly-once"];
    /// A snapshot brings the sessions without what they have had executed (thesis 6.3; RedisLabs/redisraft #568 adds sessions to its snapshots).
    ForgetSessionsInSnapshot = "forget-sessions-in-snapshot", Sessions, breaks ["exactly-once", "equal-state-hash"];
    /// Only the last outcome of a session is kept, though several of its requests may be under way: what is repeated after the next one is refused as
    /// forgotten (thesis 6.3; apache/kafka #3743, KAFKA-5494, idempotence with more than one request in flight).
    KeepOneOutcome = "keep-one-outcome", Sessions, breaks ["workload"];
    /// Numbers are executed as they come: one that was sent again stands after its successors (IBM/sarama #2619, apache/kafka #1607: messages change places
    /// when the first is retried and the second succeeds).
    ExecuteOutOfOrder = "execute-out-of-order", Sessions, breaks ["session-order"];
    /// One outcome is remembered for a session, and any number that was executed before is answered with it (zeromq/rfc #80: a reply that comes late is
    /// taken for that of another request; thesis 6.3 wants the outcome of each request).
    AnswerWithLast = "answer-with-last", Sessions, breaks ["one-order", "session-order", "workload"];
    /// The leader answers its own clients when their request is in its log, with the place that it expects (Jepsen: MongoDB, 2013, a primary that
    /// acknowledges what it has not replicated rolls it back; thesis 6.3).
    AnswerAtAppend = "answer-at-append", Sessions, breaks ["acknowledged-kept"];
    /// A new leader takes requests before it has applied what it was elected with, and repetitions are looked for only when a request is proposed
    /// (nats-server #6486: a new leader that is not up-to-date and responds to requests could make duplicates).
    TakeBeforeApplied = "take-before-applied", Sessions, breaks ["exactly-once"];
    /// A leader that comes back into office still takes for proposed what it had proposed before: what was cut off its log is never proposed again
    /// (nats-server #6415 and #6486: after an election any retry of a message that was not stored fails).
    ProposedForEver = "proposed-for-ever", Sessions, breaks ["workload", "liveness"];
    /// A leader that is one no more tells its clients that their requests were refused, though they may still be committed (databendlabs/openraft #973;
    /// softwaremill/saft #6).
    RefuseAtStepDown = "refuse-at-step-down", Sessions, breaks ["workload"];
    /// A request is offered to a leader once: when that one dies with it, it waits for nothing (etcd #5214: a lost proposal on leader change does not time
    /// out; cockroachdb #1677).
    OfferOnce = "offer-once", Sessions, breaks ["unavailable"];
    /// Outcomes that a client has acknowledged are dropped by the leader alone: applying depends on what is not replicated (etcd #7320).
    EvictOnLeader = "evict-on-leader", Sessions, breaks ["equal-state-hash"];

    // Clients.
    /// A client that reconnects gives what it has not settled new numbers, from the one that the server says is next: what had been executed is executed
    /// again (zulip #31219, zulip-mobile #2374; librdkafka #4953).
    TrustNextNumber = "trust-next-number", Clients, breaks ["sent-once", "one-order", "session-order", "workload"];
    /// A client that loses its connection forgets what it had sent on it (nats.node #320: the pending buffer is reset on disconnect).
    ForgetQueue = "forget-queue", Clients, breaks ["liveness"];
    /// A client that has waited too long says that its request was refused (nats.node #628: a timeout, but the message is in the stream).
    TimeoutIsRefusal = "timeout-is-refusal", Clients, breaks ["workload"];
    /// A client says that it has got every answer up to its newest request: the table drops outcomes that it will ask for (thesis 6.3: a client tells the
    /// lowest number for which it has no response yet).
    AcknowledgeTooMuch = "acknowledge-too-much", Clients, breaks ["workload"];
    /// A client that moves follows from now on, not from the last event that it was delivered (thelounge #1883, socket.io-client #1358).
    FollowFromNow = "follow-from-now", Clients, breaks ["delivery-order"];
    /// A client goes on from where its new server says, which may be behind the one before (etcd #20221: old events when a client connects to several members).
    TakeServersCursor = "take-servers-cursor", Clients, breaks ["delivery-order"];
    /// A client delivers what it has delivered before (nats-server #3006: some numbers show up twice while one server after the other is restarted).
    DeliverAgain = "deliver-again", Clients, breaks ["delivery-order"];
    /// A client that asks for a page with its own past does not say how far that goes (etcd #7623: an answer of another endpoint may be of an older revision).
    ForgetOwnPast = "forget-own-past", Clients, breaks ["session-reads"];
    /// An event that is too much for a slow reader is dropped: it is neither closed nor does it catch up (etcd #1253, #17529).
    DropForSlowReader = "drop-for-slow-reader", Clients, breaks ["liveness"];
    /// A follower is live as soon as its last page has come, though events were applied while it was read (etcd #20655).
    LiveTooEarly = "live-too-early", Clients, breaks ["liveness"];
    /// Live followers hear nothing of what a snapshot has brought (etcd #8411).
    LiveOverJump = "live-over-jump", Clients, breaks ["liveness"];
    /// Followers are forgotten when the leader is lost, and nobody tells them (etcd #589: watchers stop receiving events after a leader election).
    ForgetFollowers = "forget-followers", Clients, breaks ["liveness"];
    /// A node that is behind says that there is no such thing (consul #4554; DESIGN 3: negative answers are given only after ReadIndex).
    DenyWhenBehind = "deny-when-behind", Clients, breaks ["workload"];

    // History.
    /// A node calls its own state current without asking anybody (etcd #741).
    ReadLocal = "read-local", History, breaks ["linearizable-reads"];
    /// A page that no leader has confirmed in time is called current all the same (thesis 6.4; deventlab/d-engine #381).
    UnconfirmedIsCurrent = "unconfirmed-is-current", History, breaks ["linearizable-reads"];
    /// A node answers with what it has, however far the asker says that it has seen (etcd #7623).
    IgnoreAtLeast = "ignore-at-least", History, breaks ["session-reads"];
    /// A page begins with the post after which it was asked for (synapse #1602: the last event of one page comes again as the first of the next).
    PageInclusive = "page-inclusive", History, breaks ["one-order"];
    /// A page leaves out the first post after its bound (synapse #13840: events are skipped when paginating forward).
    PageSkips = "page-skips", History, breaks ["one-order", "linearizable-reads"];
    /// A page that is read backwards is not turned round (dendrite #1708; candy #34).
    PageBackwards = "page-backwards", History, breaks ["one-order"];
    /// Who asks for the last messages gets one too many (Openfire #998, OF-1468).
    LastTooMany = "last-too-many", History, breaks ["history-window"];
    /// A room counts its messages from 1 again after a restart (nats-server #3284; nats-streaming-server #1051).
    RoomRestarts = "room-restarts", History, breaks ["equal-state-hash", "one-order"];
    /// A message is named by the millisecond: two of one millisecond are one (bwmarrin/snowflake #64).
    IdByTime = "id-by-time", History, breaks ["exactly-once"];
    /// A message is stamped with the clock of the node that applies it (etcd #7320).
    ApplyByOwnClock = "apply-by-own-clock", History, breaks ["equal-state-hash"];
    /// How far the rows have come is not written with them: after a crash entries are applied upon rows that hold them (etcd #13766, #13967).
    AppliedApart = "applied-apart", History, breaks ["equal-state-hash"];
    /// Of the messages that are applied together only the first one is written (synapse #1449: a token advanced beyond an event that was not persisted).
    RowsInPart = "rows-in-part", History, breaks ["one-order", "final-read", "liveness"];

    // Chat.
    /// Whether a user has a device free is looked at by the node that is asked, and not when the sign-in is applied: two nodes let one in each (DESIGN 5; a check that
    /// is apart from what it guards).
    DeviceLimitAtGateway = "device-limit-at-gateway", Chat, breaks ["device-limit"];
    /// Who comes late to a room that shows members what is said from then on is shown what was said before (synapse #4989: history visibility of rooms that were joined).
    HistoryForLateJoiners = "history-for-late-joiners", Chat, breaks ["history-rules"];
    /// An edit gives a deleted message its voice back (a change that looks only at who wrote what it changes).
    EditDeleted = "edit-deleted", Chat, breaks ["revisions"];
    /// The last read mark that is applied counts, and not the furthest: a device that lags takes it back (matrix-spec #1187: receipts may move backwards).
    ReadMarkGoesBack = "read-mark-goes-back", Chat, breaks ["unread"];
    /// Who has blocked whom is not taken from the rows at a start.
    ForgetBlocks = "forget-blocks", Chat, breaks ["friends"];
    /// Devices are let go by when they signed in: what was heard of them since is not looked at, neither when it is proposed nor when it is applied.
    ExpireAnyway = "expire-anyway", Chat, breaks ["signs-of-life"];

    // Tentative.
    /// A client is told that its post is accepted as soon as it is in memory (Terry et al. 1995, Bayou: a tentative write is logged stably where it was taken).
    AcceptBeforeDurable = "accept-before-durable", Tentative, breaks ["accepted-durable"];
    /// What a peer holds counts as a copy, whether it is on that one's disk or not (DESIGN 4, "accepted (on k nodes)").
    CountCopiesInMemory = "count-copies-in-memory", Tentative, breaks ["accepted-durable"];
    /// An entry is taken from a peer whether its predecessors are there or not: they are never asked for (Petersen et al. 1997, Bayou's anti-entropy: the prefix property).
    TakeOutOfOrder = "take-out-of-order", Tentative, breaks ["tentative-order", "accepted-settles", "accepted-durable", "liveness"];
    /// What an entry's writer had seen is not asked for: an answer is shown, and gets its place, before its question (Terry et al. 1994, writes follow reads).
    IgnoreSeen = "ignore-seen", Tentative, breaks ["tentative-order"];
    /// Tentative messages are ordered by wall clocks, which have seen nothing of each other (Kulkarni et al. 2014: hybrid logical clocks).
    OrderByWallClock = "order-by-wall-clock", Tentative, breaks ["tentative-order"];
    /// A node that starts goes on in the outbox of its last start, from what its disk holds: places that others have seen are given again (DESIGN 4, "a fresh boot at each start").
    ReuseOutbox = "reuse-outbox", Tentative, breaks ["accepted-settles", "accepted-durable", "tentative-order", "liveness"];
    /// What a node kept in its outbox is not looked at when it starts.
    ForgetTentativeAtRestart = "forget-tentative-at-restart", Tentative, breaks ["accepted-settles"];
    /// A node lets go of what it has sent to a leader, which may die with it.
    DropOnceForwarded = "drop-once-forwarded", Tentative, breaks ["accepted-settles", "tentative-order", "liveness"];
    /// The leader proposes one outbox after the other, and not in the order in which things were said.
    ProposeByOutbox = "propose-by-outbox", Tentative, breaks ["tentative-order"];
    /// What an outbox carries is proposed under a name of its own, and again under the client's.
    CarryWithoutIdentity = "carry-without-identity", Tentative, breaks ["exactly-once", "sent-once", "tentative-identity", "accepted-settles", "liveness"];
    /// What was accepted of a session that has expired since then is dropped, and nobody is told (DESIGN 4, "its late posts still commit").
    LoseLatePosts = "lose-late-posts", Tentative, breaks ["accepted-settles", "nothing-left-open", "liveness"];
    /// A room that wants a majority is treated as any other one.
    AcceptInStrictRooms = "accept-in-strict-rooms", Tentative, breaks ["strict-rooms"];
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
