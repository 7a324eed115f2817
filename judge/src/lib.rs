#![forbid(unsafe_code)]
//! What must hold. Facts of nodes and histories of clients go in, in the order in which they happened; the first thing that may not be comes out.
//!
//! No clock, no I/O, no threads: the same judge sits beside a simulated cluster and a live one. Checks are incremental, at most O(log n) a fact
//! (a restart costs what its disk had differently from memory), because every [`Position`](tertulia_protocol::contract::Position) carries a hash
//! over all that lies before it: two logs that agree at a place agree below it.
//!
//! - [`observed`]: what goes in. What the order of observations must keep stands there.
//! - [`record`]: observations as lines of a file, to be judged later.
//! - `view`, `log`: what the judge believes of each node: its log in memory, how much of it is durable, what it committed and applied.
//! - `rules`: one file a rule; each says where the rule comes from, what it verifies and what it does *not*.
//!
//! ```
//! use tertulia_judge::{At, Cluster, Judge, Observed};
//! use tertulia_protocol::{facts::Fact, ids::NodeId};
//!
//! let mut judge = Judge::new(Cluster { voters: vec![NodeId(1), NodeId(2), NodeId(3)] });
//! let fact = Fact::Voted { term: 1, candidate: NodeId(2) };
//! let violation = judge.observe(At(10), Observed::Fact { node: NodeId(1), fact: &fact }).unwrap_err();
//! assert_eq!(violation.rule, "vote-durable");
//! ```

mod log;
pub mod observed;
pub mod record;
mod rules;
#[cfg(test)]
mod story;
mod table;
mod tail;
mod topics;
mod view;

pub use observed::{
    At, ClientFact, Extent, Observed, ReadPost, SESSIONS, Shown, Violation, Wish, digest_of, revision, text_digest,
};
pub use rules::{Kind, RULES, about};
pub use tail::{TailLine, tail_changes};

use rules::Rule;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::NodeId;
use topics::Topic;
use view::View;

/// Who is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cluster {
    /// Whose majority decides until a log says something else (`Fact::Configured`).
    pub voters: Vec<NodeId>,
}

/// How much of each thing a run had. A run without elections or acknowledgements proves little.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Facts of nodes.
    pub facts: u64,
    /// What clients said.
    pub client_facts: u64,
    /// Starts of nodes, the first ones too.
    pub starts: u64,
    pub crashes: u64,
    pub wipes: u64,
    /// Logs that the harness let rot.
    pub damages: u64,
    /// Leaders elected.
    pub elections: u64,
    /// Log places known to be committed: the greatest index.
    pub committed: u64,
    /// Log places applied, summed over all nodes.
    pub applied: u64,
    pub submitted: u64,
    pub acknowledged: u64,
    pub refused: u64,
    pub delivered: u64,
    pub reads: u64,
}

/// Sees everything, in order, and objects to the first thing that may not be.
///
/// - *Observe* each fact, crash and client's word with [`Judge::observe`].
/// - *End* with [`Judge::finish`] (or [`Judge::finish_among`]) after the faults have stopped and the cluster has settled.
/// - *Ask* [`Judge::counts`] whether the run meant anything.
#[derive(Clone)]
pub struct Judge {
    view: View,
    rules: Vec<Box<dyn Rule>>,
    /// By topic, which rules hear of it, in their order.
    hearing: Vec<Vec<u8>>,
    counts: Counts,
}

impl Judge {
    /// A judge with all rules, who must see the run from its beginning.
    pub fn new(cluster: Cluster) -> Judge {
        Judge::with(cluster, rules::all())
    }

    /// A judge for a history: what clients did and saw, and nothing from inside the nodes. It has the rules that need no more.
    pub fn for_clients() -> Judge {
        let rules = rules::all().into_iter().filter(|rule| rule.kind() != Kind::Internal).collect();
        Judge::with(Cluster { voters: Vec::new() }, rules)
    }

    /// By whose word the rule of this name judges; `None`: there is no such rule.
    pub fn kind_of(rule: &str) -> Option<Kind> {
        rules::all().iter().find(|each| each.name() == rule).map(|rule| rule.kind())
    }

    fn with(cluster: Cluster, rules: Vec<Box<dyn Rule>>) -> Judge {
        let hear = |topic: &Topic| {
            let hears = rules.iter().enumerate().filter(|(_, rule)| rule.hears().holds(*topic));
            hears.map(|(nth, _)| nth as u8).collect()
        };
        let hearing = Topic::ALL.iter().map(hear).collect();
        Judge { view: View::new(cluster.voters), rules, hearing, counts: Counts::default() }
    }

    /// Takes one observation.
    ///
    /// # Errors
    /// The violation of the most fundamental rule that it breaks (the order of [`RULES`]). The judge stays usable, but later violations may only
    /// follow from this one.
    pub fn observe(&mut self, at: At, observed: Observed<'_>) -> Result<(), Violation> {
        self.count(&observed);
        let mut first = None;
        for nth in &self.hearing[Topic::of(&observed) as usize] {
            let rule = &mut self.rules[usize::from(*nth)];
            let verdict = rule.observe(&self.view, at, &observed);
            if let (Err(evidence), None) = (verdict, &first) {
                first = Some(Violation { rule: rule.name(), at, evidence });
            }
        }
        self.view.observe(&observed);
        self.counts.committed = self.view.committed();
        first.map_or(Ok(()), Err)
    }

    /// Applies the rules of the end to all nodes that are up.
    ///
    /// # Errors
    /// As [`Judge::observe`].
    pub fn finish(&mut self, at: At) -> Result<(), Violation> {
        let up: Vec<NodeId> = self.view.up().collect();
        self.finish_among(at, &up)
    }

    /// Applies the rules of the end to a healthy core: for runs in which a fault stays for good outside it.
    ///
    /// # Errors
    /// As [`Judge::observe`].
    pub fn finish_among(&mut self, at: At, core: &[NodeId]) -> Result<(), Violation> {
        for rule in &mut self.rules {
            rule.finish(&self.view, core).map_err(|evidence| Violation { rule: rule.name(), at, evidence })?;
        }
        Ok(())
    }

    /// What was seen so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn count(&mut self, observed: &Observed<'_>) {
        let counts = &mut self.counts;
        match observed {
            Observed::Fact { fact, .. } => {
                counts.facts += 1;
                match fact {
                    Fact::Started { .. } => counts.starts += 1,
                    Fact::BecameLeader { .. } => counts.elections += 1,
                    Fact::Applied { .. } => counts.applied += 1,
                    _ => {}
                }
            }
            Observed::Crashed { .. } => counts.crashes += 1,
            Observed::Wiped { .. } => counts.wipes += 1,
            Observed::Damaged { .. } => counts.damages += 1,
            Observed::Client(fact) => {
                counts.client_facts += 1;
                match fact {
                    ClientFact::Submitted { .. } => counts.submitted += 1,
                    ClientFact::Acknowledged { .. } => counts.acknowledged += 1,
                    ClientFact::RefusedFinally { .. } => counts.refused += 1,
                    ClientFact::Delivered { .. } => counts.delivered += 1,
                    ClientFact::Read { .. } => counts.reads += 1,
                    _ => {}
                }
            }
        }
    }
}
