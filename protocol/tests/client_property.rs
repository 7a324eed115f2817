//! Whatever happens between a client and its servers: each command settles once, is executed once, in order; each room's events come once, without gaps.
//!
//! The servers are those of `client_cluster`: any may be behind the others, or without a leader, and then accept what may be lost again. Each room's tail is what was told of
//! it; nothing is in it that was delivered or refused; an own message leaves it in no other way. What a sign-in says may be older. Words get lost with their connection, single answers and events get lost, the client's process
//! dies between any two changes of what it keeps. Its host keeps what it saw in the same place, as one transaction: what was not durable, it has not seen.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client_cluster;

use bytes::Bytes;
use client_cluster::{Cluster, ROOMS, SERVERS, Word};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tertulia_protocol::chat::{Command, Done, RoomRef};
use tertulia_protocol::client::{Choice, Client, Config, Output, Probed, Status, Timing, forgotten};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::time::{Duration, Instant, Timestamp};

#[derive(Clone, Copy, Debug)]
enum Step {
    Submit {
        room: u64,
    },
    /// Somebody else posts.
    Post {
        server: usize,
        room: u64,
    },
    /// A server finds or loses its leader.
    Leader {
        server: usize,
        found: bool,
    },
    /// What a server has accepted comes to the log, or is refused.
    Commit {
        server: usize,
        refused: bool,
    },
    Apply {
        server: usize,
    },
    Spread {
        server: usize,
    },
    LoseDisk {
        server: usize,
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
    /// All is well for a moment: a connection stands, and whatever is under way arrives.
    Talk,
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
        2 => (0..SERVERS, 1..=ROOMS).prop_map(|(server, room)| Step::Post { server, room }),
        2 => (0..SERVERS, prop::bool::weighted(0.4)).prop_map(|(server, found)| Step::Leader { server, found }),
        1 => (0..SERVERS, prop::bool::weighted(0.2)).prop_map(|(server, refused)| Step::Commit { server, refused }),
        2 => (0..SERVERS).prop_map(|server| Step::Apply { server }),
        1 => (0..SERVERS).prop_map(|server| Step::Spread { server }),
        1 => (0..SERVERS).prop_map(|server| Step::LoseDisk { server }),
        1 => Just(Step::Withdraw),
        4 => prop::bool::weighted(0.8).prop_map(|works| Step::Connect { works }),
        1 => Just(Step::Disconnect),
        6 => Just(Step::ToServer),
        6 => Just(Step::ToClient),
        4 => Just(Step::Talk),
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

/// What the client's screen shows, by what this run of it was told.
#[derive(Default)]
struct Screen {
    delivered: BTreeSet<MessageId>,
    withdrawn: BTreeSet<MessageId>,
    tails: BTreeMap<RoomId, Vec<TentativePost>>,
    /// Own commands that are accepted.
    accepted: BTreeMap<u64, (MessageId, u32)>,
}

impl Screen {
    /// The whole tail of a room is another one.
    fn tail(&mut self, room: RoomId, posts: Vec<TentativePost>) {
        assert!(posts.is_sorted_by_key(|post| post.order));
        for post in &posts {
            assert!(!self.delivered.contains(&post.id) && !self.withdrawn.contains(&post.id), "{post:?} is in the tail again");
        }
        let before = self.tails.insert(room, posts).unwrap_or_default();
        let now: BTreeSet<MessageId> = self.tails[&room].iter().map(|post| post.id).collect();
        for post in before.iter().filter(|post| !now.contains(&post.id)) {
            let is_own = self.accepted.values().any(|(id, _)| *id == post.id);
            let is_over = self.delivered.contains(&post.id) || self.withdrawn.contains(&post.id);
            assert!(!is_own || is_over, "{post:?} has left the screen");
        }
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
    screen: Screen,
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
            cluster: Cluster::new(),
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
            screen: Screen::default(),
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
                Output::Connect { server, .. } => {
                    self.hang_up();
                    self.connecting = true;
                    self.cluster.connection.server = server as usize;
                }
                Output::Disconnect => self.hang_up(),
                Output::Send(request) => self.to_server.push_back(request),
                Output::Settled { number, result } => {
                    let text = self.texts.remove(&number).expect("settled once, and submitted before");
                    let executed = self.cluster.log.iter().find(|executed| executed.text == text).expect("it had its turn");
                    assert_eq!(matches!(result, Ok(Done::Posted { .. })), !executed.refused, "{text}: {result:?}");
                    self.screen.accepted.remove(&number);
                    self.disk.push(Entry::Settled(text));
                }
                Output::Deliver(event) => {
                    let events = self.cluster.events(event.room, self.cluster.log.len());
                    let expected = events[event.cursor as usize - 1].id;
                    assert!(matches!(&event.kind, EventKind::Posted(post) if post.id == expected), "{event:?}");
                    self.screen.delivered.insert(expected);
                    self.disk.push(Entry::Delivered(event.room, event.cursor));
                }
                Output::Accepted { number, id, copies } => {
                    assert!(self.texts.contains_key(&number), "it is settled");
                    let before = self.screen.accepted.insert(number, (id, copies));
                    assert_ne!(before, Some((id, copies)), "nothing new");
                    assert_eq!(self.client.status(number), Some(Status::Accepted { copies }));
                }
                Output::Withdrawn { room, post, .. } => {
                    let shown = self.screen.tails.get(&room).is_some_and(|tail| tail.iter().any(|shown| shown.id == post.id));
                    let is_new = self.screen.withdrawn.insert(post.id);
                    assert!(shown && is_new && !self.screen.delivered.contains(&post.id), "{post:?}");
                }
                Output::Tail { room } => {
                    self.screen.tail(room, self.client.tail(room).cloned().collect());
                }
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
        for room in (1..=ROOMS).map(RoomId) {
            let shown = self.screen.tails.get(&room).map_or(&[][..], |tail| tail);
            assert!(self.client.tail(room).eq(shown), "a tail has changed, and nobody was told");
        }
    }

    fn hang_up(&mut self) {
        (self.connecting, self.connected) = (false, false);
        self.to_server.clear();
        self.cluster.hang_up();
    }

    fn sync(&mut self) {
        self.durable = self.disk.len();
        self.client.handle_kept(self.now, self.last_change);
        self.drain();
    }

    fn serve(&mut self, busy: bool) {
        if let Some(request) = self.to_server.pop_front() {
            self.cluster.serve(&request, busy);
        }
    }

    fn hear(&mut self) {
        match self.cluster.connection.words.pop_front() {
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
            Step::Post { server, room } => self.cluster.post(server, RoomId(room)),
            Step::Leader { server, found } => self.cluster.servers[server].has_leader = found,
            Step::Commit { server, refused } => self.cluster.commit(server, refused),
            Step::Apply { server } => self.cluster.apply(server),
            Step::Spread { server } => self.cluster.spread(server),
            Step::LoseDisk { server } => {
                self.cluster.lose_disk(server);
                if self.cluster.connection.server == server {
                    self.step(Step::Disconnect);
                }
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
            Step::Talk => self.talk(),
            Step::LoseToServer => drop(self.to_server.pop_front()),
            Step::LoseToClient => drop(self.cluster.connection.words.pop_front()),
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
        self.screen = Screen::default();
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

    fn talk(&mut self) {
        self.step(Step::Sync);
        self.step(Step::Connect { works: true });
        while !self.to_server.is_empty() || !self.cluster.connection.words.is_empty() {
            self.step(Step::ToServer);
            self.step(Step::ToClient);
            self.step(Step::Sync);
        }
    }

    /// No more trouble: all comes to rest.
    fn heal(&mut self) {
        // A last event that was lost is missed by nobody before the next one comes, or the next connection.
        self.step(Step::Disconnect);
        for _ in 0..2_000 {
            for server in 0..SERVERS {
                self.step(Step::Leader { server, found: true });
                self.step(Step::Commit { server, refused: false });
            }
            (0..SERVERS).for_each(|server| self.step(Step::Apply { server }));
            self.talk();
            let tails = (1..=ROOMS).map(|room| self.client.tail(RoomId(room)).count()).sum::<usize>();
            if self.texts.is_empty() && self.missing().is_none() && tails == 0 {
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
        let events = |room: RoomId| self.cluster.events(room, self.cluster.log.len()).len() as Cursor;
        (1..=ROOMS).map(RoomId).find(|room| last(room) < events(*room))
    }

    fn check(&self) {
        let texts = |of: fn(&Entry) -> Option<&String>| self.disk.iter().filter_map(of).cloned().collect::<Vec<_>>();
        let submitted = texts(|entry| if let Entry::Submitted(text) = entry { Some(text) } else { None });
        let withdrawn: BTreeSet<String> =
            texts(|entry| if let Entry::Withdrawn(text) = entry { Some(text) } else { None }).into_iter().collect();
        let mut settled = texts(|entry| if let Entry::Settled(text) = entry { Some(text) } else { None });
        let wanted: Vec<String> = submitted.into_iter().filter(|text| !withdrawn.contains(text)).collect();
        let own = self.cluster.log.iter().filter(|executed| executed.text != "from somebody else");
        let executed: Vec<String> = own.map(|executed| executed.text.clone()).collect();
        assert_eq!(executed, wanted, "executed once, in order, and no other");
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
