//! A cluster of three servers, as far as one client sees it: one log that each has applied up to some place, and on each what it has accepted without a leader.
//!
//! What is tentative spreads, is committed in its order or refused, and may be lost with a disk. A server without a leader answers from what it has applied, and accepts a
//! session's number where all lower ones are executed or tentative there.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, VecDeque};
use tertulia_protocol::chat::{Command, Done, More, Post, Refusal, RoomRef};
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::Timestamp;

pub const SERVERS: usize = 3;
pub const ROOMS: u64 = 2;

/// A message that has got its turn.
#[derive(Clone, Debug)]
pub struct Executed {
    pub id: MessageId,
    /// The session's number, if it is the client's own.
    number: Option<u64>,
    pub room: RoomId,
    pub text: String,
    pub refused: bool,
}

/// A message that has not.
#[derive(Clone, Debug)]
struct Tentative {
    number: Option<u64>,
    room: RoomId,
    post: TentativePost,
}

#[derive(Clone, Default)]
pub struct Server {
    pub has_leader: bool,
    applied: usize,
    view: BTreeMap<MessageId, Tentative>,
}

pub enum Word {
    Reply(Reply),
    Event(Event),
}

/// What the client's connection has been sent.
#[derive(Default)]
pub struct Connection {
    pub server: usize,
    pub words: VecDeque<Word>,
    /// Of each room that is followed the last event.
    sent: BTreeMap<RoomId, Cursor>,
}

#[derive(Default)]
pub struct Cluster {
    pub log: Vec<Executed>,
    pub servers: [Server; SERVERS],
    pub connection: Connection,
    outcomes: BTreeMap<u64, Result<Done, Refusal>>,
    /// Ids of others, and places in outboxes.
    count: u64,
}

fn refusal() -> Refusal {
    Refusal::Muted { until: Timestamp(1) }
}

impl Cluster {
    /// With a leader that all servers reach.
    pub fn new() -> Cluster {
        let mut cluster = Cluster::default();
        cluster.servers.iter_mut().for_each(|server| server.has_leader = true);
        cluster
    }

    /// The events of a room that this beginning of the log makes.
    pub fn events(&self, room: RoomId, applied: usize) -> Vec<&Executed> {
        self.log[..applied].iter().filter(|executed| executed.room == room && !executed.refused).collect()
    }

    fn next(&self, applied: usize) -> u64 {
        self.log[..applied].iter().filter_map(|executed| executed.number).max().map_or(1, |last| last + 1)
    }

    fn execute(&mut self, id: MessageId, number: Option<u64>, room: RoomId, text: String, refused: bool) {
        self.log.push(Executed { id, number, room, text, refused });
        if let Some(number) = number {
            let seq = self.events(room, self.log.len()).len() as Seq;
            let done = Done::Posted { room, seq, id, at: Timestamp(seq) };
            self.outcomes.insert(number, if refused { Err(refusal()) } else { Ok(done) });
        }
    }

    /// A server comes to the end of the log. The client is told, if it is connected to it.
    pub fn apply(&mut self, at: usize) {
        let before = self.servers[at].applied;
        self.servers[at].applied = self.log.len();
        let new = self.log.split_off(before);
        self.log.extend(new.iter().cloned());
        for executed in new {
            let was_there = self.servers[at].view.remove(&executed.id).is_some();
            if executed.refused && was_there {
                let kind = EventKind::Withdrawn { id: executed.id, refusal: Box::new(refusal()) };
                self.hint(at, executed.room, kind);
            }
            self.publish(at);
        }
    }

    /// An event without a place, for whoever follows the room at this server.
    fn hint(&mut self, at: usize, room: RoomId, kind: EventKind) {
        if self.connection.server == at && self.connection.sent.contains_key(&room) {
            self.connection.words.push_back(Word::Event(Event { room, cursor: 0, kind }));
        }
    }

    /// What the client has not been sent yet.
    fn publish(&mut self, at: usize) {
        if self.connection.server != at {
            return;
        }
        let applied = self.servers[at].applied;
        for (room, sent) in self.connection.sent.clone() {
            let events: Vec<Executed> = self.events(room, applied).into_iter().cloned().collect();
            for (nth, executed) in events.into_iter().enumerate().skip(sent as usize) {
                let cursor = nth as Cursor + 1;
                let (id, author, at, text) = (executed.id, UserId(1), Timestamp(1), executed.text);
                let post = Post { seq: cursor, id, author, author_name: "ada".into(), text, at, more: More::default() };
                let event = Event { room, cursor, kind: EventKind::Posted(post) };
                self.connection.words.push_back(Word::Event(event));
                self.connection.sent.insert(room, cursor);
            }
        }
    }

    fn accept(&mut self, at: usize, number: Option<u64>, id: MessageId, room: RoomId, text: String) {
        self.count += 1;
        let outbox = OutboxId { node: NodeId(at as u64), boot: Boot(1) };
        let (author, author_name, written_at) = (UserId(1), "ada".into(), Timestamp(self.count));
        let order = (written_at, outbox, self.count);
        let post = TentativePost { id, author, author_name, text, reply_to: None, written_at, order, copies: 1 };
        self.servers[at].view.insert(id, Tentative { number, room, post: post.clone() });
        self.hint(at, room, EventKind::Tentative(Box::new(post)));
    }

    /// Somebody else posts at this server.
    pub fn post(&mut self, at: usize, room: RoomId) {
        self.count += 1;
        let (id, text) = (MessageId(1_000_000 + u128::from(self.count)), "from somebody else".into());
        if self.servers[at].has_leader {
            self.execute(id, None, room, text, false);
            self.apply(at);
        } else {
            self.accept(at, None, id, room, text);
        }
    }

    /// What this server holds reaches a leader: it is executed, or refused.
    pub fn commit(&mut self, at: usize, refused: bool) {
        self.apply(at);
        let mut held: Vec<Tentative> = self.servers[at].view.values().cloned().collect();
        held.sort_by_key(|held| (held.number, held.post.order));
        for Tentative { number, room, post } in held {
            if number.is_none_or(|number| number == self.next(self.log.len())) {
                self.execute(post.id, number, room, post.text, refused);
            }
        }
        self.apply(at);
    }

    /// What this server holds comes to the others, as far as they can have it.
    pub fn spread(&mut self, from: usize) {
        let view = self.servers[from].view.clone();
        for to in (0..SERVERS).filter(|to| *to != from) {
            let next = self.next(self.servers[to].applied);
            let known = |server: &Server, id: &MessageId| server.view.contains_key(id);
            for (id, held) in &view {
                let is_over = self.log[..self.servers[to].applied].iter().any(|executed| executed.id == *id);
                let has_predecessors = held
                    .number
                    .is_none_or(|number| (next..number).all(|before| known(&self.servers[to], &MessageId(before.into()))));
                if !is_over && !known(&self.servers[to], id) && has_predecessors {
                    self.servers[to].view.insert(*id, held.clone());
                    self.hint(to, held.room, EventKind::Tentative(Box::new(held.post.clone())));
                }
            }
        }
    }

    /// A server's disk is lost: what it alone had accepted is lost with it.
    pub fn lose_disk(&mut self, at: usize) {
        self.servers[at].view.clear();
    }

    fn submit(&mut self, at: usize, number: u64, first_unacked: u64, room: RoomId, text: &str) -> Result<Answer, Refusal> {
        let has_leader = self.servers[at].has_leader;
        if has_leader {
            self.apply(at);
        }
        let next = self.next(self.servers[at].applied);
        let id = MessageId(number.into());
        if number >= next && !has_leader {
            let view = &self.servers[at].view;
            if !(next..number).all(|before| view.contains_key(&MessageId(before.into()))) {
                return Err(Refusal::NoLeader { since_ms: 500 });
            }
            match view.get(&id) {
                Some(held) => assert_eq!(held.post.text, text, "a number is given once"),
                None => self.accept(at, Some(number), id, room, text.into()),
            }
            let copies = self.servers.iter().filter(|server| server.view.contains_key(&id)).count() as u32;
            return Ok(Answer::Accepted { id, copies });
        }
        if number > next {
            return Err(Refusal::Unknown);
        }
        if number == next {
            self.execute(id, Some(number), room, text.into(), false);
            self.outcomes.retain(|number, _| *number >= first_unacked);
            self.apply(at);
        }
        self.outcomes.get(&number).cloned().unwrap_or(Err(Refusal::Forgotten)).map(Answer::Done)
    }

    pub fn hang_up(&mut self) {
        self.connection.words.clear();
        self.connection.sent.clear();
    }

    /// Answers a request on the client's connection. The answer stands before the events that come of it.
    pub fn serve(&mut self, request: &Request, busy: bool) {
        let at = self.connection.server;
        let mut begun = Vec::new();
        let applied = self.servers[at].applied;
        let last = |cluster: &Cluster, room: RoomId| cluster.events(room, applied).len() as Cursor;
        let result = match &request.ask {
            Ask::Submit { .. } if busy => Err(Refusal::Busy { retry_after_ms: 10 }),
            Ask::SignIn { .. } => {
                let (user, session) = (UserId(1), SessionId(1));
                Ok(Answer::SignedIn { user, session, name: "ada".into(), next_number: 1 })
            }
            Ask::NextNumber if !self.servers[at].has_leader => Err(Refusal::NoLeader { since_ms: 500 }),
            Ask::NextNumber => Ok(Answer::NextNumber(self.next(self.log.len()))),
            Ask::Submit { identity: Identity::Number(number), first_unacked, command } => {
                let Command::Post { room: RoomRef::Id(room), text } = command else { panic!("{command:?}") };
                self.submit(at, *number, *first_unacked, *room, text)
            }
            Ask::Follow { room: RoomRef::Id(room), from: From::After(cursor) } => {
                let cursor = last(self, *room).min(*cursor);
                begun.push((*room, cursor));
                Ok(Answer::Following { room: *room, cursor })
            }
            Ask::FollowAll { after } => {
                let after: BTreeMap<RoomId, Cursor> = after.iter().copied().collect();
                let cursor = |room| after.get(&room).map_or(last(self, room), |cursor| last(self, room).min(*cursor));
                begun.extend((1..=ROOMS).map(RoomId).map(|room| (room, cursor(room))));
                Ok(Answer::FollowingAll { cursors: begun.clone() })
            }
            Ask::Tentative { room: RoomRef::Id(room) } => {
                Ok(Answer::Tentative { room: *room, cursor: last(self, *room), posts: self.tail(at, *room) })
            }
            Ask::Ping => Ok(Answer::Pong),
            Ask::Load => Ok(Answer::Load { permille: 1 }),
            other => panic!("{other:?}"),
        };
        self.connection.words.push_back(Word::Reply(Reply { id: request.id, index: 1, result }));
        self.connection.sent.extend(begun.iter().copied());
        self.publish(at);
        for (room, _) in begun {
            let posts = self.tail(at, room);
            if !posts.is_empty() {
                self.hint(at, room, EventKind::Tail(posts.into()));
            }
        }
    }

    fn tail(&self, at: usize, room: RoomId) -> Vec<TentativePost> {
        let of_room = self.servers[at].view.values().filter(|held| held.room == room);
        let mut posts: Vec<TentativePost> = of_room.map(|held| held.post.clone()).collect();
        posts.sort_by_key(|post| post.order);
        posts
    }
}
