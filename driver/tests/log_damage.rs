//! The log and damage: what was durable and is lost is said, for as long as it is not repaired; what is handed back is whole.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::logs::{SALT, SEGMENT, all, assert_chain, copy, crash, find, new_log, open, segments, stored};
use common::{batch, contents, dice, entries, vote};
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::log::{Log, LogError};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::{Batch, Position};
use tertulia_protocol::raft::Entry;

/// A log of four entries, all marked, of which the nth (from 0) rots.
fn rotten(nth: usize) -> (SimDisk, Vec<Entry>) {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 4, 100, 0);
    stored(&mut log, &batch(mine.clone()));
    log.write_mark().unwrap();
    let disk = crash(&disk, CrashOutcome::Keep);
    let at = find(&disk, "log-00000001", &mine[nth].payload);
    assert!(disk.rot("log-00000001", at, 1));
    (disk, mine)
}

#[test]
fn rot_below_the_mark_is_cut_with_all_behind_it_and_is_not_forgotten_before_it_is_repaired() {
    for nth in 0..4 {
        let (disk, mine) = rotten(nth);
        let mut log = open(&disk).unwrap();
        assert!(log.damaged());
        assert_eq!(all(&log), mine[..nth]);
        // In repair mode the log is written to as ever.
        stored(&mut log, &batch(mine[nth..].to_vec()));
        for _ in 0..3 {
            log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
            assert!(log.damaged());
            assert_eq!(all(&log), mine);
        }
        log.repaired().unwrap();
        assert!(!log.damaged());
        log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
        assert!(!log.damaged());
        assert_eq!(all(&log), mine);
    }
}

#[test]
fn what_stands_behind_the_damage_never_comes_back() {
    for count in 0..3 {
        let (disk, mine) = rotten(1);
        let mut log = open(&disk).unwrap();
        let other = entries(mine[0].position(), 2, count, 100, 50);
        stored(&mut log, &batch(other.clone()));
        // The damaged byte is as it was again, and all behind it could be read.
        let at = find(&disk.thaw(), "log-00000001", &mine[1].payload[1..]) - 1;
        assert!(disk.rot("log-00000001", at, 1));
        for _ in 0..2 {
            let found = all(&open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap());
            assert_eq!(found, [&mine[..1], &other].concat());
        }
    }
}

#[test]
fn a_crash_at_any_change_of_opening_and_repairing_a_damaged_log_leaves_it_damaged_until_it_is_repaired() {
    for outcome in [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn] {
        let (mut finished, mut changes) = (false, 0);
        while !finished {
            let (disk, mine) = rotten(2);
            disk.freeze_after(changes);
            // Through when it is surely damaged: repairing begins with the last of these calls.
            let mut repairing = false;
            let mut work = || -> Result<(), LogError> {
                let mut log = open(&disk)?;
                assert!(log.damaged());
                log.append(&batch(mine[2..].to_vec()))?;
                log.sync()?;
                repairing = true;
                log.repaired()
            };
            finished = work().is_ok();
            disk.crash(outcome, &mut dice(changes));
            let log = open(&disk.thaw()).unwrap();
            assert!(log.damaged() || repairing, "{outcome:?} after {changes} changes");
            assert!(!log.damaged() || !finished);
            let found = all(&log);
            assert!(found.len() >= 2 && found == mine[..found.len()]);
            assert!(found.len() == 4 || !repairing);
            changes += 1;
        }
        assert!(changes > 10, "{changes}");
    }
}

#[test]
fn a_mark_behind_the_damage_is_found_even_if_the_damaged_head_says_nothing() {
    let (disk, mine) = rotten(2);
    let at = find(&disk, "log-00000001", &mine[2].payload[1..]);
    for byte in at - 80..at + 100 {
        disk.rot("log-00000001", byte, 0xA5);
    }
    let log = open(&disk).unwrap();
    assert!(log.damaged());
    assert_eq!(all(&log), mine[..2]);
}

#[test]
fn rot_that_is_met_by_a_read_says_what_to_do() {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 4, 100, 0);
    stored(&mut log, &batch(mine.clone()));
    disk.rot("log-00000001", find(&disk, "log-00000001", &mine[2].payload), 1);
    let error = log.read(1, 4, u64::MAX).unwrap_err().to_string();
    for part in ["log-00000001", "at byte ", "a start judges the damage", "repairs itself from the others"] {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
}

/// A log over many segments, all of it marked.
fn long() -> (SimDisk, Vec<Entry>) {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 100, 200, 0);
    for some in mine.chunks(5) {
        stored(&mut log, &batch(some.to_vec()));
    }
    log.write_mark().unwrap();
    (crash(&disk, CrashOutcome::LoseUnsynced), mine)
}

#[test]
fn a_missing_segment_is_damage_whichever_it_is() {
    let (disk, mine) = long();
    let names = segments(&disk);
    assert!(names.len() > 3);
    for name in &names {
        let (disk, _) = long();
        disk.delete(name).unwrap();
        let log = open(&disk).unwrap();
        let found = all(&log);
        assert!(log.damaged(), "{name}");
        assert!(found.len() < 100 && found == mine[..found.len()], "{name}: {} entries", found.len());
        assert!(found.is_empty() == (*name == names[0]));
    }
    for name in &names {
        disk.delete(name).unwrap();
    }
    let log = open(&disk).unwrap();
    assert!(log.damaged() && log.last() == 0);
}

#[test]
fn a_segment_that_was_cut_is_damage_wherever_it_was_cut() {
    let (disk, mine) = long();
    let names = segments(&disk);
    for name in [&names[0], &names[1], &names[names.len() - 1]] {
        let whole = contents(&disk, name);
        let end = whole.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
        // Within a record, between two, behind the last one, within the first one, and to nothing.
        for len in [SEGMENT / 2, 4088, SEGMENT - 1, (end + SEGMENT) / 2, end, 112, 111, 48, 47, 8, 1, 0] {
            let disk = copy(&disk);
            disk.open(name).unwrap().set_len(len).unwrap();
            let log = open(&disk).unwrap();
            let found = all(&log);
            assert_eq!(found, mine[..found.len()]);
            // Where the records of the next segment go on without a gap, nothing was cut off but zeros.
            let nothing_lost = name != names.last().unwrap() && len >= end;
            assert_eq!(
                (log.damaged(), found.len() == 100 && !log.damaged()),
                (!nothing_lost, nothing_lost),
                "{name} cut to {len}"
            );
        }
    }
}

#[test]
fn a_segment_greater_than_the_others_is_damaged_too_when_it_was_cut() {
    let (disk, mut log) = new_log();
    stored(&mut log, &batch(entries(Position::default(), 1, 1, 3 * SEGMENT as usize, 0)));
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    disk.open("log-00000002").unwrap().set_len(SEGMENT).unwrap();
    let log = open(&disk).unwrap();
    assert!(log.damaged() && log.last() == 0);
}

#[test]
fn a_segment_of_another_folder_is_not_taken_for_ones_own() {
    let (disk, mut log) = new_log();
    stored(&mut log, &batch(entries(Position::default(), 1, 3, 20, 0)));
    let bytes = contents(&disk, "log-00000001");
    let stranger = SimDisk::new();
    Log::create(&stranger, SALT + 1, SEGMENT).unwrap();
    stranger.open("log-00000001").unwrap().write_at(0, &bytes).unwrap();
    let log = Log::open(stranger, SALT + 1, SEGMENT).unwrap();
    assert!(log.damaged() && log.last() == 0);
}

#[test]
fn a_folder_whose_vote_slots_are_both_lost_counts_as_lost_and_is_left_as_it_was() {
    let (disk, mut log) = new_log();
    stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(4, Some(1))), entries: vec![] });
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    disk.rot("vote", 1, 2);
    disk.rot("vote", 4096 + 40, 2);
    let before = contents(&disk, "log-00000001");
    let error = open(&disk).unwrap_err().to_string();
    for part in ["could vote twice", "counts as lost", "older copy", "node serve --join http://ANOTHER-NODE --replace"] {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    assert_eq!(contents(&disk, "log-00000001"), before);
    disk.delete("vote").unwrap();
    assert!(matches!(open(&disk), Err(LogError::Votes { .. })));
}

#[test]
fn a_vote_that_only_the_lost_slot_and_the_lost_record_knew_is_not_asked_for_twice() {
    for (slot, forgotten) in [(0, vote(5, Some(2))), (4096, vote(5, Some(2)))] {
        let build = || {
            let (disk, mut log) = new_log();
            stored(&mut log, &batch(entries(Position::default(), 1, 2, 50, 0)));
            if slot == 0 {
                stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(4, None)), entries: vec![] });
            }
            stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(forgotten), entries: vec![] });
            log.write_mark().unwrap();
            crash(&disk, CrashOutcome::LoseUnsynced)
        };
        let payload = entries(Position::default(), 1, 1, 50, 0)[0].payload.clone();
        for slot in [slot, 4096 - slot] {
            // One slot alone: the log knows the vote, and the slot is written again.
            let disk = build();
            disk.rot("vote", slot + 9, 1);
            assert_eq!(open(&disk).unwrap().vote(), forgotten);
            disk.rot("vote", 4096 - slot + 9, 1);
            assert_eq!(open(&disk).unwrap().vote(), forgotten, "it was written again");
            // The log alone: the slots know it.
            let disk = build();
            disk.rot("log-00000001", find(&disk, "log-00000001", &payload), 1);
            let log = open(&disk).unwrap();
            assert!(log.damaged() && log.vote() == forgotten);
            // Both.
            let disk = build();
            disk.rot("log-00000001", find(&disk, "log-00000001", &payload), 1);
            disk.rot("vote", slot + 9, 1);
            let error = open(&disk).unwrap_err();
            assert!(matches!(error, LogError::Votes { .. }), "{error}");
        }
    }
}

/// Flips bits in every byte of a small log whose entries but the last two are marked, and whose vote is.
fn flip_everywhere(build: impl Fn() -> (SimDisk, Vec<Entry>)) {
    let (disk, mine) = build();
    let end = contents(&disk, "log-00000001").iter().rposition(|byte| *byte != 0).unwrap() as u64 + 100;
    let marked = mine.len() - 2;
    let (mut damaged, mut torn, mut harmless) = (0, 0, 0);
    for offset in 0..end {
        for bit in [0, 3, 7] {
            let (disk, _) = build();
            assert!(disk.rot("log-00000001", offset, 1 << bit));
            let log = open(&disk).unwrap();
            let found = all(&log);
            assert_chain(log.start(), &found);
            assert_eq!(log.vote(), vote(1, Some(1)), "byte {offset}");
            if log.damaged() {
                damaged += 1;
            } else {
                assert!(found.len() >= marked && found == mine[..found.len()], "byte {offset}: {} entries", found.len());
                if found.len() < mine.len() { torn += 1 } else { harmless += 1 }
            }
        }
    }
    assert!(damaged > 500 && torn > 300 && harmless > 500, "{damaged} damaged, {torn} torn, {harmless} harmless");
}

#[test]
fn a_flipped_bit_anywhere_never_loses_a_marked_entry_in_silence() {
    flip_everywhere(|| {
        let (disk, mut log) = new_log();
        let mine = entries(Position::default(), 1, 6, 24, 3);
        stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(1, Some(1))), entries: mine[..2].to_vec() });
        stored(&mut log, &batch(mine[2..4].to_vec()));
        stored(&mut log, &batch(mine[4..].to_vec()));
        (crash(&disk, CrashOutcome::Keep), mine)
    });
}

#[test]
fn nor_does_it_when_the_entry_replaced_another_just_before_the_log_was_opened_again() {
    flip_everywhere(|| {
        let (disk, mut log) = new_log();
        let replaced = entries(Position::default(), 1, 3, 24, 9);
        let mine = [&replaced[..2], &entries(replaced[1].position(), 2, 4, 24, 3)].concat();
        stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(1, Some(1))), entries: replaced });
        stored(&mut log, &batch(mine[2..3].to_vec()));
        let disk = crash(&disk, CrashOutcome::LoseUnsynced);
        let mut log = open(&disk).unwrap();
        stored(&mut log, &batch(mine[3..4].to_vec()));
        stored(&mut log, &batch(mine[4..].to_vec()));
        (crash(&disk, CrashOutcome::Keep), mine)
    });
}

#[test]
fn damage_that_the_rows_cover_loses_nothing_and_what_is_above_them_is_kept() {
    // Every byte of the log once, for rows that contain a part of it.
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 8, 24, 3);
    for some in mine.chunks(2) {
        stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(some[0].index, None)), entries: some.to_vec() });
    }
    log.write_mark().unwrap();
    let disk = crash(&disk, CrashOutcome::Keep);
    let end = contents(&disk, "log-00000001").iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let above = find(&disk, "log-00000001", &mine[5].payload);
    let contained = mine[4].position();
    let (mut whole, mut lost) = (0, 0);
    for offset in 0..=end {
        let disk = copy(&disk);
        disk.rot("log-00000001", offset, 4);
        let found = Log::find(disk.clone(), SALT, SEGMENT).unwrap();
        match found.whole_above(contained).unwrap() {
            Some(kept) => {
                assert_eq!(kept, mine[5..], "byte {offset}");
                let damaged = found.is_damaged();
                let log = found.begin_after(contained, &kept, false).unwrap();
                assert!(!log.damaged() && log.vote() == vote(7, None));
                whole += u32::from(damaged);
                assert_eq!(all(&log), kept);
                let disk = crash(&disk, CrashOutcome::LoseUnsynced);
                let log = open(&disk).unwrap();
                assert_eq!((log.start(), all(&log), log.bytes_through(6)), (contained, kept, 24));
                assert!(!log.damaged() && log.vote() == vote(7, None));
                assert_eq!(segments(&disk), ["log-00000002"]);
            }
            None => {
                assert!(offset >= above - 80, "byte {offset}");
                lost += 1;
            }
        }
    }
    assert!(whole > 500 && lost > 200, "{whole} whole, {lost} lost");
}

#[test]
fn a_second_damage_does_not_hide_the_first() {
    // The log was cut at entry 3 of 20, and entries 3 to 6 came again from the leader. Then the record is lost that said so.
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 20, 30, 0);
    stored(&mut log, &batch(mine.clone()));
    log.write_mark().unwrap();
    let disk = crash(&disk, CrashOutcome::Keep);
    disk.rot("log-00000001", find(&disk, "log-00000001", &mine[2].payload), 1);
    let mut log = open(&disk).unwrap();
    stored(&mut log, &batch(mine[2..6].to_vec()));
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    let end = contents(&disk, "log-00000002").iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let mut kept_ones = 0;
    for offset in 0..=end {
        // Rows that contain entry 2 find everything above it that the log still knows of, and that is not all there was.
        let above = copy(&disk);
        above.rot("log-00000002", offset, 16);
        let found = Log::find(above, SALT, SEGMENT).unwrap();
        if let Some(kept) = found.whole_above(mine[1].position()).unwrap() {
            kept_ones += u32::from(found.is_damaged());
            assert!(found.begin_after(mine[1].position(), &kept, false).unwrap().damaged(), "byte {offset}");
        }
        let disk = copy(&disk);
        disk.rot("log-00000002", offset, 16);
        let log = open(&disk).unwrap();
        assert!(log.damaged(), "byte {offset}");
        let held = all(&log);
        assert_chain(log.start(), &held);
        let again = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
        assert!(again.damaged() && all(&again) == held, "byte {offset}");
    }
    assert!(kept_ones > 50, "{kept_ones}");
    disk.delete("log-00000002").unwrap();
    assert!(open(&disk).unwrap().damaged());
}
