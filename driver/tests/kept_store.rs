//! The outbox lane within a folder and its stores: when it is written, what is reported, and that a node without it runs as before.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::kept::{add, anew, records};
use common::{batch, entries};
use std::time::Duration;
use tertulia_driver::disk::{Disk, RealDisk};
use tertulia_driver::kept::{OUTBOX_FILE, RECORD_BYTES};
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault, SimDisk};
use tertulia_driver::store::{
    Done, FolderIdentity, InlineStore, Job, OpenError, Opened, Store, StoreOptions, ThreadedStore, make, open,
};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::{BatchId, Boot, ClusterId, Incarnation, NodeId};
use tertulia_protocol::node::{Config, HaltReason, Node, Output};
use tertulia_protocol::raft::{Entry, Member};
use tertulia_protocol::replica::Founding;
use tertulia_protocol::time::{Instant, Timestamp};
use tertulia_protocol::wire::{Kind, seal};
use tokio::time::timeout;

const ME: FolderIdentity = FolderIdentity { cluster: ClusterId(11), node: NodeId(3) };

fn try_open<D: Disk>(disk: &D) -> Result<(Opened<D>, Restored), OpenError> {
    open(disk.clone(), ME, Boot(1), || Incarnation(77), StoreOptions { segment_bytes: 8192, ..StoreOptions::default() })
}

fn open_mine<D: Disk>(disk: &D) -> (Opened<D>, Restored) {
    try_open(disk).unwrap_or_else(|error| panic!("{error}"))
}

fn restored(disk: &SimDisk) -> Restored {
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    open_mine(&disk.thaw()).1
}

fn keep(id: u64, keep: Keep) -> Job {
    Job::Keep { id, keep }
}

fn append(id: u64, entries: &[Entry]) -> Job {
    Job::Append { id: BatchId(id), batch: batch(entries.to_vec()) }
}

async fn next(store: &mut impl Store) -> Done {
    timeout(Duration::from_secs(10), store.done()).await.expect("the store answers")
}

/// Completions until this write is kept.
async fn until_kept(store: &mut impl Store, id: u64) -> Vec<Done> {
    let mut seen = Vec::new();
    loop {
        seen.push(next(store).await);
        if matches!(seen.last(), Some(Done::Kept { up_to }) if *up_to >= id) {
            return seen;
        }
    }
}

/// Waits until the disk was synced once more.
async fn synced_again(disk: &SimDisk, before: u64) {
    for _ in 0..2_000 {
        if disk.syncs() > before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("there is no mark");
}

#[tokio::test]
async fn what_a_threaded_store_has_kept_is_handed_back_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mine = entries(Position::default(), 1, 3, 100, 1);
    {
        let (opened, first) = open_mine(&RealDisk::open(dir.path()).unwrap());
        assert!(first.kept.is_empty() && !first.damage.kept);
        let mut store = ThreadedStore::start(opened).unwrap();
        store.submit(keep(1, add(records(1, 2, 3_000))));
        store.submit(append(1, &mine));
        store.submit(keep(2, add(records(3, 1, 40))));
        let seen = until_kept(&mut store, 2).await;
        assert!(
            seen.contains(&Done::Stored { up_to: BatchId(1) }) || next(&mut store).await == Done::Stored { up_to: BatchId(1) }
        );
    }
    {
        let (opened, second) = open_mine(&RealDisk::open(dir.path()).unwrap());
        assert_eq!(second.kept, [records(1, 2, 3_000), records(3, 1, 40)].concat());
        assert_eq!(second.log, mine);
        let mut store = ThreadedStore::start(opened).unwrap();
        store.submit(keep(1, anew(records(3, 1, 40))));
        store.submit(keep(2, add(records(4, 1, 40))));
        until_kept(&mut store, 2).await;
    }
    let (_, third) = open_mine(&RealDisk::open(dir.path()).unwrap());
    assert_eq!((third.kept, third.damage), (records(3, 2, 40), Damage::default()));
}

#[tokio::test]
async fn completions_come_in_order_and_writes_that_wait_share_a_sync() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    let before = disk.syncs();
    for id in 1..=400 {
        store.submit(keep(id, add(records(id, 1, 20))));
    }
    let ids: Vec<u64> = until_kept(&mut store, 400)
        .await
        .iter()
        .map(|done| if let Done::Kept { up_to } = done { *up_to } else { panic!("{done:?}") })
        .collect();
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let syncs = disk.syncs() - before;
    assert_eq!(restored(&disk).kept, records(1, 400, 20));
    assert!(syncs <= 2 * ids.len() as u64 + 1, "{syncs} syncs for {} groups", ids.len());
}

#[tokio::test]
async fn an_idle_threaded_store_marks_what_it_kept_so_that_rot_of_it_is_found() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    store.submit(keep(1, add(records(1, 1, 100))));
    until_kept(&mut store, 1).await;
    // The first records of a file are marked by its beginning.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let syncs = disk.syncs();
    store.submit(keep(2, add(records(2, 1, 100))));
    until_kept(&mut store, 2).await;
    synced_again(&disk, syncs + 1).await;
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    let disk = disk.thaw();
    let at = common::logs::find(&disk, OUTBOX_FILE, &records(2, 1, 100)[0]);
    disk.rot(OUTBOX_FILE, at, 1);
    for _ in 0..2 {
        let (_, restored) = open_mine(&disk);
        assert_eq!((restored.kept, restored.damage), (records(1, 1, 100), Damage { kept: true, ..Damage::default() }));
    }
}

/// The syncs of a run without a write to the outbox lane, but for empty ones.
fn syncs_of_a_run(with_empty_writes: bool) -> (u64, Vec<String>) {
    let disk = SimDisk::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut store = InlineStore::new(open_mine(&disk).0, |_: &Job| Duration::from_millis(2));
        for (nth, entry) in entries(Position::default(), 1, 5, 20, 1).iter().enumerate() {
            store.submit(append(nth as u64 + 1, std::slice::from_ref(entry)));
            assert_eq!(next(&mut store).await, Done::Stored { up_to: BatchId(nth as u64 + 1) });
            if with_empty_writes {
                store.submit(keep(nth as u64 + 1, if nth % 2 == 0 { add(vec![]) } else { anew(vec![]) }));
                assert_eq!(next(&mut store).await, Done::Kept { up_to: nth as u64 + 1 });
            }
        }
        let _ = timeout(Duration::from_secs(1), store.done()).await;
    });
    (disk.syncs(), disk.list().unwrap())
}

#[test]
fn a_node_that_keeps_nothing_has_no_outbox_and_pays_for_none() {
    let (plain, files) = syncs_of_a_run(false);
    assert_eq!(syncs_of_a_run(true), (plain, files.clone()));
    assert!(!files.iter().any(|name| name.starts_with("outbox")), "{files:?}");
}

#[tokio::test(start_paused = true)]
async fn an_inline_store_keeps_nothing_before_its_time_and_shares_the_syncs_with_the_log() {
    let mine = entries(Position::default(), 1, 2, 20, 1);
    for (wait, expected) in [(3, 0), (5, 2), (7, 2), (9, 3)] {
        let disk = SimDisk::new();
        let mut store = InlineStore::new(open_mine(&disk).0, |_: &Job| Duration::from_millis(4));
        store.submit(keep(1, add(records(1, 2, 20))));
        tokio::time::sleep(Duration::from_millis(1)).await;
        // These wait for the sync under way, and then share one.
        store.submit(append(1, &mine));
        store.submit(keep(2, anew(records(3, 3, 20))));
        let mut seen = Vec::new();
        let _ = timeout(Duration::from_millis(wait - 1), async {
            loop {
                seen.push(store.done().await);
            }
        })
        .await;
        let all = [Done::Kept { up_to: 1 }, Done::Stored { up_to: BatchId(1) }, Done::Kept { up_to: 2 }];
        assert_eq!(seen, all[..[0, 0, 1, 3][expected]], "after {wait} ms");
        let restored = restored(&disk);
        assert_eq!(restored.kept, [vec![], vec![], records(1, 2, 20), records(3, 3, 20)][expected], "after {wait} ms");
        assert_eq!(restored.log.len(), if expected == 3 { 2 } else { 0 });
    }
}

fn node() -> Node {
    let member = |id: u64| Member {
        id: NodeId(id),
        peer_address: format!("n{id}:1"),
        client_address: format!("http://n{id}:2"),
        incarnation: None,
    };
    let config = Config::new(NodeId(3), ClusterId(11), (1..=3).map(member).collect(), Seed(1));
    Node::restore(config, Restored::empty(Incarnation(77), Boot(1)), now(1)).unwrap()
}

fn now(at: u64) -> Now {
    Now { instant: Instant(at), wall: Timestamp(at) }
}

fn halts(node: &mut Node) -> Option<String> {
    std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Halt { reason: HaltReason::Store { message } } => Some(message),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_or_a_failing_one_halts_the_node_and_says_why() {
    for (fault, says) in [(DiskFault::Full, "no space left"), (DiskFault::FailingWrites, "input/output error")] {
        for threaded in [false, true] {
            let disk = SimDisk::new();
            let opened = open_mine(&disk).0;
            disk.set_fault(Some(fault));
            let jobs = [keep(1, add(records(1, 1, 20))), keep(2, add(records(2, 1, 20)))];
            let (first, second) = if threaded {
                let mut store = ThreadedStore::start(opened).unwrap();
                jobs.into_iter().for_each(|job| store.submit(job));
                (store.done().await, timeout(Duration::from_millis(200), store.done()).await)
            } else {
                let mut store = InlineStore::new(opened, |_: &Job| Duration::from_millis(1));
                jobs.into_iter().for_each(|job| store.submit(job));
                (store.done().await, timeout(Duration::from_millis(200), store.done()).await)
            };
            assert!(second.is_err(), "it is reported once, and nothing after it: {second:?}");
            let Done::KeepFailed { error } = first else { panic!("{first:?}") };
            assert!(error.message.contains("outbox") && error.message.contains(says), "{}", error.message);
            let mut node = node();
            assert_eq!(halts(&mut node), None);
            node.handle_keep_failed(now(2), error.clone());
            assert!(halts(&mut node).expect("it halts").contains(&error.message));
        }
    }
}

#[tokio::test]
async fn a_record_without_bounds_is_refused_and_the_log_goes_on() {
    let disk = SimDisk::new();
    let mut store = ThreadedStore::start(open_mine(&disk).0).unwrap();
    store.submit(keep(1, add(vec![Bytes::from(vec![0; RECORD_BYTES + 1])])));
    assert!(matches!(next(&mut store).await, Done::KeepFailed { error } if error.message.contains("please report it")));
    store.submit(append(1, &entries(Position::default(), 1, 1, 20, 1)));
    assert_eq!(next(&mut store).await, Done::Stored { up_to: BatchId(1) });
}

#[test]
fn an_outbox_belongs_to_a_folder_and_a_folder_from_a_backup_has_none() {
    // Without its identity a folder with an outbox is no empty one.
    let disk = SimDisk::new();
    let (Opened { mut kept, .. }, _) = open_mine(&disk);
    kept.write(&add(records(1, 1, 20))).unwrap();
    kept.sync().unwrap();
    for name in disk.list().unwrap().iter().filter(|name| *name != OUTBOX_FILE) {
        disk.delete(name).unwrap();
    }
    assert!(matches!(try_open(&disk), Err(OpenError::IdentityLost { file }) if file == OUTBOX_FILE));
    // What is left of a try to make one is begun again.
    disk.create("creating", 0).unwrap();
    disk.sync_dir().unwrap();
    assert!(restored(&disk).kept.is_empty());

    let disk = SimDisk::new();
    let position = Position { index: 101, term: 5, chain: 77 };
    let applied = AppliedRow { position, ..AppliedRow::default() };
    let rows = vec![(Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &applied)))];
    let founding = Founding { applied, rows: RowBatch { rows }, vote: Vote::default() };
    make(&disk, ME, Incarnation(78), StoreOptions::default(), &founding, || Ok::<_, String>(None)).unwrap();
    assert!(!disk.list().unwrap().iter().any(|name| name.starts_with("outbox")));
    assert!(restored(&disk).kept.is_empty());
}
