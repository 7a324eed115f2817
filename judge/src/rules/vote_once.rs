//! A node votes for at most one candidate in a term, whatever happens to it in between.
//!
//! Source: thesis 3.4 ("each server will vote for at most one candidate in a given term") and 3.8 (hence the vote is persistent).
//! Verifies: votes sent, votes made durable and votes found at a start name one candidate for each node and term, over the whole run.
//! Does *not* verify: a candidature that a crash forgot before it was durable (it bound nobody), pre-votes, whether the vote should have been given
//! (`leader-completeness` sees what follows).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct VoteOnce {
    votes: BTreeMap<(NodeId, Term), NodeId>,
}

impl Rule for VoteOnce {
    fn name(&self) -> &'static str {
        "vote-once"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node, fact } = *observed else { return Ok(()) };
        let (term, candidate) = match *fact {
            Fact::Voted { term, candidate } => (term, candidate),
            Fact::VoteDurable { term, voted_for: Some(candidate) } | Fact::Started { term, voted_for: Some(candidate), .. } => {
                (term, candidate)
            }
            _ => return Ok(()),
        };
        let first = *self.votes.entry((node, term)).or_insert(candidate);
        if first == candidate {
            return Ok(());
        }
        Err(format!("{node} voted for {first} in term {term}, and now for {candidate} in the same term."))
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Voted, Topic::VoteDurable, Topic::Started])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log, started_with};
    use tertulia_protocol::facts::Fact;
    use tertulia_protocol::ids::NodeId;

    const RULE: &str = "vote-once";

    #[test]
    fn two_votes_in_one_term_are_seen_even_over_a_restart() {
        let voted = |candidate| Fact::Voted { term: 3, candidate: NodeId(candidate) };
        let story = Story::of(RULE).three_start().fact(1, voted(2)).crash(1).fact(1, started_with(log(&[]), 0));
        story.fact(1, voted(3)).breaks(RULE, "n1 voted for n2 in term 3");
    }

    #[test]
    fn even_a_wiped_disk_does_not_free_a_vote() {
        Story::of(RULE).vote(1, 3, 2).crash(1).wipe(1).vote(1, 3, 3).breaks(RULE, "in the same term");
    }

    #[test]
    fn voting_again_for_the_same_and_in_another_term_is_fine() {
        Story::of(RULE).vote(1, 3, 2).vote(1, 3, 2).vote(1, 4, 3).vote(2, 3, 3).holds();
    }
}
