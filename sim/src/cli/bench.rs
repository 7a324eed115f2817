//! `sim bench`: how fast the engines are, on one core, over many seeds of the scenario that the speed is quoted on.
//!
//! Beside the wall time stands the time that the core has really worked for it, where the system tells: on a machine that others use too, only that says
//! something of the engine.

use super::wall_clock;
use crate::engine::{self, Engine, Options, Outcome, Verdict};
use crate::scenario::Scenario;
use clap::Args;
use std::ops::Range;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Bench {
    /// The scenario, a .toml file
    #[arg(default_value = "scenarios/bench.toml")]
    file: String,
    /// The seeds that the fast engine plays, the last one excluded
    #[arg(long, value_name = "A..B", value_parser = super::seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// The seeds that the turmoil engine plays; 0..0 for none
    #[arg(long, value_name = "A..B", value_parser = some_seeds, default_value = "0..30")]
    turmoil: Range<u64>,
}

/// As the others, and no seed at all is allowed.
fn some_seeds(text: &str) -> Result<Range<u64>, String> {
    if text == "0..0" { Ok(0..0) } else { super::seeds(text) }
}

/// Plays all seeds on one core after another; whether all went well.
pub(super) fn bench(bench: &Bench) -> Result<bool, String> {
    let scenario = Scenario::load(&bench.file).map_err(|error| error.to_string())?;
    let mut well = true;
    for (engine, seeds) in [(Engine::Fast, &bench.seeds), (Engine::Turmoil, &bench.turmoil)] {
        if seeds.is_empty() {
            continue;
        }
        let mut speed = Speed::default();
        for seed in seeds.clone() {
            let (clock, before) = (wall_clock(), worked());
            let outcome = engine::run(engine, &scenario, seed, Options::default())
                .map_err(|error| format!("{}: {error}", engine.name()))?;
            speed.add(&outcome, clock(), before.zip(worked()).map(|(before, after)| after.saturating_sub(before)));
        }
        println!("{}", speed.line(engine));
        well &= speed.failed == 0;
    }
    Ok(well)
}

/// How long a core has worked for this thread: the first number of the kernel's account of it, in nanoseconds. `None` on other systems.
fn worked() -> Option<Duration> {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    account.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// What the seeds of one engine came to.
#[derive(Default)]
struct Speed {
    simulated: Duration,
    events: u64,
    failed: u64,
    /// One a seed.
    walls: Vec<Duration>,
    worked: Option<Duration>,
}

impl Speed {
    fn add(&mut self, outcome: &Outcome, wall: Duration, worked: Option<Duration>) {
        self.worked = worked.map(|worked| worked + self.worked.unwrap_or_default());
        self.simulated += outcome.simulated;
        self.events += outcome.events;
        self.failed += u64::from(outcome.verdict != Verdict::Ok);
        self.walls.push(wall);
    }

    /// The wall time that `part` hundredths of the seeds did not exceed.
    fn percentile(&self, part: usize) -> Duration {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        let place = (walls.len() * part).div_ceil(100).max(1) - 1;
        walls.get(place).copied().unwrap_or_default()
    }

    fn line(&self, engine: Engine) -> String {
        let wall = self.walls.iter().sum::<Duration>().as_secs_f64().max(1e-9);
        let ms = |wall: Duration| wall.as_secs_f64() * 1e3;
        let per_event =
            if engine == Engine::Fast { format!(" events/s={:.0}", self.events as f64 / wall) } else { String::new() };
        let of_core = self.worked.map_or_else(String::new, |worked| {
            let worked = worked.as_secs_f64().max(1e-9);
            format!(" cpu={worked:.1}s speed-by-cpu={:.0}x", self.simulated.as_secs_f64() / worked)
        });
        let failed = if self.failed == 0 { String::new() } else { format!(" NOT OK={}", self.failed) };
        format!(
            "{}: seeds={} simulated={:.0}s wall={wall:.1}s speed={:.0}x{of_core}{per_event} seed-median={:.1}ms seed-p95={:.1}ms{failed}",
            engine.name(),
            self.walls.len(),
            self.simulated.as_secs_f64(),
            self.simulated.as_secs_f64() / wall,
            ms(self.percentile(50)),
            ms(self.percentile(95)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_seeds() {
        let walls: Vec<Duration> = (1..=40).rev().map(Duration::from_millis).collect();
        let speed = Speed { walls, simulated: Duration::from_secs(820), ..Speed::default() };
        let line = speed.line(Engine::Turmoil);
        assert_eq!(line, "turmoil: seeds=40 simulated=820s wall=0.8s speed=1000x seed-median=20.0ms seed-p95=38.0ms");
        let line = Speed { worked: Some(Duration::from_millis(410)), ..speed }.line(Engine::Turmoil);
        assert!(line.contains(" speed=1000x cpu=0.4s speed-by-cpu=2000x seed-median="), "{line}");
        assert_eq!(Speed::default().percentile(95), Duration::ZERO);
        assert!(some_seeds("0..0").is_ok() && some_seeds("3..3").is_err());
    }
}
