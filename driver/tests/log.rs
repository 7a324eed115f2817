//! The log, told as stories of crashes.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::logs::{SEGMENT, all, crash, find, new_log, open, stored};
use common::{batch, contents, dice, entries, vote};
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::log::LogError;
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault};
use tertulia_protocol::contract::{Batch, Position};

#[test]
fn what_was_synced_is_there_after_the_power_failed() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 5, 100, 0);
    stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(3, Some(2))), entries: mine.clone() });
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    let log = open(&disk).unwrap();
    assert_eq!((all(&log), log.vote(), log.durable_through()), (mine, vote(3, Some(2)), 5));
}

#[test]
fn a_log_grows_over_many_segments_and_is_read_across_them() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 300, 200, 0);
    for some in mine.chunks(7) {
        stored(&mut log, &batch(some.to_vec()));
    }
    assert!(disk.list().unwrap().len() > 8, "{:?}", disk.list());
    assert_eq!(all(&log), mine);
    assert_eq!(log.read(40, 300, 500).unwrap(), mine[39..42], "cut after the one that reaches the bound");
    assert_eq!(log.read(40, 45, 0).unwrap(), mine[39..40], "at least one");
    assert!(matches!(log.read(301, 301, 1), Err(LogError::NotHere { from: 301, last: 300 })));
    assert_eq!(all(&open(&crash(&disk, CrashOutcome::Torn)).unwrap()), mine);
}

#[test]
fn an_entry_greater_than_a_segment_gets_one_of_its_own() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 3, 3 * SEGMENT as usize, 0);
    stored(&mut log, &batch(mine.clone()));
    assert_eq!(all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap()), mine);
    let (_, mut log) = new_log();
    let huge = entries(Position::default(), 1, 1, 17 << 20, 0);
    assert!(matches!(log.append(&batch(huge)), Err(LogError::TooLong { index: 1, .. })));
}

#[test]
fn an_entry_replaces_all_at_its_index_and_above() {
    let (disk, mut log) = new_log();
    let old = entries(Position::default(), 1, 5, 50, 0);
    stored(&mut log, &batch(old.clone()));
    let new = entries(old[1].position(), 2, 1, 50, 9);
    log.append(&batch(new.clone())).unwrap();
    assert_eq!((log.last(), log.durable_through()), (3, 2));
    log.sync().unwrap();
    let expected = [&old[..2], &new].concat();
    assert_eq!(all(&log), expected);
    assert_eq!(all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap()), expected);
}

#[test]
fn a_batch_that_leaves_a_gap_is_refused_and_nothing_is_written() {
    let (_, mut log) = new_log();
    let mine = entries(Position::default(), 1, 5, 50, 0);
    assert!(matches!(log.append(&batch(mine[1..].to_vec())), Err(LogError::Gap { index: 2, last: 0 })));
    let torn_apart = vec![mine[0].clone(), mine[2].clone()];
    assert!(matches!(log.append(&batch(torn_apart)), Err(LogError::Gap { index: 3, last: 1 })));
    stored(&mut log, &batch(mine.clone()));
    assert_eq!(all(&log), mine);
}

#[test]
fn a_torn_tail_is_cut() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 8, 100, 0);
    stored(&mut log, &batch(mine[..4].to_vec()));
    log.append(&batch(mine[4..].to_vec())).unwrap();
    // The machine dies when entry 6 has reached the disk in part, and all the others whole.
    let disk = crash(&disk, CrashOutcome::Keep);
    let at = find(&disk, "log-00000001", &mine[5].payload);
    assert!(disk.rot("log-00000001", at, 0xFF));
    let mut log = open(&disk).unwrap();
    assert_eq!(all(&log), mine[..5]);
    stored(&mut log, &batch(mine[5..].to_vec()));
    assert_eq!(all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap()), mine);
}

#[test]
fn an_idle_log_gets_one_mark_and_then_rests() {
    let (_, mut log) = new_log();
    assert!(!log.needs_mark(), "opening is a mark");
    log.append(&batch(entries(Position::default(), 1, 1, 10, 0))).unwrap();
    assert!(!log.needs_mark(), "not durable yet: nothing to say");
    log.sync().unwrap();
    assert!(log.needs_mark());
    log.write_mark().unwrap();
    assert!(!log.needs_mark());
}

#[test]
fn stale_bytes_of_an_overwritten_tail_never_come_back() {
    // Records of one size, so that what is written after the cut ends exactly where a stale record begins.
    for damaged in 2..8 {
        let (disk, mut log) = new_log();
        let old = entries(Position::default(), 1, 10, 64, 0);
        stored(&mut log, &batch(old[..2].to_vec()));
        log.append(&batch(old[2..].to_vec())).unwrap();
        let disk = crash(&disk, CrashOutcome::Keep);
        let at = find(&disk, "log-00000001", &old[damaged].payload);
        disk.rot("log-00000001", at, 0x10);
        let mut log = open(&disk).unwrap();
        assert_eq!(all(&log), old[..damaged]);
        let new = entries(old[damaged - 1].position(), 2, 1, 64 - 48, 77);
        stored(&mut log, &batch(new.clone()));
        for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced] {
            let log = open(&crash(&disk, outcome)).unwrap();
            assert_eq!(all(&log), [&old[..damaged], &new].concat());
        }
        for stale in &old[damaged + 1..] {
            assert!(!contents(&disk.thaw(), "log-00000001").windows(64).any(|window| window == stale.payload));
        }
    }
}

#[test]
fn a_segment_whose_making_was_interrupted_is_made_again() {
    let mine = entries(Position::default(), 1, 60, 200, 0);
    for len in [0, 1, 111, 112, SEGMENT / 2, SEGMENT] {
        let (disk, mut log) = new_log();
        stored(&mut log, &batch(mine[..25].to_vec()));
        let disk = crash(&disk, CrashOutcome::LoseUnsynced);
        disk.create("log.new", len).unwrap();
        let mut log = open(&disk).unwrap();
        stored(&mut log, &batch(mine[25..].to_vec()));
        assert_eq!(all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap()), mine);
    }
    // And at each change of its making, whatever the power failure leaves.
    for changes in 0..30 {
        for seed in 0..20 {
            let (disk, mut log) = new_log();
            stored(&mut log, &batch(mine[..25].to_vec()));
            disk.freeze_after(changes);
            let _ = log.append(&batch(mine[25..].to_vec()));
            disk.crash(CrashOutcome::Torn, &mut dice(seed));
            let mut log = open(&disk.thaw()).unwrap();
            let kept = log.last() as usize;
            assert!(kept >= 25 && all(&log) == mine[..kept]);
            stored(&mut log, &batch(mine[kept..].to_vec()));
            assert_eq!(all(&log), mine);
        }
    }
}

#[test]
fn a_vote_survives_the_loss_of_either_slot_or_of_the_log_tail() {
    for (slot, later) in [(0, vote(4, Some(1))), (4096, vote(5, None))] {
        let (disk, mut log) = new_log();
        stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(4, None)), entries: vec![] });
        stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(later), entries: vec![] });
        let disk = crash(&disk, CrashOutcome::LoseUnsynced);
        disk.rot("vote", slot + 9, 2);
        assert_eq!(open(&disk).unwrap().vote(), later);
    }
    // The log loses its last record, the vote's only one there, and no mark tells: the slots do.
    let (disk, mut log) = new_log();
    let end = contents(&disk, "log-00000001").iter().rposition(|byte| *byte != 0).unwrap() as u64;
    stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(9, Some(3))), entries: vec![] });
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    disk.rot("log-00000001", end + 20, 0xFF);
    assert_eq!(open(&disk).unwrap().vote(), vote(9, Some(3)));
}

#[test]
fn after_a_failed_write_the_log_takes_nothing_more() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 2, 20, 0);
    stored(&mut log, &batch(mine[..1].to_vec()));
    log.append(&batch(mine[1..].to_vec())).unwrap();
    disk.set_fault(Some(DiskFault::FailingWrites));
    assert!(matches!(log.sync(), Err(LogError::Io(_))));
    disk.set_fault(None);
    assert!(matches!(log.sync(), Err(LogError::Failed { .. })));
    assert!(matches!(log.append(&batch(vec![])), Err(LogError::Failed { .. })));
    assert!(!log.needs_mark());
}

#[test]
fn a_full_disk_is_met_only_when_a_new_segment_is_due() {
    let (disk, mut log) = new_log();
    disk.set_fault(Some(DiskFault::Full));
    let mine = entries(Position::default(), 1, 200, 100, 0);
    let mut stored_through = 0;
    let error = loop {
        match log.append(&batch(vec![mine[stored_through].clone()])) {
            Ok(()) => stored_through += 1,
            Err(error) => break error,
        }
        log.sync().unwrap();
    };
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(stored_through > 30);
    disk.set_fault(None);
    assert_eq!(all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap()), mine[..stored_through]);
}

#[test]
fn a_tail_that_the_disk_brings_back_after_it_was_cut_is_still_not_taken() {
    // The disk had acknowledged the zeros and lost them. Two records were written over two stale ones, of the same length in all, and the
    // stale one behind them would fit in every way but its sequence number.
    let (disk, mut log) = new_log();
    let old = entries(Position::default(), 1, 4, 64, 0);
    let overwriting = entries(old[1].position(), 2, 1, 64, 50);
    log.append(&batch(old.clone())).unwrap();
    log.append(&batch(overwriting)).unwrap();
    let disk = crash(&disk, CrashOutcome::Keep);
    let before = contents(&disk, "log-00000001");
    disk.rot("log-00000001", find(&disk, "log-00000001", &old[2].payload), 1);
    let mut log = open(&disk).unwrap();
    let new = entries(old[1].position(), 3, 1, 288 - 48 - 64 - 80, 77);
    stored(&mut log, &batch(new.clone()));
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    let written = contents(&disk, "log-00000001");
    let end = written.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert_eq!(before[end..end + 8], (96u64 | 2 << 32).to_le_bytes(), "a stale record begins right here");
    disk.open("log-00000001").unwrap().write_at(end as u64, &before[end..]).unwrap();
    assert_eq!(all(&open(&disk).unwrap()), [&old[..2], &new].concat());
}

#[test]
fn a_power_failure_while_a_log_is_opened_after_a_crash_is_never_taken_for_rot() {
    for seed in 0..200 {
        let mut draw = dice(seed);
        let (disk, mut log) = new_log();
        let mine = entries(Position::default(), 1, 4, 600, 0);
        log.append(&batch(mine.clone())).unwrap();
        let disk = crash(&disk, CrashOutcome::Keep);
        disk.freeze_after(seed % 8);
        let relied_upon = open(&disk).map_or(0, |log| log.last() as usize);
        disk.crash(CrashOutcome::Torn, &mut draw);
        let found = all(&open(&disk.thaw()).unwrap());
        assert!(found.len() >= relied_upon && found == mine[..found.len()], "{} of {relied_upon}", found.len());
    }
}
