//! Entries that need rows which are not in memory (`StateMachine::needs`): they wait for the load, in order, and see what the entries before them wrote.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use std::collections::BTreeMap;
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::Credential;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Config, HaltReason};
use tertulia_protocol::raft::{Entry, Member, RaftMessage};
use tertulia_protocol::replica::*;
use tertulia_protocol::time::{Instant, Timestamp};
use tertulia_protocol::wire::{EnvelopeError, Kind, open, seal};

/// `(key, text)`: appends the text to a cold row, or only counts where the key is empty. It remembers nothing of the rows: what it sees of them was loaded.
#[derive(Clone)]
struct Notes {
    counted: u64,
}

fn key(name: &str) -> Bytes {
    [&[COLD], name.as_bytes()].concat().into()
}

impl StateMachine for Notes {
    type Event = (Index, String);

    fn needs(&self, command: &Bytes) -> Vec<Bytes> {
        let (name, _) = open::<(String, String)>(Kind::Other, command).unwrap();
        if name.is_empty() { Vec::new() } else { vec![key(&name)] }
    }

    fn apply(&mut self, at: &At, command: &Bytes, rows: &[(Bytes, Bytes)], effects: &mut Effects<(Index, String)>) {
        let (name, text) = open::<(String, String)>(Kind::Other, command).unwrap();
        let told = if name.is_empty() {
            let old = (self.counted > 0).then(|| seal(Kind::Other, &self.counted));
            self.counted += 1;
            effects.put(Bytes::from_static(&[0x10]), old.as_deref(), seal(Kind::Other, &self.counted));
            format!("{text} {}", self.counted)
        } else {
            let old = rows.iter().find(|(found, _)| *found == key(&name)).map(|(_, value)| value.clone());
            let new = [old.as_deref().unwrap_or_default(), text.as_bytes()].concat();
            effects.put(key(&name), old.as_deref(), Bytes::from(new.clone()));
            String::from_utf8(new).unwrap()
        };
        effects.reply(Bytes::from(told.clone()));
        effects.publish((at.index, told));
    }

    fn restore(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), EnvelopeError> {
        for (_, value) in rows.iter().filter(|(found, _)| found[..] == [0x10]) {
            self.counted = open(Kind::Other, value)?;
        }
        Ok(())
    }

    fn knows(&self, command: &Bytes) -> Result<(), EnvelopeError> {
        open::<(String, String)>(Kind::Other, command).map(|_| ())
    }
}

const ME: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const SESSION: SessionId = SessionId(2);

fn command(name: &str, text: &str) -> Bytes {
    seal(Kind::Other, &(name, text))
}

/// One replica, its disk, and a leader that the test plays. Loads are answered when the test says so.
struct Scene {
    now: Now,
    replica: Replica<Notes>,
    rows: BTreeMap<Bytes, Bytes>,
    log: Vec<Entry>,
    /// Reads that have not been answered, oldest first.
    loads: Vec<(LoadId, Query)>,
    told: Vec<(Index, String)>,
    executed: Vec<Index>,
    halted: Option<HaltReason>,
    /// Messages about snapshots.
    snapshots: Vec<SnapshotMessage>,
    received: Option<BTreeMap<Bytes, Bytes>>,
    sessions: u64,
}

fn start(rows: &BTreeMap<Bytes, Bytes>, log: &[Entry], now: Now, boot: u64) -> Replica<Notes> {
    let voter = |id: NodeId| Member { id, peer_address: String::new(), client_address: String::new(), incarnation: None };
    let config = Config::new(ME, ClusterId(1), vec![voter(ME), voter(PEER)], Seed(1));
    let applied: AppliedRow = rows.get(APPLIED_KEY).map(|row| open(Kind::Applied, row).unwrap()).unwrap_or_default();
    let restored = Restored {
        applied: applied.position,
        vote: Vote { term: log.last().map_or(0, |entry| entry.term), voted_for: None },
        log: log.iter().filter(|entry| entry.index > applied.position.index).cloned().collect(),
        rows: rows.iter().filter(|(key, _)| key[0] < COLD).map(|(key, value)| (key.clone(), value.clone())).collect(),
        ..Restored::empty(Incarnation(1), Boot(boot))
    };
    Replica::restore(&config, &restored, Notes { counted: 0 }, now).unwrap()
}

impl Scene {
    /// A replica that follows the test's leader and has opened a session by its second entry.
    fn new() -> Scene {
        let now = Now { instant: Instant(1), wall: Timestamp(1_700_000_000_000_000) };
        let mut scene = Scene {
            now,
            replica: start(&BTreeMap::new(), &[], now, 1),
            rows: BTreeMap::new(),
            log: Vec::new(),
            loads: Vec::new(),
            told: Vec::new(),
            executed: Vec::new(),
            halted: None,
            snapshots: Vec::new(),
            received: None,
            sessions: 0,
        };
        scene.write(seal(Kind::Noop, &()));
        scene
            .write(seal(Kind::Submission, &Submission::Open { credential: Credential([7; 32]), command: command("", "opened") }));
        scene.commit();
        assert_eq!(scene.told, [(2, "opened 1".to_owned())]);
        scene.told.clear();
        scene.executed.clear();
        scene
    }

    /// Adds an entry to the leader's log.
    fn write(&mut self, payload: Bytes) {
        let last = self.log.last().map_or(Position::default(), Entry::position);
        self.log.push(Entry::after(last, 1, Timestamp(self.now.wall.0 + last.index), payload));
    }

    /// Adds a command of the session.
    fn append(&mut self, name: &str, text: &str) {
        self.sessions += 1;
        let (identity, first_unacked) = (Identity::Number(self.sessions), 1);
        let submission = Submission::Execute { session: SESSION, identity, first_unacked, command: command(name, text) };
        self.write(seal(Kind::Submission, &submission));
    }

    /// The leader sends what is new, and says that all of it is committed.
    fn commit(&mut self) {
        let mut have = self.replica.raft().last().index as usize;
        // What the rows contain is not in the log any more.
        have = have.max(self.replica.applied() as usize);
        let previous = have.checked_sub(1).map_or(Position::default(), |last| self.log[last].position());
        let (entries, commit) = (self.log[have..].to_vec(), self.log.len() as Index);
        self.replica.handle_message(self.now, PEER, RaftMessage::Append { term: 1, previous, entries, commit, round: 1 });
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.replica.poll_output() {
            match output {
                Output::Store { id, .. } => self.replica.handle_stored(self.now, id),
                Output::Apply { rows, .. } => {
                    assert_eq!(self.halted, None, "nothing is applied after a halt");
                    for (key, value) in rows.rows {
                        match value {
                            Some(value) => self.rows.insert(key, value),
                            None => self.rows.remove(&key),
                        };
                    }
                }
                Output::Load { id, query } => self.loads.push((id, query)),
                Output::Event(event) => self.told.push(event),
                Output::Executed(_) => self.executed.push(self.replica.applied()),
                Output::Halt { reason } => self.halted = Some(reason),
                Output::Snapshot { message, .. } => self.snapshots.push(message),
                Output::Receive(Receive::Begin) => self.received = Some(BTreeMap::new()),
                Output::Receive(Receive::Range { rows, .. }) => self.received.as_mut().unwrap().extend(rows),
                Output::Receive(Receive::Install { .. }) => {
                    self.rows = self.received.take().unwrap();
                    self.replica.handle_installed(self.now, Ok(()));
                }
                _ => {}
            }
        }
    }

    /// The disk reads what was asked for first, as it is now.
    fn load(&mut self) {
        let (id, query) = self.loads.remove(0);
        let loaded = match query {
            Query::Keys { keys } => keys.iter().filter_map(|key| Some((key.clone(), self.rows.get(key)?.clone()))).collect(),
            Query::Range { from, to, .. } => self.rows.range(from..to).map(|(key, value)| (key.clone(), value.clone())).collect(),
            other => panic!("{other:?}"),
        };
        self.replica.handle_loaded(id, Ok(Loaded::Rows(loaded)));
        self.drain();
    }

    fn told(&self) -> Vec<&str> {
        self.told.iter().map(|(_, told)| told.as_str()).collect()
    }

    fn asked_for(&self) -> Vec<Query> {
        self.loads.iter().map(|(_, query)| query.clone()).collect()
    }
}

fn keys(name: &str) -> Query {
    Query::Keys { keys: vec![key(name)] }
}

#[test]
fn an_entry_waits_for_its_rows_and_those_that_follow_wait_for_it() {
    let mut scene = Scene::new();
    scene.append("", "before");
    scene.append("a", "one");
    scene.append("", "after");
    scene.append("", "and after that");
    scene.commit();
    assert_eq!((scene.told(), scene.asked_for(), scene.replica.applied()), (vec!["before 2"], vec![keys("a")], 3));
    let applied: AppliedRow = open(Kind::Applied, &scene.rows[APPLIED_KEY]).unwrap();
    assert_eq!((applied.position.index, applied.hash), (3, scene.replica.hash()), "what was applied before it is not held up");
    // What comes meanwhile changes nothing, and nothing is asked twice.
    scene.append("", "last");
    scene.commit();
    assert_eq!((scene.told().len(), scene.loads.len()), (1, 1));
    scene.load();
    assert_eq!(scene.told(), ["before 2", "one", "after 3", "and after that 4", "last 5"]);
    assert_eq!(scene.told.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!((scene.replica.applied(), scene.asked_for()), (7, vec![]));
}

#[test]
fn several_in_a_row_each_see_what_the_ones_before_wrote() {
    let mut scene = Scene::new();
    for (name, text) in [("a", "1"), ("a", "2"), ("b", "x"), ("a", "3"), ("b", "y")] {
        scene.append(name, text);
    }
    scene.commit();
    let mut loads = 0;
    while !scene.loads.is_empty() {
        assert_eq!(scene.loads.len(), 1, "one is under way at a time: the next one must see what this one writes");
        loads += 1;
        scene.load();
    }
    assert_eq!((scene.told(), loads), (vec!["1", "12", "x", "123", "xy"], 5));
    assert_eq!((&scene.rows[&key("a")][..], &scene.rows[&key("b")][..]), (&b"123"[..], &b"xy"[..]));
    // The hash over all rows was kept by what was loaded.
    let all = scene.rows.iter().filter(|(key, _)| key[..] != *APPLIED_KEY);
    let hash = all.fold(StateHash::default(), |hash, (key, value)| hash.changed(key, None, Some(value)));
    assert_eq!(scene.replica.hash(), hash);
}

#[test]
fn a_read_waits_for_the_entry_that_waits() {
    let mut scene = Scene::new();
    scene.append("a", "1");
    scene.commit();
    scene.replica.read_at(9, 3);
    let readable = |scene: &mut Scene| {
        let mut found = false;
        while let Some(output) = scene.replica.poll_output() {
            found |= matches!(output, Output::Readable { id: 9 });
        }
        found
    };
    assert!(!readable(&mut scene));
    let (id, _) = scene.loads.remove(0);
    scene.replica.handle_loaded(id, Ok(Loaded::Rows(Vec::new())));
    assert!(readable(&mut scene));
}

#[test]
fn what_was_asked_for_before_a_restart_is_asked_for_again() {
    let mut scene = Scene::new();
    scene.append("a", "1");
    scene.append("a", "2");
    scene.commit();
    scene.load();
    scene.loads.clear();
    scene.replica = start(&scene.rows, &scene.log, scene.now, 2);
    assert_eq!(scene.replica.applied(), 3);
    scene.drain();
    scene.commit();
    assert_eq!(scene.asked_for(), [keys("a")]);
    scene.load();
    assert_eq!(scene.told(), ["1", "12"]);
}

#[test]
fn a_load_that_fails_stops_the_node_and_nothing_that_follows_is_applied() {
    let mut scene = Scene::new();
    scene.append("a", "1");
    scene.append("", "after");
    scene.commit();
    let (id, _) = scene.loads.remove(0);
    scene.replica.handle_loaded(id, Err(StoreError { message: "the disk is gone".into() }));
    scene.drain();
    assert!(matches!(&scene.halted, Some(HaltReason::Store { message }) if message == "the disk is gone"), "{:?}", scene.halted);
    assert_eq!((scene.told(), scene.replica.applied()), (vec![], 2));
    scene.append("", "more");
    scene.commit();
    assert_eq!((scene.told(), scene.replica.applied(), scene.asked_for()), (vec![], 2, vec![]));
}

#[test]
fn a_halt_while_a_load_is_under_way_leaves_the_entry_to_the_next_start() {
    let mut scene = Scene::new();
    scene.append("a", "1");
    scene.commit();
    scene.replica.handle_store_failed(StoreError { message: "no space".into() });
    scene.drain();
    assert!(scene.halted.is_some());
    let before = scene.rows.clone();
    let (id, _) = scene.loads.remove(0);
    scene.replica.handle_loaded(id, Ok(Loaded::Rows(Vec::new())));
    // A driver has stopped by now. Whoever has not is told nothing that is not so.
    while let Some(output) = scene.replica.poll_output() {
        assert!(!matches!(output, Output::Apply { .. } | Output::Executed(_) | Output::Event(_)), "{output:?}");
    }
    assert_eq!(scene.rows, before);
    scene.halted = None;
    scene.replica = start(&scene.rows, &scene.log, scene.now, 2);
    scene.commit();
    scene.load();
    assert_eq!(scene.told(), ["1"]);
}

/// A snapshot of what another replica has applied.
fn snapshot_of(scene: &Scene) -> (AppliedRow, Vec<(Bytes, Bytes)>) {
    let applied = open(Kind::Applied, &scene.rows[APPLIED_KEY]).unwrap();
    let rows = scene.rows.iter().filter(|(key, _)| key[..] != *APPLIED_KEY);
    (applied, rows.map(|(key, value)| (key.clone(), value.clone())).collect())
}

#[test]
fn a_snapshot_that_contains_the_waiting_entry_takes_its_place() {
    let mut ahead = Scene::new();
    for (name, text) in [("a", "1"), ("a", "2"), ("", "counts")] {
        ahead.append(name, text);
    }
    ahead.commit();
    ahead.load();
    ahead.load();
    let (applied, rows) = snapshot_of(&ahead);
    assert_eq!(applied.position.index, 5);

    let mut scene = Scene::new();
    scene.append("a", "1");
    scene.commit();
    assert_eq!(scene.asked_for(), [keys("a")]);
    // The leader's log begins behind its snapshot.
    scene.replica.handle_message(scene.now, PEER, RaftMessage::NeedSnapshot { term: 1, start: 5 });
    scene.drain();
    let Some(SnapshotMessage::Ask(ask)) = scene.snapshots.pop() else { panic!("it asks for a snapshot") };
    let part = Part { boot: ask.boot, id: ask.id, applied, to: None, rows: Some(rows) };
    scene.replica.handle_snapshot(scene.now, PEER, SnapshotMessage::Part(part));
    scene.drain();
    // The rows are a snapshot's by now; what the old load brings comes late, and must not be applied upon them.
    let (late, query) = scene.loads.remove(0);
    assert_eq!(query, keys("a"));
    scene.replica.handle_loaded(late, Ok(Loaded::Rows(Vec::new())));
    scene.drain();
    assert_eq!(scene.told(), Vec::<&str>::new(), "nothing is applied while the rows change");
    scene.load();
    assert_eq!((scene.replica.applied(), scene.replica.hash()), (5, ahead.replica.hash()));
    assert_eq!(scene.replica.machine().counted, 2);
    scene.replica.handle_loaded(late, Ok(Loaded::Rows(Vec::new())));
    scene.drain();
    // It goes on behind the snapshot, with entries that need its cold rows.
    for each in [&mut scene, &mut ahead] {
        each.sessions = 3;
        each.append("a", "3");
    }
    scene.log = ahead.log.clone();
    scene.commit();
    ahead.commit();
    scene.load();
    ahead.load();
    assert_eq!((scene.told(), ahead.told().last().copied()), (vec!["123"], Some("123")));
    assert_eq!(scene.replica.hash(), ahead.replica.hash());
}
