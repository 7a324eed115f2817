//! What the hosts of one run share with the loop that directs them. Everything runs on one thread; the locks are there because the driver's types are `Send`.

use super::host::first_voters;
use crate::plan::{Conditions, NodeClock};
use crate::roster::Roster;
use crate::scenario::Scenario;
use crate::trace::Chain;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tertulia_driver::sim_disk::{SECTOR, SimDisk};
use tertulia_judge::ClientFact;
use tertulia_protocol::dice::{Purpose, Seed, draw};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Incarnation, NodeId};
use tertulia_protocol::node::{Admin, AdminOutcome, Message};
use tertulia_protocol::raft::Member;

/// Something that the witness is to hear, in the order in which it happened.
pub enum Told {
    Fact {
        at: u64,
        node: usize,
        fact: Fact,
    },
    Client {
        at: u64,
        fact: ClientFact,
    },
    /// For a recorder: a node sends something, and something arrives.
    Sent {
        at: u64,
        from: usize,
        to: NodeId,
        message: Message,
    },
    Arrived {
        at: u64,
        from: NodeId,
        to: usize,
        digest: u64,
    },
    /// Where a client is connected from now on.
    ClientAt {
        at: u64,
        client: usize,
        node: Option<usize>,
    },
}

/// Why a node ended by itself.
pub enum Ending {
    /// The cluster has removed it.
    Removed,
    Other(String),
}

/// How one client stands, after its last turn.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// What it still waits for, as a sentence.
    pub waits_for: Option<String>,
    pub has_read_all: bool,
    /// What may not happen to it and did.
    pub trouble: Option<String>,
}

/// One connection of a client, as its node must know it to feel how slowly the client reads.
#[derive(Clone)]
pub struct ClientLine {
    pub client: u32,
    pub node: usize,
    /// Bytes that the node has written and the client has not taken.
    pub unread: Arc<AtomicU64>,
}

pub struct Stage {
    pub scenario: Scenario,
    pub seed: Seed,
    pub disks: Vec<Mutex<SimDisk>>,
    pub boots: Vec<AtomicU64>,
    /// Whose task stands still.
    pub paused: Vec<AtomicBool>,
    /// By `from * hosts + to`: how often the connections of this way were broken.
    pub resets: Vec<AtomicU64>,
    /// Messages that a fault held back, and those that waited on a clogged link.
    pub held_back: AtomicU64,
    pub queued: AtomicU64,
    /// By client: how often a fault broke its connection.
    pub broken: Vec<AtomicU64>,
    /// By client: the node that it is connected to.
    pub seats: Mutex<Vec<Option<usize>>>,
    /// Connections of clients that a fault broke, and times that one kept a client or its node waiting.
    pub disconnected: AtomicU64,
    pub kept_waiting: AtomicU64,
    /// By the client's port: whose connection that is.
    pub lines: Mutex<std::collections::BTreeMap<u16, ClientLine>>,
    /// Which machine is which member, as the director knows it.
    pub roster: Mutex<Roster>,
    /// How often each node has crashed.
    pub crashes: Vec<AtomicU64>,
    /// A chain for each node over all of its boots, then one for each client.
    pub chains: Vec<Mutex<Chain>>,
    pub events: AtomicU64,
    /// Frames between nodes that a fault lost or doubled.
    pub touched: AtomicU64,
    pub told: Mutex<Vec<Told>>,
    /// Whether what nodes say to each other is told too.
    pub records: AtomicBool,
    /// Nodes that ended by themselves.
    pub ended: Mutex<Vec<(usize, Ending)>>,
    /// By node: the members that its process is told of when it starts.
    pub knows: Vec<Mutex<Vec<Member>>>,
    /// How often each machine's folder was lost.
    pub wipes: Vec<AtomicU64>,
    /// By node: what an operator asks of it.
    pub asks: Vec<Mutex<Vec<(u64, Admin)>>>,
    /// What nodes have answered to operators, by ticket.
    pub administered: Mutex<Vec<(u64, AdminOutcome)>>,
    pub standings: Mutex<Vec<Standing>>,
    /// The newest place of each room that any node has applied.
    pub posted: Mutex<std::collections::BTreeMap<tertulia_protocol::ids::RoomId, u64>>,
    /// Clients read everything now.
    pub final_reading: AtomicBool,
    conditions: Mutex<Conditions>,
    now: AtomicU64,
    #[cfg(feature = "zoo")]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
}

/// A disk with nothing on it, with sectors as the scenario says.
pub fn empty_disk(scenario: &Scenario) -> SimDisk {
    let disk = SimDisk::new();
    disk.set_unit(scenario.cluster.sector.map_or(1, |bytes| u64::from(bytes) / SECTOR as u64));
    disk
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub fn new(scenario: &Scenario, seed: Seed, conditions: Conditions, options: crate::engine::Options) -> Stage {
        let (nodes, actors) = (scenario.cluster.hosts(), crate::workload::actors(scenario) as usize);
        #[cfg(not(feature = "zoo"))]
        let _ = options;
        Stage {
            scenario: scenario.clone(),
            seed,
            disks: (0..nodes).map(|_| Mutex::new(empty_disk(scenario))).collect(),
            held_back: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            broken: (0..actors).map(|_| AtomicU64::new(0)).collect(),
            seats: Mutex::new(vec![None; actors]),
            disconnected: AtomicU64::new(0),
            kept_waiting: AtomicU64::new(0),
            lines: Mutex::default(),
            boots: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            paused: (0..nodes).map(|_| AtomicBool::new(false)).collect(),
            resets: (0..nodes * nodes).map(|_| AtomicU64::new(0)).collect(),
            roster: Mutex::new(Roster::new(&scenario.cluster)),
            crashes: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            chains: (0..nodes + actors).map(|_| Mutex::new(Chain::default())).collect(),
            events: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            told: Mutex::default(),
            records: AtomicBool::new(false),
            ended: Mutex::default(),
            knows: (0..nodes).map(|_| Mutex::new(first_voters(scenario.cluster.voters))).collect(),
            wipes: (0..nodes).map(|_| AtomicU64::new(0)).collect(),
            asks: (0..nodes).map(|_| Mutex::default()).collect(),
            administered: Mutex::default(),
            standings: Mutex::new(vec![Standing { waits_for: Some("has not begun".to_owned()), ..Standing::default() }; actors]),
            posted: Mutex::default(),
            final_reading: AtomicBool::new(false),
            conditions: Mutex::new(conditions),
            now: AtomicU64::new(0),
            #[cfg(feature = "zoo")]
            bug: options.bug,
        }
    }

    /// The identity of the folder that is on this machine, or will be once its node has made it.
    pub fn incarnation(&self, node: usize) -> Incarnation {
        Incarnation(u128::from(draw(self.seed, Purpose::Identity, node as u64, 0, self.wipes[node].load(Relaxed))))
    }

    /// Simulated microseconds, inside a host.
    pub fn elapsed(&self) -> u64 {
        turmoil::sim_elapsed().map_or_else(|| self.now.load(Relaxed), |elapsed| elapsed.as_micros() as u64)
    }

    pub fn set_now(&self, now: u64) {
        self.now.store(now, Relaxed);
    }

    /// What a machine's clocks read, inside a host.
    pub fn clock(&self, node: usize) -> NodeClock {
        self.conditions().clock(node)
    }

    pub fn conditions(&self) -> MutexGuard<'_, Conditions> {
        lock(&self.conditions)
    }

    pub fn tell(&self, told: Told) {
        lock(&self.told).push(told);
    }
}
