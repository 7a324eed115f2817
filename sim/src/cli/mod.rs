//! The `sim` command: play a scenario for one seed or many, and check that runs replay.
//!
//! What it prints is for people and for scripts: the last line of a single run has one fixed form. Exit status: 0 when all is well, 1 when a run
//! failed, was vacuous or did not replay, 2 when the command or the scenario file is wrong.

mod determinism;
mod many;
#[cfg(feature = "zoo")]
mod zoo;

use crate::engine::{self, Engine, Options, Outcome, Verdict};
use crate::scenario::Scenario;
use clap::{Args, Parser, Subcommand};
use std::fmt::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How much of the story is printed under a failure.
const STORY: usize = 60;

/// Plays whole clusters under faults, replayed exactly from a seed.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Plays a scenario, for one seed or a range of seeds
    Run(Run),
    /// Plays each seed in two processes and compares them
    CheckDeterminism(Check),
    /// Hunts known bugs, each switched on in turn, and prints which are found
    #[cfg(feature = "zoo")]
    Zoo(zoo::Zoo),
}

#[derive(Args, Clone)]
struct Which {
    /// The scenario, a .toml file
    file: String,
    /// Who plays it
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// A known bug to switch on in all nodes
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    which: Which,
    /// One seed
    #[arg(long, value_name = "N", conflicts_with = "seeds", default_value_t = 0)]
    seed: u64,
    /// Many seeds, the last one excluded, on all cores
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// How many seeds at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Stop at the first seed that fails
    #[arg(long, requires = "seeds")]
    first: bool,
    /// Tell what happened, also when all went well
    #[arg(long, conflicts_with = "seeds")]
    story: bool,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    which: Which,
    /// The seeds, the last one excluded
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
}

/// `A..B`, or one number for one seed.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("\"{text}\" is not a range of seeds: write A..B, with B excluded, such as 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let range = from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?;
    if range.is_empty() { Err(format!("\"{text}\" holds no seed: the end is excluded")) } else { Ok(range) }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::CheckDeterminism(check) => determinism::check(&check),
        #[cfg(feature = "zoo")]
        Command::Zoo(zoo) => zoo.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("sim: {message}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "zoo")]
fn bug_named(name: &str) -> Result<tertulia_protocol::zoo::Bug, String> {
    use tertulia_protocol::zoo::Bug;
    let known = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
    let bug = Bug::ALL.iter().copied().find(|bug| bug.name() == name);
    bug.ok_or_else(|| format!("no bug is named \"{name}\": known are {}", known()))
}

impl Which {
    fn options(&self) -> Result<Options, String> {
        let Some(name) = &self.bug else { return Ok(Options::default()) };
        #[cfg(feature = "zoo")]
        {
            Ok(Options { bug: Some(bug_named(name)?), ..Options::default() })
        }
        #[cfg(not(feature = "zoo"))]
        Err(format!("this build has no zoo of bugs, so no \"{name}\": build with --features zoo"))
    }

    /// The command that plays one seed of this again.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!("cargo sim run {} --seed {seed}", self.file);
        if self.engine != Engine::default() {
            let _ = write!(command, " --engine {}", self.engine.name());
        }
        if let Some(bug) = &self.bug {
            let _ = write!(command, " --bug {bug}");
        }
        command
    }
}

impl Run {
    /// Whether all went well.
    fn run(&self) -> Result<bool, String> {
        let scenario = Scenario::load(&self.which.file).map_err(|error| error.to_string())?;
        let options = self.which.options()?;
        if let Some(seeds) = &self.seeds {
            return many::run(self, &scenario, options, seeds.clone());
        }
        let clock = wall_clock();
        let outcome = engine::run(self.which.engine, &scenario, self.seed, options).map_err(|error| error.to_string())?;
        let wall = clock();
        let text = evidence(&outcome, self.story);
        print!("{text}");
        println!("{}", line(self.seed, &outcome, wall));
        Ok(outcome.verdict == Verdict::Ok)
    }
}

/// Real time passed since this was called: for speeds only, never for a run.
#[expect(clippy::disallowed_methods, reason = "the command line reports speeds; no run sees this clock")]
fn wall_clock() -> impl Fn() -> Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// The last line of a run, in its fixed form.
fn line(seed: u64, outcome: &Outcome, wall: Duration) -> String {
    let verdict = match &outcome.verdict {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Failed { rule, .. } => format!("FAILED rule={rule}"),
        Verdict::Vacuous { .. } => "vacuous".to_owned(),
    };
    format!(
        "seed {seed} {verdict} trace={:016x} events={} simulated={:.1}s wall={:.2}s speed={:.1}x",
        outcome.trace,
        outcome.events,
        outcome.simulated.as_secs_f64(),
        wall.as_secs_f64(),
        outcome.simulated.as_secs_f64() / wall.as_secs_f64().max(1e-9),
    )
}

/// What goes before the last line: the story of a failure, the reason of a vacuous run.
fn evidence(outcome: &Outcome, story: bool) -> String {
    let mut text = String::new();
    let failed = matches!(outcome.verdict, Verdict::Failed { .. });
    if failed || story {
        let skip = if story { 0 } else { outcome.story.len().saturating_sub(STORY) };
        if skip > 0 {
            let _ = writeln!(text, "  … {skip} earlier events");
        }
        for (at, sentence) in &outcome.story[skip..] {
            let _ = writeln!(text, "  {:>10.6}s  {sentence}", *at as f64 / 1e6);
        }
    }
    if story {
        for (point, times) in &outcome.points {
            let _ = writeln!(text, "  reached {point} {times} times");
        }
        let tally = &outcome.tally;
        let _ = writeln!(
            text,
            "  {} posts, {} acknowledged, {} deliveries, {} reads, {} elections, {} hand-overs, {} crashes, {} messages lost or doubled, longest wait {} ms",
            tally.submitted,
            tally.acked,
            tally.delivered,
            tally.reads,
            tally.elections,
            tally.transfers,
            tally.crashes,
            tally.touched,
            tally.longest_wait / 1_000
        );
    }
    match &outcome.verdict {
        Verdict::Ok => {}
        Verdict::Failed { rule, evidence } => {
            let _ = writeln!(text, "FAILED by rule {rule}:");
            evidence.iter().for_each(|line| _ = writeln!(text, "  {line}"));
        }
        Verdict::Vacuous { why } => {
            let _ = writeln!(text, "vacuous, this run proves nothing:");
            why.iter().for_each(|line| _ = writeln!(text, "  {line}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::Tally;

    #[test]
    fn the_last_line_has_a_fixed_form() {
        let mut outcome = Outcome {
            verdict: Verdict::Ok,
            trace: 0x0123_4567_89ab_cdef,
            events: 123,
            simulated: Duration::from_millis(20_100),
            tally: Tally::default(),
            points: Vec::new(),
            story: Vec::new(),
        };
        let wall = Duration::from_millis(50);
        assert_eq!(
            line(7, &outcome, wall),
            "seed 7 ok trace=0123456789abcdef events=123 simulated=20.1s wall=0.05s speed=402.0x"
        );
        outcome.verdict = Verdict::failed("election-safety", "two leaders");
        assert!(line(7, &outcome, wall).starts_with("seed 7 FAILED rule=election-safety trace=0123456789abcdef events=123 "));
        assert_eq!(evidence(&outcome, false), "FAILED by rule election-safety:\n  two leaders\n");
    }

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!(seeds("3..9"), Ok(3..9));
        assert!(seeds("9..3").is_err() && seeds("9").is_err() && seeds("a..b").is_err());
    }
}
