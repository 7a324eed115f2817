//! The session table: what each session has had executed, replicated like everything else (thesis 6.3).
//!
//! Invariant: a number below `next` and a key in `keys` were executed or refused exactly once; numbers from `next` on were not. Rows and memory are the same.

mod ended;
mod keys;

use super::machine::{Effects, Ending};
use super::types::*;
use crate::contract::Limits;
use crate::gateway::Credential;
use crate::ids::*;
use crate::time::{Duration, Timestamp};
use crate::wire::{EnvelopeError, Kind, open, seal};
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use ended::Ended;
use keys::{KeyOutcome, Keys};
use serde::{Deserialize, Serialize};

const SESSION: u8 = 0x02;
const OUTCOME: u8 = 0x03;
const KEY_OUTCOME: u8 = 0x04;
const CLOSED: u8 = 0x06;

#[derive(Clone, Debug)]
struct Session {
    credential: Credential,
    /// What opening it was answered.
    opened: Bytes,
    next: u64,
    first_unacked: u64,
    /// Its row as it was last written: the hash over all rows needs the old value.
    written: Bytes,
    outcomes: BTreeMap<u64, Bytes>,
    keys: Keys,
    /// Executed, and no longer known to be.
    #[cfg(feature = "zoo")]
    forgotten: BTreeSet<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct SessionRow {
    credential: Credential,
    opened: Bytes,
    next: u64,
    first_unacked: u64,
}

/// What the table says of a request before it is executed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Lookup {
    /// It may be executed.
    Next,
    /// It was executed; this was the answer.
    Known(Bytes),
    Refused(SessionRefusal),
}

/// Why the session table refuses a request. The same on all nodes, final.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SessionRefusal {
    UnknownSession,
    /// Executed and acknowledged: its outcome is gone.
    Forgotten,
    /// A number beyond the next one. A leader proposes in order, so this is a client's mistake.
    Gap,
    KeyReused,
    KeyExpired,
    /// The session holds its limit of outcomes by key.
    KeysFull,
    SessionsFull,
    /// It was logged out, or has expired.
    Closed,
}

impl SessionRefusal {
    /// Whether it says of a request that an outbox has carried that it will never be executed. The others say that it was, or may be when those before it are.
    pub fn is_withdrawal(&self) -> bool {
        use SessionRefusal::*;
        matches!(self, UnknownSession | Closed | KeyExpired | KeysFull)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    by_credential: BTreeMap<Credential, SessionId>,
    ended: BTreeMap<SessionId, Ended>,
    /// The ended ones by when they ended.
    ended_at: BTreeSet<(Timestamp, SessionId)>,
    /// Those of them that had requests with keys executed, by the newest key.
    ended_keys: BTreeSet<(Timestamp, SessionId)>,
    limits: Limits,
    #[cfg(feature = "zoo")]
    bug: Option<Bug>,
    /// Whether this node leads: nothing that a table should depend on.
    #[cfg(feature = "zoo")]
    leads: bool,
}

impl Sessions {
    pub(super) fn new(limits: Limits) -> Sessions {
        Sessions {
            sessions: BTreeMap::new(),
            by_credential: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_at: BTreeSet::new(),
            ended_keys: BTreeSet::new(),
            limits,
            #[cfg(feature = "zoo")]
            bug: None,
            #[cfg(feature = "zoo")]
            leads: false,
        }
    }

    /// Takes one row if it is of this table.
    pub(super) fn restore(&mut self, key: &Bytes, value: &Bytes) -> Result<(), EnvelopeError> {
        let id = |at: usize| {
            key.get(at..at + 8).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes).ok_or(EnvelopeError::TooShort)
        };
        match key.first() {
            // What comes later of an ended session stands behind it: its row is in the place of the session's.
            Some(&SESSION | &CLOSED) if Kind::of(value)? != Kind::Session => self.restore_ended(SessionId(id(1)?), value)?,
            Some(&SESSION) => {
                let row: SessionRow = open(Kind::Session, value)?;
                self.insert(SessionId(id(1)?), &row, value.clone());
            }
            Some(&OUTCOME) => {
                let outcome: Bytes = open(Kind::Outcome, value)?;
                let number = id(9)?;
                if let Some(session) = self.sessions.get_mut(&SessionId(id(1)?)) {
                    session.outcomes.insert(number, outcome);
                }
            }
            Some(&KEY_OUTCOME) => {
                let outcome: KeyOutcome = open(Kind::KeyOutcome, value)?;
                let key = (u128::from(id(9)?) << 64) | u128::from(id(17)?);
                let session = SessionId(id(1)?);
                match self.sessions.get_mut(&session) {
                    Some(session) => session.keys.hold(key, outcome),
                    None => self.restore_ended_key(session, key, outcome),
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The bug of the zoo: what the sessions have had executed does not survive a restart.
    #[cfg(feature = "zoo")]
    fn forget(&mut self) {
        for session in self.sessions.values_mut() {
            session.forgotten = (1..session.next).collect();
        }
    }

    /// This table is that of a start.
    #[cfg(feature = "zoo")]
    pub(super) fn came_by_rows(&mut self, bug: Option<Bug>) {
        self.bug = bug;
        if bug == Some(Bug::ForgetSessions) {
            self.forget();
        }
    }

    #[cfg(feature = "zoo")]
    pub(super) fn set_leads(&mut self, leads: bool) {
        self.leads = leads;
    }

    /// This table is that of a snapshot.
    #[cfg(feature = "zoo")]
    pub(super) fn came_by_snapshot(&mut self, bug: Option<Bug>) {
        self.bug = bug;
        if bug == Some(Bug::ForgetSessionsInSnapshot) {
            self.forget();
        }
    }

    /// Whether the table still knows that it has executed a number.
    #[cfg_attr(not(feature = "zoo"), expect(clippy::unused_self, reason = "only a bug forgets"))]
    pub(super) fn remembers(&self, session: SessionId, number: u64) -> bool {
        #[cfg(feature = "zoo")]
        return self.sessions.get(&session).is_none_or(|session| match self.bug {
            Some(Bug::ExecuteOutOfOrder) => number < session.first_unacked || session.outcomes.contains_key(&number),
            _ => !session.forgotten.contains(&number),
        });
        #[cfg(not(feature = "zoo"))]
        {
            let _ = (session, number);
            true
        }
    }

    fn insert(&mut self, id: SessionId, row: &SessionRow, written: Bytes) {
        self.by_credential.insert(row.credential, id);
        self.sessions.insert(
            id,
            Session {
                credential: row.credential,
                opened: row.opened.clone(),
                next: row.next,
                first_unacked: row.first_unacked,
                written,
                outcomes: BTreeMap::new(),
                keys: Keys::default(),
                #[cfg(feature = "zoo")]
                forgotten: BTreeSet::new(),
            },
        );
    }

    pub(super) fn by_credential(&self, credential: &Credential) -> Option<SessionId> {
        self.by_credential.get(credential).copied()
    }

    pub(super) fn opened(&self, credential: &Credential) -> Option<(SessionId, Bytes)> {
        let id = self.by_credential(credential)?;
        Some((id, self.sessions.get(&id)?.opened.clone()))
    }

    /// The number that the session's next request carries. Of one that has expired: the next that an outbox may bring.
    pub(super) fn next(&self, id: SessionId) -> Option<u64> {
        self.sessions.get(&id).map(|session| session.next).or_else(|| self.next_late(id))
    }

    /// The answer to a request that was executed, if it is kept.
    pub(super) fn outcome(&self, id: SessionId, slot: Slot) -> Option<(Option<u64>, Bytes)> {
        let answer = |kept: &KeyOutcome| (Some(kept.digest), kept.outcome.clone());
        let Some(session) = self.sessions.get(&id) else {
            return if let Slot::Key(key) = slot { self.ended_key(id, key).map(answer) } else { None };
        };
        match slot {
            Slot::Number(number) if !self.remembers(id, number) => None,
            Slot::Number(number) => self.kept(session, number).map(|outcome| (None, outcome.clone())),
            Slot::Key(key) => session.keys.get(key).map(answer),
        }
    }

    /// Whether a request was executed, or can never be, because its session was logged out or is none that is remembered.
    pub(super) fn is_settled(&self, id: SessionId, slot: Slot) -> bool {
        let Some(next) = self.next(id) else { return true };
        match slot {
            Slot::Number(number) => number < next && self.remembers(id, number),
            Slot::Key(_) => self.outcome(id, slot).is_some(),
        }
    }

    /// What a number was answered, if that is kept.
    #[cfg_attr(not(feature = "zoo"), expect(clippy::unused_self, reason = "only a bug makes a difference"))]
    fn kept<'a>(&self, session: &'a Session, number: u64) -> Option<&'a Bytes> {
        #[cfg(feature = "zoo")]
        if self.bug == Some(Bug::AnswerWithLast) && number < session.next {
            return session.outcomes.last_key_value().map(|(_, outcome)| outcome);
        }
        session.outcomes.get(&number)
    }

    pub(super) fn is_full(&self) -> bool {
        self.sessions.len() >= self.limits.sessions as usize
    }

    pub(super) fn open<E>(&mut self, id: SessionId, credential: Credential, opened: Bytes, effects: &mut Effects<E>) {
        let row = SessionRow { credential, opened, next: 1, first_unacked: 1 };
        let written = seal(Kind::Session, &row);
        self.insert(id, &row, written.clone());
        effects.put(session_key(id), None, written);
    }

    /// What is to be done with a request that the log has brought. `at`: its entry's stamp. `carried`: it came by way of an outbox.
    pub(super) fn look_up(&self, id: SessionId, identity: Identity, digest: u64, at: Timestamp, carried: bool) -> Lookup {
        let Some(session) = self.sessions.get(&id) else { return self.look_up_ended(id, identity, digest, at, carried) };
        #[cfg(feature = "zoo")]
        let (may_repeat, may_skip) = (self.bug == Some(Bug::TakeBeforeApplied), self.bug == Some(Bug::ExecuteOutOfOrder));
        match identity {
            #[cfg(feature = "zoo")]
            Identity::Number(number) if may_repeat && number < session.next || may_skip && number > session.next => Lookup::Next,
            Identity::Number(number) if number == session.next => Lookup::Next,
            Identity::Number(number) if !self.remembers(id, number) => Lookup::Next,
            Identity::Number(number) if number > session.next => Lookup::Refused(SessionRefusal::Gap),
            Identity::Number(number) => {
                self.kept(session, number).cloned().map_or(Lookup::Refused(SessionRefusal::Forgotten), Lookup::Known)
            }
            Identity::Key { key, stamp } => session.keys.look_up((key, stamp), digest, at, &self.limits),
        }
    }

    /// Keeps the outcome of a request that [`Lookup::Next`] let through, and drops what is no longer needed.
    #[expect(clippy::too_many_arguments, reason = "the parts of one log entry")]
    pub(super) fn executed<E>(
        &mut self,
        id: SessionId,
        identity: Identity,
        first_unacked: u64,
        digest: u64,
        at: Timestamp,
        outcome: Bytes,
        effects: &mut Effects<E>,
    ) {
        let retention = self.limits.key_retention;
        let window = u64::from(self.limits.session_window);
        #[cfg(feature = "zoo")]
        let window = if self.bug == Some(Bug::KeepOneOutcome) { 1 } else { window };
        #[cfg(feature = "zoo")]
        let keeps_all = self.bug == Some(Bug::EvictOnLeader) && !self.leads;
        let Some(session) = self.sessions.get_mut(&id) else {
            return self.executed_late(id, identity, digest, at, outcome, effects);
        };
        match identity {
            Identity::Number(number) => {
                session.next = session.next.max(number + 1);
                #[cfg(feature = "zoo")]
                session.forgotten.remove(&number);
                // What the client has acknowledged goes; so does what lies so far back that no client may still wait for it.
                session.first_unacked =
                    session.first_unacked.max(first_unacked.min(number)).max((number + 1).saturating_sub(window));
                let first_kept = session.first_unacked;
                #[cfg(feature = "zoo")]
                let first_kept = if keeps_all { 0 } else { first_kept };
                while let Some(oldest) = session.outcomes.first_entry().filter(|oldest| *oldest.key() < first_kept) {
                    let (number, outcome) = oldest.remove_entry();
                    effects.delete(outcome_key(id, number), &seal(Kind::Outcome, &outcome));
                }
                effects.put(outcome_key(id, number), None, seal(Kind::Outcome, &outcome));
                session.outcomes.insert(number, outcome);
                let written = seal(Kind::Session, &session.row());
                effects.put(session_key(id), Some(&session.written), written.clone());
                session.written = written;
            }
            Identity::Key { key, stamp } => {
                session.keys.executed(id, key, KeyOutcome { stamp, digest, outcome }, at, retention, effects);
            }
        }
    }
}

impl Session {
    fn row(&self) -> SessionRow {
        SessionRow {
            credential: self.credential,
            opened: self.opened.clone(),
            next: self.next,
            first_unacked: self.first_unacked,
        }
    }
}

impl Sessions {
    /// What stands under this key, if it is a row of the table.
    pub(super) fn describe(key: &[u8]) -> Option<alloc::string::String> {
        let (table, rest) = key.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let id = SessionId(u64::from_be_bytes(*id));
        Some(match *table {
            SESSION if rest.is_empty() => format!("session {id}"),
            CLOSED if rest.is_empty() => format!("closed session {id}"),
            OUTCOME => format!("outcome of number {} of session {id}", u64::from_be_bytes(rest.try_into().ok()?)),
            KEY_OUTCOME => format!("outcome of key {:032x} of session {id}", u128::from_be_bytes(rest.try_into().ok()?)),
            _ => return None,
        })
    }
}

fn session_key(id: SessionId) -> Bytes {
    key(SESSION, id, &[])
}

fn outcome_key(id: SessionId, number: u64) -> Bytes {
    key(OUTCOME, id, &number.to_be_bytes())
}

fn key_outcome_key(id: SessionId, request: u128) -> Bytes {
    key(KEY_OUTCOME, id, &request.to_be_bytes())
}

fn key(table: u8, id: SessionId, rest: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(9 + rest.len());
    key.push(table);
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(rest);
    Bytes::from(key)
}

#[cfg(test)]
mod tests;
