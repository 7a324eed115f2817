//! The `sim` command: play a scenario for one seed or many, hunt for failures, make them small, look at one closely, and check that runs replay.
//!
//! What it prints is for people and for scripts: the last line of a single run has one fixed form. Exit status: 0 when all is well, 1 when a run
//! failed, was vacuous or did not replay, 2 when the command or the scenario file is wrong.

mod bench;
#[cfg(feature = "zoo")]
mod branching;
mod cluster;
mod determinism;
mod explore;
mod hunt;
mod judge;
mod live;
mod many;
mod replay;
mod schema;
mod show;
mod shrink;
#[cfg(feature = "zoo")]
mod zoo;

use crate::engine::{self, Engine, Options, Outcome, Verdict};
use crate::fast::branch::{self, Branching, Turn};
use crate::scenario::{Scenario, Template};
use clap::{Args, Parser, Subcommand};
use std::fmt::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tertulia_protocol::dice::Seed;

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
    /// Searches every course of a small scope
    Explore(explore::Explore),
    /// Plays one seed again and tells what happened: as text, or as a page to look through
    Replay(replay::Replay),
    /// Plays many seeds of many scenarios and groups what fails
    Hunt(hunt::HuntArgs),
    /// Joins results of hunts into one summary
    Merge(hunt::MergeArgs),
    /// Makes a run that fails small, and writes it as a scenario
    Shrink(shrink::ShrinkArgs),
    /// Plays each seed in two processes and compares them
    CheckDeterminism(Check),
    /// Measures how fast the engines are
    Bench(bench::Bench),
    /// Compares how soon known bugs are found with branches and without
    #[cfg(feature = "zoo")]
    Branching(branching::Compare),
    /// Plays faults on real processes on this machine, and judges them
    Live(live::Live),
    /// Keeps a cluster of real processes whose links are cut by whoever types
    Cluster(cluster::Cluster),
    /// Judges what was recorded, by a run or by a live cluster
    Judge(JudgeFiles),
    /// Prints what a scenario leaves to the seed, as it is drawn for one
    Show(show::Show),
    /// Prints the JSON Schema of scenario files, for editors
    Schema(schema::Schema),
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
    /// One seed [default: the one that the scenario names, or 0]
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
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
    /// Let each seed go on in up to N other ways from its rare moments, as long as it does not fail
    #[arg(long, value_name = "N", default_value_t = 0)]
    branch: u32,
    /// Play the branch of a seed that these turns lead to
    #[arg(long, value_name = "EVENTS:SALT,…", value_delimiter = ',', conflicts_with_all = ["seeds", "branch"])]
    turns: Vec<Turn>,
    /// Write everything that the judge is told to this file, to be judged again by `sim judge`
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    record: Option<String>,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    which: Which,
    /// The seeds, the last one excluded
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    seeds: Range<u64>,
}

#[derive(Args)]
struct JudgeFiles {
    /// Records of one cluster: facts of nodes, or a history of clients. They are merged by time, so their clocks have to agree
    #[arg(required = true)]
    files: Vec<String>,
    /// Leave out what is from inside the nodes, and judge by what clients saw alone
    #[arg(long)]
    clients: bool,
    /// The cluster had settled at the end: apply the rules of the end, to all nodes that are up
    #[arg(long)]
    settled: bool,
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
        Command::Explore(explore) => explore.run(),
        Command::Replay(replay) => replay.run(),
        Command::Hunt(hunt) => hunt.run(),
        Command::Merge(merge) => merge.run(),
        Command::Shrink(shrink) => shrink.run(),
        Command::CheckDeterminism(check) => determinism::check(&check),
        Command::Bench(bench) => bench::bench(&bench),
        #[cfg(feature = "zoo")]
        Command::Branching(compare) => branching::compare(&compare),
        Command::Live(live) => live.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Judge(files) => judge::judge(&files),
        Command::Show(show) => show.run(),
        Command::Schema(schema) => schema.run(),
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

impl Which {
    fn options(&self, scenario: &Scenario) -> Result<Options, String> {
        Options::with_bug(self.bug.as_deref(), scenario.bug.as_deref())
    }

    /// The command that plays one seed of this again, or a branch of it.
    fn replay(&self, seed: u64, turns: &[Turn]) -> String {
        let mut command = replay(&self.file, seed, self.engine, self.bug.as_deref());
        if !turns.is_empty() {
            let turns: Vec<String> = turns.iter().map(Turn::to_string).collect();
            let _ = write!(command, " --turns {}", turns.join(","));
        }
        command
    }
}

/// A word of a command, as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// The command that plays one seed again.
fn replay(file: &str, seed: u64, engine: Engine, bug: Option<&str>) -> String {
    let mut command = format!("cargo sim run {} --seed {seed}", quoted(file));
    if engine != Engine::default() {
        let _ = write!(command, " --engine {}", engine.name());
    }
    if let Some(bug) = bug {
        let _ = write!(command, " --bug {bug}");
    }
    command
}

impl Run {
    /// Whether all went well.
    fn run(&self) -> Result<bool, String> {
        let template = Template::load(&self.which.file).map_err(|error| error.to_string())?;
        let seed = self.seed.or(template.seed()).unwrap_or(0);
        let scenario = template.scenario(seed).map_err(|error| error.to_string())?;
        let options = self.which.options(&scenario)?;
        if let Some(seeds) = &self.seeds {
            return many::run(self, &template, options, seeds.clone());
        }
        let options = Options { record: self.record.is_some(), ..options };
        let clock = wall_clock();
        let (outcome, turns) = self.play(&scenario, seed, options)?;
        let wall = clock();
        if let (Some(file), Some(record)) = (&self.record, &outcome.record) {
            std::fs::write(file, record).map_err(|error| format!("{file}: cannot be written: {error}"))?;
        }
        let text = evidence(&outcome, self.story);
        print!("{text}");
        if self.branch > 0 && !turns.is_empty() {
            println!("  replay: {}", self.which.replay(seed, &turns));
        }
        println!("{}", line(seed, &outcome, wall));
        Ok(outcome.verdict == Verdict::Ok)
    }

    /// Plays one seed, or its branches until one fails; the turns of the run that is told of.
    fn play(&self, scenario: &Scenario, seed: u64, options: Options) -> Result<(Outcome, Vec<Turn>), String> {
        let plain = self.branch == 0 && self.turns.is_empty();
        if plain {
            let outcome = engine::run(self.which.engine, scenario, seed, options).map_err(|error| error.to_string())?;
            return Ok((outcome, Vec::new()));
        }
        if self.which.engine != Engine::Fast {
            return Err("only the fast engine branches: leave out --engine, or --branch and --turns".to_owned());
        }
        if self.branch == 0 {
            return Ok((branch::replay(scenario, Seed(seed), options, &self.turns), self.turns.clone()));
        }
        let branching = Branching { most: self.branch, horizon: None };
        let explored = branch::explore(scenario, Seed(seed), options, branching);
        Ok((explored.outcome, explored.turns))
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
            "  {} posts, {} accepted without a leader, {} acknowledged, {} deliveries, {} reads, {} elections, {} hand-overs, {} crashes, {} messages lost or doubled, longest wait {} ms",
            tally.submitted,
            tally.accepted,
            tally.acked,
            tally.delivered,
            tally.reads,
            tally.elections,
            tally.transfers,
            tally.crashes,
            tally.touched,
            tally.longest_wait / 1_000
        );
        let progress = &tally.progress;
        let _ = writeln!(
            text,
            "  progress was owed {} times, {} of them by a part of the members; nobody could be elected {} times; longest without a leader {} ms",
            progress.owed,
            progress.owed_in_part,
            progress.constrained,
            progress.longest_without_leader / 1_000
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
            decisions: Vec::new(),
            record: None,
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
