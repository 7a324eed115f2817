//! The whole client: sends, retries, changes server, delivers in order, once.
//!
//! - A command gets the session's next number and is kept until it is settled. On every new connection all unsettled ones are sent again, in order, with the same numbers.
//! - A refusal that may pass (no leader, busy, unknown) is tried again; one that will not settles the number.
//! - A server that knows no leader three times in a row, that does not answer for [`Timing::patience`], or that shows no sign of life for [`Timing::silence`], is given up for the
//!   next one; pauses between attempts double, with jitter.
//! - A followed room is followed again from the last delivered event; an event that was delivered before is dropped, and a gap is fetched.
//!
//! ```
//! use tertulia_protocol::{chat::*, client::{self, Client, Output}, contract::Now, dice::Seed, gateway::*};
//! let config = client::Config { name: "ada".into(), token: Token([7; 32]), servers: 3, first: 0, seed: Seed(1), timing: Default::default(), window: 32 };
//! let mut client = Client::new(config, Now::default());
//! let number = client.submit(Now::default(), Command::CreateRoom { name: "lobby".into() }).unwrap();
//! assert!(matches!(client.poll_output(), Some(Output::Connect { server: 0, .. })));
//! // Whoever runs the client opens the connection, then:
//! client.handle_connected(Now::default());
//! assert!(matches!(client.poll_output(), Some(Output::Send(Request { ask: Ask::SignIn { .. }, .. }))));
//! # let _ = number;
//! ```

mod types;
#[cfg(feature = "zoo")]
mod zoo;

pub use types::*;

use crate::chat::{Command, Refusal, RoomRef};
use crate::contract::Machine;
pub use crate::contract::Now;
use crate::dice::{Purpose, draw, within};
use crate::gateway::{Answer, Ask, ClientHello, Event, EventKind, From, Reply, Request};
use crate::ids::*;
use crate::replica::Identity;
use crate::time::{Duration, Instant};
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Answers without a leader after which another server is tried.
const LEADERLESS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    /// Not connected; the next attempt is due.
    Pausing {
        until: Instant,
    },
    Connecting {
        since: Instant,
    },
    Connected {
        signed_in: bool,
    },
    /// Refused for good.
    Rejected,
}

/// Something that wants an answer, on whatever connection there is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// To be sent at this time, or as soon as there is a signed-in connection after it.
    Due {
        at: Instant,
    },
    Sent,
}

/// What a request on the present connection is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    SignIn,
    Number(u64),
    Ask(u64),
    Follow(u64),
    Ping,
}

#[derive(Clone, Debug)]
struct Followed {
    room: RoomRef,
    from: From,
    /// Known once the server has said so.
    id: Option<RoomId>,
    /// The last event delivered.
    cursor: Option<Cursor>,
    stage: Stage,
    /// The answer has come: events flow.
    flowing: bool,
}

/// One client: one session, on one connection at a time.
#[derive(Clone, Debug)]
pub struct Client {
    config: Config,
    line: Line,
    server: u32,
    /// Attempts since something last went well.
    failures: u32,
    /// Answers in a row that say that the server knows no leader.
    leaderless: u32,
    draws: u64,
    commands: BTreeMap<u64, (Command, Stage)>,
    next_number: u64,
    asks: BTreeMap<u64, (Ask, Stage)>,
    next_ask: u64,
    follows: BTreeMap<u64, Followed>,
    next_follow: u64,
    /// Requests under way on this connection.
    sent: BTreeMap<u64, (About, Instant)>,
    next_request: u64,
    /// The furthest that any answer was from: see [`Client::ask`].
    seen: Index,
    /// When the sign-in is sent (again).
    sign_in_at: Option<Instant>,
    heard: Instant,
    #[cfg(feature = "zoo")]
    zoo: zoo::Spoiled,
    outputs: VecDeque<Output>,
    now: Instant,
}

impl Client {
    /// A client that connects at once.
    pub fn new(config: Config, now: Now) -> Client {
        let server = config.first % config.servers.max(1);
        Client {
            server,
            line: Line::Pausing { until: now.instant },
            failures: 0,
            leaderless: 0,
            draws: 0,
            commands: BTreeMap::new(),
            next_number: 1,
            asks: BTreeMap::new(),
            next_ask: 1,
            follows: BTreeMap::new(),
            next_follow: 1,
            sent: BTreeMap::new(),
            next_request: 1,
            seen: 0,
            sign_in_at: None,
            heard: now.instant,
            #[cfg(feature = "zoo")]
            zoo: zoo::Spoiled::default(),
            outputs: VecDeque::new(),
            now: now.instant,
            config,
        }
    }

    /// Takes a command, numbers it, and keeps it until it is settled.
    pub fn submit(&mut self, now: Now, command: Command) -> Result<u64, WindowFull> {
        self.now = now.instant;
        // Counted from the first unsettled one: the cluster keeps the outcomes of the last numbers only, and must still know that one's.
        if self.next_number - self.first_unsettled() >= u64::from(self.config.window) {
            return Err(WindowFull);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.commands.insert(number, (command, Stage::Due { at: now.instant }));
        Ok(number)
    }

    /// Asks something that changes nothing; repeated on another server until it is answered. Where [`Ask::History`] says `at_least`, that is raised to what this
    /// client's answers have shown, so that what it was told of its own posts, and read before, is there again whichever server answers.
    pub fn ask(&mut self, now: Now, ask: Ask) -> u64 {
        self.now = now.instant;
        let id = self.next_ask;
        self.next_ask += 1;
        self.asks.insert(id, (ask, Stage::Due { at: now.instant }));
        id
    }

    /// Follows a room from a place on, over all servers. Only members may: join first.
    pub fn follow(&mut self, now: Now, room: RoomRef, from: From) {
        self.now = now.instant;
        let id = self.next_follow;
        self.next_follow += 1;
        let stage = Stage::Due { at: now.instant };
        self.follows.insert(id, Followed { room, from, id: None, cursor: None, stage, flowing: false });
    }

    /// Follows a room no more: it was left, say. What is on its way is dropped.
    pub fn unfollow(&mut self, room: RoomId) {
        self.follows.retain(|_, followed| followed.id != Some(room) && followed.room != RoomRef::Id(room));
    }

    /// Commands that are not settled.
    pub fn unsettled(&self) -> u32 {
        self.commands.len() as u32
    }

    /// The server of the present connection or attempt.
    pub fn server(&self) -> u32 {
        self.server
    }

    pub fn handle_connected(&mut self, now: Now) {
        self.now = now.instant;
        if matches!(self.line, Line::Connecting { .. }) {
            self.line = Line::Connected { signed_in: false };
            self.heard = now.instant;
            self.sign_in_at = Some(now.instant);
        }
    }

    /// The connection is gone, or could not be opened.
    pub fn handle_disconnected(&mut self, now: Now) {
        self.now = now.instant;
        if matches!(self.line, Line::Connecting { .. } | Line::Connected { .. }) {
            self.move_on();
        }
    }

    pub fn handle_reply(&mut self, now: Now, reply: Reply) {
        self.now = now.instant;
        self.heard = now.instant;
        let Some((about, _)) = self.sent.remove(&reply.id) else { return };
        self.seen = self.seen.max(reply.index);
        match &reply.result {
            Err(Refusal::NoLeader { .. }) => self.leaderless += 1,
            Ok(Answer::Pong) => {}
            _ => self.leaderless = 0,
        }
        match about {
            About::SignIn => self.signed_in(reply.result),
            About::Number(number) => self.answered_number(number, reply.result),
            About::Ask(ask) => self.answered_ask(ask, reply.result),
            About::Follow(follow) => self.answered_follow(follow, reply.result),
            About::Ping => {}
        }
        if self.leaderless >= LEADERLESS && self.config.servers > 1 {
            // It may be cut off from the others: somebody else may know a leader.
            self.outputs.push_back(Output::Disconnect);
            self.move_on();
        }
    }

    pub fn handle_event(&mut self, now: Now, event: Arc<Event>) {
        self.now = now.instant;
        self.heard = now.instant;
        let Some(followed) = self.follows.values_mut().find(|followed| followed.id == Some(event.room) && followed.flowing)
        else {
            return;
        };
        let Some(cursor) = followed.cursor else { return };
        // What is no longer kept is one event over all of its places.
        let begins = if let EventKind::Skipped { from } = event.kind { from } else { event.cursor };
        let is_next = begins <= cursor + 1 && event.cursor > cursor;
        #[cfg(feature = "zoo")]
        let is_next = is_next || event.cursor <= cursor && self.zoo.has(Bug::DeliverAgain);
        if is_next {
            followed.cursor = Some(event.cursor);
            self.outputs.push_back(Output::Deliver(event));
        } else if event.cursor > cursor {
            // Something is missing: begin again after the last one that was delivered.
            followed.flowing = false;
            followed.stage = Stage::Due { at: now.instant };
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now.instant;
        let patience = self.config.timing.patience;
        let overdue = |at: Instant| now.instant >= at + patience;
        let give_up = match self.line {
            Line::Connecting { since } => overdue(since),
            Line::Connected { .. } => {
                self.sent.values().any(|(_, at)| overdue(*at)) || self.silent_for(now.instant) >= self.config.timing.silence
            }
            Line::Pausing { .. } | Line::Rejected => false,
        };
        if give_up {
            #[cfg(feature = "zoo")]
            self.refuse_what_is_late();
            self.outputs.push_back(Output::Disconnect);
            self.move_on();
        }
        let quiet = matches!(self.line, Line::Connected { .. }) && self.silent_for(now.instant) >= self.config.timing.probe;
        if quiet && !self.is_probing() {
            self.send(About::Ping, Ask::Ping);
        }
        let idle = now.instant >= self.heard + self.config.timing.keep_alive;
        if idle && matches!(self.line, Line::Connected { signed_in: true }) && self.sent.is_empty() {
            self.send(About::Ping, Ask::Ping);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        match self.line {
            Line::Pausing { until } if self.now >= until => {
                self.line = Line::Connecting { since: self.now };
                let hello = ClientHello { token: None };
                self.outputs.push_back(Output::Connect { server: self.server, hello });
            }
            Line::Connected { signed_in: false } if self.sign_in_at.is_some_and(|at| self.now >= at) => {
                self.sign_in_at = None;
                let ask = Ask::SignIn { name: self.config.name.clone(), token: self.config.token };
                self.send(About::SignIn, ask);
            }
            Line::Connected { signed_in: true } => self.send_due(),
            _ => {}
        }
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let patience = self.config.timing.patience;
        match self.line {
            Line::Rejected => None,
            Line::Pausing { until } => Some(until),
            Line::Connecting { since } => Some(since + patience),
            Line::Connected { signed_in } => {
                let overdue = self.sent.values().map(|(_, at)| *at + patience);
                let due = self.stages().filter_map(|stage| if let Stage::Due { at } = stage { Some(*at) } else { None });
                let idle = (signed_in && self.sent.is_empty()).then(|| self.heard + self.config.timing.keep_alive);
                let timing = &self.config.timing;
                let quiet =
                    self.waiting_since().map(|since| since + if self.is_probing() { timing.silence } else { timing.probe });
                overdue.chain(quiet).chain(due.filter(|_| signed_in)).chain(idle).chain(self.sign_in_at).min()
            }
        }
    }

    // ---- inside -------------------------------------------------------------------------------------------------------------------------

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        let commands = self.commands.values().map(|(_, stage)| stage);
        let asks = self.asks.values().map(|(_, stage)| stage);
        commands.chain(asks).chain(self.follows.values().map(|followed| &followed.stage))
    }

    /// Since when something waits and nothing was heard.
    fn waiting_since(&self) -> Option<Instant> {
        self.sent.values().map(|(_, at)| *at).min().map(|oldest| oldest.max(self.heard))
    }

    fn silent_for(&self, now: Instant) -> Duration {
        self.waiting_since().map_or(Duration::ZERO, |since| now.since(since))
    }

    fn is_probing(&self) -> bool {
        self.sent.values().any(|(about, _)| *about == About::Ping)
    }

    /// The first number that is not settled, or the next one if all are.
    fn first_unsettled(&self) -> u64 {
        self.commands.first_key_value().map_or(self.next_number, |(number, _)| *number)
    }

    fn send(&mut self, about: About, ask: Ask) {
        let id = self.next_request;
        self.next_request += 1;
        self.sent.insert(id, (about, self.now));
        self.outputs.push_back(Output::Send(Request { id, ask }));
    }

    /// Sends everything that is due, commands in the order of their numbers.
    fn send_due(&mut self) {
        let now = self.now;
        let is_due = |stage: &Stage| matches!(stage, Stage::Due { at } if now >= *at);
        let first_unacked = self.first_unsettled();
        #[cfg(feature = "zoo")]
        let first_unacked = if self.zoo.has(Bug::AcknowledgeTooMuch) { self.next_number } else { first_unacked };
        let mut due = Vec::new();
        for (number, (command, stage)) in &mut self.commands {
            if is_due(stage) {
                *stage = Stage::Sent;
                let identity = Identity::Number(*number);
                due.push((About::Number(*number), Ask::Submit { identity, first_unacked, command: command.clone() }));
            }
        }
        for (id, (ask, stage)) in &mut self.asks {
            if is_due(stage) {
                *stage = Stage::Sent;
                let seen = self.seen;
                #[cfg(feature = "zoo")]
                let seen = if self.zoo.has(Bug::ForgetOwnPast) { 0 } else { seen };
                if let Ask::History { at_least: Some(index), .. } = ask {
                    *index = seen.max(*index);
                }
                due.push((About::Ask(*id), ask.clone()));
            }
        }
        for (id, followed) in &mut self.follows {
            if is_due(&followed.stage) {
                followed.stage = Stage::Sent;
                let from = followed.cursor.map_or(followed.from, From::After);
                #[cfg(feature = "zoo")]
                let from = if self.zoo.has(Bug::FollowFromNow) && followed.cursor.is_some() { From::Last(0) } else { from };
                due.push((About::Follow(*id), Ask::Follow { room: followed.room.clone(), from }));
            }
        }
        for (about, ask) in due {
            self.send(about, ask);
        }
    }

    fn signed_in(&mut self, result: Result<Answer, Refusal>) {
        #[cfg(feature = "zoo")]
        if let Ok(Answer::SignedIn { next_number, .. }) = &result {
            self.renumber(*next_number);
        }
        match result {
            Ok(Answer::SignedIn { user, name, .. }) => {
                self.failures = 0;
                self.line = Line::Connected { signed_in: true };
                self.outputs.push_back(Output::SignedIn { server: self.server, user, name });
            }
            Err(refusal) if !refusal.is_temporary() => {
                self.line = Line::Rejected;
                self.outputs.push_back(Output::Disconnect);
                self.outputs.push_back(Output::Rejected(refusal));
            }
            again => self.sign_in_at = Some(self.retry_at(&again)),
        }
    }

    fn answered_number(&mut self, number: u64, result: Result<Answer, Refusal>) {
        let again_at = self.retry_at(&result);
        let Some((_, stage)) = self.commands.get_mut(&number) else { return };
        let result = match result {
            Ok(Answer::Done(done)) => Ok(done),
            Err(refusal) if !refusal.is_temporary() => Err(refusal),
            _ => {
                *stage = Stage::Due { at: again_at };
                return;
            }
        };
        self.commands.remove(&number);
        #[cfg(feature = "zoo")]
        let number = self.zoo.as_submitted(number);
        self.outputs.push_back(Output::Settled { number, result });
    }

    fn answered_ask(&mut self, ask: u64, result: Result<Answer, Refusal>) {
        let again_at = self.retry_at(&result);
        let Some((_, stage)) = self.asks.get_mut(&ask) else { return };
        if result.as_ref().is_err_and(Refusal::is_temporary) {
            *stage = Stage::Due { at: again_at };
            return;
        }
        self.asks.remove(&ask);
        self.outputs.push_back(Output::Answered { ask, result });
    }

    fn answered_follow(&mut self, follow: u64, result: Result<Answer, Refusal>) {
        let again_at = self.retry_at(&result);
        let Some(followed) = self.follows.get_mut(&follow) else { return };
        match result {
            Ok(Answer::Following { room, cursor }) => {
                followed.id = Some(room);
                followed.flowing = true;
                #[cfg(feature = "zoo")]
                if self.zoo.has(Bug::TakeServersCursor) || self.zoo.has(Bug::FollowFromNow) {
                    followed.cursor = None;
                }
                // What lies between is not for this client: it may have left the room and come back.
                followed.cursor = followed.cursor.max(Some(cursor));
            }
            Err(refusal) if !refusal.is_temporary() => {
                if let Some(gone) = self.follows.remove(&follow) {
                    self.outputs.push_back(Output::Unfollowed { room: gone.room, refusal });
                }
            }
            _ => followed.stage = Stage::Due { at: again_at },
        }
    }

    /// When to repeat what was refused for the moment: not before the server says.
    fn retry_at(&mut self, result: &Result<Answer, Refusal>) -> Instant {
        let asked_for = match result {
            Err(Refusal::Busy { retry_after_ms }) => {
                Duration::from_millis((*retry_after_ms).into()).min(self.config.timing.backoff_max)
            }
            _ => Duration::ZERO,
        };
        let pause = self.config.timing.backoff_min;
        self.now + asked_for + self.jittered(pause)
    }

    /// Gives up the present server; everything unsettled is sent again to the next one.
    fn move_on(&mut self) {
        let timing = self.config.timing;
        self.server = (self.server + 1) % self.config.servers.max(1);
        let rounds = self.failures / self.config.servers.max(1);
        let pause = (timing.backoff_min * 2u32.saturating_pow(rounds.min(16))).min(timing.backoff_max);
        self.failures += 1;
        self.leaderless = 0;
        #[cfg(feature = "zoo")]
        self.forget_what_was_sent();
        self.line = Line::Pausing { until: self.now + self.jittered(pause) };
        self.sent.clear();
        self.sign_in_at = None;
        let due = Stage::Due { at: self.now };
        for (_, stage) in self.commands.values_mut() {
            *stage = due.clone();
        }
        for (_, stage) in self.asks.values_mut() {
            *stage = due.clone();
        }
        for followed in self.follows.values_mut() {
            followed.stage = due.clone();
            followed.flowing = false;
        }
    }

    /// Between half of `pause` and all of it, so that many clients of one lost server do not come back at one moment.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.draws += 1;
        let most = pause.as_micros() as u64;
        let who = self.config.token.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Duration::from_micros(within(draw(self.config.seed, Purpose::ClientBackoff, who, 0, self.draws), most / 2, most))
    }
}

impl Machine for Client {
    type Output = Output;
    fn poll_output(&mut self) -> Option<Output> {
        Client::poll_output(self)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Client::poll_timeout(self)
    }
    fn handle_timeout(&mut self, now: Now) {
        Client::handle_timeout(self, now);
    }
}
