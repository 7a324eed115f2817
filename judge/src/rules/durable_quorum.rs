//! Committed means: on the disks of a majority.
//!
//! Source: thesis 3.5 and 3.6.2 (only entries of the leader's own term commit by counting), 10.2.1 (the leader's own disk counts like any other).
//! Verifies: at the moment when a leader commits by counting, it leads the term of the last entry that it commits, and a majority of the voters had
//! reported a log that holds that entry durable. A voter that is down counts with its disk.
//! Does *not* verify: changes of membership; disks that lie (`durable-survives`).

use super::{Rule, Verdict};
use crate::observed::{At, Observed};
use crate::view::View;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::NodeId;

#[derive(Default)]
pub(crate) struct DurableQuorum;

impl Rule for DurableQuorum {
    fn name(&self) -> &'static str {
        "durable-quorum"
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact: &Fact::Committed { through, as_leader: true } } = *observed else { return Ok(()) };
        match view.node(id).and_then(|node| node.leading) {
            None => return Err(format!("{id} commits {through:?} by counting, but leads no term.")),
            Some(term) if term != through.term => {
                return Err(format!(
                    "{id} leads term {term} and commits {through:?} by counting: only its own term's entries may be."
                ));
            }
            Some(_) => {}
        }
        let holds = |voter: &NodeId| {
            view.node(*voter).is_some_and(|node| node.durable >= through.index && node.log.holds(through) != Some(false))
        };
        let holders: Vec<NodeId> = view.voters.iter().copied().filter(holds).collect();
        if holders.len() >= view.majority() {
            return Ok(());
        }
        let (voters, majority) = (view.voters.len(), view.majority());
        Err(format!("{id} commits {through:?}, which is durable on {holders:?} only; of {voters} voters it needs {majority}."))
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "durable-quorum";

    fn led() -> Story {
        Story::of(RULE).three_start().leads(1, 1, &[])
    }

    #[test]
    fn a_commit_that_is_durable_only_on_the_leader_is_seen() {
        led().append_durable(1, 0, &[1]).append(2, 0, &[1]).commit(1, &[1], true).breaks(RULE, "durable on [n1] only");
    }

    #[test]
    fn a_leader_that_counts_itself_before_its_disk_is_seen() {
        led().append(1, 0, &[1]).append_durable(2, 0, &[1]).commit(1, &[1], true).breaks(RULE, "durable on [n2] only");
    }

    #[test]
    fn a_long_log_of_another_branch_does_not_count() {
        let story = led().append_durable(1, 0, &[1]).append_durable(2, 0, &[3, 3, 3]);
        story.commit(1, &[1], true).breaks(RULE, "durable on [n1] only");
    }

    #[test]
    fn counting_an_older_terms_entry_is_seen() {
        let story = Story::of(RULE).three_start().append_durable(1, 0, &[1]).append_durable(2, 0, &[1]).leads(1, 2, &[1]);
        story.commit(1, &[1], true).breaks(RULE, "only its own term's");
    }

    #[test]
    fn counting_without_leading_is_seen() {
        let story = led().append_durable(1, 0, &[1]).append_durable(2, 0, &[1]).term(1, 2);
        story.commit(1, &[1], true).breaks(RULE, "leads no term");
    }

    #[test]
    fn a_wiped_disk_does_not_count() {
        let story = led().append_durable(1, 0, &[1]).append_durable(2, 0, &[1]).crash(2).wipe(2);
        story.commit(1, &[1], true).breaks(RULE, "durable on [n1] only");
    }

    #[test]
    fn a_majority_of_disks_is_enough_even_of_nodes_that_are_down() {
        let story = led().append_durable(1, 0, &[1]).append_durable(2, 0, &[1]).crash(2);
        story.commit(1, &[1], true).holds();
        // The leader itself need not be among them.
        led().append(1, 0, &[1]).append_durable(2, 0, &[1]).append_durable(3, 0, &[1]).commit(1, &[1], true).holds();
    }
}
