//! Folders and the two stores, as the runtime sees them.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{batch, dice, entries, vote};
use std::time::Duration;
use tertulia_driver::disk::{Disk, RealDisk};
use tertulia_driver::rows::RowsOptions;
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault, SimDisk};
use tertulia_driver::store::{
    Done, FolderIdentity, InlineStore, Job, OpenError, Opened, Store, StoreOptions, ThreadedStore, open,
};
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow, Batch, Loaded, Position, Query, Restored, RowBatch};
use tertulia_protocol::ids::{BatchId, Boot, ClusterId, Incarnation, LoadId, NodeId};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::wire::{Kind, seal};
use tokio::time::timeout;

const ME: FolderIdentity = FolderIdentity { cluster: ClusterId(11), node: NodeId(3) };

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 8192, rows: RowsOptions { durable_batches: 2, durable_bytes: 1 << 20, cache_bytes: 1 << 20 } }
}

fn open_as<D: Disk>(disk: &D, identity: FolderIdentity) -> Result<(Opened<D>, Restored), OpenError> {
    open(disk.clone(), identity, Boot(1), || Incarnation(77), options())
}

fn open_mine<D: Disk>(disk: &D) -> (Opened<D>, Restored) {
    open_as(disk, ME).unwrap_or_else(|error| panic!("{error}"))
}

fn append(id: u64, entries: &[Entry]) -> Job {
    Job::Append { id: BatchId(id), batch: batch(entries.to_vec()) }
}

fn apply(entry: &Entry) -> Job {
    let row = AppliedRow { position: entry.position(), ..AppliedRow::default() };
    let rows = vec![
        (Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &row))),
        (Bytes::from(vec![0x90, entry.index as u8]), Some(entry.payload.clone())),
    ];
    Job::Apply { through: entry.index, rows: RowBatch { rows } }
}

fn load_rows(id: u64) -> Job {
    let query = Query::Range { from: Bytes::from_static(&[0x80]), to: Bytes::from_static(&[0xFF]), limit: 100, backwards: false };
    Job::Load { id: LoadId(id), query }
}

fn load_log(id: u64, from: u64, through: u64) -> Job {
    Job::Load { id: LoadId(id), query: Query::Log { from, through, max_bytes: u32::MAX } }
}

/// Collects completions until `id` is stored.
async fn until_stored(store: &mut impl Store, id: u64) -> Vec<Done> {
    let mut seen = Vec::new();
    loop {
        let done = timeout(Duration::from_secs(10), store.done()).await.expect("the store answers");
        let stored = matches!(done, Done::Stored { up_to } if up_to.0 >= id);
        seen.push(done);
        if stored {
            return seen;
        }
    }
}

#[test]
fn a_new_folder_is_made_and_opened_again_with_the_same_incarnation() {
    let disk = SimDisk::new();
    let (opened, restored) = open_mine(&disk);
    assert_eq!((restored.incarnation, restored.boot, restored.applied), (Incarnation(77), Boot(1), Position::default()));
    assert!(restored.log.is_empty() && restored.rows.is_empty());
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    drop(opened);
    let again = open(disk.thaw(), ME, Boot(2), || panic!("only a new folder draws"), options());
    assert_eq!(again.unwrap().1.incarnation, Incarnation(77));
}

#[test]
fn a_crash_at_any_point_of_making_a_folder_leaves_one_that_can_be_opened() {
    let mut draw = dice(5);
    let mut finished = false;
    for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn] {
        for changes in 0..120 {
            let disk = SimDisk::new();
            disk.freeze_after(changes);
            finished |= open_as(&disk, ME).is_ok();
            disk.crash(outcome, &mut draw);
            let (_, restored) = open_mine(&disk.thaw());
            assert_eq!((restored.vote, restored.log.len()), (vote(0, None), 0), "{outcome:?} after {changes} changes");
        }
    }
    assert!(finished, "the sweep reaches the end");
}

#[test]
fn a_crash_at_any_change_keeps_what_was_stored_and_rows_within_the_log() {
    let mine = entries(Position::default(), 1, 60, 300, 1);
    let mut draw = dice(8);
    let mut finished = false;
    let mut changes = 0;
    while !finished {
        let disk = SimDisk::new();
        drop(open_mine(&disk));
        disk.freeze_after(changes);
        let mut stored = 0;
        let work = || -> Result<(), String> {
            let text = |error: &dyn std::fmt::Display| error.to_string();
            let (Opened { mut log, mut rows, .. }, _) = open_as(&disk, ME).map_err(|error| text(&error))?;
            for some in mine.chunks(3) {
                let vote = Some(vote(some[0].index, None));
                log.append(&Batch { reset: None, repaired: false, vote, entries: some.to_vec() })
                    .map_err(|error| text(&error))?;
                log.sync().map_err(|error| text(&error))?;
                stored = log.durable_through();
                let Job::Apply { through, rows: batch } = apply(&some[1]) else { unreachable!() };
                rows.apply(through, &batch, stored).map_err(|error| text(&error))?;
            }
            Ok(())
        };
        finished = { work }().is_ok();
        disk.crash(CrashOutcome::Torn, &mut draw);
        let (opened, restored) = open_mine(&disk.thaw());
        assert!(opened.log.last() >= stored && restored.applied.index <= opened.log.last());
        assert_eq!(restored.log, mine[restored.applied.index as usize..opened.log.last() as usize]);
        assert!(restored.vote.term + 2 >= stored);
        changes += 1;
    }
    assert!(changes > 200, "{changes} points were tried");
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let disk = SimDisk::new();
    drop(open_mine(&disk));
    let text = |identity| open_as(&disk, identity).map(|_| ()).unwrap_err().to_string();
    let other_node = text(FolderIdentity { node: NodeId(4), ..ME });
    assert!(other_node.contains("belongs to node 3, and this is node 4"), "{other_node}");
    let other_cluster = text(FolderIdentity { cluster: ClusterId(12), ..ME });
    assert!(other_cluster.contains("another cluster") && other_cluster.contains("cluster secret"), "{other_cluster}");
    disk.rot("identity", 30, 1);
    assert!(matches!(open_as(&disk, ME), Err(OpenError::IdentityDamaged)));
    disk.delete("identity").unwrap();
    assert!(matches!(open_as(&disk, ME), Err(OpenError::IdentityLost { .. })));
    let strange = SimDisk::new();
    strange.create("holiday.jpg", 10).unwrap();
    let error = open_as(&strange, ME).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("no Tertulia data folder") && error.contains("holiday.jpg"), "{error}");
    assert_eq!(strange.list().unwrap(), ["holiday.jpg"]);
}

#[test]
fn rows_of_another_log_are_refused() {
    let mine = entries(Position::default(), 1, 3, 20, 1);
    let other = entries(Position::default(), 2, 3, 20, 2);
    let disk = SimDisk::new();
    let (Opened { mut log, mut rows, .. }, _) = open_mine(&disk);
    log.append(&batch(mine)).unwrap();
    log.sync().unwrap();
    let Job::Apply { through, rows: batch } = apply(&other[1]) else { unreachable!() };
    rows.apply(through, &batch, through).unwrap();
    rows.make_durable().unwrap();
    drop((log, rows));
    let error = open_as(&disk, ME).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("disagree about log entry 2") && error.contains("counts as lost"), "{error}");
}

#[test]
fn an_entry_off_the_chain_is_refused() {
    let disk = SimDisk::new();
    let (Opened { mut log, rows, .. }, _) = open_mine(&disk);
    let mut mine = entries(Position::default(), 1, 3, 20, 1);
    mine[1].chain ^= 1;
    log.append(&batch(mine)).unwrap();
    log.sync().unwrap();
    drop((log, rows));
    assert!(matches!(open_as(&disk, ME), Err(OpenError::BrokenChain { index: 2 })));
}

#[test]
fn deleted_rows_are_built_again_from_the_log() {
    let disk = SimDisk::new();
    let mine = entries(Position::default(), 1, 4, 20, 1);
    let (Opened { mut log, mut rows, .. }, _) = open_mine(&disk);
    log.append(&batch(mine.clone())).unwrap();
    log.sync().unwrap();
    let Job::Apply { through, rows: batch } = apply(&mine[3]) else { unreachable!() };
    rows.apply(through, &batch, 4).unwrap();
    drop((log, rows));
    assert!(open_mine(&disk).1.log.is_empty());
    disk.delete("rows.redb").unwrap();
    let (_, restored) = open_mine(&disk);
    assert_eq!((restored.applied, restored.log), (Position::default(), mine));
}

#[tokio::test]
async fn a_threaded_store_stores_applies_and_loads_on_a_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mine = entries(Position::default(), 1, 30, 400, 1);
    {
        let (opened, _) = open_mine(&RealDisk::open(dir.path()).unwrap());
        let mut store = ThreadedStore::start(opened).unwrap();
        for (nth, some) in mine.chunks(5).enumerate() {
            store.submit(append(nth as u64 + 1, some));
        }
        store.submit(load_log(1, 4, 6));
        let mut seen = until_stored(&mut store, 6).await;
        if !seen.iter().any(|done| matches!(done, Done::Loaded { .. })) {
            seen.push(store.done().await);
        }
        assert!(seen.contains(&Done::Loaded { id: LoadId(1), loaded: Ok(Loaded::Entries(mine[3..6].to_vec())) }));
        store.submit(apply(&mine[9]));
        store.submit(load_rows(2));
        let rows = vec![(Bytes::from(vec![0x90, 10]), mine[9].payload.clone())];
        assert_eq!(store.done().await, Done::Loaded { id: LoadId(2), loaded: Ok(Loaded::Rows(rows)) });
    }
    let (_, restored) = open_mine(&RealDisk::open(dir.path()).unwrap());
    assert_eq!((restored.applied, restored.log), (mine[9].position(), mine[10..].to_vec()));
}

#[tokio::test]
async fn gathered_rows_are_seen_by_the_next_read_and_written_without_one() {
    let disk = SimDisk::new();
    let mine = entries(Position::default(), 1, 30, 400, 1);
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    store.submit(append(1, &mine));
    until_stored(&mut store, 1).await;
    mine[..10].iter().for_each(|entry| store.submit(apply(entry)));
    store.submit(load_rows(1));
    let row = |nth: usize| (Bytes::from(vec![0x90, nth as u8 + 1]), mine[nth].payload.clone());
    let seen = store.done().await;
    assert_eq!(seen, Done::Loaded { id: LoadId(1), loaded: Ok(Loaded::Rows((0..10).map(row).collect())) });

    // Nobody reads, and the disk tells that they were written all the same.
    disk.set_fault(Some(DiskFault::FailingWrites));
    mine[10..20].iter().for_each(|entry| store.submit(apply(entry)));
    let written = async { while !matches!(store.done().await, Done::RowsFailed { .. }) {} };
    timeout(Duration::from_secs(10), written).await.expect("the rows are written, and that fails");
}

/// How far the rows are after a crash, before anything is replayed.
fn durable_rows(disk: &SimDisk) -> u64 {
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    open_mine(&disk.thaw()).1.applied.index
}

#[tokio::test]
async fn rows_of_a_threaded_store_become_durable_also_when_nothing_follows() {
    let disk = SimDisk::new();
    let mine = entries(Position::default(), 1, 1, 100, 1);
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    store.submit(append(1, &mine));
    until_stored(&mut store, 1).await;
    store.submit(apply(&mine[0]));
    // The log's mark, and the rows.
    let syncs = disk.syncs();
    for _ in 0..500 {
        let _ = timeout(Duration::from_millis(20), store.done()).await;
        if disk.syncs() > syncs + 1 {
            break;
        }
    }
    assert_eq!(durable_rows(&disk), 1);
}

#[tokio::test]
async fn an_idle_threaded_store_marks_its_last_batch() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    let mine = entries(Position::default(), 1, 1, 100, 1);
    store.submit(append(1, &mine));
    until_stored(&mut store, 1).await;
    let syncs = disk.syncs();
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if disk.syncs() > syncs {
            break;
        }
    }
    assert_eq!(disk.syncs(), syncs + 1);
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    let disk = disk.thaw();
    let at = common::contents(&disk, "log-00000001").windows(100).position(|some| some == mine[0].payload).unwrap();
    disk.rot("log-00000001", at as u64, 1);
    let (_, restored) = open_mine(&disk);
    assert!(restored.damage.log && restored.log.is_empty());
}

#[tokio::test]
async fn a_failed_write_is_reported_once_and_nothing_is_stored_after_it() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    let mine = entries(Position::default(), 1, 3, 20, 1);
    disk.set_fault(Some(DiskFault::FailingWrites));
    store.submit(append(1, &mine[..1]));
    let failed = store.done().await;
    assert!(
        matches!(&failed, Done::StoreFailed { batch: BatchId(1), error } if error.message.contains("log-00000001")),
        "{failed:?}"
    );
    disk.set_fault(None);
    store.submit(append(2, &mine[1..]));
    store.submit(load_log(1, 1, 1));
    assert!(matches!(store.done().await, Done::Loaded { id: LoadId(1), loaded: Err(_) }));
    store.submit(load_rows(2));
    assert!(matches!(store.done().await, Done::Loaded { id: LoadId(2), loaded: Ok(_) }), "rows are another lane");
}

#[tokio::test]
async fn dropping_a_threaded_store_with_a_full_queue_is_prompt_and_keeps_what_was_stored() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    let mine = entries(Position::default(), 1, 5_000, 100, 1);
    store.submit(append(1, &mine[..1]));
    until_stored(&mut store, 1).await;
    for entry in &mine[1..] {
        store.submit(append(entry.index, std::slice::from_ref(entry)));
    }
    drop(store);
    let log = open_mine(&disk).1.log;
    assert!(!log.is_empty() && log == mine[..log.len()]);
}

fn inline(disk: &SimDisk, millis: u64) -> InlineStore<SimDisk, impl FnMut(&Job) -> Duration + Send + use<>> {
    InlineStore::new(open_mine(disk).0, move |_: &Job| Duration::from_millis(millis))
}

fn survivors(disk: &SimDisk) -> usize {
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    open_mine(&disk.thaw()).1.log.len()
}

#[tokio::test(start_paused = true)]
async fn an_inline_store_makes_nothing_durable_before_its_time() {
    let mine = entries(Position::default(), 1, 3, 20, 1);
    for (wait, expected) in [(3, 0), (5, 1), (7, 1), (9, 3)] {
        let disk = SimDisk::new();
        let mut store = inline(&disk, 4);
        store.submit(append(1, &mine[..1]));
        tokio::time::sleep(Duration::from_millis(1)).await;
        // These two wait for the sync under way, and then share one.
        store.submit(append(2, &mine[1..2]));
        store.submit(append(3, &mine[2..]));
        let mut stored = Vec::new();
        let _ = timeout(Duration::from_millis(wait - 1), async {
            loop {
                stored.push(store.done().await);
            }
        })
        .await;
        let expected_done = [Done::Stored { up_to: BatchId(1) }, Done::Stored { up_to: BatchId(3) }];
        assert_eq!(stored, expected_done[..[0, 1, 1, 2][expected]], "after {wait} ms");
        assert_eq!(survivors(&disk), expected, "after {wait} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_inline_store_loses_no_completion_when_its_future_is_dropped() {
    let disk = SimDisk::new();
    let mut store = inline(&disk, 4);
    let mine = entries(Position::default(), 1, 2, 20, 1);
    store.submit(append(1, &mine));
    store.submit(load_log(1, 1, 2));
    store.submit(load_rows(2));
    let mut seen = Vec::new();
    for _ in 0..40 {
        if let Ok(done) = timeout(Duration::from_micros(300), store.done()).await {
            seen.push(done);
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.contains(&Done::Stored { up_to: BatchId(1) }));
    assert!(seen.contains(&Done::Loaded { id: LoadId(1), loaded: Ok(Loaded::Entries(mine)) }));
}

#[tokio::test(start_paused = true)]
async fn an_idle_inline_store_marks_its_last_batch_and_reports_a_failure_once() {
    let disk = SimDisk::new();
    let mut store = inline(&disk, 1);
    let mine = entries(Position::default(), 1, 3, 20, 1);
    store.submit(append(1, &mine[..1]));
    until_stored(&mut store, 1).await;
    let syncs = disk.syncs();
    assert!(timeout(Duration::from_secs(1), store.done()).await.is_err(), "a mark is nothing to report");
    assert_eq!(disk.syncs(), syncs + 1);
    disk.set_fault(Some(DiskFault::FailingWrites));
    store.submit(append(2, &mine[1..2]));
    store.submit(append(3, &mine[2..]));
    assert!(matches!(store.done().await, Done::StoreFailed { batch: BatchId(2), .. }));
    assert!(timeout(Duration::from_secs(1), store.done()).await.is_err(), "reported once");
}

#[tokio::test(start_paused = true)]
async fn rows_of_an_inline_store_become_durable_a_second_after_they_were_written() {
    let mine = entries(Position::default(), 1, 1, 20, 1);
    for (wait, expected) in [(900, 0), (1_100, 1)] {
        let disk = SimDisk::new();
        let mut store = inline(&disk, 1);
        store.submit(append(1, &mine));
        until_stored(&mut store, 1).await;
        store.submit(apply(&mine[0]));
        assert!(timeout(Duration::from_millis(wait), store.done()).await.is_err(), "that is nothing to report");
        assert_eq!(durable_rows(&disk), expected, "after {wait} ms");
    }
}
