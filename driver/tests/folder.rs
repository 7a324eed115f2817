//! A folder with damage: rows and log are put together again as far as they go, and what is lost is said.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::logs::{assert_chain, copy, segments};
use common::{contents, dice, entries, vote};
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::log::LogError;
use tertulia_driver::rows::RowsOptions;
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_driver::store::{FolderIdentity, OpenError, Opened, StoreOptions, open};
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow, Batch, Damage, Keep, Position, Restored, RowBatch};
use tertulia_protocol::ids::{Boot, ClusterId, Incarnation, NodeId};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::wire::{Kind, seal};

const WHOLE: Damage = Damage { log: false, rows: false, kept: false };
const LOG: Damage = Damage { log: true, rows: false, kept: false };
const ROWS: Damage = Damage { log: false, rows: true, kept: false };
const APPLIED: usize = 40;

fn try_open(disk: &SimDisk) -> Result<(Opened<SimDisk>, Restored), OpenError> {
    let identity = FolderIdentity { cluster: ClusterId(11), node: NodeId(3) };
    let rows = RowsOptions { durable_batches: 1, durable_bytes: 1 << 20, cache_bytes: 1 << 20 };
    open(disk.clone(), identity, Boot(1), || Incarnation(77), StoreOptions { segment_bytes: 4096, rows })
}

fn opened(disk: &SimDisk) -> Restored {
    let (Opened { log, rows, .. }, restored) = try_open(disk).unwrap_or_else(|error| panic!("{error}"));
    drop((log, rows));
    assert_eq!((&restored.kept, restored.damage.kept), (&common::kept::records(1, 3, 40), false), "the outbox stands by itself");
    assert_chain(restored.log.first().map_or(Position::default(), |_| above(&restored)), &restored.log);
    restored
}

/// What the restored log stands on.
fn above(restored: &Restored) -> Position {
    if restored.start.index > restored.applied.index { restored.start } else { restored.applied }
}

/// A folder with 60 entries over several segments, of which the rows contain 40; the log is trimmed through `trimmed` at most.
fn folder(trimmed: u64) -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::new();
    let (Opened { mut log, mut rows, mut kept }, _) = try_open(&disk).unwrap();
    for record in common::kept::records(1, 3, 40) {
        kept.write(&Keep { clear: false, records: vec![record] }).unwrap();
        kept.sync().unwrap();
    }
    kept.write_mark().unwrap();
    let mine = entries(Position::default(), 1, 60, 300, 1);
    for some in mine.chunks(4) {
        log.append(&Batch { reset: None, repaired: false, vote: Some(vote(some[0].index, Some(1))), entries: some.to_vec() })
            .unwrap();
        log.sync().unwrap();
    }
    let row = AppliedRow { position: mine[APPLIED - 1].position(), ..AppliedRow::default() };
    let written = vec![
        (Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &row))),
        (Bytes::from_static(b"hot"), Some(Bytes::from_static(b"some value that is nowhere else"))),
    ];
    rows.apply(APPLIED as u64, &RowBatch { rows: written }, 60).unwrap();
    log.trim(trimmed).unwrap();
    log.write_mark().unwrap();
    drop((log, rows));
    // What was trimmed is gone for good.
    disk.sync_dir().unwrap();
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    (disk.thaw(), mine)
}

#[test]
fn a_trimmed_folder_says_where_its_log_begins_and_what_it_holds_below_the_rows() {
    let (disk, mine) = folder(30);
    let restored = opened(&disk);
    let start = restored.start;
    assert!(start.index > 10 && start.index <= 30 && start == mine[start.index as usize - 1].position());
    assert_eq!(restored.bytes, (40 - start.index) * 300);
    assert_eq!((restored.applied, restored.log, restored.damage), (mine[39].position(), mine[40..].to_vec(), WHOLE));
    assert_eq!(restored.rows.len(), 2);
}

/// Flips a bit in the second entry of the oldest segment.
fn rot_first(disk: &SimDisk) {
    let name = &segments(disk)[0];
    let starts: Vec<usize> = contents(disk, name)
        .windows(300)
        .enumerate()
        .filter(|(_, some)| some.iter().all(|byte| *byte == some[0] && *byte != 0))
        .map(|(at, _)| at)
        .collect();
    assert!(disk.rot(name, starts[1] as u64, 1));
}

#[test]
fn damage_below_the_rows_loses_nothing_that_counts() {
    for trimmed in [0, 30] {
        let (disk, mine) = folder(trimmed);
        rot_first(&disk);
        for _ in 0..2 {
            let restored = opened(&disk);
            assert_eq!((restored.applied, restored.start), (mine[39].position(), mine[39].position()));
            assert_eq!((restored.bytes, restored.damage, restored.vote), (0, WHOLE, vote(57, Some(1))));
            assert_eq!(restored.log, mine[40..]);
        }
    }
}

#[test]
fn damage_above_the_rows_leaves_what_is_before_it() {
    let (disk, mine) = folder(0);
    let (name, at) = segments(&disk)
        .into_iter()
        .find_map(|name| Some((name.clone(), contents(&disk, &name).windows(300).position(|some| some == mine[49].payload)?)))
        .unwrap();
    disk.rot(&name, at as u64, 1);
    for _ in 0..2 {
        let restored = opened(&disk);
        assert_eq!((restored.applied, restored.start, restored.damage), (mine[39].position(), Position::default(), LOG));
        assert_eq!((restored.log, restored.vote), (mine[40..49].to_vec(), vote(57, Some(1))));
    }
    let (Opened { mut log, rows, .. }, _) = try_open(&disk).unwrap();
    log.append(&Batch { entries: mine[49..].to_vec(), ..Batch::default() }).unwrap();
    log.repaired().unwrap();
    drop((log, rows));
    let restored = opened(&disk);
    assert_eq!((restored.damage, restored.log), (WHOLE, mine[40..].to_vec()));
}

#[test]
fn a_log_that_ends_below_the_rows_begins_again_after_them_damaged() {
    let (disk, mine) = folder(0);
    let names = segments(&disk);
    let middle = copy(&disk);
    for name in &names[1..] {
        middle.delete(name).unwrap();
    }
    let all_of_it = copy(&disk);
    for name in &names {
        all_of_it.delete(name).unwrap();
    }
    for disk in [middle, all_of_it] {
        for _ in 0..2 {
            let restored = opened(&disk);
            assert_eq!((restored.applied, restored.start, restored.bytes), (mine[39].position(), mine[39].position(), 0));
            assert_eq!((restored.log.len(), restored.damage, restored.vote), (0, LOG, vote(57, Some(1))));
            assert_eq!(restored.rows.len(), 2);
        }
    }
}

#[test]
fn rows_that_cannot_be_used_are_put_aside_and_built_again_or_asked_of_a_peer() {
    for trimmed in [0, 30] {
        let (disk, mine) = folder(trimmed);
        let value = contents(&disk, "rows.redb").windows(9).position(|some| some == b"some valu").unwrap() as u64;
        let spoil: [&dyn Fn(&SimDisk); 5] = [
            &|disk| assert!(disk.rot("rows.redb", value, 1)),
            &|disk| (0..4096).for_each(|at| assert!(disk.rot("rows.redb", at, 0x5A))),
            &|disk| disk.open("rows.redb").unwrap().set_len(0).unwrap(),
            &|disk| disk.open("rows.redb").unwrap().set_len(5000).unwrap(),
            &|disk| disk.delete("rows.redb").unwrap(),
        ];
        for (nth, spoil) in spoil.iter().enumerate() {
            let disk = copy(&disk);
            spoil(&disk);
            for again in 0..2 {
                let restored = opened(&disk);
                assert_eq!((restored.applied, restored.bytes, restored.rows.len()), (Position::default(), 0, 0), "{nth}");
                assert_eq!(restored.damage, if trimmed == 0 { WHOLE } else { ROWS });
                assert_eq!(restored.log, mine[restored.start.index as usize..], "{nth}, {again}");
                assert_eq!(disk.list().unwrap().contains(&"rows.damaged".to_owned()), nth != 4, "{nth}");
            }
        }
    }
}

#[test]
fn a_disk_that_fails_is_no_reason_to_give_up_rows() {
    use tertulia_driver::sim_disk::DiskFault;
    let (disk, mine) = folder(30);
    disk.set_fault(Some(DiskFault::FailingWrites));
    assert!(try_open(&disk).is_err());
    disk.set_fault(None);
    assert!(!disk.list().unwrap().contains(&"rows.damaged".to_owned()));
    assert_eq!(opened(&disk).applied, mine[39].position());
}

#[test]
fn a_lost_vote_refuses_a_folder_before_anything_is_changed() {
    let (disk, _) = folder(30);
    disk.rot("vote", 0, 1);
    disk.rot("vote", 4096, 1);
    disk.rot("rows.redb", 0, 1);
    let before: Vec<_> = disk.list().unwrap().iter().map(|name| contents(&disk, name)).collect();
    let error = try_open(&disk).map(|_| ()).unwrap_err();
    assert!(matches!(&error, OpenError::Log(LogError::Votes { .. })) && error.to_string().contains("--replace"), "{error}");
    let after: Vec<_> = disk.list().unwrap().iter().map(|name| contents(&disk, name)).collect();
    assert!(before == after);
}

#[test]
fn a_crash_at_any_change_of_opening_a_damaged_folder_forgets_no_damage_and_no_vote() {
    // In the order of the flags: the log above the rows, the log below them, the rows.
    for case in 1..8 {
        for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn] {
            let (base, mine) = folder(if case & 4 > 0 { 30 } else { 0 });
            let names = segments(&base);
            if case & 1 > 0 {
                base.delete(&names[names.len() - 1]).unwrap();
            }
            if case & 2 > 0 {
                rot_first(&base);
            }
            if case & 4 > 0 {
                (0..4096).for_each(|at| assert!(base.rot("rows.redb", at, 0x5A)));
            }
            let expected = opened(&copy(&base));
            assert_eq!(expected.damage.log, case & 1 > 0 || case & 6 == 6, "{case}");
            // The last segment knew where the log begins: without it, and without rows, nothing of it can be used.
            let begins_anew = case & 5 == 5;
            assert_eq!(expected.damage.rows, case & 4 > 0 && !begins_anew, "{case}");
            assert!(!begins_anew || expected.start.index == 0 && expected.log.is_empty());
            let (mut finished, mut changes) = (false, 0);
            while !finished {
                let disk = copy(&base);
                disk.freeze_after(changes);
                finished = try_open(&disk).is_ok();
                disk.crash(outcome, &mut dice(changes));
                let restored = opened(&disk.thaw());
                let what = format!("case {case}, {outcome:?} after {changes} changes");
                assert_eq!((restored.damage, restored.vote), (expected.damage, expected.vote), "{what}");
                assert_eq!((restored.applied, restored.start), (expected.applied, expected.start), "{what}");
                assert_eq!(restored.log, expected.log, "{what}");
                assert!(restored.log.iter().all(|entry| mine.contains(entry)));
                changes += 1;
            }
            assert!(changes > 5, "case {case}, {outcome:?}: {changes}");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_folder_is_made_good_said_or_refused() {
    let (disk, mine) = folder(30);
    let mut verdicts = [0; 4];
    let mut in_outbox = 0;
    for name in disk.list().unwrap() {
        let bytes = contents(&disk, &name);
        let step = match name.as_str() {
            "rows.redb" => 997,
            "outbox" => 5,
            _ => 23,
        };
        for offset in (0..bytes.len() as u64).step_by(step) {
            let disk = copy(&disk);
            disk.rot(&name, offset, 0x10);
            match try_open(&disk) {
                Err(error) => {
                    assert!(
                        name == "identity" && matches!(error, OpenError::IdentityDamaged | OpenError::OtherFormat { .. }),
                        "{name}: {error}"
                    );
                    verdicts[3] += 1;
                }
                Ok((opened, restored)) => {
                    assert_eq!(restored.vote, vote(57, Some(1)));
                    assert_eq!(
                        (&restored.log[..], restored.log.len()),
                        (&mine[above(&restored).index as usize..][..restored.log.len()], restored.log.len())
                    );
                    assert!(restored.damage.log || opened.log.last() == 60, "{name}, byte {offset}");
                    assert!(restored.damage.rows || restored.applied == mine[39].position(), "{name}, byte {offset}");
                    assert!(restored.damage.kept || restored.kept == common::kept::records(1, 3, 40), "{name}, byte {offset}");
                    in_outbox += u32::from(restored.damage.kept);
                    verdicts[usize::from(restored.damage.log) + 2 * usize::from(restored.damage.rows)] += 1;
                }
            }
        }
    }
    assert!(verdicts.iter().all(|count| *count > 0) && in_outbox > 20, "{verdicts:?}, {in_outbox} in the outbox");
}
