//! Random batches, overwriting ones among them, trims, resets and random crashes: what was reported as stored is there, and the log is one of
//! the states that it went through since. And after all that one fault: it is said, or nothing is lost.

// Clippy knows helpers of integration tests not as tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::logs::{all, assert_chain};
use common::{batch, contents, entries, vote};
use proptest::prelude::*;
use tertulia_driver::disk::{Disk, DiskFile};
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
    /// A batch that begins with a reset to a place so far above the end.
    Reset {
        ahead: u64,
        count: usize,
    },
    /// So far below the end.
    Trim {
        below: u64,
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
        1 => (0u64..9, 0usize..5).prop_map(|(ahead, count)| Step::Reset { ahead, count }),
        2 => (0u64..9).prop_map(|below| Step::Trim { below }),
        3 => Just(Step::Sync),
        1 => Just(Step::Mark),
        2 => (outcome(), prop::collection::vec(any::<u64>(), 1..40), prop::collection::vec((0u64..9, outcome()), 0..3))
            .prop_map(|(outcome, draws, opening)| Step::Crash { outcome, draws, opening }),
    ]
}

/// A state of the log, as if nothing was ever trimmed.
#[derive(Clone, Debug)]
struct Held {
    start: Position,
    entries: Vec<Entry>,
    vote: Vote,
}

impl Held {
    fn end(&self) -> Position {
        self.entries.last().map_or(self.start, Entry::position)
    }
    /// Whether a log that begins there and holds this is this state, trimmed.
    fn is(&self, start: Position, entries: &[Entry]) -> bool {
        let Some(gone) = start.index.checked_sub(self.start.index).filter(|gone| *gone <= self.entries.len() as u64) else {
            return false;
        };
        let (below, above) = self.entries.split_at(gone as usize);
        start == below.last().map_or(self.start, Entry::position) && above == entries
    }
}

/// What the log may be after a crash: any of the states since the last sync, oldest first.
struct Model {
    states: Vec<Held>,
    /// The log was never asked to begin above this index.
    asked: u64,
}

impl Model {
    fn now(&self) -> &Held {
        self.states.last().unwrap()
    }
    fn append(&mut self, batch: &Batch) {
        let mut held = self.now().clone();
        if let Some(start) = batch.reset {
            held = Held { start, entries: Vec::new(), ..held };
            self.states = vec![held.clone()];
            self.asked = start.index;
        }
        if let Some(vote) = batch.vote {
            held.vote = vote;
            self.states.push(held.clone());
        }
        for entry in &batch.entries {
            held.entries.truncate((entry.index - held.start.index) as usize - 1);
            held.entries.push(entry.clone());
            self.states.push(held.clone());
        }
    }
    fn sync(&mut self) {
        self.states = vec![self.now().clone()];
    }
}

fn check(log: &Log<SimDisk>, model: &mut Model, lossless: bool) {
    assert!(!log.damaged(), "a crash is no damage");
    let found = all(log);
    assert_chain(log.start(), &found);
    assert!(log.start().index <= model.asked.max(model.now().start.index));
    if lossless {
        assert!(
            model.now().is(log.start(), &found) && log.vote() == model.now().vote,
            "nothing is lost when only the process dies"
        );
    }
    let state = model.states.iter().find(|held| held.is(log.start(), &found)).cloned();
    let state = state.expect("the log is none of the states that it went through");
    let (low, high) = (model.states[0].vote.term, model.now().vote.term);
    assert!((low..=high).contains(&log.vote().term), "vote {:?} is not of terms {low}..={high}", log.vote());
    model.states = vec![Held { vote: log.vote(), ..state }];
}

fn run(steps: &[Step], segment: u64) -> (SimDisk, Model) {
    let mut disk = SimDisk::new();
    Log::create(&disk, 1, segment).unwrap();
    let mut log = Log::open(disk.clone(), 1, segment).unwrap();
    let nothing = Held { start: Position::default(), entries: Vec::new(), vote: Vote::default() };
    let mut model = Model { states: vec![nothing], asked: 0 };
    let mut term = 1;
    for step in steps {
        match step {
            Step::Append { back, count, size, vote: with_vote } => {
                let held = model.now();
                let kept = held.entries.len().saturating_sub(*back).max((log.start().index - held.start.index) as usize);
                let previous = held.entries[..kept].last().map_or(held.start, Entry::position);
                term += 1;
                let mut new = batch(entries(previous, term, *count, *size, term as u8));
                new.vote = with_vote.then(|| vote(term, Some(term % 5)));
                log.append(&new).unwrap();
                model.append(&new);
            }
            Step::Reset { ahead, count } => {
                term += 1;
                let end = model.now().end();
                let place = if *ahead == 0 { end } else { Position { index: end.index + ahead, term, chain: term } };
                let entries = entries(place, term, *count, 300, term as u8);
                let new = Batch { reset: Some(place), repaired: false, vote: Some(vote(term, None)), entries };
                log.append(&new).unwrap();
                model.append(&new);
            }
            Step::Trim { below } => {
                let through = log.last().saturating_sub(*below);
                let before = log.start().index;
                model.asked = model.asked.max(through.min(log.durable_through()));
                log.trim(through).unwrap();
                assert!(log.start().index <= through.max(before));
                if log.start().index > before {
                    model.sync();
                }
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
    log.sync().unwrap();
    log.write_mark().unwrap();
    model.sync();
    (disk, model)
}

/// Something that happens to one file of a log that is whole and marked.
#[derive(Clone, Debug)]
enum Fault {
    Flip { offset: u64, mask: u8 },
    Cut { len: u64 },
    Delete,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => (any::<u64>(), 1u8..).prop_map(|(offset, mask)| Fault::Flip { offset, mask }),
        1 => any::<u64>().prop_map(|len| Fault::Cut { len }),
        1 => Just(Fault::Delete),
    ]
}

fn hurt(disk: &SimDisk, name: &str, fault: &Fault) {
    let bytes = contents(disk, name);
    match fault {
        // Where something is written, or right behind it.
        Fault::Flip { offset, mask } => {
            let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 60;
            disk.rot(name, offset % end.min(bytes.len() as u64), *mask);
        }
        Fault::Cut { len } => disk.open(name).unwrap().set_len(len % bytes.len() as u64).unwrap(),
        Fault::Delete => disk.delete(name).unwrap(),
    }
}

fn run_and_hurt(steps: &[Step], segment: u64, file: usize, fault: &Fault) {
    let (disk, model) = run(steps, segment);
    disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    let disk = disk.thaw();
    let names: Vec<String> = disk.list().unwrap().into_iter().filter(|name| name.starts_with("log-")).collect();
    hurt(&disk, &names[file % names.len()], fault);
    let held = model.now();
    let mut known = None;
    for _ in 0..3 {
        let log = Log::open(disk.thaw(), 1, segment).unwrap();
        let found = all(&log);
        assert_chain(log.start(), &found);
        assert_eq!(log.vote(), held.vote, "a vote is never forgotten");
        // A segment that was not needed and that a power failure brought back can be needed again to make good the loss of another.
        let at_start = found.iter().position(|entry| entry.position() == held.start);
        let holds_more = at_start.is_some_and(|nth| found[nth + 1..] == held.entries);
        assert!(
            log.damaged() || holds_more || held.is(log.start(), &found),
            "{} entries are left of {:?}",
            found.len(),
            held.end()
        );
        let now = (log.damaged(), log.start(), found);
        assert_eq!(known.get_or_insert(now.clone()), &now, "the verdict stands");
        disk.crash(CrashOutcome::LoseUnsynced, &mut |_| 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_stored_is_there_after_any_crash(steps in prop::collection::vec(step(), 1..60), segment in prop_oneof![Just(4096u64), Just(16384)]) {
        run(&steps, segment);
    }

    #[test]
    fn one_fault_after_any_history_is_said_or_loses_nothing(
        steps in prop::collection::vec(step(), 1..40), file in any::<usize>(), fault in fault(), segment in prop_oneof![Just(4096u64), Just(16384)]
    ) {
        run_and_hurt(&steps, segment, file, &fault);
    }
}
