//! A network of bare replicas that an adversary drives: messages in any order, more than once or never, disks that lose what is not synced or what was, members that
//! come and go. After each step every fact is held against the rules.

use crate::rules::Rules;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Config, HaltReason};
use tertulia_protocol::raft::{Change, Configuration, Entry, FromRows, Member, Output, Raft, RaftMessage};
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::wire::{self, Kind};

/// What the adversary can do. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// So many of the oldest messages arrive, and disks write at once.
    Flow(u8),
    /// So many messages arrive from anywhere, and disks write nothing.
    Deliver(u16),
    Duplicate(u16),
    Drop(u16),
    Timeout(u8),
    Wait(u8),
    Store(u8, u8),
    /// So many batches that were not reported are on disk nevertheless, and perhaps the rows.
    Crash(u8, u8),
    Start(u8),
    /// All crash at once, with their rows on disk, and start again.
    PowerCut,
    /// A node crashes and starts again with the end of its log lost.
    Damage(u8, u8),
    Propose(u8),
    Read(u8),
    Join(u8),
    Promote(u8),
    Remove(u8),
    Transfer(u8),
    LinkUp(u8, u8),
    LinkDown(u8, u8),
    /// Nothing passes between nodes whose bits differ.
    Part(u8),
    /// The same, and everybody notices.
    Sever(u8),
}

pub const VOTERS: u64 = 5;
pub const NODES: u64 = 7;

#[derive(Default)]
pub struct Host {
    pub raft: Option<Raft>,
    vote: Vote,
    pub log: Vec<Entry>,
    pub damaged: bool,
    boots: u64,
    pending: VecDeque<(BatchId, Batch)>,
    /// What the rows on disk stand for, and what was applied since.
    rows: Applied,
    applied: Applied,
    /// It was removed, and never starts again.
    pub gone: bool,
}

/// Through where the rows have come, and what they say of the cluster.
#[derive(Clone, Default)]
struct Applied {
    position: Position,
    at: Timestamp,
    configuration: Option<Configuration>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    pub leases: bool,
    #[cfg(feature = "zoo")]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
}

impl Setup {
    pub fn with(leases: bool) -> Setup {
        Setup {
            leases,
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }
}

pub struct Network {
    pub hosts: BTreeMap<NodeId, Host>,
    wires: VecDeque<(NodeId, NodeId, RaftMessage)>,
    parts: u8,
    now: Now,
    setup: Setup,
    reads: u64,
    proposals: u64,
    pub rules: Rules,
}

/// The node that this number means.
fn node(number: u8) -> NodeId {
    NodeId(u64::from(number) % NODES + 1)
}

fn pairs() -> impl Iterator<Item = (NodeId, NodeId)> {
    let all = (1..=NODES).flat_map(|id| (1..=NODES).map(move |peer| (NodeId(id), NodeId(peer))));
    all.filter(|(id, peer)| id != peer)
}

fn side(parts: u8, id: NodeId) -> u8 {
    parts >> (id.0 - 1) & 1
}

impl Network {
    /// Five voters, one of which leads, and two nodes that are no members yet.
    pub fn new(setup: Setup) -> Network {
        let mut network = Network {
            hosts: (1..=NODES).map(|id| (NodeId(id), Host::default())).collect(),
            wires: VecDeque::new(),
            parts: 0,
            now: Now { instant: Instant(0), wall: Timestamp(1_700_000_000_000_000) },
            setup,
            reads: 0,
            proposals: 0,
            rules: Rules::default(),
        };
        for id in 1..=NODES {
            network.start(NodeId(id));
        }
        network.step(Step::Timeout(0));
        network.step(Step::Flow(u8::MAX));
        network
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Flow(messages) => self.flow(usize::from(messages)),
            Step::Deliver(nth) => {
                if let Some((from, to, message)) = self.pick(nth).and_then(|nth| self.wires.remove(nth)) {
                    self.deliver(from, to, message);
                }
            }
            Step::Duplicate(nth) => {
                if let Some((from, to, message)) = self.pick(nth).map(|nth| self.wires[nth].clone()) {
                    self.deliver(from, to, message);
                }
            }
            Step::Drop(nth) => {
                if let Some(nth) = self.pick(nth) {
                    self.wires.remove(nth);
                }
            }
            Step::Timeout(id) => {
                let id = node(id);
                if let Some(at) = self.hosts[&id].raft.as_ref().and_then(Raft::poll_timeout) {
                    self.pass(at.since(self.now.instant));
                    self.input(id, |raft, now| raft.handle_timeout(now));
                }
            }
            Step::Wait(ms) => self.pass(Duration::from_millis(u64::from(ms))),
            Step::Store(id, batches) => self.store(node(id), usize::from(batches % 4) + 1),
            Step::Crash(id, written) => {
                let host = self.hosts.get_mut(&node(id)).unwrap();
                if host.raft.is_some() && written & 4 == 0 {
                    host.rows = host.applied.clone();
                }
                self.crash(node(id), usize::from(written % 4));
            }
            Step::Start(id) => self.start(node(id)),
            Step::PowerCut => {
                for id in (1..=NODES).map(NodeId) {
                    let host = self.hosts.get_mut(&id).unwrap();
                    if host.raft.is_some() {
                        host.rows = host.applied.clone();
                    }
                    self.crash(id, 0);
                }
                (1..=NODES).for_each(|id| self.start(NodeId(id)));
            }
            Step::Damage(id, lost) => {
                let id = node(id);
                self.crash(id, 0);
                let host = self.hosts.get_mut(&id).unwrap();
                if host.gone {
                    return;
                }
                let keep = host.log.len().saturating_sub(usize::from(lost % 6) + 1).max(host.rows.position.index as usize);
                self.rules.rots(id, &host.log.split_off(keep));
                host.damaged = true;
                self.start(id);
            }
            _ => self.ask(step),
        }
    }

    fn ask(&mut self, step: Step) {
        let leader = |network: &Network, nth: u8| {
            let leads = |host: &Host| host.raft.as_ref().is_some_and(Raft::is_leader);
            let leaders: Vec<NodeId> = network.hosts.iter().filter(|(_, host)| leads(host)).map(|(id, _)| *id).collect();
            leaders.get(usize::from(nth) % leaders.len().max(1)).copied()
        };
        match step {
            Step::Propose(nth) => {
                self.proposals += 1;
                let payload = wire::seal(Kind::Other, &self.proposals);
                if let Some(id) = leader(self, nth) {
                    self.input(id, |raft, now| {
                        let _ = raft.propose(now, payload);
                    });
                }
            }
            Step::Read(id) => {
                self.reads += 1;
                let (id, read) = (node(id), self.reads);
                self.rules.asks(read);
                self.input(id, |raft, now| {
                    let _ = raft.read(now, read);
                });
            }
            Step::Join(nth) => self.join(leader(self, nth), nth),
            Step::Promote(nth) => self.change(leader(self, nth / 8), Change::Promote { node: node(nth) }),
            Step::Remove(nth) => self.change(leader(self, nth / 8), Change::Remove { node: node(nth) }),
            Step::Transfer(nth) => {
                if let Some(id) = leader(self, nth / 8) {
                    self.input(id, |raft, now| {
                        let _ = raft.transfer(now, node(nth));
                    });
                }
            }
            Step::LinkUp(id, peer) | Step::LinkDown(id, peer) if node(id) == node(peer) => {}
            Step::LinkUp(id, peer) => {
                let boot = Boot(self.hosts[&node(peer)].boots);
                self.input(node(id), |raft, now| raft.handle_link(now, node(peer), Link::Up { boot }));
            }
            Step::LinkDown(id, peer) => {
                self.input(node(id), |raft, now| raft.handle_link(now, node(peer), Link::Down));
            }
            Step::Part(parts) => self.parts = parts,
            Step::Sever(parts) => {
                self.parts = parts;
                for (id, peer) in pairs().filter(|(id, peer)| side(parts, *id) != side(parts, *peer)) {
                    self.input(id, |raft, now| raft.handle_link(now, peer, Link::Down));
                }
            }
            _ => unreachable!("not a question: {step:?}"),
        }
    }

    /// The next id is always that of a node that is there; a third newcomer there is not.
    fn join(&mut self, leader: Option<NodeId>, nth: u8) {
        let Some(raft) = leader.and_then(|id| self.hosts[&id].raft.as_ref()) else { return };
        let known = raft.configuration().members().iter().map(|member| member.id.0).max().unwrap_or(0);
        let next = self.rules.greatest_member().max(known).max(VOTERS) + 1;
        // A leader whose log does not know the last newcomer would give its id again: that entry cannot be committed, but this harness has one node an id.
        if next > NODES || known + 1 != next && known >= VOTERS && self.rules.greatest_member() > known {
            return;
        }
        let voters = raft.configuration().voters();
        let replace = (nth & 1 == 0).then(|| voters[usize::from(nth / 2) % voters.len()]);
        let Member { peer_address, client_address, .. } = member(NodeId(next));
        let incarnation = Incarnation(u128::from(next));
        self.change(leader, Change::Join { peer_address, client_address, incarnation, replace });
    }

    fn change(&mut self, leader: Option<NodeId>, change: Change) {
        if let Some(id) = leader {
            self.input(id, |raft, now| {
                let _ = raft.change(now, &change);
            });
        }
    }

    /// The oldest messages arrive, and all disks have written before each of them; what the last one brings is not on disk.
    fn flow(&mut self, messages: usize) {
        for _ in 0..messages {
            for id in (1..=NODES).map(NodeId) {
                self.store(id, usize::MAX);
            }
            let Some((from, to, message)) = self.wires.pop_front() else { return };
            self.deliver(from, to, message);
        }
    }

    fn pick(&self, nth: u16) -> Option<usize> {
        usize::from(nth).checked_rem(self.wires.len())
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall = Timestamp(self.now.wall.0 + time.as_micros() as u64);
    }

    fn deliver(&mut self, from: NodeId, to: NodeId, message: RaftMessage) {
        if side(self.parts, from) == side(self.parts, to) {
            self.input(to, |raft, now| raft.handle_message(now, from, message));
        }
    }

    fn write(&mut self, id: NodeId, batches: usize) -> Option<BatchId> {
        let host = self.hosts.get_mut(&id).unwrap();
        let mut done = None;
        for (batch_id, batch) in host.pending.drain(..batches.min(host.pending.len())) {
            host.vote = batch.vote.unwrap_or(host.vote);
            if let Some(first) = batch.entries.first() {
                host.log.truncate(first.index as usize - 1);
            }
            host.log.extend(batch.entries);
            host.damaged &= !batch.repaired;
            done = Some(batch_id);
        }
        self.rules.disk(id, host.vote, &host.log);
        done
    }

    fn store(&mut self, id: NodeId, batches: usize) {
        if let Some(done) = self.write(id, batches) {
            self.input(id, |raft, now| raft.handle_stored(now, done));
        }
    }

    pub fn crash(&mut self, id: NodeId, written: usize) {
        if self.hosts[&id].raft.is_some() {
            self.write(id, written);
        }
        let host = self.hosts.get_mut(&id).unwrap();
        host.pending.clear();
        host.raft = None;
    }

    pub fn start(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        if host.raft.is_some() || host.gone {
            return;
        }
        let mut config = Config::new(id, ClusterId(7), (1..=VOTERS).map(NodeId).map(member).collect(), Seed(1));
        config.facts = true;
        config.timing.lease_drift_ppm = self.setup.leases.then_some(0);
        let never = Duration::from_secs(1 << 30);
        (config.succession_timing.probe, config.succession_timing.evaluation) = (never, never);
        #[cfg(feature = "zoo")]
        (config.bug = self.setup.bug);
        host.boots += 1;
        let restored = Restored {
            vote: host.vote,
            applied: host.rows.position,
            log: host.log[host.rows.position.index as usize..].to_vec(),
            damage: Damage { log: host.damaged, ..Damage::default() },
            ..Restored::empty(Incarnation(u128::from(id.0)), Boot(host.boots))
        };
        host.applied = host.rows.clone();
        let Applied { at, configuration, .. } = host.rows.clone();
        host.raft = Some(Raft::restore(&config, &restored, FromRows { configuration, succession: None, at }, self.now));
        self.rules.starts(id, &host.log, host.rows.position.index);
        self.input(id, |_, _| ());
    }

    /// One input, all that comes of it, and what the rules say.
    fn input(&mut self, id: NodeId, input: impl FnOnce(&mut Raft, Now)) {
        let host = self.hosts.get_mut(&id).unwrap();
        let Some(raft) = &mut host.raft else { return };
        input(raft, self.now);
        let mut halted = None;
        while let Some(output) = raft.poll_output() {
            match output {
                Output::Send { to, message, .. } => self.wires.push_back((id, to, message)),
                Output::Store { id: batch_id, batch } => {
                    self.rules.knows(&batch.entries);
                    host.pending.push_back((batch_id, batch));
                }
                Output::Load { id: load, query: Query::Log { from, through, .. } } => {
                    raft.handle_loaded(load, Ok(Loaded::Entries(host.log[from as usize - 1..through as usize].to_vec())));
                }
                Output::ReadReady { id: read, index } => self.rules.reads(id, read, index),
                Output::Halt { reason } => halted = Some(reason),
                other => panic!("{other:?}"),
            }
        }
        while let Some(entry) = raft.next_committed() {
            (host.applied.position, host.applied.at) = (entry.position(), entry.at);
            host.applied.configuration = configuration_in(&entry.payload).or(host.applied.configuration.take());
        }
        for fact in raft.take_facts() {
            self.rules.judge(id, fact);
        }
        match halted {
            None => {}
            Some(HaltReason::Removed { .. }) => {
                self.rules.reach("removed.stopped");
                (host.raft, host.gone) = (None, true);
            }
            Some(reason) => panic!("{id} stops: {reason}"),
        }
        while self.wires.len() > 400 {
            self.wires.pop_front();
        }
    }

    // ---- the end -------------------------------------------------------------------------------------------------------------------------

    /// Whether a majority of each configuration that may count has a disk that can be relied on: then the cluster must come back.
    fn can_recover(&self) -> bool {
        let whole = |id: &&NodeId| self.hosts.get(id).is_some_and(|host| !host.damaged && !host.gone);
        let enough = |set: &[NodeId]| 2 * set.iter().filter(whole).count() > set.len();
        let configurations = self.hosts.values().filter_map(|host| host.raft.as_ref()).map(Raft::configuration);
        let every = |configuration: &Configuration| configuration.majorities().all(enough);
        configurations.filter(|configuration| configuration.majorities().next().is_some()).all(every)
    }

    /// The adversary is gone: everybody is up and everything arrives. The cluster has to lead, settle its members, repair its logs and commit.
    pub fn heals(&mut self) {
        self.parts = 0;
        self.wires.clear();
        for id in (1..=NODES).map(NodeId) {
            self.start(id);
        }
        if !self.can_recover() {
            return self.rules.reach("end.beyond_repair");
        }
        self.rules.reach("end.heals");
        for (id, peer) in pairs() {
            if !self.hosts[&peer].gone {
                let boot = Boot(self.hosts[&peer].boots);
                self.input(id, |raft, now| raft.handle_link(now, peer, Link::Up { boot }));
            }
        }
        let end = self.now.instant + Duration::from_secs(30);
        while !self.is_well() {
            assert!(self.now.instant < end, "the cluster does not come back: {}", self.summary());
            self.flow(usize::MAX);
            let next = self.hosts.values().filter_map(|host| host.raft.as_ref()?.poll_timeout()).min().unwrap();
            self.pass(next.since(self.now.instant));
            for id in (1..=NODES).map(NodeId) {
                if self.hosts[&id].raft.as_ref().and_then(Raft::poll_timeout).is_some_and(|at| at <= self.now.instant) {
                    self.input(id, |raft, now| raft.handle_timeout(now));
                }
            }
        }
    }

    fn summary(&self) -> String {
        let of = |raft: &Raft| {
            let (last, lag) = (raft.last(), raft.lag());
            let (term, leader, commit, repairing) = (raft.term(), raft.leader(), raft.commit(), raft.is_repairing());
            let sets: Vec<_> = raft.configuration().majorities().collect();
            let end = (last.index, last.term);
            format!(
                "\n{}: t{term} leader {leader:?} log {end:?} commit {commit} repairing {repairing} {sets:?} {lag:?}",
                raft.node()
            )
        };
        self.hosts.values().filter_map(|host| host.raft.as_ref()).map(of).collect()
    }

    fn is_well(&self) -> bool {
        let running = || self.hosts.values().filter_map(|host| host.raft.as_ref());
        let Some(leader) = running().filter(|raft| raft.is_leader()).max_by_key(|raft| raft.term()) else { return false };
        let settled = !leader.configuration().is_joint() && leader.commit() == leader.last().index;
        let follows =
            |raft: &Raft| raft.leader() == Some(leader.node()) && raft.commit() == leader.commit() && !raft.is_repairing();
        let members = leader.configuration().members();
        settled && running().filter(|raft| members.iter().any(|member| member.id == raft.node())).all(follows)
    }
}

fn member(id: NodeId) -> Member {
    Member { id, peer_address: format!("n{}:1", id.0), client_address: String::new(), incarnation: None }
}

/// The configuration that an entry holds.
pub fn configuration_in(payload: &Bytes) -> Option<Configuration> {
    wire::open(Kind::Membership, payload).ok()
}
