//! No node finds that its state is not that of another one.
//!
//! Source: thesis 2.1 (replicated state machines are deterministic); `protocol/src/replica/compare`, by which nodes compare their states without a judge.
//! Verifies: no node reports a divergence. Where states really differ, `equal-state-hash` has seen it before any node can; alone this rule objects to a
//! comparison that is mistaken, or to states whose facts the judge was not told (the record of a live cluster may have gaps).
//! Does *not* verify: that a divergence is reported (the zoo's stories show that); what the report says of entries and rows.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;

#[derive(Clone, Default)]
pub(crate) struct NoDivergence;

impl Rule for NoDivergence {
    fn name(&self) -> &'static str {
        "no-divergence"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match observed {
            Observed::Fact { node, fact: Fact::Diverged(said) } => Err(format!("{node} reports: {said}.")),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Diverged])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, divergence};
    use tertulia_protocol::facts::Fact;

    const RULE: &str = "no-divergence";

    #[test]
    fn a_report_of_a_node_is_seen() {
        let report = Fact::Diverged(divergence());
        Story::of(RULE).apply(1, &[1]).fact(1, report).breaks(RULE, "n1 reports: the state differs from that of n2");
    }

    #[test]
    fn nodes_that_report_nothing_are_fine() {
        Story::of(RULE).apply(1, &[1]).apply(2, &[1]).holds();
    }
}
