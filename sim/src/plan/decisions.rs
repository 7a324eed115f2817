//! What the plan decided: each time that a fault fired, with everything that was drawn or resolved in it.
//!
//! A fault that is written down as it was decided (at this time, on these nodes, for so long) and is called `x#3` draws what is left to draw (how much of a
//! disk is torn, where it rots) as the third occurrence of `x` did: the same seed then gives the same run.

use super::effects::Occurrence;
use super::targets::{Pick, each};
use super::{ClusterView, Draw, FaultPlan, Nodes};
use crate::scenario::{Operation, Split, Target, Verb};

/// One time that a fault fired.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// Simulated microseconds.
    pub at: u64,
    /// Which fault of the scenario.
    pub fault: usize,
    /// Its how manieth time, counted from 0, for [`occurrence`].
    pub nth: u32,
    /// Until the workload's stop when not given. Microseconds.
    pub lasts: Option<u64>,
    /// What it did, and to which nodes.
    pub verb: Verb,
    /// Who led just then.
    pub leader: Option<usize>,
    /// Who was next in line, in order.
    pub line: Vec<usize>,
}

/// Takes an id apart: `x#3` is the third occurrence of `x`, anything else its own first one.
pub fn occurrence(id: &str) -> (&str, u32) {
    let parts = id.rsplit_once('#').and_then(|(name, nth)| Some((name, nth.parse().ok()?)));
    parts.unwrap_or((id, 0))
}

impl FaultPlan {
    /// Each time that a fault fired so far.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// Writes down that a fault has just fired.
    pub(super) fn decided(&mut self, what: Occurrence<'_>) {
        let Occurrence { now, fault, nth, lasts, view, .. } = what;
        let verb = self.faults[fault].verb.clone();
        let verb = self.concrete(fault, nth, &verb, view).unwrap_or(verb);
        let nth = occurrence(&self.faults[fault].id).1 + nth;
        let line = view.line.to_vec();
        self.decisions.push(Decision { at: now, fault, nth, lasts, verb, leader: view.leader, line });
    }

    /// A verb with the nodes that its targets resolved to.
    fn concrete(&self, fault: usize, nth: u32, verb: &Verb, view: ClusterView<'_>) -> Option<Verb> {
        let anybody = Pick { view, draw: self.draw(fault, Draw::Target, nth), up_only: false };
        let running = Pick { up_only: true, ..anybody };
        let all = (1 << self.hosts) - 1;
        let named = |pick: Pick<'_>, targets: &[Target]| pick.all(targets).map(|nodes| name(nodes, all));
        let one = |target: Target| running.one(target).map(Target::Node);
        Some(match verb {
            Verb::Crash { targets, disk, rot } => {
                Verb::Crash { targets: named(running, targets)?, disk: self.fate(fault, nth, *disk), rot: *rot }
            }
            Verb::Pause { targets } => Verb::Pause { targets: named(running, targets)? },
            Verb::Reset { on } => Verb::Reset { on: named(running, on)? },
            Verb::Stall { targets } => Verb::Stall { targets: named(running, targets)? },
            Verb::BreakDisk { targets, how, restart } => {
                Verb::BreakDisk { targets: named(running, targets)?, how: *how, restart: *restart }
            }
            Verb::Loss { ppm, on } => Verb::Loss { ppm: *ppm, on: named(anybody, on)? },
            Verb::Delay { by, on } => Verb::Delay { by: *by, on: named(anybody, on)? },
            Verb::Duplicate { ppm, on } => Verb::Duplicate { ppm: *ppm, on: named(anybody, on)? },
            Verb::SlowDisk { sync, on } => Verb::SlowDisk { sync: *sync, on: named(anybody, on)? },
            Verb::Partition(split) => Verb::Partition(anybody.concrete(split)?),
            Verb::Operator(Operation::Transfer(target)) => Verb::Operator(Operation::Transfer(one(*target)?)),
            Verb::Operator(Operation::Remove(target)) => Verb::Operator(Operation::Remove(one(*target)?)),
            Verb::Operator(Operation::Replace(target)) => Verb::Operator(Operation::Replace(one(*target)?)),
            // Nothing in these is resolved.
            other => other.clone(),
        })
    }
}

fn name(nodes: Nodes, all: Nodes) -> Vec<Target> {
    if nodes == all { vec![Target::All] } else { nodes_of(nodes) }
}

fn nodes_of(nodes: Nodes) -> Vec<Target> {
    each(nodes).map(Target::Node).collect()
}

impl Pick<'_> {
    /// A partition with the nodes that it resolves to. A drawn ring stays as it is: its draw is kept by its name.
    fn concrete(&self, split: &Split) -> Option<Split> {
        let groups = |groups: Vec<Nodes>| Split::Groups(groups.into_iter().map(nodes_of).collect());
        Some(match split {
            Split::Halves => groups(self.halves(self.view.members)?),
            Split::Groups(given) => groups(self.groups(given)?),
            Split::Isolate(targets) => Split::Isolate(nodes_of(self.all(targets)?)),
            Split::Bridge(target) => {
                let others = self.everybody() & !(1 << self.one(*target)?);
                let order = self.in_drawn_order(others);
                let half = order.iter().take(order.len() / 2).fold(0, |group: Nodes, node| group | 1 << node);
                groups(vec![half, others & !half])
            }
            Split::Star(target) => Split::Star(Target::Node(self.one(*target)?)),
            Split::OneWay(from, to) => {
                let (from, to) = self.one_way(from, to)?;
                Split::OneWay(nodes_of(from), nodes_of(to))
            }
            Split::RingOfMajorities => Split::RingOfMajorities,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_name_an_occurrence() {
        assert_eq!(occurrence("die#3"), ("die", 3));
        assert_eq!(occurrence("die"), ("die", 0));
        assert_eq!(occurrence("die #x"), ("die #x", 0));
    }
}
