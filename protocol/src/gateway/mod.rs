//! The clients of one node: who is connected, what they wait for, what they follow.
//!
//! - A request that changes something is offered to the leader, here or by forwarding, again and again under the same identity, until applying tells its outcome or
//!   its time is up (`requests.rs`).
//! - A read waits for a read index; what it finds missing is said only after that, because this node may be behind (`reads.rs`).
//! - When the state jumps to that of a snapshot, what happened in between is found in the store and in the session table (`jump.rs`).
//! - A follower of a room is either catching up from the store or live; a slow one falls back to catching up (`follow.rs`).

mod alive;
mod follow;
mod hints;
mod jump;
mod lookups;
mod passwords;
mod rate;
mod reads;
mod requests;
mod tentative;
mod types;
#[cfg(feature = "zoo")]
mod zoo;

pub use hints::Hint;
pub use passwords::invite_hash;
pub use types::*;

use crate::chat::password::PasswordParams;
use crate::chat::{Chat, Refusal};
use crate::contract::{Limits, Now, Timing};
use crate::ids::*;
use crate::node::{self, RequestKey};
use crate::replica::Replica;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use follow::Follow;
use rate::Rates;
use reads::Wait;
use requests::Pending;

#[derive(Clone, Debug)]
struct Connection {
    credential: Option<Credential>,
    /// Bound once the credential was found in the replicated state.
    session: Option<(SessionId, UserId)>,
    follows: BTreeMap<RoomId, Follow>,
    /// Also rooms joined later.
    follows_all: bool,
    /// Cost of events handed over and not yet written.
    outstanding: u32,
    /// A read of history for one of `follows`: one at a time.
    loading: Option<(LoadId, RoomId)>,
    /// This connection as an audience of its own.
    alone: Audience,
    /// The network address that it comes from, as far as that is known.
    address: Option<u64>,
    /// Rooms whose tentative messages were told through there; the others follow as the reader takes them.
    tails_owed: BTreeMap<RoomId, crate::outbox::Order>,
    /// Where its user typed last, and when.
    typed: Option<(RoomId, Instant)>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Timer {
    /// To offer a request again, or to give it up.
    Request(RequestKey),
    /// To ask for a read index again, or to answer without one.
    Read(u64),
}

/// All clients of one node. Part of [`crate::node::Node`], which gives it the replica to look at.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    limits: Limits,
    timing: Timing,
    connections: BTreeMap<ConnectionId, Connection>,
    by_user: BTreeMap<UserId, BTreeSet<ConnectionId>>,
    /// In boxes: a request is moved when others come and go, and is large.
    pending: BTreeMap<RequestKey, alloc::boxed::Box<Pending>>,
    pending_bytes: u32,
    /// Of `pending`, those that wait to be accepted without a leader.
    wanting: BTreeSet<RequestKey>,
    tails: tentative::Tails,
    waits: BTreeMap<u64, Wait>,
    waits_made: u64,
    loads: BTreeMap<LoadId, reads::HistoryLoad>,
    loads_made: u64,
    timers: BTreeSet<(Instant, Timer)>,
    audiences: BTreeMap<RoomId, Audience>,
    /// Since when no leader is known.
    leaderless_since: Option<Instant>,
    /// The disk owes a write for too long: whoever waits here waits in vain.
    stalled: bool,
    /// Through where the state has come that is being answered from.
    pub(crate) applied: Index,
    /// The state is being replaced by a snapshot's: nobody is live, and nothing is read for followers.
    jumping: bool,
    /// A live reader did not keep up since this was last asked.
    fell_behind: bool,
    /// The time of the last input.
    pub(crate) now: Now,
    passwords: PasswordParams,
    derivations: BTreeMap<u64, passwords::Derivation>,
    derivations_made: u64,
    moment: hints::Moment,
    alive: alive::Alive,
    session_rates: Rates<SessionId>,
    room_rates: Rates<RoomId>,
    address_rates: Rates<u64>,
    #[cfg(feature = "zoo")]
    zoo: zoo::Spoiled,
    outputs: VecDeque<node::Output>,
}

impl Gateway {
    pub(crate) fn new(limits: Limits, timing: Timing, now: Now) -> Gateway {
        Gateway {
            limits,
            timing,
            connections: BTreeMap::new(),
            by_user: BTreeMap::new(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            wanting: BTreeSet::new(),
            tails: tentative::Tails::default(),
            waits: BTreeMap::new(),
            waits_made: 0,
            loads: BTreeMap::new(),
            loads_made: 0,
            timers: BTreeSet::new(),
            applied: 0,
            stalled: false,
            audiences: BTreeMap::new(),
            leaderless_since: Some(now.instant),
            jumping: false,
            fell_behind: false,
            now,
            passwords: PasswordParams::default(),
            derivations: BTreeMap::new(),
            derivations_made: 0,
            moment: hints::Moment::default(),
            alive: alive::Alive::default(),
            session_rates: Rates::new(),
            room_rates: Rates::new(),
            address_rates: Rates::new(),
            #[cfg(feature = "zoo")]
            zoo: zoo::Spoiled::default(),
            outputs: VecDeque::new(),
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<node::Output> {
        self.outputs.pop_front()
    }

    /// Whether a live reader has not kept up since the last call, and catches up from the store now.
    pub(crate) fn take_fell_behind(&mut self) -> bool {
        core::mem::take(&mut self.fell_behind)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.timers.first().map(|(at, _)| *at);
        timer.into_iter().chain(self.moment.poll_timeout()).chain(self.alive.look_at).min()
    }

    /// Bytes of requests that may still be taken. 0 as soon as one more of the largest kind might be refused, unless nothing is pending: then whatever comes is taken first.
    pub(crate) fn admission(&self) -> u32 {
        let left = self.room_left();
        let largest = requests::OVERHEAD + self.limits.text_bytes + self.limits.name_bytes;
        if left < largest && self.pending_bytes > 0 { 0 } else { left }
    }

    /// Requests, reads and loads of history that are open.
    pub(crate) fn open_work(&self) -> (u32, u32, u32) {
        (self.pending.len() as u32, self.waits.len() as u32, self.loads.len() as u32)
    }

    /// How much of the fullest bound is taken, in thousandths.
    fn fullness(&self) -> u32 {
        let taken = |used: u64, limit: u32| (used * 1_000 / u64::from(limit.max(1))).min(1_000) as u32;
        let connections = taken(self.connections.len() as u64, self.limits.connections);
        let requests = taken((self.pending.len().max(self.waits.len())) as u64, self.limits.pending_requests);
        connections.max(requests).max(taken(self.pending_bytes.into(), self.limits.admission_bytes))
    }

    fn room_left(&self) -> u32 {
        self.limits.admission_bytes.saturating_sub(self.pending_bytes)
    }

    /// The disk does not answer, or does again. Nothing is applied here before it does, so clients go where they are answered.
    pub(crate) fn handle_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
        let here: alloc::vec::Vec<ConnectionId> = self.connections.keys().copied().filter(|_| stalled).collect();
        for connection in here {
            self.send_away(connection);
        }
    }

    fn send_away(&mut self, connection: ConnectionId) {
        self.outputs.push_back(node::Output::Close { connection, reason: CloseReason::Stalled });
        self.handle_disconnected(connection);
    }

    pub(crate) fn handle_connected(&mut self, connection: ConnectionId, hello: &ClientHello) {
        if self.connections.len() >= self.limits.connections as usize {
            self.outputs.push_back(node::Output::Close { connection, reason: CloseReason::TooManyConnections });
            return;
        }
        let credential = hello.token.as_ref().map(Token::credential);
        self.connections.insert(
            connection,
            Connection {
                credential,
                session: None,
                follows: BTreeMap::new(),
                follows_all: false,
                outstanding: 0,
                loading: None,
                alone: Arc::from([connection]),
                address: None,
                tails_owed: BTreeMap::new(),
                typed: None,
            },
        );
    }

    /// Where a connection comes from: equal for connections from one network address.
    pub(crate) fn handle_address(&mut self, connection: ConnectionId, address: u64) {
        if let Some(known) = self.connections.get_mut(&connection) {
            known.address = Some(address);
        }
    }

    /// What the connection asked for goes on; only its answers are dropped.
    pub(crate) fn handle_disconnected(&mut self, connection: ConnectionId) {
        let Some(gone) = self.connections.remove(&connection) else { return };
        for room in gone.follows.keys() {
            self.audiences.remove(room);
        }
        if let Some((load, _)) = gone.loading {
            self.loads.remove(&load);
        }
        if let Some((_, user)) = gone.session {
            self.forget_user(user, connection);
        }
    }

    fn forget_user(&mut self, user: UserId, connection: ConnectionId) {
        if let Some(of_user) = self.by_user.get_mut(&user) {
            of_user.remove(&connection);
            if of_user.is_empty() {
                self.by_user.remove(&user);
                self.went(self.now, user);
            }
        }
    }

    pub(crate) fn handle_request(&mut self, now: Now, replica: &mut Replica<Chat>, connection: ConnectionId, request: Request) {
        if self.stalled && !matches!(request.ask, Ask::Ping | Ask::Load | Ask::Cluster | Ask::Settings) {
            if self.connections.contains_key(&connection) {
                self.send_away(connection);
            }
        } else if self.connections.contains_key(&connection) {
            self.serve(now, replica, connection, request, reads::Fresh::Unknown);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Now, replica: &mut Replica<Chat>) {
        while let Some((_, timer)) = self.timers.pop_first_due(now.instant) {
            match timer {
                Timer::Request(key) => self.advance(now, replica, key),
                Timer::Read(id) => self.ask_again(now, replica, id),
            }
        }
        self.see_moment(now, replica);
        self.see_alive(now, replica);
    }

    /// The leader that is known has changed, or has become able to take requests: everything that waits goes there.
    pub(crate) fn handle_leader(&mut self, now: Now, replica: &mut Replica<Chat>) {
        #[cfg(feature = "zoo")]
        self.spoil_at_election(replica);
        match replica.raft().leader() {
            None => {
                self.leaderless_since = self.leaderless_since.or(Some(now.instant));
                let requests: alloc::vec::Vec<RequestKey> = self.pending.keys().copied().collect();
                for key in requests {
                    self.advance(now, replica, key);
                }
            }
            Some(_) => {
                self.leaderless_since = None;
                let requests: alloc::vec::Vec<RequestKey> = self.pending.keys().copied().collect();
                for key in requests {
                    self.offer_again(now, replica, key);
                }
                let waits: alloc::vec::Vec<u64> = self.waits.keys().copied().collect();
                for id in waits {
                    self.ask_again(now, replica, id);
                }
            }
        }
    }

    fn no_leader(&self, now: Now) -> Refusal {
        let since = self.leaderless_since.unwrap_or(now.instant);
        Refusal::NoLeader { since_ms: now.instant.since(since).as_millis() as u64 }
    }

    fn reply(&mut self, to: ConnectionId, id: u64, result: Result<Answer, Refusal>) {
        if self.connections.contains_key(&to) {
            self.outputs.push_back(node::Output::Reply { to, reply: Reply { id, index: self.applied, result } });
        }
    }

    /// Binds a connection to a session that the replicated state knows. What another user followed on it is not this one's to see.
    fn bind(&mut self, replica: &Replica<Chat>, connection: ConnectionId, session: SessionId, user: UserId) {
        let Some(bound) = self.connections.get_mut(&connection) else { return };
        let before = bound.session.replace((session, user));
        if let Some((_, other)) = before.filter(|(_, before)| *before != user) {
            bound.follows_all = false;
            for room in core::mem::take(&mut bound.follows).into_keys() {
                self.audiences.remove(&room);
            }
            self.forget_user(other, connection);
        }
        self.by_user.entry(user).or_default().insert(connection);
        if self.by_user[&user].len() == 1 && before.is_none_or(|(_, before)| before != user) {
            self.came(self.now, replica, user);
        }
    }

    /// A session is over: its connections are, too.
    fn close_session(&mut self, session: SessionId) {
        let of_session =
            |(id, known): (&ConnectionId, &Connection)| known.session.is_some_and(|(bound, _)| bound == session).then_some(*id);
        let connections: alloc::vec::Vec<ConnectionId> = self.connections.iter().filter_map(of_session).collect();
        for connection in connections {
            self.outputs.push_back(node::Output::Close { connection, reason: CloseReason::LoggedOut });
            self.handle_disconnected(connection);
        }
    }

    /// The session of a connection, if this node's state knows it.
    fn session_of(&mut self, replica: &Replica<Chat>, connection: ConnectionId) -> Option<(SessionId, UserId)> {
        let found = self.connections.get(&connection)?;
        if found.session.is_some() {
            return found.session;
        }
        let (session, _) = replica.opened(found.credential.as_ref()?)?;
        let user = replica.machine().user_of(session)?;
        self.bind(replica, connection, session, user);
        Some((session, user))
    }
}

trait PopDue {
    fn pop_first_due(&mut self, now: Instant) -> Option<(Instant, Timer)>;
}

impl PopDue for BTreeSet<(Instant, Timer)> {
    fn pop_first_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.first()?.0 > now { None } else { self.pop_first() }
    }
}
