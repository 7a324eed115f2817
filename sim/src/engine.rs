//! A scenario and a seed in, an outcome out, whichever engine.

use crate::plan::{Decision, FaultPlan};
use crate::record::{Recording, Window};
use crate::scenario::{Scenario, Verb};
use crate::witness::{Tally, Witness};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;
use tertulia_protocol::dice::Seed;
#[cfg(feature = "zoo")]
use tertulia_protocol::zoo::Bug;

/// Who plays a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Engine {
    /// The bare machines, as fast as they go.
    #[default]
    Fast,
    /// The production driver on a simulated network.
    Turmoil,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Engine::Fast => "fast",
            Engine::Turmoil => "turmoil",
        }
    }
}

/// How to play it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    #[cfg(feature = "zoo")]
    pub bug: Option<Bug>,
    /// Keep everything that the judge is told; see [`Outcome::record`].
    pub record: bool,
    /// For tests of the trace: what is done to one message between nodes.
    pub tamper: Option<Tamper>,
}

impl Options {
    /// With the bug that somebody asks for, or else the one that the scenario is about.
    ///
    /// # Errors
    /// When this build does not know the bug, or the scenario is about another one.
    pub fn with_bug(asked: Option<&str>, scenarios: Option<&str>) -> Result<Options, String> {
        if let (Some(asked), Some(own)) = (asked, scenarios)
            && asked != own
        {
            return Err(format!("the scenario is about the bug \"{own}\", not \"{asked}\""));
        }
        let Some(name) = asked.or(scenarios) else { return Ok(Options::default()) };
        #[cfg(feature = "zoo")]
        {
            Ok(Options { bug: Some(bug_named(name)?), ..Options::default() })
        }
        #[cfg(not(feature = "zoo"))]
        Err(format!("this build has no zoo of bugs, so no \"{name}\": build with --features zoo"))
    }
}

/// The known bug of this name.
///
/// # Errors
/// When there is none, with the nearest name.
#[cfg(feature = "zoo")]
pub fn bug_named(name: &str) -> Result<Bug, String> {
    let likeness = |bug: &&Bug| (strsim::jaro_winkler(name, bug.name()) * 1e6) as u64;
    match Bug::ALL.iter().max_by_key(likeness) {
        Some(bug) if bug.name() == name => Ok(*bug),
        Some(near) => Err(format!("no bug is named \"{name}\"; did you mean \"{}\"? docs/ZOO.md lists all", near.name())),
        None => Err(format!("no bug is named \"{name}\"")),
    }
}

/// One small change of a run, to show that the trace sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tamper {
    /// One bit of the nth message is changed.
    Flip(u64),
    /// The nth message comes a microsecond later than drawn.
    Late(u64),
}

/// What came of a run.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// See [`crate::trace`].
    pub trace: u64,
    pub events: u64,
    pub simulated: Duration,
    pub tally: Tally,
    /// Named points of the protocol, and how often they were reached.
    pub points: Vec<(&'static str, u32)>,
    /// What happened, for people: faults, starts and leaders.
    pub story: Vec<(u64, String)>,
    /// Each time that a fault fired, in order.
    pub decisions: Vec<Decision>,
    /// Everything that the judge was told, in the format of docs/FACTS.md, if [`Options::record`] asked for it.
    pub record: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Ok,
    /// Something happened that may not.
    Failed {
        rule: String,
        evidence: Vec<String>,
    },
    /// The run proves nothing: a fault never fired, a point was never reached.
    Vacuous {
        why: Vec<String>,
    },
}

impl Verdict {
    pub fn failed(rule: &str, evidence: impl Into<String>) -> Verdict {
        Verdict::Failed { rule: rule.to_owned(), evidence: vec![evidence.into()] }
    }
}

/// Why an engine does not play a scenario at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unplayable {
    pub message: String,
}

impl fmt::Display for Unplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Unplayable {}

/// Plays a scenario.
///
/// # Errors
/// When the engine cannot express the scenario, or is not there.
pub fn run(engine: Engine, scenario: &Scenario, seed: u64, options: Options) -> Result<Outcome, Unplayable> {
    match engine {
        Engine::Fast => crate::fast::run(scenario, Seed(seed), options),
        Engine::Turmoil => crate::turmoil_engine::run(scenario, Seed(seed), options),
    }
}

/// Plays a scenario and keeps what happened. The run is the one that [`run`] would have played.
///
/// # Errors
/// As [`run`].
pub fn record(
    engine: Engine,
    scenario: &Scenario,
    seed: u64,
    options: Options,
    window: Window,
) -> Result<(Outcome, Recording), Unplayable> {
    match engine {
        Engine::Fast => crate::fast::record(scenario, Seed(seed), options, window),
        Engine::Turmoil => crate::turmoil_engine::record(scenario, Seed(seed), options, window),
    }
}

thread_local! {
    static PLAYING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Plays, and turns a machine's panic into evidence instead of noise on stderr: the failure's rule is `panic`.
pub fn catch<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match PLAYING.get() {
            true => PANIC.with(|panic| *panic.borrow_mut() = Some(info.to_string())),
            false => others(info),
        }));
    });
    PLAYING.set(true);
    let played = catch_unwind(AssertUnwindSafe(play));
    PLAYING.set(false);
    played.map_err(|_| PANIC.with(RefCell::take).unwrap_or_else(|| "no message".to_owned()))
}

/// What only the run as a whole can tell: whether it proves anything, and whether what was expected came true.
pub(crate) fn judge_the_whole(scenario: &Scenario, plan: &FaultPlan, witness: &Witness) -> Verdict {
    let (expect, tally) = (&scenario.expect, witness.tally());
    if let Some(max) = expect.unavailable_max.filter(|max| tally.longest_wait > *max) {
        let told = format!("somebody waited and nobody was answered for {} us, the scenario allows {max} us", tally.longest_wait);
        return Verdict::failed("unavailable", told);
    }
    let longest = witness.longest_unanswered();
    if let Some(max) = expect.accepted_within.filter(|max| longest.waited > *max) {
        let (client, node, number) = (longest.client + 1, longest.node + 1, longest.number);
        let told = format!(
            "client {client} waited {} us, until {}, at n{node}, which was well, and its post {number} was neither accepted nor settled; the scenario allows {max} us",
            longest.waited,
            tertulia_judge::At(longest.until)
        );
        return Verdict::failed("accepted-within", told);
    }
    if tally.acked < expect.min_acked {
        let told = format!("{} posts were acknowledged, the scenario expects {}", tally.acked, expect.min_acked);
        return Verdict::failed("min-acked", told);
    }
    if let Some(max) = expect.transfers_max.filter(|max| tally.transfers > u64::from(*max)) {
        let told = format!("leaders began to hand over {} times, the scenario allows {max}", tally.transfers);
        return Verdict::failed("transfers-max", told);
    }
    let mut why = plan.never_fired();
    if plan.should_touch() && tally.touched == 0 {
        why.push("no message was lost or doubled, though the scenario says so".to_owned());
    }
    let clients_break = |verb: &Verb| matches!(verb, Verb::Disconnect { .. } | Verb::RetryStorm { .. });
    let clients_wait = |verb: &Verb| matches!(verb, Verb::CutClients { .. } | Verb::SlowReader { .. });
    let idle = [
        (tally.held_back == 0 && plan.has(|verb| matches!(verb, Verb::Reorder { .. })), "no message was held back"),
        (tally.queued == 0 && plan.has(|verb| matches!(verb, Verb::Clog { .. })), "no message waited on a clogged link"),
        (tally.disconnected == 0 && plan.has(clients_break), "no client lost its connection"),
        (tally.kept_waiting == 0 && plan.has(clients_wait), "nothing between clients and nodes was kept waiting"),
    ];
    let idle = idle.iter().filter(|(idle, _)| *idle);
    why.extend(idle.map(|(_, told)| format!("{told}, though the scenario says so")));
    let missing = expect.reached.iter().filter(|point| !witness.reached(point));
    why.extend(missing.map(|point| format!("the point \"{point}\" was never reached")));
    if tally.acked < expect.proof.acked {
        why.push(format!("{} posts were acknowledged, it takes {} to prove anything", tally.acked, expect.proof.acked));
    }
    if tally.accepted < expect.proof.accepted {
        let told = format!(
            "{} posts were accepted without a leader, it takes {} to prove anything",
            tally.accepted, expect.proof.accepted
        );
        why.push(told);
    }
    if plan.fired() < expect.proof.fired {
        why.push(format!("faults fired {} times, it takes {} to prove anything", plan.fired(), expect.proof.fired));
    }
    if why.is_empty() { Verdict::Ok } else { Verdict::Vacuous { why } }
}
