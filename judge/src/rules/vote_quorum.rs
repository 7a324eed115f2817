//! A leader has the votes of a majority.
//!
//! Source: thesis 3.4 ("votes from a majority of the servers in the full cluster for the same term"), 4.1 (the newest configuration in the log counts) and
//! 4.3 (while voters change, both sets have to agree).
//! Verifies: when a node becomes leader, a majority of each set of voters by its own log, itself included if it votes, had voted for it in that term.
//! Does *not* verify: that those votes arrived, or came from the boot that they are counted for; that the first election had all votes.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct VoteQuorum {
    votes: BTreeMap<(Term, NodeId), BTreeSet<NodeId>>,
}

impl Rule for VoteQuorum {
    fn name(&self) -> &'static str {
        "vote-quorum"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node, fact } = *observed else { return Ok(()) };
        match *fact {
            Fact::Voted { term, candidate } => {
                self.votes.entry((term, candidate)).or_default().insert(node);
                Ok(())
            }
            Fact::BecameLeader { term, .. } => {
                let mut votes = self.votes.remove(&(term, node)).unwrap_or_default();
                votes.insert(node);
                view.deciding(node)
                    .agree(|voter| votes.contains(&voter))
                    .map_err(|missing| format!("{node} leads term {term} with the votes of {missing}."))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Voted, Topic::BecameLeader])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "vote-quorum";

    #[test]
    fn a_leader_without_a_majority_is_seen() {
        Story::of(RULE).vote(1, 1, 1).leads(1, 1, &[]).breaks(RULE, "it needs 2");
    }

    #[test]
    fn votes_of_strangers_and_of_other_terms_do_not_count() {
        Story::of(RULE).vote(1, 2, 1).vote(9, 2, 1).vote(2, 1, 1).leads(1, 2, &[]).breaks(RULE, "[n1] only");
    }

    #[test]
    fn while_voters_change_a_majority_of_one_set_is_not_enough() {
        let joint = || Story::of(RULE).three_start().append(1, 0, &[1]).configured(1, &[1], &[1, 2, 4, 5, 6], &[1, 2, 3]);
        joint().elect(1, 2, 2, &[1]).breaks(RULE, "of the voters [n1, n2, n4, n5, n6] it needs 3");
        joint().vote(4, 2, 1).vote(5, 2, 1).elect(1, 6, 2, &[1]).breaks(RULE, "of the voters [n1, n2, n3] it needs 2");
        joint().vote(4, 2, 1).elect(1, 2, 2, &[1]).holds();
    }

    #[test]
    fn a_configuration_counts_as_long_as_it_stands_in_the_log() {
        let cut = Story::of(RULE).three_start().append(1, 0, &[1]).configured(1, &[1], &[1, 4, 5], &[]).append(1, 0, &[2]);
        cut.elect(1, 4, 3, &[2]).breaks(RULE, "of the voters [n1, n2, n3] it needs 2");
        let kept = Story::of(RULE).three_start().append(1, 0, &[1]).configured(1, &[1], &[1, 4, 5], &[]).append(1, 1, &[1, 2]);
        kept.elect(1, 4, 3, &[1, 2]).holds();
    }

    #[test]
    fn a_majority_is_enough() {
        Story::of(RULE).elect(1, 2, 1, &[]).elect(3, 2, 2, &[]).holds();
    }
}
