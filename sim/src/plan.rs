//! The fault plan: when each fault of a scenario fires, whom it hits, when it ends. One plan for both engines.
//!
//! An engine asks [`FaultPlan::next_time`], and then calls [`FaultPlan::poll`] with what it knows of the cluster; it gets crashes and restarts to
//! carry out, and finds the state of the links in [`FaultPlan::conditions`]. Targets resolve when a fault fires. One that does not resolve (there is
//! no leader just now) is tried again every 25 ms; an occurrence of an `every` fault is given up after a second, any other when faults heal.
//!
//! Draws are keyed by the fault's id and the number of the occurrence, so that removing one fault leaves the others as they were.

use crate::scenario::{DiskFate, Fault, Scenario, Span, Split, Target, Trigger, Verb};
use crate::trace::digest;
use std::collections::BTreeMap;
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

/// What is wrong with the links just now.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    nodes: usize,
    /// By `from * nodes + to`: how many partitions block this way.
    blocked: Vec<u16>,
    weather: Vec<Weather>,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    effect: u64,
    kind: WeatherKind,
    on: Nodes,
}

#[derive(Clone, Copy, Debug)]
enum WeatherKind {
    Loss(u32),
    Delay(Span),
    Duplicate(u32),
}

impl std::fmt::Display for WeatherKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |ppm: &u32| f64::from(*ppm) / 10_000.0;
        match self {
            WeatherKind::Loss(ppm) => write!(f, "loss of {} %", percent(ppm)),
            WeatherKind::Duplicate(ppm) => write!(f, "doubling of {} %", percent(ppm)),
            WeatherKind::Delay(by) => write!(f, "delay by {} to {} ms", by.from / 1_000, by.to / 1_000),
        }
    }
}

impl Conditions {
    fn new(nodes: usize) -> Conditions {
        Conditions { nodes, blocked: vec![0; nodes * nodes], weather: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(nodes: usize) -> Conditions {
        Conditions::new(nodes)
    }

    pub fn blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from * self.nodes + to] > 0
    }

    /// No loss, no extra delay, no duplicates anywhere.
    pub fn is_fair(&self) -> bool {
        self.weather.is_empty()
    }

    /// Loss and duplication in millionths, and the extra delays that apply to a message between these two.
    pub fn weather(&self, from: usize, to: usize) -> (u32, u32, impl Iterator<Item = Span> + '_) {
        let ends = (1 << from) | (1 << to);
        let here = self.weather.iter().filter(move |weather| weather.on & ends != 0);
        let (mut loss, mut duplicate) = (0u32, 0u32);
        for weather in here.clone() {
            match weather.kind {
                WeatherKind::Loss(ppm) => loss = loss.saturating_add(ppm),
                WeatherKind::Duplicate(ppm) => duplicate = duplicate.saturating_add(ppm),
                WeatherKind::Delay(_) => {}
            }
        }
        let delays = here.filter_map(|weather| match weather.kind {
            WeatherKind::Delay(by) => Some(by),
            _ => None,
        });
        (loss, duplicate, delays)
    }

    /// Adds (or takes away) the blocks between all groups.
    fn block(&mut self, groups: &[Nodes], add: bool) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                let apart = groups.iter().any(|a| a >> from & 1 == 1) && groups.iter().any(|b| b >> to & 1 == 1);
                if apart && !groups.iter().any(|group| group >> from & 1 == 1 && group >> to & 1 == 1) {
                    let count = &mut self.blocked[from * self.nodes + to];
                    *count = if add { *count + 1 } else { *count - 1 };
                }
            }
        }
    }
}

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

fn each(nodes: Nodes) -> impl Iterator<Item = usize> {
    (0..64).filter(move |node| nodes >> node & 1 == 1)
}

fn names(nodes: Nodes) -> String {
    let names: Vec<String> = each(nodes).map(|node| format!("n{}", node + 1)).collect();
    names.join(" ")
}

/// Resolves targets by one draw.
#[derive(Clone, Copy)]
struct Pick<'a> {
    view: ClusterView<'a>,
    draw: u64,
    /// Only nodes that are up can be hit.
    up_only: bool,
}

impl Pick<'_> {
    fn up(&self) -> Nodes {
        self.view.up.iter().enumerate().fold(0, |nodes, (node, up)| nodes | u64::from(*up) << node)
    }

    fn everybody(&self) -> Nodes {
        if self.up_only { self.up() } else { (1 << self.view.up.len()) - 1 }
    }

    fn all(&self, targets: &[Target]) -> Option<Nodes> {
        self.add(targets, 0)
    }

    /// The nodes that `targets` name, none of them in `taken`.
    fn add(&self, targets: &[Target], taken: Nodes) -> Option<Nodes> {
        let mut chosen: Nodes = 0;
        for (nth, target) in targets.iter().enumerate() {
            let leader = self.view.leader.map(|leader| 1u64 << leader);
            let found = match target {
                Target::Leader => leader? & self.up(),
                Target::Follower => self.one_of(self.up() & !leader? & !(taken | chosen), nth),
                Target::Random => self.one_of(self.up() & !(taken | chosen), nth),
                Target::All => self.everybody(),
                Target::Rest => ((1 << self.view.up.len()) - 1) & !taken,
                Target::Node(node) => (1 << node) & self.everybody(),
            };
            if found == 0 || found & taken != 0 {
                return None;
            }
            chosen |= found;
        }
        Some(chosen)
    }

    fn one_of(&self, candidates: Nodes, nth: usize) -> Nodes {
        let place = below(self.draw.rotate_left(17 * nth as u32), u64::from(candidates.count_ones())) as usize;
        each(candidates).nth(place).map_or(0, |node| 1 << node)
    }

    fn groups(&self, split: &Split) -> Option<Vec<Nodes>> {
        let nodes = self.view.up.len();
        match split {
            Split::Halves => {
                let mut order: Vec<usize> = (0..nodes).collect();
                order.sort_by_key(|node| digest(&(self.draw, *node)));
                let majority = order.iter().take(nodes / 2 + 1).fold(0, |group: Nodes, node| group | 1 << node);
                let rest = ((1 << nodes) - 1) & !majority;
                (rest != 0).then(|| vec![majority, rest])
            }
            Split::Groups(groups) => {
                let mut taken = 0;
                let mut found = Vec::with_capacity(groups.len());
                for (nth, group) in groups.iter().enumerate() {
                    let pick = Pick { draw: self.draw.rotate_left(7 * nth as u32), ..*self };
                    let group = pick.add(group, taken)?;
                    taken |= group;
                    found.push(group);
                }
                Some(found)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(faults: &str) -> FaultPlan {
        let head = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 5\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"20s\"\n";
        FaultPlan::new(&Scenario::parse("x", &format!("{head}{faults}")).unwrap(), Seed(1))
    }

    fn run(plan: &mut FaultPlan, until: u64, leader: Option<usize>) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(at) = plan.next_time().filter(|at| *at <= until) {
            while let Some(some) = plan.poll(at, ClusterView { up: &[true; 5], leader }) {
                actions.extend(some);
            }
        }
        actions
    }

    #[test]
    fn a_partition_blocks_both_ways_and_ends() {
        let mut plan = plan("[[fault]]\nat = \"1s\"\npartition = [[\"leader\"], [\"rest\"]]\nfor = \"2s\"");
        run(&mut plan, 1_500_000, Some(2));
        assert!(plan.conditions().blocked(2, 0) && plan.conditions().blocked(0, 2));
        assert!(!plan.conditions().blocked(0, 1) && !plan.conditions().blocked(2, 2));
        run(&mut plan, 3_000_000, Some(2));
        assert!(!plan.conditions().blocked(2, 0));
        assert!(plan.never_fired().is_empty());
    }

    #[test]
    fn a_target_that_is_not_there_is_waited_for() {
        let mut plan = plan("[[fault]]\nid = \"kill\"\nat = \"1s\"\ncrash = \"leader\"");
        assert!(run(&mut plan, 5_000_000, None).is_empty());
        assert_eq!(plan.never_fired(), ["fault \"kill\" (line 9) never fired: its target was never there"]);
        assert!(matches!(run(&mut plan, 6_000_000, Some(3))[..], [Action::Crash { node: 3, fate: DiskFate::Keep, .. }]));
    }

    #[test]
    fn faults_follow_each_other() {
        let mut plan = plan(concat!(
            "[[fault]]\nid = \"a\"\nat = \"1s\"\npartition = \"halves\"\nfor = \"3s\"\n",
            "[[fault]]\nevery = \"1s\"\nduring = \"a\"\ncrash = \"random\"\nfor = \"10ms\"\n",
            "[[fault]]\nafter = \"a\"\nwait = \"500ms\"\nloss = \"5%\"\non = \"n1\"\n",
        ));
        let actions = run(&mut plan, 1_600_000, Some(0));
        assert_eq!(actions, [Action::Links]);
        assert_eq!(plan.conditions().weather(0, 3).0, 50_000);
        assert_eq!(plan.conditions().weather(1, 3).0, 0);
        let crashes = run(&mut plan, 20_000_000, Some(0)).iter().filter(|action| matches!(action, Action::Crash { .. })).count();
        assert_eq!(crashes, 2, "at 2 s and 3 s; at 4 s the split is over");
    }
}
