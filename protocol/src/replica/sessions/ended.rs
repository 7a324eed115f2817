//! Sessions that are over, and what their late requests are told.
//!
//! - Whoever logged out wants nothing more to happen. A session that has expired was only silent: what a node has accepted for it, while it reached no leader, is executed
//!   when it comes, in its order.
//! - What a session had executed under keys is known as long as its keys count, so that nothing is executed again or called refused that was done.

use super::keys::Keys;
use super::*;

/// How long a session is remembered after its end, in log time: for so long its late requests are told what became of them.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What stands in the place of the session's own row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct EndedRow {
    credential: Credential,
    /// Numbers below it were executed.
    next: u64,
    at: Timestamp,
    /// Of one that has expired: what opening it was answered. `None`: it was logged out.
    opened: Option<Bytes>,
}

/// What the releases before wrote, in a table of its own: sessions that were logged out or had expired, which made no difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct ClosedRow {
    credential: Credential,
    next: u64,
    at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Ended {
    row: EndedRow,
    keys: Keys,
    /// It stands as a [`ClosedRow`].
    is_old: bool,
}

impl Ended {
    fn written(&self, id: SessionId) -> (Bytes, Bytes) {
        let EndedRow { credential, next, at, .. } = self.row;
        if self.is_old {
            return (key(CLOSED, id, &[]), seal(Kind::ClosedSession, &ClosedRow { credential, next, at }));
        }
        (session_key(id), seal(Kind::EndedSession, &self.row))
    }
}

impl Sessions {
    /// Takes the row of a session that is over.
    pub(super) fn restore_ended(&mut self, id: SessionId, value: &Bytes) -> Result<(), EnvelopeError> {
        let (row, is_old) = if Kind::of(value)? == Kind::ClosedSession {
            let ClosedRow { credential, next, at } = open(Kind::ClosedSession, value)?;
            (EndedRow { credential, next, at, opened: None }, true)
        } else {
            (open(Kind::EndedSession, value)?, false)
        };
        self.hold_ended(id, Ended { row, keys: Keys::default(), is_old });
        Ok(())
    }

    /// Takes an outcome by its key of a session that is over.
    pub(super) fn restore_ended_key(&mut self, id: SessionId, key: u128, outcome: KeyOutcome) {
        self.change_keys(id, |ended| ended.keys.hold(key, outcome));
    }

    fn hold_ended(&mut self, id: SessionId, ended: Ended) {
        self.by_credential.insert(ended.row.credential, id);
        self.ended_at.insert((ended.row.at, id));
        self.ended_keys.extend(ended.keys.newest().map(|newest| (newest, id)));
        self.ended.insert(id, ended);
    }

    fn change_keys(&mut self, id: SessionId, change: impl FnOnce(&mut Ended)) {
        let Some(ended) = self.ended.get_mut(&id) else { return };
        if let Some(newest) = ended.keys.newest() {
            self.ended_keys.remove(&(newest, id));
        }
        change(ended);
        self.ended_keys.extend(ended.keys.newest().map(|newest| (newest, id)));
    }

    /// Ends a session. Outcomes of numbers go; what tells its late requests from new ones is kept, for a while.
    pub(in super::super) fn close<E>(&mut self, id: SessionId, ending: Ending, at: Timestamp, effects: &mut Effects<E>) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for (number, outcome) in &session.outcomes {
            effects.delete(outcome_key(id, *number), &seal(Kind::Outcome, outcome));
        }
        let Session { credential, next, opened, keys, written, .. } = session;
        let opened = (ending == Ending::Expired).then_some(opened);
        let ended = Ended { row: EndedRow { credential, next, at, opened }, keys, is_old: false };
        let (place, row) = ended.written(id);
        effects.put(place, Some(&written), row);
        self.hold_ended(id, ended);
        self.forget_ended(at, effects);
    }

    /// Keys that count no more go, and sessions that ended too long ago, or of too many the oldest.
    fn forget_ended<E>(&mut self, at: Timestamp, effects: &mut Effects<E>) {
        while let Some((newest, id)) = self.ended_keys.first().copied()
            && at.since(newest) > self.limits.key_retention
        {
            self.change_keys(id, |ended| ended.keys.drop_all(id, effects));
        }
        while let Some((oldest, id)) = self.ended_at.first().copied() {
            if at.since(oldest) <= REMEMBERED && self.ended.len() <= self.limits.sessions as usize {
                break;
            }
            self.change_keys(id, |ended| ended.keys.drop_all(id, effects));
            self.ended_at.pop_first();
            if let Some(ended) = self.ended.remove(&id) {
                self.by_credential.remove(&ended.row.credential);
                let (place, row) = ended.written(id);
                effects.delete(place, &row);
            }
        }
    }

    /// Whether a session that was opened under this credential is over.
    pub(in super::super) fn is_closed(&self, credential: &Credential) -> bool {
        self.by_credential(credential).is_some_and(|id| self.is_ended(id))
    }

    /// Whether this session is over, and that is remembered.
    pub(in super::super) fn is_ended(&self, id: SessionId) -> bool {
        self.ended.contains_key(&id)
    }

    /// What opening a session was answered that has expired.
    pub(in super::super) fn expired(&self, id: SessionId) -> Option<&Bytes> {
        self.ended.get(&id)?.row.opened.as_ref()
    }

    /// The number that the next late request of an expired session carries.
    pub(super) fn next_late(&self, id: SessionId) -> Option<u64> {
        let EndedRow { next, opened, .. } = &self.ended.get(&id)?.row;
        opened.as_ref().map(|_| *next)
    }

    pub(super) fn ended_key(&self, id: SessionId, key: u128) -> Option<&KeyOutcome> {
        self.ended.get(&id)?.keys.get(key)
    }

    /// What a request of a session that is not open is told. `carried`: an outbox has brought it.
    pub(super) fn look_up_ended(&self, id: SessionId, identity: Identity, digest: u64, at: Timestamp, carried: bool) -> Lookup {
        let Some(Ended { row, keys, .. }) = self.ended.get(&id) else {
            return Lookup::Refused(SessionRefusal::UnknownSession);
        };
        match identity {
            Identity::Number(number) if number < row.next => Lookup::Refused(SessionRefusal::Forgotten),
            Identity::Key { key, stamp } if carried && (row.opened.is_some() || keys.get(key).is_some()) => {
                keys.look_up((key, stamp), digest, at, &self.limits)
            }
            _ if !carried || row.opened.is_none() => Lookup::Refused(SessionRefusal::Closed),
            Identity::Number(number) if number > row.next => Lookup::Refused(SessionRefusal::Gap),
            _ => Lookup::Next,
        }
    }

    /// As [`Sessions::executed`], of a session that has expired: nobody asks for the outcomes of its numbers any more.
    pub(super) fn executed_late<E>(
        &mut self,
        id: SessionId,
        identity: Identity,
        digest: u64,
        at: Timestamp,
        outcome: Bytes,
        effects: &mut Effects<E>,
    ) {
        let retention = self.limits.key_retention;
        match identity {
            Identity::Number(number) => {
                let Some(ended) = self.ended.get_mut(&id) else { return };
                let (place, old) = ended.written(id);
                ended.row.next = ended.row.next.max(number + 1);
                let (_, new) = ended.written(id);
                effects.put(place, Some(&old), new);
            }
            Identity::Key { key, stamp } => {
                let new = KeyOutcome { stamp, digest, outcome };
                self.change_keys(id, |ended| ended.keys.executed(id, key, new, at, retention, effects));
            }
        }
    }
}
