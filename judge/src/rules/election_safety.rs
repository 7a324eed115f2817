//! At most one leader a term.
//!
//! Source: Raft paper figure 3, Election Safety (thesis 3.4).
//! Verifies: over the whole run, a term has one election that succeeds; the same node may not win the same term again after a restart, for it would give
//! out the same `(index, term)` twice.
//! Does *not* verify: how it was elected (`vote-once`, `vote-durable`, `vote-quorum`); that two leaders of different terms never coexist (they may).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{NodeId, Term};

#[derive(Clone, Default)]
pub(crate) struct ElectionSafety {
    leaders: BTreeMap<Term, (NodeId, At)>,
}

impl Rule for ElectionSafety {
    fn name(&self) -> &'static str {
        "election-safety"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Fact { node, fact: Fact::BecameLeader { term, .. } } = *observed else { return Ok(()) };
        match self.leaders.insert(*term, (node, at)) {
            None => Ok(()),
            Some((first, when)) if first == node => {
                Err(format!("{node} became leader of term {term} at {when}, and became it again."))
            }
            Some((first, when)) => Err(format!("{first} became leader of term {term} at {when}, and so did {node} now.")),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::BecameLeader])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "election-safety";

    #[test]
    fn two_leaders_in_one_term_are_seen() {
        Story::of(RULE).leads(1, 3, &[]).leads(2, 3, &[]).breaks(RULE, "n1 became leader of term 3");
    }

    #[test]
    fn the_same_leader_twice_in_one_term_is_seen() {
        Story::of(RULE).leads(1, 3, &[]).crash(1).leads(1, 3, &[]).breaks(RULE, "became it again");
    }

    #[test]
    fn a_leader_a_term_is_fine_even_if_the_older_one_is_late() {
        Story::of(RULE).leads(1, 3, &[]).leads(2, 5, &[]).leads(3, 4, &[]).holds();
    }
}
