//! The confirming engine: the production driver with its codec, its log and its rows, on turmoil's network. It finds what the fast engine cannot see, and confirms what it can.
//!
//! One loop directs the run: a tick of turmoil, then everything that happened in it is told to the witness, then the faults that are due.

mod clients;
mod host;
mod net;
mod pause;
mod rot;
mod stage;

use crate::engine::{Options, Outcome, Unplayable, Verdict};
use crate::operator::Operator;
use crate::operator::{self, Folder, Then};
use crate::plan::{Action, ClusterView, FaultPlan};
use crate::record::{Recorder, Recording, Said, Window};
use crate::scenario::{DiskFailure, DiskFate, Rot, Scenario, Span, Verb};
use crate::trace::{Chain, digest};
use crate::witness::Witness;
use net::host_name;
use stage::{Ending, Stage, Told, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};
use tertulia_driver::sim_disk::{CrashOutcome, DiskFault};
use tertulia_protocol::contract::StateHash;
use tertulia_protocol::dice::{Purpose, Seed, below, draw};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::Index;
use tertulia_protocol::node::AdminOutcome;

/// Nothing happens between two ticks, and each costs as much as some events: with two milliseconds a run takes about half the time of one with one (docs/BENCHMARKS.md).
const TICK: Duration = Duration::from_millis(2);
const CLIENTS: &str = "clients";
/// Within so many microseconds the driver's nodes are connected over a way that opens: an attempt that is under way is given up, and the longest pause is over.
const RECONNECT: u64 = 3_500_000;

/// Plays a scenario on turmoil.
///
/// # Errors
/// The scenario has something that turmoil cannot express.
pub fn run(scenario: &Scenario, seed: Seed, options: Options) -> Result<Outcome, Unplayable> {
    check(scenario, options)?;
    let mut run = Run::new(scenario, seed, options);
    let verdict = run.play().unwrap_or_else(|failed| failed);
    Ok(run.outcome(verdict))
}

/// Plays a scenario and keeps what happened.
///
/// # Errors
/// As [`run`].
pub fn record(scenario: &Scenario, seed: Seed, options: Options, window: Window) -> Result<(Outcome, Recording), Unplayable> {
    check(scenario, options)?;
    let mut run = Run::new(scenario, seed, options);
    run.witness.recorder = Some(Box::new(Recorder::new(window, scenario.cluster.hosts())));
    run.stage.records.store(true, Relaxed);
    let verdict = run.play().unwrap_or_else(|failed| failed);
    let recording = Recording::take(&mut run.witness, run.plan.marks());
    Ok((run.outcome(verdict), recording))
}

fn check(scenario: &Scenario, options: Options) -> Result<(), Unplayable> {
    check_both_ways("[cluster] links", &scenario.cluster.links)?;
    for fault in &scenario.faults {
        if let Verb::Links(links) = &fault.verb {
            check_both_ways(&format!("fault \"{}\" (line {})", fault.id, fault.line), links)?;
        }
    }
    if options.tamper.is_some() {
        return Err(Unplayable { message: "only the fast engine tampers with messages: frames here have checksums".to_owned() });
    }
    Ok(())
}

fn check_both_ways(place: &str, links: &BTreeMap<(usize, usize), Span>) -> Result<(), Unplayable> {
    let one_way = links.iter().find(|((from, to), span)| links.get(&(*to, *from)) != Some(span));
    let Some(((from, to), _)) = one_way else { return Ok(()) };
    let (from, to) = (from + 1, to + 1);
    let message = format!(
        "{place}: the turmoil engine has the same delay both ways: give \"{to}->{from}\" the delay of \"{from}->{to}\", or use --engine fast"
    );
    Err(Unplayable { message })
}

/// Turmoil counts whole milliseconds, and gives a named link one fixed latency.
fn milliseconds(micros: u64) -> Duration {
    Duration::from_millis(micros.div_ceil(1_000).max(1))
}

fn fixed(span: Span) -> Duration {
    milliseconds(u64::midpoint(span.from, span.to))
}

struct Run<'a> {
    stage: Arc<Stage>,
    sim: turmoil::Sim<'a>,
    plan: FaultPlan,
    witness: Witness,
    operator: Operator,
    /// Links whose latency a fault has changed.
    other_delays: BTreeSet<(usize, usize)>,
    /// The last entry that each node applied, and its state then.
    applied: Vec<(Index, StateHash)>,
    now: u64,
}

impl Run<'_> {
    fn new(scenario: &Scenario, seed: Seed, options: Options) -> Self {
        let plan = FaultPlan::new(scenario, seed);
        let stage = Arc::new(Stage::new(scenario, seed, plan.conditions().clone(), options));
        let end = Duration::from_micros(scenario.workload.stop + scenario.expect.heal_within) + Duration::from_secs(60);
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed.0)
            .epoch(SystemTime::UNIX_EPOCH)
            .simulation_duration(end)
            .tick_duration(TICK)
            .tcp_capacity(4_096)
            .min_message_latency(milliseconds(scenario.cluster.link.from))
            .max_message_latency(milliseconds(scenario.cluster.link.to))
            .build();
        for node in 0..scenario.cluster.hosts() {
            let stage = Arc::clone(&stage);
            sim.host(host_name(node), move || {
                let stage = Arc::clone(&stage);
                async move {
                    host::run(stage, node).await;
                    Ok(())
                }
            });
        }
        let to_clients = Arc::clone(&stage);
        sim.host(CLIENTS, move || {
            let stage = Arc::clone(&to_clients);
            async move {
                clients::run(stage).await;
                Ok(())
            }
        });
        for ((from, to), span) in &scenario.cluster.links {
            sim.set_link_latency(host_name(*from), host_name(*to), fixed(*span));
        }
        let witness = Witness::new(scenario, RECONNECT, options.record);
        let applied = vec![<(Index, StateHash)>::default(); scenario.cluster.hosts()];
        Run { stage, sim, plan, witness, operator: Operator::default(), other_delays: BTreeSet::new(), applied, now: 0 }
    }

    /// The whole story; `Err` as soon as something went wrong.
    fn play(&mut self) -> Result<Verdict, Verdict> {
        let (stop, heal_within) = (self.stage.scenario.workload.stop, self.stage.scenario.expect.heal_within);
        while self.now < stop {
            self.tick()?;
            self.faults();
        }
        let healing = self.plan.heal(self.now);
        self.show_conditions();
        for action in healing {
            self.carry_out(action);
        }
        self.witness.conditions(self.now, self.plan.conditions());
        let deadline = self.now + heal_within;
        while let Some(why) = self.unsettled() {
            if self.now >= deadline {
                return Err(Verdict::failed(
                    "liveness",
                    format!("not within {} ms after all faults healed: {why}", heal_within / 1_000),
                ));
            }
            self.tick()?;
        }
        self.stage.final_reading.store(true, Relaxed);
        // What was settled may be in motion again: leaders measure and hand over whether anybody posts or not.
        while let Some(why) = self.still_reading().or_else(|| self.unsettled()) {
            if self.now >= deadline + heal_within {
                return Err(Verdict::failed("liveness", why));
            }
            self.tick()?;
        }
        self.witness.finish(self.now);
        let (tally, count) = (&mut self.witness.counts, |count: &std::sync::atomic::AtomicU64| count.load(Relaxed));
        (tally.touched, tally.held_back) = (count(&self.stage.touched), count(&self.stage.held_back));
        tally.queued = count(&self.stage.queued);
        (tally.disconnected, tally.kept_waiting) = (count(&self.stage.disconnected), count(&self.stage.kept_waiting));
        self.violation()?;
        Ok(crate::engine::judge_the_whole(&self.stage.scenario, &self.plan, &self.witness))
    }

    /// A step of turmoil, and everything that happened in it.
    fn tick(&mut self) -> Result<(), Verdict> {
        if let Err(error) = self.sim.step() {
            return Err(Verdict::failed("panic", error.to_string()));
        }
        self.now = self.sim.elapsed().as_micros() as u64;
        self.stage.set_now(self.now);
        let told = std::mem::take(&mut *lock(&self.stage.told));
        for told in told {
            match told {
                Told::Fact { at, node, fact } => self.hear_fact(at, node, &fact),
                Told::Client { at, fact } => self.witness.client(at, &fact),
                Told::Sent { at, from, to, message } => {
                    if let (Some(recorder), Some(to)) = (&mut self.witness.recorder, self.witness.roster.host(to)) {
                        recorder.sent(at, (from, to), digest(&message), Said::Peer(&message), false);
                    }
                }
                Told::Arrived { at, from, to, digest } => {
                    if let (Some(recorder), Some(from)) = (&mut self.witness.recorder, self.witness.roster.host(from)) {
                        recorder.arrived(at, (from, to), digest, true);
                    }
                }
                Told::ClientAt { at, client, node } => self.witness.client_at(at, client, node),
            }
        }
        self.violation()?;
        let ended = std::mem::take(&mut *lock(&self.stage.ended));
        for (node, ending) in ended {
            match ending {
                Ending::Removed => self.leave(node),
                Ending::Other(_) if self.plan.halted(self.now, node) => {
                    self.show_conditions();
                    self.crash(node, DiskFate::Keep, 0);
                }
                Ending::Other(why) => return Err(Verdict::failed("halted", why)),
            }
        }
        let trouble = lock(&self.stage.standings).iter().find_map(|standing| standing.trouble.clone());
        if let Some(trouble) = trouble {
            return Err(Verdict::failed("client", trouble));
        }
        self.operate();
        Ok(())
    }

    /// What nodes have answered to the operator, and what it asks now.
    fn operate(&mut self) {
        let administered = std::mem::take(&mut *lock(&self.stage.administered));
        for (ticket, outcome) in administered {
            let done = matches!(outcome, AdminOutcome::Done { .. });
            let Some(call) = self.operator.answered(self.now, ticket, done) else { continue };
            match operator::then(call, &outcome) {
                Then::Nothing => {}
                Then::Start { host, id, members } => {
                    self.witness.joined(self.now, host, id);
                    self.show_roster();
                    *lock(&self.stage.knows[host]) = members;
                    self.start(host);
                }
                Then::End { host } => self.leave(host),
            }
        }
        while let Some((ticket, host, call)) = self.operator.poll(self.now, &self.witness.up) {
            let folder_of = |host: usize| Folder {
                peer_address: host::peer_address(host),
                client_address: host::client_address(host),
                incarnation: self.stage.incarnation(host),
            };
            match operator::admin(call, &self.witness.roster, folder_of) {
                Some(admin) => lock(&self.stage.asks[host]).push((ticket, admin)),
                None => self.operator.withdraw(ticket),
            }
        }
    }

    fn show_roster(&self) {
        *lock(&self.stage.roster) = self.witness.roster.clone();
    }

    /// Starts the process on a machine, unless what ran there was removed while it was down.
    fn start(&mut self, node: usize) {
        if self.witness.roster.is_member(node) {
            self.sim.bounce(host_name(node));
            self.sim.repair(host_name(node), CLIENTS);
            self.set_links();
        }
    }

    /// What runs on this machine is a member no more.
    fn leave(&mut self, node: usize) {
        self.witness.roster.left(node);
        self.show_roster();
        if self.witness.up[node] {
            self.crash(node, DiskFate::Keep, 0);
        }
    }

    fn violation(&self) -> Result<(), Verdict> {
        let Some(violation) = self.witness.violation() else { return Ok(()) };
        Err(Verdict::failed(violation.rule, format!("at {} us: {}", violation.at.0, violation.evidence)))
    }

    fn hear_fact(&mut self, at: u64, node: usize, fact: &Fact) {
        self.witness.fact(at, node, fact);
        match fact {
            Fact::Started { .. } => self.witness.started(at, node),
            Fact::Applied { at, hash } | Fact::SnapshotInstalled { at, hash } => self.applied[node] = (at.index, *hash),
            Fact::Posted { room, seq, .. } => {
                let mut posted = lock(&self.stage.posted);
                let newest = posted.entry(*room).or_insert(0);
                *newest = (*newest).max(*seq);
            }
            Fact::Reached { point } => self.plan.reached(at, point),
            _ => {}
        }
    }

    fn faults(&mut self) {
        loop {
            let (line, seats) = (self.witness.line(), lock(&self.stage.seats).clone());
            let view = ClusterView { seats: &seats, ..self.witness.view(&line) };
            let Some(actions) = self.plan.poll(self.now, view) else { break };
            self.show_conditions();
            for action in actions {
                self.carry_out(action);
            }
            self.witness.conditions(self.now, self.plan.conditions());
        }
    }

    /// Weather and troubles of disks come and go without an action.
    fn show_conditions(&self) {
        let conditions = self.plan.conditions();
        *self.stage.conditions() = conditions.clone();
        for (node, disk) in self.stage.disks.iter().enumerate() {
            lock(disk).set_fault(conditions.broken_disk(node).map(|how| match how {
                DiskFailure::Full => DiskFault::Full,
                DiskFailure::Failing => DiskFault::FailingWrites,
                DiskFailure::Misread => DiskFault::MisreadingReads,
            }));
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Crash { node, fate, torn, rot } => {
                self.crash(node, fate, torn);
                if let Some((rot, drawn)) = rot
                    && rot::rot(&lock(&self.stage.disks[node]), rot, drawn)
                {
                    self.plan.note_rotten();
                    if rot == Rot::Log {
                        self.witness.damaged(self.now, node);
                    }
                }
            }
            Action::Restart { node } => self.start(node),
            Action::Gone { node } => {
                self.crash(node, DiskFate::LoseUnsynced, 0);
                self.witness.roster.left(node);
                self.show_roster();
            }
            Action::Pause { node } | Action::Resume { node } => {
                let paused = matches!(action, Action::Pause { .. });
                self.stage.paused[node].store(paused, Relaxed);
                self.witness.paused(self.now, node, paused);
            }
            Action::Reset { a, b } => {
                self.witness.reset(self.now, a, b);
                for (from, to) in [(a, b), (b, a)] {
                    self.stage.resets[from * self.applied.len() + to].fetch_add(1, Relaxed);
                }
            }
            Action::Links => self.set_links(),
            // Both are conditions, and whoever they concern looks there.
            Action::Clocks | Action::Clients => {}
            Action::Disconnect { client } => drop(self.stage.broken[client as usize].fetch_add(1, Relaxed)),
            Action::Operator(call) => self.operator.want(self.now, call),
        }
    }

    /// Cut off first and frozen first: nobody sees the clean end that turmoil gives a crashed host's streams (in no fixed order: it would not replay), and no destructor
    /// tidies up the disk.
    fn crash(&mut self, node: usize, fate: DiskFate, torn: u64) {
        let outcome = match fate {
            DiskFate::Keep | DiskFate::Any => CrashOutcome::Keep,
            DiskFate::LoseUnsynced | DiskFate::Wipe => CrashOutcome::LoseUnsynced,
            DiskFate::Torn => CrashOutcome::Torn,
        };
        let mut nth = 0;
        lock(&self.stage.disks[node]).crash(outcome, &mut |bound| {
            nth += 1;
            below(draw(Seed(torn), Purpose::DiskTorn, node as u64, 0, nth), bound)
        });
        for other in (0..self.applied.len()).filter(|other| *other != node) {
            self.sim.partition(host_name(node), host_name(other));
        }
        self.sim.partition(host_name(node), CLIENTS);
        self.stage.crashes[node].fetch_add(1, Relaxed);
        self.stage.paused[node].store(false, Relaxed);
        lock(&self.stage.asks[node]).clear();
        self.sim.crash(host_name(node));
        self.witness.crashed(self.now, node);
        if fate == DiskFate::Wipe {
            *lock(&self.stage.disks[node]) = stage::empty_disk(&self.stage.scenario);
            self.stage.wipes[node].fetch_add(1, Relaxed);
            self.witness.wiped(self.now, node);
        }
    }

    /// Turmoil's partitions follow from what is blocked now, and from who is down.
    fn set_links(&mut self) {
        self.set_delays();
        let nodes = self.applied.len();
        for from in 0..nodes {
            for to in (0..nodes).filter(|to| *to != from) {
                let down = !self.sim.is_host_running(host_name(from)) || !self.sim.is_host_running(host_name(to));
                if down || self.plan.conditions().blocked(from, to) {
                    self.sim.partition_oneway(host_name(from), host_name(to));
                } else {
                    self.sim.repair_oneway(host_name(from), host_name(to));
                }
            }
        }
    }

    /// Sets the latency of links that a fault changes, and back. Turmoil cannot give a link its drawn latencies back: it gets their mean.
    fn set_delays(&mut self) {
        let cluster = &self.stage.scenario.cluster;
        for from in 0..cluster.hosts() {
            for to in from + 1..cluster.hosts() {
                let other = self.plan.conditions().delay(from, to);
                let changed = match other {
                    Some(_) => self.other_delays.insert((from, to)),
                    None => self.other_delays.remove(&(from, to)),
                };
                if changed || other.is_some() {
                    let span = other.unwrap_or(cluster.delay(from, to));
                    self.sim.set_link_latency(host_name(from), host_name(to), fixed(span));
                }
            }
        }
    }

    /// A client that has not read everything yet.
    fn still_reading(&self) -> Option<String> {
        let client = lock(&self.stage.standings).iter().position(|standing| !standing.has_read_all)?;
        Some(format!("client {} cannot read everything", client + 1))
    }

    /// What is still missing before all is well, as a sentence.
    fn unsettled(&self) -> Option<String> {
        if let Some(call) = self.operator.waits_for() {
            return Some(format!("the operator still waits for {call:?}"));
        }
        let members: Vec<usize> = (0..self.applied.len()).filter(|host| self.witness.roster.is_member(*host)).collect();
        let committed = self.witness.committed();
        if let Some(node) = members.iter().find(|node| self.applied[**node].0 != committed) {
            return Some(format!("n{} has applied through {}, and {committed} is committed", node + 1, self.applied[*node].0));
        }
        if let Some(why) = self.witness.not_yet(&self.stage.scenario.expect) {
            return Some(why);
        }
        if let Some(node) = members.iter().find(|node| !self.witness.up[**node]) {
            return Some(format!("n{} is down", node + 1));
        }
        let first = members.first().copied().unwrap_or(0);
        if let Some(node) = members.into_iter().find(|node| self.applied[*node] != self.applied[first]) {
            let (here, there) = (self.applied[node], self.applied[first]);
            return Some(format!("n{} has applied {here:?}, n{} {there:?}", node + 1, first + 1));
        }
        lock(&self.stage.standings).iter().find_map(|standing| standing.waits_for.clone())
    }

    fn outcome(mut self, verdict: Verdict) -> Outcome {
        let chains: Vec<u64> = self.stage.chains.iter().map(|chain| lock(chain).value()).collect();
        let mut trace = Chain::default();
        for chain in &chains {
            trace.output(*chain);
        }
        let mut story: Vec<(u64, String)> = self.plan.story().iter().chain(self.witness.story()).cloned().collect();
        story.sort_by_key(|(at, _)| *at);
        let points: BTreeMap<&'static str, u32> = self.witness.points().collect();
        Outcome {
            verdict,
            trace: digest(&trace.value()),
            events: self.stage.events.load(Relaxed),
            simulated: Duration::from_micros(self.now),
            tally: self.witness.tally(),
            points: points.into_iter().collect(),
            story,
            decisions: self.plan.decisions().to_vec(),
            record: self.witness.take_record(),
        }
    }
}
