//! The session table: what each session has had executed, replicated like everything else (thesis 6.3).
//!
//! Invariant: a number below `next` and a key in `keys` were executed or refused exactly once; numbers from `next` on were not. Rows and memory are the same.

use super::machine::Effects;
use super::types::*;
use crate::contract::Limits;
use crate::gateway::Credential;
use crate::ids::*;
use crate::time::Timestamp;
use crate::wire::{EnvelopeError, Kind, open, seal};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const SESSION: u8 = 0x02;
const OUTCOME: u8 = 0x03;
const KEY_OUTCOME: u8 = 0x04;

#[derive(Clone, Debug)]
struct Session {
    credential: Credential,
    /// What opening it was answered.
    opened: Bytes,
    next: u64,
    first_unacked: u64,
    outcomes: BTreeMap<u64, Bytes>,
    keys: BTreeMap<u128, KeyOutcome>,
    /// The keys by age.
    ages: BTreeSet<(Timestamp, u128)>,
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

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct KeyOutcome {
    stamp: Timestamp,
    /// Of the command: the same key with another command is a mistake.
    digest: u64,
    outcome: Bytes,
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
}

#[derive(Clone, Debug)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionId, Session>,
    by_credential: BTreeMap<Credential, SessionId>,
    limits: Limits,
}

impl Sessions {
    pub(super) fn new(limits: Limits) -> Sessions {
        Sessions { sessions: BTreeMap::new(), by_credential: BTreeMap::new(), limits }
    }

    /// Takes one row if it is of this table.
    pub(super) fn restore(&mut self, key: &Bytes, value: &Bytes) -> Result<(), EnvelopeError> {
        let id = |at: usize| {
            key.get(at..at + 8).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes).ok_or(EnvelopeError::TooShort)
        };
        match key.first() {
            Some(&SESSION) => {
                let row: SessionRow = open(Kind::Session, value)?;
                self.insert(SessionId(id(1)?), &row);
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
                if let Some(session) = self.sessions.get_mut(&SessionId(id(1)?)) {
                    session.ages.insert((outcome.stamp, key));
                    session.keys.insert(key, outcome);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The bug of the zoo: what the sessions have had executed does not survive a restart.
    #[cfg(feature = "zoo")]
    pub(super) fn forget(&mut self) {
        for session in self.sessions.values_mut() {
            session.forgotten = (1..session.next).collect();
        }
    }

    /// Whether the table still knows that it has executed a number.
    #[cfg_attr(not(feature = "zoo"), expect(clippy::unused_self, reason = "only a bug forgets"))]
    pub(super) fn remembers(&self, session: SessionId, number: u64) -> bool {
        #[cfg(feature = "zoo")]
        return self.sessions.get(&session).is_none_or(|session| !session.forgotten.contains(&number));
        #[cfg(not(feature = "zoo"))]
        {
            let _ = (session, number);
            true
        }
    }

    fn insert(&mut self, id: SessionId, row: &SessionRow) {
        self.by_credential.insert(row.credential, id);
        self.sessions.insert(
            id,
            Session {
                credential: row.credential,
                opened: row.opened.clone(),
                next: row.next,
                first_unacked: row.first_unacked,
                outcomes: BTreeMap::new(),
                keys: BTreeMap::new(),
                ages: BTreeSet::new(),
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

    /// The number that the session's next request carries.
    pub(super) fn next(&self, session: SessionId) -> Option<u64> {
        self.sessions.get(&session).map(|session| session.next)
    }

    /// The answer to a request that was executed, if it is kept.
    pub(super) fn outcome(&self, id: SessionId, slot: Slot) -> Option<(Option<u64>, Bytes)> {
        let session = self.sessions.get(&id)?;
        match slot {
            Slot::Number(number) if !self.remembers(id, number) => None,
            Slot::Number(number) => session.outcomes.get(&number).map(|outcome| (None, outcome.clone())),
            Slot::Key(key) => session.keys.get(&key).map(|kept| (Some(kept.digest), kept.outcome.clone())),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.sessions.len() >= self.limits.sessions as usize
    }

    pub(super) fn open<E>(&mut self, id: SessionId, credential: Credential, opened: Bytes, effects: &mut Effects<E>) {
        let row = SessionRow { credential, opened, next: 1, first_unacked: 1 };
        self.insert(id, &row);
        effects.put(session_key(id), None, seal(Kind::Session, &row));
    }

    /// What is to be done with a request that the log has brought. `at`: its entry's stamp.
    pub(super) fn look_up(&self, id: SessionId, identity: Identity, digest: u64, at: Timestamp) -> Lookup {
        let Some(session) = self.sessions.get(&id) else { return Lookup::Refused(SessionRefusal::UnknownSession) };
        match identity {
            Identity::Number(number) if number == session.next => Lookup::Next,
            Identity::Number(number) if !self.remembers(id, number) => Lookup::Next,
            Identity::Number(number) if number > session.next => Lookup::Refused(SessionRefusal::Gap),
            Identity::Number(number) => {
                session.outcomes.get(&number).cloned().map_or(Lookup::Refused(SessionRefusal::Forgotten), Lookup::Known)
            }
            Identity::Key { key, stamp } => match session.keys.get(&key) {
                Some(kept) if kept.digest != digest => Lookup::Refused(SessionRefusal::KeyReused),
                Some(kept) => Lookup::Known(kept.outcome.clone()),
                None if at.since(stamp) > self.limits.key_retention => Lookup::Refused(SessionRefusal::KeyExpired),
                None if session.keys.len() >= self.limits.session_keys as usize
                    && session.ages.first().is_some_and(|(oldest, _)| at.since(*oldest) <= self.limits.key_retention) =>
                {
                    Lookup::Refused(SessionRefusal::KeysFull)
                }
                None => Lookup::Next,
            },
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
        let Some(session) = self.sessions.get_mut(&id) else { return };
        match identity {
            Identity::Number(number) => {
                let before = session.row();
                session.next = session.next.max(number + 1);
                #[cfg(feature = "zoo")]
                session.forgotten.remove(&number);
                // What the client has acknowledged goes; so does what lies so far back that no client may still wait for it.
                session.first_unacked =
                    session.first_unacked.max(first_unacked.min(number)).max((number + 1).saturating_sub(window));
                let kept = session.outcomes.split_off(&session.first_unacked);
                for (number, outcome) in core::mem::replace(&mut session.outcomes, kept) {
                    effects.delete(outcome_key(id, number), &seal(Kind::Outcome, &outcome));
                }
                effects.put(outcome_key(id, number), None, seal(Kind::Outcome, &outcome));
                session.outcomes.insert(number, outcome);
                effects.put(session_key(id), Some(&seal(Kind::Session, &before)), seal(Kind::Session, &session.row()));
            }
            Identity::Key { key, stamp } => {
                while let Some((oldest, old_key)) = session.ages.pop_first() {
                    if at.since(oldest) <= retention {
                        session.ages.insert((oldest, old_key));
                        break;
                    }
                    if let Some(old) = session.keys.remove(&old_key) {
                        effects.delete(key_outcome_key(id, old_key), &seal(Kind::KeyOutcome, &old));
                    }
                }
                // A gateway whose clock is ahead must not make an outcome stay longer.
                let stamp = stamp.min(at);
                let kept = KeyOutcome { stamp, digest, outcome };
                effects.put(key_outcome_key(id, key), None, seal(Kind::KeyOutcome, &kept));
                session.ages.insert((stamp, key));
                session.keys.insert(key, kept);
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
