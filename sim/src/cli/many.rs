//! Many seeds on all cores. What is printed comes in the order of the seeds, whoever finished first.

use super::{Run, evidence, line, wall_clock};
use crate::engine::{Options, Outcome, Verdict};
use crate::fast::branch::Turn;
use crate::scenario::Template;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Failures that are printed with their evidence; all others with their line only.
const IN_FULL: usize = 3;

type Played = Result<(Outcome, Vec<Turn>, Duration), String>;

/// Plays all seeds; whether all went well.
pub(super) fn run(run: &Run, template: &Template, options: Options, seeds: Range<u64>) -> Result<bool, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = run.jobs.unwrap_or(cores).max(1);
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel();
    let clock = wall_clock();
    let mut sum = Summary::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, stop, end) = (sender.clone(), &next, &stop, seeds.end);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send((seed, play(run, template, seed, options))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        sum.collect(run, seeds.start, &receiver, &stop)
    })?;
    let wall = clock();
    let played = seeds.start..seeds.start + sum.ok + sum.failed + sum.vacuous;
    println!(
        "seeds {}..{}: {} ok, {} failed, {} vacuous; events={} simulated={:.1}s wall={:.2}s speed={:.1}x",
        played.start,
        played.end,
        sum.ok,
        sum.failed,
        sum.vacuous,
        sum.events,
        sum.simulated.as_secs_f64(),
        wall.as_secs_f64(),
        sum.simulated.as_secs_f64() / wall.as_secs_f64().max(1e-9)
    );
    Ok(sum.failed + sum.vacuous == 0)
}

fn play(run: &Run, template: &Template, seed: u64, options: Options) -> Played {
    let clock = wall_clock();
    let scenario = template.scenario(seed).map_err(|error| error.to_string())?;
    let (outcome, turns) = run.play(&scenario, seed, options)?;
    Ok((outcome, turns, clock()))
}

#[derive(Default)]
struct Summary {
    ok: u64,
    failed: u64,
    vacuous: u64,
    events: u64,
    simulated: Duration,
}

impl Summary {
    fn collect(
        &mut self,
        run: &Run,
        first: u64,
        receiver: &mpsc::Receiver<(u64, Played)>,
        stop: &AtomicBool,
    ) -> Result<(), String> {
        let mut waiting = BTreeMap::new();
        let mut next = first;
        for (seed, played) in receiver {
            if run.first && !matches!(&played, Ok((outcome, ..)) if outcome.verdict == Verdict::Ok) {
                // Seeds before this one are being played already: the first failure is among what still comes.
                stop.store(true, Ordering::Relaxed);
            }
            waiting.insert(seed, played);
            while let Some(played) = waiting.remove(&next) {
                let (outcome, turns, wall) = played.inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                let well = self.count(run, next, &outcome, &turns, wall);
                if run.first && !well {
                    stop.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                next += 1;
            }
        }
        Ok(())
    }

    /// Counts and prints one seed; whether it went well.
    fn count(&mut self, run: &Run, seed: u64, outcome: &Outcome, turns: &[Turn], wall: Duration) -> bool {
        self.events += outcome.events;
        self.simulated += outcome.simulated;
        match outcome.verdict {
            Verdict::Ok => {
                self.ok += 1;
                return true;
            }
            Verdict::Failed { .. } => self.failed += 1,
            Verdict::Vacuous { .. } => self.vacuous += 1,
        }
        if self.failed + self.vacuous <= IN_FULL as u64 {
            print!("{}", evidence(outcome, false));
        }
        println!("{}", line(seed, outcome, wall));
        println!("  replay: {}", run.which.replay(seed, turns));
        false
    }
}
