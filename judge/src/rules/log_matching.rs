//! If two logs have an entry with the same index and term, they are equal up to there.
//!
//! Source: Raft paper figure 3, Log Matching (thesis 3.5).
//! Verifies: every place that any node ever speaks of (appended, durable, acknowledged, committed, applied, found at a start, the end of a new leader's
//! log) has the one chain of its `(index, term)`, on all nodes, for the whole run, rewritten ones included; along a log, terms do not go down.
//! Does *not* verify: that the chain is computed over the right bytes (the protocol's own tests do).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct LogMatching {
    chains: Table<(Index, Term), (u64, NodeId)>,
}

/// The place that a fact speaks of.
fn place(fact: &Fact) -> Option<Position> {
    match *fact {
        Fact::Started { durable: place, .. }
        | Fact::BecameLeader { last: place, .. }
        | Fact::Appended { at: place }
        | Fact::Durable { through: place }
        | Fact::Acknowledged { through: place, .. }
        | Fact::Committed { through: place, .. }
        | Fact::Applied { at: place, .. }
        | Fact::SnapshotReceived { at: place }
        | Fact::SnapshotInstalled { at: place, .. } => Some(place),
        _ => None,
    }
}

impl Rule for LogMatching {
    fn name(&self) -> &'static str {
        "log-matching"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node, fact } = *observed else { return Ok(()) };
        let Some(place) = place(fact).filter(|place| place.index > 0) else { return Ok(()) };
        let (chain, first) = *self.chains.or_insert((place.index, place.term), (place.chain, node));
        if chain != place.chain {
            return Err(format!(
                "The logs of {first} and {node} both have an entry {} of term {}, \
                 and differ up to there (chains {chain:016x} and {:016x}).",
                place.index, place.term, place.chain
            ));
        }
        let Fact::Appended { at } = *fact else { return Ok(()) };
        match view.node(node).and_then(|node| node.log.at(at.index - 1)) {
            Some(before) if before.term > at.term => Err(format!("{node} appends {at:?} behind {before:?}, of a later term.")),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Started,
            Topic::BecameLeader,
            Topic::Appended,
            Topic::Durable,
            Topic::Acknowledged,
            Topic::Committed,
            Topic::Applied,
            Topic::SnapshotReceived,
            Topic::SnapshotInstalled,
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log};
    use tertulia_protocol::contract::Position;
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "log-matching";

    #[test]
    fn two_logs_that_agree_at_a_place_and_not_below_are_seen() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 2, 3]).append(2, 0, &[2, 2, 3]);
        story.breaks(RULE, "n1 and n2 both have an entry 2 of term 2");
    }

    #[test]
    fn any_word_about_a_place_counts() {
        let through = Position { chain: 77, ..log(&[1, 1]) };
        let story = || Story::of(RULE).three_start().append(1, 0, &[1, 1]);
        story().fact(2, Fact::Durable { through }).breaks(RULE, "entry 2 of term 1");
        story().fact(2, Fact::Committed { through, as_leader: false }).breaks(RULE, "entry 2 of term 1");
    }

    #[test]
    fn a_term_that_goes_down_along_the_log_is_seen() {
        Story::of(RULE).three_start().append(1, 0, &[2, 1]).breaks(RULE, "of a later term");
    }

    #[test]
    fn logs_of_different_terms_may_differ() {
        Story::of(RULE).three_start().append(1, 0, &[1, 1, 1]).append(2, 0, &[1, 1, 2]).append(1, 2, &[1, 1, 2]).holds();
    }
}
