//! `sim shrink`: makes a run that fails small, writes it as a scenario and tells its story.

use super::hunt::{stop_on_signal, time};
use super::{Which, evidence, wall_clock};
use crate::engine::{self, Engine, Verdict};
use crate::hunt::ScenarioFile;
use crate::scenario::{Scenario, write};
use crate::shrink::{Job, Shrunk, shrink, size};
use clap::Args;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Args)]
pub(super) struct ShrinkArgs {
    #[command(flatten)]
    which: Which,
    /// The seed that fails [default: the one that the scenario names, or 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The file that is written
    #[arg(long, value_name = "FILE", default_value = "story.toml")]
    out: String,
    /// How long to try
    #[arg(long = "for", value_name = "TIME", value_parser = time, default_value = "2m")]
    lasts: Duration,
    /// How many runs at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

impl ShrinkArgs {
    /// Always false: at the end a run has failed.
    pub fn run(&self) -> Result<bool, String> {
        let file = ScenarioFile::load(&self.which.file)?;
        let seed = self.seed.or(file.seed()).unwrap_or(0);
        let scenario = file.scenario(seed)?;
        let options = self.which.options(&scenario)?;
        let bug = self.which.bug.clone().or_else(|| scenario.bug.clone());
        let stopped = stop_on_signal()?;
        let clock = wall_clock();
        let over = || stopped.load(Ordering::Relaxed) || clock() >= self.lasts;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut tell = |told: &str| eprintln!("{:>6.1}s  {told}", clock().as_secs_f64());
        let job = Job {
            scenario: scenario.clone(),
            seed,
            engine: self.which.engine,
            options,
            jobs: self.jobs.unwrap_or(cores),
            over: &over,
            tell: &mut tell,
        };
        let shrunk = shrink(job)?;
        let story = self.story(&scenario, seed, bug, &shrunk);
        let text = write(&story);
        std::fs::write(&self.out, &text).map_err(|error| format!("{}: cannot be written: {error}", self.out))?;
        self.show(&scenario, &story, &text, &shrunk)
    }

    /// The small scenario with everything that it needs to be played by itself.
    fn story(&self, big: &Scenario, seed: u64, bug: Option<String>, shrunk: &Shrunk) -> Scenario {
        let Shrunk { rule, failure, hits, of, .. } = shrunk;
        let from = std::path::Path::new(&self.which.file)
            .file_name()
            .map_or_else(|| self.which.file.clone(), |name| name.to_string_lossy().into_owned());
        let engine = if self.which.engine == Engine::default() { "" } else { " on turmoil" };
        let about = format!(
            "Breaks the rule {rule}{engine}, with {hits} of the first {of} seeds.\nShrunk from {from}, seed {seed}: {} became {}.\n",
            size(big),
            size(&failure.scenario),
        );
        let name = format!("{}, in small", big.name.trim_end_matches(", in small"));
        Scenario { name, about, seed: Some(failure.seed), bug, ..failure.scenario.clone() }
    }

    /// Plays what was written as it was written, and tells what happens.
    fn show(&self, big: &Scenario, story: &Scenario, text: &str, shrunk: &Shrunk) -> Result<bool, String> {
        let written = Scenario::parse(&self.out, text).map_err(|error| format!("the small scenario is refused: {error}"))?;
        let (seed, options) = (shrunk.failure.seed, self.which.options(&written)?);
        let outcome = engine::run(self.which.engine, &written, seed, options).map_err(|error| error.to_string())?;
        if !matches!(&outcome.verdict, Verdict::Failed { rule, .. } if *rule == shrunk.rule) {
            return Err(format!("{} does not fail by {} as it should: {:?}", self.out, shrunk.rule, outcome.verdict));
        }
        println!("{text}");
        print!("{}", evidence(&outcome, true));
        println!("\n{} became {}, by {} runs", size(big), size(story), shrunk.runs);
        if shrunk.cut {
            println!("time was over before nothing more went: --for gives more");
        }
        println!("replay: {}", super::replay(&self.out, seed, self.which.engine, None));
        Ok(false)
    }
}
