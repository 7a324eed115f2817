//! `sim hunt`: many seeds of many scenarios; and `sim merge`, which joins what parts of a hunt have found.
//!
//! The summary goes to stdout, and is the same for any number of jobs, its last line aside. How far it is goes to stderr: a bar on a terminal, otherwise a
//! line every ten seconds.

use super::wall_clock;
use crate::engine::{Engine, Options};
use crate::hunt::{Hunt, Part, Progress, Report, ScenarioFile, scenarios_in};
use crate::scenario::units;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Where the scenarios are, when none is named.
const SCENARIOS: &str = "scenarios";
/// Seeds of each scenario, when neither seeds nor a time are named.
const SEEDS: u64 = 100;
/// Between two lines that say how far it is, where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct HuntArgs {
    /// Scenarios, .toml files [default: all of scenarios/, examples aside]
    files: Vec<String>,
    /// Who plays them
    #[arg(long, value_enum, default_value_t)]
    engine: Engine,
    /// For how long, such as 10m; runs that are being played then are played to their end
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
    /// So many seeds of each scenario, or a range with the last one excluded [default: 100 without --for]
    #[arg(long, value_name = "N or A..B", value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Part I of N: plays the seeds that leave I - 1 when divided by N. `sim merge` joins the results
    #[arg(long, value_name = "I/N", value_parser = part, default_value = "1/1")]
    part: Part,
    /// How many runs at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Play on when a run has failed
    #[arg(long)]
    keep_going: bool,
    /// Fail when a named point of the protocol or of the simulator was never reached
    #[arg(long)]
    require_points: bool,
    /// So many runs may prove nothing, such as 5%: what is drawn from the seed is now and then too thin
    #[arg(long, value_name = "PERCENT", value_parser = units::percent, default_value = "0%")]
    allow_vacuous: u32,
    /// A known bug to switch on in all nodes
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// A folder for the result as a JSON file
    #[arg(long, value_name = "DIR")]
    out: Option<String>,
}

#[derive(Args)]
pub(super) struct MergeArgs {
    /// Results of hunts, .json files
    #[arg(required = true)]
    files: Vec<String>,
    /// Fail when a named point of the protocol or of the simulator was never reached
    #[arg(long)]
    require_points: bool,
    /// So many runs may prove nothing, such as 5%: what is drawn from the seed is now and then too thin
    #[arg(long, value_name = "PERCENT", value_parser = units::percent, default_value = "0%")]
    allow_vacuous: u32,
    /// Where to write the joined result
    #[arg(long, value_name = "FILE")]
    out: Option<String>,
}

/// Real time: as in a scenario, or whole hours.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('h').map(str::parse::<u32>) {
        Some(Ok(hours)) => Ok(Duration::from_secs(3_600 * u64::from(hours))),
        _ => units::duration(text).map(Duration::from_micros),
    }
}

/// `N` for 0..N, or `A..B`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("no seed is none: at least 1".to_owned()),
        Ok(count) => Ok(0..count),
        Err(_) => super::seeds(text),
    }
}

fn part(text: &str) -> Result<Part, String> {
    let numbers = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((part, of)) if (1..=of).contains(&part) => Ok(Part { part, of }),
        _ => Err(format!("\"{text}\" is no part: write I/N with I from 1 to N, such as 3/64")),
    }
}

impl HuntArgs {
    /// Whether all went well.
    pub fn run(&self) -> Result<bool, String> {
        let hunt = self.hunt()?;
        let replay = |file: &str, seed| super::replay(file, seed, self.engine, self.bug.as_deref());
        let stopped = stop_on_signal()?;
        let clock = wall_clock();
        let over = || stopped.load(Ordering::Relaxed) || self.lasts.is_some_and(|lasts| clock() >= lasts);
        let shown = Shown::new(&hunt, self.lasts);
        let time = wall_clock();
        let mut last = Duration::ZERO;
        let mut report = hunt.run(over, replay, |progress| shown.show(progress, time(), &mut last))?;
        shown.bar.finish_and_clear();
        report.bug.clone_from(&self.bug);
        report.interrupted = stopped.load(Ordering::Relaxed);
        report.wall_ms = time().as_millis() as u64;
        print!("{}", report.summary());
        if let Some(folder) = &self.out {
            let Part { part, of } = self.part;
            let name = if of == 1 { "hunt.json".to_owned() } else { format!("hunt-{part}-of-{of}.json") };
            std::fs::create_dir_all(folder).map_err(|error| format!("{folder}: cannot be made: {error}"))?;
            save(&report, &Path::new(folder).join(name))?;
        }
        if report.scenarios.iter().all(|scenario| scenario.refused.is_some()) {
            return Err(format!("the {} engine can play none of these scenarios", self.engine.name()));
        }
        let reached = !self.require_points || all_reached(&report);
        Ok(reached && report.all_well(self.allow_vacuous))
    }

    fn hunt(&self) -> Result<Hunt, String> {
        let paths = if self.files.is_empty() { scenarios_in(SCENARIOS)? } else { self.files.clone() };
        let files = paths.iter().map(|path| ScenarioFile::load(path)).collect::<Result<Vec<_>, _>>()?;
        let options = files.iter().map(|file| Options::with_bug(self.bug.as_deref(), file.bug()));
        let (from, to) = match (&self.seeds, self.lasts) {
            (Some(seeds), _) => (self.from + seeds.start, Some(self.from + seeds.end)),
            (None, Some(_)) => (self.from, None),
            (None, None) => (self.from, Some(self.from + SEEDS)),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Hunt {
            options: options.collect::<Result<Vec<_>, _>>()?,
            files,
            may_refuse: self.files.is_empty(),
            engine: self.engine,
            from,
            to,
            part: self.part,
            jobs: self.jobs.unwrap_or(cores),
            keep_going: self.keep_going,
        })
    }
}

impl MergeArgs {
    /// Whether all went well.
    pub fn run(&self) -> Result<bool, String> {
        let mut whole: Option<Report> = None;
        for file in &self.files {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: cannot be read: {error}"))?;
            let report: Report = serde_json::from_str(&text).map_err(|error| format!("{file}: is no result: {error}"))?;
            match &mut whole {
                Some(whole) => whole.merge(report).map_err(|error| format!("{file}: {error}"))?,
                None => whole = Some(report),
            }
        }
        let whole = whole.ok_or("nothing to merge")?;
        print!("{}", whole.summary());
        if let Some(out) = &self.out {
            save(&whole, Path::new(out))?;
        }
        let reached = !self.require_points || all_reached(&whole);
        Ok(reached && whole.all_well(self.allow_vacuous))
    }
}

/// Whether the sweep came to every named point; those that it did not come to are printed.
fn all_reached(report: &Report) -> bool {
    let missing = report.never_reached();
    for (name, about) in &missing {
        println!("NEVER REACHED {name}: {about}");
    }
    missing.is_empty()
}

fn save(report: &Report, path: &Path) -> Result<(), String> {
    let text = serde_json::to_string_pretty(report).map_err(|error| format!("the result cannot be written: {error}"))?;
    std::fs::write(path, text + "\n").map_err(|error| format!("{}: cannot be written: {error}", path.display()))
}

/// The first Ctrl-C ends in good order, with what was played so far; the second one at once.
pub(super) fn stop_on_signal() -> Result<Arc<AtomicBool>, String> {
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = stopped.clone();
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    Ok(stopped)
}

/// How far it is, on stderr.
struct Shown {
    bar: ProgressBar,
    terminal: bool,
    runs: Option<u64>,
    lasts: Option<Duration>,
}

impl Shown {
    fn new(hunt: &Hunt, lasts: Option<Duration>) -> Shown {
        let terminal = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
        let runs = hunt.runs();
        let bar = match (terminal, runs, lasts) {
            (false, ..) => ProgressBar::hidden(),
            (true, Some(runs), None) => ProgressBar::new(runs),
            (true, _, Some(lasts)) => ProgressBar::new(lasts.as_millis() as u64),
            (true, None, None) => ProgressBar::new_spinner(),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        Shown { bar, terminal, runs, lasts }
    }

    fn show(&self, progress: &Progress, wall: Duration, last: &mut Duration) {
        if !self.terminal && wall < *last + LINE {
            return;
        }
        *last = wall;
        let of = self.runs.map_or_else(String::new, |runs| format!(" of {runs}"));
        let mut told = format!("{}{of} runs, seed {}, {} failed", progress.played, progress.seed, progress.failed);
        if progress.vacuous > 0 {
            let _ = write!(told, ", {} vacuous", progress.vacuous);
        }
        let _ = write!(told, ", {:.0}x real time", progress.simulated as f64 / 1e6 / wall.as_secs_f64().max(1e-3));
        if self.terminal {
            let place = self.lasts.map_or(progress.played, |_| wall.as_millis() as u64);
            self.bar.set_position(place);
            self.bar.set_message(told);
        } else {
            eprintln!("{:>6.0}s  {told}", wall.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_is_wrong_with_them() {
        assert_eq!(time("2h"), Ok(Duration::from_secs(7_200)));
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert!(time("10").is_err() && time("h").is_err());
        assert_eq!(seeds("50"), Ok(0..50));
        assert_eq!(seeds("5..9"), Ok(5..9));
        assert!(seeds("0").is_err() && seeds("9..5").is_err());
        assert_eq!(part("3/64"), Ok(Part { part: 3, of: 64 }));
        assert!(["0/3", "4/3", "3", "a/b"].iter().all(|text| part(text).is_err()));
    }
}
