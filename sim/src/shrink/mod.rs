//! From a run that fails to a short scenario that fails by the same rule.
//!
//! 1. Time ends right after the violation. What is drawn is left to be drawn as long as a smaller swarm fails as well: fewer nodes and clients, less time, fewer
//!    kinds of faults. Smaller runs are so much shorter that this pays for everything that comes after it.
//! 2. What the fault plan drew and resolved in the run that fails becomes a schedule that leaves nothing to draw ([`concrete`]).
//! 3. Of the faults, [`ddmin`] keeps those without which it does not come to it.
//! 4. Nodes, clients, operations, time, and whatever else is peculiar go, one candidate after the other ([`simplify`], [`nodes`]), again and again until
//!    nothing more goes.
//!
//! A candidate counts if it fails by the same rule, with the seed so far or with one of a few others: a smaller scenario meets other delays and other
//! jitter, and it would be a pity to keep a node only because a timer needs it. The fewer events a run has, the more seeds are tried. Where time is not
//! over in the midst of it, the result depends on nothing but the scenario, the seed, the engine and the bug.

mod concrete;
mod ddmin;
mod nodes;
mod simplify;
mod trial;

pub use ddmin::ddmin;
pub use trial::Failure;

use crate::engine::{self, Engine, Options, Verdict};
use crate::scenario::Scenario;
use concrete::{by_role, concrete, is_alone, keep, stop_at};
use std::collections::BTreeSet;
use trial::Trial;

/// Events that may be spent on one candidate, over all its seeds.
const EVENTS: u64 = 300_000;
/// Events that may be spent on one candidate when nothing more goes with less.
const MORE_EVENTS: u64 = 3_000_000;
/// Seeds that are tried with a candidate at most, beside the one so far.
const SEEDS: u64 = 40;
/// Seeds that are tried with a smaller swarm, beside the one so far.
const SWARM_SEEDS: u64 = 5;
/// Seeds by which it is told how often the small scenario fails, if it is small enough.
const TOLD: u64 = 20;
/// Rounds over everything that may be simpler: more than any honest shrinking needs.
const ROUNDS: usize = 50;

/// What is to be made small.
pub struct Job<'a> {
    pub scenario: Scenario,
    pub seed: u64,
    pub engine: Engine,
    pub options: Options,
    pub jobs: usize,
    /// Whether time is over; asked before each run.
    pub over: &'a (dyn Fn() -> bool + Sync),
    /// Is told of each step.
    pub tell: &'a mut dyn FnMut(&str),
}

/// What came of it.
pub struct Shrunk {
    pub rule: String,
    /// The small scenario, with the seed that fails.
    pub failure: Failure,
    /// With how many of so many first seeds it fails.
    pub hits: u64,
    pub of: u64,
    pub runs: u64,
    /// Time was over before nothing more went.
    pub cut: bool,
}

/// Makes a failure small.
///
/// # Errors
/// When the run does not fail, or the engine cannot play it.
pub fn shrink(job: Job<'_>) -> Result<Shrunk, String> {
    let Job { scenario, seed, engine, options, jobs, over, tell } = job;
    let outcome = engine::run(engine, &scenario, seed, options).map_err(|error| error.to_string())?;
    let rule = match &outcome.verdict {
        Verdict::Failed { rule, .. } => rule.clone(),
        Verdict::Ok => return Err(format!("seed {seed} goes well: there is nothing to shrink")),
        Verdict::Vacuous { .. } => return Err(format!("seed {seed} is vacuous: only a failure can be shrunk")),
    };
    let trial = Trial::new(engine, options, &rule, jobs, over);
    let mut best = Failure { scenario, seed, outcome };
    // Neither belongs to what is tried; both are written again at the end.
    (best.scenario.seed, best.scenario.bug) = (None, None);
    let mut shrinker = Shrinker { trial, best, events: 0, tell };
    shrinker.told("fails by");
    shrinker.all(&rule);
    Ok(shrinker.end(rule))
}

struct Shrinker<'a> {
    trial: Trial<'a>,
    best: Failure,
    /// That may be spent on a candidate; 0 while it is a matter of swarms.
    events: u64,
    tell: &'a mut dyn FnMut(&str),
}

impl Shrinker<'_> {
    fn all(&mut self, rule: &str) {
        self.end_with_violation(rule);
        self.smaller_swarm();
        self.make_concrete();
        self.events = EVENTS;
        self.last_faults();
        self.fewest_faults();
        self.rounds();
        self.events = MORE_EVENTS;
        self.rounds();
        self.more_robust();
        self.step("names", |failure| simplify::names(&failure.scenario));
        self.step("round times", |failure| simplify::rounder(&failure.scenario));
        self.lowest_seed();
    }

    /// Without expectations that do not matter, and without the time after the violation.
    fn end_with_violation(&mut self, rule: &str) {
        let stop = (self.best.at() + 1).next_multiple_of(1_000).min(self.best.scenario.workload.stop);
        let mut candidates = simplify::expectations(&self.best.scenario, rule);
        candidates.push(self.best.scenario.clone());
        let candidates: Vec<Scenario> = candidates.iter().map(|candidate| stop_at(candidate, stop)).collect();
        if self.same_seed(&candidates) {
            return self.told("ends with the violation");
        }
        self.step("expectations", |failure| simplify::expectations(&failure.scenario, rule));
    }

    /// As long as it fails as well: fewer nodes, less work, less time and fewer kinds of faults, while what is drawn is left to be drawn.
    fn smaller_swarm(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.best.scenario.clone();
            self.step("fewer voters", |failure| nodes::fewer_voters(&failure.scenario, &failure.outcome.decisions));
            self.step("a smaller workload", |failure| simplify::workloads(&failure.scenario));
            self.step("less time", |failure| simplify::stops(&failure.scenario));
            self.step("a plainer cluster", |failure| simplify::clusters(&failure.scenario));
            self.fewest_faults();
            self.cut();
            if self.best.scenario == before || self.trial.over() {
                break;
            }
        }
    }

    /// All that may be simpler, until nothing more goes.
    fn rounds(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.best.scenario.clone();
            self.cut();
            self.step("less time", |failure| simplify::gaps(&failure.scenario));
            self.step("fewer voters", |failure| nodes::fewer_voters(&failure.scenario, &failure.outcome.decisions));
            self.step("fewer spares", |failure| nodes::fewer_spares(&failure.scenario));
            self.fewest_faults();
            self.step("a smaller workload", |failure| simplify::workloads(&failure.scenario));
            self.step("a plainer cluster", |failure| simplify::clusters(&failure.scenario));
            self.step("simpler faults", |failure| simplify::verbs(&failure.scenario));
            self.step("shorter faults", |failure| simplify::shorter(&failure.scenario));
            if self.best.scenario == before || self.trial.over() {
                break;
            }
        }
    }

    /// The seeds that a candidate is tried with: the one so far, and the more others the fewer events a run has.
    fn seeds(&self) -> Vec<u64> {
        let more = match self.events {
            0 => SWARM_SEEDS,
            events => (events / self.best.outcome.events.max(1)).clamp(1, SEEDS),
        };
        let others = (0..=more).filter(|seed| *seed != self.best.seed).take(more as usize);
        std::iter::once(self.best.seed).chain(others).collect()
    }

    /// The place of the first candidate that fails; it is the best so far from now on.
    fn first(&mut self, candidates: &[Scenario]) -> Option<usize> {
        let seeds = self.seeds();
        let (place, failure) = self.trial.first(candidates, &seeds)?;
        self.best = failure;
        Some(place)
    }

    /// Takes the first of the candidates that fails, makes new ones of it, and so on until none does.
    fn step(&mut self, what: &str, candidates: impl Fn(&Failure) -> Vec<Scenario>) -> bool {
        let mut went = false;
        while self.first(&candidates(&self.best)).is_some() {
            went = true;
        }
        if went {
            self.told(what);
        }
        went
    }

    /// Ends right after the violation.
    fn cut(&mut self) {
        let stop = (self.best.at() + 1).next_multiple_of(1_000);
        if stop < self.best.scenario.workload.stop {
            let candidate = stop_at(&self.best.scenario, stop);
            if self.same_seed(&[candidate]) {
                self.told("ends with the violation");
            }
        }
    }

    /// The first candidate that fails with the seed so far is the best from now on.
    fn same_seed(&mut self, candidates: &[Scenario]) -> bool {
        let found = self.trial.first(candidates, &[self.best.seed]);
        found.map(|(_, failure)| self.best = failure).is_some()
    }

    /// Writes down what the plan decided; where the run depends too much on when things happen, fault by fault.
    fn make_concrete(&mut self) {
        let Failure { scenario, outcome, .. } = &self.best;
        let candidates = [1, 0].map(|later| concrete(scenario, &outcome.decisions, None, self.best.at(), later));
        if self.same_seed(&candidates) {
            return self.told("as decided");
        }
        let mut nth = 0;
        while nth < self.best.scenario.faults.len() {
            let Failure { scenario, outcome, .. } = &self.best;
            let before = scenario.faults.len();
            let candidate = concrete(scenario, &outcome.decisions, Some(nth), self.best.at(), 1);
            let went = is_alone(scenario, nth) && self.same_seed(&[candidate]);
            // What a fault was split into stands in its place; a drawn one stays as it is.
            nth += if went { self.best.scenario.faults.len() + 1 - before } else { 1 };
        }
        self.told("partly as decided");
    }

    /// Often the last few faults are the reason.
    fn last_faults(&mut self) {
        let count = self.best.scenario.faults.len();
        let lasts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32].into_iter().filter(|last| *last < count);
        let candidates: Vec<Scenario> = lasts.map(|last| keep(&self.best.scenario, &(count - last..count).collect())).collect();
        if self.first(&candidates).is_some() {
            self.told("the last faults only");
        }
    }

    fn fewest_faults(&mut self) {
        let all = self.best.scenario.clone();
        let places: Vec<usize> = (0..all.faults.len()).collect();
        let left = ddmin(&places, |choices| {
            let sets = choices.iter().map(|choice| choice.iter().copied().collect::<BTreeSet<usize>>());
            let candidates: Vec<Scenario> = sets.map(|set| keep(&all, &set)).collect();
            self.first(&candidates)
        });
        if left.len() < places.len() {
            self.told("fewer faults");
        }
    }

    /// Whoever has a role by that role, if that fails at least as often.
    fn more_robust(&mut self) {
        let roles = by_role(&self.best.scenario, &self.best.outcome.decisions);
        if roles == self.best.scenario || self.trial.over() {
            return;
        }
        let (now, _) = self.hits(&self.best.scenario.clone());
        if self.hits(&roles).0 >= now && self.first(&[roles]).is_some() {
            self.told("by role");
        }
    }

    /// With how many of how many first seeds a scenario fails.
    fn hits(&mut self, scenario: &Scenario) -> (u64, u64) {
        let of = (MORE_EVENTS / self.best.outcome.events.max(1)).clamp(1, TOLD);
        (self.trial.hits(scenario, &(0..of).collect::<Vec<_>>()), of)
    }

    /// The same scenario with the lowest seed that fails.
    fn lowest_seed(&mut self) {
        let seeds: Vec<u64> = (0..self.best.seed.min(SEEDS)).collect();
        let scenario = self.best.scenario.clone();
        let found = seeds.into_iter().find_map(|seed| if self.trial.over() { None } else { self.trial.plays(&scenario, seed) });
        if let Some(failure) = found {
            self.best = failure;
        }
    }

    fn end(mut self, rule: String) -> Shrunk {
        let cut = self.trial.over();
        let (hits, of) = self.hits(&self.best.scenario.clone());
        Shrunk { rule, failure: self.best, hits, of, runs: self.trial.runs, cut }
    }

    fn told(&mut self, what: &str) {
        (self.tell)(&format!("{what}: {}, seed {}, {} runs", size(&self.best.scenario), self.best.seed, self.trial.runs));
    }
}

/// How big a scenario is, in words.
pub fn size(scenario: &Scenario) -> String {
    let many = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    let (faults, nodes) = (scenario.faults.len(), scenario.cluster.hosts());
    let (clients, stop) = (scenario.workload.clients as usize, scenario.workload.stop as f64 / 1e6);
    format!(
        "{}, {}, {}, {stop} s",
        many(faults, "fault", "faults"),
        many(nodes, "node", "nodes"),
        many(clients, "client", "clients")
    )
}

#[cfg(all(test, feature = "zoo"))]
mod tests;
