//! Random batches, overwriting ones among them, and random crashes: what was reported as stored is there, and the log is one of the states
//! that it went through since.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{batch, entries, vote};
use proptest::prelude::*;
use tertulia_driver::log::Log;
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::{Batch, Position, Vote};
use tertulia_protocol::raft::Entry;

#[derive(Clone, Debug)]
enum Step {
    Append {
        back: usize,
        count: usize,
        size: usize,
        vote: bool,
    },
    Sync,
    Mark,
    /// A crash, and crashes while the log is opened again, each after so many changes.
    Crash {
        outcome: CrashOutcome,
        draws: Vec<u64>,
        opening: Vec<(u64, CrashOutcome)>,
    },
}

fn outcome() -> impl Strategy<Value = CrashOutcome> {
    prop_oneof![1 => Just(CrashOutcome::Keep), 1 => Just(CrashOutcome::LoseUnsynced), 2 => Just(CrashOutcome::Torn)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop_oneof![3 => Just(0usize), 1 => 0usize..6], 0usize..6, 0usize..1500, any::<bool>())
            .prop_map(|(back, count, size, vote)| Step::Append { back, count, size, vote }),
        3 => Just(Step::Sync),
        1 => Just(Step::Mark),
        2 => (outcome(), prop::collection::vec(any::<u64>(), 1..40), prop::collection::vec((0u64..9, outcome()), 0..3))
            .prop_map(|(outcome, draws, opening)| Step::Crash { outcome, draws, opening }),
    ]
}

/// What the log may be after a crash: any of the states since the last sync, oldest first.
struct Model {
    states: Vec<(Vec<Entry>, Vote)>,
}

impl Model {
    fn now(&self) -> &(Vec<Entry>, Vote) {
        self.states.last().unwrap()
    }
    fn append(&mut self, batch: &Batch) {
        let (mut log, mut vote) = self.now().clone();
        if let Some(new) = batch.vote {
            vote = new;
            self.states.push((log.clone(), vote));
        }
        for entry in &batch.entries {
            log.truncate(entry.index as usize - 1);
            log.push(entry.clone());
            self.states.push((log.clone(), vote));
        }
    }
    fn sync(&mut self) {
        self.states = vec![self.now().clone()];
    }
}

fn check(log: &Log<SimDisk>, model: &mut Model, lossless: bool) {
    let found = if log.last() == 0 { Vec::new() } else { log.read(1, log.last(), u64::MAX).unwrap() };
    let mut previous = Position::default();
    for entry in &found {
        assert!(entry.follows(previous));
        previous = entry.position();
    }
    if lossless {
        assert_eq!((&found, log.vote()), (&model.now().0, model.now().1), "nothing is lost when only the process dies");
    }
    assert!(model.states.iter().any(|(entries, _)| *entries == found), "the log is none of the states that it went through");
    let (low, high) = (model.states[0].1.term, model.now().1.term);
    assert!((low..=high).contains(&log.vote().term), "vote {:?} is not of terms {low}..={high}", log.vote());
    model.states = vec![(found, log.vote())];
}

fn run(steps: &[Step], segment: u64) {
    let mut disk = SimDisk::new();
    Log::create(&disk, 1, segment).unwrap();
    let mut log = Log::open(disk.clone(), 1, segment).unwrap();
    let mut model = Model { states: vec![(Vec::new(), Vote::default())] };
    let mut term = 1;
    for step in steps {
        match step {
            Step::Append { back, count, size, vote: with_vote } => {
                let kept = model.now().0.len().saturating_sub(*back);
                let previous = model.now().0[..kept].last().map_or(Position::default(), Entry::position);
                term += 1;
                let mut new = batch(entries(previous, term, *count, *size, term as u8));
                new.vote = with_vote.then(|| vote(term, Some(term % 5)));
                log.append(&new).unwrap();
                model.append(&new);
            }
            Step::Sync => {
                log.sync().unwrap();
                model.sync();
                assert_eq!(log.durable_through(), log.last());
            }
            Step::Mark => {
                if log.needs_mark() {
                    log.write_mark().unwrap();
                    model.sync();
                }
            }
            Step::Crash { outcome, draws, opening } => {
                let mut draws = draws.iter().cycle();
                let mut spin = 0u64;
                let mut draw = |bound| {
                    spin += 1;
                    draws.next().unwrap().rotate_left((spin / 7) as u32 % 64) % bound
                };
                disk.crash(*outcome, &mut draw);
                let mut lossless = *outcome == CrashOutcome::Keep;
                for (changes, outcome) in opening {
                    disk = disk.thaw();
                    disk.freeze_after(*changes);
                    match Log::open(disk.clone(), 1, segment) {
                        Ok(log) => check(&log, &mut model, lossless),
                        Err(error) => assert!(error.to_string().contains("frozen"), "{error}"),
                    }
                    disk.crash(*outcome, &mut draw);
                    lossless &= *outcome == CrashOutcome::Keep;
                }
                disk = disk.thaw();
                log = Log::open(disk.clone(), 1, segment).unwrap();
                check(&log, &mut model, lossless);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_stored_is_there_after_any_crash(steps in prop::collection::vec(step(), 1..60), segment in prop_oneof![Just(4096u64), Just(16384)]) {
        run(&steps, segment);
    }
}
