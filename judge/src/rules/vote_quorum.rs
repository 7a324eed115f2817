//! A leader has the votes of a majority.
//!
//! Source: thesis 3.4 ("votes from a majority of the servers in the full cluster for the same term").
//! Verifies: when a node becomes leader, a majority of the voters, itself included, had voted for it in that term.
//! Does *not* verify: that those votes arrived, or came from the boot that they are counted for; changes of membership.

use super::{Rule, Verdict};
use crate::observed::{At, Observed};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Default)]
pub(crate) struct VoteQuorum {
    votes: BTreeMap<(Term, NodeId), BTreeSet<NodeId>>,
}

impl Rule for VoteQuorum {
    fn name(&self) -> &'static str {
        "vote-quorum"
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
                votes.retain(|voter| view.voters.contains(voter));
                if votes.len() >= view.majority() {
                    return Ok(());
                }
                let (voters, majority) = (view.voters.len(), view.majority());
                Err(format!("{node} leads term {term} with the votes of {votes:?} only; of {voters} voters it needs {majority}."))
            }
            _ => Ok(()),
        }
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
        Story::of(RULE).vote(1, 2, 1).vote(9, 2, 1).vote(2, 1, 1).leads(1, 2, &[]).breaks(RULE, "{n1} only");
    }

    #[test]
    fn a_majority_is_enough() {
        Story::of(RULE).elect(1, 2, 1, &[]).elect(3, 2, 2, &[]).holds();
    }
}
