//! No two nodes ever have different entries at an index that is committed.
//!
//! Source: Raft paper figure 3, State Machine Safety (thesis 3.6.3).
//! Verifies: for every index, the entry that any node knew to be committed or applied is one, for the whole run; a node commits only
//! what its log holds, a follower only what a leader had counted, and applies only what it knows to be committed; a snapshot is of a committed place.
//! Does *not* verify: what applying did (`equal-state-hash`); how the leader counted (`durable-quorum`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::{NodeView, View};
use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId};

#[derive(Clone, Default)]
pub(crate) struct StateMachineSafety {
    places: Table<Index, (Position, NodeId)>,
}

impl StateMachineSafety {
    fn agree(&mut self, place: Position, node: NodeId, verb: &str) -> Verdict {
        let (first, who) = *self.places.or_insert(place.index, (place, node));
        if first == place {
            return Ok(());
        }
        Err(format!("{node} {verb} {place:?}, but {who} knew {first:?} to be committed there."))
    }

    fn committed(&mut self, view: &View, id: NodeId, node: &NodeView, through: Position, as_leader: bool) -> Verdict {
        if node.log.holds(through) == Some(false) {
            return Err(format!("{id} commits {through:?}, but its log has {:?} there.", node.log.at(through.index)));
        }
        if !as_leader && through.index > view.counted() {
            let counted = view.counted();
            return Err(format!("{id} takes {through:?} for committed, but leaders have committed only through {counted}."));
        }
        for index in node.commit + 1..through.index {
            if let Some(place) = node.log.at(index) {
                self.agree(place, id, "commits")?;
            }
        }
        if through.index == 0 { Ok(()) } else { self.agree(through, id, "commits") }
    }
}

impl Rule for StateMachineSafety {
    fn name(&self) -> &'static str {
        "state-machine-safety"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact } = *observed else { return Ok(()) };
        let unknown = NodeView::default();
        let node = view.node(id).unwrap_or(&unknown);
        match *fact {
            Fact::Committed { through, as_leader } => self.committed(view, id, node, through, as_leader),
            Fact::Applied { at, .. } if at.index > node.commit => {
                Err(format!("{id} applies {at:?}, but knows only through {} to be committed.", node.commit))
            }
            Fact::Applied { at, .. } => self.agree(at, id, "applies"),
            Fact::SnapshotReceived { at } if at.index > view.committed() => Err(format!(
                "{id} has a snapshot of {at:?}, but nobody knows more than through {} to be committed.",
                view.committed()
            )),
            Fact::SnapshotReceived { at } | Fact::SnapshotInstalled { at, .. } => self.agree(at, id, "has a snapshot of"),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Committed, Topic::Applied, Topic::SnapshotReceived, Topic::SnapshotInstalled])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log, started_with};

    const RULE: &str = "state-machine-safety";

    fn committed() -> Story {
        Story::of(RULE).three_start().leads(1, 1, &[]).append(1, 0, &[1, 1, 1]).commit(1, &[1, 1, 1], true)
    }

    #[test]
    fn two_entries_committed_at_one_index_are_seen_even_below_the_last() {
        let story = committed().append(2, 0, &[2, 2]);
        story.commit(2, &[2, 2], false).breaks(RULE, "n1 knew");
    }

    #[test]
    fn applying_another_entry_is_seen() {
        let story = committed().append(2, 0, &[1, 1]).commit(2, &[1, 1], false);
        story.apply(2, &[1]).apply(2, &[1, 2]).breaks(RULE, "n2 applies");
    }

    #[test]
    fn applying_before_the_commit_is_seen() {
        let story = committed().append(2, 0, &[1, 1]).commit(2, &[1], false).apply(2, &[1]);
        story.apply(2, &[1, 1]).breaks(RULE, "only through 1");
    }

    #[test]
    fn a_follower_that_commits_on_its_own_or_what_it_does_not_have_is_seen() {
        committed().append(2, 0, &[1; 4]).commit(2, &[1; 4], false).breaks(RULE, "only through 3");
        committed().append(2, 0, &[1]).commit(2, &[1, 1], false).breaks(RULE, "its log has None there");
    }

    #[test]
    fn a_snapshot_of_another_log_or_of_what_is_not_committed_is_seen() {
        committed().apply(1, &[1]).apply(1, &[1, 1]).installed(2, &[1, 1]).holds();
        committed().apply(1, &[1]).apply(1, &[1, 1]).installed(2, &[1, 2]).breaks(RULE, "n1 knew");
        committed().installed(2, &[1; 4]).breaks(RULE, "more than through 3");
    }

    #[test]
    fn a_restart_commits_and_applies_the_same_again() {
        let story = committed().append_durable(2, 0, &[1, 1, 1]).commit(2, &[1, 1], false).apply(2, &[1]).apply(2, &[1, 1]);
        let story = story.crash(2).fact(2, started_with(log(&[1, 1, 1]), 1)).commit(2, &[1, 1, 1], false);
        story.apply(2, &[1, 1]).apply(2, &[1, 1, 1]).holds();
    }
}
