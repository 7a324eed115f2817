//! A load for the demo's cluster, and what its clients saw of it: the counter on the cluster page.
//!
//! On each node (on five at most) one client writes and one only reads, all in a room of their own. They are clients as people have them, over the framed protocol, and go on at another node when theirs
//! dies; when it is back they go home. Everything that they do and see goes to the [`tally`], which judges and counts it. Nothing runs before somebody asks for a load.

mod audit;
mod seat;
mod tally;

use super::stage::{Life, Stage};
use crate::clock;
use seat::{Role, Seat};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tally::Tally;
use tertulia_judge::{At, ClientFact};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Posts a second, in all.
pub const MOST: u32 = 500;
/// Where they are posted.
const ROOM: &str = "load";
/// Nodes that have a writer and a reader of their own.
const HOMES: u16 = 5;

/// The load of one demo. Cheap to clone.
#[derive(Clone)]
pub struct Load {
    shared: Arc<Shared>,
}

/// What all of its tasks share.
struct Shared {
    stage: Arc<Stage>,
    tally: Mutex<Tally>,
    rate: watch::Sender<u32>,
    /// Clients that are told of everything now.
    clients: Mutex<BTreeSet<u32>>,
    /// Nothing is posted for the moment, so that a generation can end.
    holds: AtomicBool,
    /// The rate that it goes on with when somebody looks again.
    resting: AtomicU32,
    /// By client, why it does not do what it is asked to.
    trouble: Mutex<BTreeMap<String, String>>,
    tasks: OnceLock<JoinSet<()>>,
    /// Makes texts of one demo different from those of another.
    run: u32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Microseconds of this process: the judge's time.
fn now() -> At {
    At(clock::now().instant.0)
}

impl Shared {
    fn observe(&self, fact: &ClientFact) {
        let mut tally = lock(&self.tally);
        // Read under the lock: times must not go back from fact to fact.
        tally.observe(now(), fact);
    }

    fn say_trouble(&self, name: &str, why: String) {
        lock(&self.trouble).insert(name.into(), why);
    }

    /// `host:port` of all nodes, in the order of their numbers.
    fn servers(&self) -> Vec<String> {
        self.stage.plan.nodes().map(|node| format!("127.0.0.1:{}", self.stage.plan.http_port(node))).collect()
    }

    /// Whether a node runs, and can reach a majority as far as cuts go.
    fn is_well(&self, node: u16) -> bool {
        let cuts = self.stage.cuts();
        let runs = |node: u16| self.stage.seat(node).life == Life::Runs;
        let reached = self.stage.plan.nodes().filter(|other| runs(*other) && !cuts.contains(&super::stage::pair(node, *other)));
        runs(node) && reached.count() * 2 > self.stage.plan.nodes().count()
    }
}

impl Load {
    pub fn new(stage: Arc<Stage>) -> Load {
        let shared = Shared {
            stage,
            tally: Mutex::default(),
            rate: watch::Sender::new(0),
            clients: Mutex::default(),
            holds: AtomicBool::new(false),
            trouble: Mutex::default(),
            tasks: OnceLock::new(),
            run: rand::random(),
            resting: AtomicU32::new(0),
        };
        Load { shared: Arc::new(shared) }
    }

    /// Posts so many a second from now on, at most [`MOST`].
    pub fn set_rate(&self, per_second: u32) {
        let before = self.shared.rate.send_replace(per_second.min(MOST));
        if before != per_second {
            self.shared.stage.note(match per_second {
                0 => "the load stops".into(),
                _ => format!("load: {per_second} posts a second"),
            });
        }
        if per_second > 0 {
            self.shared.tasks.get_or_init(|| begin(&self.shared));
        }
    }

    /// Nobody looks any more: the load stops until somebody does, so that a page that was closed does not fill a disk.
    pub fn rest(&self) {
        let rate = *self.shared.rate.borrow();
        if rate > 0 {
            self.shared.resting.store(rate, Relaxed);
            self.set_rate(0);
        }
    }

    /// Somebody looks: as it was, if it has stopped because nobody did.
    pub fn wake(&self) {
        let rate = self.shared.resting.swap(0, Relaxed);
        if rate > 0 && *self.shared.rate.borrow() == 0 {
            self.set_rate(rate);
        }
    }

    /// The rate, its bound, and what was counted; see [`Tally::json`].
    pub fn json(&self) -> Value {
        let mut json = lock(&self.shared.tally).json(now().0);
        json["per_second"] = (*self.shared.rate.borrow()).into();
        json["most_per_second"] = MOST.into();
        json["clients"] = lock(&self.shared.clients).len().into();
        json["holds"] = self.shared.holds.load(Relaxed).into();
        let trouble = lock(&self.shared.trouble).first_key_value().map(|(name, why)| format!("{name}: {why}"));
        json["trouble"] = trouble.into();
        json
    }
}

/// Starts all clients. They end with the demo's process.
fn begin(shared: &Arc<Shared>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let homes: Vec<u16> = shared.stage.plan.nodes().take(usize::from(HOMES)).collect();
    for (nth, home) in homes.iter().enumerate() {
        for (role, of_role) in [(Role::Writer, 0), (Role::Reader, homes.len())] {
            let number = (of_role + nth) as u32 + 1;
            let name = format!("load-{number}");
            let seat = Seat { shared: Arc::clone(shared), role, home: *home, number, writers: homes.len() as u32, name };
            tasks.spawn(seat.run());
        }
    }
    let number = 2 * homes.len() as u32 + 1;
    tasks.spawn(audit::run(Arc::clone(shared), number));
    tasks
}
