//! Whatever happens between a client and its servers: each command settles once, is executed once, in order; each room's events come once, without gaps.
//!
//! The servers share one state, as a cluster does; what a sign-in says may be older. Words get lost with their connection, single answers and events get lost, the client's process
//! dies between any two changes of what it keeps. Its host keeps what it saw in the same place, as one transaction: what was not durable, it has not seen.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tertulia_protocol::chat::{Command, Done, More, Post, Refusal, RoomRef};
use tertulia_protocol::client::{Choice, Client, Config, Output, Probed, Timing, forgotten};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::{Duration, Instant, Timestamp};

const ROOMS: u64 = 2;

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        room: u64,
    },
    /// Somebody else posts.
    Post {
        room: u64,
    },
    Withdraw,
    Connect {
        works: bool,
    },
    Disconnect,
    /// The server takes what the client has sent, and what it says comes back.
    ToServer,
    ToClient,
    LoseToServer,
    LoseToClient,
    /// The server is busy.
    Refuse,
    Pass {
        ms: u64,
    },
    /// What was handed out becomes durable.
    Sync,
    /// The process dies; of what is not durable, a part survives.
    Restart {
        survives: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..=ROOMS).prop_map(|room| Step::Submit { room }),
        2 => (1..=ROOMS).prop_map(|room| Step::Post { room }),
        1 => Just(Step::Withdraw),
        4 => prop::bool::weighted(0.8).prop_map(|works| Step::Connect { works }),
        1 => Just(Step::Disconnect),
        6 => Just(Step::ToServer),
        6 => Just(Step::ToClient),
        1 => Just(Step::LoseToServer),
        1 => Just(Step::LoseToClient),
        1 => Just(Step::Refuse),
        4 => (0u64..2_500).prop_map(|ms| Step::Pass { ms }),
        4 => Just(Step::Sync),
        1 => (0u64..8).prop_map(|survives| Step::Restart { survives }),
    ]
}

/// What a host has on its disk, in order: changes, and what it saw.
#[derive(Clone, Debug)]
enum Entry {
    Change(Bytes),
    Submitted(String),
    Withdrawn(String),
    Settled(String),
    Delivered(RoomId, Cursor),
}

enum Word {
    Reply(Reply),
    Event(Event),
}

/// The cluster, as far as one session sees it.
#[derive(Default)]
struct Cluster {
    next: u64,
    outcomes: BTreeMap<u64, Done>,
    executed: Vec<String>,
    events: BTreeMap<RoomId, Vec<String>>,
}

impl Cluster {
    fn post(&mut self, room: RoomId, text: String) -> Seq {
        let events = self.events.entry(room).or_default();
        events.push(text);
        events.len() as Seq
    }

    fn submit(&mut self, number: u64, first_unacked: u64, command: &Command) -> Result<Answer, Refusal> {
        let Command::Post { room: RoomRef::Id(room), text } = command else { panic!("{command:?}") };
        if number > self.next {
            return Err(Refusal::Unknown);
        }
        if number == self.next {
            self.next += 1;
            self.executed.push(text.clone());
            let seq = self.post(*room, text.clone());
            let done = Done::Posted { room: *room, seq, id: MessageId(seq.into()), at: Timestamp(seq) };
            self.outcomes.insert(number, done);
            self.outcomes.retain(|number, _| *number >= first_unacked);
        }
        self.outcomes.get(&number).cloned().map(Answer::Done).ok_or(Refusal::Forgotten)
    }
}

struct World {
    config: Config,
    client: Client,
    now: Now,
    cluster: Cluster,
    /// Follows all rooms at once, instead of each by itself.
    all: bool,
    keeps: bool,
    disk: Vec<Entry>,
    /// So many entries are durable.
    durable: usize,
    last_change: u64,
    texts: BTreeMap<u64, String>,
    made: u64,
    connecting: bool,
    connected: bool,
    to_server: VecDeque<Request>,
    to_client: VecDeque<Word>,
    /// What the connection's server has sent of each room.
    sent: BTreeMap<RoomId, Cursor>,
}

impl World {
    fn new(keeps: bool, all: bool, choice: bool) -> World {
        let now = Now { instant: Instant(1), wall: Timestamp(1) };
        let timing = Timing { choice: choice.then(Choice::default), ..Timing::default() };
        let config = Config {
            name: "ada".into(),
            how: Default::default(),
            device: String::new(),
            token: Token([1; 32]),
            servers: 3,
            first: 0,
            seed: Seed(1),
            timing,
            window: 6,
        };
        let client = if keeps { Client::resume(config.clone(), &[], now).unwrap() } else { Client::new(config.clone(), now) };
        let mut world = World {
            config,
            client,
            now,
            cluster: Cluster { next: 1, ..Cluster::default() },
            all,
            keeps,
            disk: Vec::new(),
            durable: 0,
            last_change: 0,
            texts: BTreeMap::new(),
            made: 0,
            connecting: false,
            connected: false,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            sent: BTreeMap::new(),
        };
        world.follow();
        world.drain();
        world.sync();
        world
    }

    fn follow(&mut self) {
        if self.all {
            return self.client.follow_all(self.now);
        }
        for room in (1..=ROOMS).map(RoomId) {
            let from = From::After(self.client.cursor(room).unwrap_or(0));
            self.client.follow(self.now, RoomRef::Id(room), from);
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                Output::Connect { .. } => self.connecting = true,
                Output::Disconnect => self.hang_up(),
                Output::Send(request) => self.to_server.push_back(request),
                Output::Settled { number, result } => {
                    let text = self.texts.remove(&number).expect("settled once, and submitted before");
                    assert!(matches!(result, Ok(Done::Posted { .. })), "{text}: {result:?}");
                    self.disk.push(Entry::Settled(text));
                }
                Output::Deliver(event) => self.disk.push(Entry::Delivered(event.room, event.cursor)),
                Output::Keep { change, record } => {
                    self.last_change = change.serial;
                    self.disk.push(Entry::Change(record));
                }
                Output::Forget { change } => {
                    self.last_change = change.serial;
                    self.disk.push(Entry::Change(forgotten(change.key)));
                }
                Output::Probe { server } => {
                    let found = Probed { round_trip: Duration::from_millis(1), permille: 0 };
                    self.client.handle_probed(self.now, server, (server == 2).then_some(found));
                }
                Output::SignedIn { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn hang_up(&mut self) {
        (self.connecting, self.connected) = (false, false);
        self.to_server.clear();
        self.to_client.clear();
        self.sent.clear();
    }

    fn sync(&mut self) {
        self.durable = self.disk.len();
        self.client.handle_kept(self.now, self.last_change);
        self.drain();
    }

    fn serve(&mut self, refuse: bool) {
        let Some(request) = self.to_server.pop_front() else { return };
        let result = match &request.ask {
            Ask::Submit { .. } if refuse => Err(Refusal::Busy { retry_after_ms: 10 }),
            Ask::SignIn { .. } => {
                let (user, session) = (UserId(1), SessionId(1));
                Ok(Answer::SignedIn { user, session, name: "ada".into(), next_number: 1 })
            }
            Ask::NextNumber => Ok(Answer::NextNumber(self.cluster.next)),
            Ask::Submit { identity: Identity::Number(number), first_unacked, command } => {
                self.cluster.submit(*number, *first_unacked, command)
            }
            Ask::Follow { room: RoomRef::Id(room), from: From::After(cursor) } => {
                self.sent.insert(*room, *cursor);
                Ok(Answer::Following { room: *room, cursor: *cursor })
            }
            Ask::FollowAll { after } => {
                let after: BTreeMap<RoomId, Cursor> = after.iter().copied().collect();
                let last = |room: RoomId| self.cluster.events.get(&room).map_or(0, |events| events.len() as Cursor);
                let cursor = |room: RoomId| after.get(&room).copied().unwrap_or(last(room));
                let cursors: Vec<_> = (1..=ROOMS).map(RoomId).map(|room| (room, cursor(room))).collect();
                self.sent = cursors.iter().copied().collect();
                Ok(Answer::FollowingAll { cursors })
            }
            Ask::Ping => Ok(Answer::Pong),
            Ask::Load => Ok(Answer::Load { permille: 1 }),
            other => panic!("{other:?}"),
        };
        self.to_client.push_back(Word::Reply(Reply { id: request.id, index: 1, result }));
        self.publish();
    }

    /// What followers have not been sent yet.
    fn publish(&mut self) {
        for (room, sent) in &mut self.sent {
            for text in self.cluster.events.get(room).into_iter().flatten().skip(*sent as usize) {
                *sent += 1;
                let (id, author, at) = (MessageId(1), UserId(1), Timestamp(1));
                let post =
                    Post { seq: *sent, id, author, author_name: "ada".into(), text: text.clone(), at, more: More::default() };
                self.to_client.push_back(Word::Event(Event { room: *room, cursor: *sent, kind: EventKind::Posted(post) }));
            }
        }
    }

    fn hear(&mut self) {
        match self.to_client.pop_front() {
            Some(Word::Reply(reply)) => self.client.handle_reply(self.now, reply),
            Some(Word::Event(event)) => self.client.handle_event(self.now, Arc::new(event)),
            None => {}
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { room } => {
                let text = format!("{}", self.made);
                let command = Command::Post { room: RoomRef::Id(RoomId(room)), text: text.clone() };
                if let Ok(number) = self.client.submit(self.now, command) {
                    self.made += 1;
                    assert_eq!(self.texts.insert(number, text.clone()), None, "a number names one command");
                    self.drain();
                    self.disk.push(Entry::Submitted(text));
                }
            }
            Step::Post { room } => {
                self.cluster.post(RoomId(room), "from somebody else".into());
                self.publish();
            }
            Step::Withdraw => {
                let Some((number, text)) = self.texts.last_key_value().map(|(number, text)| (*number, text.clone())) else {
                    return;
                };
                if self.client.withdraw(self.now, number).is_some() {
                    self.texts.remove(&number);
                    self.disk.push(Entry::Withdrawn(text));
                    // Told to somebody: it must last.
                    self.drain();
                    self.sync();
                }
            }
            Step::Connect { works } if self.connecting => {
                (self.connecting, self.connected) = (false, works);
                if works { self.client.handle_connected(self.now) } else { self.client.handle_disconnected(self.now) }
            }
            Step::Disconnect if self.connected => {
                self.hang_up();
                self.client.handle_disconnected(self.now);
            }
            Step::ToServer => self.serve(false),
            Step::Refuse => self.serve(true),
            Step::ToClient => self.hear(),
            Step::LoseToServer => drop(self.to_server.pop_front()),
            Step::LoseToClient => drop(self.to_client.pop_front()),
            Step::Pass { ms } => {
                self.now.instant += Duration::from_millis(ms);
                self.client.handle_timeout(self.now);
            }
            Step::Sync => self.sync(),
            Step::Restart { survives } if self.keeps => self.restart(survives as usize),
            _ => {}
        }
        self.drain();
    }

    fn restart(&mut self, survives: usize) {
        self.hang_up();
        self.disk.truncate((self.durable + survives).min(self.disk.len()));
        // What was seen and what is kept of it are one transaction: half of one is none.
        if matches!(self.disk.last(), Some(Entry::Delivered(..))) {
            self.disk.pop();
        }
        let records: Vec<Bytes> = self
            .disk
            .iter()
            .filter_map(|entry| if let Entry::Change(record) = entry { Some(record.clone()) } else { None })
            .collect();
        self.client = Client::resume(self.config.clone(), &records, self.now).unwrap();
        let text = |command: &Command| if let Command::Post { text, .. } = command { text.clone() } else { panic!() };
        self.texts = self.client.open().map(|(number, command, _)| (number, text(command))).collect();
        let open: BTreeSet<&String> = self.texts.values().collect();
        self.disk.retain(|entry| !matches!(entry, Entry::Settled(text) if open.contains(text)));
        for text in self.texts.values() {
            if !self.disk.iter().any(|entry| matches!(entry, Entry::Submitted(seen) if seen == text)) {
                self.disk.push(Entry::Submitted(text.clone()));
            }
        }
        self.durable = self.disk.len();
        self.follow();
        self.drain();
        self.last_change = 0;
    }

    /// No more trouble: all comes to rest.
    fn heal(&mut self) {
        // A last event that was lost is missed by nobody before the next one comes, or the next connection.
        self.step(Step::Disconnect);
        for _ in 0..2_000 {
            self.step(Step::Sync);
            self.step(Step::Connect { works: true });
            while !self.to_server.is_empty() || !self.to_client.is_empty() {
                self.step(Step::ToServer);
                self.step(Step::ToClient);
                self.step(Step::Sync);
            }
            if self.texts.is_empty() && self.missing().is_none() {
                return;
            }
            self.step(Step::Pass { ms: 100 });
        }
        panic!("not at rest: {:?} are open, {:?} is missing", self.texts, self.missing());
    }

    /// A room whose events have not all come. A room that is followed with all others begins where the first answer said.
    fn missing(&self) -> Option<RoomId> {
        let last = |room: &RoomId| {
            let delivered =
                |entry: &Entry| if let Entry::Delivered(of, cursor) = entry { (of == room).then_some(*cursor) } else { None };
            self.disk.iter().rev().find_map(delivered).or(self.client.cursor(*room)).unwrap_or(0)
        };
        self.cluster.events.iter().find(|(room, events)| last(room) < events.len() as Cursor).map(|(room, _)| *room)
    }

    fn check(&self) {
        let texts = |of: fn(&Entry) -> Option<&String>| self.disk.iter().filter_map(of).cloned().collect::<Vec<_>>();
        let submitted = texts(|entry| if let Entry::Submitted(text) = entry { Some(text) } else { None });
        let withdrawn: BTreeSet<String> =
            texts(|entry| if let Entry::Withdrawn(text) = entry { Some(text) } else { None }).into_iter().collect();
        let mut settled = texts(|entry| if let Entry::Settled(text) = entry { Some(text) } else { None });
        let wanted: Vec<String> = submitted.into_iter().filter(|text| !withdrawn.contains(text)).collect();
        assert_eq!(self.cluster.executed, wanted, "executed once, in order, and no other");
        settled.sort_by_key(|text| text.parse::<u64>().unwrap());
        assert_eq!(settled, wanted, "settled once each");
        let mut last: BTreeMap<RoomId, Cursor> = BTreeMap::new();
        for entry in &self.disk {
            if let Entry::Delivered(room, cursor) = entry {
                let before = last.insert(*room, *cursor).unwrap_or(if self.all { cursor - 1 } else { 0 });
                assert_eq!(*cursor, before + 1, "room {room}: no gap, nothing twice");
            }
        }
    }
}

fn cases() -> u32 {
    std::env::var("TERTULIA_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_command_settles_once_in_order_and_each_room_comes_without_gaps(
        (keeps, all, choice) in any::<(bool, bool, bool)>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(keeps, all, choice);
        for step in steps {
            world.step(step);
        }
        world.heal();
        world.check();
    }
}
