//! What each fault did, as a page can draw it: from when to when, to whom, and the sentence of the story.

use super::effects::Effect;
use super::{Action, FaultPlan, Nodes, OperatorCall};
use crate::scenario::Verb;

/// One time that a fault fired.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The fault's id.
    pub fault: String,
    /// What kind of trouble it is: `crash`, `partition`, `weather`, …
    pub class: &'static str,
    /// What it did, as the story says it.
    pub told: String,
    pub nodes: Nodes,
    /// The ways that it blocked, (from, to).
    pub ways: Vec<(usize, usize)>,
    pub from: u64,
    /// `None`: it has no end, or had not ended when the run did.
    pub to: Option<u64>,
    /// Nothing is undone at its end: it happened at one moment.
    pub momentary: bool,
    effect: u64,
}

impl FaultPlan {
    /// What each fault did, in the order in which they fired.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub(super) fn mark(&mut self, now: u64, fault: usize, effect: u64, kind: Option<&Effect>, actions: &[Action], told: &str) {
        let (nodes, ways) = match kind {
            Some(Effect::Crashed(nodes) | Effect::Wiped(nodes) | Effect::Paused(nodes)) => (*nodes, Vec::new()),
            Some(Effect::Split(ways)) => (ways.iter().fold(0, |nodes, (a, b)| nodes | 1 << a | 1 << b), ways.clone()),
            _ => {
                let struck = actions.iter().fold(0, |nodes, action| nodes | struck(*action));
                (struck | self.conditions.struck_by(effect), Vec::new())
            }
        };
        let class = class(&self.faults[fault].verb);
        let (fault, told, momentary) = (self.faults[fault].id.clone(), told.to_owned(), kind.is_none());
        self.marks.push(Mark { fault, class, told, nodes, ways, from: now, to: None, momentary, effect });
    }

    pub(super) fn unmark(&mut self, now: u64, effect: u64) {
        if let Some(mark) = self.marks.iter_mut().rev().find(|mark| mark.effect == effect) {
            mark.to = Some(now);
        }
    }
}

fn struck(action: Action) -> Nodes {
    match action {
        Action::Gone { node } => 1 << node,
        Action::Reset { a, b } => 1 << a | 1 << b,
        Action::Operator(
            OperatorCall::Transfer { to: node } | OperatorCall::Remove { node } | OperatorCall::Join { host: node, .. },
        ) => 1 << node,
        _ => 0,
    }
}

fn class(verb: &Verb) -> &'static str {
    match verb {
        Verb::Crash { .. } => "crash",
        Verb::Pause { .. } => "pause",
        Verb::Partition(_) => "partition",
        Verb::Reset { .. }
        | Verb::Links(_)
        | Verb::Loss { .. }
        | Verb::Delay { .. }
        | Verb::Duplicate { .. }
        | Verb::Reorder { .. }
        | Verb::Clog { .. } => "weather",
        Verb::Stall { .. } | Verb::SlowDisk { .. } | Verb::BreakDisk { .. } => "disk",
        Verb::Skew { .. } | Verb::Drift { .. } | Verb::Jump { .. } => "clock",
        Verb::Disconnect { .. } | Verb::CutClients { .. } | Verb::SlowReader { .. } | Verb::RetryStorm { .. } => "clients",
        Verb::Operator(_) => "operator",
    }
}
