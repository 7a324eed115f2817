//! Snapshots of the rows: read in parts that are of one state, received beside the rows in use, and in use as a whole or not at all.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{batch, dice, entries};
use std::time::Duration;
use tertulia_driver::disk::Disk;
use tertulia_driver::rows::{MOST_PINS, PIN_FOR, Rows, RowsError, RowsOptions};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_driver::store::{Done, FolderIdentity, InlineStore, Job, Opened, Store, StoreOptions, ThreadedStore, open};
use tertulia_protocol::contract::*;
use tertulia_protocol::ids::{BatchId, Boot, ClusterId, Incarnation, LoadId, NodeId};
use tertulia_protocol::wire::{Kind, seal};
use tokio::time::{Instant, timeout};

type RowsOf = Vec<(Bytes, Bytes)>;

fn options() -> RowsOptions {
    RowsOptions { durable_batches: 1_000, durable_bytes: 1 << 20, cache_bytes: 1 << 20 }
}

fn position(index: u64) -> Position {
    Position { index, term: 1, chain: index * 7 }
}

fn applied(index: u64) -> (Bytes, Bytes) {
    let row = AppliedRow { position: position(index), ..AppliedRow::default() };
    (Bytes::from_static(APPLIED_KEY), seal(Kind::Applied, &row))
}

/// All rows of a state: ten of them, told apart by `state`.
fn state(index: u64, state: u8) -> RowsOf {
    let row = |nth: u8| (Bytes::from(vec![0x90, nth]), Bytes::from(vec![state; 100]));
    std::iter::once(applied(index)).chain((0..10).map(row)).collect()
}

fn write(rows: &mut Rows, index: u64, all: RowsOf) {
    let batch = RowBatch { rows: all.into_iter().map(|(key, value)| (key, Some(value))).collect() };
    rows.apply(index, &batch, index).unwrap();
}

fn rows_with(all: RowsOf) -> (SimDisk, Rows) {
    let disk = SimDisk::new();
    Rows::create(&disk).unwrap();
    let mut rows = Rows::open(&disk, options()).unwrap();
    write(&mut rows, 1, all);
    rows.make_durable().unwrap();
    (disk, rows)
}

fn part(at: Option<u64>, from: &[u8], to: Option<&[u8]>, max_bytes: u32) -> Query {
    Query::Snapshot { at, from: Bytes::copy_from_slice(from), to: to.map(Bytes::copy_from_slice), max_bytes }
}

fn everything(rows: &mut Rows) -> RowsOf {
    rows.read_snapshot(&part(None, b"", None, u32::MAX), Instant::now()).unwrap().rows
}

#[test]
fn a_snapshot_stays_what_it_is_while_the_rows_go_on() {
    let (_disk, mut rows) = rows_with(state(1, 1));
    let now = Instant::now();
    let first = rows.read_snapshot(&part(None, b"", None, 300), now).unwrap();
    assert_eq!((first.applied.position, first.rows.len()), (position(1), 4), "cut after the row that reaches the bound");
    write(&mut rows, 2, state(2, 2));
    let next = first.next.clone().unwrap();
    let rest = rows.read_snapshot(&part(Some(1), &next, None, u32::MAX), now).unwrap();
    assert_eq!((rest.applied.position, &rest.next), (position(1), &None));
    assert_eq!([first.rows, rest.rows].concat(), state(1, 1));
    // Another place, or none: the present rows.
    for at in [None, Some(9)] {
        let part = rows.read_snapshot(&part(at, &[0x90, 3], Some(&[0x90, 5]), 1), now).unwrap();
        assert_eq!(
            (part.applied.position, part.rows, part.next),
            (position(2), state(2, 2)[4..5].to_vec(), Some(state(2, 2)[5].0.clone()))
        );
    }
    let nothing = rows.read_snapshot(&part(Some(2), &[0x95], Some(&[0x91]), 1), now).unwrap();
    assert_eq!((nothing.rows, nothing.next), (Vec::new(), None));
}

#[test]
fn so_many_snapshots_are_held_and_each_only_while_it_is_read() {
    let (_disk, mut rows) = rows_with(state(1, 1));
    let mut now = Instant::now();
    let read = |rows: &mut Rows, at, now| rows.read_snapshot(&part(at, b"", None, 1), now).unwrap().applied.position.index;
    for index in 1..=MOST_PINS as u64 + 1 {
        now += Duration::from_secs(1);
        assert_eq!(read(&mut rows, None, now), index);
        write(&mut rows, index + 1, state(index + 1, 1));
    }
    let newest = MOST_PINS as u64 + 2;
    assert_eq!(read(&mut rows, Some(2), now), 2, "it is still held");
    assert_eq!(read(&mut rows, Some(1), now), newest, "the one read longest ago has made way");
    now += PIN_FOR;
    assert_eq!(rows.unpin(now), None);
    assert_eq!(read(&mut rows, Some(2), now), newest);
}

#[test]
fn received_rows_are_seen_when_they_are_installed_and_say_where_they_came_from() {
    let (disk, mut rows) = rows_with(state(1, 1));
    assert_eq!(rows.base().unwrap(), None);
    let range = |from: &[u8], to: Option<&[u8]>, rows: &[(Bytes, Bytes)]| Receive::Range {
        from: Bytes::copy_from_slice(from),
        to: to.map(Bytes::copy_from_slice),
        rows: rows.to_vec(),
    };
    assert!(matches!(rows.receive(&range(b"", None, &[])), Err(RowsError::NotReceiving)));
    assert!(matches!(rows.receive(&Receive::Install { position: position(9) }), Err(RowsError::NotReceiving)));
    let new = state(9, 3);
    // A first try that is replaced range by range; what the new ranges do not hold is gone.
    rows.receive(&Receive::Begin).unwrap();
    rows.receive(&range(b"", None, &state(5, 5))).unwrap();
    rows.receive(&range(b"", Some(&[0x90, 4]), &new[..5])).unwrap();
    rows.receive(&range(&[0x90, 4], None, &new[5..8])).unwrap();
    assert_eq!(everything(&mut rows), state(1, 1));
    assert!(rows.receive(&Receive::Install { position: position(9) }).unwrap());
    assert_eq!(everything(&mut rows), new[..8].to_vec());
    assert_eq!(rows.base().unwrap(), Some(position(9)));
    write(&mut rows, 10, vec![applied(10)]);
    rows.make_durable().unwrap();
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    let disk = disk.thaw();
    let rows = Rows::open(&disk, options()).unwrap();
    assert_eq!((rows.applied().unwrap().position, rows.base().unwrap()), (position(10), Some(position(9))));
}

#[test]
fn what_is_abandoned_or_left_by_a_crash_is_deleted() {
    let (disk, mut rows) = rows_with(state(1, 1));
    let names = disk.list().unwrap();
    rows.receive(&Receive::Begin).unwrap();
    assert_ne!(disk.list().unwrap(), names);
    rows.receive(&Receive::Abandon).unwrap();
    assert_eq!(disk.list().unwrap(), names);
    rows.receive(&Receive::Begin).unwrap();
    disk.crash(CrashOutcome::Keep, &mut |_| 0);
    drop(rows);
    let disk = disk.thaw();
    assert_ne!(disk.list().unwrap(), names);
    let mut rows = Rows::open(&disk, options()).unwrap();
    assert_eq!((disk.list().unwrap(), everything(&mut rows)), (names, state(1, 1)));
}

#[test]
fn a_crash_at_any_change_leaves_the_old_rows_or_the_new_ones_and_never_a_mixture() {
    let (old, new) = (state(1, 1), state(9, 3));
    let mut draw = dice(4);
    for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn] {
        let (mut found_old, mut found_new, mut changes, mut finished) = (0, 0, 0, false);
        while !finished {
            let (disk, rows) = rows_with(old.clone());
            drop(rows);
            let mut rows = Rows::open(&disk, options()).unwrap();
            disk.freeze_after(changes);
            let mut steps = vec![Receive::Begin];
            for nth in 0..new.len() {
                let to = new.get(nth + 1).map(|(key, _)| key.clone());
                steps.push(Receive::Range { from: new[nth].0.clone(), to, rows: vec![new[nth].clone()] });
            }
            steps.push(Receive::Install { position: position(9) });
            finished = steps.iter().all(|step| rows.receive(step).is_ok());
            disk.crash(outcome, &mut draw);
            drop(rows);
            let mut rows =
                Rows::open(&disk.thaw(), options()).unwrap_or_else(|error| panic!("{outcome:?} after {changes}: {error}"));
            let found = everything(&mut rows);
            assert!(found == old || found == new, "{outcome:?} after {changes} changes: a mixture: {found:?}");
            assert!(found == new || !finished, "{outcome:?}: what was reported as installed is there");
            assert_eq!(rows.base().unwrap().is_some(), found == new);
            (found_old, found_new) = (found_old + u32::from(found == old), found_new + u32::from(found == new));
            changes += 1;
        }
        assert!(found_old > 10 && found_new > 0, "{outcome:?}: the sweep sees both ends: {found_old} {found_new}");
    }
}

fn opened() -> Opened<SimDisk> {
    let options = StoreOptions { segment_bytes: 8192, rows: options() };
    let identity = FolderIdentity { cluster: ClusterId(11), node: NodeId(3) };
    open(SimDisk::new(), identity, Boot(1), || Incarnation(77), options).unwrap().0
}

async fn next(store: &mut impl Store) -> Done {
    timeout(Duration::from_secs(30), store.done()).await.expect("the store answers")
}

fn load(id: u64, query: Query) -> Job {
    Job::Load { id: LoadId(id), query }
}

fn loaded(done: Done) -> Loaded {
    let Done::Loaded { loaded, .. } = done else { panic!("{done:?}") };
    loaded.unwrap()
}

async fn a_store_serves_receives_and_goes_on(mut store: impl Store) {
    let mine = entries(Position::default(), 1, 3, 100, 1);
    store.submit(Job::Append { id: BatchId(1), batch: batch(mine.clone()) });
    assert_eq!(next(&mut store).await, Done::Stored { up_to: BatchId(1) });
    let row = AppliedRow { position: mine[2].position(), ..AppliedRow::default() };
    let rows = vec![(Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &row)))];
    store.submit(Job::Apply { through: 3, rows: RowBatch { rows } });
    store.submit(Job::Trim { through: 2 });
    store.submit(load(1, part(None, b"", None, 1)));
    let Loaded::Snapshot(found) = loaded(next(&mut store).await) else { panic!("a snapshot") };
    assert_eq!((found.applied.position, found.rows.len(), found.next), (mine[2].position(), 1, None));
    store.submit(Job::Receive(Receive::Begin));
    store.submit(Job::Receive(Receive::Range { from: Bytes::new(), to: None, rows: state(9, 3) }));
    store.submit(Job::Receive(Receive::Install { position: position(9) }));
    assert_eq!(next(&mut store).await, Done::Installed);
    let query = Query::Range { from: Bytes::from_static(&[0x80]), to: Bytes::from_static(&[0xff]), limit: 99, backwards: false };
    store.submit(load(2, query));
    assert_eq!(loaded(next(&mut store).await), Loaded::Rows(state(9, 3)[1..].to_vec()));
    // The pinned snapshot was of rows that are no longer here.
    store.submit(load(3, part(Some(3), b"", None, 1)));
    let Loaded::Snapshot(found) = loaded(next(&mut store).await) else { panic!("a snapshot") };
    assert_eq!(found.applied.position, position(9));
    // A fault of the machine or the disk is told, once.
    store.submit(Job::Receive(Receive::Install { position: position(9) }));
    assert!(matches!(next(&mut store).await, Done::RowsFailed { .. }));
}

#[tokio::test]
async fn the_store_with_threads_serves_and_receives_snapshots() {
    a_store_serves_receives_and_goes_on(ThreadedStore::start(opened()).unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn the_inline_store_serves_and_receives_snapshots() {
    let latency = |job: &Job| Duration::from_millis(if matches!(job, Job::Receive(_)) { 7 } else { 2 });
    a_store_serves_receives_and_goes_on(InlineStore::new(opened(), latency)).await;
}

#[test]
fn the_log_is_trimmed_only_to_where_the_rows_are_durable() {
    let (disk, mut rows) = rows_with(state(1, 1));
    write(&mut rows, 5, state(5, 5));
    assert_eq!(rows.trimmable(9).unwrap(), 5, "what the rows do not contain stays in the log");
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    drop(rows);
    let rows = Rows::open(&disk.thaw(), options()).unwrap();
    assert_eq!(rows.applied().unwrap().position, position(5));
}
