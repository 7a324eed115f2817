//! Committed means: on the disks of a majority.
//!
//! Source: thesis 3.5 and 3.6.2 (only entries of the leader's own term commit by counting), 10.2.1 (the leader's own disk counts like any other), 4.1 and 4.3
//! (the newest configuration in the leader's log counts, and while voters change both sets have to agree).
//! Verifies: at the moment when a leader commits by counting, it leads the term of the last entry that it commits, and a majority of each set of voters had
//! reported a log that holds that entry durable. A voter that is down counts with its disk. One whose disk was taken or spoiled counts with what it had reported
//! before, for the leader may have heard that and not of the loss; what it holds while its log is not whole again counts for nothing.
//! Does *not* verify: disks that lie (`durable-survives`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct DurableQuorum;

impl Rule for DurableQuorum {
    fn name(&self) -> &'static str {
        "durable-quorum"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
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
        view.deciding(id)
            .agree(|voter| view.node(voter).is_some_and(|node| node.vouches_for(through)))
            .map_err(|missing| format!("{id} commits {through:?}, which is durable on {missing}."))
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Committed])
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
    fn a_lost_disk_counts_with_what_it_had_reported_and_with_nothing_else() {
        let lost = |story: Story| story.crash(2).wipe(2).commit(1, &[1], true);
        lost(led().append_durable(1, 0, &[1]).append_durable(2, 0, &[1])).holds();
        lost(led().append_durable(1, 0, &[1]).append(2, 0, &[1])).breaks(RULE, "durable on [n1] only");
    }

    #[test]
    fn what_a_node_holds_while_its_log_is_repaired_does_not_count() {
        let repairing = || led().append_durable(1, 0, &[1, 1]).append_durable(2, 0, &[1]).crash(2).damage(2).repairing(2, &[]);
        // The leader may not have heard of the loss.
        repairing().commit(1, &[1], true).holds();
        repairing().append_durable(2, 0, &[1, 1]).commit(1, &[1, 1], true).breaks(RULE, "durable on [n1] only");
        repairing().append_durable(2, 0, &[1, 1]).repaired(2).commit(1, &[1, 1], true).holds();
    }

    #[test]
    fn while_voters_change_a_majority_of_one_set_is_not_enough() {
        let joint = || led().append_durable(1, 0, &[1]).configured(1, &[1], &[1, 4, 5], &[1, 2, 3]);
        joint().append_durable(2, 0, &[1]).commit(1, &[1], true).breaks(RULE, "of the voters [n1, n4, n5] it needs 2");
        joint().append_durable(4, 0, &[1]).commit(1, &[1], true).breaks(RULE, "of the voters [n1, n2, n3] it needs 2");
        joint().append_durable(2, 0, &[1]).append_durable(5, 0, &[1]).commit(1, &[1], true).holds();
    }

    #[test]
    fn after_a_change_the_old_voters_do_not_count() {
        let changed = || led().append_durable(1, 0, &[1]).configured(1, &[1], &[1, 4, 5], &[]);
        changed().append_durable(2, 0, &[1]).append_durable(3, 0, &[1]).commit(1, &[1], true).breaks(RULE, "[n1] only");
        changed().append_durable(4, 0, &[1]).commit(1, &[1], true).holds();
    }

    #[test]
    fn a_majority_of_disks_is_enough_even_of_nodes_that_are_down() {
        let story = led().append_durable(1, 0, &[1]).append_durable(2, 0, &[1]).crash(2);
        story.commit(1, &[1], true).holds();
        // The leader itself need not be among them.
        led().append(1, 0, &[1]).append_durable(2, 0, &[1]).append_durable(3, 0, &[1]).commit(1, &[1], true).holds();
    }
}
