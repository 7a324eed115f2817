//! A client, and a test that plays its host and its servers. Every input and what came of it is written down, as one step of a story.

#![allow(clippy::unwrap_used, dead_code, reason = "a test may stop at the first surprise; each test uses a part")]

pub mod stories;
pub mod tentative;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tertulia_protocol::chat::{Command, Done, Post, Refusal, RoomRef};
use tertulia_protocol::client::{Choice, Client, Config, Key, Output, Probed, Status, Timing, forgotten, key_of};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::wire::{Kind, open};

pub struct Scene {
    pub client: Client,
    pub now: Now,
    config: Config,
    /// What the client had its host keep, as an append-only file has it.
    pub kept: Vec<Bytes>,
    last_change: u64,
    /// A connection is wanted.
    wanted: bool,
    pub steps: Vec<Value>,
}

impl Scene {
    fn begin(choice: Option<Choice>, keeps: bool) -> Scene {
        let now = Now { instant: Instant(0), wall: Timestamp(0) };
        let timing = Timing { choice, ..Timing::default() };
        let token = Token([7; 32]);
        let config = Config {
            name: "ada".into(),
            how: Default::default(),
            device: String::new(),
            token,
            servers: 3,
            first: 0,
            seed: Seed(1),
            timing,
            window: 8,
        };
        let client = if keeps { Client::resume(config.clone(), &[], now).unwrap() } else { Client::new(config.clone(), now) };
        let mut scene = Scene { client, now, config, kept: Vec::new(), last_change: 0, wanted: false, steps: Vec::new() };
        scene.step(json!({ "start": { "servers": 3, "window": 8, "keeps": keeps, "choice": choice.is_some(), "kept": [], "holds": [] } }));
        scene
    }

    /// A client whose host keeps nothing.
    pub fn new() -> Scene {
        Scene::begin(None, false)
    }

    /// A client whose host keeps what it is told to. Nothing is durable before the test says so.
    pub fn keeping() -> Scene {
        Scene::begin(None, true)
    }

    /// A client that chooses its server. A decided move is made at once, so that no draw shows.
    pub fn choosing() -> Scene {
        Scene::begin(Some(choice()), false)
    }

    /// Drains the client and writes the step down.
    fn step(&mut self, input: Value) -> Vec<Output> {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.client.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Keep { change, record } => {
                    self.kept.push(record.clone());
                    self.last_change = change.serial;
                }
                Output::Connect { .. } => self.wanted = true,
                Output::Disconnect => self.wanted = false,
                Output::Forget { change } => {
                    self.kept.push(forgotten(change.key));
                    self.last_change = change.serial;
                }
                _ => {}
            }
        }
        let then: Vec<Value> = outputs.iter().map(|output| self.told(output)).collect();
        self.steps.push(json!({ "at_ms": self.now.instant.0 / 1_000, "input": input, "outputs": then }));
        outputs
    }

    /// An output as the file of vectors spells it; with a tail, what it is at the end of the step.
    fn told(&self, output: &Output) -> Value {
        match output {
            Output::Tail { room } => {
                let posts = self.client.tail(*room).map(|post| serde_json::to_value(post.id).unwrap());
                json!({ "tail": { "room": room, "posts": posts.collect::<Vec<_>>() } })
            }
            other => told(other),
        }
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) -> Vec<Output> {
        self.now.instant += Duration::from_millis(ms);
        self.client.handle_timeout(self.now);
        self.step(json!("timeout"))
    }

    pub fn connected(&mut self) -> Vec<Output> {
        self.wanted = false;
        self.client.handle_connected(self.now);
        self.step(json!("connected"))
    }

    pub fn disconnected(&mut self) -> Vec<Output> {
        self.wanted = false;
        self.client.handle_disconnected(self.now);
        self.step(json!("disconnected"))
    }

    pub fn reply(&mut self, id: u64, result: Result<Answer, Refusal>) -> Vec<Output> {
        let reply = Reply { id, index: 1, result };
        let input = json!({ "reply": serde_json::to_value(&reply).unwrap() });
        self.client.handle_reply(self.now, reply);
        self.step(input)
    }

    /// Waits until a connection is wanted, connects and signs in; what the client asks then.
    pub fn sign_in(&mut self, next_number: u64) -> Vec<Output> {
        if !self.wanted {
            self.pass(2_000);
        }
        let ask = requests(&self.connected()).remove(0);
        assert!(matches!(ask.ask, Ask::SignIn { .. }));
        let (user, session) = (UserId(1), SessionId(1));
        self.reply(ask.id, Ok(Answer::SignedIn { user, session, name: "ada".into(), next_number }))
    }

    pub fn submit(&mut self, text: &str) -> (u64, Vec<Output>) {
        self.command(Command::Post { room: RoomRef::Id(RoomId(1)), text: text.into() })
    }

    pub fn command(&mut self, command: Command) -> (u64, Vec<Output>) {
        let number = self.client.submit(self.now, command.clone()).unwrap();
        (number, self.step(json!({ "submit": { "command": command, "returns": number } })))
    }

    pub fn withdraw(&mut self, number: u64) -> bool {
        let is_withdrawn = self.client.withdraw(self.now, number).is_some();
        self.step(json!({ "withdraw": { "number": number, "returns": is_withdrawn } }));
        is_withdrawn
    }

    pub fn status(&self, number: u64) -> Option<Status> {
        self.client.status(number)
    }

    pub fn posted(&mut self, request: &Request, seq: Seq) -> Vec<Output> {
        let done = Done::Posted { room: RoomId(1), seq, id: MessageId(seq.into()), at: Timestamp(seq) };
        self.reply(request.id, Ok(Answer::Done(done)))
    }

    pub fn follow(&mut self, room: u64, after: Cursor) -> Vec<Output> {
        self.client.follow(self.now, RoomRef::Id(RoomId(room)), From::After(after));
        self.step(json!({ "follow": { "room": room, "after": after } }))
    }

    pub fn follow_all(&mut self) -> Vec<Output> {
        self.client.follow_all(self.now);
        self.step(json!("follow_all"))
    }

    pub fn event(&mut self, room: u64, cursor: Cursor) -> Vec<Output> {
        let (id, author, at) = (MessageId(cursor.into()), UserId(2), Timestamp(cursor));
        let post =
            Post { seq: cursor, id, author, author_name: "ben".into(), text: "hello".into(), at, more: Default::default() };
        let event = Event { room: RoomId(room), cursor, kind: EventKind::Posted(post) };
        let input = json!({ "event": serde_json::to_value(&event).unwrap() });
        self.client.handle_event(self.now, Arc::new(event));
        self.step(input)
    }

    /// An event without a place.
    pub fn hint(&mut self, room: u64, kind: EventKind) -> Vec<Output> {
        let event = Event { room: RoomId(room), cursor: 0, kind };
        let input = json!({ "event": serde_json::to_value(&event).unwrap() });
        self.client.handle_event(self.now, Arc::new(event));
        self.step(input)
    }

    pub fn unfollow(&mut self, room: u64) -> Vec<Output> {
        self.client.unfollow(RoomId(room));
        self.step(json!({ "unfollow": { "room": room } }))
    }

    /// The ids of the room's tail.
    pub fn tail(&self, room: u64) -> Vec<u128> {
        self.client.tail(RoomId(room)).map(|post| post.id.0).collect()
    }

    /// As [`Scene::pass`]; the server shows that it lives, if it is asked.
    pub fn pass_alive(&mut self, ms: u64) -> Vec<Output> {
        let outputs = self.pass(ms);
        for request in requests(&outputs) {
            match request.ask {
                Ask::Ping => drop(self.reply(request.id, Ok(Answer::Pong))),
                Ask::Load => drop(self.reply(request.id, Ok(Answer::Load { permille: 10 }))),
                _ => {}
            }
        }
        outputs
    }

    /// The host has made everything durable that it was told to keep.
    pub fn synced(&mut self) -> Vec<Output> {
        self.client.handle_kept(self.now, self.last_change);
        let serial = self.last_change;
        self.step(json!({ "kept": serial }))
    }

    /// The client's process ends, and another one begins from these records.
    pub fn restart_from(&mut self, kept: &[Bytes]) -> Vec<Output> {
        self.client = Client::resume(self.config.clone(), kept, self.now).unwrap();
        let records: Vec<String> = kept.iter().map(|record| hex(record)).collect();
        let holds: Vec<Value> = kept.iter().map(holds).collect();
        self.kept = kept.to_vec();
        self.last_change = 0;
        let choice = self.config.timing.choice.is_some();
        self.step(
            json!({ "start": { "servers": 3, "window": 8, "keeps": true, "choice": choice, "kept": records, "holds": holds } }),
        )
    }

    pub fn restart(&mut self) -> Vec<Output> {
        let kept = self.kept.clone();
        self.restart_from(&kept)
    }

    /// `found`: the round trip in ms, and the load.
    pub fn probed(&mut self, server: u32, found: Option<(u64, u32)>) -> Vec<Output> {
        let probed = found.map(|(ms, permille)| Probed { round_trip: Duration::from_millis(ms), permille });
        self.client.handle_probed(self.now, server, probed);
        let found = found.map(|(ms, permille)| json!({ "round_trip_ms": ms, "permille": permille }));
        self.step(json!({ "probed": { "server": server, "found": found } }))
    }

    pub fn set_servers(&mut self, was: &[Option<u32>]) -> Vec<Output> {
        self.client.set_servers(self.now, was);
        self.step(json!({ "set_servers": { "was": was } }))
    }
}

/// As by default, but a move happens as soon as it is decided.
pub fn choice() -> Choice {
    Choice { spread: Duration::ZERO, ..Choice::default() }
}

pub fn requests(outputs: &[Output]) -> Vec<Request> {
    outputs.iter().filter_map(|output| if let Output::Send(request) = output { Some(request.clone()) } else { None }).collect()
}

/// The session's numbers and texts that are sent.
pub fn sent(outputs: &[Output]) -> Vec<(u64, String)> {
    let sent = |request: Request| match request.ask {
        Ask::Submit { identity: Identity::Number(number), command: Command::Post { text, .. }, .. } => Some((number, text)),
        _ => None,
    };
    requests(outputs).into_iter().filter_map(sent).collect()
}

pub fn settled(outputs: &[Output]) -> Vec<u64> {
    let settled = |output: &Output| if let Output::Settled { number, result: Ok(_) } = output { Some(*number) } else { None };
    outputs.iter().filter_map(settled).collect()
}

/// The commands that are accepted, and on how many nodes.
pub fn accepted(outputs: &[Output]) -> Vec<(u64, u32)> {
    let accepted =
        |output: &Output| if let Output::Accepted { number, copies, .. } = output { Some((*number, *copies)) } else { None };
    outputs.iter().filter_map(accepted).collect()
}

pub fn delivered(outputs: &[Output]) -> Vec<(u64, Cursor)> {
    let delivered = |output: &Output| if let Output::Deliver(event) = output { Some((event.room.0, event.cursor)) } else { None };
    outputs.iter().filter_map(delivered).collect()
}

pub fn connects(outputs: &[Output]) -> Vec<u32> {
    let connects = |output: &Output| if let Output::Connect { server, .. } = output { Some(*server) } else { None };
    outputs.iter().filter_map(connects).collect()
}

pub fn probes(outputs: &[Output]) -> Vec<u32> {
    outputs.iter().filter_map(|output| if let Output::Probe { server } = output { Some(*server) } else { None }).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// What records hold, in the words of docs/CLIENT.md: for hosts that keep something else than bytes.

#[derive(Deserialize, Serialize)]
struct SessionRecord {
    token: Token,
    name: String,
    next_number: u64,
    next_wire: u64,
}

#[derive(Deserialize)]
struct CommandRecord {
    number: u64,
    wire: Option<u64>,
    command: Bytes,
}

#[derive(Deserialize, Serialize)]
struct CursorRecord {
    room: RoomId,
    cursor: Cursor,
}

/// A record, decoded, under its key; null in its place where it says that the key's record is forgotten.
fn holds(record: &Bytes) -> Value {
    let (of, is_forgotten) = key_of(record).unwrap();
    let held = match of {
        _ if is_forgotten => Value::Null,
        Key::Session => json!(open::<SessionRecord>(Kind::OutboxSession, record).unwrap()),
        Key::Cursor(_) => json!(open::<CursorRecord>(Kind::OutboxCursor, record).unwrap()),
        Key::Command(_) => {
            let CommandRecord { number, wire, command } = open(Kind::OutboxCommand, record).unwrap();
            json!({ "number": number, "wire": wire, "command": Command::decode(&command).unwrap() })
        }
    };
    json!({ "key": key(of), "record": held })
}

fn key(key: Key) -> Value {
    match key {
        Key::Session => json!("session"),
        Key::Command(number) => json!({ "command": number }),
        Key::Cursor(room) => json!({ "cursor": room.0 }),
    }
}

/// An output as the file of vectors spells it.
fn told(output: &Output) -> Value {
    let value = |value: serde_json::Result<Value>| value.unwrap();
    match output {
        Output::Connect { server, .. } => json!({ "connect": server }),
        Output::Disconnect => json!("disconnect"),
        Output::Send(request) => json!({ "send": value(serde_json::to_value(request)) }),
        Output::SignedIn { server, .. } => json!({ "signed_in": server }),
        Output::Rejected(refusal) => json!({ "rejected": value(serde_json::to_value(refusal)) }),
        Output::Settled { number, result } => {
            json!({ "settled": { "number": number, "result": value(serde_json::to_value(result)) } })
        }
        Output::Accepted { number, id, copies } => {
            json!({ "accepted": { "number": number, "id": value(serde_json::to_value(id)), "copies": copies } })
        }
        Output::Tail { .. } => unreachable!("see Scene::told"),
        Output::Withdrawn { room, post, refusal } => {
            json!({ "withdrawn": { "room": room, "id": value(serde_json::to_value(post.id)), "refusal": value(serde_json::to_value(refusal)) } })
        }
        Output::Unclear { number } => json!({ "unclear": number }),
        Output::Answered { ask, result } => {
            json!({ "answered": { "ask": ask, "result": value(serde_json::to_value(result)) } })
        }
        Output::Deliver(event) => json!({ "deliver": value(serde_json::to_value(&**event)) }),
        Output::Unfollowed { room, .. } => json!({ "unfollowed": value(serde_json::to_value(room)) }),
        Output::Keep { change, record } => {
            let (serial, held) = (change.serial, &holds(record)["record"]);
            json!({ "keep": { "serial": serial, "key": key(change.key), "sync": change.sync, "record": hex(record), "holds": held } })
        }
        Output::Forget { change } => json!({ "forget": { "serial": change.serial, "key": key(change.key) } }),
        Output::Probe { server } => json!({ "probe": server }),
    }
}
