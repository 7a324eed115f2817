//! What faults do to a cluster when they begin, and what is undone when they end.

use super::clients::ClientSet;
use super::conditions::{DiskKind, WeatherKind};
use super::targets::{Pick, Way, each, names};
use super::{Action, ClusterView, Draw, FaultPlan, Nodes, OperatorCall, Step};
use crate::scenario::{DiskFailure, DiskFate, Operation, Rot, Signed, Target, Verb};
use tertulia_protocol::dice::below;

/// What has to be undone.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Crashed(Nodes),
    /// Their folders are gone: they come back as newcomers.
    Wiped(Nodes),
    Paused(Nodes),
    Split(Vec<Way>),
    /// Something in the conditions of links or disks.
    Conditions,
    /// Wall clocks that are off, each by so many microseconds more.
    Skewed(Vec<(usize, i64)>),
    /// Clocks that drift, each by so many millionths more.
    Drifting(Vec<(usize, i64)>),
    /// Something in the conditions of clients.
    Clients,
    /// They lose their connections all at once, again and again.
    Storm(ClientSet),
}

/// What has to be undone, what is to be done at once, and how it is told.
pub(super) type Begun = (Option<Effect>, Vec<Action>, String);

/// One time that a fault fires.
#[derive(Clone, Copy)]
pub(super) struct Occurrence<'a> {
    pub now: u64,
    pub fault: usize,
    pub nth: u32,
    pub effect: u64,
    pub lasts: Option<u64>,
    pub view: ClusterView<'a>,
}

impl FaultPlan {
    /// What a fault does at once, and what has to be undone at its end. `None`: its target is not there.
    pub(super) fn begin(&mut self, what: Occurrence<'_>) -> Option<Begun> {
        let Occurrence { now, fault, nth, effect, lasts, view } = what;
        let draw = self.draw(fault, Draw::Target, nth);
        let anybody = Pick { view, draw, up_only: false };
        let running = Pick { up_only: true, ..anybody };
        let mut weather = |kind: WeatherKind, on: &[Target]| {
            let on = anybody.all(on)?;
            self.conditions.add_weather(effect, kind, on);
            Some((Some(Effect::Conditions), Vec::new(), format!("{kind} on links of {}", names(on))))
        };
        let verb = self.faults[fault].verb.clone();
        Some(match &verb {
            Verb::Reorder { ppm, by, on } => weather(WeatherKind::Reorder(*ppm, *by), on)?,
            Verb::Clog { rate, queue, on } => weather(WeatherKind::Clog(*rate, *queue), on)?,
            Verb::Skew { by, on } | Verb::Jump { by, on } => {
                let off = self.draw_each(fault, nth, *by, anybody.all(on)?);
                self.conditions.shift_clocks(&off);
                let lasting = matches!(verb, Verb::Skew { .. });
                let told = format!("wall clocks {}: {}", if lasting { "are off" } else { "leap" }, told_offsets(&off));
                (lasting.then_some(Effect::Skewed(off)), vec![Action::Clocks], told)
            }
            Verb::Drift { ppm, on } => {
                let off = self.draw_each(fault, nth, *ppm, anybody.all(on)?);
                self.conditions.add_drifts(now, &off);
                let each: Vec<String> = off.iter().map(|(node, ppm)| format!("n{} {ppm:+} ppm", node + 1)).collect();
                (Some(Effect::Drifting(off)), vec![Action::Clocks], format!("clocks drift: {}", each.join(", ")))
            }
            Verb::Disconnect { .. } | Verb::CutClients { .. } | Verb::SlowReader { .. } | Verb::RetryStorm { .. } => {
                let what = Occurrence { now, fault, nth, effect, lasts, view };
                self.begin_clients(&what, &verb, anybody)?
            }
            Verb::Loss { ppm, on } => weather(WeatherKind::Loss(*ppm), on)?,
            Verb::Delay { by, on } => weather(WeatherKind::Delay(*by), on)?,
            Verb::Duplicate { ppm, on } => weather(WeatherKind::Duplicate(*ppm), on)?,
            Verb::Crash { targets, disk, rot } => self.crash(fault, nth, running.all(targets)?, *disk, *rot),
            Verb::Pause { targets } => {
                let nodes = running.all(targets)?;
                let actions = each(nodes).map(|node| Action::Pause { node }).collect();
                (Some(Effect::Paused(nodes)), actions, format!("pause {}", names(nodes)))
            }
            Verb::Partition(split) => {
                let (ways, told) = anybody.split(split)?;
                self.conditions.block(&ways, true);
                (Some(Effect::Split(ways)), vec![Action::Links], format!("partition {told}"))
            }
            Verb::Reset { on } => {
                let nodes = running.all(on)?;
                let among = if nodes.count_ones() == 1 { (1 << self.hosts) - 1 } else { nodes };
                let pairs = each(nodes).flat_map(|a| each(among).map(move |b| (a, b)));
                let once = pairs.filter(|(a, b)| a < b || (a != b && nodes >> b & 1 == 0));
                let actions = once.map(|(a, b)| Action::Reset { a, b }).collect();
                (None, actions, format!("connections of {} break", names(nodes)))
            }
            Verb::Links(map) => {
                self.conditions.add_map(effect, map.clone());
                (Some(Effect::Conditions), vec![Action::Links], "other delays".to_owned())
            }
            Verb::Stall { targets } => {
                let until = lasts.map_or(self.stop, |lasts| (now + lasts).min(self.stop));
                self.trouble_disks(effect, DiskKind::Stalled { until }, running.all(targets)?)
            }
            Verb::SlowDisk { sync, on } => self.trouble_disks(effect, DiskKind::Slow(*sync), anybody.all(on)?),
            Verb::BreakDisk { targets, how, .. } => self.trouble_disks(effect, DiskKind::Broken(*how), running.all(targets)?),
            Verb::Operator(operation) => self.operate(*operation, running)?,
        })
    }

    /// A draw of its own for each of these nodes.
    fn draw_each(&self, fault: usize, nth: u32, range: Signed, nodes: Nodes) -> Vec<(usize, i64)> {
        each(nodes).map(|node| (node, range.pick(self.draw(fault, Draw::Amount, nth << 6 | node as u32)))).collect()
    }

    fn trouble_disks(&mut self, effect: u64, kind: DiskKind, on: Nodes) -> Begun {
        self.conditions.add_disk(effect, kind, on);
        let told = match kind {
            DiskKind::Stalled { .. } => "stalled",
            DiskKind::Slow(_) => "slow",
            DiskKind::Broken(DiskFailure::Full) => "full",
            DiskKind::Broken(DiskFailure::Failing) => "broken",
            DiskKind::Broken(DiskFailure::Misread) => "misread",
        };
        (Some(Effect::Conditions), Vec::new(), format!("disk {told}: {}", names(on)))
    }

    fn operate(&mut self, operation: Operation, pick: Pick<'_>) -> Option<Begun> {
        let call = |call| vec![Action::Operator(call)];
        let (actions, told) = match operation {
            Operation::Transfer(target) => {
                let to = pick.one(target)?;
                (call(OperatorCall::Transfer { to }), format!("n{} shall lead", to + 1))
            }
            Operation::Succession { central } => {
                let policy = if central { "whoever reaches a majority soonest" } else { "the next in the ring" };
                (call(OperatorCall::Succession { central }), format!("{policy} shall lead"))
            }
            Operation::Remove(target) => {
                let node = pick.one(target)?;
                (call(OperatorCall::Remove { node }), format!("n{} shall leave", node + 1))
            }
            Operation::Replace(target) => {
                let node = pick.one(target)?;
                let host = self.take_spare()?;
                self.gone |= 1 << node;
                let join = OperatorCall::Join { host, replace: Some(node) };
                let told = format!("n{} is gone for good, n{} takes its place", node + 1, host + 1);
                (vec![Action::Gone { node }, Action::Operator(join)], told)
            }
            Operation::Add(count) => {
                let before = self.next_spare;
                let hosts: Vec<usize> = (0..count).map_while(|_| self.take_spare()).collect();
                if hosts.len() < count as usize {
                    self.next_spare = before;
                    return None;
                }
                let joins = hosts.iter().map(|host| Action::Operator(OperatorCall::Join { host: *host, replace: None }));
                let told = hosts.iter().map(|host| format!("n{}", host + 1)).collect::<Vec<_>>().join(" ");
                (joins.collect(), format!("{told} shall join"))
            }
            Operation::Voters(count) => (call(OperatorCall::Voters { count: count as usize }), format!("{count} shall vote")),
        };
        Some((None, actions, told))
    }

    fn take_spare(&mut self) -> Option<usize> {
        let host = Some(self.next_spare).filter(|host| *host < self.hosts)?;
        self.next_spare += 1;
        Some(host)
    }

    /// A node has halted. Whether its disk was to fail: then that works again, and the node is started after a while.
    pub fn halted(&mut self, now: u64, node: usize) -> bool {
        let Some(broken) = self.conditions.mend(node) else { return false };
        let Some((fault, _)) = self.effects.get(&broken) else { return false };
        let fault = *fault;
        let Verb::BreakDisk { restart, .. } = self.faults[fault].verb else { return false };
        let after = restart.pick(self.draw(fault, Draw::Restart, self.progress[fault].fired)).max(1);
        self.progress[fault].fired += 1;
        self.next_effect += 1;
        self.effects.insert(self.next_effect, (fault, Effect::Crashed(1 << node)));
        self.push(now + after, Step::End { effect: self.next_effect });
        let told = format!("n{} halts, its disk has failed", node + 1);
        self.mark(now, fault, self.next_effect, Some(&Effect::Crashed(1 << node)), &[], &told);
        let told = format!("{}: {told}", self.faults[fault].id);
        self.story.push((now, told));
        true
    }

    /// What a crash leaves on the disk, drawn where the scenario leaves it open.
    pub(super) fn fate(&self, fault: usize, nth: u32, disk: DiskFate) -> DiskFate {
        match disk {
            DiskFate::Any => {
                [DiskFate::Keep, DiskFate::LoseUnsynced, DiskFate::Torn][below(self.draw(fault, Draw::Fate, nth), 3) as usize]
            }
            fate => fate,
        }
    }

    fn crash(&mut self, fault: usize, nth: u32, nodes: Nodes, disk: DiskFate, rot: Option<Rot>) -> Begun {
        let fate = self.fate(fault, nth, disk);
        let torn = self.draw(fault, Draw::Torn, nth);
        let rot = rot.map(|rot| (rot, self.draw(fault, Draw::Rot, nth)));
        let actions = each(nodes).map(|node| Action::Crash { node, fate, torn, rot }).collect();
        let told = match rot {
            Some((rot, _)) => format!("crash {} ({fate:?}, rot of the {rot:?})", names(nodes)),
            None => format!("crash {} ({fate:?})", names(nodes)),
        };
        let effect = if fate == DiskFate::Wipe { Effect::Wiped(nodes) } else { Effect::Crashed(nodes) };
        (Some(effect), actions, told)
    }

    pub(super) fn end(&mut self, now: u64, effect: u64) -> Vec<Action> {
        let Some((fault, kind)) = self.effects.remove(&effect) else { return Vec::new() };
        self.unmark(now, effect);
        let told = format!("{}: ends", self.faults[fault].id);
        self.story.push((now, told));
        match kind {
            Effect::Crashed(nodes) => each(nodes & !self.gone).map(|node| Action::Restart { node }).collect(),
            Effect::Wiped(nodes) => {
                let join = |host| Action::Operator(OperatorCall::Join { host, replace: Some(host) });
                each(nodes & !self.gone).map(join).collect()
            }
            Effect::Paused(nodes) => {
                let others = self.effects.values().map(|(_, kind)| if let Effect::Paused(nodes) = kind { *nodes } else { 0 });
                let still = others.fold(0, |still, nodes| still | nodes);
                each(nodes & !still).map(|node| Action::Resume { node }).collect()
            }
            Effect::Split(ways) => {
                self.conditions.block(&ways, false);
                vec![Action::Links]
            }
            Effect::Conditions => {
                let other_delays = matches!(self.faults[fault].verb, Verb::Links(_));
                self.conditions.end(effect);
                other_delays.then_some(Action::Links).into_iter().collect()
            }
            Effect::Skewed(off) => {
                self.conditions.shift_clocks(&undone(&off));
                vec![Action::Clocks]
            }
            Effect::Drifting(off) => {
                self.conditions.add_drifts(now, &undone(&off));
                vec![Action::Clocks]
            }
            Effect::Clients => {
                self.conditions.end(effect);
                vec![Action::Clients]
            }
            Effect::Storm(_) => Vec::new(),
        }
    }
}

fn undone(off: &[(usize, i64)]) -> Vec<(usize, i64)> {
    off.iter().map(|(node, by)| (*node, -by)).collect()
}

fn told_offsets(off: &[(usize, i64)]) -> String {
    let each: Vec<String> = off.iter().map(|(node, by)| format!("n{} by {:+.1} ms", node + 1, *by as f64 / 1_000.0)).collect();
    each.join(", ")
}
