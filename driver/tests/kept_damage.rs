//! The outbox lane and damage: what was durable and is lost is said until the next clearing, the rest is kept, and no record comes back changed.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::kept::{OUTCOMES, add, anew, crash, found, is_within, kept, open, records};
use common::logs::{copy, find};
use common::{contents, dice, len};
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::kept::{Found, OUTBOX_FILE, OutboxFile};
use tertulia_driver::sim_disk::{CrashOutcome, SECTOR, SimDisk};

/// Eight records in groups of two, the first group of them by a clearing. All are marked but the last group, which is if it is asked for.
fn filled(marked: bool, size: usize) -> (SimDisk, Vec<Bytes>) {
    let disk = SimDisk::new();
    let (mut lane, _) = open(&disk).unwrap();
    kept(&mut lane, &add(records(100, 3, size)));
    let mine = records(1, 8, size);
    kept(&mut lane, &anew(mine[..2].to_vec()));
    for some in mine[2..].chunks(2) {
        kept(&mut lane, &add(some.to_vec()));
    }
    if marked {
        lane.write_mark().unwrap();
    }
    (crash(&disk, CrashOutcome::LoseUnsynced), mine)
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    for (marked, size) in [(true, 13), (false, 13), (false, 60)] {
        let (whole, mine) = filled(marked, size);
        let durable = if marked { 8 } else { 6 };
        let (mut damaged, mut torn, mut harmless) = (0, 0, 0);
        for offset in 0..len(&whole, OUTBOX_FILE) {
            for bit in 0..8 {
                let disk = copy(&whole);
                assert!(disk.rot(OUTBOX_FILE, offset, 1 << bit));
                let found = found(&disk);
                assert!(is_within(&found.records, &mine), "byte {offset}: a record was changed");
                if found.damaged {
                    assert!(found.records.len() >= 7 || offset < 48, "byte {offset}: one flip takes one record at most");
                    damaged += 1;
                } else {
                    assert!(found.records.len() >= durable && found.records == mine[..found.records.len()], "byte {offset}");
                    if found.records.len() < 8 { torn += 1 } else { harmless += 1 }
                }
            }
        }
        assert!(damaged > 1_500 && harmless > 100, "{damaged} damaged, {torn} torn, {harmless} harmless");
        assert_eq!(torn > 0, !marked, "only rot in an unmarked group passes for a torn tail");
    }
}

#[test]
fn a_sector_of_zeros_is_found_wherever_it_is() {
    let (whole, mine) = filled(true, 900);
    let end = len(&whole, OUTBOX_FILE);
    let mark = end - 40;
    for from in (0..end).step_by(SECTOR) {
        let disk = copy(&whole);
        let zeros = vec![0; (end - from).min(SECTOR as u64) as usize];
        disk.open(OUTBOX_FILE).unwrap().write_at(from, &zeros).unwrap();
        let found = found(&disk);
        assert!(is_within(&found.records, &mine) && found.records.len() >= 6);
        // The mark and what it vouched for, lost together, pass for a torn tail.
        let with_mark = from + SECTOR as u64 > mark && found.records == mine[..found.records.len()];
        assert!(found.damaged || with_mark, "byte {from}: {} records", found.records.len());
    }
}

#[test]
fn damage_is_said_at_every_start_until_the_next_clearing_and_what_is_kept_meanwhile_is_kept() {
    let (disk, mine) = filled(true, 50);
    assert!(disk.rot(OUTBOX_FILE, find(&disk, OUTBOX_FILE, &mine[3]), 1));
    let mut expected = [&mine[..3], &mine[4..]].concat();
    for nth in 0..4 {
        let (mut lane, found) = open(&disk.thaw()).unwrap();
        assert_eq!(found, Found { records: expected.clone(), damaged: true });
        let more = records(20 + nth, 1, 50);
        kept(&mut lane, &add(more.clone()));
        expected.extend(more);
        disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    }
    let (mut lane, _) = open(&disk.thaw()).unwrap();
    kept(&mut lane, &anew(expected[2..5].to_vec()));
    assert_eq!(found(&crash(&disk, CrashOutcome::LoseUnsynced)), Found { records: expected[2..5].to_vec(), damaged: false });
}

#[test]
fn a_crash_at_any_change_of_opening_a_damaged_file_hides_nothing() {
    for outcome in OUTCOMES {
        for salt in 0..8 {
            let (mut finished, mut changes) = (false, 0);
            while !finished {
                let (disk, mine) = filled(true, 300);
                assert!(disk.rot(OUTBOX_FILE, find(&disk, OUTBOX_FILE, &mine[6]), 4));
                let expected = Found { records: [&mine[..6], &mine[7..]].concat(), damaged: true };
                disk.freeze_after(changes);
                finished = open(&disk).is_ok_and(|(_, found)| found == expected);
                assert_eq!(
                    found(&crash_with(&disk, outcome, changes * 9 + salt)),
                    expected,
                    "{outcome:?} after {changes} changes"
                );
                changes += 1;
            }
            assert!(changes > 4, "{changes}");
        }
    }
}

fn crash_with(disk: &SimDisk, outcome: CrashOutcome, seed: u64) -> SimDisk {
    disk.crash(outcome, &mut dice(seed));
    disk.thaw()
}

#[test]
fn whole_records_behind_a_torn_one_are_cut_with_it_and_never_come_back() {
    // Three records of one unsynced write, of which the sectors of the first did not reach the disk and those of the others did.
    let disk = SimDisk::new();
    let (mut lane, _) = open(&disk).unwrap();
    let (old, torn) = (records(1, 2, 50), records(3, 3, 2_000));
    kept(&mut lane, &add(old.clone()));
    lane.write(&add(torn.clone())).unwrap();
    let disk = crash(&disk, CrashOutcome::Keep);
    let at = find(&disk, OUTBOX_FILE, &torn[0]);
    let bytes = contents(&disk, OUTBOX_FILE);
    disk.open(OUTBOX_FILE).unwrap().write_at(at, &[0; 1_024]).unwrap();
    assert_eq!(found(&disk), Found { records: old.clone(), damaged: false });
    // The lost sectors are as they were written again: the two behind them are gone for good.
    disk.open(OUTBOX_FILE).unwrap().write_at(at, &bytes[at as usize..at as usize + 1_024]).unwrap();
    let (mut lane, again) = open(&disk).unwrap();
    assert!(!again.damaged && again.records.len() <= 3 && is_within(&again.records, &[&old[..], &torn[..1]].concat()));
    let other = records(9, 1, 100);
    kept(&mut lane, &add(other.clone()));
    assert_eq!(found(&crash(&disk, CrashOutcome::LoseUnsynced)).records, [again.records, other].concat());
}

#[test]
fn a_file_that_is_empty_or_of_another_folder_is_damaged_and_is_used_again() {
    for strange in [Vec::new(), vec![0; 500], vec![7; 500], {
        let other = SimDisk::new();
        let (mut lane, _) = OutboxFile::open(other.clone(), 43).unwrap();
        kept(&mut lane, &add(records(1, 3, 50)));
        contents(&other, OUTBOX_FILE)
    }] {
        let disk = SimDisk::new();
        let file = disk.create(OUTBOX_FILE, 0).unwrap();
        file.write_at(0, &strange).unwrap();
        let (mut lane, nothing) = open(&disk).unwrap();
        assert_eq!(nothing, Found { records: vec![], damaged: true });
        kept(&mut lane, &add(records(1, 2, 50)));
        assert_eq!(found(&crash(&disk, CrashOutcome::LoseUnsynced)), Found { records: records(1, 2, 50), damaged: true });
    }
}
