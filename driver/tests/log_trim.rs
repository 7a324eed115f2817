//! The log's beginning: trimmed and reset, and crashes in the midst of it.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::logs::{all, assert_chain, copy, crash, new_log, open, segments, stored};
use common::{batch, contents, dice, entries, vote};
use tertulia_driver::disk::Disk;
use tertulia_driver::log::{Log, LogError};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::{Batch, Position};
use tertulia_protocol::raft::Entry;

const OUTCOMES: [CrashOutcome; 3] = [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn];

/// A log over several segments; the vote stands in the first one only.
fn long() -> (SimDisk, Log<SimDisk>, Vec<Entry>) {
    let (disk, mut log) = new_log();
    let mine = entries(Position::default(), 1, 100, 200, 0);
    stored(&mut log, &Batch { reset: None, repaired: false, vote: Some(vote(1, Some(3))), entries: vec![] });
    for some in mine.chunks(5) {
        stored(&mut log, &batch(some.to_vec()));
    }
    (disk, log, mine)
}

#[test]
fn a_trimmed_log_begins_where_the_oldest_segment_that_is_needed_begins_and_keeps_the_vote() {
    let (disk, mut log, mine) = long();
    let before = segments(&disk).len();
    assert_eq!((log.start(), log.bytes_through(50)), (Position::default(), 10_000));
    log.trim(60).unwrap();
    let start = log.start();
    assert!(start.index > 25 && start.index <= 60 && start == mine[start.index as usize - 1].position(), "{start:?}");
    assert!(segments(&disk).len() < before && segments(&disk)[0] != "log-00000001");
    assert_eq!(log.bytes_through(60), (60 - start.index) * 200);
    assert_eq!((log.bytes_through(start.index), log.bytes_through(3)), (0, 0));
    let error = log.read(start.index, 100, 1).unwrap_err();
    assert!(matches!(&error, LogError::Trimmed { .. }) && error.to_string().contains("snapshot"), "{error}");
    for _ in 0..3 {
        assert_eq!(all(&log), mine[start.index as usize..]);
        log.trim(start.index).unwrap();
        assert_eq!(log.start(), start, "nothing more goes");
        log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
        assert_eq!((log.start(), log.vote(), log.damaged(), log.last()), (start, vote(1, Some(3)), false, 100));
    }
    stored(&mut log, &batch(entries(mine[99].position(), 1, 30, 200, 0)));
    assert_eq!(log.last(), 130);
}

#[test]
fn a_log_of_which_nothing_is_needed_keeps_its_last_segment_and_goes_on() {
    let (disk, mut log, mine) = long();
    log.trim(u64::MAX).unwrap();
    assert_eq!(segments(&disk).len(), 1);
    let log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
    assert_eq!(all(&log), mine[log.start().index as usize..]);
    assert!(log.start().index < 100 && !log.damaged());
    // The vote's only slot that knows it is lost, and its record is gone with its segment: the others repeat it.
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    for slot in [0, 4096] {
        let disk = copy(&disk);
        disk.rot("vote", slot + 9, 1);
        let log = open(&disk).unwrap();
        assert!(log.vote() == vote(1, Some(3)) && !log.damaged());
    }
}

#[test]
fn entries_that_replaced_others_in_later_segments_are_kept() {
    for back in [1, 10, 40, 80] {
        for through in [5, 19, 20, 21, 59, 60, 61, 90, 99] {
            let (disk, mut log, mine) = long();
            let kept = 100 - back;
            let new = entries(mine[kept - 1].position(), 2, 50, 150, 7);
            for some in new.chunks(7) {
                stored(&mut log, &batch(some.to_vec()));
            }
            let mine = [&mine[..kept], &new].concat();
            log.trim(through).unwrap();
            assert!(log.start().index <= through);
            assert_eq!(all(&log), mine[log.start().index as usize..]);
            let again = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
            assert_eq!((again.start(), again.damaged()), (log.start(), false));
            assert_eq!(all(&again), mine[log.start().index as usize..], "back {back}, trimmed through {through}");
        }
    }
}

#[test]
fn a_crash_at_any_change_while_the_log_grows_and_is_trimmed_loses_nothing_above() {
    let mine = entries(Position::default(), 1, 120, 200, 0);
    for outcome in OUTCOMES {
        let (mut finished, mut changes) = (false, 0);
        while !finished {
            let (disk, mut log) = new_log();
            disk.freeze_after(changes);
            let (mut synced, mut asked, mut voted) = (0, 0, 0);
            let mut work = || -> Result<(), LogError> {
                for some in mine.chunks(10) {
                    let term = some[0].index;
                    log.append(&Batch { reset: None, repaired: false, vote: Some(vote(term, Some(2))), entries: some.to_vec() })?;
                    log.sync()?;
                    (synced, voted) = (log.last(), term);
                    asked = synced.saturating_sub(25);
                    log.trim(asked)?;
                    assert!(log.start().index <= asked);
                }
                Ok(())
            };
            finished = work().is_ok();
            disk.crash(outcome, &mut dice(changes));
            // And a crash while that is opened.
            let disk = disk.thaw();
            disk.freeze_after(changes % 12);
            let _ = open(&disk);
            disk.crash(outcome, &mut dice(changes + 1));
            let disk = disk.thaw();
            let mut log = open(&disk).unwrap();
            let (start, last) = (log.start(), log.last());
            assert!(!log.damaged() && start.index <= asked && last >= synced, "{outcome:?} after {changes} changes");
            assert!(log.vote().term >= voted && log.vote().voted_for.is_some() == (log.vote().term > 0));
            assert_eq!(all(&log), mine[start.index as usize..last as usize]);
            assert_chain(start, &all(&log));
            if (last as usize) < mine.len() {
                stored(&mut log, &batch(mine[last as usize..].to_vec()));
            }
            log.trim(100).unwrap();
            let log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
            assert_eq!(all(&log), mine[log.start().index as usize..]);
            assert!(segments(&disk.thaw()).len() <= 4);
            changes += 1;
        }
        assert!(changes > 60, "{changes}");
    }
}

#[test]
fn a_reset_log_begins_after_its_place_with_what_came_in_the_same_batch() {
    let (disk, mut log, mine) = long();
    let place = Position { index: 5000, term: 7, chain: 99 };
    let new = entries(place, 8, 3, 50, 1);
    // It may as well begin below where it ended.
    for place in [place, mine[49].position()] {
        let new = if place.index == 5000 { new.clone() } else { entries(place, 8, 3, 50, 1) };
        let gap = Batch { reset: Some(place), repaired: false, vote: None, entries: new[1..].to_vec() };
        assert!(matches!(log.append(&gap), Err(LogError::Gap { .. })));
        stored(&mut log, &Batch { reset: Some(place), repaired: false, vote: Some(vote(9, None)), entries: new.clone() });
        assert_eq!((log.start(), log.last(), log.durable_through()), (place, place.index + 3, place.index + 3));
        log = open(&crash(&disk, CrashOutcome::LoseUnsynced)).unwrap();
        assert_eq!((log.start(), all(&log), log.vote(), log.damaged()), (place, new, vote(9, None), false));
        assert_eq!(segments(&disk.thaw()).len(), 1);
        let replacing = entries(place, 9, 1, 50, 1);
        assert!(matches!(log.append(&batch(vec![mine[0].clone()])), Err(LogError::Gap { .. })));
        stored(&mut log, &batch(replacing.clone()));
        assert_eq!(all(&open(&copy(&disk.thaw())).unwrap()), replacing);
    }
}

#[test]
fn a_crash_at_any_change_of_a_reset_leaves_the_old_log_or_the_new_one() {
    let place = Position { index: 5000, term: 7, chain: 99 };
    let new = entries(place, 8, 40, 300, 1);
    for outcome in OUTCOMES {
        let (mut finished, mut changes) = (false, 0);
        let (mut old_ones, mut new_ones) = (0, 0);
        while !finished {
            let (disk, mut log, mine) = long();
            disk.freeze_after(changes);
            let reset = Batch { reset: Some(place), repaired: false, vote: Some(vote(9, None)), entries: new.clone() };
            finished = log.append(&reset).and_then(|()| log.sync()).is_ok();
            disk.crash(outcome, &mut dice(changes));
            for _ in 0..2 {
                let log = open(&disk.thaw()).unwrap();
                assert!(!log.damaged(), "{outcome:?} after {changes} changes");
                let held = all(&log);
                if log.start() == place {
                    assert_eq!(held, new[..held.len()]);
                    assert!(log.vote() == vote(9, None) || held.is_empty() && log.vote() == vote(1, Some(3)));
                    assert!(held.len() == 40 || !finished);
                    new_ones += 1;
                } else {
                    assert!(held == mine && log.vote() == vote(1, Some(3)) && !finished);
                    old_ones += 1;
                }
                disk.crash(outcome, &mut dice(changes + 7));
            }
            changes += 1;
        }
        assert!(old_ones > 4 && new_ones > 10, "{outcome:?}: {old_ones} old, {new_ones} new");
    }
}

#[test]
fn a_deleted_last_segment_is_noticed() {
    // Whatever it holds: a few records, entries without a vote, or nothing but its first record.
    for count in 0..80 {
        let (disk, mut log) = new_log();
        stored(&mut log, &batch(entries(Position::default(), 1, 1 + count, 200, 0)));
        let disk = crash(&disk, CrashOutcome::LoseUnsynced);
        disk.delete(segments(&disk).last().unwrap()).unwrap();
        assert!(open(&disk).unwrap().damaged(), "{count}");
    }
    let (disk, mut log, _) = long();
    log.trim(70).unwrap();
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    disk.delete(segments(&disk).last().unwrap()).unwrap();
    let log = open(&disk).unwrap();
    assert!(log.damaged() && log.vote() == vote(1, Some(3)));
}

#[test]
fn a_segment_that_is_no_longer_needed_does_no_harm_when_it_comes_back_in_any_state() {
    let (disk, mut log, mine) = long();
    let old = copy(&disk);
    log.trim(70).unwrap();
    let start = log.start();
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    for name in segments(&old).iter().filter(|name| !segments(&disk).contains(name)) {
        let disk = copy(&disk);
        let bytes = contents(&old, name);
        use tertulia_driver::disk::DiskFile;
        disk.create(name, bytes.len() as u64).unwrap().write_at(3, &bytes[3..]).unwrap();
        let log = open(&disk).unwrap();
        assert_eq!((log.start(), log.damaged(), all(&log)), (start, false, mine[start.index as usize..].to_vec()));
        assert!(!segments(&disk).contains(name));
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_trimmed_log_is_said_or_does_no_harm() {
    let (disk, mut log, mine) = long();
    log.trim(80).unwrap();
    log.write_mark().unwrap();
    let start = log.start();
    let disk = crash(&disk, CrashOutcome::LoseUnsynced);
    let (mut damaged, mut harmless) = (0, 0);
    for name in segments(&disk) {
        let end = contents(&disk, &name).iter().rposition(|byte| *byte != 0).unwrap() as u64;
        for offset in (0..=end).step_by(3) {
            let disk = copy(&disk);
            disk.rot(&name, offset, 8);
            let log = open(&disk).unwrap();
            let held = all(&log);
            assert_eq!(log.vote(), vote(1, Some(3)));
            assert_chain(log.start(), &held);
            if log.damaged() {
                assert_eq!(held, mine[log.start().index as usize..log.last() as usize]);
                damaged += 1;
            } else {
                assert_eq!((log.start(), log.last()), (start, 100), "{name}, byte {offset}");
                harmless += 1;
            }
        }
    }
    assert!(damaged > 1000 && harmless > 50, "{damaged} damaged, {harmless} harmless");
}
