//! Every course of a small scope, to its end or until the time is over.

use super::wall_clock;
use crate::engine::Options;
use crate::explore::{Found, Scope, explore};
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Explore {
    /// Replicas
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=5))]
    replicas: u64,
    /// Actions in one course
    #[arg(long, value_name = "N", default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=200))]
    depth: u32,
    /// Commands given to whoever leads
    #[arg(long, value_name = "N", default_value_t = 2)]
    commands: u32,
    /// Linearizable reads asked of any node
    #[arg(long, value_name = "N", default_value_t = 0)]
    reads: u32,
    /// Crashes; each may leave any part of what was being written
    #[arg(long, value_name = "N", default_value_t = 1)]
    crashes: u32,
    /// Silences, in which a node's clock goes on
    #[arg(long, value_name = "N", default_value_t = 2)]
    silences: u32,
    /// Answer reads by leases
    #[arg(long)]
    leases: bool,
    /// Give up after this time, such as 60s
    #[arg(long, value_name = "TIME", value_parser = crate::scenario::units::duration)]
    r#for: Option<u64>,
    /// A known bug to switch on in all replicas
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

/// How many states are visited before a search is given up: they take about 24 bytes each.
const MOST_STATES: u64 = 50_000_000;

impl Explore {
    /// Whether all went well: nothing is broken, and nothing was left out.
    pub(super) fn run(&self) -> Result<bool, String> {
        let options = Options::with_bug(self.bug.as_deref(), None)?;
        #[cfg(not(feature = "zoo"))]
        let _ = options;
        let scope = Scope {
            replicas: self.replicas,
            depth: self.depth,
            commands: self.commands,
            reads: self.reads,
            crashes: self.crashes,
            silences: self.silences,
            leases: self.leases,
            most_states: MOST_STATES,
            #[cfg(feature = "zoo")]
            bug: options.bug,
        };
        let clock = wall_clock();
        let most = Duration::from_micros(self.r#for.unwrap_or(u64::MAX));
        let found = explore(scope, |_| clock() < most);
        print!("{}", tell(&found));
        let wall = clock();
        println!(
            "explored {} replicas, {} commands, {} reads, {} crashes, {} silences to depth {}: {} states, {} steps, {} wall={:.2}s",
            scope.replicas,
            scope.commands,
            scope.reads,
            scope.crashes,
            scope.silences,
            scope.depth,
            found.states,
            found.steps,
            match (&found.violation, found.complete) {
                (Some(broken), _) => format!("FAILED rule={}", broken.rule),
                (None, true) => "complete".to_owned(),
                (None, false) => "UNDONE".to_owned(),
            },
            wall.as_secs_f64(),
        );
        Ok(found.violation.is_none() && found.complete)
    }
}

/// The course that breaks a rule, if there is one.
fn tell(found: &Found) -> String {
    let Some(broken) = &found.violation else { return String::new() };
    let mut text = String::from("the first node leads, its first entry is committed, and everything has settled; then\n");
    for (nth, sentence) in broken.course.iter().enumerate() {
        text.push_str(&format!("  {:>2}. {sentence}\n", nth + 1));
    }
    text.push_str(&format!("FAILED by rule {}:\n  {}\n", broken.rule, broken.evidence));
    text
}
