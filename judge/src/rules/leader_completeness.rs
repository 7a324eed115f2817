//! What was committed in a term is in the logs of the leaders of all later terms.
//!
//! Source: Raft paper figure 3, Leader Completeness (thesis 3.6.3).
//! Verifies: a new leader's log holds the last place that leaders of earlier terms had committed by counting (and so, by the chain, all below);
//! and what a late leader of an older term still commits is in the logs of those who lead later terms by then.
//! Does *not* verify: later leaders that have gone already when an older term commits late (`state-machine-safety` sees a conflict); logs
//! whose lower part the judge has not seen.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct LeaderCompleteness;

impl Rule for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader-completeness"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact } = *observed else { return Ok(()) };
        match *fact {
            Fact::BecameLeader { term, last } => {
                let Some((earlier, place)) = view.counted_before(term) else { return Ok(()) };
                let held = match view.node(id) {
                    Some(node) => node.log.holds(place),
                    None => Some(false),
                };
                if held != Some(false) {
                    return Ok(());
                }
                Err(format!(
                    "{id} leads term {term} with a log that ends at {last:?} and does not hold {place:?}, \
                     which was committed in term {earlier}."
                ))
            }
            Fact::Committed { through, as_leader: true } => {
                let term = view.node(id).and_then(|node| node.leading).unwrap_or(through.term);
                for (other, node) in view.nodes() {
                    if node.leading.is_some_and(|later| later > term) && node.log.holds(through) == Some(false) {
                        return Err(format!(
                            "{id} commits {through:?} in term {term}, but {other}, who leads term {:?}, does not have it.",
                            node.leading.unwrap_or_default()
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::BecameLeader, Topic::Committed])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "leader-completeness";

    fn a_commit_in_term_2() -> Story {
        Story::of(RULE).three_start().leads(1, 2, &[]).append(1, 0, &[2, 2]).append(2, 0, &[2, 2]).commit(1, &[2, 2], true)
    }

    #[test]
    fn a_leader_that_lacks_what_was_committed_is_seen() {
        a_commit_in_term_2().append(3, 0, &[2]).leads(3, 3, &[2]).breaks(RULE, "which was committed in term 2");
    }

    #[test]
    fn a_leader_that_has_something_else_there_is_seen() {
        a_commit_in_term_2().append(3, 0, &[1, 1, 1]).leads(3, 3, &[1, 1, 1]).breaks(RULE, "does not hold");
    }

    #[test]
    fn a_late_commit_that_a_later_leader_lacks_is_seen() {
        let story = Story::of(RULE).three_start().leads(1, 2, &[]).append(1, 0, &[2, 2]).append(3, 0, &[2]).leads(3, 3, &[2]);
        story.commit(1, &[2, 2], true).breaks(RULE, "n3, who leads term 3");
    }

    #[test]
    fn a_late_leader_of_an_older_term_need_not_have_it() {
        a_commit_in_term_2().leads(3, 1, &[]).holds();
    }

    #[test]
    fn a_leader_with_all_of_it_and_more_is_fine() {
        a_commit_in_term_2().append(2, 2, &[2, 2, 2]).leads(2, 3, &[2, 2, 2]).holds();
    }
}
