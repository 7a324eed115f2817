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
        self.bring_by(identity, first_unacked, digest, at, false)
    }

    fn bring_by(&mut self, identity: Identity, first_unacked: u64, digest: u64, at: Timestamp, carried: bool) -> Lookup {
        let found = self.sessions.look_up(SESSION, identity, digest, at, carried);
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

    /// As an outbox brings them. `at` in hours.
    fn late(&mut self, identity: Identity, at: u64) -> Lookup {
        self.bring_by(identity, 0, 5, Timestamp(at * HOUR), true)
    }

    /// `at` in hours.
    fn end(&mut self, ending: Ending, at: u64) {
        self.change(|sessions, effects| sessions.close(SESSION, ending, Timestamp(at * HOUR), effects));
    }

    /// Other sessions come and go.
    fn others_end(&mut self, sessions: core::ops::Range<u64>, at: u64) {
        for nth in sessions {
            let (id, mut credential) = (SessionId(1_000 + nth), [2; 32]);
            credential[..8].copy_from_slice(&nth.to_be_bytes());
            self.change(|sessions, effects| {
                sessions.open(id, Credential(credential), Bytes::from_static(b"hello"), effects);
                sessions.close(id, Ending::LoggedOut, Timestamp(at * HOUR), effects);
            });
        }
    }

    fn is_one(&self) {
        let hash = self.rows.iter().fold(StateHash(0), |hash, (key, value)| hash.changed(key, None, Some(value)));
        assert_eq!(hash, self.hash, "the hash is the sum over all rows");
        assert_eq!(
            alloc::format!("{:?}", self.restored()),
            alloc::format!("{:?}", self.sessions),
            "a table from its rows is the same"
        );
    }

    fn restored(&self) -> Sessions {
        let mut sessions = Sessions::new(self.limits);
        for (key, value) in &self.rows {
            sessions.restore(key, value).unwrap();
        }
        sessions
    }

    /// Outcomes of numbers, and by keys, that have rows.
    fn outcomes_kept(&self) -> usize {
        self.rows.keys().filter(|key| key[0] == OUTCOME).count()
    }

    fn keys_kept(&self) -> usize {
        self.rows.keys().filter(|key| key[0] == KEY_OUTCOME).count()
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
    let stranger = table.sessions.look_up(SessionId(8), Identity::Number(1), 0, Timestamp(0), false);
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
    assert_eq!(table.sessions.sessions[&SESSION].keys.all().len(), 1);
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
    assert_eq!(table.sessions.sessions[&SESSION].keys.all(), [2]);
}

#[test]
fn what_an_outbox_brings_of_an_expired_session_is_executed_in_its_order() {
    let mut table = Table::new();
    for number in 1..=2 {
        table.number(number, 1);
    }
    table.end(Ending::Expired, 1);
    table.is_one();
    assert_eq!(table.outcomes_kept(), 0);
    assert_eq!(table.rows[&session_key(SESSION)], bytes(EXPIRED), "its row stands in the place of the session's own");
    assert_eq!((table.sessions.next(SESSION), table.sessions.opened(&Credential([1; 32]))), (Some(3), None));
    assert!(table.sessions.is_closed(&Credential([1; 32])));
    assert_eq!(table.late(Identity::Number(2), 1), Lookup::Refused(SessionRefusal::Forgotten), "it was executed");
    assert_eq!(table.number(3, 1), Lookup::Refused(SessionRefusal::Closed), "the session itself asks nothing more");
    assert_eq!(table.late(Identity::Number(4), 1), Lookup::Refused(SessionRefusal::Gap));
    assert_eq!(table.late(Identity::Number(3), 1), Lookup::Next);
    assert_eq!(table.late(Identity::Number(3), 1), Lookup::Refused(SessionRefusal::Forgotten));
    table.is_one();
    assert_eq!(table.late(Identity::Number(4), 2), Lookup::Next);
    table.is_one();
    let settled = |number| table.sessions.is_settled(SESSION, Slot::Number(number));
    assert!(settled(4) && !settled(5));
    assert_eq!(table.sessions.expired(SESSION), Some(&Bytes::from_static(b"hello")));
}

#[test]
fn what_an_outbox_brings_of_a_session_that_was_logged_out_is_refused() {
    let mut table = Table::new();
    table.number(1, 1);
    table.key(1, 5, 0, 0);
    table.end(Ending::LoggedOut, 1);
    table.is_one();
    assert_eq!(table.sessions.next(SESSION), None);
    assert_eq!(table.late(Identity::Number(1), 1), Lookup::Refused(SessionRefusal::Forgotten));
    assert_eq!(table.late(Identity::Number(2), 1), Lookup::Refused(SessionRefusal::Closed));
    let key = |key| Identity::Key { key, stamp: Timestamp(0) };
    assert!(matches!(table.late(key(1), 1), Lookup::Known(_)), "what was executed before is not called refused");
    assert_eq!(table.late(key(2), 1), Lookup::Refused(SessionRefusal::Closed));
    assert_eq!(table.key(1, 5, 0, 1), Lookup::Refused(SessionRefusal::Closed), "the session itself asks nothing more");
    for slot in [Slot::Number(1), Slot::Number(9), Slot::Key(1), Slot::Key(9)] {
        assert!(table.sessions.is_settled(SESSION, slot));
    }
}

#[test]
fn an_expired_session_knows_its_keys_until_they_count_no_more() {
    let mut table = Table::new();
    table.key(1, 5, 0, 0);
    table.end(Ending::Expired, 1);
    table.is_one();
    let key = |key, hour: u64| Identity::Key { key, stamp: Timestamp(hour * HOUR) };
    assert!(matches!(table.late(key(1, 0), 2), Lookup::Known(_)), "executed before the session expired");
    assert_eq!(table.bring_by(key(1, 0), 0, 6, Timestamp(0), true), Lookup::Refused(SessionRefusal::KeyReused));
    assert_eq!(table.late(key(2, 2), 2), Lookup::Next);
    assert!(matches!(table.late(key(2, 2), 3), Lookup::Known(_)));
    let settled = |table: &Table, key| table.sessions.is_settled(SESSION, Slot::Key(key));
    assert!(settled(&table, 1) && settled(&table, 2) && !settled(&table, 3));
    assert_eq!(table.late(key(3, 0), 25), Lookup::Refused(SessionRefusal::KeyExpired));
    table.others_end(0..1, 26);
    assert_eq!(table.keys_kept(), 2, "the newest of them counts still");
    table.others_end(1..2, 27);
    assert_eq!(table.keys_kept(), 0);
    table.is_one();
    assert_eq!(table.late(key(1, 0), 27), Lookup::Refused(SessionRefusal::KeyExpired), "and is not executed again");
}

#[test]
fn ended_sessions_are_remembered_for_a_month_and_as_many_as_may_be_open() {
    for (others, hour) in [(6, 2), (1, 1 + 30 * 24 + 1)] {
        let mut table = Table::new();
        table.limits.sessions = 6;
        table.sessions.limits.sessions = 6;
        table.number(1, 1);
        table.key(1, 5, 1, 1);
        table.end(Ending::Expired, 1);
        table.others_end(0..others - 1, hour - 1);
        assert_eq!(table.late(Identity::Number(2), hour - 1), Lookup::Next);
        table.others_end(others - 1..others, hour);
        table.is_one();
        assert_eq!(table.late(Identity::Number(3), hour), Lookup::Refused(SessionRefusal::UnknownSession));
        assert_eq!((table.keys_kept(), table.sessions.by_credential(&Credential([1; 32]))), (0, None));
        assert!(table.sessions.is_settled(SESSION, Slot::Number(3)));
    }
}

/// The session 7 with the credential 01…, which had executed the numbers below 3, closed at 9.
const CLOSED_BEFORE: (&str, &str) =
    ("060000000000000007", "07030101010101010101010101010101010101010101010101010101010101010101010309");

/// The same session, which has expired at one o'clock and was answered "hello" when it was opened.
const EXPIRED: &str = "08030101010101010101010101010101010101010101010101010101010101010101010380c8ceb40d010568656c6c6f";

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap()).collect::<Vec<u8>>().into()
}

#[test]
fn sessions_that_an_earlier_release_closed_count_as_logged_out() {
    let mut table = Table::new();
    let (key, value) = (bytes(CLOSED_BEFORE.0), bytes(CLOSED_BEFORE.1));
    table.hash = StateHash(0).changed(&key, None, Some(&value));
    table.rows = BTreeMap::from([(key, value)]);
    table.sessions = table.restored();
    table.is_one();
    assert!(table.sessions.is_closed(&Credential([1; 32])));
    assert_eq!(table.late(Identity::Number(2), 1), Lookup::Refused(SessionRefusal::Forgotten));
    assert_eq!(table.late(Identity::Number(3), 1), Lookup::Refused(SessionRefusal::Closed));
    let key = Identity::Key { key: 1, stamp: Timestamp(0) };
    assert_eq!(table.late(key, 1), Lookup::Refused(SessionRefusal::Closed));
    table.others_end(0..1, 31 * 24);
    table.is_one();
    assert!(!table.rows.contains_key(&bytes(CLOSED_BEFORE.0)), "its time is over");
}

proptest! {
    /// Rows, memory and hash are three views of one table, whatever the log brings.
    #[test]
    fn a_table_from_its_rows_is_the_same_table(
        steps in prop::collection::vec((any::<bool>(), 0u64..12, 0u64..14, 0u64..60), 0..60),
        ends in 5usize..70,
        expires in any::<bool>(),
    ) {
        let mut table = Table::new();
        let mut hour = 0;
        let ending = if expires { Ending::Expired } else { Ending::LoggedOut };
        for (nth, (numbered, what, first_unacked, later)) in steps.into_iter().enumerate() {
            hour += later / 10;
            if nth == ends {
                table.end(ending, hour);
            } else if nth > ends && first_unacked < 7 {
                let stamp = Timestamp(hour.saturating_sub(later % 10) * HOUR);
                table.late(if numbered { Identity::Number(what) } else { Identity::Key { key: what.into(), stamp } }, hour);
            } else if nth > ends && first_unacked == 7 {
                table.others_end(nth as u64..nth as u64 + 1, hour);
            } else if numbered {
                table.number(what, first_unacked);
            } else {
                table.key(u128::from(what), what % 3, hour.saturating_sub(later % 10), hour);
            }
        }
        let hash = table.rows.iter().fold(StateHash(0), |hash, (key, value)| hash.changed(key, None, Some(value)));
        prop_assert_eq!(hash, table.hash);
        table.is_one();
        let restored = table.restored();
        for what in 0..14 {
            for identity in [Identity::Number(what), Identity::Key { key: what.into(), stamp: Timestamp(hour * HOUR) }] {
                for carried in [false, true] {
                    let ask = |sessions: &Sessions| sessions.look_up(SESSION, identity, what % 3, Timestamp(hour * HOUR), carried);
                    prop_assert_eq!(ask(&restored), ask(&table.sessions));
                }
            }
        }
    }
}
