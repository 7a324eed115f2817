//! Whether a smaller scenario still fails by the same rule: several candidates and several seeds at a time, on all cores.
//!
//! Candidates are tried as they would be read from a file, and the first one in order that fails counts, whoever is ready first: with the same candidates the
//! answer is the same for any number of jobs, unless time is over in the midst of it.

use crate::engine::{self, Engine, Options, Outcome, Verdict};
use crate::scenario::{Scenario, write};
use crate::trace::digest;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A scenario that fails, with a seed with which it does.
#[derive(Clone, Debug)]
pub struct Failure {
    pub scenario: Scenario,
    pub seed: u64,
    pub outcome: Outcome,
}

impl Failure {
    /// When the rule was broken, in simulated microseconds.
    pub fn at(&self) -> u64 {
        self.outcome.simulated.as_micros() as u64
    }
}

/// Tries candidates.
pub struct Trial<'a> {
    engine: Engine,
    options: Options,
    rule: String,
    jobs: usize,
    over: &'a (dyn Fn() -> bool + Sync),
    /// What did not fail, by text and seed.
    tried: BTreeSet<(u64, u64)>,
    /// Runs so far.
    pub runs: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Trial<'a> {
    pub fn new(engine: Engine, options: Options, rule: &str, jobs: usize, over: &'a (dyn Fn() -> bool + Sync)) -> Trial<'a> {
        let (rule, jobs) = (rule.to_owned(), jobs.max(1));
        Trial { engine, options, rule, jobs, over, tried: BTreeSet::new(), runs: 0 }
    }

    pub fn over(&self) -> bool {
        (self.over)()
    }

    /// One scenario with one seed, if it fails by the rule.
    pub fn plays(&self, scenario: &Scenario, seed: u64) -> Option<Failure> {
        let outcome = engine::run(self.engine, scenario, seed, self.options).ok()?;
        let same = matches!(&outcome.verdict, Verdict::Failed { rule, .. } if *rule == self.rule);
        same.then(|| Failure { scenario: scenario.clone(), seed, outcome })
    }

    /// The first candidate that fails by the rule with any of these seeds, and its place.
    pub fn first(&mut self, candidates: &[Scenario], seeds: &[u64]) -> Option<(usize, Failure)> {
        let mut jobs = Vec::new();
        for (place, candidate) in candidates.iter().enumerate() {
            let text = write(candidate);
            let Ok(read) = Scenario::parse("candidate", &text) else { continue };
            let key = digest(text.as_str());
            let fresh = seeds.iter().filter(|seed| !self.tried.contains(&(key, **seed)));
            jobs.extend(fresh.map(|seed| (place, key, *seed, read.clone())));
        }
        let (next, played) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
        let best: Mutex<Option<(usize, Failure)>> = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    loop {
                        let job = next.fetch_add(1, Ordering::Relaxed);
                        let found = locked(&best).as_ref().is_some_and(|(found, _)| *found < job);
                        let Some((_, _, seed, scenario)) = jobs.get(job).filter(|_| !found && !self.over()) else { break };
                        let failure = self.plays(scenario, *seed);
                        locked(&played).insert(job);
                        let mut best = locked(&best);
                        if let Some(failure) = failure
                            && best.as_ref().is_none_or(|(found, _)| job < *found)
                        {
                            *best = Some((job, failure));
                        }
                    }
                });
            }
        });
        let best = best.into_inner().unwrap_or_else(PoisonError::into_inner);
        let played = played.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.runs += played.len() as u64;
        let before = best.as_ref().map_or(usize::MAX, |(found, _)| *found);
        self.tried.extend(played.into_iter().filter(|job| *job < before).map(|job| (jobs[job].1, jobs[job].2)));
        best.map(|(job, failure)| (jobs[job].0, failure))
    }

    /// With how many of these seeds a scenario fails by the rule.
    pub fn hits(&mut self, scenario: &Scenario, seeds: &[u64]) -> u64 {
        let (next, hits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs {
                scope.spawn(|| {
                    while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                        hits.fetch_add(usize::from(self.plays(scenario, *seed).is_some()), Ordering::Relaxed);
                    }
                });
            }
        });
        self.runs += seeds.len() as u64;
        hits.into_inner() as u64
    }
}
