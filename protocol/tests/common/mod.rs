//! A cluster in one process without faults: messages in order, disks that never fail, time that jumps to the next timeout. The simulator is elsewhere; this is enough to
//! see what the machines do together.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod describe;
pub mod stage;

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tertulia_protocol::chat::password::PasswordParams;
use tertulia_protocol::chat::{Refusal, Settings};
use tertulia_protocol::client::{self, Client};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::{CloseReason, Event, Reply, Token};
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Body, Config, Message, Node, Output};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::raft::Member;
use tertulia_protocol::replica::{Divergence, Identity};
use tertulia_protocol::time::{Duration, Instant, Timestamp};

pub const CLUSTER: ClusterId = ClusterId(7);

#[derive(Clone, Default)]
pub struct Disk {
    pub vote: Vote,
    /// Where `log` begins.
    pub start: Position,
    pub log: Vec<Entry>,
    pub rows: BTreeMap<Bytes, Bytes>,
    pub boots: u64,
    /// The place of rows that came from a peer.
    pub base: Option<Position>,
    /// The rows are damaged: nothing of them is found at the next start.
    pub rows_lost: bool,
    pub received: Option<BTreeMap<Bytes, Bytes>>,
    pub pinned: Vec<(AppliedRow, BTreeMap<Bytes, Bytes>)>,
    /// The log has lost what was acknowledged.
    pub damaged: bool,
    /// The outbox lane, writes to it so far, and whether some of it is lost.
    pub kept: Vec<Bytes>,
    pub keeps: u64,
    pub kept_lost: bool,
}

impl Disk {
    pub fn write(&mut self, batch: Batch) {
        if let Some(reset) = batch.reset {
            (self.start, self.log) = (reset, Vec::new());
        }
        self.vote = batch.vote.unwrap_or(self.vote);
        if let Some(first) = batch.entries.first() {
            self.log.truncate((first.index - self.start.index) as usize - 1);
        }
        self.log.extend(batch.entries);
        self.damaged &= !batch.repaired;
    }

    pub fn read(&mut self, query: &Query) -> Loaded {
        match query {
            Query::Log { from, through, max_bytes } => {
                let start = self.start.index;
                assert!(*from > start, "entry {from} was asked for, and the log begins after {start}");
                let mut bytes = 0;
                let asked = &self.log[(*from - start) as usize - 1..(*through - start) as usize];
                let whole = asked.iter().take_while(|entry| {
                    let fits = bytes < *max_bytes as usize;
                    bytes += entry.payload.len();
                    fits
                });
                Loaded::Entries(whole.cloned().collect())
            }
            Query::Snapshot { at, from, to, max_bytes } => {
                Loaded::Snapshot(self.read_snapshot(*at, from, to.as_ref(), *max_bytes))
            }
            Query::Range { from, to, limit, backwards } => {
                let mut rows: Vec<_> =
                    self.rows.range(from.clone()..to.clone()).map(|(key, value)| (key.clone(), value.clone())).collect();
                if *backwards {
                    rows.reverse();
                }
                rows.truncate(*limit as usize);
                Loaded::Rows(rows)
            }
            Query::Keys { keys } => {
                Loaded::Rows(keys.iter().filter_map(|key| Some((key.clone(), self.rows.get(key)?.clone()))).collect())
            }
        }
    }

    fn read_snapshot(&mut self, at: Option<Index>, from: &Bytes, to: Option<&Bytes>, max_bytes: u32) -> SnapshotRows {
        let pinned = at.and_then(|at| self.pinned.iter().find(|(applied, _)| applied.position.index == at));
        let (applied, all) = pinned.cloned().unwrap_or_else(|| (self.applied(), self.rows.clone()));
        self.pinned.retain(|(held, _)| *held != applied);
        self.pinned.push((applied, all.clone()));
        if self.pinned.len() > 2 {
            self.pinned.remove(0);
        }
        let within = all.range(from.clone()..).take_while(|(key, _)| to.is_none_or(|to| *key < to));
        let (mut rows, mut next, mut bytes) = (Vec::new(), None, 0);
        for (key, value) in within {
            if bytes >= max_bytes as usize && !rows.is_empty() {
                next = Some(key.clone());
                break;
            }
            bytes += key.len() + value.len();
            rows.push((key.clone(), value.clone()));
        }
        SnapshotRows { applied, rows, next }
    }

    pub fn apply(&mut self, batch: RowBatch) {
        for (key, value) in batch.rows {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// True when received rows are in use.
    pub fn receive(&mut self, step: Receive) -> bool {
        match step {
            Receive::Begin => self.received = Some(BTreeMap::new()),
            Receive::Abandon => self.received = None,
            Receive::Range { from, to, rows } => {
                let received = self.received.as_mut().expect("a snapshot was begun");
                received.retain(|key, _| *key < from || to.as_ref().is_some_and(|to| key >= to));
                received.extend(rows);
            }
            Receive::Install { position } => {
                self.rows = self.received.take().expect("a snapshot was begun");
                (self.base, self.rows_lost) = (Some(position), false);
                assert_eq!(self.applied().position, position);
                return true;
            }
        }
        false
    }

    pub fn trim(&mut self, through: Index) {
        assert!(through <= self.applied().position.index, "what is trimmed is applied");
        let Some(gone) = through.checked_sub(self.start.index).filter(|gone| *gone > 0) else { return };
        self.start = self.log[gone as usize - 1].position();
        self.log.drain(..gone as usize);
    }

    fn applied(&self) -> AppliedRow {
        let row = self.rows.get(APPLIED_KEY);
        row.map_or_else(AppliedRow::default, |row| {
            tertulia_protocol::wire::open(tertulia_protocol::wire::Kind::Applied, row).unwrap()
        })
    }

    pub fn restored(&mut self, node: NodeId) -> Restored {
        self.boots += 1;
        self.received = None;
        self.pinned.clear();
        if self.rows_lost {
            self.rows.clear();
        }
        let applied = self.applied().position;
        let skip = applied.index.saturating_sub(self.start.index) as usize;
        let holds = applied == self.start || skip > 0 && self.log.get(skip - 1).map(Entry::position) == Some(applied);
        if !holds && !self.rows_lost {
            assert_eq!(self.base, Some(applied), "rows that the log does not contain came from a peer");
            (self.start, self.log) = (applied, Vec::new());
        }
        let skip = applied.index.saturating_sub(self.start.index) as usize;
        Restored {
            vote: self.vote,
            applied,
            start: self.start,
            bytes: self.log[..skip].iter().map(|entry| entry.payload.len() as u64).sum(),
            kept: self.kept.clone(),
            damage: Damage { log: self.damaged, rows: self.rows_lost, kept: self.kept_lost },
            log: self.log[skip..].to_vec(),
            rows: self.rows.iter().filter(|(key, _)| key[0] < COLD).map(|(key, value)| (key.clone(), value.clone())).collect(),
            incarnation: Incarnation(u128::from(node.0)),
            boot: Boot(self.boots),
        }
    }
}

pub struct World {
    pub now: Now,
    pub nodes: BTreeMap<NodeId, Node>,
    pub disks: BTreeMap<NodeId, Disk>,
    pub clients: Vec<Client>,
    /// Which node each client is connected to.
    pub lines: Vec<Option<NodeId>>,
    pub heard: Vec<Vec<client::Output>>,
    /// Replies on connections that no client has.
    pub replies: Vec<(ConnectionId, Reply)>,
    /// A connection that does not read, and what it is owed.
    pub slow: Option<ConnectionId>,
    pub slow_events: Vec<Arc<Event>>,
    /// Events on connections that no client has, and those that were closed.
    pub events: Vec<(ConnectionId, Arc<Event>)>,
    pub closed: Vec<(ConnectionId, CloseReason)>,
    /// What nodes are told that a new cluster begins with.
    pub settings: Settings,
    wires: VecDeque<(NodeId, NodeId, Message)>,
    voters: Vec<Member>,
    pub limits: Limits,
    /// Points of the protocol that were reached, oldest first.
    pub reached: Vec<(NodeId, &'static str)>,
    /// Requests that outboxes have carried and that nodes refused without executing them.
    pub withdrawn: Vec<(NodeId, SessionId, Identity)>,
    /// What nodes said of each other's states. Without a bug of the zoo they may say nothing.
    pub diverged: Vec<(NodeId, Divergence)>,
    /// A node that no message reaches or leaves.
    pub cut: Option<NodeId>,
    /// Messages from the first to the second are lost.
    pub cuts: BTreeSet<(NodeId, NodeId)>,
    /// What nodes told, but for points: those of tentative messages alone.
    pub told: Vec<(NodeId, Fact)>,
    /// Bytes of messages about outboxes, as they would cross the wire.
    pub outbox_bytes: u64,
    /// Of nodes that start, and of clients that are added.
    #[cfg(feature = "zoo")]
    pub bug: Option<tertulia_protocol::zoo::Bug>,
    /// A node whose disk does nothing.
    pub stalled: Option<NodeId>,
    /// Of all messages on their way, the one that was sent last comes first.
    pub backwards: bool,
}

impl World {
    pub fn new(size: u64) -> World {
        World::with_settings(size, Settings::default())
    }

    pub fn with_settings(size: u64, settings: Settings) -> World {
        let voter = |id| Member {
            id: NodeId(id),
            peer_address: format!("n{id}:1"),
            client_address: format!("http://n{id}"),
            incarnation: None,
        };
        let mut world = World {
            now: Now { instant: Instant(1), wall: Timestamp(1_700_000_000_000_000) },
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            clients: Vec::new(),
            lines: Vec::new(),
            heard: Vec::new(),
            replies: Vec::new(),
            slow: None,
            slow_events: Vec::new(),
            events: Vec::new(),
            closed: Vec::new(),
            settings,
            wires: VecDeque::new(),
            voters: (1..=size).map(voter).collect(),
            limits: Limits::default(),
            reached: Vec::new(),
            withdrawn: Vec::new(),
            diverged: Vec::new(),
            cut: None,
            cuts: BTreeSet::new(),
            told: Vec::new(),
            outbox_bytes: 0,
            #[cfg(feature = "zoo")]
            bug: None,
            stalled: None,
            backwards: false,
        };
        for id in 1..=size {
            world.start(NodeId(id));
        }
        world
    }

    fn may_diverge(&self) -> bool {
        #[cfg(feature = "zoo")]
        return self.bug.is_some();
        #[cfg(not(feature = "zoo"))]
        false
    }

    pub fn start(&mut self, id: NodeId) {
        let mut config = Config::new(id, CLUSTER, self.voters.clone(), Seed(1));
        config.limits = self.limits;
        config.facts = true;
        config.settings = self.settings.clone();
        config.passwords = PasswordParams::LEAST;
        #[cfg(feature = "zoo")]
        {
            config.bug = self.bug;
        }
        let restored = self.disks.entry(id).or_default().restored(id);
        let boot = restored.boot;
        let node = Node::restore(config, restored, self.now).unwrap();
        let others: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.nodes.insert(id, node);
        for other in others {
            let other_boot = Boot(self.disks[&other].boots);
            self.nodes.get_mut(&id).unwrap().handle_link(self.now, other, Link::Up { boot: other_boot });
            self.nodes.get_mut(&other).unwrap().handle_link(self.now, id, Link::Up { boot });
        }
    }

    /// Nothing passes between these groups any more; nodes that are in none reach everybody.
    pub fn split(&mut self, groups: &[&[u64]]) {
        self.cuts.clear();
        for (nth, group) in groups.iter().enumerate() {
            for other in groups.iter().enumerate().filter(|(other, _)| *other != nth).flat_map(|(_, other)| other.iter()) {
                self.cuts.extend(group.iter().map(|id| (NodeId(*id), NodeId(*other))));
            }
        }
    }

    pub fn kill(&mut self, id: NodeId) {
        self.nodes.remove(&id);
        for node in self.nodes.values_mut() {
            node.handle_link(self.now, id, Link::Down);
        }
        for client in 0..self.clients.len() {
            if self.lines[client] == Some(id) {
                self.lines[client] = None;
                self.clients[client].handle_disconnected(self.now);
            }
        }
    }

    pub fn add_client(&mut self, name: &str, first: u32) -> usize {
        let nth = self.clients.len();
        let config = client::Config {
            name: name.into(),
            how: Default::default(),
            device: String::new(),
            token: Token([nth as u8 + 1; 32]),
            servers: self.voters.len() as u32,
            first,
            seed: Seed(3),
            timing: client::Timing::default(),
            window: 32,
        };
        self.clients.push(Client::new(config, self.now));
        self.lines.push(None);
        self.heard.push(Vec::new());
        nth
    }

    pub fn leader(&self) -> Option<NodeId> {
        self.nodes.iter().find(|(id, node)| node.status().leader == Some(**id)).map(|(id, _)| *id)
    }

    /// Runs until `done` or for `limit` of simulated time.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&World) -> bool) {
        let end = self.now.instant + limit;
        while !done(self) {
            assert!(
                self.now.instant < end,
                "not within {limit:?}: {:#?}",
                self.nodes.values().map(Node::status).collect::<Vec<_>>()
            );
            self.step();
        }
    }

    fn step(&mut self) {
        self.drain();
        let wire = if self.backwards { self.wires.pop_back() } else { self.wires.pop_front() };
        if let Some((from, to, message)) = wire {
            let cut = self.cut == Some(from) || self.cut == Some(to) || self.cuts.contains(&(from, to));
            if let Some(node) = self.nodes.get_mut(&to).filter(|_| !cut) {
                node.handle_message(self.now, from, message);
            }
            return;
        }
        let next =
            self.nodes.values().filter_map(Node::poll_timeout).chain(self.clients.iter().filter_map(Client::poll_timeout)).min();
        let at = next.unwrap_or(self.now.instant).max(self.now.instant + Duration::from_micros(10));
        self.now.wall = Timestamp(self.now.wall.0 + at.since(self.now.instant).as_micros() as u64);
        self.now.instant = at;
        for node in self.nodes.values_mut() {
            node.handle_timeout(self.now);
        }
        for client in &mut self.clients {
            client.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            while let Some(output) = self.nodes.get_mut(&id).unwrap().poll_output() {
                self.carry_out(id, output);
            }
            for fact in self.nodes.get_mut(&id).unwrap().take_facts() {
                match fact {
                    Fact::Reached { point } => self.reached.push((id, point)),
                    Fact::TentativeRefused { session, identity, .. } => {
                        self.withdrawn.push((id, session, identity));
                        self.told.push((id, fact));
                    }
                    Fact::Kept { .. } | Fact::Accepted { .. } => self.told.push((id, fact)),
                    _ => {}
                }
            }
        }
        for client in 0..self.clients.len() {
            while let Some(output) = self.clients[client].poll_output() {
                self.carry_out_client(client, output);
            }
        }
    }

    fn carry_out(&mut self, id: NodeId, output: Output) {
        let (node, disk, now) = (self.nodes.get_mut(&id).unwrap(), self.disks.get_mut(&id).unwrap(), self.now);
        match output {
            Output::Send { to, message, .. } => {
                if let Body::Outbox(said) = &message.body {
                    self.outbox_bytes += tertulia_protocol::wire::seal(tertulia_protocol::wire::Kind::Peer, said).len() as u64;
                }
                self.wires.push_back((id, to, message));
            }
            Output::Store { .. } if self.stalled == Some(id) => {}
            Output::Store { id: batch_id, batch } => {
                disk.write(batch);
                node.handle_stored(now, batch_id);
            }
            Output::Keep { .. } if self.stalled == Some(id) => {}
            Output::Keep { id: kept, keep } => {
                if keep.clear {
                    disk.kept.clear();
                }
                disk.kept.extend(keep.records);
                disk.keeps += 1;
                node.handle_kept(now, kept);
            }
            Output::Apply { rows, .. } => disk.apply(rows),
            Output::Load { id: load, query } => node.handle_loaded(now, load, Ok(disk.read(&query))),
            Output::Trim { through } => disk.trim(through),
            Output::Receive(step) => {
                if disk.receive(step) {
                    node.handle_installed(now, Ok(()));
                }
            }
            Output::Reply { to, reply } if to.0 % 1000 >= self.clients.len() as u64 => self.replies.push((to, reply)),
            Output::Reply { to, reply } => self.clients[to.0 as usize % 1000].handle_reply(now, reply),
            Output::Publish { to, event } => {
                for connection in to.iter() {
                    if self.slow == Some(*connection) {
                        self.slow_events.push(Arc::clone(&event));
                        continue;
                    }
                    self.nodes.get_mut(&id).unwrap().handle_drained(now, *connection, event.cost());
                    if connection.0 % 1000 >= self.clients.len() as u64 {
                        self.events.push((*connection, Arc::clone(&event)));
                        continue;
                    }
                    self.clients[connection.0 as usize % 1000].handle_event(now, Arc::clone(&event));
                }
            }
            Output::Derive { id, password, recipe } => node.handle_derived(now, id, recipe.derive(&password)),
            Output::Search { id, .. } => node.handle_found(now, id, Err(Refusal::BadRequest { why: "no index".into() })),
            Output::Close { connection, reason } => self.closed.push((connection, reason)),
            Output::Peer { .. } => {}
            Output::Diverged(said) if self.may_diverge() => self.diverged.push((id, *said)),
            other => panic!("{id}: {other:?}"),
        }
    }

    fn carry_out_client(&mut self, client: usize, output: client::Output) {
        let connection = |server: NodeId| ConnectionId(server.0 * 1000 + client as u64);
        match &output {
            client::Output::Connect { server, hello } => {
                let server = NodeId(u64::from(*server) + 1);
                if let Some(node) = self.nodes.get_mut(&server) {
                    node.handle_connected(self.now, connection(server), hello.clone());
                    self.lines[client] = Some(server);
                    self.clients[client].handle_connected(self.now);
                } else {
                    self.clients[client].handle_disconnected(self.now);
                }
            }
            client::Output::Disconnect => {
                if let Some(node) = self.lines[client].take().and_then(|server| self.nodes.get_mut(&server)) {
                    node.handle_disconnected(self.now, connection(NodeId(0)));
                }
            }
            client::Output::Send(request) => {
                if let Some(server) = self.lines[client] {
                    self.nodes.get_mut(&server).unwrap().handle_request(self.now, connection(server), request.clone());
                }
            }
            _ => self.heard[client].push(output),
        }
    }
}
