//! What a session has had executed under keys, and for how long that is known.

use super::*;

/// What a request with a key was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct KeyOutcome {
    pub(super) stamp: Timestamp,
    /// Of the command: the same key with another command is a mistake.
    pub(super) digest: u64,
    pub(super) outcome: Bytes,
}

/// The outcomes of one session by their keys, and the keys by age.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    outcomes: BTreeMap<u128, KeyOutcome>,
    ages: BTreeSet<(Timestamp, u128)>,
}

impl Keys {
    pub(super) fn hold(&mut self, key: u128, outcome: KeyOutcome) {
        self.ages.insert((outcome.stamp, key));
        self.outcomes.insert(key, outcome);
    }

    pub(super) fn get(&self, key: u128) -> Option<&KeyOutcome> {
        self.outcomes.get(&key)
    }

    /// The stamp after which every outcome here is of no use, once the retention is added.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.ages.last().map(|(stamp, _)| *stamp)
    }

    /// What is to be done with a request at `at`.
    pub(super) fn look_up(&self, (key, stamp): (u128, Timestamp), digest: u64, at: Timestamp, limits: &Limits) -> Lookup {
        match self.outcomes.get(&key) {
            Some(kept) if kept.digest != digest => Lookup::Refused(SessionRefusal::KeyReused),
            Some(kept) => Lookup::Known(kept.outcome.clone()),
            None if at.since(stamp) > limits.key_retention => Lookup::Refused(SessionRefusal::KeyExpired),
            None if self.outcomes.len() >= limits.session_keys as usize
                && self.ages.first().is_some_and(|(oldest, _)| at.since(*oldest) <= limits.key_retention) =>
            {
                Lookup::Refused(SessionRefusal::KeysFull)
            }
            None => Lookup::Next,
        }
    }

    /// Keeps an outcome of the session `id`, and drops those whose time is over.
    pub(super) fn executed<E>(
        &mut self,
        id: SessionId,
        key: u128,
        new: KeyOutcome,
        at: Timestamp,
        retention: Duration,
        effects: &mut Effects<E>,
    ) {
        while let Some((oldest, old_key)) = self.ages.pop_first() {
            if at.since(oldest) <= retention {
                self.ages.insert((oldest, old_key));
                break;
            }
            if let Some(old) = self.outcomes.remove(&old_key) {
                effects.delete(key_outcome_key(id, old_key), &seal(Kind::KeyOutcome, &old));
            }
        }
        // A gateway whose clock is ahead must not make an outcome stay longer.
        let new = KeyOutcome { stamp: new.stamp.min(at), ..new };
        effects.put(key_outcome_key(id, key), None, seal(Kind::KeyOutcome, &new));
        self.hold(key, new);
    }

    /// Drops all outcomes of the session `id`.
    pub(super) fn drop_all<E>(&mut self, id: SessionId, effects: &mut Effects<E>) {
        self.ages.clear();
        for (key, outcome) in core::mem::take(&mut self.outcomes) {
            effects.delete(key_outcome_key(id, key), &seal(Kind::KeyOutcome, &outcome));
        }
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<u128> {
        assert_eq!(self.ages.len(), self.outcomes.len());
        self.outcomes.keys().copied().collect()
    }
}
