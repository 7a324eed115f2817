//! What is wrong just now: which ways are blocked, what the weather does to messages, which disks are slow, stalled or broken, how far clocks are off,
//! which clients are cut off or read slowly. Both engines look here.

use super::Nodes;
use super::clients::ClientSet;
use super::clock::NodeClock;
use crate::scenario::{DiskFailure, Span, Throughput};
use std::collections::BTreeMap;

/// Delays by (from, to).
type Delays = BTreeMap<(usize, usize), Span>;

/// What is wrong with links and disks just now.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    lingers: u64,
    nodes: usize,
    /// By `from * nodes + to`: how many partitions block this way.
    blocked: Vec<u16>,
    weather: Vec<Weather>,
    /// Other delays of links, by the fault's effect.
    maps: Vec<(u64, Delays)>,
    disks: Vec<DiskTrouble>,
    /// By node.
    clocks: Vec<NodeClock>,
    /// By node: the sum of its drifts.
    drifts: Vec<i64>,
    readers: Vec<Readers>,
}

#[derive(Clone, Debug)]
struct Readers {
    effect: u64,
    kind: ReaderKind,
    who: ClientSet,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReaderKind {
    /// Nothing passes between them and these nodes.
    Cut(Nodes),
    /// They take so many bytes a second, or nothing.
    Slow(Option<u64>),
}

/// How a client takes what it is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// As it comes.
    Freely,
    /// So many bytes a second.
    Slowly(u64),
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Weather {
    effect: u64,
    kind: WeatherKind,
    on: Nodes,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum WeatherKind {
    Loss(u32),
    Delay(Span),
    Duplicate(u32),
    /// So many millionths are held back by so much.
    Reorder(u32, Span),
    /// So much passes in a second; what would wait for longer than this breaks the connection.
    Clog(Throughput, u64),
}

#[derive(Clone, Copy, Debug)]
struct DiskTrouble {
    effect: u64,
    kind: DiskKind,
    on: Nodes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum DiskKind {
    /// Nothing is done before this time.
    Stalled {
        until: u64,
    },
    /// One sync takes so long.
    Slow(Span),
    Broken(DiskFailure),
}

impl std::fmt::Display for WeatherKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |ppm: &u32| f64::from(*ppm) / 10_000.0;
        match self {
            WeatherKind::Loss(ppm) => write!(f, "loss of {} %", percent(ppm)),
            WeatherKind::Duplicate(ppm) => write!(f, "doubling of {} %", percent(ppm)),
            WeatherKind::Delay(by) => write!(f, "delay by {} to {} ms", by.from / 1_000, by.to / 1_000),
            WeatherKind::Reorder(ppm, by) => {
                write!(f, "{} % held back by {} to {} ms", percent(ppm), by.from / 1_000, by.to / 1_000)
            }
            WeatherKind::Clog(Throughput::Bytes(rate), _) => write!(f, "no more than {rate} bytes a second"),
            WeatherKind::Clog(Throughput::Messages(rate), _) => write!(f, "no more than {rate} messages a second"),
        }
    }
}

impl Conditions {
    /// `clocks` and their drifts, by node.
    pub(super) fn new(clocks: Vec<NodeClock>, drifts: Vec<i64>) -> Conditions {
        let nodes = clocks.len();
        Conditions { nodes, blocked: vec![0; nodes * nodes], clocks, drifts, ..Conditions::default() }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(nodes: usize) -> Conditions {
        Conditions::new(vec![NodeClock::new(0, 0); nodes], vec![0; nodes])
    }

    /// What a machine's clocks read.
    pub fn clock(&self, node: usize) -> NodeClock {
        self.clocks[node]
    }

    /// Whether a clock runs so fast or slow that timeouts are not what the timings say: by more than a hundredth.
    pub fn clocks_drift(&self) -> bool {
        self.drifts.iter().any(|ppm| ppm.unsigned_abs() > 10_000)
    }

    /// Moves wall clocks, each by so many microseconds.
    pub(super) fn shift_clocks(&mut self, by: &[(usize, i64)]) {
        for (node, micros) in by {
            self.clocks[*node].shift(*micros);
        }
    }

    /// From now on clocks drift by so many millionths more.
    pub(super) fn add_drifts(&mut self, now: u64, by: &[(usize, i64)]) {
        for (node, ppm) in by {
            self.drifts[*node] += ppm;
            self.clocks[*node].set_drift(now, self.drifts[*node]);
        }
    }

    /// Whether nothing passes between a client and a node.
    pub fn cut_off(&self, client: u32, node: usize) -> bool {
        let cuts = |readers: &Readers| matches!(readers.kind, ReaderKind::Cut(on) if on >> node & 1 == 1);
        self.readers.iter().any(|readers| cuts(readers) && readers.who.contains(&client))
    }

    /// How a client reads: the slowest counts.
    pub fn reading(&self, client: u32) -> Reading {
        let of_it = self.readers.iter().filter(|readers| readers.who.contains(&client));
        of_it.fold(Reading::Freely, |reading, readers| match (readers.kind, reading) {
            (ReaderKind::Slow(None), _) => Reading::Nothing,
            (ReaderKind::Slow(Some(rate)), Reading::Freely) => Reading::Slowly(rate),
            (ReaderKind::Slow(Some(rate)), Reading::Slowly(other)) => Reading::Slowly(rate.min(other)),
            (_, reading) => reading,
        })
    }

    /// Whether every client reads as it comes, and is cut off from nobody.
    pub fn clients_are_well(&self) -> bool {
        self.readers.is_empty()
    }

    pub(super) fn add_readers(&mut self, effect: u64, kind: ReaderKind, who: ClientSet) {
        self.readers.push(Readers { effect, kind, who });
    }

    /// The parts of messages on this way that are held back, in millionths, and by how much.
    pub fn held_back(&self, from: usize, to: usize) -> impl Iterator<Item = (u32, Span)> + '_ {
        self.weather_at(from, to).filter_map(|kind| match kind {
            WeatherKind::Reorder(ppm, by) => Some((ppm, by)),
            _ => None,
        })
    }

    /// What passes this way in a second, and how long a message may wait, in microseconds: the newest counts.
    pub fn clog(&self, from: usize, to: usize) -> Option<(Throughput, u64)> {
        let clogs = self.weather_at(from, to).filter_map(|kind| match kind {
            WeatherKind::Clog(rate, queue) => Some((rate, queue)),
            _ => None,
        });
        clogs.last()
    }

    fn weather_at(&self, from: usize, to: usize) -> impl Iterator<Item = WeatherKind> + '_ {
        let ends = (1 << from) | (1 << to);
        self.weather.iter().filter(move |weather| weather.on & ends != 0).map(|weather| weather.kind)
    }

    /// Ways between nodes of different sides are blocked from now on, and no others. `sides`: by node.
    pub(crate) fn part(&mut self, sides: &[usize]) {
        for (way, blocked) in self.blocked.iter_mut().enumerate() {
            *blocked = u16::from(sides[way / self.nodes] != sides[way % self.nodes]);
        }
    }

    pub fn blocked(&self, from: usize, to: usize) -> bool {
        self.blocked[from * self.nodes + to] > 0
    }

    /// The delay of a link, where a fault gives it another one: the newest counts.
    pub fn delay(&self, from: usize, to: usize) -> Option<Span> {
        self.maps.iter().rev().find_map(|(_, map)| map.get(&(from, to)).copied())
    }

    /// Until when a disk does nothing.
    pub fn stalled_until(&self, node: usize) -> Option<u64> {
        let until = self.disks_of(node).filter_map(|kind| match kind {
            DiskKind::Stalled { until } => Some(until),
            _ => None,
        });
        until.max()
    }

    /// How long one sync of the log takes, where a fault says so: the newest counts.
    pub fn slow_disk(&self, node: usize) -> Option<Span> {
        let slow = self.disks_of(node).filter_map(|kind| match kind {
            DiskKind::Slow(sync) => Some(sync),
            _ => None,
        });
        slow.last()
    }

    /// How the next write fails.
    pub fn broken_disk(&self, node: usize) -> Option<DiskFailure> {
        let mut broken = self.disks_of(node).filter_map(|kind| match kind {
            DiskKind::Broken(how) => Some(how),
            _ => None,
        });
        broken.next()
    }

    fn disks_of(&self, node: usize) -> impl Iterator<Item = DiskKind> + '_ {
        self.disks.iter().filter(move |disk| disk.on >> node & 1 == 1).map(|disk| disk.kind)
    }

    /// No loss, no extra delay, no duplicates anywhere.
    pub fn is_fair(&self) -> bool {
        self.weather.is_empty()
    }

    /// What may keep a cluster from making progress in time although its ways are open; see [`crate::liveness`].
    pub fn disturbed(&self) -> Option<&'static str> {
        match self {
            _ if !self.weather.is_empty() => Some("weather"),
            _ if !self.maps.is_empty() => Some("other delays of links"),
            _ if self.disks.iter().any(|disk| disk.on != 0) => Some("a troubled disk"),
            _ if self.clocks_drift() => Some("a clock that drifts"),
            _ if !self.readers.is_empty() => Some("clients that are cut off or read slowly"),
            _ => None,
        }
    }

    /// For how long what faults have held back may still be under way when they have ended, in microseconds: the queue of a clogged link keeps its pace
    /// on turmoil.
    pub fn lingers(&self) -> u64 {
        self.lingers
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
                WeatherKind::Delay(_) | WeatherKind::Reorder(..) | WeatherKind::Clog(..) => {}
            }
        }
        let delays = here.filter_map(|weather| match weather.kind {
            WeatherKind::Delay(by) => Some(by),
            _ => None,
        });
        (loss, duplicate, delays)
    }

    /// Blocks these ways, from one node to another, each once more; or once less.
    pub(crate) fn block(&mut self, ways: &[(usize, usize)], add: bool) {
        for (from, to) in ways {
            let count = &mut self.blocked[from * self.nodes + to];
            *count = if add { *count + 1 } else { *count - 1 };
        }
    }

    pub(super) fn add_weather(&mut self, effect: u64, kind: WeatherKind, on: Nodes) {
        self.weather.push(Weather { effect, kind, on });
    }

    pub(super) fn add_map(&mut self, effect: u64, map: Delays) {
        self.maps.push((effect, map));
    }

    pub(super) fn add_disk(&mut self, effect: u64, kind: DiskKind, on: Nodes) {
        self.disks.push(DiskTrouble { effect, kind, on });
    }

    /// Ends what one effect does.
    pub(super) fn end(&mut self, effect: u64) {
        let queues = self.weather.iter().filter(|weather| weather.effect == effect).filter_map(|weather| match weather.kind {
            WeatherKind::Clog(_, queue) => Some(queue),
            _ => None,
        });
        self.lingers = self.lingers.max(queues.max().unwrap_or(0));
        self.weather.retain(|weather| weather.effect != effect);
        self.maps.retain(|(of, _)| *of != effect);
        self.disks.retain(|disk| disk.effect != effect);
        self.readers.retain(|readers| readers.effect != effect);
    }

    /// Whose links and disks an effect troubles.
    pub(super) fn struck_by(&self, effect: u64) -> Nodes {
        let weather = self.weather.iter().filter(|weather| weather.effect == effect).map(|weather| weather.on);
        let disks = self.disks.iter().filter(|disk| disk.effect == effect).map(|disk| disk.on);
        let maps = self.maps.iter().filter(|(of, _)| *of == effect).flat_map(|(_, map)| map.keys());
        weather.chain(disks).chain(maps.map(|(from, to)| 1 << from | 1 << to)).fold(0, |all, on| all | on)
    }

    /// A broken disk works again; which effect that was.
    pub(super) fn mend(&mut self, node: usize) -> Option<u64> {
        let broken = |disk: &&mut DiskTrouble| disk.on >> node & 1 == 1 && matches!(disk.kind, DiskKind::Broken(_));
        let disk = self.disks.iter_mut().find(broken)?;
        disk.on &= !(1 << node);
        Some(disk.effect)
    }
}
