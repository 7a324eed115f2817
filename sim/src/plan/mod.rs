//! The fault plan: when each fault of a scenario fires, whom it hits, when it ends. One plan for both engines.
//!
//! An engine asks [`FaultPlan::next_time`], and then calls [`FaultPlan::poll`] with what it knows of the cluster; it gets crashes and restarts to
//! carry out, and finds the state of the links in [`FaultPlan::conditions`]. Targets resolve when a fault fires. One that does not resolve (there is
//! no leader just now) is tried again every 25 ms; an occurrence of an `every` fault is given up after a second, any other when faults heal.
//!
//! Draws are keyed by the fault's id and the number of the occurrence, so that removing one fault leaves the others as they were. A fault that is
//! called `x#3` draws what the third occurrence of `x` draws (counted from 0): so one occurrence can stand in a file of its own.

mod clients;
mod clock;
mod conditions;
mod decisions;
mod effects;
mod marks;
mod targets;

pub use clock::NodeClock;
pub use conditions::{Conditions, Reading};
pub use decisions::{Decision, occurrence};
pub use marks::Mark;

use crate::scenario::{DiskFate, Fault, Rot, Scenario, Signed, Trigger, Verb};
use crate::trace::digest;
use effects::{Effect, Occurrence};
use std::collections::BTreeMap;
use tertulia_protocol::dice::{Purpose, Seed, draw};

const RETRY: u64 = 25_000;
const PATIENCE: u64 = 1_000_000;
/// How far wall clocks are ahead where a scenario does not say, in microseconds.
const ROUGHLY_RIGHT: Signed = Signed { from: 0, to: 5_000 };

/// What an engine knows of the cluster when a fault fires.
#[derive(Clone, Copy, Debug)]
pub struct ClusterView<'a> {
    /// By host, spares included.
    pub up: &'a [bool],
    pub leader: Option<usize>,
    /// Who votes.
    pub members: Nodes,
    /// Who should lead next, in order, without the leader itself.
    pub line: &'a [usize],
    /// By client: the node that it is connected to.
    pub seats: &'a [Option<usize>],
}

/// What an engine has to do. Changes of links and disks are in [`Conditions`] already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// `fate` is never [`DiskFate::Any`]; `torn` is a draw for how much of the unsynced writes survives. Then, with a draw for the place, `rot`.
    Crash {
        node: usize,
        fate: DiskFate,
        torn: u64,
        rot: Option<(Rot, u64)>,
    },
    Restart {
        node: usize,
    },
    /// The process ends, and never comes back.
    Gone {
        node: usize,
    },
    Pause {
        node: usize,
    },
    Resume {
        node: usize,
    },
    /// The connections of these two break.
    Reset {
        a: usize,
        b: usize,
    },
    /// The links changed.
    Links,
    /// Clocks changed.
    Clocks,
    /// The connection of this client breaks, if it has one.
    Disconnect {
        client: u32,
    },
    /// It changed which clients are cut off or read slowly.
    Clients,
    Operator(OperatorCall),
}

/// What an operator asks of the cluster, of any node that runs, again and again until it is done. Nodes are hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperatorCall {
    Transfer {
        to: usize,
    },
    Succession {
        central: bool,
    },
    /// The process ends when it is a member no more.
    Remove {
        node: usize,
    },
    /// An empty folder on `host` asks to join, gets an id, and is started with it. `replace` may be the host itself: its old folder is gone.
    Join {
        host: usize,
        replace: Option<usize>,
    },
    Voters {
        count: usize,
    },
}

/// A set of nodes.
pub type Nodes = u64;

#[derive(Clone, Debug)]
enum Step {
    Fire {
        fault: usize,
        occurrence: u32,
        give_up: u64,
        again: bool,
    },
    End {
        effect: u64,
    },
    /// The next gust of a storm of clients.
    Beat {
        effect: u64,
    },
}

/// What a fault has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    scheduled: u32,
    fired: u32,
    /// Times that there was a target; a broken disk fires only when something is written to it.
    resolved: u32,
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
    /// Hosts that are there for good no more.
    gone: Nodes,
    /// The first machine that no fault has brought in.
    next_spare: usize,
    hosts: usize,
    /// Clients that are there from the beginning.
    clients: u32,
    stop: u64,
    /// Crashes that made something rot.
    rotten: u32,
    healed: bool,
    story: Vec<(u64, String)>,
    marks: Vec<Mark>,
    decisions: Vec<Decision>,
}

impl FaultPlan {
    /// What is drawn from now on comes from another seed; what is scheduled stays.
    pub fn reseed(&mut self, seed: Seed) {
        self.seed = seed;
    }

    pub fn new(scenario: &Scenario, seed: Seed) -> FaultPlan {
        let mut plan = FaultPlan {
            faults: scenario.faults.clone(),
            seed,
            steps: BTreeMap::new(),
            next_step: 0,
            next_effect: 0,
            effects: BTreeMap::new(),
            progress: vec![Progress::default(); scenario.faults.len()],
            conditions: clocks_of(scenario, seed),
            gone: 0,
            next_spare: scenario.cluster.voters,
            hosts: scenario.cluster.hosts(),
            clients: scenario.workload.clients,
            stop: scenario.workload.stop,
            rotten: 0,
            healed: false,
            story: Vec::new(),
            marks: Vec::new(),
            decisions: Vec::new(),
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

    /// Whether a fault is due to begin by then.
    pub fn fires(&self, at: u64) -> bool {
        self.steps.range(..=(at, u64::MAX)).any(|(_, step)| matches!(step, Step::Fire { .. }))
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
            Step::Beat { effect } => Some(self.storm_again(now, effect)),
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
        let rot = |fault: &&Fault| !fault.optional && matches!(fault.verb, Verb::Crash { rot: Some(_), .. });
        let unrotten = self.faults.iter().find(|fault| rot(fault) && self.rotten == 0);
        let unrotten =
            unrotten.map(|fault| format!("fault \"{}\" (line {}): there never was anything to rot", fault.id, fault.line));
        let never = self.faults.iter().zip(&self.progress).filter(|(fault, progress)| progress.fired == 0 && !fault.optional);
        never
            .map(|(fault, progress)| {
                let why = match progress {
                    Progress { resolved, .. } if *resolved > 0 => "nothing was asked of the disk that was to fail",
                    Progress { scheduled: 0, .. } => "what it waits for never came",
                    Progress { unresolved: 0, .. } => "its time never came",
                    _ => "its target was never there",
                };
                format!("fault \"{}\" (line {}) never fired: {why}", fault.id, fault.line)
            })
            .chain(unrotten)
            .collect()
    }

    /// Whether there were faults that lose or double messages.
    pub fn should_touch(&self) -> bool {
        self.faults.iter().any(|fault| !fault.optional && matches!(fault.verb, Verb::Loss { .. } | Verb::Duplicate { .. }))
    }

    /// Whether there is a fault with such a verb.
    pub fn has(&self, verb: impl Fn(&Verb) -> bool) -> bool {
        self.faults.iter().any(|fault| verb(&fault.verb))
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
            Draw::Target | Draw::Fate | Draw::Torn | Draw::Rot => Purpose::FaultTarget,
            _ => Purpose::FaultTime,
        };
        let (name, first) = decisions::occurrence(&self.faults[fault].id);
        draw(self.seed, purpose, digest(&name), what as u64, u64::from(first) + u64::from(nth))
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
        let lasts = self.faults[fault].lasts.map(|lasts| lasts.pick(self.draw(fault, Draw::Lasts, nth)).max(1));
        let what = Occurrence { now, fault, nth, effect, lasts, view };
        let (kind, actions, told) = self.begin(what)?;
        self.decided(what);
        self.next_effect = effect;
        let broken = matches!(self.faults[fault].verb, Verb::BreakDisk { .. });
        self.progress[fault].resolved += 1;
        self.progress[fault].fired += u32::from(!broken);
        self.mark(now, fault, effect, kind.as_ref(), &actions, &told);
        if let Some(kind) = kind {
            self.effects.insert(effect, (fault, kind));
            if let Some(lasts) = lasts {
                self.push(now + lasts, Step::End { effect });
            }
        }
        let told = format!("{}: {told}", self.faults[fault].id);
        self.story.push((now, told));
        self.wake_followers(now, fault);
        Some(actions)
    }

    /// A crash has made something rot.
    pub fn note_rotten(&mut self) {
        self.rotten += 1;
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
}

#[derive(Clone, Copy)]
enum Draw {
    Time = 0,
    Lasts = 1,
    Target = 2,
    Fate = 3,
    Wait = 4,
    Torn = 5,
    Restart = 6,
    Rot = 7,
    Amount = 8,
    Beat = 9,
}

/// Conditions in which nothing is wrong but the clocks, as far as the scenario says so.
fn clocks_of(scenario: &Scenario, seed: Seed) -> Conditions {
    let hosts = 0..scenario.cluster.hosts();
    let drawn = |host: usize, what| draw(seed, Purpose::StartOffset, host as u64, what, 0);
    let drifts: Vec<i64> =
        hosts.clone().map(|host| scenario.cluster.clock(host).drift.map_or(0, |drift| drift.pick(drawn(host, 2)))).collect();
    let ahead = |host: usize| scenario.cluster.clock(host).skew.unwrap_or(ROUGHLY_RIGHT).pick(drawn(host, 1));
    let clocks = hosts.map(|host| NodeClock::new(ahead(host), drifts[host])).collect();
    Conditions::new(clocks, drifts)
}

#[cfg(test)]
mod tests;
