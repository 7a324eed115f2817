//! Members change one step at a time.
//!
//! Source: thesis 4.1 and 4.3 (a change begins, and a joint configuration is left, once the configuration before it is committed); Ongaro 2015, raft-dev, "bug in
//! single-server membership changes" (and once the leader has committed an entry of its own term).
//! Verifies: when a leader appends a configuration to a log that names members already, it knows the configuration before to be committed, and has committed an
//! entry of its term by counting; and voters change only by a joint configuration whose outgoing voters are those before, and which is left for its new ones.
//! Does *not* verify: who the learners are; configurations that followers take.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct ConfigurationSteps;

impl Rule for ConfigurationSteps {
    fn name(&self) -> &'static str {
        "configuration-steps"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Configured])
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact: Fact::Configured { at, voters, outgoing, .. } } = *observed else { return Ok(()) };
        let Some(node) = view.node(id) else { return Ok(()) };
        let Some(term) = node.leading.filter(|_| node.log.end() == at.index) else { return Ok(()) };
        let Some((before, deciding)) = view.configured_below(node, at.index) else { return Ok(()) };
        if before.index > node.commit {
            return Err(format!(
                "{id} leads term {term} and appends the members {at:?}, but knows only all through {} to be committed, and not those before, {before:?}.",
                node.commit
            ));
        }
        if view.counted_in(term).is_none() {
            return Err(format!("{id} appends the members {at:?} before it has committed anything of its term {term}."));
        }
        if !deciding.may_precede(voters, outgoing) {
            return Err(format!(
                "{id} appends the voters {voters:?} (outgoing {outgoing:?}), which is no step from those before, at {before:?}."
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "configuration-steps";

    /// n1 leads term 1, and its first entry names the members.
    fn first() -> Story {
        Story::of(RULE).three_start().elect(1, 2, 1, &[]).append(1, 0, &[1]).configured(1, &[1], &[1, 2, 3], &[])
    }

    #[test]
    fn a_change_upon_one_that_is_not_committed_is_seen() {
        first().append(1, 1, &[1, 1]).configured(1, &[1, 1], &[1, 2, 3, 4], &[1, 2, 3]).breaks(RULE, "not those before");
    }

    #[test]
    fn a_change_before_the_term_has_committed_anything_is_seen() {
        let old = first().commit(1, &[1], true).elect(1, 2, 2, &[1]);
        old.append(1, 1, &[1, 2]).configured(1, &[1, 2], &[1, 2, 3, 4], &[1, 2, 3]).breaks(RULE, "anything of its term 2");
    }

    #[test]
    fn voters_that_change_at_once_are_seen() {
        let next = || first().commit(1, &[1], true).append(1, 1, &[1, 1]);
        next().configured(1, &[1, 1], &[1, 2, 3, 4], &[]).breaks(RULE, "no step");
        next().configured(1, &[1, 1], &[1, 2, 3, 4], &[1, 2]).breaks(RULE, "no step");
        next().configured(1, &[1, 1], &[1, 2, 3], &[]).holds();
    }

    #[test]
    fn one_step_after_the_other_is_right() {
        let joint = first().commit(1, &[1], true).append(1, 1, &[1, 1]).configured(1, &[1, 1], &[1, 2, 3, 4], &[1, 2, 3]);
        let left = joint.commit(1, &[1, 1], true).append(1, 2, &[1, 1, 1]).configured(1, &[1, 1, 1], &[1, 2, 3, 4], &[]);
        left.holds();
    }
}
