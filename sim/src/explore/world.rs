//! One state of a small scope, and what can happen in it.

use super::Scope;
use super::rules::{Broken, Rules};
use crate::trace::Digest;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};
use tertulia_protocol::contract::{Batch, Loaded, Position, Query, Restored, Timing, Vote};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::{BatchId, Boot, ClusterId, Incarnation, NodeId};
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::{Entry, FromRows, Member, Output, Raft, RaftMessage};
use tertulia_protocol::time::{Duration, Instant, Now, Timestamp};
use tertulia_protocol::wire::{self, Kind};

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The nth of the messages under way arrives.
    Deliver(usize),
    /// The oldest batch of a node is on disk, and the node hears of it.
    Store(NodeId),
    /// A leader is given a command.
    Propose(NodeId),
    /// A node is asked for a linearizable read.
    Read(NodeId),
    /// A node's clock goes on to its next deadline.
    Timeout(NodeId),
    /// A node's clock goes on until it would vote again, and no further.
    Silence(NodeId),
    /// A node dies and starts again; so many of the batches that it had not heard of are on disk.
    Crash(NodeId, usize),
}

#[derive(Clone, Hash)]
struct Host {
    raft: Raft,
    clock: Now,
    boots: u64,
    vote: Vote,
    log: Vec<Entry>,
    pending: VecDeque<(BatchId, Batch)>,
}

/// Machines, disks, messages under way, and what may still happen.
#[derive(Clone)]
pub struct World {
    scope: Scope,
    hosts: BTreeMap<NodeId, Host>,
    /// Kept in the order of their digests: that two were sent in another order is no other state.
    wires: Vec<(u64, NodeId, NodeId, RaftMessage)>,
    commands: u32,
    reads: u32,
    crashes: u32,
    silences: u32,
    rules: Rules,
}

impl World {
    /// A cluster whose first node leads, with its first entry committed and everything settled.
    ///
    /// # Errors
    /// The rule that is broken on the way there.
    pub fn new(scope: Scope) -> Result<World, Broken> {
        let mut world = World {
            scope,
            hosts: BTreeMap::new(),
            wires: Vec::new(),
            commands: 0,
            reads: 0,
            crashes: 0,
            silences: 0,
            rules: Rules::new(scope.replicas),
        };
        let clock = Now { instant: Instant(1_000_000), wall: Timestamp(1_700_000_000_000_000) };
        for id in (1..=scope.replicas).map(NodeId) {
            world.start(id, clock, 1, Vote::default(), Vec::new());
        }
        // Whoever has just started votes for nobody for a while.
        world.hosts.values_mut().for_each(Host::fall_silent);
        world.settle(NodeId(1))?;
        Ok(world)
    }

    /// Lets a node stand and win, and everything arrive.
    fn settle(&mut self, first: NodeId) -> Result<(), Broken> {
        self.timeout(first)?;
        for _ in 0..100 {
            if let Some(id) = self.hosts.iter().find(|(_, host)| !host.pending.is_empty()).map(|(id, _)| *id) {
                self.store(id)?;
            } else if self.wires.is_empty() {
                // The next heartbeat tells the followers what is committed.
                let leader = &self.hosts[&first].raft;
                if self.hosts.values().all(|host| host.raft.commit() == leader.commit()) && leader.is_leader() {
                    return Ok(());
                }
                self.timeout(first)?;
            } else {
                self.deliver(0)?;
            }
        }
        Err(("liveness", format!("{first} does not come to lead, though everything arrives")))
    }

    /// What the next step depends on, and what the rules remember.
    pub fn fingerprint(&self) -> u64 {
        let mut digest = Digest::default();
        self.hosts.hash(&mut digest);
        for (told, ..) in &self.wires {
            told.hash(&mut digest);
        }
        (self.commands, self.reads, self.crashes, self.silences).hash(&mut digest);
        self.rules.hash(&mut digest);
        digest.finish()
    }

    /// Everything that can happen now. Of equal messages under way only one counts.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let new = |nth: &usize| *nth == 0 || self.wires[*nth].0 != self.wires[*nth - 1].0;
        actions.extend((0..self.wires.len()).filter(new).map(Action::Deliver));
        for (&id, host) in &self.hosts {
            if !host.pending.is_empty() {
                actions.push(Action::Store(id));
            }
            if self.commands < self.scope.commands && host.raft.is_leader() {
                actions.push(Action::Propose(id));
            }
            if self.reads < self.scope.reads {
                actions.push(Action::Read(id));
            }
            if self.crashes < self.scope.crashes {
                actions.extend((0..=host.pending.len()).map(|kept| Action::Crash(id, kept)));
            }
            if self.silences < self.scope.silences {
                actions.extend([Action::Timeout(id), Action::Silence(id)]);
            }
        }
        actions
    }

    /// Lets it happen.
    ///
    /// # Errors
    /// The rule that is broken by it, and how that is seen.
    pub fn take(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Deliver(nth) => self.deliver(nth),
            Action::Store(id) => self.store(id),
            Action::Propose(id) => {
                self.commands += 1;
                let payload = wire::seal(Kind::Other, &self.commands);
                self.input(id, |raft, now| _ = raft.propose(now, payload))
            }
            Action::Read(id) => {
                self.reads += 1;
                let read = u64::from(self.reads);
                self.rules.asks(read);
                self.input(id, |raft, now| _ = raft.read(now, read))
            }
            Action::Timeout(id) => {
                self.silences += 1;
                self.timeout(id)
            }
            Action::Silence(id) => {
                self.silences += 1;
                self.hosts.get_mut(&id).into_iter().for_each(Host::fall_silent);
                Ok(())
            }
            Action::Crash(id, kept) => {
                self.crashes += 1;
                self.crash(id, kept)
            }
        }
    }

    /// An action as a sentence, before it is taken.
    pub fn tell(&self, action: Action) -> String {
        match action {
            Action::Deliver(nth) => {
                let (_, from, to, message) = &self.wires[nth];
                format!("{to} hears from {from}: {message:?}")
            }
            Action::Store(id) => format!("{id}: the disk has written the oldest batch"),
            Action::Propose(id) => format!("{id} is given a command"),
            Action::Read(id) => format!("{id} is asked for a read"),
            Action::Timeout(id) => format!("{id}: the next deadline is over"),
            Action::Silence(id) => format!("{id} hears nothing for so long that it would vote again"),
            Action::Crash(id, kept) => format!("{id} crashes and starts again; {kept} of the batches under way are on disk"),
        }
    }

    fn timeout(&mut self, id: NodeId) -> Result<(), Broken> {
        if let Some(host) = self.hosts.get_mut(&id)
            && let Some(at) = host.raft.poll_timeout()
        {
            host.pass(at.since(host.clock.instant));
        }
        self.input(id, |raft, now| raft.handle_timeout(now))
    }

    fn deliver(&mut self, nth: usize) -> Result<(), Broken> {
        let (_, from, to, message) = self.wires.remove(nth);
        self.input(to, |raft, now| raft.handle_message(now, from, message))
    }

    fn store(&mut self, id: NodeId) -> Result<(), Broken> {
        match self.write(id, 1) {
            Some(done) => self.input(id, |raft, now| raft.handle_stored(now, done)),
            None => Ok(()),
        }
    }

    /// So many batches are on disk; the last of them.
    fn write(&mut self, id: NodeId, batches: usize) -> Option<BatchId> {
        let host = self.hosts.get_mut(&id)?;
        let mut last = None;
        for (batch_id, batch) in host.pending.drain(..batches.min(host.pending.len())) {
            host.vote = batch.vote.unwrap_or(host.vote);
            if let Some(first) = batch.entries.first() {
                host.log.truncate(first.index as usize - 1);
            }
            host.log.extend(batch.entries);
            last = Some(batch_id);
        }
        self.rules.disk(id, host.vote, positions(&host.log));
        last
    }

    fn crash(&mut self, id: NodeId, kept: usize) -> Result<(), Broken> {
        self.write(id, kept);
        let Some(Host { clock, boots, vote, log, .. }) = self.hosts.remove(&id) else { return Ok(()) };
        self.start(id, clock, boots + 1, vote, log);
        self.input(id, |_, _| ())
    }

    fn start(&mut self, id: NodeId, clock: Now, boots: u64, vote: Vote, log: Vec<Entry>) {
        let member = |id| Member { id, peer_address: String::new(), client_address: String::new(), incarnation: None };
        let mut config = Config::new(id, CLUSTER, (1..=self.scope.replicas).map(NodeId).map(member).collect(), Seed(1));
        config.facts = true;
        config.timing.lease_drift_ppm = self.scope.leases.then_some(0);
        // Latencies are measured all the time, and decide only whom a leader hands over to.
        let never = Duration::from_secs(1 << 30);
        (config.succession_timing.probe, config.succession_timing.evaluation) = (never, never);
        #[cfg(feature = "zoo")]
        {
            config.bug = self.scope.bug;
        }
        let restored = Restored { vote, log: log.clone(), ..Restored::empty(Incarnation(u128::from(id.0)), Boot(boots)) };
        let raft = Raft::restore(&config, &restored, FromRows::default(), clock);
        self.rules.starts(id, positions(&log));
        self.rules.disk(id, vote, positions(&log));
        self.hosts.insert(id, Host { raft, clock, boots, vote, log, pending: VecDeque::new() });
    }

    /// One input, all that comes of it, and what the rules say.
    fn input(&mut self, id: NodeId, input: impl FnOnce(&mut Raft, Now)) -> Result<(), Broken> {
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        input(&mut host.raft, host.clock);
        while let Some(output) = host.raft.poll_output() {
            match output {
                Output::Send { to, message, .. } => {
                    let told = crate::trace::digest(&(id, to, &message));
                    let place = self.wires.partition_point(|wire| wire.0 < told);
                    self.wires.insert(place, (told, id, to, message));
                }
                Output::Store { id: batch_id, batch } => host.pending.push_back((batch_id, batch)),
                Output::Load { id: load, query: Query::Log { from, through, .. } } => {
                    let entries = host.log[from as usize - 1..through as usize].to_vec();
                    host.raft.handle_loaded(load, Ok(Loaded::Entries(entries)));
                }
                Output::ReadReady { id: read, index } => self.rules.reads(id, read, index)?,
                Output::Halt { reason } => return Err(("halt", format!("{id} halts: {reason}"))),
                other => return Err(("engine", format!("nothing in this scope should ask for {other:?}"))),
            }
        }
        while host.raft.next_committed().is_some() {}
        for fact in host.raft.take_facts() {
            self.rules.fact(id, &fact)?;
        }
        Ok(())
    }
}

const CLUSTER: ClusterId = ClusterId(7);

impl Host {
    /// So long that it would vote for another leader, and not so long that it would stand itself.
    fn fall_silent(&mut self) {
        self.pass(Timing::default().detect_min + Duration::from_micros(1));
    }

    fn pass(&mut self, time: Duration) {
        // The wall clock stands still: it stamps entries, and decides nothing here.
        self.clock.instant += time;
    }
}

fn positions(log: &[Entry]) -> Vec<Position> {
    log.iter().map(Entry::position).collect()
}
