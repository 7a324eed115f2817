//! A node whose log has lost something says so, and has no say until it is whole again.
//!
//! Source: Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018): a node that has lost what it acknowledged, and votes or
//! acknowledges as if it had not, loses committed entries; DESIGN 3, "Torn or rotten".
//! Verifies: a node that starts with less than it had reported durable, after the harness spoiled its disk, says at once that it repairs its log; until it has
//! said that this is done, it sends no vote, stands for no election, leads nothing and sends no acknowledgement that counts.
//! Does *not* verify: that nobody counts it (`durable-quorum`, `vote-quorum`); that what the repair takes for whole is (`leader-completeness` sees what
//! follows); pre-votes.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::Topics;
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId};

#[derive(Clone, Default)]
pub(crate) struct RepairSilent {
    /// Has just started with less than it had reported: what it found, and through where it had reported.
    short: BTreeMap<NodeId, (Position, Index)>,
}

impl Rule for RepairSilent {
    fn name(&self) -> &'static str {
        "repair-silent"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node: id, fact } = *observed else { return Ok(()) };
        if let Fact::Started { durable, .. } = fact {
            self.short.remove(&id);
            if let Some(node) = view.node(id).filter(|node| node.damaged && durable.index < node.durable) {
                self.short.insert(id, (*durable, node.durable));
            }
            return Ok(());
        }
        // This rule hears every fact: most of a run nobody is short of anything.
        let short = if self.short.is_empty() { None } else { self.short.remove(&id) };
        match short {
            Some((found, reported)) if *fact != Fact::Repairing => {
                return Err(format!(
                    "{id} had reported its log durable through {reported}, starts with one that ends at {found:?}, and does not say that it is damaged."
                ));
            }
            _ => {}
        }
        let says_something = matches!(
            fact,
            Fact::Voted { .. } | Fact::BecameCandidate { .. } | Fact::BecameLeader { .. } | Fact::Acknowledged { .. }
        );
        if !says_something || !view.node(id).is_some_and(|node| node.repairing) {
            return Ok(());
        }
        let says = match fact {
            Fact::Voted { term, candidate } => format!("votes for {candidate} in term {term}"),
            Fact::BecameCandidate { term } | Fact::BecameLeader { term, .. } => format!("stands or leads in term {term}"),
            Fact::Acknowledged { term, through } => format!("acknowledges {through:?} to the leader of term {term}"),
            _ => return Ok(()),
        };
        Err(format!("{id} {says}, but its log has lost something and is not whole again."))
    }

    fn hears(&self) -> Topics {
        Topics::FACTS
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log, started_with};
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "repair-silent";

    fn damaged() -> Story {
        Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]).crash(1).damage(1)
    }

    #[test]
    fn a_loss_that_is_not_told_is_seen() {
        damaged().fact(1, started_with(log(&[1]), 0)).term(1, 2).breaks(RULE, "does not say that it is damaged");
    }

    #[test]
    fn a_vote_before_the_repair_is_done_is_seen() {
        damaged().repairing(1, &[1]).vote(1, 2, 3).breaks(RULE, "n1 votes for n3 in term 2");
        damaged().repairing(1, &[1]).fact(1, Fact::BecameCandidate { term: 2 }).breaks(RULE, "stands or leads");
    }

    #[test]
    fn an_acknowledgement_before_the_repair_is_done_is_seen_and_a_restart_does_not_repair() {
        let acknowledged = Fact::Acknowledged { term: 2, through: log(&[1, 1]) };
        let story = damaged().repairing(1, &[1]).append_durable(1, 1, &[1, 1]);
        story.crash(1).repairing(1, &[1, 1]).fact(1, acknowledged).breaks(RULE, "acknowledges Position");
    }

    #[test]
    fn a_repaired_log_has_its_say_again_and_so_has_one_that_lost_nothing() {
        let story = damaged().repairing(1, &[1]).append_durable(1, 1, &[1, 1]).repaired(1).vote(1, 2, 3);
        story.fact(1, Fact::Acknowledged { term: 2, through: log(&[1, 1]) }).holds();
        damaged().fact(1, started_with(log(&[1, 1]), 0)).vote(1, 2, 3).holds();
    }
}
