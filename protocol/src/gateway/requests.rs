//! Requests that change something, from their arrival here until applying tells what became of them.

use super::*;
use crate::chat::{Command, Opening, decode_reply, decode_signed_in};
use crate::contract::Class;
use crate::node::{Body, ForwardAnswer, Message};
use crate::outbox::Offered;
use crate::replica::{Executed, Identity, Offer, SessionRefusal, Slot, Submission, digest};
use crate::time::Duration;
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::vec::Vec;
use bytes::Bytes;

/// How long a client should wait when a bound was reached, in milliseconds.
const BUSY_MS: u32 = 100;
/// How often it is looked whether what a request stands behind has its place.
const BEHIND_EVERY: Duration = Duration::from_millis(10);
/// What a request counts for beside its command.
pub(super) const OVERHEAD: u32 = 128;

#[derive(Clone, Debug)]
pub(super) struct Pending {
    submission: Submission,
    digest: u64,
    waiters: Vec<(ConnectionId, u64)>,
    /// When its outcome is called unknown.
    pub(super) expires: Instant,
    /// When it is refused if no leader is known by then.
    held_until: Option<Instant>,
    /// The wait until the state has come to where the leader says that it was executed.
    outcome: Option<u64>,
    pub(super) timer: Instant,
    bytes: u32,
    taken_at: Instant,
    /// When it is offered to a leader (again).
    offer_at: Instant,
    /// It may be accepted without a leader.
    carried: Option<Carried>,
    /// It is kept from the leader, for what is on its way there, until this time at most.
    behind_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Carried {
    /// On how many nodes it must be, and is.
    wanted: u32,
    copies: u32,
}

impl Pending {
    pub(super) fn command(&self) -> &Bytes {
        self.submission.command()
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        if let Submission::Execute { identity, .. } = &self.submission { Some(*identity) } else { None }
    }

    /// As it goes into the outbox.
    pub(super) fn offered(&self) -> Option<Offered> {
        let Submission::Execute { session, identity, first_unacked, command } = &self.submission else { return None };
        Some(Offered { session: *session, identity: *identity, first_unacked: *first_unacked, command: command.clone() })
    }

    /// It is on so many nodes; says how many are wanted.
    pub(super) fn carried_on(&mut self, copies: u32) -> Option<u32> {
        let carried = self.carried.as_mut()?;
        carried.copies = copies;
        Some(carried.wanted)
    }

    /// The nodes that it is on, and how many it must be on.
    pub(super) fn too_few(&self) -> Option<(u32, u32)> {
        self.carried
            .filter(|carried| (1..carried.wanted).contains(&carried.copies))
            .map(|carried| (carried.copies, carried.wanted))
    }
}

impl Gateway {
    pub(super) fn sign_in(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        name: &str,
        token: &Token,
    ) {
        let credential = token.credential();
        if let Some(known) = self.connections.get_mut(&connection) {
            known.credential = Some(credential);
        }
        if let Some((session, opened)) = replica.opened(&credential) {
            return self.signed_in(replica, connection, id, session, &opened);
        }
        let opening = Opening::Name { name: name.into(), device: alloc::string::String::new() };
        self.open(now, replica, connection, id, credential, &opening);
    }

    /// Whether a connection may sign in now, or how long it has to wait.
    pub(super) fn may_sign_in(&mut self, now: Now, replica: &Replica<Chat>, connection: ConnectionId) -> Result<(), Refusal> {
        let Some(address) = self.connections.get(&connection).and_then(|known| known.address) else { return Ok(()) };
        too_often(self.address_rates.take(now.instant, replica.machine().rates().address, address))
    }

    fn may_submit(&mut self, now: Now, replica: &Replica<Chat>, session: SessionId, command: &Command) -> Result<(), Refusal> {
        let rates = replica.machine().rates();
        too_often(self.session_rates.take(now.instant, rates.session, session))?;
        let (Command::Post { room, .. } | Command::Respond { room, .. }) = command else { return Ok(()) };
        let user = replica.machine().user_of(session).unwrap_or(UserId(0));
        let Some(room) = replica.machine().find_room_for(user, room) else { return Ok(()) };
        too_often(self.room_rates.take(now.instant, rates.room, room))
    }

    pub(super) fn signed_in(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        session: SessionId,
        opened: &Bytes,
    ) {
        let result = decode_signed_in(opened).map(|(user, name)| {
            self.bind(replica, connection, session, user);
            let next_number = replica.next_number(session).unwrap_or(1);
            Answer::SignedIn { user, session, name, next_number }
        });
        self.reply(connection, id, result);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one request")]
    pub(super) fn submit(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        session: SessionId,
        identity: Identity,
        first_unacked: u64,
        command: &Command,
    ) {
        // A number that is refused here would leave a gap in its session: numbered requests are refused by the log, where the refusal takes the number's place.
        if matches!(identity, Identity::Key { .. })
            && let Err(refusal) = Chat::check(command, &self.limits)
        {
            return self.reply(connection, id, Err(refusal));
        }
        let encoded = command.encode();
        if let Some(outcome) = replica.outcome(session, identity.slot(), digest(&encoded)) {
            return self.reply(connection, id, answer(outcome));
        }
        if let Err(refusal) = self.may_submit(now, replica, session, command) {
            return self.reply(connection, id, Err(refusal));
        }
        let command = encoded;
        let key = RequestKey::Execute(session, identity.slot());
        self.take(now, replica, connection, id, key, Submission::Execute { session, identity, first_unacked, command });
    }

    pub(super) fn take(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        key: RequestKey,
        submission: Submission,
    ) {
        let command = submission.command();
        let (digest, bytes) = (digest(command), OVERHEAD + command.len() as u32);
        if let Some(pending) = self.pending.get_mut(&key) {
            if pending.digest != digest && matches!(key, RequestKey::Execute(_, Slot::Key(_))) {
                return self.reply(connection, id, Err(Refusal::KeyReused));
            }
            // The same request once more: its latest asker on a connection is the one who listens. The one before is told so, because every request is answered:
            // drivers and clients count on it.
            let before = pending.waiters.iter().position(|(waiter, _)| *waiter == connection);
            let before = before.map(|nth| pending.waiters.remove(nth));
            pending.waiters.push((connection, id));
            if let Some((connection, id)) = before {
                self.reply(connection, id, Err(Refusal::Unknown));
            }
            return;
        }
        if self.pending.len() >= self.limits.pending_requests as usize || bytes > self.room_left() {
            return self.reply(connection, id, Err(Refusal::Busy { retry_after_ms: BUSY_MS }));
        }
        self.pending_bytes += bytes;
        let expires = now.instant + self.timing.request;
        let waiters = Vec::from([(connection, id)]);
        self.pending.insert(
            key,
            alloc::boxed::Box::new(Pending {
                submission,
                digest,
                waiters,
                expires,
                held_until: None,
                outcome: None,
                timer: now.instant,
                bytes,
                taken_at: now.instant,
                offer_at: now.instant,
                carried: None,
                behind_until: None,
            }),
        );
        self.advance(now, replica, key);
    }

    /// There is another leader than the last time.
    pub(super) fn offer_again(&mut self, now: Now, replica: &mut Replica<Chat>, key: RequestKey) {
        if let Some(pending) = self.pending.get_mut(&key)
            && pending.offer_at > pending.taken_at
        {
            pending.offer_at = now.instant;
        }
        self.advance(now, replica, key);
    }

    /// Does what there is to do for one request now, and says when to look at it again.
    pub(super) fn advance(&mut self, now: Now, replica: &mut Replica<Chat>, key: RequestKey) {
        let Some(pending) = self.pending.get(&key) else { return };
        if now.instant >= pending.expires {
            return self.settle(key, &Err(Refusal::Unknown));
        }
        #[cfg(feature = "zoo")]
        if replica.raft().leader().is_some() && self.was_offered(key) {
            return;
        }
        let again_at = match replica.raft().leader() {
            None => self.wait_without_leader(now, replica, key),
            Some(leader) => self.offer_to(now, replica, key, leader),
        };
        let Some(pending) = self.pending.get_mut(&key) else { return };
        self.timers.remove(&(pending.timer, Timer::Request(key)));
        pending.timer = again_at.min(pending.expires);
        self.timers.insert((pending.timer, Timer::Request(key)));
    }

    /// What may be accepted without a leader wants the outbox at once; everything else waits for one, and not for long.
    fn wait_without_leader(&mut self, now: Now, replica: &Replica<Chat>, key: RequestKey) -> Instant {
        self.want_outbox(now, replica, key);
        let hold = self.timing.hold;
        let Some(pending) = self.pending.get_mut(&key) else { return now.instant };
        let until = *pending.held_until.get_or_insert(now.instant + hold);
        if now.instant >= until {
            let refusal = self.not_accepted(now, key);
            self.settle(key, &Err(refusal));
        }
        until
    }

    fn want_outbox(&mut self, now: Now, replica: &Replica<Chat>, key: RequestKey) {
        if self.wanting.contains(&key) {
            return;
        }
        if let Some(wanted) = self.may_be_carried(now, replica, key)
            && let Some(pending) = self.pending.get_mut(&key)
        {
            pending.carried = Some(Carried { wanted, copies: 0 });
            self.wanting.insert(key);
        }
    }

    /// Offers a request to the leader that is known, now and then; one that has fallen silent may be gone.
    fn offer_to(&mut self, now: Now, replica: &mut Replica<Chat>, key: RequestKey, leader: NodeId) -> Instant {
        let silence = self.timing.leader_silence;
        let Some(pending) = self.pending.get_mut(&key) else { return now.instant };
        pending.held_until = None;
        if now.instant >= pending.offer_at {
            // Its author may have seen what is tentative here and on its way to the leader: it goes the same way, behind it, or waits for that.
            if pending.offer_at == pending.taken_at && self.shows_tentative() {
                self.want_outbox(now, replica, key);
                if self.waits_behind(now, replica, key) {
                    return now.instant + BEHIND_EVERY;
                }
            }
            let Some(pending) = self.pending.get_mut(&key) else { return now.instant };
            pending.offer_at = now.instant + self.timing.forward_again;
            if !self.wanting.contains(&key) {
                self.offer(now, replica, key, leader);
            }
        }
        let Some(pending) = self.pending.get(&key) else { return now.instant };
        let (again_at, patient_until) = (pending.offer_at, pending.taken_at + silence);
        if now.instant < patient_until {
            return again_at.min(patient_until);
        }
        if !replica.raft().leader_answers(now) {
            self.want_outbox(now, replica, key);
        }
        again_at
    }

    /// Whether something is said in a room that has tentative messages, and this node cannot carry it: an answer to a message that its state has not come to, say. It is
    /// looked at again soon; then it can be carried, or what it stands behind has its place.
    fn waits_behind(&mut self, now: Now, replica: &Replica<Chat>, key: RequestKey) -> bool {
        let (RequestKey::Execute(session, _), Some(pending)) = (key, self.pending.get(&key)) else { return false };
        if self.wanting.contains(&key) {
            return false;
        }
        let room = Command::decode(pending.command()).ok().and_then(|command| replica.machine().speaks_in(session, &command));
        if !room.is_some_and(|room| self.shows_tentative_in(room)) {
            return false;
        }
        let Some(pending) = self.pending.get_mut(&key) else { return false };
        now.instant < *pending.behind_until.get_or_insert(now.instant + self.timing.leader_silence)
    }

    fn offer(&mut self, now: Now, replica: &mut Replica<Chat>, key: RequestKey, leader: NodeId) {
        #[cfg(feature = "zoo")]
        let promises = self.has(Bug::AnswerAtAppend);
        let Some(pending) = self.pending.get(&key) else { return };
        let submission = pending.submission.clone();
        if leader != replica.raft().node() {
            let message = Message { group: GROUP, body: Body::Forward(submission) };
            return self.outputs.push_back(node::Output::Send { to: leader, class: Class::Data, message });
        }
        #[cfg(feature = "zoo")]
        let taken = submission.clone();
        match replica.offer(now, submission) {
            #[cfg(feature = "zoo")]
            Offer::Taken if promises => _ = self.promise(now, replica, key, &taken),
            Offer::Taken | Offer::NotNow => {}
            Offer::Known => self.settle_from_table(replica, key),
            Offer::Busy | Offer::Foreign => self.settle(key, &Err(Refusal::Busy { retry_after_ms: BUSY_MS })),
        }
    }

    pub(super) fn outcome_is_here(&mut self, replica: &Replica<Chat>, key: RequestKey) {
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.outcome = None;
        }
        self.settle_from_table(replica, key);
    }

    /// The state here has come to where the request was executed.
    pub(super) fn settle_from_table(&mut self, replica: &Replica<Chat>, key: RequestKey) {
        let Some(pending) = self.pending.get(&key) else { return };
        match key {
            RequestKey::Open(credential) => {
                if let Some((session, opened)) = replica.opened(&credential) {
                    self.settle_opened(replica, key, session, &Ok(opened));
                }
            }
            RequestKey::Execute(session, slot) => {
                if let Some(outcome) = replica.outcome(session, slot, pending.digest) {
                    self.settle(key, &answer(outcome));
                }
            }
            // Nobody waits for the house.
            RequestKey::House(_) => {}
        }
    }

    /// A request was applied, whoever took it.
    pub(crate) fn handle_executed(&mut self, replica: &Replica<Chat>, executed: &Executed) {
        let Some(pending) = self.pending.get(&executed.request) else { return };
        match executed.request {
            RequestKey::Open(_) => self.settle_opened(replica, executed.request, executed.session, &executed.outcome),
            RequestKey::Execute(_, Slot::Key(_)) if pending.digest != executed.digest => {
                self.settle(executed.request, &Err(Refusal::KeyReused));
            }
            RequestKey::Execute(..) => self.settle(executed.request, &answer(executed.outcome.clone())),
            RequestKey::House(_) => {}
        }
    }

    /// The leader says what applying will not tell.
    pub(crate) fn handle_forwarded(&mut self, replica: &mut Replica<Chat>, key: RequestKey, answer: ForwardAnswer) {
        let Some(pending) = self.pending.get(&key) else { return };
        match answer {
            ForwardAnswer::Refused(refusal) => self.settle(key, &Err(refusal)),
            ForwardAnswer::Executed { by } if replica.applied() >= by => self.settle_from_table(replica, key),
            // The first place that is named is enough; beyond the bound the request's own timer asks the leader again.
            ForwardAnswer::Executed { .. } if pending.outcome.is_some() || self.waits_are_full() => {}
            ForwardAnswer::Executed { by } => {
                let id = self.wait(Wait::Outcome(key));
                if let Some(pending) = self.pending.get_mut(&key) {
                    pending.outcome = Some(id);
                }
                replica.read_at(id, by);
            }
        }
    }

    fn settle_opened(
        &mut self,
        replica: &Replica<Chat>,
        key: RequestKey,
        session: SessionId,
        outcome: &Result<Bytes, SessionRefusal>,
    ) {
        for (connection, id) in self.remove(key) {
            match outcome {
                Ok(opened) => self.signed_in(replica, connection, id, session, opened),
                Err(refusal) => self.reply(connection, id, Err(self.refusal(*refusal))),
            }
        }
    }

    pub(super) fn settle(&mut self, key: RequestKey, result: &Result<Answer, Refusal>) {
        for (connection, id) in self.remove(key) {
            self.reply(connection, id, result.clone());
        }
    }

    fn remove(&mut self, key: RequestKey) -> Vec<(ConnectionId, u64)> {
        let Some(pending) = self.pending.remove(&key) else { return Vec::new() };
        self.timers.remove(&(pending.timer, Timer::Request(key)));
        self.wanting.remove(&key);
        if let Some(id) = pending.outcome {
            self.waits.remove(&id);
        }
        #[cfg(feature = "zoo")]
        self.forget_offered(key);
        self.pending_bytes -= pending.bytes;
        pending.waiters
    }

    fn refusal(&self, refusal: SessionRefusal) -> Refusal {
        match refusal {
            SessionRefusal::SessionsFull => Refusal::Full { what: "sessions".into(), limit: self.limits.sessions },
            other => session_refusal(other),
        }
    }
}

fn too_often(taken: Result<(), crate::time::Duration>) -> Result<(), Refusal> {
    taken.map_err(|wait| Refusal::TooOften { retry_after_ms: (wait.as_millis() as u32).max(1) })
}

fn answer(outcome: Result<Bytes, SessionRefusal>) -> Result<Answer, Refusal> {
    match outcome {
        Ok(reply) => decode_reply(&reply).map(Answer::Done),
        Err(refusal) => Err(session_refusal(refusal)),
    }
}

pub(super) fn session_refusal(refusal: SessionRefusal) -> Refusal {
    match refusal {
        SessionRefusal::UnknownSession => Refusal::UnknownSession,
        SessionRefusal::Forgotten => Refusal::Forgotten,
        SessionRefusal::Gap => Refusal::BadRequest {
            why: "the request's number is not the session's next one: send the ones before it first".into(),
        },
        SessionRefusal::KeyReused => Refusal::KeyReused,
        SessionRefusal::KeyExpired => Refusal::KeyExpired,
        SessionRefusal::Closed => Refusal::LoggedOut,
        SessionRefusal::KeysFull | SessionRefusal::SessionsFull => Refusal::Busy { retry_after_ms: 60_000 },
    }
}
