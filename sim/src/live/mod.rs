//! A scenario on real processes: `node serve` on loopback, each link between them through a proxy, clients over sockets, faults by signals.
//!
//! What is shared with the simulation: the scenario, its plan of faults, the clients' script, the judge. What is not: nothing replays. The seed draws when faults
//! fire and whom they hit; the rest is the machine's.
//!
//! - [`playable`]: which scenarios can be played so.
//! - [`process`]: the nodes; none outlives the run, however that ends.
//! - [`proxy`]: the links.
//! - [`clients`]: the clients.
//! - [`tail`]: what the nodes write down, as they write it: who leads, what is applied.
//! - [`stage`]: what all of these share.
//! - [`cluster`]: the same processes and links without clients and judge, for whoever types.
//!
//! The order of the records is right because all are written with one machine's wall clock, each before what follows from it leaves whoever wrote it
//! (docs/FACTS.md). The run itself judges nothing but that it comes to its end; whoever started it judges the records.

mod clients;
pub mod cluster;
pub mod playable;
mod process;
mod proxy;
mod stage;
mod tail;

use crate::engine::Verdict;
use crate::plan::{Action, ClusterView, FaultPlan};
use crate::points::Crossings;
use crate::roster::Roster;
use crate::scenario::{Scenario, Verb};
use process::{Process, Recipe, free_ports};
use stage::{Stage, lock};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tail::Tail;
use tertulia_judge::record::{Recorded, Writer};
use tertulia_judge::{At, ClientFact, Observed};
use tertulia_protocol::contract::StateHash;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, NodeId, Term};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How often the director looks around.
const TICK: Duration = Duration::from_millis(10);
/// How long a cluster may take to elect its first leader.
const BEGIN: Duration = Duration::from_secs(60);
/// How many sentences of nodes a story may have.
const SENTENCES: usize = 100_000;

/// How to play.
pub struct Setup {
    pub scenario: Scenario,
    pub seed: u64,
    /// The binary `node`.
    pub node: PathBuf,
    /// A folder that is there and empty.
    pub dir: PathBuf,
    /// A known bug to run the nodes with: the binary must have the zoo.
    pub bug: Option<String>,
}

/// What came of it.
pub struct Played {
    /// Whether it came to its end as it should; what the records say is another matter.
    pub verdict: Verdict,
    /// Microseconds since the cluster had its first leader, and what happened.
    pub story: Vec<(u64, String)>,
    pub lasted: Duration,
    pub counts: Counts,
    /// Microseconds since 1970 when the story begins: records have such times.
    pub began: At,
}

/// How much of each thing there was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    pub submitted: u64,
    pub acked: u64,
    pub refused: u64,
    pub delivered: u64,
    pub reads: u64,
    pub elections: u64,
    pub kills: u64,
    pub stops: u64,
    /// Pieces of what nodes said that a closed way held.
    pub held: u64,
    pub faults: u32,
    /// Microseconds.
    pub longest_wait: u64,
}

/// The records of a run in this folder, in the order in which the judge is to read them.
pub fn records(dir: &Path, nodes: usize) -> Vec<PathBuf> {
    (1..=nodes).map(|node| dir.join(format!("n{node}.jsonl"))).chain([history(dir)]).collect()
}

fn history(dir: &Path) -> PathBuf {
    dir.join("clients.jsonl")
}

/// Plays it; at most the scenario's `stop` and twice its `heal_within`, and a minute for the beginning. `interrupted`: stop now.
///
/// # Errors
/// It could not be played: no ports, no binary, no leader, or it was interrupted.
pub async fn play(setup: Setup, interrupted: &AtomicBool) -> Result<Played, String> {
    let nodes = setup.scenario.cluster.voters;
    let mut ports = free_ports(2 * nodes)?;
    let peer_ports = ports.split_off(nodes);
    let no_ports = |error: std::io::Error| format!("no ports on loopback: {error}");
    let (listeners, proxies): (Vec<_>, Vec<_>) = proxy::bind(nodes).await.map_err(no_ports)?.into_iter().unzip();
    let recipe = Recipe {
        binary: setup.node,
        dir: setup.dir,
        client_ports: ports,
        peer_ports,
        proxies,
        succession: setup.scenario.cluster.policy().to_string(),
        sign_in: "open".into(),
        bug: setup.bug,
    };
    // Known to everybody: it guards nothing.
    fs::write(recipe.secret(), "7e".repeat(32)).map_err(|error| format!("{}: {error}", recipe.secret().display()))?;
    let mut run = Run::new(&setup.scenario, Seed(setup.seed), recipe, interrupted)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(proxy::run(Arc::clone(&run.stage), listeners));
    run.begin().await?;
    run.stage.begin();
    tasks.spawn(clients::run(Arc::clone(&run.stage)));
    let verdict = match run.play().await {
        Ok(verdict) | Err(Stop::Failed(verdict)) => verdict,
        Err(Stop::Broken(why)) => return Err(why),
    };
    // The nodes end before their links do, and what they have written is whole.
    run.processes.clear();
    run.close(verdict)
}

/// Why a run does not go on.
enum Stop {
    Failed(Verdict),
    /// It proves nothing at all.
    Broken(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop::Broken(why)
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    stage: Arc<Stage>,
    plan: FaultPlan,
    recipe: Recipe,
    interrupted: &'a AtomicBool,
    /// By node.
    processes: Vec<Option<Process>>,
    tails: Vec<Tail>,
    leading: Vec<Option<Term>>,
    applied: Vec<(Index, StateHash)>,
    committed: Index,
    roster: Roster,
    reached: BTreeMap<&'static str, u32>,
    crossings: Crossings,
    history: Writer<BufWriter<File>>,
    story: Vec<(u64, String)>,
    counts: Counts,
    /// Somebody waits for an answer, and since when nobody was given one.
    waiting_since: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: Seed, recipe: Recipe, interrupted: &'a AtomicBool) -> Result<Run<'a>, String> {
        let nodes = scenario.cluster.voters;
        let file = history(&recipe.dir);
        let history = File::create(&file).and_then(|file| Writer::new(BufWriter::new(file), &[]));
        let plan = FaultPlan::new(scenario, seed);
        let (client_ports, peer_ports) = (recipe.client_ports.clone(), recipe.peer_ports.clone());
        Ok(Run {
            scenario,
            stage: Arc::new(Stage::new(scenario, seed, plan.conditions().clone(), client_ports, peer_ports)),
            plan,
            interrupted,
            processes: (0..nodes).map(|_| None).collect(),
            tails: (0..nodes).map(|node| Tail::new(recipe.facts(node))).collect(),
            leading: vec![None; nodes],
            applied: vec![Default::default(); nodes],
            committed: 0,
            roster: Roster::new(&scenario.cluster),
            reached: BTreeMap::new(),
            crossings: Crossings::new(nodes),
            history: history.map_err(|error| format!("{}: {error}", file.display()))?,
            story: Vec::new(),
            counts: Counts::default(),
            waiting_since: None,
            recipe,
        })
    }

    /// Starts all nodes, and waits for a leader.
    async fn begin(&mut self) -> Result<(), String> {
        for node in 0..self.processes.len() {
            self.start(node)?;
        }
        let began = Instant::now();
        while self.leader().is_none() {
            self.look().map_err(|stop| match stop {
                Stop::Failed(Verdict::Failed { evidence, .. }) => format!("the cluster did not begin: {}", evidence.join("; ")),
                Stop::Failed(_) => "the cluster did not begin".to_owned(),
                Stop::Broken(why) => why,
            })?;
            if began.elapsed() > BEGIN {
                return Err(format!("nobody leads {BEGIN:?} after the start: look at the logs in {}", self.recipe.dir.display()));
            }
            sleep(TICK).await;
        }
        Ok(())
    }

    /// The whole story.
    async fn play(&mut self) -> Result<Verdict, Stop> {
        let (stop, heal_within) = (self.scenario.workload.stop, self.scenario.expect.heal_within);
        while self.now() < stop {
            self.tick().await?;
            self.faults()?;
        }
        let healing = self.plan.heal(self.now());
        self.show_conditions();
        for action in healing {
            self.carry_out(action)?;
        }
        let deadline = self.now() + heal_within;
        while let Some(why) = self.unsettled() {
            if self.now() >= deadline {
                let told = format!("not within {} ms after all faults healed: {why}", heal_within / 1_000);
                return Err(Stop::Failed(Verdict::failed("liveness", told)));
            }
            self.tick().await?;
        }
        self.stage.final_reading.store(true, Relaxed);
        while let Some(why) = self.still_reading().or_else(|| self.unsettled()) {
            if self.now() >= deadline + heal_within {
                return Err(Stop::Failed(Verdict::failed("liveness", why)));
            }
            self.tick().await?;
            // The end is judged by what stands still: nobody is elected between the last look and the last line.
            if self.still_reading().is_none() {
                self.stop_all(true);
                self.tick().await?;
                if self.unsettled().is_some() {
                    self.stop_all(false);
                }
            }
        }
        let all: Vec<NodeId> = (0..self.processes.len()).filter_map(|node| self.roster.id(node)).collect();
        // After everything that the nodes have written by now.
        let at = self.stage.wall();
        self.history.settled(at, &all).map_err(|error| format!("the clients' record: {error}"))?;
        Ok(self.expectations())
    }

    fn stop_all(&self, paused: bool) {
        self.processes.iter().flatten().for_each(|process| process.pause(paused));
    }

    fn now(&self) -> u64 {
        self.stage.elapsed()
    }

    async fn tick(&mut self) -> Result<(), Stop> {
        sleep(TICK).await;
        self.look()
    }

    /// Takes in what nodes and clients have told since the last look.
    fn look(&mut self) -> Result<(), Stop> {
        if self.interrupted.load(Relaxed) {
            return Err(Stop::Broken("interrupted".to_owned()));
        }
        for node in 0..self.tails.len() {
            self.hear(node)?;
        }
        let told = std::mem::take(&mut *lock(&self.stage.told));
        for (at, fact) in told {
            self.history.observe(at, Observed::Client(&fact)).map_err(|error| format!("the clients' record: {error}"))?;
            self.count(&fact);
        }
        for node in 0..self.processes.len() {
            if let Some(how) = self.processes[node].as_mut().and_then(Process::ended) {
                return Err(Stop::Failed(Verdict::failed("halted", format!("n{} ended by itself: {how}", node + 1))));
            }
        }
        let trouble = lock(&self.stage.standings).iter().find_map(|standing| standing.trouble.clone());
        trouble.map_or(Ok(()), |trouble| Err(Stop::Failed(Verdict::failed("client", trouble))))
    }

    fn hear(&mut self, node: usize) -> Result<(), Stop> {
        for (at, recorded) in self.tails[node].read()? {
            let at = at.0.saturating_sub(self.stage.began().0);
            match recorded {
                Recorded::Fact { fact, .. } => self.hear_fact(at, node, &fact),
                Recorded::Reached(_, Fact::Reached { point }) => {
                    *self.reached.entry(point).or_insert(0) += 1;
                    let now = self.now();
                    self.plan.reached(now, point);
                }
                Recorded::Gap { .. } => self.tell(at, format!("n{} leaves out facts", node + 1)),
                _ => {}
            }
        }
        Ok(())
    }

    fn hear_fact(&mut self, at: u64, node: usize, fact: &Fact) {
        self.crossings.fact(node, fact);
        self.note_crossings();
        let name = node + 1;
        match fact {
            Fact::Started { boot, term, durable, applied, .. } => {
                self.leading[node] = None;
                if self.applied[node].0 != *applied {
                    self.applied[node] = (*applied, StateHash::default());
                }
                let told = format!("n{name} starts as {boot} in term {term}, log to {}, rows to {applied}", durable.index);
                self.tell(at, told);
            }
            Fact::BecameLeader { term, last } => {
                self.leading[node] = Some(*term);
                self.counts.elections += 1;
                self.tell(at, format!("n{name} leads term {term} from index {}", last.index));
            }
            Fact::SteppedDown { term } => {
                self.leading[node] = None;
                self.tell(at, format!("n{name} steps down in term {term}"));
            }
            Fact::Committed { through, .. } => self.committed = self.committed.max(through.index),
            Fact::Applied { at, hash } | Fact::SnapshotInstalled { at, hash } => self.applied[node] = (at.index, *hash),
            Fact::Posted { room, seq, .. } => {
                let mut posted = lock(&self.stage.posted);
                let newest = posted.entry(*room).or_insert(0);
                *newest = (*newest).max(*seq);
            }
            _ => {}
        }
    }

    fn tell(&mut self, at: u64, sentence: String) {
        if self.story.len() < SENTENCES {
            self.story.push((at, sentence));
        }
    }

    fn note_crossings(&mut self) {
        for point in self.crossings.take() {
            *self.reached.entry(point).or_insert(0) += 1;
        }
    }

    fn count(&mut self, fact: &ClientFact) {
        let now = self.now();
        match fact {
            ClientFact::Submitted { .. } => {
                self.counts.submitted += 1;
                self.waiting_since.get_or_insert(now);
            }
            ClientFact::Acknowledged { .. } | ClientFact::RefusedFinally { .. } => {
                let acked = matches!(fact, ClientFact::Acknowledged { .. });
                self.counts.acked += u64::from(acked);
                self.counts.refused += u64::from(!acked);
                if let Some(since) = self.waiting_since.take() {
                    self.counts.longest_wait = self.counts.longest_wait.max(now.saturating_sub(since));
                }
                let open = self.counts.submitted > self.counts.acked + self.counts.refused;
                self.waiting_since = open.then_some(now);
            }
            ClientFact::Delivered { .. } => self.counts.delivered += 1,
            ClientFact::Read { .. } => self.counts.reads += 1,
            _ => {}
        }
    }

    fn leader(&self) -> Option<usize> {
        let leading = self.leading.iter().enumerate().filter_map(|(node, term)| term.map(|term| (term, node)));
        leading.max().map(|(_, node)| node)
    }

    fn faults(&mut self) -> Result<(), Stop> {
        loop {
            let (leader, now) = (self.leader(), self.now());
            let (line, seats) = (self.roster.line(leader), lock(&self.stage.seats).clone());
            let up: Vec<bool> = self.processes.iter().map(Option::is_some).collect();
            let view = ClusterView { up: &up, leader, members: self.roster.members(), line: &line, seats: &seats };
            let Some(actions) = self.plan.poll(now, view) else { return Ok(()) };
            self.show_conditions();
            for action in actions {
                self.carry_out(action)?;
            }
        }
    }

    fn show_conditions(&self) {
        self.plan.conditions().clone_into(&mut lock(&self.stage.conditions));
    }

    fn start(&mut self, node: usize) -> Result<(), String> {
        self.processes[node] = Some(self.recipe.start(node)?);
        Ok(())
    }

    fn carry_out(&mut self, action: Action) -> Result<(), Stop> {
        match action {
            Action::Crash { node, .. } => {
                self.counts.kills += 1;
                if let Some(mut process) = self.processes[node].take() {
                    process.kill();
                }
                // What it wrote before its end is not news afterwards.
                self.hear(node)?;
                self.leading[node] = None;
                self.crossings.crashed(node);
                self.note_crossings();
            }
            Action::Restart { node } => self.start(node)?,
            Action::Pause { node } | Action::Resume { node } => {
                let paused = matches!(action, Action::Pause { .. });
                self.counts.stops += u64::from(paused);
                if let Some(process) = &self.processes[node] {
                    process.pause(paused);
                }
            }
            Action::Reset { a, b } => {
                let nodes = self.processes.len();
                for way in [a * nodes + b, b * nodes + a] {
                    self.stage.resets[way].fetch_add(1, Relaxed);
                }
            }
            Action::Disconnect { client } => drop(self.stage.broken[client as usize].fetch_add(1, Relaxed)),
            // Conditions: whoever they concern looks there.
            Action::Links | Action::Clients => {}
            Action::Gone { .. } | Action::Clocks | Action::Operator(_) => {
                return Err(Stop::Broken(format!("{action:?} cannot be done to real processes: this is a bug")));
            }
        }
        Ok(())
    }

    fn still_reading(&self) -> Option<String> {
        let client = lock(&self.stage.standings).iter().position(|standing| !standing.has_read_all)?;
        Some(format!("client {} cannot read everything", client + 1))
    }

    /// What is still missing before all is well, as a sentence.
    fn unsettled(&self) -> Option<String> {
        let first = self.applied[0];
        for (node, applied) in self.applied.iter().enumerate() {
            if self.processes[node].is_none() {
                return Some(format!("n{} is down", node + 1));
            }
            if applied.0 != self.committed {
                return Some(format!("n{} has applied through {}, and {} is committed", node + 1, applied.0, self.committed));
            }
            if *applied != first {
                return Some(format!("n{} has applied {applied:?}, n1 {first:?}", node + 1));
            }
        }
        let Some(leader) = self.leader() else { return Some("nobody leads".to_owned()) };
        if let Some(wanted) = self.scenario.expect.leader.filter(|wanted| *wanted != leader) {
            return Some(format!("n{} should lead at the end, and n{} does", wanted + 1, leader + 1));
        }
        lock(&self.stage.standings).iter().find_map(|standing| standing.waits_for.clone())
    }

    /// What only the run as a whole can tell.
    fn expectations(&self) -> Verdict {
        let (expect, counts) = (&self.scenario.expect, &self.counts);
        if let Some(max) = expect.unavailable_max.filter(|max| counts.longest_wait > *max) {
            let told =
                format!("somebody waited and nobody was answered for {} us, the scenario allows {max} us", counts.longest_wait);
            return Verdict::failed("unavailable", told);
        }
        if counts.acked < expect.min_acked {
            let told = format!("{} posts were acknowledged, the scenario expects {}", counts.acked, expect.min_acked);
            return Verdict::failed("min-acked", told);
        }
        let transfers = self.reached.get("transfer.begun").copied().unwrap_or(0);
        if let Some(max) = expect.transfers_max.filter(|max| transfers > *max) {
            return Verdict::failed(
                "transfers-max",
                format!("leaders began to hand over {transfers} times, the scenario allows {max}"),
            );
        }
        let mut why = self.plan.never_fired();
        let idle = |what: &std::sync::atomic::AtomicU64| what.load(Relaxed) == 0;
        if idle(&self.stage.held) && self.plan.has(|verb| matches!(verb, Verb::Partition(_))) {
            why.push("nothing was held by a closed link, though the scenario closes some".to_owned());
        }
        if idle(&self.stage.disconnected)
            && self.plan.has(|verb| matches!(verb, Verb::Disconnect { .. } | Verb::RetryStorm { .. }))
        {
            why.push("no client lost its connection, though the scenario says so".to_owned());
        }
        if idle(&self.stage.kept_waiting)
            && self.plan.has(|verb| matches!(verb, Verb::CutClients { .. } | Verb::SlowReader { .. }))
        {
            why.push("nothing between clients and nodes was kept waiting, though the scenario says so".to_owned());
        }
        let reached = |point: &str| point == playable::OWED || self.reached.contains_key(point);
        let missing = expect.reached.iter().filter(|point| !reached(point));
        why.extend(missing.map(|point| format!("the point \"{point}\" was never reached")));
        if counts.acked < expect.proof.acked {
            why.push(format!("{} posts were acknowledged, it takes {} to prove anything", counts.acked, expect.proof.acked));
        }
        if self.plan.fired() < expect.proof.fired {
            why.push(format!("faults fired {} times, it takes {} to prove anything", self.plan.fired(), expect.proof.fired));
        }
        if why.is_empty() { Verdict::Ok } else { Verdict::Vacuous { why } }
    }

    /// Closes the records.
    fn close(mut self, verdict: Verdict) -> Result<Played, String> {
        let lasted = Duration::from_micros(self.now());
        self.history.flush().map_err(|error| format!("the clients' record: {error}"))?;
        self.story.extend(self.plan.story().iter().cloned());
        self.story.sort_by_key(|(at, _)| *at);
        let counts = Counts { held: self.stage.held.load(Relaxed), faults: self.plan.fired(), ..self.counts };
        Ok(Played { verdict, story: self.story, lasted, counts, began: self.stage.began() })
    }
}
