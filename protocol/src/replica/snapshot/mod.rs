//! Snapshots between replicas (thesis 5): how a node whose log does not reach back far enough gets a peer's rows, and goes on from there.
//!
//! - The receiver pulls: it asks its leader for one part after the other ([`receiver`]). Whoever is asked reads and answers, and remembers nothing that matters ([`sender`]).
//! - Parts need no terms: a state that was applied somewhere is committed for ever.
//! - The received rows are written beside those in use. They take their place in one step of the store; from its beginning to its end, and until the
//!   working set of the new rows is read, nothing is applied ([`Jump`]).

mod receiver;
mod sender;

pub(super) use receiver::{Receiver, Step};
pub(super) use sender::Sender;

use super::*;
use crate::sometimes;
use serde::{Deserialize, Serialize};

/// Where a snapshot begins: behind [`APPLIED_KEY`], whose row follows from each part's own [`AppliedRow`].
const FIRST_KEY: &[u8] = &[0x00, 0x00];
/// Rows of one read of the working set.
const PAGE_ROWS: u32 = 1_024;
/// No place comes near it; see `RaftMessage::is_sound`.
pub(super) const MOST_INDEX: Index = 1 << 62;

/// What replicas say to each other about snapshots.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum SnapshotMessage {
    Ask(Ask),
    Part(Part),
}

/// Asks for the next part of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Ask {
    /// The asker's run, and the question's number in it: the answer repeats them.
    pub boot: Boot,
    pub id: u64,
    /// The place of the snapshot that earlier parts were of. Whoever does not hold it any more answers from another one.
    pub at: Option<Index>,
    /// Rows from here on, below `to` if it says so.
    pub from: Bytes,
    pub to: Option<Bytes>,
    /// The sum of the rows that the asker has in this range: if they are the same, they need not be sent.
    pub have: Option<StateHash>,
}

/// A part of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Part {
    pub boot: Boot,
    pub id: u64,
    /// What the snapshot stands for.
    pub applied: AppliedRow,
    /// The first key that is not in this part; `None`: there is nothing behind it.
    pub to: Option<Bytes>,
    /// All rows from where it was asked for up to `to`; `None`: those that the asker has.
    pub rows: Option<Vec<(Bytes, Bytes)>>,
}

/// The hash over these rows alone; see [`StateHash`].
fn sum_of(rows: &[(Bytes, Bytes)]) -> StateHash {
    rows.iter().fold(StateHash(0), |sum, (key, value)| sum.changed(key, None, Some(value)))
}

/// A change of the state to that of a snapshot. While there is one nothing is applied.
#[derive(Clone, Debug)]
pub(super) enum Jump<S> {
    /// The store puts the rows in use.
    Installing(AppliedRow),
    /// Their working set is read, page by page.
    Reading(alloc::boxed::Box<Reading<S>>),
}

#[derive(Clone, Debug)]
pub(super) struct Reading<S> {
    applied: AppliedRow,
    load: LoadId,
    machine: S,
    sessions: Sessions,
    known: raft::FromRows,
    own_rows: BTreeMap<&'static [u8], Bytes>,
}

impl<S: StateMachine> Replica<S> {
    /// Whether the state is just being replaced: what is read from the store may not be of the state here.
    pub(crate) fn is_jumping(&self) -> bool {
        self.jump.is_some()
    }

    /// A peer says something about snapshots.
    pub fn handle_snapshot(&mut self, now: Now, from: NodeId, message: SnapshotMessage) {
        self.now = now.instant;
        if self.raft.was_removed(from) {
            return;
        }
        match message {
            SnapshotMessage::Ask(ask) => {
                // Rows that are lost or just being replaced are nobody's snapshot.
                if self.lost || self.is_jumping() {
                    return;
                }
                let load = self.next_load();
                if let Some(query) = self.sender.ask(now.instant, from, ask, load, &self.limits) {
                    self.outputs.push_back(Output::Load { id: load, query });
                }
            }
            SnapshotMessage::Part(part) => self.receiver.handle_part(now.instant, from, part),
        }
    }

    /// The store has put received rows in use, or could not.
    pub fn handle_installed(&mut self, now: Now, result: Result<(), StoreError>) {
        self.now = now.instant;
        match (&self.jump, result) {
            (_, Err(error)) => self.raft.handle_store_failed(error),
            (Some(Jump::Installing(applied)), Ok(())) => {
                let applied = *applied;
                let load = self.read_page(Bytes::new());
                let (machine, sessions) = (self.blank.clone(), Sessions::new(self.limits));
                let known = raft::FromRows { at: applied.at, ..raft::FromRows::default() };
                let reading = Reading { applied, load, machine, sessions, known, own_rows: BTreeMap::new() };
                self.jump = Some(Jump::Reading(alloc::boxed::Box::new(reading)));
            }
            _ => {}
        }
    }

    pub(super) fn handle_snapshot_load(&mut self, load: LoadId, loaded: Result<Loaded, StoreError>) {
        match loaded {
            Err(error) => self.raft.handle_store_failed(error),
            Ok(Loaded::Snapshot(found)) => {
                if let Some((to, part)) = self.sender.loaded(load, found) {
                    self.outputs.push_back(Output::Snapshot { to, class: Class::Data, message: SnapshotMessage::Part(part) });
                }
            }
            Ok(Loaded::Rows(rows)) => self.take_page(load, &rows),
            Ok(Loaded::Entries(_)) => {}
        }
    }

    /// Below this a snapshot would bring nothing, or leave a gap before the log.
    fn snapshot_floor(&self) -> Index {
        self.needed.map_or(0, |(_, start)| start).max(self.raft.log_start()).max(self.applied.index + u64::from(!self.lost))
    }

    /// The leader's log begins after `start`.
    pub(super) fn handle_behind(&mut self, leader: NodeId, start: Index) {
        if start > self.applied.index {
            self.needed = Some((leader, start));
        }
    }

    /// Goes on with receiving a snapshot, if one is needed. True if anything came of it.
    pub(super) fn receive(&mut self) -> bool {
        if self.jump.is_some() || !self.lost && self.needed.is_none() && self.receiver.is_idle() {
            return false;
        }
        if self.needed.take_if(|(_, start)| *start <= self.applied.index).is_some() && !self.lost {
            self.receiver.stop();
        }
        // Another leader's log may reach back far enough: it says so itself if it does not.
        let leader = self.raft.leader().filter(|leader| *leader != self.raft.node());
        let needed = leader.filter(|leader| self.lost || self.needed.is_some_and(|(of, _)| of == *leader));
        let floor = self.snapshot_floor();
        self.receiver.set_source(needed, floor);
        let Some(step) = self.receiver.poll(self.now) else { return false };
        match step {
            Step::Ask { of, ask } => {
                self.outputs.push_back(Output::Snapshot { to: of, class: Class::Control, message: SnapshotMessage::Ask(ask) });
            }
            Step::Receive(step) => self.outputs.push_back(Output::Receive(step)),
            Step::Reached(point) => self.raft.tell(|| Fact::Reached { point }),
            Step::Install(applied) if applied.position.index < self.snapshot_floor() => {
                self.outputs.push_back(Output::Receive(Receive::Abandon));
            }
            Step::Install(applied) => {
                let at = applied.position;
                self.raft.tell(|| Fact::SnapshotReceived { at });
                #[cfg(feature = "zoo")]
                self.raft.acknowledge_wrongly(at);
                self.jump = Some(Jump::Installing(applied));
                self.outputs.push_back(Output::Jumping);
                self.outputs.push_back(Output::Receive(Receive::Install { position: at }));
            }
        }
        true
    }

    fn next_load(&mut self) -> LoadId {
        self.loads += 1;
        LoadId(self.loads * 4 + 3)
    }

    fn read_page(&mut self, from: Bytes) -> LoadId {
        let id = self.next_load();
        let query = Query::Range { from, to: Bytes::from_static(&[COLD]), limit: PAGE_ROWS, backwards: false };
        self.outputs.push_back(Output::Load { id, query });
        id
    }

    fn take_page(&mut self, load: LoadId, rows: &[(Bytes, Bytes)]) {
        let Some(Jump::Reading(reading)) = &mut self.jump else { return };
        if reading.load != load {
            return;
        }
        if let Err((key, error)) = reading.take(rows) {
            let message =
                format!("the row {key:02x?} of a snapshot cannot be read: {error}; run the release that its sender runs");
            return self.raft.handle_store_failed(StoreError { message });
        }
        if let Some((last, _)) = rows.last().filter(|_| rows.len() >= PAGE_ROWS as usize) {
            let next = Bytes::from([last, &[0][..]].concat());
            let load = self.read_page(next);
            if let Some(Jump::Reading(reading)) = &mut self.jump {
                reading.load = load;
            }
        } else if let Some(Jump::Reading(reading)) = self.jump.take() {
            self.land(*reading);
        }
    }

    /// The state is that of the snapshot from here on.
    fn land(&mut self, reading: Reading<S>) {
        let Reading { applied, machine, sessions, known, own_rows, .. } = reading;
        #[cfg(feature = "zoo")]
        let sessions =
            if self.raft.has(crate::zoo::Bug::SnapshotWithoutSessions) { Sessions::new(self.limits) } else { sessions };
        self.own_rows = own_rows;
        (self.machine, self.sessions) = (machine, sessions);
        #[cfg(feature = "zoo")]
        self.sessions.came_by_snapshot(self.bug);
        (self.applied, self.applied_at, self.hash) = (applied.position, applied.at, applied.hash);
        self.compare.jumped(self.now, self.applied.index, self.hash);
        // If it waits for rows, it is among what the snapshot contains.
        self.applying = None;
        self.lost = false;
        self.needed = None;
        // What was proposed and is not applied may be among what was jumped over.
        self.leading_term = 0;
        self.raft.install(applied.position, known);
        self.raft.tell(|| Fact::SnapshotInstalled { at: applied.position, hash: applied.hash });
        sometimes!(self.raft, "snapshot.installed");
        self.raft.tell_installed();
        self.outputs.push_back(Output::Jumped);
    }

    /// Lets the log go as far as nobody needs it.
    pub(super) fn compact(&mut self) {
        let hold = self.sender.lowest(self.now);
        if let Some(through) = self.raft.compact(self.applied.index, hold) {
            self.outputs.push_back(Output::Trim { through });
        }
    }
}

impl<S: StateMachine> Reading<S> {
    fn take(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), (Bytes, crate::wire::EnvelopeError)> {
        for (key, value) in rows {
            let taken = match &key[..] {
                CONFIGURATION_KEY => configuration_row(value).map(|found| self.known.configuration = Some(found)),
                SUCCESSION_KEY => open(Kind::SuccessionRow, value).map(|found| self.known.succession = Some(found)),
                _ => self.sessions.restore(key, value),
            };
            taken.map_err(|error| (key.clone(), error))?;
        }
        self.own_rows.extend(own_rows(rows));
        self.machine.restore(rows).map_err(|error| (Bytes::new(), error))
    }
}
