//! The fault plan: when each fault of a scenario fires, whom it hits, when it ends. One plan for both engines.
//!
//! An engine asks [`FaultPlan::next_time`], and then calls [`FaultPlan::poll`] with what it knows of the cluster; it gets crashes and restarts to
//! carry out, and finds the state of the links in [`FaultPlan::conditions`]. Targets resolve when a fault fires. One that does not resolve (there is
//! no leader just now) is tried again every 25 ms; an occurrence of an `every` fault is given up after a second, any other when faults heal.
//!
//! Draws are keyed by the fault's id and the number of the occurrence, so that removing one fault leaves the others as they were.

mod conditions;
mod targets;

pub use conditions::Conditions;

use crate::scenario::{DiskFate, Fault, Scenario, Span, Target, Trigger, Verb};
use crate::trace::digest;
use conditions::{Weather, WeatherKind};
use std::collections::BTreeMap;
use targets::{Pick, each, names};
use tertulia_protocol::dice::{Purpose, Seed, below, draw};

const RETRY: u64 = 25_000;
const PATIENCE: u64 = 1_000_000;

/// What an engine knows of the cluster when a fault fires.
#[derive(Clone, Copy, Debug)]
pub struct ClusterView<'a> {
    pub up: &'a [bool],
    pub leader: Option<usize>,
}

/// What an engine has to do. Changes of the links are in [`Conditions`] already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// `fate` is never [`DiskFate::Any`]; `torn` is a draw for how much of the unsynced writes survives.
    Crash {
        node: usize,
        fate: DiskFate,
        torn: u64,
    },
    Restart {
        node: usize,
    },
    /// The links changed.
    Links,
}

/// A set of nodes.
pub type Nodes = u64;

#[derive(Clone, Debug)]
enum Step {
    Fire { fault: usize, occurrence: u32, give_up: u64, again: bool },
    End { effect: u64 },
}

#[derive(Clone, Debug)]
enum Effect {
    Crashed(Nodes),
    Split(Vec<Nodes>),
    Weather,
}

/// What a fault has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    scheduled: u32,
    fired: u32,
    unresolved: u32,
    /// Times that its named point was reached.
    reached: u32,
    /// An `every … during` chain is running.
    chained: bool,
}

/// The schedule of one run.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    faults: Vec<Fault>,
    seed: Seed,
    steps: BTreeMap<(u64, u64), Step>,
    next_step: u64,
    next_effect: u64,
    effects: BTreeMap<u64, (usize, Effect)>,
    progress: Vec<Progress>,
    conditions: Conditions,
    healed: bool,
    story: Vec<(u64, String)>,
}

impl FaultPlan {
    pub fn new(scenario: &Scenario, seed: Seed) -> FaultPlan {
        let mut plan = FaultPlan {
            faults: scenario.faults.clone(),
            seed,
            steps: BTreeMap::new(),
            next_step: 0,
            next_effect: 0,
            effects: BTreeMap::new(),
            progress: vec![Progress::default(); scenario.faults.len()],
            conditions: Conditions::new(scenario.cluster.voters),
            healed: false,
            story: Vec::new(),
        };
        for fault in 0..plan.faults.len() {
            match plan.faults[fault].trigger {
                Trigger::At(span) => {
                    let at = span.pick(plan.draw(fault, Draw::Time, 0));
                    plan.schedule(fault, at, u64::MAX);
                }
                Trigger::Every { gap, from, during: None, .. } => {
                    let at = from + gap.pick(plan.draw(fault, Draw::Time, 0));
                    plan.schedule(fault, at, at + PATIENCE);
                }
                Trigger::Every { .. } | Trigger::After { .. } | Trigger::Reached { .. } => {}
            }
        }
        plan
    }

    /// When [`FaultPlan::poll`] has something to do.
    pub fn next_time(&self) -> Option<u64> {
        self.steps.keys().next().map(|(at, _)| *at)
    }

    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// What happened, for people: (microseconds, sentence).
    pub fn story(&self) -> &[(u64, String)] {
        &self.story
    }

    /// Everything that is due, one step at a time so that each sees the cluster after the one before: call until `None`.
    pub fn poll(&mut self, now: u64, view: ClusterView<'_>) -> Option<Vec<Action>> {
        let key = self.next_key(now)?;
        match self.steps.remove(&key)? {
            Step::End { effect } => Some(self.end(now, effect)),
            Step::Fire { fault, occurrence, give_up, again } => {
                if !again && !self.chain(now, fault) {
                    return Some(Vec::new());
                }
                match self.fire(now, fault, occurrence, view) {
                    Some(actions) => Some(actions),
                    None => {
                        self.progress[fault].unresolved += 1;
                        if now + RETRY < give_up {
                            self.push(now + RETRY, Step::Fire { fault, occurrence, give_up, again: true });
                        }
                        Some(Vec::new())
                    }
                }
            }
        }
    }

    /// A node reached a named point.
    pub fn reached(&mut self, now: u64, name: &str) {
        for fault in 0..self.faults.len() {
            let Trigger::Reached { point, nth, after, wait } = &self.faults[fault].trigger else { continue };
            let armed = after.is_none_or(|after| self.progress[after].fired > 0);
            if self.healed || !armed || point != name {
                continue;
            }
            let (nth, wait) = (*nth, *wait);
            self.progress[fault].reached += 1;
            if self.progress[fault].reached == nth {
                let at = now + wait.pick(self.draw(fault, Draw::Wait, 0));
                self.schedule(fault, at, u64::MAX);
            }
        }
    }

    /// Ends all faults, for good.
    pub fn heal(&mut self, now: u64) -> Vec<Action> {
        self.steps.clear();
        self.healed = true;
        let effects: Vec<u64> = self.effects.keys().copied().collect();
        let actions = effects.into_iter().flat_map(|effect| self.end(now, effect)).collect();
        self.story.push((now, "all faults heal".to_owned()));
        actions
    }

    /// Faults that never did anything, as sentences: such a run proves nothing.
    pub fn never_fired(&self) -> Vec<String> {
        let never = self.faults.iter().zip(&self.progress).filter(|(_, progress)| progress.fired == 0);
        never
            .map(|(fault, progress)| {
                let why = match progress {
                    Progress { scheduled: 0, .. } => "what it waits for never came",
                    Progress { unresolved: 0, .. } => "its time never came",
                    _ => "its target was never there",
                };
                format!("fault \"{}\" (line {}) never fired: {why}", fault.id, fault.line)
            })
            .collect()
    }

    /// Whether there were faults that lose or double messages.
    pub fn should_touch(&self) -> bool {
        self.faults.iter().any(|fault| matches!(fault.verb, Verb::Loss { .. } | Verb::Duplicate { .. }))
    }

    /// How often faults fired in all.
    pub fn fired(&self) -> u32 {
        self.progress.iter().map(|progress| progress.fired).sum()
    }

    fn next_key(&self, now: u64) -> Option<(u64, u64)> {
        self.steps.keys().next().copied().filter(|(at, _)| *at <= now)
    }

    fn push(&mut self, at: u64, step: Step) {
        self.next_step += 1;
        self.steps.insert((at, self.next_step), step);
    }

    fn schedule(&mut self, fault: usize, at: u64, give_up: u64) {
        let occurrence = self.progress[fault].scheduled;
        self.progress[fault].scheduled += 1;
        self.push(at, Step::Fire { fault, occurrence, give_up, again: false });
    }

    fn draw(&self, fault: usize, what: Draw, nth: u32) -> u64 {
        let purpose = match what {
            Draw::Target | Draw::Fate | Draw::Torn => Purpose::FaultTarget,
            _ => Purpose::FaultTime,
        };
        draw(self.seed, purpose, digest(&self.faults[fault].id), what as u64, u64::from(nth))
    }

    /// Schedules the next occurrence of an `every` fault. False when the chain is over and this one must not fire either.
    fn chain(&mut self, now: u64, fault: usize) -> bool {
        let Trigger::Every { gap, until, during, .. } = self.faults[fault].trigger else { return true };
        let over = until.is_some_and(|until| now >= until);
        let alone = during.is_some_and(|during| !self.effects.values().any(|(of, _)| *of == during));
        if over || alone {
            self.progress[fault].chained = false;
            return false;
        }
        let next = now + gap.pick(self.draw(fault, Draw::Time, self.progress[fault].scheduled));
        self.schedule(fault, next, next + PATIENCE);
        true
    }

    fn fire(&mut self, now: u64, fault: usize, nth: u32, view: ClusterView<'_>) -> Option<Vec<Action>> {
        let effect = self.next_effect + 1;
        let verb = self.faults[fault].verb.clone();
        let target = self.draw(fault, Draw::Target, nth);
        let (kind, actions, told) = match &verb {
            Verb::Crash { targets, disk } => {
                self.crash(fault, nth, Pick { view, draw: target, up_only: true }.all(targets)?, *disk)
            }
            Verb::Partition(split) => {
                let pick = Pick { view, draw: target, up_only: false };
                let groups = pick.groups(split)?;
                self.conditions.block(&groups, true);
                let told: Vec<String> = groups.iter().map(|group| names(*group)).collect();
                (Effect::Split(groups), vec![Action::Links], format!("partition {}", told.join(" | ")))
            }
            Verb::Loss { ppm, on } => self.weather(effect, WeatherKind::Loss(*ppm), on, target, view)?,
            Verb::Delay { by, on } => self.weather(effect, WeatherKind::Delay(*by), on, target, view)?,
            Verb::Duplicate { ppm, on } => self.weather(effect, WeatherKind::Duplicate(*ppm), on, target, view)?,
        };
        self.next_effect = effect;
        self.effects.insert(effect, (fault, kind));
        self.progress[fault].fired += 1;
        if let Some(lasts) = self.faults[fault].lasts {
            let lasts = lasts.pick(self.draw(fault, Draw::Lasts, nth)).max(1);
            self.push(now + lasts, Step::End { effect });
        }
        let told = format!("{}: {told}", self.faults[fault].id);
        self.story.push((now, told));
        self.wake_followers(now, fault);
        Some(actions)
    }

    /// Starts what waits for this fault.
    fn wake_followers(&mut self, now: u64, fault: usize) {
        for other in 0..self.faults.len() {
            match self.faults[other].trigger {
                Trigger::After { fault: named, wait } if named == fault => {
                    let at = now + wait.pick(self.draw(other, Draw::Wait, self.progress[other].scheduled));
                    self.schedule(other, at, u64::MAX);
                }
                Trigger::Every { gap, during: Some(named), .. } if named == fault && !self.progress[other].chained => {
                    self.progress[other].chained = true;
                    let at = now + gap.pick(self.draw(other, Draw::Time, self.progress[other].scheduled));
                    self.schedule(other, at, at + PATIENCE);
                }
                _ => {}
            }
        }
    }

    fn crash(&mut self, fault: usize, nth: u32, nodes: Nodes, disk: DiskFate) -> (Effect, Vec<Action>, String) {
        let fate = match disk {
            DiskFate::Any => {
                [DiskFate::Keep, DiskFate::LoseUnsynced, DiskFate::Torn][below(self.draw(fault, Draw::Fate, nth), 3) as usize]
            }
            fate => fate,
        };
        let torn = self.draw(fault, Draw::Torn, nth);
        let actions = each(nodes).map(|node| Action::Crash { node, fate, torn }).collect();
        (Effect::Crashed(nodes), actions, format!("crash {} ({fate:?})", names(nodes)))
    }

    fn weather(
        &mut self,
        effect: u64,
        kind: WeatherKind,
        on: &[Target],
        draw: u64,
        view: ClusterView<'_>,
    ) -> Option<(Effect, Vec<Action>, String)> {
        let on = Pick { view, draw, up_only: false }.all(on)?;
        self.conditions.weather.push(Weather { effect, kind, on });
        Some((Effect::Weather, Vec::new(), format!("{kind} on links of {}", names(on))))
    }

    fn end(&mut self, now: u64, effect: u64) -> Vec<Action> {
        let Some((fault, kind)) = self.effects.remove(&effect) else { return Vec::new() };
        let told = format!("{}: ends", self.faults[fault].id);
        self.story.push((now, told));
        match kind {
            Effect::Crashed(nodes) => each(nodes).map(|node| Action::Restart { node }).collect(),
            Effect::Split(groups) => {
                self.conditions.block(&groups, false);
                vec![Action::Links]
            }
            Effect::Weather => {
                self.conditions.weather.retain(|weather| weather.effect != effect);
                Vec::new()
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Draw {
    Time = 0,
    Lasts = 1,
    Target = 2,
    Fate = 3,
    Wait = 4,
    Torn = 5,
}

#[cfg(test)]
mod tests;
