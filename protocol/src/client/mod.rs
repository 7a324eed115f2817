//! The whole client: sends, retries, changes server, delivers in order, once; over the end of its process, too.
//!
//! - A command gets the session's next number when it is first sent, and is kept until it is settled (`outbox.rs`). On every new connection all unsettled ones are sent
//!   again, in order, with the same numbers. What is to be kept over the end of the process is handed out as records (`kept.rs`).
//! - A refusal that may pass (no leader, busy, unknown) is tried again; one that will not settles the number.
//! - A command that a server accepts without a leader is asked about again, with the same number, until it is settled; meanwhile the client looks for a server that reaches one
//!   (`search.rs`). Tentative messages of followed rooms stand behind the committed ones (`tail.rs`).
//! - A server that knows no leader three times in a row, that does not answer for [`Timing::patience`], or that shows no sign of life for [`Timing::silence`], is given up for
//!   another one (`choice.rs`); pauses between attempts double, with jitter.
//! - A followed room is followed again from the last delivered event; an event that was delivered before is dropped, and a gap is fetched (`rooms.rs`).
//!
//! docs/CLIENT.md has all rules, for whoever writes the client in another language. This is a host of this machine, which plays the server, too; `driver/examples/client.rs` is
//! one with real connections.
//!
//! ```
//! use tertulia_protocol::{chat::*, client::*, contract::Now, dice::Seed, gateway::*, ids::*};
//! let config = Config { name: "ada".into(), how: Default::default(), device: String::new(), token: Token([7; 32]), servers: 3, first: 0, seed: Seed(1), timing: Default::default(), window: 32 };
//! let (now, mut kept) = (Now::default(), std::collections::BTreeMap::new());
//! let mut client = Client::resume(config.clone(), &[], now).unwrap();
//! let number = client.submit(now, Command::CreateRoom { name: "lobby".into() }).unwrap();
//! let mut settled = None;
//! while let Some(output) = client.poll_output() {
//!     match output {
//!         // Here a connection stands at once, and answers at once.
//!         Output::Connect { .. } => client.handle_connected(now),
//!         Output::Send(Request { id, ask }) => {
//!             let answer = match ask {
//!                 Ask::SignIn { name, .. } => Answer::SignedIn { user: UserId(1), session: SessionId(1), name, next_number: 1 },
//!                 Ask::Submit { .. } => Answer::Done(Done::Room { room: RoomId(1), name: "lobby".into(), created: true }),
//!                 other => panic!("{other:?}"),
//!             };
//!             client.handle_reply(now, Reply { id, index: 1, result: Ok(answer) });
//!         }
//!         // Durable storage is a map. The number of the session is kept before the command is sent.
//!         Output::Keep { change, record } => {
//!             kept.insert(change.key, record);
//!             client.handle_kept(now, change.serial);
//!         }
//!         Output::Forget { change } => drop(kept.remove(&change.key)),
//!         Output::Settled { number, .. } => settled = Some(number),
//!         _ => {}
//!     }
//! }
//! assert_eq!(settled, Some(number));
//! // The next run of the process goes on with the next number.
//! let records: Vec<_> = kept.into_values().collect();
//! let mut client = Client::resume(config, &records, now).unwrap();
//! assert_eq!(client.submit(now, Command::Join { room: RoomRef::Name("lobby".into()) }), Ok(number + 1));
//! ```

mod choice;
mod kept;
mod outbox;
mod rooms;
mod search;
mod tail;
mod types;
#[cfg(feature = "zoo")]
mod zoo;

pub use kept::{RECORD_LIMIT, Read, Rest, forgotten, frame, key_of, read};
pub use types::*;

use crate::chat::{Command, Refusal, RoomRef};
use crate::contract::Machine;
pub use crate::contract::Now;
use crate::dice::{Purpose, draw, within};
use crate::gateway::{Answer, Ask, ClientHello, Event, From, How, Reply, Request};
use crate::ids::*;
use crate::replica::Identity;
use crate::time::{Duration, Instant, Timestamp};
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use choice::Choosing;
use kept::Journal;
use outbox::Held;
use rooms::{All, Followed};
use search::Search;
use tail::Tail;

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
    /// A command that has no number of the session yet.
    Waiting,
    /// A command whose record must be durable first.
    Keeping {
        serial: u64,
    },
}

impl Stage {
    fn is_due(&self, now: Instant) -> bool {
        matches!(self, Stage::Due { at } if now >= *at)
    }

    /// What was under way is due again.
    fn renew(&mut self, now: Instant) {
        if matches!(self, Stage::Due { .. } | Stage::Sent) {
            *self = Stage::Due { at: now };
        }
    }
}

/// What a request on the present connection is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    SignIn,
    Number(u64),
    Ask(u64),
    Follow(u64),
    All,
    Tail(RoomId),
    NextNumber,
    Ping,
    Load,
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
    /// When the first of them came.
    leaderless_since: Instant,
    search: Option<Search>,
    /// How long the present connection, or the last one, took to open.
    opened_in: Duration,
    draws: u64,
    /// By the numbers that their submission returned.
    commands: BTreeMap<u64, Held>,
    next_number: u64,
    /// The session's next number.
    next_wire: u64,
    /// After a restart: the question for the session's next number, before whose answer nothing is sent.
    check: Option<Stage>,
    /// The next number as the present server takes it: a later life of this client that the server knows of would have used it.
    named: u64,
    /// The present server knows no leader who could answer the question, and of no later life: commands are sent before it is answered.
    ahead: bool,
    journal: Journal,
    /// Settled numbers of the session whose records are not durably forgotten, and the changes that forget them.
    settling: BTreeMap<u64, u64>,
    asks: BTreeMap<u64, (Ask, Stage)>,
    next_ask: u64,
    follows: BTreeMap<u64, Followed>,
    next_follow: u64,
    all: Option<All>,
    /// Of each room the last event delivered, where something needs it.
    cursors: BTreeMap<RoomId, Cursor>,
    tails: BTreeMap<RoomId, Tail>,
    /// The last messages that were delivered as committed, or refused after they had been tentative.
    remembered: VecDeque<MessageId>,
    /// As the last sign-in said.
    user: Option<UserId>,
    choosing: Choosing,
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
    /// A client that connects at once, whose host keeps nothing: it ends with its process. See [`Client::resume`].
    pub fn new(config: Config, now: Now) -> Client {
        let server = config.first % config.servers.max(1);
        Client {
            server,
            line: Line::Pausing { until: now.instant },
            failures: 0,
            leaderless: 0,
            leaderless_since: now.instant,
            search: None,
            opened_in: Duration::ZERO,
            draws: 0,
            commands: BTreeMap::new(),
            next_number: 1,
            next_wire: 1,
            check: None,
            named: 1,
            ahead: false,
            journal: Journal::default(),
            settling: BTreeMap::new(),
            asks: BTreeMap::new(),
            next_ask: 1,
            follows: BTreeMap::new(),
            next_follow: 1,
            all: None,
            cursors: BTreeMap::new(),
            tails: BTreeMap::new(),
            remembered: VecDeque::new(),
            user: None,
            choosing: Choosing::new(config.servers, now),
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

    /// Asks something that changes nothing; repeated on another server until it is answered. Where [`Ask::History`] says `at_least`, that is raised to what this
    /// client's answers have shown, so that what it was told of its own posts, and read before, is there again whichever server answers.
    pub fn ask(&mut self, now: Now, ask: Ask) -> u64 {
        self.now = now.instant;
        let id = self.next_ask;
        self.next_ask += 1;
        self.asks.insert(id, (ask, Stage::Due { at: now.instant }));
        id
    }

    /// The server of the present connection or attempt.
    pub fn server(&self) -> u32 {
        self.server
    }

    pub fn handle_connected(&mut self, now: Now) {
        self.now = now.instant;
        if let Line::Connecting { since } = self.line {
            self.opened_in = now.instant.since(since);
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
        let Some((about, sent_at)) = self.sent.remove(&reply.id) else { return };
        self.seen = self.seen.max(reply.index);
        match &reply.result {
            Ok(Answer::Pong) => self.measured(now.instant.since(sent_at), None),
            Ok(Answer::Load { permille }) => self.measured(now.instant.since(sent_at), Some(*permille)),
            _ => {}
        }
        let is_leaderless = self.weigh(about, &reply.result);
        match about {
            About::SignIn => self.signed_in(reply.result),
            About::Number(number) => self.answered_number(number, reply.result),
            About::Ask(ask) => self.answered_ask(ask, reply.result),
            About::Follow(follow) => self.answered_follow(follow, reply.result),
            About::All => self.answered_all(&reply.result),
            About::Tail(room) => self.answered_tail(room, reply.result),
            About::NextNumber => self.told_next_number(&reply.result),
            About::Ping | About::Load => {}
        }
        if self.leaderless == 0 && !matches!(about, About::SignIn | About::Ping | About::Load) {
            self.is_of_use();
        }
        if is_leaderless {
            self.look_elsewhere();
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now.instant;
        let patience = self.config.timing.patience;
        let overdue = |at: Instant| now.instant >= at + patience;
        let give_up = match self.line {
            Line::Connecting { since } => now.instant >= since + self.connect_patience(),
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
        self.choose();
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
                let Config { name, token, how, device, .. } = &self.config;
                let ask = match how {
                    How::Name if device.is_empty() => Ask::SignIn { name: name.clone(), token: *token },
                    how => Ask::SignInAs { name: name.clone(), token: *token, device: device.clone(), how: how.clone() },
                };
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
            Line::Connecting { since } => Some(since + self.connect_patience()),
            Line::Connected { signed_in } => {
                let overdue = self.sent.values().map(|(_, at)| *at + patience);
                let due = self.stages().filter_map(|stage| if let Stage::Due { at } = stage { Some(*at) } else { None });
                let idle = (signed_in && self.sent.is_empty()).then(|| self.heard + self.config.timing.keep_alive);
                let timing = &self.config.timing;
                let quiet =
                    self.waiting_since().map(|since| since + if self.is_probing() { timing.silence } else { timing.probe });
                let choosing = self.choose_at().filter(|_| signed_in);
                overdue.chain(quiet).chain(due.filter(|_| signed_in)).chain(idle).chain(choosing).chain(self.sign_in_at).min()
            }
        }
    }

    // ---- inside -------------------------------------------------------------------------------------------------------------------------

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        let asks = self.asks.values().filter(|(ask, _)| self.knows_its_numbers() || !is_of_own_past(ask));
        let asks = asks.map(|(_, stage)| stage).chain(&self.check);
        let follows = self.follows.values().map(|followed| &followed.stage).chain(self.all.as_ref().map(|all| &all.stage));
        // Before the session's next number is known nothing is sent.
        let commands = self.commands.values().filter(|_| self.knows_its_numbers()).map(|held| &held.stage);
        commands.chain(asks).chain(follows).chain(self.tail_stages())
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

    fn send(&mut self, about: About, ask: Ask) {
        let id = self.next_request;
        self.next_request += 1;
        self.sent.insert(id, (about, self.now));
        self.outputs.push_back(Output::Send(Request { id, ask }));
    }

    /// Sends everything that is due, commands in the order of their numbers.
    fn send_due(&mut self) {
        let now = self.now;
        let mut due = Vec::new();
        if let Some(check) = self.check.as_mut().filter(|check| check.is_due(now)) {
            *check = Stage::Sent;
            due.push((About::NextNumber, Ask::NextNumber));
        }
        let knows_its_past = self.knows_its_numbers();
        if knows_its_past {
            self.due_commands(&mut due);
        }
        for (id, (ask, stage)) in &mut self.asks {
            if stage.is_due(now) && (knows_its_past || !is_of_own_past(ask)) {
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
        self.due_follows(&mut due);
        self.due_tails(&mut due);
        for (about, ask) in due {
            self.send(about, ask);
        }
    }

    fn due_commands(&mut self, due: &mut Vec<(About, Ask)>) {
        self.give_numbers();
        let (now, first_unacked) = (self.now, self.first_unacked());
        #[cfg(feature = "zoo")]
        let first_unacked = if self.zoo.has(Bug::AcknowledgeTooMuch) { self.next_wire } else { first_unacked };
        for (number, held) in &mut self.commands {
            if let Some(wire) = held.wire.filter(|_| held.stage.is_due(now)) {
                held.stage = Stage::Sent;
                let (identity, command) = (Identity::Number(wire), held.command.clone());
                due.push((About::Number(*number), Ask::Submit { identity, first_unacked, command }));
            }
        }
    }

    fn signed_in(&mut self, result: Result<Answer, Refusal>) {
        #[cfg(feature = "zoo")]
        if let Ok(Answer::SignedIn { next_number, .. }) = &result {
            self.renumber(*next_number);
        }
        match result {
            Ok(Answer::SignedIn { user, name, next_number, .. }) => {
                self.failures = 0;
                self.user = Some(user);
                self.named = next_number;
                self.line = Line::Connected { signed_in: true };
                self.settled_down();
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

    /// When to repeat what was refused for the moment: not before the server says.
    fn retry_at(&mut self, result: &Result<Answer, Refusal>) -> Instant {
        let asked_for = match result {
            Err(Refusal::Busy { retry_after_ms }) => {
                Duration::from_millis((*retry_after_ms).into()).min(self.config.timing.backoff_max)
            }
            // The request is kept there, and spreads.
            Err(Refusal::TooFewCopies { .. }) => self.config.timing.again / 4,
            Err(Refusal::OutboxFull { .. }) => self.config.timing.again,
            _ => Duration::ZERO,
        };
        let pause = self.config.timing.backoff_min;
        self.now + asked_for + self.jittered(pause)
    }

    /// Gives up the present server; everything unsettled is sent again to the next one.
    fn move_on(&mut self) {
        let timing = self.config.timing;
        let at_once = self.fails_in_search();
        let next = self.after_failure();
        let rounds = self.failures / self.config.servers.max(1);
        let pause = (timing.backoff_min * 2u32.saturating_pow(rounds.min(16))).min(timing.backoff_max);
        self.failures += 1;
        #[cfg(feature = "zoo")]
        self.forget_what_was_sent();
        self.leave(next);
        if !at_once {
            self.line = Line::Pausing { until: self.now + self.jittered(pause) };
        }
    }

    /// Goes to another server, at once if nothing else is said.
    fn leave(&mut self, next: u32) {
        let now = self.now;
        self.server = next;
        self.leaderless = 0;
        self.ahead = false;
        self.line = Line::Pausing { until: now };
        self.sent.clear();
        self.sign_in_at = None;
        self.check.iter_mut().for_each(|stage| stage.renew(now));
        self.commands.values_mut().for_each(|held| held.stage.renew(now));
        self.asks.values_mut().for_each(|(_, stage)| stage.renew(now));
        self.follow_again();
    }

    /// Between half of `pause` and all of it, so that many clients of one lost server do not come back at one moment.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.draws += 1;
        let most = pause.as_micros() as u64;
        let who = self.config.token.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        Duration::from_micros(within(draw(self.config.seed, Purpose::ClientBackoff, who, 0, self.draws), most / 2, most))
    }
}

/// Whether an answer must hold what this client has seen. After a restart that is known again with the session's next number, which comes from a read index.
fn is_of_own_past(ask: &Ask) -> bool {
    matches!(ask, Ask::History { at_least: Some(_), .. })
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
