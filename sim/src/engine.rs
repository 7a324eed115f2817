//! A scenario and a seed in, an outcome out, whichever engine.

use crate::plan::FaultPlan;
use crate::scenario::Scenario;
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
    let missing = expect.reached.iter().filter(|point| !witness.reached(point));
    why.extend(missing.map(|point| format!("the point \"{point}\" was never reached")));
    if why.is_empty() { Verdict::Ok } else { Verdict::Vacuous { why } }
}
