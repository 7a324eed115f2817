//! When the faults are over, all nodes end at the same place.
//!
//! Source: DESIGN 7, "convergence and equal state hashes".
//! Verifies: at the end, every node of the core is up and has applied through the greatest index that any node ever knew to be committed; with
//! `equal-state-hash`, which has compared the states there, they are equal.
//! Does *not* verify: how long it took (the simulator's `heal_within`); the state of a node that applied nothing since its last start.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::Topics;
use crate::view::View;
use tertulia_protocol::ids::NodeId;

#[derive(Clone, Default)]
pub(crate) struct Converged;

impl Rule for Converged {
    fn name(&self) -> &'static str {
        "converged"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, _: At, _: &Observed<'_>) -> Verdict {
        Ok(())
    }

    fn finish(&mut self, view: &View, core: &[NodeId]) -> Verdict {
        let committed = view.committed();
        for id in core {
            let Some(node) = view.node(*id).filter(|node| node.up) else {
                return Err(format!("At the end {id} should be well and is not up."));
            };
            if node.applied != committed {
                return Err(format!("At the end {id} has applied through {}, but {committed} was committed.", node.applied));
            }
        }
        Ok(())
    }

    fn hears(&self) -> Topics {
        Topics::NONE
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "converged";

    fn one_behind() -> Story {
        let story = Story::of(RULE).three_start().append(1, 0, &[1]).commit(1, &[1], true);
        story.apply(1, &[1]).apply(2, &[1])
    }

    #[test]
    fn a_node_that_stays_behind_is_seen() {
        one_behind().finish().breaks(RULE, "n3 has applied through 0, but 1 was committed");
    }

    #[test]
    fn all_at_the_same_place_are_fine_and_who_is_down_does_not_count() {
        one_behind().apply(3, &[1]).finish().holds();
        one_behind().crash(3).finish().holds();
    }
}
