//! `sim branching`: how much sooner known bugs are found when runs branch at their rare moments (`fast/branch.rs`) than when only new seeds are played.
//!
//! Both ways play the same seeds with the same bug until a rule that the bug breaks objects, and are compared by events: what they cost. One search says
//! little, for it is a matter of luck; so each is repeated on seeds of its own, and the table has the means. A search that finds nothing counts with the
//! events that it was allowed, and is counted.

use super::{seeds, wall_clock};
use crate::engine::{self, Engine, Options, Verdict};
use crate::fast::branch::{Branching, explore};
use crate::scenario::Scenario;
use clap::Args;
use std::ops::Range;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::zoo::Bug;

/// Seeds between two searches: they share none.
const APART: u64 = 1_000_000;

#[derive(Args)]
pub(super) struct Compare {
    /// The bugs, by their names, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', required = true)]
    bugs: Vec<String>,
    /// What is played
    #[arg(long, value_name = "FILE", default_value = "scenarios/restart-storm.toml")]
    scenario: String,
    /// Branches of one seed
    #[arg(long, value_name = "N", default_value_t = 8)]
    branch: u32,
    /// A branch is given up after so much simulated time, in milliseconds [default: it is played to its end]
    #[arg(long, value_name = "MS")]
    horizon: Option<u64>,
    /// Searches of each kind for each bug
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..8")]
    searches: Range<u64>,
    /// Events after which a search gives up
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    events: u64,
}

/// What one search came to.
#[derive(Clone, Copy, Default)]
struct Search {
    seeds: u64,
    events: u64,
    found: bool,
    /// Another rule, or none of the judge's, objected first: as likely a fault of the simulator as of the bug.
    otherwise: u64,
}

pub(super) fn compare(compare: &Compare) -> Result<bool, String> {
    let scenario = Scenario::load(&compare.scenario).map_err(|error| error.to_string())?;
    let known =
        |name: &String| Bug::ALL.iter().copied().find(|bug| bug.name() == name).ok_or(format!("no bug is named \"{name}\""));
    let bugs = compare.bugs.iter().map(known).collect::<Result<Vec<Bug>, _>>()?;
    println!(
        "{}, {} searches each, at most {} events a search; means of seeds and events until the bug was found",
        compare.scenario,
        compare.searches.end - compare.searches.start,
        compare.events
    );
    println!(
        "{:24} {:>10} {:>12} {:>6}   {:>10} {:>12} {:>6}   {:>6}",
        "bug", "seeds", "events", "found", "seeds", "events", "found", "sooner"
    );
    let clock = wall_clock();
    for bug in bugs {
        let [without, with] = [None, Some(branching(compare))].map(|branching| {
            compare.searches.clone().map(|nth| search(compare, &scenario, bug, nth * APART, branching)).collect::<Vec<_>>()
        });
        println!("{}", row(bug.name(), &without, &with));
        if let Some(other) =
            [&without, &with].into_iter().flatten().map(|search| search.otherwise).reduce(|a, b| a + b).filter(|other| *other > 0)
        {
            println!("{:24} (runs that failed by another rule, and were passed over: {other})", "");
        }
    }
    println!("{:.0} s", clock().as_secs_f64());
    Ok(true)
}

fn branching(compare: &Compare) -> Branching {
    Branching { most: compare.branch, horizon: compare.horizon.map(|ms| ms * 1_000) }
}

fn search(compare: &Compare, scenario: &Scenario, bug: Bug, first: u64, branching: Option<Branching>) -> Search {
    let options = Options { bug: Some(bug), ..Options::default() };
    let mut search = Search::default();
    while !search.found && search.events < compare.events {
        let seed = first + search.seeds;
        search.seeds += 1;
        let (verdict, events) = match branching {
            Some(branching) => {
                let explored = explore(scenario, Seed(seed), options, branching);
                (explored.outcome.verdict, explored.events)
            }
            None => match engine::run(Engine::Fast, scenario, seed, options) {
                Ok(outcome) => (outcome.verdict, outcome.events),
                // The fast engine plays every scenario.
                Err(_) => break,
            },
        };
        search.events += events;
        if let Verdict::Failed { rule, .. } = &verdict {
            search.found = bug.breaks().contains(&rule.as_str());
            search.otherwise += u64::from(!search.found);
        }
    }
    search
}

fn row(name: &str, without: &[Search], with: &[Search]) -> String {
    let mean = |of: &[Search], what: fn(&Search) -> u64| of.iter().map(what).sum::<u64>() as f64 / of.len().max(1) as f64;
    let side = |of: &[Search]| {
        let found = of.iter().filter(|search| search.found).count();
        let found = format!("{found}/{}", of.len());
        format!("{:>10.1} {:>12.0} {found:>6}", mean(of, |search| search.seeds), mean(of, |search| search.events))
    };
    // Where a search gave up, its events say nothing of how many it would have taken.
    let all_found = without.iter().chain(with).all(|search| search.found);
    let sooner = mean(without, |search| search.events) / mean(with, |search| search.events).max(1.0);
    let sooner = if all_found { format!("{sooner:.1}x") } else { "-".to_owned() };
    format!("{name:24} {}   {}   {sooner:>6}", side(without), side(with))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_means_and_how_many_searches_found_it() {
        let search = |seeds, events, found| Search { seeds, events, found, otherwise: 0 };
        let (without, with) =
            ([search(3, 3_000, true), search(5, 5_000, true)], [search(1, 1_000, true), search(1, 3_000, true)]);
        let words = |row: String| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(row("x", &without, &with)), ["x", "4.0", "4000", "2/2", "1.0", "2000", "2/2", "2.0x"]);
        let given_up = [search(3, 3_000, true), search(5, 5_000, false)];
        assert_eq!(words(row("x", &given_up, &with)), ["x", "4.0", "4000", "1/2", "1.0", "2000", "2/2", "-"]);
    }
}
