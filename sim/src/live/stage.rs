//! What the parts of a live run share: the clients write down what they saw, the director says what is wrong with the network just now.

use crate::plan::Conditions;
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tertulia_driver::{Clock, SystemClock};
use tertulia_judge::{At, ClientFact};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::{RoomId, Seq};
use tokio::time::Instant;

/// How a client stands.
#[derive(Clone, Default)]
pub struct Standing {
    /// What it still waits for, as a sentence.
    pub waits_for: Option<String>,
    pub has_read_all: bool,
    /// Something that may not happen to it.
    pub trouble: Option<String>,
}

pub struct Stage {
    pub scenario: Scenario,
    pub seed: Seed,
    /// Ports on loopback, by node: where clients are served, where peers are awaited.
    pub client_ports: Vec<u16>,
    pub peer_ports: Vec<u16>,
    start: Mutex<(Instant, At)>,
    clock: SystemClock,
    /// The last time that was written down.
    last: Mutex<At>,
    pub conditions: Mutex<Conditions>,
    /// By `from * nodes + to`: how often these connections were broken on purpose.
    pub resets: Vec<AtomicU64>,
    /// By client: how often its connection was broken on purpose.
    pub broken: Vec<AtomicU64>,
    /// By client: the node that it is connected to.
    pub seats: Mutex<Vec<Option<usize>>>,
    pub standings: Mutex<Vec<Standing>>,
    pub final_reading: AtomicBool,
    /// The newest place of each room that any node has applied.
    pub posted: Mutex<BTreeMap<RoomId, Seq>>,
    /// What clients saw and nobody has written down yet, with the time by the wall clock.
    pub told: Mutex<Vec<(At, ClientFact)>>,
    /// Pieces of what nodes said to each other that a closed way held.
    pub held: AtomicU64,
    /// Connections of clients that a fault broke, and what it kept waiting.
    pub disconnected: AtomicU64,
    pub kept_waiting: AtomicU64,
}

impl Stage {
    /// The run's time begins now, and anew with [`Stage::begin`].
    pub fn new(scenario: &Scenario, seed: Seed, conditions: Conditions, client_ports: Vec<u16>, peer_ports: Vec<u16>) -> Stage {
        let (nodes, clients) = (scenario.cluster.hosts(), crate::workload::actors(scenario) as usize);
        let counters = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let clock = SystemClock::new();
        Stage {
            scenario: scenario.clone(),
            seed,
            client_ports,
            peer_ports,
            start: Mutex::new((Instant::now(), At(clock.now().wall.0))),
            clock,
            last: Mutex::default(),
            conditions: Mutex::new(conditions),
            resets: counters(nodes * nodes),
            broken: counters(clients),
            seats: Mutex::new(vec![None; clients]),
            standings: Mutex::new(vec![Standing::default(); clients]),
            final_reading: AtomicBool::new(false),
            posted: Mutex::default(),
            told: Mutex::default(),
            held: AtomicU64::new(0),
            disconnected: AtomicU64::new(0),
            kept_waiting: AtomicU64::new(0),
        }
    }

    /// The cluster is there: the run's time begins now.
    pub fn begin(&self) {
        let wall = self.wall();
        *lock(&self.start) = (Instant::now(), wall);
    }

    /// When that was by the wall clock.
    pub fn began(&self) -> At {
        lock(&self.start).1
    }

    /// Microseconds since the run began.
    pub fn elapsed(&self) -> u64 {
        lock(&self.start).0.elapsed().as_micros() as u64
    }

    /// What the wall clock reads: the time of records. It never goes back.
    pub fn wall(&self) -> At {
        let mut last = lock(&self.last);
        *last = last.max(At(self.clock.now().wall.0));
        *last
    }

    /// When something was by the wall clock that was at `at` microseconds of the run.
    pub fn wall_at(&self, at: u64) -> At {
        At(self.wall().0.saturating_sub(self.elapsed().saturating_sub(at)))
    }

    /// Writes down what a client saw just now.
    pub fn tell(&self, mut fact: ClientFact) {
        if let ClientFact::Read { asked, .. } = &mut fact {
            *asked = self.wall_at(asked.0);
        }
        let now = self.wall();
        lock(&self.told).push((now, fact));
    }

    /// A way between two nodes is closed just now.
    pub fn is_blocked(&self, from: usize, to: usize) -> bool {
        lock(&self.conditions).blocked(from, to)
    }
}

/// Whoever panicked while holding it ends the run anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
