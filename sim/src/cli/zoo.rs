//! `sim zoo`: hunts the known bugs and prints which are found, by which rule, after how much: the kill matrix.

use crate::engine::Engine;
use crate::zoo::{Catch, Found, Hunt};
use clap::Args;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tertulia_protocol::zoo::Bug;

#[derive(Args)]
pub(super) struct Zoo {
    /// Only this bug; may be given several times
    #[arg(long, value_name = "NAME")]
    bug: Vec<String>,
    /// Who plays
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// CPU time for each bug
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    budget: Duration,
    /// How many bugs at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Hunt each bug that was found again without one kind of fault after the other
    #[arg(long)]
    ablate: bool,
    /// Write the matrix to a file
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
}

fn time(text: &str) -> Result<Duration, String> {
    let micros = crate::scenario::units::duration(text)?;
    if micros == 0 { Err("no time at all".to_owned()) } else { Ok(Duration::from_micros(micros)) }
}

/// What was tried without a kind of fault: `None`, it was found all the same.
type Needs = Vec<(&'static str, Option<u64>)>;

type Hunted = Result<(Catch, Option<Needs>), String>;

impl Zoo {
    /// Whether all were found.
    pub(super) fn run(&self) -> Result<bool, String> {
        if cfg!(debug_assertions) {
            let why = "assertions would stop a bug before the judge sees it";
            return Err(format!("the zoo is hunted by builds without debug assertions, for {why}: run `cargo sim zoo`"));
        }
        let bugs = self.bugs()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or(cores).clamp(1, bugs.len().max(1));
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        println!("the {} engine plays, {:?} of CPU time for each bug at most", self.engine.name(), self.budget);
        println!("{:<31} {:<12} {:<26} {:>6} {:>8}  faults that had fired", "bug", "kind", "found by", "seeds", "cpu");
        let catches = std::thread::scope(|scope| {
            for _ in 0..jobs {
                let (sender, next, bugs) = (sender.clone(), &next, &bugs);
                scope.spawn(move || {
                    while let Some(bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if sender.send((*bug, self.hunt(*bug))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            self.collect(&bugs, &receiver)
        })?;
        self.finish(&catches)
    }

    fn bugs(&self) -> Result<Vec<Bug>, String> {
        if self.bug.is_empty() {
            return Ok(Bug::ALL.to_vec());
        }
        self.bug.iter().map(|name| crate::engine::bug_named(name)).collect()
    }

    fn hunt(&self, bug: Bug) -> Hunted {
        let hunt = Hunt { engine: self.engine, budget: self.budget };
        let catch = hunt.hunt(bug)?;
        let needs = match &catch.found {
            Some(found) if self.ablate => Some(hunt.ablate(&catch, found)?),
            _ => None,
        };
        Ok((catch, needs))
    }

    /// Prints what comes, in the order of the table.
    fn collect(&self, bugs: &[Bug], receiver: &mpsc::Receiver<(Bug, Hunted)>) -> Result<Vec<(Catch, Option<Needs>)>, String> {
        let mut waiting: BTreeMap<Bug, (Catch, Option<Needs>)> = BTreeMap::new();
        let mut done = Vec::new();
        for (bug, hunted) in receiver {
            waiting.insert(bug, hunted?);
            while let Some((catch, needs)) = bugs.get(done.len()).and_then(|bug| waiting.remove(bug)) {
                self.print(&catch, needs.as_ref());
                done.push((catch, needs));
            }
        }
        Ok(done)
    }

    fn print(&self, catch: &Catch, needs: Option<&Needs>) {
        let (by, kinds) = match &catch.found {
            Some(found) => (found.rule.as_str(), list(found.kinds.iter().copied())),
            None => ("NOT FOUND", String::new()),
        };
        let kind = format!("{:?}", catch.bug.kind());
        println!("{:<31} {kind:<12} {by:<26} {:>6} {:>7.2}s  {kinds}", catch.bug.name(), catch.seeds, catch.cpu.as_secs_f64());
        if let Some(found) = &catch.found {
            println!("    replay: {}", self.replay(catch.bug, found));
        }
        if !catch.others.is_empty() {
            let others = catch.others.iter().map(|(rule, times)| format!("{rule} {times} times"));
            println!("    other rules before that: {}", list(others));
        }
        if let Some(needs) = needs {
            let needed =
                needs.iter().filter_map(|(kind, tried)| tried.map(|seeds| format!("{kind} (not in {seeds} seeds without)")));
            let spared = needs.iter().filter(|(_, tried)| tried.is_none()).map(|(kind, _)| *kind);
            println!("    needs: {}; does without: {}", list(needed), list(spared));
        }
    }

    fn replay(&self, bug: Bug, found: &Found) -> String {
        let engine = if self.engine == Engine::default() { String::new() } else { format!(" --engine {}", self.engine.name()) };
        format!("cargo sim run {} --seed {} --bug {}{engine}", found.ground.path, found.seed, bug.name())
    }

    fn finish(&self, catches: &[(Catch, Option<Needs>)]) -> Result<bool, String> {
        if let Some(file) = &self.json {
            let rows: Vec<Row> = catches.iter().map(|(catch, needs)| self.row(catch, needs.as_ref())).collect();
            let text = serde_json::to_string_pretty(&rows).map_err(|error| error.to_string())?;
            std::fs::write(file, text + "\n").map_err(|error| format!("cannot write {file}: {error}"))?;
        }
        let mut times: Vec<Duration> =
            catches.iter().filter(|(catch, _)| catch.found.is_some()).map(|(catch, _)| catch.cpu).collect();
        times.sort_unstable();
        let (found, all) = (times.len(), catches.len());
        println!("found={found}/{all} median={:.2}s p95={:.2}s", at(&times, 50).as_secs_f64(), at(&times, 95).as_secs_f64());
        Ok(found == all)
    }

    fn row<'a>(&self, catch: &'a Catch, needs: Option<&Needs>) -> Row<'a> {
        Row {
            bug: catch.bug.name(),
            kind: format!("{:?}", catch.bug.kind()),
            about: catch.bug.about().trim(),
            breaks: catch.bug.breaks(),
            engine: self.engine.name(),
            found: catch.found.is_some(),
            rule: catch.found.as_ref().map(|found| found.rule.as_str()),
            seeds: catch.seeds,
            cpu_seconds: catch.cpu.as_secs_f64(),
            ground: catch.found.as_ref().map(|found| found.ground.path),
            seed: catch.found.as_ref().map(|found| found.seed),
            fired: catch.found.as_ref().map(|found| &found.kinds),
            other_rules: &catch.others,
            needs: needs.map(|needs| needs.iter().filter(|(_, tried)| tried.is_some()).map(|(kind, _)| *kind).collect()),
        }
    }
}

/// One bug in the file.
#[derive(Serialize)]
struct Row<'a> {
    bug: &'a str,
    kind: String,
    about: &'a str,
    breaks: &'a [&'a str],
    engine: &'a str,
    found: bool,
    rule: Option<&'a str>,
    seeds: u64,
    cpu_seconds: f64,
    ground: Option<&'a str>,
    seed: Option<u64>,
    fired: Option<&'a BTreeSet<&'static str>>,
    other_rules: &'a BTreeMap<String, u64>,
    needs: Option<Vec<&'static str>>,
}

/// The value that so many per cent do not exceed; `sorted` ascends.
fn at(sorted: &[Duration], percent: usize) -> Duration {
    let nth = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(nth).copied().unwrap_or_default()
}

fn list<S: AsRef<str>>(of: impl Iterator<Item = S>) -> String {
    let joined = of.map(|one| one.as_ref().to_owned()).collect::<Vec<_>>().join(", ");
    if joined.is_empty() { "nothing".to_owned() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_secs).collect();
        assert_eq!((at(&times, 50), at(&times, 95)), (Duration::from_secs(10), Duration::from_secs(19)));
        assert_eq!((at(&times[..1], 95), at(&[], 50)), (Duration::from_secs(1), Duration::ZERO));
    }

    #[test]
    fn a_budget_is_a_time() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert!(time("0s").is_err() && time("soon").is_err());
    }
}
