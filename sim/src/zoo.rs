//! Does the test bed find bugs? Each bug of the zoo is hunted on the grounds that suit it, seed after seed, until a rule that it breaks objects or the time is over.
//!
//! - A bug counts as *found* only by one of the rules that its entry in the table names ([`tertulia_protocol::zoo`]). What else a run fails by is counted and shown.
//! - Time is the CPU time of the thread that plays, so that it means the same on a busy machine and with any number of jobs.
//! - A hunt is a function of (bug, engine, budget) but for where the budget cuts it off: seeds come in order, 0, 1, 2, … on each ground in turn.

use crate::engine::{self, Engine, Options, Outcome, Verdict};
use crate::scenario::{Rot, Scenario, ScenarioError, Span, Trigger, Verb};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tertulia_protocol::zoo::{Bug, Kind};

/// A scenario to hunt on, under the name by which it is replayed.
#[derive(Debug)]
pub struct Ground {
    pub path: &'static str,
    text: &'static str,
}

macro_rules! grounds {
    ($($name:ident = $file:literal;)*) => {
        $(static $name: Ground = Ground {
            path: concat!("scenarios/zoo/", $file),
            text: include_str!(concat!("../../scenarios/zoo/", $file)),
        };)*
        /// All of them.
        pub static GROUNDS: &[&Ground] = &[$(&$name),*];
    };
}

grounds! {
    HUNTING = "hunting.toml";
    ELECTIONS = "elections.toml";
    MEMBERSHIP = "membership.toml";
    SNAPSHOTS = "snapshots.toml";
    LEASES = "leases.toml";
    ROT = "rot.toml";
    FLOW = "flow.toml";
    CLIENTS = "clients.toml";
    FOLLOWERS = "followers.toml";
    HISTORY = "history.toml";
    LOST_LEADER = "lost-leader.toml";
    RETURNED = "returned.toml";
    FLAPPING = "flapping.toml";
    ROOMS = "rooms.toml";
    MEMBERS = "members.toml";
    IDLE = "idle.toml";
    BLOCKED = "blocked.toml";
    ALONE = "alone.toml";
    SIDES = "sides.toml";
    COPIES = "copies.toml";
    LATE = "late.toml";
    STRICT = "strict.toml";
    TAIL = "tail.toml";
}

impl Ground {
    /// The scenario.
    ///
    /// # Errors
    /// Where the file is wrong.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        Scenario::parse(self.path, self.text)
    }
}

/// Where a bug is hunted. The grounds take turns, one seed each.
pub fn grounds_of(bug: Bug) -> Vec<&'static Ground> {
    match bug {
        Bug::CountLearnerVotes => vec![&MEMBERSHIP],
        Bug::CountDamaged | Bug::VoteWhileRepairing | Bug::KeepMatchedAfterRestart => vec![&ROT],
        Bug::LeakWindow => vec![&FLOW],
        Bug::ExpireAnyway | Bug::HistoryForLateJoiners => vec![&IDLE],
        Bug::ForgetBlocks => vec![&BLOCKED],
        Bug::DeviceLimitAtGateway => vec![&MEMBERS],
        Bug::CountCopiesInMemory => vec![&COPIES],
        Bug::LoseLatePosts => vec![&LATE],
        Bug::AcceptInStrictRooms => vec![&STRICT],
        _ => match bug.kind() {
            Kind::Tentative => vec![&ALONE, &SIDES],
            Kind::Votes => vec![&ELECTIONS, &HUNTING, &TAIL],
            Kind::Commit | Kind::Durability => vec![&HUNTING, &ELECTIONS],
            Kind::Membership => vec![&MEMBERSHIP, &HUNTING],
            Kind::Snapshots => vec![&SNAPSHOTS],
            Kind::Leases => vec![&LEASES],
            Kind::FlowControl => vec![&SNAPSHOTS, &FLOW],
            Kind::Sessions => vec![&CLIENTS, &LOST_LEADER, &RETURNED, &FLAPPING, &HISTORY, &HUNTING],
            Kind::Clients => vec![&CLIENTS, &FOLLOWERS, &HISTORY, &LOST_LEADER],
            Kind::Chat => vec![&ROOMS, &MEMBERS],
            Kind::History => vec![&HISTORY, &FOLLOWERS, &CLIENTS],
        },
    }
}

/// How long, and by whom, a bug is hunted.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    pub engine: Engine,
    /// CPU time for each bug. The run that is under way when it is over is played to its end.
    pub budget: Duration,
}

/// What came of hunting one bug.
#[derive(Clone, Debug)]
pub struct Catch {
    pub bug: Bug,
    pub found: Option<Found>,
    /// Runs, the one that found it included.
    pub seeds: u64,
    pub cpu: Duration,
    /// Runs that failed by other rules, which proves that something is wrong and not that the judge knows what.
    pub others: BTreeMap<String, u64>,
}

/// The run that shows the bug.
#[derive(Clone, Debug)]
pub struct Found {
    pub rule: String,
    pub ground: &'static Ground,
    pub seed: u64,
    /// Kinds of faults that had fired by then.
    pub kinds: BTreeSet<&'static str>,
}

impl Hunt {
    /// Hunts one bug.
    ///
    /// # Errors
    /// When a ground cannot be played.
    pub fn hunt(&self, bug: Bug) -> Result<Catch, String> {
        let scenarios = parsed(&grounds_of(bug))?;
        let places = (0..).flat_map(|seed| (0..scenarios.len()).map(move |ground| (ground, seed)));
        self.search(bug, &scenarios, places)
    }

    /// Hunts a bug that was found once more on the same ground and from the same seed on, without one kind of fault after the other. `None` for a kind: it was found
    /// without; otherwise how many seeds were tried in vain. Each kind gets ten times what the finding took, but at least two seconds and at most the budget.
    ///
    /// # Errors
    /// When a ground cannot be played.
    pub fn ablate(&self, catch: &Catch, found: &Found) -> Result<Vec<(&'static str, Option<u64>)>, String> {
        let budget = (catch.cpu * 10).max(Duration::from_secs(2)).min(self.budget);
        let hunt = Hunt { budget, ..*self };
        let [(ground, scenario)] = &parsed(&[found.ground])?[..] else { return Ok(Vec::new()) };
        let kinds: BTreeSet<&str> = scenario.faults.iter().map(|fault| kind_of(&fault.verb)).collect();
        let mut needs = Vec::new();
        for kind in kinds {
            let without = vec![(*ground, without(scenario, kind))];
            let again = hunt.search(catch.bug, &without, (found.seed..).map(|seed| (0, seed)))?;
            needs.push((kind, again.found.is_none().then_some(again.seeds)));
        }
        Ok(needs)
    }

    fn search(
        &self,
        bug: Bug,
        scenarios: &[(&'static Ground, Scenario)],
        places: impl Iterator<Item = (usize, u64)>,
    ) -> Result<Catch, String> {
        let clock = cpu_clock();
        let mut catch = Catch { bug, found: None, seeds: 0, cpu: Duration::ZERO, others: BTreeMap::new() };
        for (nth, seed) in places {
            let (ground, scenario) = &scenarios[nth];
            let options = Options { bug: Some(bug), ..Options::default() };
            let outcome =
                engine::run(self.engine, scenario, seed, options).map_err(|error| format!("{}: {error}", ground.path))?;
            catch.seeds += 1;
            catch.cpu = clock();
            if let Verdict::Failed { rule, .. } = &outcome.verdict {
                if bug.breaks().contains(&rule.as_str()) {
                    let kinds = fired(scenario, &outcome);
                    catch.found = Some(Found { rule: rule.clone(), ground, seed, kinds });
                    break;
                }
                *catch.others.entry(rule.clone()).or_default() += 1;
            }
            if catch.cpu >= self.budget {
                break;
            }
        }
        Ok(catch)
    }
}

fn parsed(grounds: &[&'static Ground]) -> Result<Vec<(&'static Ground, Scenario)>, String> {
    let parse = |ground: &&'static Ground| ground.scenario().map(|scenario| (*ground, scenario));
    grounds.iter().map(parse).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// The kinds of faults that fired in a run, by its story.
fn fired(scenario: &Scenario, outcome: &Outcome) -> BTreeSet<&'static str> {
    let told =
        |id: &str| outcome.story.iter().any(|(_, sentence)| sentence.strip_prefix(id).is_some_and(|rest| rest.starts_with(": ")));
    scenario.faults.iter().filter(|fault| told(&fault.id)).map(|fault| kind_of(&fault.verb)).collect()
}

/// The same scenario without one kind of fault, and without what waits for one of that kind. The others are drawn as before.
fn without(scenario: &Scenario, kind: &str) -> Scenario {
    let mut scenario = scenario.clone();
    let never = Trigger::At(Span::fixed(scenario.workload.stop + 1));
    for fault in scenario.faults.iter_mut().filter(|fault| kind_of(&fault.verb) == kind) {
        fault.trigger = never.clone();
    }
    scenario
}

/// What a fault is of, as the table of verbs in `scenarios/README.md` has it.
fn kind_of(verb: &Verb) -> &'static str {
    match verb {
        Verb::Crash { rot: Some(Rot::Log), .. } => "rot of the log",
        Verb::Crash { rot: Some(Rot::Rows), .. } => "rot of rows",
        Verb::Crash { rot: Some(Rot::Vote), .. } => "rot of the vote",
        Verb::Crash { rot: Some(Rot::Outbox), .. } => "rot of the outbox",
        Verb::Crash { .. } => "crash",
        Verb::Pause { .. } => "pause",
        Verb::Partition(_) => "partition",
        Verb::Reset { .. } => "reset",
        Verb::Links(_) => "links",
        Verb::Loss { .. } => "loss",
        Verb::Delay { .. } => "delay",
        Verb::Duplicate { .. } => "duplicate",
        Verb::Stall { .. } | Verb::SlowDisk { .. } | Verb::BreakDisk { .. } => "disk",
        Verb::Operator(crate::scenario::Operation::Transfer(_)) => "transfer",
        Verb::Operator(_) => "members",
        Verb::Skew { .. } | Verb::Drift { .. } | Verb::Jump { .. } => "clocks",
        Verb::Reorder { .. } => "reorder",
        Verb::Clog { .. } => "clog",
        Verb::Disconnect { .. } | Verb::CutClients { .. } | Verb::SlowReader { .. } | Verb::RetryStorm { .. } => "clients",
    }
}

/// CPU time of this thread since this was called.
#[cfg(unix)]
fn cpu_clock() -> impl Fn() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let read = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    let start = read();
    move || read().saturating_sub(start)
}

/// Real time since this was called: this system does not tell a thread's CPU time.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "a hunt reports what it took; no run sees this clock")]
fn cpu_clock() -> impl Fn() -> Duration {
    let start = std::time::Instant::now();
    move || start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ground_is_a_scenario_and_every_rule_of_the_table_is_one() {
        for ground in GROUNDS {
            let scenario = ground.scenario().unwrap_or_else(|error| panic!("{error}"));
            assert!(!scenario.faults.is_empty(), "{} has nothing to bear", ground.path);
        }
        let engines = ["liveness", "panic", "min-acked", "unavailable", "workload", "progress-owed", "nothing-left-open"];
        for bug in Bug::ALL {
            for rule in bug.breaks() {
                assert!(
                    tertulia_judge::RULES.contains(rule) || engines.contains(rule),
                    "{}: no rule is named {rule}",
                    bug.name()
                );
            }
        }
    }

    #[test]
    fn a_bug_is_found_by_its_own_rule_and_the_run_replays() {
        let hunt = Hunt { engine: Engine::Fast, budget: Duration::from_secs(60) };
        let catch = hunt.hunt(Bug::CommitOwnUndurable).unwrap();
        let found = catch.found.expect("the leader counts itself at once");
        assert_eq!(found.rule, "durable-quorum");
        let options = Options { bug: Some(Bug::CommitOwnUndurable), ..Options::default() };
        let again = engine::run(Engine::Fast, &found.ground.scenario().unwrap(), found.seed, options).unwrap();
        assert!(matches!(again.verdict, Verdict::Failed { rule, .. } if rule == "durable-quorum"));
    }

    #[test]
    fn what_is_taken_out_of_a_scenario_never_fires() {
        let scenario = without(&ELECTIONS.scenario().unwrap(), "crash");
        let outcome = engine::run(Engine::Fast, &scenario, 1, Options::default()).unwrap();
        let kinds = fired(&scenario, &outcome);
        assert!(!kinds.contains("crash") && kinds.contains("partition"), "{kinds:?}");
        assert_eq!(outcome.tally.crashes, 0);
    }
}
