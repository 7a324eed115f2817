//! A folder that is made from a backup: a node starts from it as from any other, and a crash while it is made leaves it whole or not begun.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::{dice, entries, vote};
use tertulia_driver::disk::Disk;
use tertulia_driver::rows::RowsOptions;
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_driver::store::{FolderIdentity, MakeError, OpenError, Opened, StoreOptions, make, open};
use tertulia_protocol::contract::*;
use tertulia_protocol::ids::{Boot, ClusterId, Incarnation, NodeId};
use tertulia_protocol::replica::Founding;
use tertulia_protocol::wire::{Kind, seal};

type RowsOf = Vec<(Bytes, Bytes)>;

const IDENTITY: FolderIdentity = FolderIdentity { cluster: ClusterId(11), node: NodeId(3) };
const PLACE: Position = Position { index: 101, term: 5, chain: 77 };
const FOLDER: Incarnation = Incarnation(78);

fn options() -> StoreOptions {
    let rows = RowsOptions { durable_batches: 1, durable_bytes: 1 << 20, cache_bytes: 1 << 20 };
    StoreOptions { segment_bytes: 4096, rows }
}

fn parts() -> Vec<RowsOf> {
    let row = |key: u8, nth: u8| (Bytes::from(vec![key, nth]), Bytes::from(vec![nth; 200]));
    vec![vec![(Bytes::from_static(&[1]), Bytes::from_static(b"old members")), row(2, 1)], (0..20).map(|n| row(0x90, n)).collect()]
}

fn founding() -> Founding {
    let applied = AppliedRow { position: PLACE, ..AppliedRow::default() };
    let rows = vec![
        (Bytes::from_static(&[1]), Some(Bytes::from_static(b"one member"))),
        (Bytes::from_static(&[2, 1]), None),
        (Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &applied))),
    ];
    Founding { applied, rows: RowBatch { rows }, vote: vote(5, Some(3)) }
}

fn make_of(disk: &SimDisk, parts: Vec<Result<RowsOf, String>>) -> Result<(), MakeError<String>> {
    let mut parts = parts.into_iter();
    make(disk, IDENTITY, FOLDER, options(), &founding(), || parts.next().transpose())
}

fn made(disk: &SimDisk) -> Result<(), MakeError<String>> {
    make_of(disk, parts().into_iter().map(Ok).collect())
}

fn opened(disk: &SimDisk) -> (Opened<SimDisk>, Restored) {
    open(disk.clone(), IDENTITY, Boot(1), || Incarnation(1), options()).unwrap_or_else(|error| panic!("{error}"))
}

/// That the folder holds what it was made of, and goes on from there.
fn is_whole(disk: &SimDisk) {
    let (Opened { mut log, rows, .. }, restored) = opened(disk);
    assert_eq!((restored.applied, restored.start, restored.log.len(), restored.damage), (PLACE, PLACE, 0, Damage::default()));
    assert_eq!((restored.vote, restored.incarnation), (vote(5, Some(3)), FOLDER));
    let hot: Vec<&[u8]> = restored.rows.iter().map(|(key, _)| &key[..]).collect();
    assert_eq!(hot, [APPLIED_KEY, &[1]]);
    assert_eq!(restored.rows[1].1, Bytes::from_static(b"one member"));
    let all = Query::Range { from: Bytes::from_static(&[COLD]), to: Bytes::from_static(&[0xff]), limit: 100, backwards: false };
    assert_eq!(rows.load(&all).unwrap(), Loaded::Rows(parts()[1].clone()));
    let more = entries(PLACE, 6, 3, 100, 1);
    log.append(&Batch { vote: Some(vote(6, Some(3))), entries: more.clone(), ..Batch::default() }).unwrap();
    log.sync().unwrap();
    drop((log, rows));
    let (_, restored) = opened(disk);
    assert_eq!((restored.vote, restored.start, restored.log), (vote(6, Some(3)), PLACE, more));
}

#[test]
fn a_node_starts_from_it_behind_the_place_of_its_rows() {
    let disk = SimDisk::new();
    made(&disk).unwrap();
    is_whole(&disk);
    assert!(matches!(made(&disk), Err(MakeError::Taken)), "it is a node's now");
}

#[test]
fn a_folder_with_anything_else_in_it_is_left_as_it_is() {
    let disk = SimDisk::new();
    disk.create("letters", 10).unwrap();
    assert!(matches!(made(&disk), Err(MakeError::Folder(OpenError::NotAFolder { .. }))));
    assert_eq!(disk.list().unwrap(), ["letters"]);
    let disk = SimDisk::new();
    drop(opened(&disk));
    assert!(matches!(made(&disk), Err(MakeError::Taken)));
}

#[test]
fn rows_that_break_off_make_no_folder_and_the_next_try_begins_again() {
    let disk = SimDisk::new();
    let broken = vec![Ok(parts()[0].clone()), Err("the file ends".to_string())];
    assert!(matches!(make_of(&disk, broken), Err(MakeError::Rows(why)) if why == "the file ends"));
    assert!(!disk.list().unwrap().iter().any(|name| name == "identity" || name == "rows.redb"));
    made(&disk).unwrap();
    is_whole(&disk);
}

#[test]
fn a_crash_at_any_moment_leaves_a_whole_folder_or_one_that_is_begun_again() {
    let (mut begun, mut whole) = (0, 0);
    for changes in (0..).step_by(3) {
        let disk = SimDisk::new();
        disk.freeze_after(changes);
        let through = made(&disk).is_ok();
        let mut draws = dice(changes);
        disk.crash([CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn][changes as usize % 9 / 3], &mut draws);
        let disk = disk.thaw();
        match made(&disk) {
            Ok(()) => begun += 1,
            Err(MakeError::Taken) => whole += 1,
            Err(error) => panic!("after {changes} changes: {error:?}"),
        }
        is_whole(&disk);
        if through {
            break;
        }
    }
    assert!(begun > 5 && whole > 0, "{begun} {whole}");
}
