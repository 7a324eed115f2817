//! Plays a scenario on real processes, and judges what they and their clients wrote down.

use super::{STORY, judge, quoted};
use crate::engine::Verdict;
use crate::live::playable::{Plain, Trouble, check, left_out};
use crate::live::{self, Played, Setup};
use crate::scenario::{Scenario, Template};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[derive(Args)]
#[command(after_help = "\
Build the node first: cargo build --release --bin node. Real processes do not replay: the seed draws when faults fire and whom they hit, the rest is the machine's.
Exit status: 0 all was well, 1 something was wrong or proves nothing (the folder is kept), 2 it could not be played.")]
pub(super) struct Live {
    /// A scenario file whose faults can be done to real processes: crash (disk = "keep"), pause, partitions, reset, links, delay, and those of clients
    file: Option<String>,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=9), conflicts_with = "file")]
    nodes: u64,
    /// How long faults last, such as 30s; then everything heals
    #[arg(long = "for", value_name = "DURATION", default_value = "30s", value_parser = lasts, conflicts_with = "file")]
    lasts: Duration,
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1_000), conflicts_with = "file")]
    clients: u64,
    /// Posts a second, of all clients together
    #[arg(long, value_name = "R", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000), conflicts_with = "file")]
    rate: u64,
    /// Which faults: kill (-9, and a restart), stop (SIGSTOP), cut (links), or "none"
    #[arg(long, value_name = "KIND,…", default_value = "kill,stop,cut", conflicts_with = "file")]
    faults: String,
    /// What the faults are drawn from [default: the one that the scenario names, or 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// An empty or new folder for everything; it is kept. By default one in the system's folder for temporary things, kept if something was wrong
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The binary `node` [default: beside this program, or else target/release/node]
    #[arg(long, value_name = "PATH")]
    node: Option<PathBuf>,
    /// A known bug to run the nodes with; their binary must have been built with --features zoo
    #[arg(long, value_name = "NAME", hide = true)]
    bug: Option<String>,
    /// Tell what happened, also when all went well
    #[arg(long)]
    story: bool,
}

fn lasts(text: &str) -> Result<Duration, String> {
    let micros = crate::scenario::units::duration(text)?;
    if (5_000_000..=86_400_000_000).contains(&micros) {
        Ok(Duration::from_micros(micros))
    } else {
        Err("from 5s to 24h".to_owned())
    }
}

impl Live {
    /// Whether all went well.
    pub(super) fn run(&self) -> Result<bool, String> {
        let (template, text) = self.template()?;
        let seed = self.seed.or(template.seed()).unwrap_or(0);
        let scenario = template.scenario(seed).map_err(|error| error.to_string())?;
        check(&scenario)?;
        left_out(&scenario).iter().for_each(|told| println!("  {told}"));
        let node = binary(self.node.as_deref())?;
        let dir = folder(self.dir.clone(), &format!("live-{}-{seed}", std::process::id()))?;
        if let Some(text) = text {
            let file = dir.join("scenario.toml");
            std::fs::write(&file, text).map_err(|error| format!("{}: cannot be written: {error}", file.display()))?;
        }
        let bug = self.bug.clone().or(scenario.bug.clone());
        let nodes = scenario.cluster.voters;
        let played = play(Setup { scenario: scenario.clone(), seed, node, dir: dir.clone(), bug });
        let played = played.map_err(|why| format!("{why} (everything is in {})", dir.display()))?;
        let files: Vec<String> = live::records(&dir, nodes).iter().map(|file| file.display().to_string()).collect();
        let judged = judge::judge_files(&files, false, false)?;
        // What the records say comes first: a client's trouble, or that there is no end, may only follow from it.
        let verdict = match &judged.violation {
            Some(violation) => {
                let after = violation.at.0.saturating_sub(played.began.0) as f64 / 1e6;
                Verdict::failed(violation.rule, format!("{:.6} s after the beginning: {}", after, violation.evidence))
            }
            None if judged.empty => Verdict::Vacuous { why: vec!["nothing was recorded".to_owned()] },
            None => played.verdict.clone(),
        };
        let well = verdict == Verdict::Ok;
        self.tell(seed, &scenario, &played, &judged.text, &verdict);
        if well && self.dir.is_none() {
            // It was made for this run.
            let _ = std::fs::remove_dir_all(&dir);
        } else {
            println!("  kept: {}", dir.display());
            println!("  judge again: cargo sim judge {}", files.iter().map(|file| quoted(file)).collect::<Vec<_>>().join(" "));
        }
        println!("{}", line(seed, &verdict, &played));
        Ok(well)
    }

    /// The scenario; with its text, if it follows from arguments.
    fn template(&self) -> Result<(Template, Option<String>), String> {
        if let Some(file) = &self.file {
            return Ok((Template::load(file).map_err(|error| error.to_string())?, None));
        }
        let kinds = self.faults.split(',').map(str::trim).filter(|kind| *kind != "none");
        let troubles = kinds.map(str::parse).collect::<Result<Vec<Trouble>, String>>()?;
        let plain = Plain { nodes: self.nodes, lasts: self.lasts, clients: self.clients, rate: self.rate, troubles };
        Ok((plain.template()?, Some(plain.text())))
    }

    fn tell(&self, seed: u64, scenario: &Scenario, played: &Played, judged: &str, verdict: &Verdict) {
        let failed = matches!(verdict, Verdict::Failed { .. });
        if failed || self.story {
            let skip = if self.story { 0 } else { played.story.len().saturating_sub(STORY) };
            if skip > 0 {
                println!("  … {skip} earlier events");
            }
            for (at, sentence) in &played.story[skip..] {
                println!("  {:>10.6}s  {sentence}", *at as f64 / 1e6);
            }
        }
        let counts = &played.counts;
        println!(
            "  {} nodes, {} posts, {} acknowledged, {} deliveries, {} reads, {} elections, {} kills, {} stops, {} pieces held by cut links, longest wait {} ms",
            scenario.cluster.voters,
            counts.submitted,
            counts.acked,
            counts.delivered,
            counts.reads,
            counts.elections,
            counts.kills,
            counts.stops,
            counts.held,
            counts.longest_wait / 1_000
        );
        judged.lines().for_each(|line| println!("  {line}"));
        match verdict {
            Verdict::Ok => {}
            Verdict::Failed { rule, evidence } => {
                println!("FAILED by rule {rule}:");
                evidence.iter().for_each(|line| println!("  {line}"));
            }
            Verdict::Vacuous { why } => {
                println!("vacuous, seed {seed} proves nothing:");
                why.iter().for_each(|line| println!("  {line}"));
            }
        }
    }
}

/// The binary `node`: the one that is named, else the one beside this program.
pub(super) fn binary(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(node) = named {
        return if node.is_file() { Ok(node.to_owned()) } else { Err(format!("there is no {}", node.display())) };
    }
    let beside = std::env::current_exe().ok().and_then(|sim| Some(sim.parent()?.join("node")));
    let all = beside.into_iter().chain([PathBuf::from("target/release/node")]);
    all.into_iter()
        .find(|node| node.is_file())
        .ok_or_else(|| "there is no binary `node`: cargo build --release --bin node, or name one with --node".to_owned())
}

/// An empty folder: the one that is named, else a new one of this name among the system's temporary things.
pub(super) fn folder(named: Option<PathBuf>, name: &str) -> Result<PathBuf, String> {
    let dir = named.unwrap_or_else(|| std::env::temp_dir().join(format!("tertulia-{name}")));
    let fail = |error: std::io::Error| format!("{}: {error}", dir.display());
    std::fs::create_dir_all(&dir).map_err(fail)?;
    if std::fs::read_dir(&dir).map_err(fail)?.next().is_some() {
        return Err(format!("{} is not empty: a run begins with nothing", dir.display()));
    }
    std::path::absolute(&dir).map_err(fail)
}

/// Plays on this thread: the nodes end with the thread that started them. Ctrl-C ends the run in good order.
fn play(setup: Setup) -> Result<Played, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&interrupted);
    ctrlc::set_handler(move || asked.store(true, Relaxed)).map_err(|error| format!("cannot listen for Ctrl-C: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(live::play(setup, &interrupted))
}

/// The last line, in its fixed form.
fn line(seed: u64, verdict: &Verdict, played: &Played) -> String {
    let told = match verdict {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Failed { rule, .. } => format!("FAILED rule={rule}"),
        Verdict::Vacuous { .. } => "vacuous".to_owned(),
    };
    format!(
        "seed {seed} {told} live faults={} acked={} real={:.1}s",
        played.counts.faults,
        played.counts.acked,
        played.lasted.as_secs_f64()
    )
}
