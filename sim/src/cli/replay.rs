//! One seed again, closely: its story as text, or everything that happened as a page.

use super::{Which, evidence, line, wall_clock};
use crate::engine::{self, Verdict};
use crate::html::{self, Played};
use crate::record::Window;
use crate::scenario::{Template, units};
use clap::Args;

#[derive(Args)]
pub(super) struct Replay {
    #[command(flatten)]
    which: Which,
    /// The seed [default: the one that the file names, or 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Write a page that shows everything: one file, which needs nothing else
    #[arg(long, value_name = "OUT.html")]
    html: Option<String>,
    /// Record messages and other details from this simulated time on, such as 3s or 2500ms
    #[arg(long, value_name = "TIME", requires = "html", value_parser = time)]
    from: Option<u64>,
    /// And up to this one
    #[arg(long, value_name = "TIME", requires = "html", value_parser = time)]
    to: Option<u64>,
}

/// A simulated time in microseconds.
fn time(text: &str) -> Result<u64, String> {
    units::duration(text)
}

impl Replay {
    /// Whether all went well.
    pub(super) fn run(&self) -> Result<bool, String> {
        let template = Template::load(&self.which.file).map_err(|error| error.to_string())?;
        let seed = self.seed.or(template.seed()).unwrap_or(0);
        let scenario = template.scenario(seed).map_err(|error| error.to_string())?;
        let options = self.which.options(&scenario)?;
        let window = Window { from: self.from.unwrap_or(0), to: self.to.unwrap_or(u64::MAX) };
        if window.from > window.to {
            return Err("--from is later than --to: nothing would be recorded".to_owned());
        }
        let (engine, clock) = (self.which.engine, wall_clock());
        let outcome = match &self.html {
            None => {
                let outcome = engine::run(engine, &scenario, seed, options).map_err(|error| error.to_string())?;
                print!("{}", evidence(&outcome, true));
                outcome
            }
            Some(path) => {
                let recorded = engine::record(engine, &scenario, seed, options, window);
                let (outcome, recording) = recorded.map_err(|error| error.to_string())?;
                let command = self.which.replay(seed, &[]);
                let bug = self.which.bug.as_deref().or(scenario.bug.as_deref());
                let page = html::page(&Played {
                    scenario: &scenario,
                    seed,
                    engine,
                    bug,
                    command,
                    outcome: &outcome,
                    recording: &recording,
                });
                std::fs::write(path, &page).map_err(|error| format!("{path} cannot be written: {error}"))?;
                print!("{}", evidence(&outcome, false));
                println!("{path}: {:.1} MB, open it in a browser", page.len() as f64 / 1e6);
                outcome
            }
        };
        println!("{}", line(seed, &outcome, clock()));
        Ok(outcome.verdict == Verdict::Ok)
    }
}
