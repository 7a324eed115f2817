//! The fast engine: a discrete-event loop over the bare machines. It hunts.
//!
//! Messages are moved, not encoded (except on a sample of seeds: [`codec`]); time jumps from one event to the next; a node costs nothing while
//! nothing happens to it. Everything that a driver does between a machine and the world is here in its simplest honest form:
//!
//! - `queue`, `event`: what happens when.
//! - `host`, `nodes`: machines, their inputs and outputs, crashes and restarts.
//! - `disk`, `network`, `links`, `clog`: what they stand on.
//! - `clients`, `trouble`: connections between clients and nodes, and what faults do to them.
//! - `operators`: what an operator asks of the cluster.
//! - `phases`: faults, the end of faults, and what must hold afterwards.
//! - [`branch`]: one run that goes on in several ways from its rare moments.
//!
//! A crash freezes first: the machine is dropped, and then it is decided what the disk keeps. Nothing that was on its way out is processed.

pub mod branch;
mod clients;
mod clog;
mod codec;
mod disk;
#[cfg(all(test, feature = "zoo"))]
mod divergence_tests;
mod event;
mod host;
mod links;
mod network;
mod nodes;
mod operators;
mod phases;
mod queue;
mod trouble;

use crate::engine::{Options, Outcome, Unplayable, Verdict, catch};
use crate::operator::Operator;
use crate::plan::FaultPlan;
use crate::record::{Recorder, Recording, Window};
use crate::scenario::Scenario;
use crate::trace::Chain;
use crate::witness::Witness;
use crate::workload::{Actor, actors};
use clients::{Connections, Seat};
use clog::Clogged;
use disk::Disk;
use event::Event;
use host::Host;
use network::Network;
use phases::Phase;
use queue::Queue;
use std::time::Duration;
use tertulia_judge::ClientFact;
use tertulia_protocol::dice::{Purpose, Seed, draw, within};
use tertulia_protocol::facts::Fact;

/// More events than any honest run has.
const RUNAWAY: u64 = 100_000_000;

/// Plays one seed.
///
/// # Errors
/// None: there is nothing in a scenario that this engine cannot express.
pub fn run(scenario: &Scenario, seed: Seed, options: Options) -> Result<Outcome, Unplayable> {
    let mut world = World::new(scenario, seed, options);
    if let Err(panic) = catch(|| world.play()) {
        world.fail(Verdict::failed("panic", panic));
    }
    Ok(world.outcome())
}

/// Plays one seed and keeps what happened.
///
/// # Errors
/// As [`run`].
pub fn record(scenario: &Scenario, seed: Seed, options: Options, window: Window) -> Result<(Outcome, Recording), Unplayable> {
    let mut world = World::new(scenario, seed, options);
    world.witness.recorder = Some(Box::new(Recorder::new(window, scenario.cluster.hosts())));
    if let Err(panic) = catch(|| world.play()) {
        world.fail(Verdict::failed("panic", panic));
    }
    let recording = Recording::take(&mut world.witness, world.plan.marks());
    Ok((world.outcome(), recording))
}

/// Everything there is.
#[derive(Clone)]
struct World<'a> {
    scenario: &'a Scenario,
    seed: Seed,
    /// Where the world's draws come from: the seed, or from a branch on what the seed and the branch's salt make.
    draws: Seed,
    options: Options,
    now: u64,
    events: u64,
    queue: Queue<Event>,
    hosts: Vec<Host>,
    network: Network,
    clogged: Clogged,
    plan: FaultPlan,
    /// When the plan is scheduled to be asked next.
    plan_due: u64,
    operator: Operator,
    /// When the operator is scheduled to be asked next.
    operator_due: u64,
    seats: Vec<Seat>,
    connections: Connections,
    /// Connections of clients that a fault broke, and words between clients and nodes that one kept waiting.
    disconnected: u64,
    kept_waiting: u64,
    witness: Witness,
    phase: Phase,
    coded: bool,
    sent: u64,
    /// Empty between two takings of facts: the vector is used again.
    facts: Vec<Fact>,
    client_facts: Vec<ClientFact>,
    /// Named points that were reached since the last look, if somebody looks.
    news: Option<Vec<&'static str>>,
    verdict: Option<Verdict>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: Seed, options: Options) -> World<'a> {
        let (voters, hosts) = (scenario.cluster.voters, scenario.cluster.hosts());
        let offset = |node: usize, what| draw(seed, Purpose::StartOffset, node as u64, what, 0);
        let plan = FaultPlan::new(scenario, seed);
        let host = |node: usize| {
            let disk = Disk::new(seed, node as u64, &scenario.cluster);
            Host::new(disk, plan.conditions().clock(node), nodes::first_voters(voters))
        };
        let mut world = World {
            scenario,
            seed,
            draws: seed,
            options,
            now: 0,
            events: 0,
            queue: Queue::new(),
            hosts: (0..hosts).map(host).collect(),
            network: Network::new(seed, &scenario.cluster),
            clogged: Clogged::default(),
            plan,
            plan_due: u64::MAX,
            operator: Operator::default(),
            operator_due: u64::MAX,
            seats: (0..actors(scenario)).map(|_| Seat::default()).collect(),
            connections: Connections::default(),
            disconnected: 0,
            kept_waiting: 0,
            witness: Witness::new(scenario, network::RECONNECT, options.record),
            phase: Phase::Safety,
            coded: codec::sampled(seed),
            sent: 0,
            facts: Vec::new(),
            client_facts: Vec::new(),
            news: None,
            verdict: None,
        };
        for node in 0..voters {
            world.queue.push(within(offset(node, 0), 0, 50_000), Event::Start { node });
        }
        for client in 0..world.seats.len() {
            world.queue.push(Actor::starts(scenario, seed, client as u32), Event::ClientStart { client });
        }
        world.queue.push(scenario.workload.stop, Event::Stop);
        world.schedule_plan();
        world
    }

    /// Runs until there is a verdict.
    fn play(&mut self) {
        while self.verdict.is_none() {
            self.step();
        }
    }

    /// The next event.
    fn step(&mut self) {
        let Some((at, event)) = self.queue.pop() else {
            return self.fail(Verdict::failed("liveness", "nothing will ever happen again"));
        };
        debug_assert!(at >= self.now);
        self.now = at;
        self.events += 1;
        if self.events > RUNAWAY {
            return self.fail(Verdict::failed("runaway", format!("{RUNAWAY} events in {at} us")));
        }
        self.happen(event);
        if let Some(violation) = self.witness.violation() {
            let verdict = Verdict::failed(violation.rule, violation.to_string());
            self.fail(verdict);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Peer { from, sender, to, boot, message, digest } => self.arrive((from, sender), to, boot, message, digest),
            Event::Installed { node, boot } => self.installed(node, boot),
            Event::Derived { node, boot, id, key } => self.derived(node, boot, id, key),
            Event::Loaded { node, boot, id, loaded } => self.loaded(node, boot, id, loaded),
            Event::Synced { node, boot } => self.synced(node, boot),
            Event::NodeTimer { node, boot } => self.node_timer(node, boot),
            Event::Wake { node, boot } => self.wake(node, boot),
            Event::Drained { node, boot } => self.drained(node, boot),
            Event::Start { node } => self.start(node),
            Event::Trickle { from, to, nth } => self.trickle(from, to, nth),
            Event::Overrun { from, to, nth } => self.overrun(from, to, nth),
            Event::Drip { connection } => self.drip(connection),
            Event::Dialled { a, b } => self.dialled(a, b),
            Event::Noticed { a, b, boots } => self.noticed(a, b, boots),
            Event::ToNode { connection, word } => self.heard_from_client(connection, word),
            Event::ToClient { connection, word, digest } => self.heard_from_node(connection, word, digest),
            Event::ClientStart { client } => self.client_start(client),
            Event::ClientTimer { client } => self.client_timer(client),
            Event::ClientAct { client } => self.client_act(client),
            Event::Operate => self.operate(),
            Event::Plan => self.follow_plan(),
            Event::Stop => self.stop(),
            Event::Check => self.check(),
        }
    }

    /// The first verdict counts.
    fn fail(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    /// A draw for something that has no better name than its time: what one node (or client) does at one microsecond.
    fn moment(&self, purpose: Purpose, who: u64, nth: u64) -> u64 {
        draw(self.draws, purpose, who, self.now, nth)
    }

    fn outcome(mut self) -> Outcome {
        let mut trace = Chain::default();
        for host in &self.hosts {
            trace.output(host.chain.value());
        }
        for seat in &self.seats {
            trace.output(seat.chain.value());
        }
        let mut story: Vec<(u64, String)> = self.plan.story().iter().chain(self.witness.story()).cloned().collect();
        story.sort_by_key(|(at, _)| *at);
        Outcome {
            verdict: self.verdict.take().unwrap_or(Verdict::Ok),
            trace: trace.value(),
            events: self.events,
            simulated: Duration::from_micros(self.now),
            tally: self.witness.tally(),
            points: self.witness.points().collect(),
            story,
            decisions: self.plan.decisions().to_vec(),
            record: self.witness.take_record(),
        }
    }
}
