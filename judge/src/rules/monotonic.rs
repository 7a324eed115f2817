//! What never goes back on a node: term, vote, commit index, applied index.
//!
//! Source: Raft paper figure 2 ("increases monotonically"), thesis 3.4, 3.5, 3.8.
//! Verifies: the term in memory only goes up, and a node leads or stands in no term older than it; durable terms never go down, and within a term a
//! durable vote is neither forgotten nor changed; a start finds at least the last durable term and vote; the commit index never goes
//! back between two starts; applying is dense, but for snapshots, which only lead ahead; and a start does not find more applied than was, or was received.
//! Does *not* verify: what is voted for or committed; terms of messages.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, Observed};
use crate::topics::{Topic, Topics};
use crate::view::{NodeView, View};
use std::collections::BTreeMap;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};

#[derive(Clone, Default)]
struct Past {
    term: Term,
    /// Term and vote on disk, as it last reported them.
    durable: (Term, Option<NodeId>),
}

#[derive(Clone, Default)]
pub(crate) struct Monotonic {
    nodes: BTreeMap<NodeId, Past>,
}

impl Rule for Monotonic {
    fn name(&self) -> &'static str {
        "monotonic"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Wiped { node } => {
                self.nodes.remove(&node);
                Ok(())
            }
            Observed::Fact { node, fact } => {
                let past = self.nodes.entry(node).or_default();
                let verdict = terms(past, fact).and_then(|()| view.node(node).map_or(Ok(()), |known| indexes(known, fact)));
                verdict.map_err(|evidence| format!("{node} {evidence}"))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Wiped,
            Topic::Started,
            Topic::TermBegan,
            Topic::VoteDurable,
            Topic::BecameLeader,
            Topic::BecameCandidate,
            Topic::Committed,
            Topic::Applied,
            Topic::SnapshotInstalled,
        ])
    }
}

fn terms(past: &mut Past, fact: &Fact) -> Verdict {
    let (durable, voted) = past.durable;
    match *fact {
        Fact::Started { term, voted_for, .. } => {
            if term < durable {
                return Err(format!("starts in term {term}, but had made term {durable} durable."));
            }
            if term == durable && voted.is_some() && voted_for != voted {
                return Err(format!(
                    "starts in term {term} with a vote for {voted_for:?}, but had made one for {voted:?} durable."
                ));
            }
            *past = Past { term, durable: (term, voted_for) };
        }
        Fact::TermBegan { term } => {
            if term <= past.term {
                return Err(format!("was in term {} and says that term {term} begins.", past.term));
            }
            past.term = term;
        }
        Fact::VoteDurable { term, voted_for } => {
            if term < durable || (term == durable && voted.is_some() && voted_for != voted) {
                return Err(format!(
                    "had term {durable} with a vote for {voted:?} on disk and replaced it by term {term} with a vote for \
                     {voted_for:?}."
                ));
            }
            past.durable = (term, voted_for);
        }
        Fact::BecameLeader { term, .. } | Fact::BecameCandidate { term } if term < past.term => {
            return Err(format!("stands or leads in term {term}, but is in term {} already.", past.term));
        }
        _ => {}
    }
    Ok(())
}

fn indexes(node: &NodeView, fact: &Fact) -> Verdict {
    match *fact {
        Fact::Started { applied, .. } => {
            let known = node.receiving.map_or(0, |received| received.index).max(node.applied);
            not_below("applied", known, applied, "starts with rows newer than what it ever applied")
        }
        Fact::Committed { through, .. } => not_below("committed", through.index, node.commit, "takes its commit index back"),
        Fact::Applied { at, .. } if at.index != node.applied + 1 => {
            Err(format!("applies {} after {}: not the next one.", at.index, node.applied))
        }
        Fact::SnapshotInstalled { at, .. } => not_below("applied", at.index, node.applied, "jumps back to a snapshot"),
        _ => Ok(()),
    }
}

fn not_below(what: &str, greater: Index, smaller: Index, evidence: &str) -> Verdict {
    if greater >= smaller { Ok(()) } else { Err(format!("{evidence} ({what} {greater}, {smaller}).")) }
}

#[cfg(test)]
mod tests {
    use crate::story::{Story, log, started_with};
    use tertulia_protocol::facts::Fact;
    use tertulia_protocol::ids::{Boot, NodeId, Term};

    const RULE: &str = "monotonic";

    fn started(term: Term, vote: Option<u64>) -> Fact {
        Fact::Started { boot: Boot(2), term, voted_for: vote.map(NodeId), durable: log(&[]), applied: 0 }
    }

    #[test]
    fn a_term_that_goes_back_is_seen() {
        Story::of(RULE).three_start().term(1, 4).term(1, 3).breaks(RULE, "term 3 begins");
    }

    #[test]
    fn leading_in_a_term_that_is_over_is_seen() {
        Story::of(RULE).three_start().term(1, 2).term(1, 3).leads(1, 2, &[]).breaks(RULE, "in term 3 already");
    }

    #[test]
    fn a_start_that_forgot_its_term_or_vote_is_seen() {
        let voted = || Story::of(RULE).three_start().term(1, 4).vote(1, 4, 2).crash(1);
        voted().fact(1, started(3, None)).breaks(RULE, "made term 4 durable");
        voted().fact(1, started(4, None)).breaks(RULE, "had made one for Some(n2) durable");
        voted().fact(1, started(4, Some(2))).holds();
        voted().fact(1, started(5, None)).holds();
        voted().wipe(1).fact(1, started(0, None)).holds();
    }

    #[test]
    fn a_durable_vote_that_changes_within_its_term_is_seen() {
        Story::of(RULE).three_start().vote(1, 4, 2).vote(1, 4, 3).breaks(RULE, "replaced it");
    }

    #[test]
    fn a_commit_index_that_goes_back_is_seen() {
        let story = Story::of(RULE).three_start().append(1, 0, &[1, 1]).commit(1, &[1, 1], false);
        story.commit(1, &[1], false).breaks(RULE, "commit index back");
    }

    #[test]
    fn applying_with_a_gap_or_twice_is_seen() {
        let story = || Story::of(RULE).three_start().append(1, 0, &[1, 1]).apply(1, &[1]);
        story().append(1, 2, &[1, 1, 1]).apply(1, &[1, 1, 1]).breaks(RULE, "applies 3 after 1");
        story().apply(1, &[1]).breaks(RULE, "applies 1 after 1");
    }

    #[test]
    fn a_snapshot_leads_ahead_and_applying_goes_on_behind_it() {
        let story = || Story::of(RULE).three_start().append(1, 0, &[1; 5]).append(2, 0, &[1]).apply(2, &[1]);
        story().installed(2, &[1; 4]).append(2, 4, &[1; 5]).apply(2, &[1; 5]).holds();
        story().installed(2, &[1; 4]).apply(2, &[1, 1]).breaks(RULE, "applies 2 after 4");
        story().apply(2, &[1, 1]).installed(2, &[1]).breaks(RULE, "jumps back");
    }

    #[test]
    fn a_start_may_find_a_snapshot_that_was_about_to_be_installed_and_no_other() {
        let story = || Story::of(RULE).three_start().append(1, 0, &[1; 5]).append(2, 0, &[1]).apply(2, &[1]);
        story().received(2, &[1; 4]).crash(2).fact(2, started_with(log(&[1; 4]), 4)).holds();
        story().received(2, &[1; 4]).crash(2).fact(2, started_with(log(&[1]), 1)).holds();
        let story = story().received(2, &[1; 4]).crash(2).fact(2, started_with(log(&[1; 5]), 5));
        story.breaks(RULE, "newer than what it ever applied");
    }

    #[test]
    fn rows_from_nowhere_are_seen_and_older_rows_are_applied_again() {
        let story = || Story::of(RULE).three_start().append_durable(1, 0, &[1, 1]).apply(1, &[1]).crash(1);
        story().fact(1, started_with(log(&[1, 1]), 2)).breaks(RULE, "newer than what it ever applied");
        story().fact(1, started_with(log(&[1, 1]), 0)).apply(1, &[1]).apply(1, &[1, 1]).holds();
    }
}
