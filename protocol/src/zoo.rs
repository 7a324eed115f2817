//! Known bugs as runtime switches, to prove that the judge finds them. Compiled only with `feature = "zoo"`.

/// A bug that some implementation of Raft has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Bug {
    /// A vote is answered before it is on disk: after a crash the voter may vote again in the same term (thesis 3.8).
    VoteBeforeDurable,
    /// Entries of older terms are committed by counting replicas (thesis 3.6.2, figure 3.7).
    CountOldTerms,
    /// The session table is not restored at start: a repeated request is executed again (thesis 6.3).
    ForgetSessions,
    /// A follower acknowledges an append before it is on disk: after a crash a committed entry may be on a minority only.
    AckBeforeDurable,
    /// Logs are compared by length before term in the election restriction (thesis 3.6.1).
    CompareIndexFirst,
    /// While voters change, a majority of the new ones commits (thesis 4.3).
    CommitByNewMajority,
    /// What a learner acknowledges is counted (thesis 4.2.1).
    CountLearners,
    /// Members are changed before an entry of the leader's term is committed (Ongaro 2015, raft-dev).
    ChangeBeforeNoop,
    /// A lease is kept when another node is told to stand (thesis 6.4.1).
    KeepLease,
    /// Who has confirmed a lease stands as soon as its link to the leader breaks.
    StandUnderLease,
    /// What a node with a damaged log acknowledges is counted (Alagappan et al., FAST 2018).
    CountDamaged,
}

impl Bug {
    /// Those that whole clusters under scenarios find.
    pub const ALL: [Bug; 5] =
        [Bug::VoteBeforeDurable, Bug::CountOldTerms, Bug::ForgetSessions, Bug::AckBeforeDurable, Bug::CompareIndexFirst];

    /// Those that take a rarer course: a random network of bare replicas finds them, or a transcript (`protocol/tests`).
    pub const RARE: [Bug; 6] = [
        Bug::CommitByNewMajority,
        Bug::CountLearners,
        Bug::ChangeBeforeNoop,
        Bug::KeepLease,
        Bug::StandUnderLease,
        Bug::CountDamaged,
    ];

    /// The name by which `sim --bug` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Bug::VoteBeforeDurable => "vote-before-durable",
            Bug::CountOldTerms => "count-old-terms",
            Bug::ForgetSessions => "forget-sessions",
            Bug::AckBeforeDurable => "ack-before-durable",
            Bug::CompareIndexFirst => "compare-index-first",
            Bug::CommitByNewMajority => "commit-by-new-majority",
            Bug::CountLearners => "count-learners",
            Bug::ChangeBeforeNoop => "change-before-noop",
            Bug::KeepLease => "keep-lease",
            Bug::StandUnderLease => "stand-under-lease",
            Bug::CountDamaged => "count-damaged",
        }
    }
}
