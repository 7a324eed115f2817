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

    // Commit.
    /// Entries of older terms are committed by counting replicas (thesis 3.6.2, figure 3.7).
    CountOldTerms = "count-old-terms", Commit, breaks ["durable-quorum", "leader-completeness"];

    // Durability.
    /// A follower acknowledges an append before it is on disk: after a crash a committed entry may be on a minority only.
    AckBeforeDurable = "ack-before-durable", Durability, breaks ["acknowledged-durable", "durable-survives", "durable-quorum"];
    /// What a node with a damaged log acknowledges is counted (Alagappan et al., FAST 2018).
    CountDamaged = "count-damaged", Durability, breaks ["durable-quorum", "repair-silent", "leader-completeness"];

    // Membership.
    /// While voters change, a majority of the new ones commits (thesis 4.3).
    CommitByNewMajority = "commit-by-new-majority", Membership, breaks ["durable-quorum"];
    /// What a learner acknowledges is counted (thesis 4.2.1).
    CountLearners = "count-learners", Membership, breaks ["durable-quorum"];
    /// Members are changed before an entry of the leader's term is committed (Ongaro 2015, raft-dev).
    ChangeBeforeNoop = "change-before-noop", Membership, breaks ["durable-quorum", "leader-completeness"];

    // Leases.
    /// A lease is kept when another node is told to stand (thesis 6.4.1).
    KeepLease = "keep-lease", Leases, breaks ["lease-exclusive", "linearizable-reads"];
    /// Who has confirmed a lease stands as soon as its link to the leader breaks.
    StandUnderLease = "stand-under-lease", Leases, breaks ["lease-exclusive", "linearizable-reads"];

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
