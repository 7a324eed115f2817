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
}

impl Bug {
    pub const ALL: [Bug; 5] =
        [Bug::VoteBeforeDurable, Bug::CountOldTerms, Bug::ForgetSessions, Bug::AckBeforeDurable, Bug::CompareIndexFirst];

    /// The name by which `sim --bug` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Bug::VoteBeforeDurable => "vote-before-durable",
            Bug::CountOldTerms => "count-old-terms",
            Bug::ForgetSessions => "forget-sessions",
            Bug::AckBeforeDurable => "ack-before-durable",
            Bug::CompareIndexFirst => "compare-index-first",
        }
    }
}
