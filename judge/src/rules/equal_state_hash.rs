//! The same log gives the same state.
//!
//! Source: thesis 2.1 (replicated state machines are deterministic); DESIGN 3, "state hash".
//! Verifies: the state after an index has one hash, on all nodes, after every restart and by whatever way it came there, for the whole run.
//! Does *not* verify: that the hash covers what it should; the rows found at a start before anything is applied on top of them.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::contract::StateHash;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId};

#[derive(Clone, Default)]
pub(crate) struct EqualStateHash {
    hashes: Table<Index, (StateHash, NodeId)>,
}

impl Rule for EqualStateHash {
    fn name(&self) -> &'static str {
        "equal-state-hash"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node, fact: &(Fact::Applied { at, hash } | Fact::SnapshotInstalled { at, hash }) } = *observed
        else {
            return Ok(());
        };
        let (first, who) = *self.hashes.or_insert(at.index, (hash, node));
        if first == hash {
            return Ok(());
        }
        let (index, first, hash) = (at.index, first.0, hash.0);
        Err(format!("After entry {index} the state of {node} hashes to {hash:016x}, that of {who} did to {first:016x}."))
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Applied, Topic::SnapshotInstalled])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log};
    use tertulia_protocol::contract::StateHash;
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "equal-state-hash";

    #[test]
    fn two_states_after_one_index_are_seen() {
        let applied = |hash| Fact::Applied { at: log(&[1]), hash: StateHash(hash) };
        Story::of(RULE).fact(1, applied(5)).fact(2, applied(6)).breaks(RULE, "After entry 1");
        Story::of(RULE).fact(1, applied(5)).crash(1).fact(1, applied(6)).breaks(RULE, "that of n1");
    }

    #[test]
    fn a_snapshot_of_another_state_is_seen() {
        let installed = |hash| Fact::SnapshotInstalled { at: log(&[1]), hash: StateHash(hash) };
        Story::of(RULE).apply(1, &[1]).fact(2, installed(log(&[1]).chain)).holds();
        Story::of(RULE).apply(1, &[1]).fact(2, installed(5)).breaks(RULE, "After entry 1");
    }

    #[test]
    fn the_same_state_on_all_is_fine() {
        Story::of(RULE).apply(1, &[1]).apply(2, &[1]).apply(1, &[1, 1]).apply(2, &[1, 1]).holds();
    }
}
