//! What came of a hunt, for people and for machines; reports of parts merge into the report of the whole.

use super::Hunt;
use crate::engine::{Outcome, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Seeds that are kept of each finding: the lowest ones.
const SEEDS: usize = 10;
/// Lines of evidence that are printed of each finding.
const EVIDENCE: usize = 4;

/// What came of a hunt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    pub schema: u32,
    pub engine: String,
    /// That was asked for; a file's own bug stands in the file.
    pub bug: Option<String>,
    /// It was stopped before its end.
    pub interrupted: bool,
    /// Real time, summed over merged reports.
    pub wall_ms: u64,
    pub scenarios: Vec<ScenarioReport>,
}

/// What came of one scenario.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScenarioReport {
    pub file: String,
    /// Of the file's text, in hexadecimal digits.
    pub digest: String,
    pub played: Vec<Played>,
    /// Why the engine cannot play it.
    pub refused: Option<String>,
    pub ok: u64,
    pub failed: u64,
    pub vacuous: u64,
    pub events: u64,
    pub simulated_us: u64,
    /// Named points of the protocol.
    pub points: BTreeMap<String, Point>,
    pub findings: Vec<Finding>,
}

/// The seeds from `from` to before `to` that leave `part - 1` when divided by `of`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Played {
    pub from: u64,
    pub to: u64,
    pub part: u64,
    pub of: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    pub times: u64,
    /// Runs in which it was reached at all.
    pub runs: u64,
}

/// Runs of one scenario that failed by one rule, or proved nothing for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The rule; `None` of vacuous runs.
    pub rule: Option<String>,
    /// Of the lowest seed.
    pub evidence: Vec<String>,
    pub count: u64,
    /// The lowest ones, in order.
    pub seeds: Vec<u64>,
    /// The command that plays the lowest seed again.
    pub replay: String,
}

impl Played {
    fn contains(&self, seed: u64) -> bool {
        (self.from..self.to).contains(&seed) && seed % self.of == self.part - 1
    }

    fn seeds(self) -> impl Iterator<Item = u64> {
        let first = self.from + (self.part - 1 + self.of - self.from % self.of) % self.of;
        (first..self.to).step_by(self.of as usize)
    }

    fn overlaps(&self, other: &Played) -> bool {
        let (few, many) = if self.of >= other.of { (self, other) } else { (other, self) };
        few.seeds().any(|seed| many.contains(seed))
    }
}

impl Finding {
    /// What makes two findings the same one.
    fn key(&self) -> (bool, &str) {
        let why = self.rule.as_deref().unwrap_or_else(|| self.evidence.first().map_or("", String::as_str));
        (self.rule.is_none(), why)
    }

    fn merge(&mut self, other: Finding) {
        if other.seeds.first() < self.seeds.first() {
            (self.evidence, self.replay) = (other.evidence, other.replay);
        }
        self.count += other.count;
        self.seeds.extend(other.seeds);
        self.seeds.sort_unstable();
        self.seeds.truncate(SEEDS);
    }
}

impl ScenarioReport {
    /// Takes one run.
    pub(super) fn count(&mut self, seed: u64, outcome: &Outcome, replay: impl Fn(&str, u64) -> String) {
        self.played.iter_mut().for_each(|played| played.to = seed + 1);
        self.events += outcome.events;
        self.simulated_us += outcome.simulated.as_micros() as u64;
        for (point, times) in &outcome.points {
            let point = self.points.entry((*point).to_owned()).or_default();
            point.times += u64::from(*times);
            point.runs += u64::from(*times > 0);
        }
        let (rule, evidence) = match &outcome.verdict {
            Verdict::Ok => return self.ok += 1,
            Verdict::Failed { rule, evidence } => (Some(rule.clone()), evidence.clone()),
            Verdict::Vacuous { why } => (None, why.clone()),
        };
        *(if rule.is_some() { &mut self.failed } else { &mut self.vacuous }) += 1;
        self.add(Finding { rule, evidence, count: 1, seeds: vec![seed], replay: replay(&self.file, seed) });
    }

    fn add(&mut self, finding: Finding) {
        match self.findings.iter_mut().find(|known| known.key() == finding.key()) {
            Some(known) => known.merge(finding),
            None => {
                self.findings.push(finding);
                self.findings.sort_by(|a, b| a.key().cmp(&b.key()));
            }
        }
    }

    fn merge(&mut self, other: ScenarioReport) -> Result<(), String> {
        if self.digest != other.digest {
            return Err(format!("{} was not the same file in all of these hunts", self.file));
        }
        if let Some(twice) = other.played.iter().find(|played| self.played.iter().any(|known| known.overlaps(played))) {
            return Err(format!(
                "seeds of {} were played twice: {}..{} (part {}/{}) and others",
                self.file, twice.from, twice.to, twice.part, twice.of
            ));
        }
        self.played.extend(other.played);
        self.played.sort_by_key(|played| (played.from, played.to, played.of, played.part));
        self.refused = self.refused.take().or(other.refused);
        self.ok += other.ok;
        self.failed += other.failed;
        self.vacuous += other.vacuous;
        self.events += other.events;
        self.simulated_us += other.simulated_us;
        for (name, point) in other.points {
            let known = self.points.entry(name).or_default();
            known.times += point.times;
            known.runs += point.runs;
        }
        other.findings.into_iter().for_each(|finding| self.add(finding));
        Ok(())
    }

    pub(super) fn runs(&self) -> u64 {
        self.ok + self.failed + self.vacuous
    }
}

impl Report {
    pub(super) fn new(hunt: &Hunt) -> Report {
        let scenarios = hunt.files.iter().map(|file| ScenarioReport {
            file: file.path.clone(),
            digest: format!("{:016x}", file.digest),
            played: vec![Played { from: hunt.from, to: hunt.from, part: hunt.part.part, of: hunt.part.of }],
            refused: None,
            ok: 0,
            failed: 0,
            vacuous: 0,
            events: 0,
            simulated_us: 0,
            points: BTreeMap::new(),
            findings: Vec::new(),
        });
        let engine = hunt.engine.name().to_owned();
        Report { schema: 1, engine, bug: None, interrupted: false, wall_ms: 0, scenarios: scenarios.collect() }
    }

    /// Adds the report of another part.
    ///
    /// # Errors
    /// When the two do not belong together: another engine, another bug, other files, the same seeds twice.
    pub fn merge(&mut self, other: Report) -> Result<(), String> {
        if (&self.engine, &self.bug) != (&other.engine, &other.bug) {
            let name = |report: &Report| format!("{}, bug {}", report.engine, report.bug.as_deref().unwrap_or("none"));
            return Err(format!("these hunts do not belong together: {} and {}", name(self), name(&other)));
        }
        self.interrupted |= other.interrupted;
        self.wall_ms += other.wall_ms;
        for scenario in other.scenarios {
            match self.scenarios.iter_mut().find(|known| known.file == scenario.file) {
                Some(known) => known.merge(scenario)?,
                None => self.scenarios.push(scenario),
            }
        }
        self.scenarios.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(())
    }

    /// No run failed, and of each scenario's no more than these millionths were vacuous.
    pub fn all_well(&self, vacuous_ppm: u32) -> bool {
        let well = |scenario: &ScenarioReport| {
            scenario.failed == 0 && scenario.vacuous * 1_000_000 <= u64::from(vacuous_ppm) * scenario.runs()
        };
        self.scenarios.iter().all(well)
    }

    /// What a person is told. Only the last line holds times.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let width = self.scenarios.iter().map(|scenario| scenario.file.len()).max().unwrap_or(0);
        for scenario in &self.scenarios {
            let told = match &scenario.refused {
                Some(why) => format!("not played: {why}"),
                None => counts(scenario.runs(), scenario.ok, scenario.failed, scenario.vacuous),
            };
            let _ = writeln!(text, "{:width$}  {told}", scenario.file);
        }
        for scenario in &self.scenarios {
            scenario.findings.iter().for_each(|finding| finding_text(&mut text, scenario, finding));
        }
        self.points_text(&mut text);
        let sum = |of: fn(&ScenarioReport) -> u64| self.scenarios.iter().map(of).sum::<u64>();
        let (simulated, wall) = (sum(|scenario| scenario.simulated_us) as f64 / 1e6, self.wall_ms as f64 / 1e3);
        let counts = counts(sum(ScenarioReport::runs), sum(|s| s.ok), sum(|s| s.failed), sum(|s| s.vacuous));
        let stopped = if self.interrupted { " (stopped before its end)" } else { "" };
        let _ = writeln!(text, "\n{counts}{stopped}; events={} simulated={simulated:.1}s", sum(|scenario| scenario.events));
        let _ = writeln!(text, "wall={wall:.2}s speed={:.1}x", simulated / wall.max(1e-3));
        text
    }

    /// Named points that no run of any scenario has come to: what a sweep that should reach them all has lost.
    pub fn never_reached(&self) -> Vec<crate::points::Point> {
        let reached = |name: &str| self.scenarios.iter().any(|scenario| scenario.points.contains_key(name));
        crate::points::all().filter(|(name, _)| !crate::points::NOT_DEMANDED.contains(name) && !reached(name)).collect()
    }

    /// Which named points were reached, over all scenarios, the rarest first.
    fn points_text(&self, text: &mut String) {
        let mut points: BTreeMap<&str, Point> = BTreeMap::new();
        for (name, point) in self.scenarios.iter().flat_map(|scenario| &scenario.points) {
            let known = points.entry(name).or_default();
            known.times += point.times;
            known.runs += point.runs;
        }
        let mut points: Vec<(&str, Point)> = points.into_iter().collect();
        points.sort_by_key(|(name, point)| (point.runs, *name));
        if !points.is_empty() {
            let _ = writeln!(text, "\nPoints reached, the rarest first:");
        }
        let width = points.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, point) in points {
            let _ = writeln!(text, "  {name:width$}  in {} runs, {} times", point.runs, point.times);
        }
    }
}

fn counts(runs: u64, ok: u64, failed: u64, vacuous: u64) -> String {
    let mut text = format!("{runs} runs: {ok} ok");
    for (count, name) in [(failed, "failed"), (vacuous, "vacuous")] {
        if count > 0 {
            let _ = write!(text, ", {count} {name}");
        }
    }
    text
}

fn finding_text(text: &mut String, scenario: &ScenarioReport, finding: &Finding) {
    let what = finding.rule.as_ref().map_or_else(|| "vacuous".to_owned(), |rule| format!("FAILED by rule {rule}"));
    let (count, runs) = (finding.count, scenario.runs());
    let seeds: Vec<String> = finding.seeds.iter().map(u64::to_string).collect();
    let more = if finding.count > seeds.len() as u64 { ", …" } else { "" };
    let _ = writeln!(text, "\n{what} in {}: {count} of {runs} runs, seeds {}{more}", scenario.file, seeds.join(", "));
    finding.evidence.iter().take(EVIDENCE).for_each(|line| _ = writeln!(text, "  {line}"));
    let _ = writeln!(text, "  replay: {}", finding.replay);
}
