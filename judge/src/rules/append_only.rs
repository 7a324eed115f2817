//! A leader only appends, and nobody rewrites what it knows to be committed.
//!
//! Source: Raft paper figure 3, Leader Append-Only (thesis 3.5); the second half follows from Leader Completeness and shows its breach where it happens.
//! Verifies: while a node leads, each entry that it appends stands right behind its last one; no node replaces an entry at or below
//! its own commit index; no node leaves a hole.
//! Does *not* verify: what others committed and this node does not know to be (`state-machine-safety`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct AppendOnly;

impl Rule for AppendOnly {
    fn name(&self) -> &'static str {
        "append-only"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact: Fact::Appended { at } } = *observed else { return Ok(()) };
        let Some(node) = view.node(id) else { return Ok(()) };
        if at.index > node.log.end() + 1 {
            return Err(format!("{id} appends {at:?} to a log that ends at {}: that leaves a hole.", node.log.end()));
        }
        if at.index <= node.commit {
            return Err(format!(
                "{id} replaces entry {} by {at:?}, but knows all through {} to be committed.",
                at.index, node.commit
            ));
        }
        match node.leading {
            Some(term) if at.index <= node.log.end() => {
                Err(format!("{id} leads term {term} and replaces entry {} of its own log by {at:?}.", at.index))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Appended])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log};
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "append-only";

    #[test]
    fn a_leader_that_rewrites_its_log_is_seen() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 1]).leads(1, 2, &[1, 1]);
        story.append(1, 1, &[1, 2]).breaks(RULE, "leads term 2");
    }

    #[test]
    fn rewriting_what_is_committed_is_seen() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 1]).commit(1, &[1, 1], false);
        story.append(1, 1, &[1, 2]).breaks(RULE, "through 2 to be committed");
    }

    #[test]
    fn a_hole_is_seen() {
        Story::of(RULE).three_start().fact(1, Fact::Appended { at: log(&[1, 1]) }).breaks(RULE, "hole");
    }

    #[test]
    fn a_follower_may_rewrite_what_is_not_committed_and_so_may_a_leader_that_stepped_down() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 1]).commit(1, &[1], false).append(1, 1, &[1, 2]);
        let story = story.leads(1, 3, &[1, 2]).append(1, 2, &[1, 2, 3]).fact(1, Fact::SteppedDown { term: 3 });
        story.append(1, 1, &[1, 4]).holds();
    }
}
