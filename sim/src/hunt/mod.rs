//! Hunting: many seeds of many scenarios on all cores, until time or seeds are over, a run fails, or somebody says stop.
//!
//! Runs are played in one fixed order (by seed, then by file), and a hunt's result is about a whole beginning of that order: it does not depend on
//! how many are played at a time, nor on who finishes first. A hunt is stopped between runs, never in the midst of one. A part of a hunt plays every nth
//! seed, so that several machines can share the work and their results [`merge`](Report::merge).

mod file;
mod report;

pub use file::{ScenarioFile, scenarios_in};
pub use report::{Finding, Played, Point, Report, ScenarioReport};

use crate::engine::{self, Engine, Options, Outcome, Unplayable, Verdict};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// This part plays the seeds that leave `part - 1` when divided by `of`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// From 1 to `of`.
    pub part: u64,
    pub of: u64,
}

impl Part {
    pub const WHOLE: Part = Part { part: 1, of: 1 };

    fn seed(self, from: u64, nth: u64) -> Option<u64> {
        let first = from + (self.part - 1 + self.of - from % self.of) % self.of;
        first.checked_add(nth.checked_mul(self.of)?)
    }
}

/// What to play.
#[derive(Clone, Debug)]
pub struct Hunt {
    pub files: Vec<ScenarioFile>,
    /// Which of the files are left out, rather than an error, when the engine cannot play them.
    pub may_refuse: bool,
    pub engine: Engine,
    /// By file: with its bug.
    pub options: Vec<Options>,
    /// The first seed, and the one after the last.
    pub from: u64,
    pub to: Option<u64>,
    pub part: Part,
    pub jobs: usize,
    /// Play on after a failure.
    pub keep_going: bool,
}

/// How far a hunt is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub played: u64,
    pub failed: u64,
    pub vacuous: u64,
    pub seed: u64,
    pub events: u64,
    /// Microseconds.
    pub simulated: u64,
}

/// One place in the order of runs.
type Unit = (usize, u64);
type Answer = Result<Outcome, Unplayable>;

impl Hunt {
    /// How many runs there will be, if that is known.
    pub fn runs(&self) -> Option<u64> {
        let (to, files) = (self.to?, self.files.len() as u64);
        let first = self.part.seed(self.from, 0).filter(|first| *first < to);
        Some(first.map_or(0, |first| (to - first).div_ceil(self.part.of) * files))
    }

    fn unit(&self, nth: u64) -> Option<Unit> {
        let files = self.files.len() as u64;
        let seed = self.part.seed(self.from, nth / files)?;
        (self.to.is_none_or(|to| seed < to)).then_some(((nth % files) as usize, seed))
    }

    /// Plays until all is played, or a run fails, or `over` says so, which is asked before each run. `replay` is the command that plays one run again.
    ///
    /// # Errors
    /// When the engine cannot play a scenario.
    pub fn run(
        &self,
        over: impl Fn() -> bool + Sync,
        replay: impl Fn(&str, u64) -> String,
        mut watch: impl FnMut(&Progress),
    ) -> Result<Report, String> {
        let mut report = Report::new(self);
        if self.files.is_empty() {
            return Ok(report);
        }
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (sender, next, stop, over) = (sender.clone(), &next, &stop, &over);
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) && !over() {
                        let nth = next.fetch_add(1, Ordering::Relaxed);
                        let Some((file, seed)) = self.unit(nth) else { break };
                        let scenario = self.files[file].scenario(seed).map_err(|message| Unplayable { message });
                        let answer = scenario.and_then(|scenario| engine::run(self.engine, &scenario, seed, self.options[file]));
                        if sender.send((nth, answer)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            self.collect(&mut report, &receiver, &stop, replay, &mut watch)
        })?;
        Ok(report)
    }

    /// Takes the runs in their order, whoever finished first.
    fn collect(
        &self,
        report: &mut Report,
        receiver: &mpsc::Receiver<(u64, Answer)>,
        stop: &AtomicBool,
        replay: impl Fn(&str, u64) -> String,
        watch: &mut impl FnMut(&Progress),
    ) -> Result<(), String> {
        let (mut waiting, mut next, mut progress) = (BTreeMap::new(), 0, Progress::default());
        for (nth, answer) in receiver {
            let failed = |outcome: &Outcome| matches!(outcome.verdict, Verdict::Failed { .. });
            if !self.keep_going && answer.as_ref().is_ok_and(failed) {
                // Runs before this one are being played already: the first failure is among what still comes.
                stop.store(true, Ordering::Relaxed);
            }
            waiting.insert(nth, answer);
            while let Some(answer) = waiting.remove(&next) {
                let Some((file, seed)) = self.unit(next) else { break };
                next += 1;
                let outcome = match answer {
                    Ok(outcome) => outcome,
                    Err(refused) if self.may_refuse => {
                        report.scenarios[file].refused.get_or_insert(refused.message);
                        continue;
                    }
                    Err(refused) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(format!("{}: {refused}", self.files[file].path));
                    }
                };
                report.scenarios[file].count(seed, &outcome, &replay);
                progress.played += 1;
                progress.failed += u64::from(failed(&outcome));
                progress.vacuous += u64::from(matches!(outcome.verdict, Verdict::Vacuous { .. }));
                progress.events += outcome.events;
                progress.simulated += outcome.simulated.as_micros() as u64;
                progress.seed = seed;
                watch(&progress);
                if !self.keep_going && failed(&outcome) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
