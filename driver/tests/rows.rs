//! Rows: durable late, never early, and readable both ways.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{contents, dice};
use tertulia_driver::disk::Disk;
use tertulia_driver::rows::{ROWS_FILE, Rows, RowsError, RowsOptions};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow, Loaded, Position, Query, RowBatch};
use tertulia_protocol::wire::{Kind, seal};

fn small() -> RowsOptions {
    RowsOptions { durable_batches: 3, durable_bytes: 1 << 20, cache_bytes: 1 << 20 }
}

fn new_rows() -> (SimDisk, Rows) {
    let disk = SimDisk::new();
    Rows::create(&disk).unwrap();
    let rows = Rows::open(&disk, small()).unwrap();
    (disk, rows)
}

fn put(key: &[u8], value: &[u8]) -> (Bytes, Option<Bytes>) {
    (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)))
}

fn row(key: &[u8], value: &[u8]) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}

fn applied(index: u64) -> (Bytes, Option<Bytes>) {
    let row = AppliedRow { position: Position { index, term: 1, chain: 5 }, ..AppliedRow::default() };
    (Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &row)))
}

fn range(rows: &Rows, from: &[u8], to: &[u8], limit: u32, backwards: bool) -> Vec<(Bytes, Bytes)> {
    let query = Query::Range { from: Bytes::copy_from_slice(from), to: Bytes::copy_from_slice(to), limit, backwards };
    let Loaded::Rows(rows) = rows.load(&query).unwrap() else { panic!("rows") };
    rows
}

#[test]
fn rows_are_read_by_range_and_by_key() {
    let (_, mut rows) = new_rows();
    let batch = RowBatch { rows: vec![put(b"a", b"1"), put(b"b", b"2"), put(b"c", b"3"), put(b"d", b"4")] };
    rows.apply(1, &batch, 1).unwrap();
    rows.apply(2, &RowBatch { rows: vec![(Bytes::from_static(b"b"), None), put(b"c", b"30")] }, 2).unwrap();
    assert_eq!(range(&rows, b"a", b"d", 9, false), [row(b"a", b"1"), row(b"c", b"30")]);
    assert_eq!(range(&rows, b"a", b"z", 2, true), [row(b"d", b"4"), row(b"c", b"30")]);
    assert_eq!(range(&rows, b"a", b"z", 1, false), [row(b"a", b"1")]);
    assert_eq!(range(&rows, b"z", b"a", 1, false), []);
    let keys = [b"d", b"b", b"a"].map(|key| Bytes::copy_from_slice(key)).to_vec();
    assert_eq!(rows.load(&Query::Keys { keys }).unwrap(), Loaded::Rows(vec![row(b"d", b"4"), row(b"a", b"1")]));
    let log = Query::Log { from: 1, through: 1, max_bytes: 1 };
    assert!(matches!(rows.load(&log), Err(RowsError::NotRows)));
}

#[test]
fn the_working_set_is_all_that_is_not_cold() {
    let (_, mut rows) = new_rows();
    assert_eq!(rows.working_set().unwrap(), []);
    assert_eq!(rows.applied().unwrap(), AppliedRow::default());
    let batch = RowBatch { rows: vec![put(&[0x80, 1], b"cold"), put(&[0x7F, 9], b"warm"), put(&[0xFF], b"cold"), applied(7)] };
    rows.apply(7, &batch, 7).unwrap();
    let keys: Vec<Bytes> = rows.working_set().unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [APPLIED_KEY, &[0x7F, 9]]);
    assert_eq!(rows.applied().unwrap().position.index, 7);
}

#[test]
fn a_crash_takes_the_rows_back_to_their_last_durable_commit_as_a_whole() {
    let mut draw = dice(3);
    for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn, CrashOutcome::Torn, CrashOutcome::Torn] {
        let (disk, mut rows) = new_rows();
        for index in 1..=8 {
            let batch = RowBatch { rows: vec![applied(index), put(&[1, index as u8], &[index as u8; 3000])] };
            rows.apply(index, &batch, index).unwrap();
        }
        disk.crash(outcome, &mut draw);
        drop(rows);
        let rows = Rows::open(&disk.thaw(), small()).unwrap();
        assert_eq!(rows.applied().unwrap().position.index, 6, "{outcome:?}: every third batch is durable");
        assert_eq!(rows.working_set().unwrap().len(), 7);
    }
}

#[test]
fn rows_closed_in_good_order_lose_nothing() {
    let (disk, mut rows) = new_rows();
    rows.apply(1, &RowBatch { rows: vec![applied(1)] }, 1).unwrap();
    rows.make_durable().unwrap();
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    assert_eq!(Rows::open(&disk.thaw(), small()).unwrap().applied().unwrap().position.index, 1);
}

#[test]
fn rows_ahead_of_the_log_are_refused() {
    let (_, mut rows) = new_rows();
    let error = rows.apply(5, &RowBatch { rows: vec![applied(5)] }, 4).unwrap_err();
    assert!(matches!(error, RowsError::AheadOfLog { through: 5, durable_through: 4 }), "{error}");
    assert_eq!(rows.applied().unwrap().position.index, 0);
}

#[test]
fn a_damaged_file_is_an_error_that_says_what_to_do() {
    for damage in [0..9u64, 0..4096] {
        let (disk, mut rows) = new_rows();
        for index in 1..=3 {
            rows.apply(index, &RowBatch { rows: vec![applied(index)] }, index).unwrap();
        }
        drop(rows);
        for byte in damage {
            disk.rot(ROWS_FILE, byte, 0x5A);
        }
        let error = Rows::open(&disk, small()).unwrap_err().to_string();
        assert!(error.contains("Start the node again"), "{error}");
    }
    let (disk, rows) = new_rows();
    drop(rows);
    disk.delete(ROWS_FILE).unwrap();
    assert!(Rows::open(&disk, small()).unwrap_err().to_string().contains(ROWS_FILE));
}

/// Where in the file of the rows these bytes stand, everywhere.
fn places(disk: &SimDisk, bytes: &[u8]) -> Vec<u64> {
    let file = contents(disk, ROWS_FILE);
    (0..file.len() - bytes.len()).filter(|at| file[*at..].starts_with(bytes)).map(|at| at as u64).collect()
}

#[test]
fn a_bit_that_flipped_in_a_stored_text_is_an_error_and_never_an_answer() {
    const TEXT: &[u8] = b"see you at the harbour at eight";
    for key in [&[0x90, 1][..], &[0x10, 1]] {
        for byte in 0..TEXT.len() as u64 {
            let (disk, mut rows) = new_rows();
            rows.apply(1, &RowBatch { rows: vec![applied(1), put(key, TEXT), put(&[0x90, 2], b"another")] }, 1).unwrap();
            rows.make_durable().unwrap();
            drop(rows);
            let found = places(&disk, TEXT);
            assert!(!found.is_empty(), "the text stands in the file as it is");
            // It rots while the rows are in use: a start would have seen it.
            let rows = Rows::open(&disk, RowsOptions { cache_bytes: 0, ..small() }).unwrap();
            for at in found {
                assert!(disk.rot(ROWS_FILE, at + byte, 0x20));
            }
            let by_key = Query::Keys { keys: vec![Bytes::copy_from_slice(key)] };
            let range =
                |backwards| Query::Range { from: Bytes::from_static(&[1]), to: Bytes::from_static(&[0xFF]), limit: 9, backwards };
            for (nth, query) in [by_key, range(false), range(true)].iter().enumerate() {
                let error = rows.load(query).unwrap_err().to_string();
                // Later ones say that there was an earlier one.
                for part in [ROWS_FILE, "Start the node again", "other bytes"].iter().take(if nth == 0 { 3 } else { 2 }) {
                    assert!(error.contains(part), "{part:?} is missing in: {error}");
                }
            }
            assert!(rows.working_set().is_err());
            drop(rows);
            assert!(Rows::open(&disk, small()).is_err(), "a start sees it");
        }
    }
}

#[test]
fn a_flipped_bit_in_how_far_the_rows_have_come_is_an_error() {
    let (disk, mut rows) = new_rows();
    let (key, value) = applied(7);
    let value = value.unwrap();
    rows.apply(7, &RowBatch { rows: vec![(key, Some(value.clone()))] }, 7).unwrap();
    rows.make_durable().unwrap();
    drop(rows);
    let last = value.len() as u64 - 1;
    for at in places(&disk, &value) {
        disk.rot(ROWS_FILE, at + last, 1);
    }
    assert!(Rows::open(&disk, small()).is_err());
}

/// A key that has changed is no key that anybody asks for: its row would seem never to have been.
#[test]
fn a_bit_that_flipped_in_a_key_is_found_at_the_start() {
    let key = b"\x90 a key that stands out in the file";
    let (disk, mut rows) = new_rows();
    rows.apply(1, &RowBatch { rows: vec![applied(1), put(key, b"a text")] }, 1).unwrap();
    rows.make_durable().unwrap();
    drop(rows);
    let found = places(&disk, key);
    assert!(!found.is_empty());
    for at in found {
        assert!(disk.rot(ROWS_FILE, at + 3, 0x20));
    }
    assert!(Rows::open(&disk, small()).is_err());
}
