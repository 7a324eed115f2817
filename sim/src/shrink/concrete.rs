//! From what a plan drew to a schedule that leaves nothing to draw: each time that a fault fired becomes a fault of its own, at that time, on those nodes,
//! for so long.

use crate::plan::Decision;
use crate::scenario::{Fault, Scenario, Span, Target, Trigger, Verb, waits_for};
use std::collections::BTreeSet;

/// The schedule that was decided up to `until`, instead of what it was drawn from. With `of`, only that fault is written so.
///
/// What follows a named point of the protocol follows it at once, while a time is kept before anything else that happens just then: `later` is added.
pub(super) fn concrete(scenario: &Scenario, decisions: &[Decision], of: Option<usize>, until: u64, later: u64) -> Scenario {
    let mut faults = Vec::new();
    for (nth, fault) in scenario.faults.iter().enumerate() {
        if of.is_some_and(|of| of != nth) {
            faults.push(fault.clone());
            continue;
        }
        let fired = decisions.iter().filter(|decision| decision.fault == nth && decision.at <= until);
        faults.extend(fired.map(|decision| {
            let later = if matches!(fault.trigger, Trigger::Reached { .. }) { later } else { 0 };
            let (name, _) = crate::plan::occurrence(&fault.id);
            let id = if decision.nth == 0 { name.to_owned() } else { format!("{name}#{}", decision.nth) };
            let (trigger, lasts) = (Trigger::At(Span::fixed(decision.at + later)), decision.lasts.map(Span::fixed));
            Fault { id, line: 0, trigger, lasts, verb: decision.verb.clone(), optional: false }
        }));
    }
    if of.is_none() {
        faults.sort_by_key(at);
    }
    Scenario { faults, ..scenario.clone() }
}

/// Whether nothing waits for this fault.
pub(super) fn is_alone(scenario: &Scenario, fault: usize) -> bool {
    scenario.faults.iter().all(|other| waits_for(&other.trigger) != Some(fault))
}

/// When a fault fires, where that is known; otherwise it counts as late.
pub(super) fn at(fault: &Fault) -> u64 {
    match fault.trigger {
        Trigger::At(span) => span.from,
        _ => u64::MAX,
    }
}

/// Only these faults, and of them only those that wait for none of the others.
pub(super) fn keep(scenario: &Scenario, places: &BTreeSet<usize>) -> Scenario {
    let mut places = places.clone();
    while let Some(orphan) = places.iter().copied().find(|place| {
        let needed = match &scenario.faults[*place].trigger {
            Trigger::Reached { .. } => None,
            other => waits_for(other),
        };
        needed.is_some_and(|needed| !places.contains(&needed))
    }) {
        places.remove(&orphan);
    }
    let moved = |old: usize| places.iter().position(|place| *place == old);
    let faults = places.iter().map(|place| {
        let mut fault = scenario.faults[*place].clone();
        match &mut fault.trigger {
            Trigger::At(_) => {}
            Trigger::Every { during: waits, .. } | Trigger::Reached { after: waits, .. } => *waits = waits.and_then(moved),
            Trigger::After { fault, .. } => *fault = moved(*fault).unwrap_or(*fault),
        }
        fault
    });
    Scenario { faults: faults.collect(), ..scenario.clone() }
}

/// Everything over at `stop`: what begins later is left out.
pub(super) fn stop_at(scenario: &Scenario, stop: u64) -> Scenario {
    let begins = |trigger: &Trigger| match trigger {
        Trigger::At(span) => span.to < stop,
        Trigger::Every { from, until, .. } => *from < stop && until.is_none_or(|until| until < stop),
        _ => true,
    };
    let mut scenario = scenario.clone();
    for fault in &mut scenario.faults {
        if let Trigger::Every { from, until, .. } = &mut fault.trigger
            && *from < stop
        {
            *until = until.filter(|until| *until < stop);
        }
        // It lasts until the stop anyway.
        if let (Trigger::At(at), Some(lasts)) = (&fault.trigger, fault.lasts)
            && at.from + lasts.from >= stop
        {
            fault.lasts = None;
        }
    }
    let places = (0..scenario.faults.len()).filter(|place| begins(&scenario.faults[*place].trigger)).collect();
    let mut scenario = keep(&scenario, &places);
    scenario.workload.stop = stop;
    scenario.workload.joiner = scenario.workload.joiner.filter(|joiner| joiner.at.to < stop);
    scenario
}

/// The same faults on those who had their nodes' places in the ring when they fired: the leader, the first in line after it, and so on.
pub(super) fn by_role(scenario: &Scenario, decisions: &[Decision]) -> Scenario {
    let mut scenario = scenario.clone();
    for (nth, fault) in scenario.faults.iter_mut().enumerate() {
        let Some(decision) = decisions.iter().find(|decision| decision.fault == nth) else { continue };
        if !is_concrete(&fault.verb) {
            continue;
        }
        let role = |target: Target| match target {
            Target::Node(node) if decision.leader == Some(node) => Some(Target::Leader),
            Target::Node(node) if decision.leader.is_some() => {
                let place = decision.line.iter().position(|other| *other == node);
                Some(place.map_or(target, |place| Target::Successor(place as u32 + 1)))
            }
            other => Some(other),
        };
        if let Some(verb) = super::nodes::retarget(&decision.verb, &role) {
            fault.verb = verb;
        }
    }
    scenario
}

/// Whether a verb leaves it to the cluster whom it hits.
pub(super) fn is_concrete(verb: &Verb) -> bool {
    super::nodes::targets(verb).iter().all(|target| matches!(target, Target::Node(_) | Target::All | Target::Rest))
}
