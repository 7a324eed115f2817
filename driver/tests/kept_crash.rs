//! The outbox lane and crashes: what was reported as kept is found again, and of the rest a prefix. Tests of damage stand in `kept_damage.rs`.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use bytes::Bytes;
use common::kept::{OUTCOMES, add, anew, crash, found, is_within, kept, open, records};
use common::{dice, len};
use proptest::prelude::*;
use tertulia_driver::disk::Disk;
use tertulia_driver::kept::{Found, KeptError, NEW_OUTBOX_FILE, OUTBOX_FILE, RECORD_BYTES};
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault, SimDisk};
use tertulia_protocol::contract::Keep;

/// What may be found: any of the states since the last sync, oldest first.
struct Model {
    states: Vec<Vec<Bytes>>,
    /// The last write that cleared is not synced.
    clearing: bool,
    next: u64,
}

impl Model {
    fn new() -> Model {
        Model { states: vec![Vec::new()], clearing: false, next: 1 }
    }

    fn now(&self) -> &Vec<Bytes> {
        self.states.last().unwrap()
    }

    fn keep(&mut self, clear: bool, count: u64, size: usize) -> Keep {
        let new = records(self.next, count, size);
        self.next += count;
        if clear {
            self.clearing = true;
            self.states.push(new.clone());
        } else {
            for record in &new {
                let mut longer = self.now().clone();
                longer.push(record.clone());
                self.states.push(longer);
            }
        }
        Keep { clear, records: new }
    }

    fn sync(&mut self) {
        (self.states, self.clearing) = (vec![self.now().clone()], false);
    }

    /// After a crash: it is one of the states, and from now on that one.
    fn check(&mut self, found: &Found, lossless: bool) {
        assert!(!found.damaged, "a crash is no damage");
        assert!(self.states.contains(&found.records), "{} records are none of the states", found.records.len());
        // A new file has no name before its sync: then all of it is gone even if only the process dies.
        if lossless && !self.clearing && !self.states[0].is_empty() {
            assert_eq!(found.records, *self.now(), "nothing is lost when only the process dies");
        }
        (self.states, self.clearing) = (vec![found.records.clone()], false);
    }
}

#[test]
fn a_crash_at_every_change_leaves_what_was_kept_and_a_prefix_of_the_rest() {
    let script: &[&[(bool, u64)]] = &[
        &[(false, 3)],
        &[(false, 2), (false, 1)],
        &[(false, 0)],
        &[(true, 4)],
        &[(false, 9)],
        &[(false, 1), (true, 2), (false, 3)],
    ];
    let mut points = 0;
    for outcome in OUTCOMES {
        for salt in 0..6 {
            let (mut changes, mut finished) = (0, false);
            while !finished {
                let disk = SimDisk::new();
                disk.freeze_after(changes);
                let mut model = Model::new();
                let mut work = || -> Result<(), KeptError> {
                    let (mut lane, _) = open(&disk)?;
                    for group in script {
                        for (clear, count) in *group {
                            lane.write(&model.keep(*clear, *count, 230))?;
                        }
                        lane.sync()?;
                        model.sync();
                        if lane.needs_mark() {
                            lane.write_mark()?;
                        }
                    }
                    lane.write(&model.keep(true, 0, 0))?;
                    lane.sync()?;
                    model.sync();
                    Ok(())
                };
                finished = work().is_ok();
                disk.crash(outcome, &mut dice(changes * 31 + salt));
                model.check(&found(&disk.thaw()), false);
                // What was found once is found again, also when the power fails right behind it.
                model.check(&found(&crash(&disk, CrashOutcome::LoseUnsynced)), true);
                changes += 1;
            }
            points += changes;
        }
    }
    assert!(points > 18 * 20, "{points} points were tried");
}

#[test]
fn a_clearing_write_is_there_as_a_whole_or_not_at_all() {
    let (old, new) = (records(1, 5, 700), records(6, 4, 700));
    let (mut olds, mut news) = (0, 0);
    for outcome in OUTCOMES {
        for changes in 0..20 {
            let disk = SimDisk::new();
            let (mut lane, _) = open(&disk).unwrap();
            kept(&mut lane, &add(old.clone()));
            disk.freeze_after(changes);
            let done = lane.write(&anew(new.clone())).and_then(|()| lane.sync()).is_ok();
            disk.crash(outcome, &mut dice(changes));
            let found = found(&disk.thaw());
            assert!(!found.damaged);
            if found.records == new {
                news += 1;
            } else {
                assert_eq!(found.records, old, "{outcome:?} after {changes} changes");
                assert!(!done, "it was reported");
                olds += 1;
            }
            assert_eq!(disk.thaw().list().unwrap(), [OUTBOX_FILE], "what was begun is deleted");
        }
    }
    assert!(olds > 9 && news > 9, "{olds} {news}");
}

#[test]
fn a_node_that_keeps_nothing_has_no_file_and_pays_no_sync() {
    let disk = SimDisk::new();
    disk.freeze_after(0);
    let (mut lane, nothing) = open(&disk).unwrap();
    assert_eq!(nothing, Found::default());
    for keep in [add(vec![]), anew(vec![])] {
        kept(&mut lane, &keep);
    }
    assert!(!lane.needs_mark());
    assert!(disk.list().unwrap().is_empty() && disk.syncs() == 0);
}

#[test]
fn one_sync_serves_all_that_waits_and_nothing_is_synced_twice() {
    let disk = SimDisk::new();
    let (mut lane, _) = open(&disk).unwrap();
    for nth in 0..10 {
        lane.write(&Keep { clear: nth == 4, records: records(nth, 2, 50) }).unwrap();
    }
    lane.sync().unwrap();
    lane.sync().unwrap();
    assert_eq!(disk.syncs(), 1);
    kept(&mut lane, &add(records(10, 1, 50)));
    assert_eq!((disk.syncs(), lane.needs_mark()), (2, true));
    lane.write_mark().unwrap();
    assert_eq!((disk.syncs(), lane.needs_mark()), (3, false));
    let expected: Vec<Bytes> = (4..10).flat_map(|nth| records(nth, 2, 50)).chain(records(10, 1, 50)).collect();
    assert_eq!(found(&crash(&disk, CrashOutcome::LoseUnsynced)), Found { records: expected, damaged: false });
}

#[test]
fn a_file_that_takes_its_name_is_whole_even_if_the_group_went_on_behind_the_clearing() {
    let disk = SimDisk::new();
    let (mut lane, _) = open(&disk).unwrap();
    kept(&mut lane, &add(records(1, 2, 50)));
    for keep in [add(records(3, 1, 50)), anew(records(4, 2, 50)), add(records(6, 1, 50))] {
        lane.write(&keep).unwrap();
    }
    assert_eq!(disk.list().unwrap(), [OUTBOX_FILE, NEW_OUTBOX_FILE]);
    // The process dies before the sync: the old file has its name, and what was added to it.
    assert_eq!(found(&crash(&disk, CrashOutcome::Keep)).records, records(1, 3, 50));
    let (mut lane, _) = open(&disk.thaw()).unwrap();
    for keep in [anew(records(4, 2, 50)), add(records(6, 1, 50))] {
        lane.write(&keep).unwrap();
    }
    lane.sync().unwrap();
    assert_eq!(found(&crash(&disk, CrashOutcome::LoseUnsynced)).records, records(4, 3, 50));
}

#[test]
fn a_full_disk_and_a_failing_sync_end_the_lane_and_name_the_file() {
    for (fault, says) in [(DiskFault::Full, "no space left"), (DiskFault::FailingWrites, "input/output error")] {
        // The first file; a longer one; a new one in its place; its sync.
        for case in 0..4 {
            let disk = SimDisk::new();
            let (mut lane, _) = open(&disk).unwrap();
            if case > 0 {
                kept(&mut lane, &add(records(1, 2, 50)));
            }
            if case == 3 {
                lane.write(&add(records(3, 1, 50))).unwrap();
            }
            disk.set_fault(Some(fault));
            let failed = match case {
                3 => lane.sync(),
                _ => lane.write(&Keep { clear: case == 2, records: records(3, 1, 50) }),
            };
            disk.set_fault(None);
            if case == 3 && fault == DiskFault::Full {
                failed.unwrap();
                continue;
            }
            let text = failed.unwrap_err().to_string();
            assert!(text.contains(says) && text.contains("outbox"), "{text}");
            let text = lane.write(&add(vec![])).unwrap_err().to_string();
            assert!(text.contains("takes nothing more") && text.contains("check the disk"), "{text}");
            assert!(lane.sync().is_err() && !lane.needs_mark());
            // What was reported is there at the next start.
            let found = found(&crash(&disk, CrashOutcome::LoseUnsynced));
            assert_eq!(found, Found { records: records(1, if case == 0 { 0 } else { 2 }, 50), damaged: false });
        }
    }
}

#[test]
fn a_record_has_a_bound() {
    let (mut lane, _) = open(&SimDisk::new()).unwrap();
    kept(&mut lane, &add(vec![Bytes::from(vec![1; RECORD_BYTES])]));
    let error = lane.write(&add(vec![Bytes::from(vec![1; RECORD_BYTES + 1])])).unwrap_err();
    assert!(error.to_string().contains("1048577 bytes"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        clear: bool,
        count: u64,
        size: usize,
    },
    Sync,
    Mark,
    /// A crash, and crashes while the file is opened again, each after so many changes.
    Crash {
        outcome: CrashOutcome,
        draws: u64,
        opening: Vec<(u64, CrashOutcome)>,
    },
}

fn outcome() -> impl Strategy<Value = CrashOutcome> {
    prop_oneof![1 => Just(CrashOutcome::Keep), 1 => Just(CrashOutcome::LoseUnsynced), 2 => Just(CrashOutcome::Torn)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop::bool::weighted(0.2), 0u64..6, 0usize..1500).prop_map(|(clear, count, size)| Step::Write { clear, count, size }),
        3 => Just(Step::Sync),
        1 => Just(Step::Mark),
        2 => (outcome(), any::<u64>(), prop::collection::vec((0u64..9, outcome()), 0..3))
            .prop_map(|(outcome, draws, opening)| Step::Crash { outcome, draws, opening }),
    ]
}

fn run(steps: &[Step]) -> (SimDisk, Model) {
    let mut disk = SimDisk::new();
    let (mut lane, _) = open(&disk).unwrap();
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Write { clear, count, size } => lane.write(&model.keep(*clear, *count, *size)).unwrap(),
            Step::Sync => {
                lane.sync().unwrap();
                model.sync();
            }
            Step::Mark if lane.needs_mark() => {
                lane.write_mark().unwrap();
                model.sync();
            }
            Step::Mark => {}
            Step::Crash { outcome, draws, opening } => {
                let mut draw = dice(*draws);
                disk.crash(*outcome, &mut draw);
                let mut lossless = *outcome == CrashOutcome::Keep;
                for (changes, outcome) in opening {
                    disk = disk.thaw();
                    disk.freeze_after(*changes);
                    match open(&disk) {
                        Ok((_, found)) => model.check(&found, lossless),
                        Err(error) => assert!(error.to_string().contains("frozen"), "{error}"),
                    }
                    disk.crash(*outcome, &mut draw);
                    lossless &= *outcome == CrashOutcome::Keep;
                }
                disk = disk.thaw();
                let (opened, found) = open(&disk).unwrap();
                model.check(&found, lossless);
                lane = opened;
            }
        }
    }
    lane.sync().unwrap();
    if lane.needs_mark() {
        lane.write_mark().unwrap();
    }
    model.sync();
    (disk, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_kept_is_there_after_any_crash(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps);
    }

    #[test]
    fn a_flipped_bit_after_any_history_is_said_or_loses_nothing(
        steps in prop::collection::vec(step(), 1..40), offset in any::<u64>(), mask in 1u8.., opening in prop::collection::vec((0u64..9, outcome()), 0..3)
    ) {
        let (disk, model) = run(&steps);
        disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
        let mut disk = disk.thaw();
        if disk.list().unwrap().iter().any(|name| name == OUTBOX_FILE) {
            let offset = offset % len(&disk, OUTBOX_FILE);
            prop_assert!(disk.rot(OUTBOX_FILE, offset, mask));
            // A crash while the damage is written down does not hide it.
            for (changes, outcome) in opening {
                disk.freeze_after(changes);
                let _ = open(&disk);
                disk.crash(outcome, &mut dice(changes));
                disk = disk.thaw();
            }
            let mut known = None;
            for _ in 0..3 {
                let found = found(&disk);
                prop_assert!(found.damaged || found.records == *model.now(), "{} of {}", found.records.len(), model.now().len());
                prop_assert!(is_within(&found.records, model.now()));
                prop_assert_eq!(known.get_or_insert(found.clone()), &found, "the verdict stands");
                disk = crash(&disk, CrashOutcome::LoseUnsynced);
            }
        }
    }
}
