//! What a demo's parts share: how its nodes are, what is done to them, and what has happened.

use super::plan::Plan;
use crate::clock;
use crate::driven::{Key, Wanted};
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Events that are remembered.
const EVENTS: usize = 80;
/// Orders to one node that may wait.
const ORDERS: usize = 8;

/// Two nodes that do not hear each other, the smaller number first.
pub type Pair = (u16, u16);

pub fn pair(a: u16, b: u16) -> Pair {
    (a.min(b), a.max(b))
}

/// How a node's process is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Life {
    Runs,
    Paused,
    /// How it ended, in words.
    Ended(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// kill -9.
    Kill,
    /// SIGSTOP.
    Pause,
    /// SIGCONT.
    GoOn,
    /// Starts it; what still runs is killed first.
    Restart,
}

/// Answered when it is done, or by why it is not.
pub type Ordered = (Order, oneshot::Sender<Result<(), String>>);

#[derive(Clone, Debug)]
pub struct Seat {
    pub life: Life,
    pub pid: u32,
    pub delay_ms: u64,
    /// What this run of the process was told last that it took.
    pub told: Option<Wanted>,
}

struct Inner {
    seats: Vec<Seat>,
    cuts: BTreeSet<Pair>,
    events: VecDeque<(u64, u64, String)>,
    /// How many events there were.
    count: u64,
}

pub struct Stage {
    pub plan: Plan,
    pub key: Key,
    inner: Mutex<Inner>,
    orders: Vec<mpsc::Sender<Ordered>>,
    /// Counts what was changed here.
    changed: watch::Sender<u64>,
}

impl Stage {
    /// Nobody runs yet. Returns where each node's orders come out, in the order of their numbers.
    pub fn new(plan: Plan, key: Key) -> (Stage, Vec<mpsc::Receiver<Ordered>>) {
        let ended = Seat { life: Life::Ended("not started yet".into()), pid: 0, delay_ms: 0, told: None };
        let seats: Vec<Seat> = plan.nodes().map(|_| ended.clone()).collect();
        let (orders, takers) = plan.nodes().map(|_| mpsc::channel(ORDERS)).unzip();
        let inner = Inner { seats, cuts: BTreeSet::new(), events: VecDeque::new(), count: 0 };
        (Stage { plan, key, inner: Mutex::new(inner), orders, changed: watch::Sender::new(0) }, takers)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        changed
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub fn has(&self, node: u16) -> bool {
        self.plan.nodes().any(|other| other == node)
    }

    /// Has something done to a node, and waits until it is.
    ///
    /// # Errors
    /// Why it is not done, as a sentence.
    pub async fn order(&self, node: u16, order: Order) -> Result<(), String> {
        let (answer, done) = oneshot::channel();
        let stopping = || "the demo is stopping".to_owned();
        self.orders[usize::from(node) - 1].send((order, answer)).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())?
    }

    /// Something happened, to be told to whoever watches.
    pub fn note(&self, text: String) {
        self.change(|inner| {
            if inner.events.len() == EVENTS {
                inner.events.pop_front();
            }
            inner.count += 1;
            inner.events.push_back((inner.count, clock::milliseconds(), text));
        });
    }

    /// A node's process is like this from now on.
    pub fn set_life(&self, node: u16, life: Life) {
        self.change(|inner| inner.seats[usize::from(node) - 1].life = life);
    }

    /// A new process, which was told this at its start.
    pub fn started(&self, node: u16, pid: u32, told: Wanted) {
        self.change(|inner| {
            let seat = &mut inner.seats[usize::from(node) - 1];
            *seat = Seat { life: Life::Runs, pid, delay_ms: seat.delay_ms, told: Some(told) };
        });
    }

    pub fn seat(&self, node: u16) -> Seat {
        self.lock().seats[usize::from(node) - 1].clone()
    }

    /// What is to be done to a node.
    pub fn wanted(&self, node: u16) -> Wanted {
        let inner = self.lock();
        let of = |(a, b): &Pair| (*a == node).then_some(u64::from(*b)).or((*b == node).then_some(u64::from(*a)));
        Wanted { cut: inner.cuts.iter().filter_map(of).collect(), sync_delay_ms: inner.seats[usize::from(node) - 1].delay_ms }
    }

    /// The process `pid` of this node has taken what it was told.
    pub fn took(&self, node: u16, pid: u32, wanted: Wanted) {
        self.change(|inner| {
            let seat = &mut inner.seats[usize::from(node) - 1];
            if seat.pid == pid {
                seat.told = Some(wanted);
            }
        });
    }

    /// Whether all nodes that run have taken what is to be done to them.
    pub fn has_settled(&self) -> bool {
        self.plan.nodes().all(|node| {
            let seat = self.seat(node);
            seat.life != Life::Runs || seat.told.as_ref() == Some(&self.wanted(node))
        })
    }

    pub fn set_delay(&self, node: u16, delay_ms: u64) {
        self.change(|inner| inner.seats[usize::from(node) - 1].delay_ms = delay_ms);
    }

    pub fn cuts(&self) -> BTreeSet<Pair> {
        self.lock().cuts.clone()
    }

    /// Changes which pairs are cut.
    pub fn change_cuts(&self, change: impl FnOnce(&mut BTreeSet<Pair>)) {
        self.change(|inner| change(&mut inner.cuts));
    }

    /// Nodes, cuts and events, as whoever watches is told.
    pub fn json(&self) -> serde_json::Map<String, Value> {
        let inner = self.lock();
        let nodes: Vec<Value> = self
            .plan
            .nodes()
            .zip(&inner.seats)
            .map(|(node, seat)| {
                let (state, ended) = match &seat.life {
                    Life::Runs => ("running", None),
                    Life::Paused => ("paused", None),
                    Life::Ended(how) => ("ended", Some(how)),
                };
                json!({"id": node, "url": self.plan.url(node), "state": state, "ended": ended, "pid": seat.pid, "disk_delay_ms": seat.delay_ms})
            })
            .collect();
        let cuts: Vec<Value> = inner.cuts.iter().map(|(a, b)| json!([a, b])).collect();
        let events: Vec<Value> =
            inner.events.iter().map(|(number, at_ms, text)| json!({"number": number, "at_ms": at_ms, "text": text})).collect();
        let mut map = serde_json::Map::new();
        map.insert("nodes".into(), nodes.into());
        map.insert("cuts".into(), cuts.into());
        map.insert("events".into(), events.into());
        map
    }
}
