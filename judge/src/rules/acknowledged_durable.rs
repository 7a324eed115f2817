//! A follower tells the leader only of what is on its disk.
//!
//! Source: thesis 3.8 and 10.2.1 (a leader may write in parallel, a follower answers after its write); DESIGN 3, "a completion credits (term, last index)
//! and only if the log still holds that entry".
//! Verifies: `Fact::Acknowledged` speaks of a place that this node's log holds and that it reported durable before; `Fact::Durable` speaks of a place
//! that its log still holds.
//! Does *not* verify: that the disk told the truth (`durable-survives`); to whom the answer went.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct AcknowledgedDurable;

impl Rule for AcknowledgedDurable {
    fn name(&self) -> &'static str {
        "acknowledged-durable"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact } = *observed else { return Ok(()) };
        let Some(node) = view.node(id) else { return Ok(()) };
        match *fact {
            Fact::Durable { through } if node.log.holds(through) == Some(false) => Err(format!(
                "{id} calls {through:?} durable, which its log does not hold (it has {:?} there).",
                node.log.at(through.index)
            )),
            Fact::Acknowledged { term, through } if node.log.holds(through) == Some(false) => Err(format!(
                "{id} acknowledged {through:?} to the leader of term {term}, but its log has {:?} there.",
                node.log.at(through.index)
            )),
            Fact::Acknowledged { term, through } if through.index > node.durable => Err(format!(
                "{id} acknowledged {through:?} to the leader of term {term}, but its log is durable only through {}.",
                node.durable
            )),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Durable, Topic::Acknowledged])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log};
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "acknowledged-durable";

    fn acknowledge(story: Story, terms: &[u64]) -> Story {
        story.fact(1, Fact::Acknowledged { term: 2, through: log(terms) })
    }

    #[test]
    fn an_answer_that_comes_before_the_disk_is_seen() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1]).append(1, 1, &[1, 1]);
        acknowledge(story, &[1, 1]).breaks(RULE, "durable only through 1");
    }

    #[test]
    fn what_was_durable_before_it_was_rewritten_does_not_count() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]).append(1, 1, &[1, 2]);
        acknowledge(story, &[1, 2]).breaks(RULE, "durable only through 1");
    }

    #[test]
    fn a_late_completion_of_a_rewritten_entry_is_seen() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 1]).append(1, 1, &[1, 2]);
        story.durable(1, &[1, 1]).breaks(RULE, "which its log does not hold");
    }

    #[test]
    fn acknowledging_what_it_does_not_have_is_seen() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]);
        acknowledge(story, &[1, 2]).breaks(RULE, "but its log has");
    }

    #[test]
    fn a_part_of_what_is_durable_may_be_acknowledged_again() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1, 1, 2]);
        acknowledge(acknowledge(acknowledge(story, &[1, 1, 2]), &[1]), &[]).holds();
    }
}
