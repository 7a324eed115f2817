//! A vote is on disk before it is sent.
//!
//! Source: thesis 3.8, Raft paper figure 2 ("updated on stable storage before responding to RPCs").
//! Verifies: each `Fact::Voted` finds exactly that term and candidate made durable by that node before (or found by it at a start); a
//! candidate's own vote counts only once it is durable.
//! Does *not* verify: that the disk told the truth (`monotonic` sees that at the next start).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeSet;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct VoteDurable {
    durable: BTreeSet<(NodeId, Term, NodeId)>,
}

impl Rule for VoteDurable {
    fn name(&self) -> &'static str {
        "vote-durable"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let (node, fact) = match *observed {
            Observed::Fact { node, fact } => (node, fact),
            Observed::Wiped { node } => {
                self.durable.retain(|(voter, ..)| *voter != node);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match *fact {
            Fact::VoteDurable { term, voted_for: Some(candidate) } | Fact::Started { term, voted_for: Some(candidate), .. } => {
                self.durable.insert((node, term, candidate));
                Ok(())
            }
            Fact::Voted { term, candidate } if !self.durable.contains(&(node, term, candidate)) => {
                Err(format!("{node} sent {candidate} its vote in term {term} before that vote was on its disk."))
            }
            Fact::BecameLeader { term, .. } if !self.durable.contains(&(node, term, node)) => {
                Err(format!("{node} leads term {term}, but its vote for itself is not on its disk."))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Wiped, Topic::VoteDurable, Topic::Started, Topic::Voted, Topic::BecameLeader])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log};
    use tertulia_protocol::facts::Fact;
    use tertulia_protocol::ids::{Boot, NodeId};

    const RULE: &str = "vote-durable";

    fn voted(candidate: u64) -> Fact {
        Fact::Voted { term: 3, candidate: NodeId(candidate) }
    }

    #[test]
    fn a_vote_that_is_sent_before_it_is_durable_is_seen() {
        Story::of(RULE).three_start().fact(1, voted(2)).breaks(RULE, "before that vote was on its disk");
    }

    #[test]
    fn the_term_alone_or_another_candidate_is_not_enough() {
        let term_only = Fact::VoteDurable { term: 3, voted_for: None };
        Story::of(RULE).fact(1, term_only).fact(1, voted(2)).breaks(RULE, "n1 sent n2");
        Story::of(RULE).vote(1, 3, 3).fact(1, voted(2)).breaks(RULE, "n1 sent n2");
    }

    #[test]
    fn a_leader_whose_own_vote_is_not_durable_is_seen() {
        Story::of(RULE).vote(2, 3, 1).leads(1, 3, &[]).breaks(RULE, "vote for itself");
    }

    #[test]
    fn a_vote_found_at_a_start_may_be_sent_again() {
        let started = Fact::Started { boot: Boot(2), term: 3, voted_for: Some(NodeId(2)), durable: log(&[]), applied: 0 };
        Story::of(RULE).fact(1, started.clone()).fact(1, voted(2)).holds();
        Story::of(RULE).fact(1, started).crash(1).wipe(1).fact(1, voted(2)).breaks(RULE, "n1 sent n2");
    }
}
