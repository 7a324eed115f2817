//! What an observation is about. A rule says which topics it hears, and is not asked about others: most of a run's observations concern few rules.

use crate::observed::{ClientFact, Observed};
use tertulia_protocol::facts::Fact;

macro_rules! topics {
    ($($topic:ident),* $(,)?) => {
        /// One for each fact of a node, for what happens to nodes, and for each of a client's words.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub(crate) enum Topic { $($topic),* }

        impl Topic {
            pub(crate) const ALL: &[Topic] = &[$(Topic::$topic),*];
        }
    };
}

topics! {
    Started, TermBegan, Voted, BecamePreCandidate, BecameCandidate, BecameLeader, SteppedDown, Appended, VoteDurable, Durable, Acknowledged, Committed,
    Applied, Executed, Posted, Reached, SnapshotReceived, SnapshotInstalled, Configured, Repairing, Diverged,
    Kept, Accepted, TentativeRefused, OutboxDamaged,
    Crashed, Wiped, Damaged,
    ClientSubmitted, ClientAcknowledged, ClientRefusedFinally, ClientFollowed, ClientFollowedLast, ClientDelivered, ClientRead,
    ClientSession, ClientRoom, ClientRevision, ClientRelation, ClientMark,
    ClientAccepted, ClientTentative,
}

/// A set of topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Topics(u64);

impl Topics {
    pub(crate) const NONE: Topics = Topics(0);
    pub(crate) const ALL: Topics = Topics(u64::MAX);
    /// Whatever a node tells.
    pub(crate) const FACTS: Topics = Topics((1 << Topic::Crashed as u8) - 1);

    pub(crate) const fn of(topics: &[Topic]) -> Topics {
        let (mut set, mut nth) = (0, 0);
        while nth < topics.len() {
            set |= 1 << topics[nth] as u8;
            nth += 1;
        }
        Topics(set)
    }

    pub(crate) fn holds(self, topic: Topic) -> bool {
        self.0 >> topic as u8 & 1 == 1
    }
}

impl Topic {
    pub(crate) fn of(observed: &Observed<'_>) -> Topic {
        match observed {
            Observed::Fact { fact, .. } => match fact {
                Fact::Started { .. } => Topic::Started,
                Fact::TermBegan { .. } => Topic::TermBegan,
                Fact::Voted { .. } => Topic::Voted,
                Fact::BecamePreCandidate { .. } => Topic::BecamePreCandidate,
                Fact::BecameCandidate { .. } => Topic::BecameCandidate,
                Fact::BecameLeader { .. } => Topic::BecameLeader,
                Fact::SteppedDown { .. } => Topic::SteppedDown,
                Fact::Appended { .. } => Topic::Appended,
                Fact::VoteDurable { .. } => Topic::VoteDurable,
                Fact::Durable { .. } => Topic::Durable,
                Fact::Acknowledged { .. } => Topic::Acknowledged,
                Fact::Committed { .. } => Topic::Committed,
                Fact::Applied { .. } => Topic::Applied,
                Fact::Executed { .. } => Topic::Executed,
                Fact::Posted { .. } => Topic::Posted,
                Fact::Reached { .. } => Topic::Reached,
                Fact::SnapshotReceived { .. } => Topic::SnapshotReceived,
                Fact::SnapshotInstalled { .. } => Topic::SnapshotInstalled,
                Fact::Configured { .. } => Topic::Configured,
                Fact::Repairing => Topic::Repairing,
                Fact::Diverged(_) => Topic::Diverged,
                Fact::Kept { .. } => Topic::Kept,
                Fact::Accepted { .. } => Topic::Accepted,
                Fact::TentativeRefused { .. } => Topic::TentativeRefused,
                Fact::OutboxDamaged => Topic::OutboxDamaged,
            },
            Observed::Crashed { .. } => Topic::Crashed,
            Observed::Wiped { .. } => Topic::Wiped,
            Observed::Damaged { .. } => Topic::Damaged,
            Observed::Client(fact) => match fact {
                ClientFact::Submitted { .. } => Topic::ClientSubmitted,
                ClientFact::Acknowledged { .. } => Topic::ClientAcknowledged,
                ClientFact::RefusedFinally { .. } => Topic::ClientRefusedFinally,
                ClientFact::Followed { .. } => Topic::ClientFollowed,
                ClientFact::FollowedLast { .. } => Topic::ClientFollowedLast,
                ClientFact::Delivered { .. } | ClientFact::Changed { .. } | ClientFact::Skipped { .. } => Topic::ClientDelivered,
                ClientFact::Read { .. } => Topic::ClientRead,
                ClientFact::SignedIn { .. }
                | ClientFact::TooManyDevices { .. }
                | ClientFact::SignedOut { .. }
                | ClientFact::GaveUp { .. } => Topic::ClientSession,
                ClientFact::Joins { .. } | ClientFact::Joined { .. } | ClientFact::Out { .. } | ClientFact::Direct { .. } => {
                    Topic::ClientRoom
                }
                ClientFact::Revising { .. } | ClientFact::Revised { .. } | ClientFact::Texts { .. } => Topic::ClientRevision,
                ClientFact::Relating { .. } | ClientFact::Related { .. } | ClientFact::Relations { .. } => Topic::ClientRelation,
                ClientFact::MarkedRead { .. } | ClientFact::Marks { .. } => Topic::ClientMark,
                ClientFact::Accepted { .. } => Topic::ClientAccepted,
                ClientFact::Tentative { .. }
                | ClientFact::Untailed { .. }
                | ClientFact::Withdrawn { .. }
                | ClientFact::Restarted { .. }
                | ClientFact::Turned { .. } => Topic::ClientTentative,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_what_nodes_tell_and_a_set_holds_what_it_was_made_of() {
        let facts: Vec<Topic> = Topic::ALL.iter().copied().filter(|topic| Topics::FACTS.holds(*topic)).collect();
        assert_eq!((facts.first(), facts.last()), (Some(&Topic::Started), Some(&Topic::OutboxDamaged)));
        let set = Topics::of(&[Topic::Voted, Topic::ClientRead]);
        let held: Vec<Topic> = Topic::ALL.iter().copied().filter(|topic| set.holds(*topic)).collect();
        assert_eq!(held, [Topic::Voted, Topic::ClientRead]);
    }
}
