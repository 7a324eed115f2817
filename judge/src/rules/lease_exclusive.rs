//! While a leader answers by its lease nobody else leads.
//!
//! Source: thesis 6.4.1; DESIGN 3, "lease reads": the lease is shorter than the time for which a majority refuses its votes, and it is given up before another
//! node is told to stand.
//! Verifies: a node that lets a read go by its lease alone leads at that moment, and no node has become leader of a later term before: so no read by lease is
//! answered by a deposed leader, whether or not anybody would have noticed.
//! Does *not* verify: clocks that run apart by more than the configured bound (no lease can hold then); what the read showed (`linearizable-reads`); reads by
//! read index.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct LeaseExclusive {
    /// The latest term that ever had a leader, who that was and when.
    latest: Option<(Term, NodeId, At)>,
}

impl Rule for LeaseExclusive {
    fn name(&self) -> &'static str {
        "lease-exclusive"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::BecameLeader, Topic::Reached])
    }

    fn observe(&mut self, view: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact } = *observed else { return Ok(()) };
        match *fact {
            Fact::BecameLeader { term, .. } => {
                if self.latest.is_none_or(|(latest, ..)| term > latest) {
                    self.latest = Some((term, id, at));
                }
                Ok(())
            }
            Fact::Reached { point: "read.by_lease" } => {
                let Some(term) = view.node(id).and_then(|node| node.leading) else {
                    return Err(format!("{id} answers a read by its lease, and leads no term."));
                };
                match self.latest {
                    Some((latest, who, when)) if latest > term => Err(format!(
                        "{id} answers a read by its lease of term {term}, and {who} has led term {latest} since {when}."
                    )),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "lease-exclusive";

    fn by_lease(story: Story, node: u64) -> Story {
        story.fact(node, Fact::Reached { point: "read.by_lease" })
    }

    #[test]
    fn a_deposed_leader_that_answers_by_its_lease_is_seen_even_if_the_newer_one_is_gone_again() {
        let deposed = || Story::of(RULE).three_start().leads(1, 1, &[]).leads(2, 2, &[]);
        by_lease(deposed(), 1).breaks(RULE, "n2 has led term 2");
        by_lease(deposed().crash(2), 1).breaks(RULE, "n2 has led term 2");
    }

    #[test]
    fn a_lease_of_nobody_is_seen() {
        by_lease(Story::of(RULE).three_start().leads(1, 1, &[]).term(1, 2), 1).breaks(RULE, "leads no term");
    }

    #[test]
    fn the_newest_leader_may_answer_and_an_old_one_by_a_round() {
        by_lease(Story::of(RULE).three_start().leads(1, 1, &[]), 1).holds();
        let story = Story::of(RULE).three_start().leads(1, 1, &[]).leads(2, 2, &[]);
        by_lease(story.fact(1, Fact::Reached { point: "leader.link_lost" }), 2).holds();
    }
}
