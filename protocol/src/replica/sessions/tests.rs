//! What the session table says of requests that come again, late, or out of order.

use super::*;
use crate::contract::StateHash;
use alloc::vec::Vec;
use proptest::prelude::*;

const SESSION: SessionId = SessionId(7);
const HOUR: u64 = 3_600_000_000;

/// A table, the rows that it has written, and their hash.
struct Table {
    sessions: Sessions,
    rows: BTreeMap<Bytes, Bytes>,
    hash: StateHash,
    limits: Limits,
}

impl Table {
    fn new() -> Table {
        let key_retention = Duration::from_secs(24 * 3600);
        let limits = Limits { session_window: 4, session_keys: 3, key_retention, ..Limits::default() };
        let mut table = Table { sessions: Sessions::new(limits), rows: BTreeMap::new(), hash: StateHash(0), limits };
        table.change(|sessions, effects| sessions.open(SESSION, Credential([1; 32]), Bytes::from_static(b"hello"), effects));
        table
    }

    fn change(&mut self, change: impl FnOnce(&mut Sessions, &mut Effects<()>)) {
        let mut effects = Effects::new(self.hash);
        change(&mut self.sessions, &mut effects);
        self.hash = effects.hash;
        for (key, value) in effects.into_rows() {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// What the log brings: executed if the table says so.
    fn bring(&mut self, identity: Identity, first_unacked: u64, digest: u64, at: Timestamp) -> Lookup {
        let found = self.sessions.look_up(SESSION, identity, digest, at);
        if found == Lookup::Next {
            let outcome = Bytes::from(alloc::format!("{identity:?}"));
            self.change(|sessions, effects| {
                sessions.executed(SESSION, identity, first_unacked, digest, at, outcome, effects);
            });
        }
        found
    }

    fn number(&mut self, number: u64, first_unacked: u64) -> Lookup {
        self.bring(Identity::Number(number), first_unacked, 0, Timestamp(0))
    }

    /// `stamped` and `at` in hours.
    fn key(&mut self, key: u128, digest: u64, stamped: u64, at: u64) -> Lookup {
        self.bring(Identity::Key { key, stamp: Timestamp(stamped * HOUR) }, 0, digest, Timestamp(at * HOUR))
    }

    fn restored(&self) -> Sessions {
        let mut sessions = Sessions::new(self.limits);
        for (key, value) in &self.rows {
            sessions.restore(key, value).unwrap();
        }
        sessions
    }

    fn outcomes(&self) -> Vec<u64> {
        self.sessions.sessions[&SESSION].outcomes.keys().copied().collect()
    }
}

#[test]
fn numbers_are_executed_once_in_order_and_answered_from_memory_afterwards() {
    let mut table = Table::new();
    assert_eq!(table.number(2, 1), Lookup::Refused(SessionRefusal::Gap));
    assert_eq!(table.number(1, 1), Lookup::Next);
    assert!(matches!(table.number(1, 1), Lookup::Known(_)));
    assert_eq!(table.number(0, 1), Lookup::Refused(SessionRefusal::Forgotten));
    assert_eq!(table.number(2, 1), Lookup::Next);
    let stranger = table.sessions.look_up(SessionId(8), Identity::Number(1), 0, Timestamp(0));
    assert_eq!(stranger, Lookup::Refused(SessionRefusal::UnknownSession));
}

#[cfg(feature = "zoo")]
#[test]
fn a_table_that_leaves_repetitions_to_whoever_proposes_executes_them() {
    let mut table = Table::new();
    table.number(1, 1);
    assert!(matches!(table.number(1, 1), Lookup::Known(_)));
    table.sessions.came_by_rows(Some(Bug::TakeBeforeApplied));
    assert_eq!(table.number(1, 1), Lookup::Next);
}

#[test]
fn outcomes_are_kept_until_acknowledged_and_at_most_for_the_window() {
    let mut table = Table::new();
    for number in 1..=3 {
        table.number(number, 1);
    }
    assert_eq!(table.outcomes(), [1, 2, 3]);
    table.number(4, 3);
    assert_eq!(table.outcomes(), [3, 4], "1 and 2 are acknowledged");
    assert_eq!(table.number(2, 1), Lookup::Refused(SessionRefusal::Forgotten));
    for number in 5..=9 {
        table.number(number, 1);
    }
    assert_eq!(table.outcomes(), [6, 7, 8, 9], "an acknowledgement is not taken back, and the window is four");
    // Whoever acknowledges what has not been asked yet is taken to mean everything so far.
    table.number(10, u64::MAX);
    assert_eq!(table.outcomes(), [10]);
    assert_eq!(table.number(11, 0), Lookup::Next);
}

#[test]
fn a_key_is_kept_for_the_retention_and_never_executed_after_it() {
    let mut table = Table::new();
    assert_eq!(table.key(1, 5, 0, 0), Lookup::Next);
    assert!(matches!(table.key(1, 5, 24, 24), Lookup::Known(_)));
    assert_eq!(table.key(1, 6, 24, 24), Lookup::Refused(SessionRefusal::KeyReused));
    // Another key's execution drops it; its old attempts come too late then.
    assert_eq!(table.key(2, 5, 25, 25), Lookup::Next);
    assert_eq!(table.sessions.sessions[&SESSION].keys.len(), 1);
    assert_eq!(table.key(1, 5, 0, 25), Lookup::Refused(SessionRefusal::KeyExpired));
}

#[test]
fn a_full_table_of_keys_refuses_new_ones_until_the_oldest_expires() {
    let mut table = Table::new();
    for key in 1..=3 {
        assert_eq!(table.key(key, 0, 10, 10), Lookup::Next);
    }
    assert_eq!(table.key(4, 0, 11, 11), Lookup::Refused(SessionRefusal::KeysFull));
    assert!(matches!(table.key(3, 0, 11, 11), Lookup::Known(_)), "what it holds it answers");
    assert_eq!(table.key(4, 0, 35, 35), Lookup::Next);
}

#[test]
fn a_stamp_of_the_future_keeps_an_outcome_no_longer() {
    let mut table = Table::new();
    let far = Identity::Key { key: 1, stamp: Timestamp(u64::MAX) };
    assert_eq!(table.bring(far, 0, 0, Timestamp(HOUR)), Lookup::Next);
    assert_eq!(table.key(2, 0, 26, 26), Lookup::Next);
    assert_eq!(table.sessions.sessions[&SESSION].keys.keys().copied().collect::<Vec<_>>(), [2]);
}

proptest! {
    /// Rows, memory and hash are three views of one table, whatever the log brings.
    #[test]
    fn a_table_from_its_rows_is_the_same_table(
        steps in prop::collection::vec((any::<bool>(), 0u64..12, 0u64..14, 0u64..60), 0..60),
    ) {
        let mut table = Table::new();
        let mut hour = 0;
        for (numbered, what, first_unacked, later) in steps {
            hour += later / 10;
            if numbered {
                table.number(what, first_unacked);
            } else {
                table.key(u128::from(what), what % 3, hour.saturating_sub(later % 10), hour);
            }
        }
        let hash = table.rows.iter().fold(StateHash(0), |hash, (key, value)| hash.changed(key, None, Some(value)));
        prop_assert_eq!(hash, table.hash);
        let restored = table.restored();
        for what in 0..14 {
            for identity in [Identity::Number(what), Identity::Key { key: what.into(), stamp: Timestamp(hour * HOUR) }] {
                let ask = |sessions: &Sessions| sessions.look_up(SESSION, identity, what % 3, Timestamp(hour * HOUR));
                prop_assert_eq!(ask(&restored), ask(&table.sessions));
            }
        }
    }
}
