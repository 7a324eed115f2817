//! The whole node: a replica of the chat, and a gateway for its clients. The one thing that a driver drives.
//!
//! Hand over inputs (`handle_…`, each takes [`Now`]), drain [`Node::poll_output`] to `None`, then ask [`Node::poll_timeout`] when to call [`Node::handle_timeout`] next.
//! No input blocks, and none fails for what somebody sent: that is an output, a refusal.

mod admin;
mod house;
mod tentative;
mod types;
pub use admin::{Admin, AdminOutcome};
pub use types::*;

use crate::chat::password::Key;
use crate::chat::{Chat, ChatEvent, Refusal};
use crate::contract::*;
use crate::facts::Fact;
use crate::gateway::{Answer, ClientHello, Found, Gateway, MemberStatus, Reply, Request, Role, Standing, Status};
use crate::ids::*;
use crate::outbox::Outbox;
use crate::raft::Member;
use crate::replica::{self, Offer, Replica, Submission};
use crate::time::Instant;
use crate::wire::handshake::{HelloRefusal, PeerIdentity};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Nodes that are let in without being members here; see [`Node::handle_met`].
const MOST_STRANGERS: usize = 8;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    cluster: ClusterId,
    replica: Replica<Chat>,
    gateway: Gateway,
    outbox: Outbox,
    /// When to propose again what the log could not take.
    propose_at: Option<Instant>,
    limits: Limits,
    now: Now,
    /// The addresses that were given out, and the version of the members that they are of.
    peers: BTreeMap<NodeId, String>,
    peers_version: u64,
    /// Nodes that know the secret and that no configuration here names yet: a leader that joined while this node was away is one of them.
    strangers: BTreeMap<NodeId, String>,
    calls: admin::Calls,
    stalled: bool,
    /// Requests forwarded to this node while it leads and its term's first entry is not applied yet.
    early: VecDeque<(NodeId, Submission)>,
    house: house::House,
    /// The leader and whether it is this node, ready to take requests: when this changes, what waits is offered anew.
    led_by: (Option<NodeId>, bool),
    /// What was read for clients while the rows were being replaced by a snapshot's.
    read_meanwhile: Vec<(LoadId, Result<Loaded, StoreError>)>,
    outputs: VecDeque<Output>,
}

impl Node {
    /// A node from what the store holds. The first outputs name the peers to dial.
    pub fn restore(config: Config, restored: Restored, now: Now) -> Result<Node, RestoreError> {
        let chat = Chat::new(config.limits);
        #[cfg(feature = "zoo")]
        let chat = chat.with_bug(config.bug);
        let replica = Replica::restore(&config, &restored, chat, now)?;
        let gateway = Gateway::new(config.limits, config.timing, now).with_passwords(config.passwords);
        #[cfg(feature = "zoo")]
        let gateway = gateway.with_bug(config.bug);
        let outbox = tentative::restore(&config, &restored, &replica, now)?;
        Ok(Node {
            cluster: config.cluster,
            gateway,
            outbox,
            propose_at: None,
            limits: config.limits,
            now,
            replica,
            peers: BTreeMap::new(),
            peers_version: 0,
            strangers: BTreeMap::new(),
            calls: admin::Calls::default(),
            stalled: false,
            early: VecDeque::new(),
            house: house::House::new(config.settings),
            led_by: (None, false),
            read_meanwhile: Vec::new(),
            outputs: VecDeque::new(),
        })
    }

    /// Whether a peer that says hello may be let in: a member, with the folder that the configuration names. Asked by the acceptor; the refusal goes to the peer.
    ///
    /// `is_member`: it says that its own log names it. Then it may have joined since this node last heard of the cluster, or before this node lost what it knew of the
    /// members: without that one as its leader it would not get that back.
    pub fn admit(&self, peer: &PeerIdentity, is_member: bool) -> Result<(), HelloRefusal> {
        let node = peer.node;
        if peer.cluster != self.cluster {
            return Err(HelloRefusal::Cluster);
        }
        let raft = self.replica.raft();
        if let Some(member) = raft.configuration().member(node) {
            return match member.incarnation {
                Some(incarnation) if incarnation != peer.incarnation => {
                    // What is not committed may be cut off the log: somebody else may have let in the other folder under this id.
                    let for_good = raft.committed_configuration().is_member(node);
                    Err(if for_good { HelloRefusal::NewFolder { node } } else { HelloRefusal::Stranger { node } })
                }
                _ => Ok(()),
            };
        }
        match () {
            () if raft.was_removed(node) => Err(HelloRefusal::Removed { node }),
            () if !is_member => Err(HelloRefusal::Stranger { node }),
            () if self.strangers.len() >= MOST_STRANGERS && !self.strangers.contains_key(&node) => {
                Err(HelloRefusal::Stranger { node })
            }
            () => Ok(()),
        }
    }

    /// Whether this node's own log names it as a member.
    pub fn is_member(&self) -> bool {
        let raft = self.replica.raft();
        raft.is_configured() && raft.configuration().is_member(raft.node())
    }

    /// A peer that [`Node::admit`] let in says where it is reached. One that is no member here must be spoken to all the same: it may be the leader (4.1).
    pub fn handle_met(&mut self, now: Now, peer: NodeId, address: String) {
        self.tick(now);
        let known = self.replica.raft().speaks_to(peer) || address.is_empty();
        if !known && (self.strangers.len() < MOST_STRANGERS || self.strangers.contains_key(&peer)) {
            self.strangers.insert(peer, address);
            self.peers_version = 0;
        }
    }

    /// A peer refused this node's hello. A new folder under an old id must stop: it could undo its own votes. And so must a node that is no member any more.
    pub fn handle_refused(&mut self, now: Now, by: NodeId, refusal: HelloRefusal) {
        self.tick(now);
        let me = self.replica.raft().node();
        match refusal {
            HelloRefusal::NewFolder { node } => {
                self.outputs.push_back(Output::Halt { reason: HaltReason::NewFolder { told_by: by, node } });
            }
            HelloRefusal::Removed { node } if node == me => {
                self.outputs.push_back(Output::Halt { reason: HaltReason::Removed { node } });
            }
            _ => {}
        }
    }

    pub fn handle_message(&mut self, now: Now, from: NodeId, message: Message) {
        self.tick(now);
        match message.body {
            Body::Raft(message) => self.replica.handle_message(now, from, message),
            Body::Forward(submission) => self.handle_forward(from, submission),
            Body::Snapshot(message) => self.replica.handle_snapshot(now, from, *message),
            Body::Compare(message) => self.replica.handle_compare(now, from, *message),
            Body::Forwarded { request, answer } => self.gateway.handle_forwarded(&mut self.replica, request, answer),
            Body::Outbox(message) => self.handle_outbox(from, *message),
            Body::Admin { ticket, boot, admin } => self.handle_admin_asked(from, ticket, boot, &admin),
            Body::Hint(hint) => self.gateway.handle_hint(now, &self.replica, from, hint),
            Body::Administered { ticket, boot, outcome } => self.handle_administered(ticket, boot, outcome),
        }
    }

    /// A link came up or went down: a hint, never a proof.
    pub fn handle_link(&mut self, now: Now, peer: NodeId, link: Link) {
        self.tick(now);
        self.replica.handle_link(now, peer, link);
        self.outbox.handle_link(now, peer, link);
    }

    pub fn handle_connected(&mut self, now: Now, connection: ConnectionId, hello: ClientHello) {
        self.tick(now);
        self.gateway.handle_connected(connection, &hello);
    }

    pub fn handle_request(&mut self, now: Now, connection: ConnectionId, request: Request) {
        self.tick(now);
        self.gateway.handle_request(now, &mut self.replica, connection, request);
    }

    /// Events that cost so much were written to a reader.
    pub fn handle_drained(&mut self, now: Now, connection: ConnectionId, bytes: u32) {
        self.tick(now);
        self.gateway.handle_drained(&mut self.replica, connection, bytes);
    }

    pub fn handle_disconnected(&mut self, now: Now, connection: ConnectionId) {
        self.tick(now);
        self.gateway.handle_disconnected(connection);
    }

    /// All batches up to `up_to` are durable.
    pub fn handle_stored(&mut self, now: Now, up_to: BatchId) {
        self.tick(now);
        self.replica.handle_stored(now, up_to);
    }

    /// A write failed; the node halts.
    pub fn handle_store_failed(&mut self, now: Now, _batch: BatchId, error: StoreError) {
        self.tick(now);
        self.replica.handle_store_failed(error);
    }

    /// All writes of the outbox lane up to this one are durable.
    pub fn handle_kept(&mut self, now: Now, up_to: u64) {
        self.tick(now);
        self.outbox.handle_kept(now, up_to);
    }

    /// A write of the outbox lane failed; the node halts.
    pub fn handle_keep_failed(&mut self, now: Now, error: StoreError) {
        self.tick(now);
        self.replica.handle_store_failed(error);
    }

    pub fn handle_loaded(&mut self, now: Now, load: LoadId, loaded: Result<Loaded, StoreError>) {
        self.tick(now);
        // The remainder says who asked; see `LoadId`.
        if load.0 % 4 == 2 && self.replica.is_jumping() {
            // They may be of a state that is not here yet. As many as the gateway has asked for, which is bounded.
            self.read_meanwhile.push((load, loaded));
        } else if load.0 % 4 == 2 {
            self.gateway.handle_loaded(&self.replica, load, loaded);
        } else {
            self.replica.handle_loaded(load, loaded);
        }
    }

    /// The store has put a snapshot's rows in use ([`Receive::Install`]), or could not.
    pub fn handle_installed(&mut self, now: Now, result: Result<(), StoreError>) {
        self.tick(now);
        self.replica.handle_installed(now, result);
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.tick(now);
        self.replica.handle_timeout(now);
        self.gateway.handle_timeout(now, &mut self.replica);
        self.handle_outbox_timeout();
        self.go_on_with_calls();
        self.keep_house();
    }

    /// The next thing to do, or `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            self.see_members();
            if let Some(output) = self.replica.poll_output() {
                self.take(output);
                continue;
            }
            if self.keep_house() || self.see_leader() || self.see_disk() || self.see_tentative() {
                continue;
            }
            if let Some(output) = self.poll_gateway() {
                return Some(output);
            }
            return self.outputs.pop_front();
        }
    }

    /// When to call [`Node::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let outbox = earliest(self.outbox.poll_timeout(), self.propose_at);
        let timers = [self.gateway.poll_timeout(), self.calls.poll_timeout(), self.house.poll_timeout(), outbox];
        timers.into_iter().fold(self.replica.poll_timeout(), earliest)
    }

    /// Bytes that clients may still send; 0: stop reading their sockets.
    pub fn admission(&self) -> u32 {
        self.gateway.admission()
    }

    pub fn status(&self) -> Status {
        let (tentative, clocks_ahead) = (self.outbox.len(), self.outbox.clocks_ahead());
        Status { tentative, clocks_ahead, ..status_of(&self.replica) }
    }

    /// What this node has taken and not finished: nothing of it stays when nobody waits for anything.
    pub fn open_work(&self) -> OpenWork {
        let (requests, reads, pages) = self.gateway.open_work();
        let (proposed, held, waiting, loads) = self.replica.open_work();
        let early = self.early.len() as u32;
        OpenWork {
            requests,
            reads: reads + waiting,
            loads: pages + loads + self.read_meanwhile.len() as u32,
            proposed,
            held,
            early,
            tentative: self.outbox.len() as u32,
        }
    }

    /// What happened inside since the last call, if the configuration asks for facts.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        self.replica.take_facts()
    }

    /// As [`Node::take_facts`], into an empty vector that is used again and again.
    pub fn take_facts_into(&mut self, empty: &mut Vec<Fact>) {
        self.replica.take_facts_into(empty);
    }

    /// A password is derived; see [`Output::Derive`].
    pub fn handle_derived(&mut self, now: Now, id: u64, key: Key) {
        self.tick(now);
        self.gateway.handle_derived(now, &mut self.replica, id, key);
    }

    /// What a search has found, the newest first; or why this node cannot search. See [`Output::Search`].
    pub fn handle_found(&mut self, now: Now, id: LoadId, found: Result<Vec<Found>, Refusal>) {
        self.tick(now);
        self.gateway.handle_found(id, found);
    }

    /// Where a connection comes from: equal numbers for equal network addresses. Said after [`Node::handle_connected`], or never.
    pub fn handle_address(&mut self, now: Now, connection: ConnectionId, address: u64) {
        self.tick(now);
        self.gateway.handle_address(connection, address);
    }

    // ---- inside -------------------------------------------------------------------------------------------------------------------------

    fn tick(&mut self, now: Now) {
        self.now = now;
        self.gateway.now = now;
    }

    fn take(&mut self, output: replica::Output<ChatEvent>) {
        self.gateway.applied = self.replica.applied();
        match output {
            replica::Output::Send { to, class, message } => {
                self.outputs.push_back(Output::Send { to, class, message: Message { group: GROUP, body: Body::Raft(message) } });
            }
            replica::Output::Store { id, batch } => self.outputs.push_back(Output::Store { id, batch }),
            replica::Output::Apply { through, rows } => {
                self.outputs.push_back(Output::Apply { through, rows });
                self.outbox.handle_applied(through);
            }
            replica::Output::Load { id, query } => self.outputs.push_back(Output::Load { id, query }),
            replica::Output::Snapshot { to, class, message } => {
                self.outputs.push_back(Output::Send {
                    to,
                    class,
                    message: Message { group: GROUP, body: Body::Snapshot(Box::new(message)) },
                });
            }
            replica::Output::Compare { to, class, message } => {
                let message = Message { group: GROUP, body: Body::Compare(Box::new(message)) };
                self.outputs.push_back(Output::Send { to, class, message });
            }
            replica::Output::Diverged(divergence) => self.outputs.push_back(Output::Diverged(divergence)),
            replica::Output::Receive(step) => self.outputs.push_back(Output::Receive(step)),
            replica::Output::Trim { through } => self.outputs.push_back(Output::Trim { through }),
            replica::Output::Jumping => self.gateway.handle_jumping(&self.replica),
            replica::Output::Jumped => {
                self.review_tentative();
                self.gateway.handle_jumped(&self.replica);
                for (load, loaded) in core::mem::take(&mut self.read_meanwhile) {
                    self.gateway.handle_loaded(&self.replica, load, loaded);
                }
            }
            replica::Output::Halt { reason } => self.outputs.push_back(Output::Halt { reason }),
            replica::Output::Executed(executed) => {
                self.gateway.handle_executed(&self.replica, &executed);
                self.settle_tentative(&executed);
            }
            replica::Output::Event(event) => {
                if let Some(fact) = Gateway::fact(&event) {
                    self.replica.tell(|| fact);
                }
                self.gateway.handle_event(&self.replica, event);
                if self.gateway.take_fell_behind() {
                    self.replica.tell(|| Fact::Reached { point: crate::point!("reader.fell_behind") });
                }
            }
            replica::Output::Readable { id } => self.gateway.handle_readable(self.now, &mut self.replica, id),
        }
        // What clients are told follows the rows that it speaks of.
        while let Some(output) = self.poll_gateway() {
            self.outputs.push_back(output);
        }
    }

    /// What the gateway says. It does not know of the outbox, of which whoever asks for the cluster is to hear.
    fn poll_gateway(&mut self) -> Option<Output> {
        let mut output = self.gateway.poll_output()?;
        if let Output::Reply { reply: Reply { result: Ok(Answer::Cluster(status)), .. }, .. } = &mut output {
            (status.tentative, status.clocks_ahead) = (self.outbox.len(), self.outbox.clocks_ahead());
        }
        Some(output)
    }

    /// A change of members is a change of whom to dial.
    fn see_members(&mut self) {
        let raft = self.replica.raft();
        if raft.members_version() == self.peers_version {
            return;
        }
        self.peers_version = raft.members_version();
        let me = raft.node();
        self.strangers.retain(|id, _| !raft.configuration().is_member(*id) && !raft.was_removed(*id));
        let mut wanted: BTreeMap<NodeId, String> = self.strangers.clone();
        // A leader that is to go still needs our answers: without them the configuration without it would not be committed (4.2.2).
        let spoken_to = |id: NodeId| raft.speaks_to(id) || raft.leader() == Some(id);
        wanted.extend(self.peers.iter().filter(|(id, _)| spoken_to(**id)).map(|(id, address)| (*id, address.clone())));
        wanted.extend(raft.configuration().members().iter().map(|member| (member.id, member.peer_address.clone())));
        wanted.remove(&me);
        for gone in self.peers.keys().filter(|id| !wanted.contains_key(id)) {
            self.outputs.push_back(Output::Peer { node: *gone, address: None });
        }
        for (id, address) in &wanted {
            if self.peers.get(id) != Some(address) {
                self.outputs.push_back(Output::Peer { node: *id, address: Some(address.clone()) });
            }
        }
        self.peers = wanted;
    }

    /// True if the leader changed, or became able to take requests, and something was done about it.
    fn see_leader(&mut self) -> bool {
        let raft = self.replica.raft();
        let ready = raft.opened_by().is_some_and(|opened_by| self.replica.applied() >= opened_by);
        let led_by = (raft.leader(), ready);
        if led_by == self.led_by {
            return false;
        }
        if led_by.0 != self.led_by.0 {
            // One that was spoken to only because it led may be spoken to no more.
            self.peers_version = 0;
        }
        self.led_by = led_by;
        self.gateway.handle_leader(self.now, &mut self.replica);
        for (from, submission) in core::mem::take(&mut self.early) {
            self.handle_forward(from, submission);
        }
        true
    }

    /// True if the disk has begun or ceased to keep everybody waiting.
    fn see_disk(&mut self) -> bool {
        let stalled = self.replica.raft().is_stalled();
        let changed = core::mem::replace(&mut self.stalled, stalled) != stalled;
        if changed {
            self.gateway.handle_stalled(stalled);
        }
        changed
    }

    /// A peer took this request from a client and believes this node to be the leader.
    fn handle_forward(&mut self, from: NodeId, submission: Submission) {
        let request = replica::request_of(&submission);
        let begins = self.replica.raft().opened_by().is_some_and(|opened_by| self.replica.applied() < opened_by);
        let answer = match self.replica.offer(self.now, submission.clone()) {
            Offer::Taken => return,
            Offer::NotNow => {
                // While it hands over, nothing is kept: whoever sent it sends it to the next leader, or here again.
                if begins && self.early.len() < self.limits.pending_requests as usize {
                    self.early.push_back((from, submission));
                }
                return;
            }
            Offer::Known => ForwardAnswer::Executed { by: self.replica.applied() },
            Offer::Busy => ForwardAnswer::Refused(Refusal::Busy { retry_after_ms: 100 }),
            // For the moment only: a final refusal of a number would leave a gap in its session, and the cluster may be in the midst of an upgrade.
            Offer::Foreign => ForwardAnswer::Refused(Refusal::Busy { retry_after_ms: 1_000 }),
        };
        let message = Message { group: GROUP, body: Body::Forwarded { request, answer } };
        self.outputs.push_back(Output::Send { to: from, class: Class::Control, message });
    }
}

/// The earlier of two moments, if there is one.
fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The cluster as this replica sees it.
pub(crate) fn status_of(replica: &Replica<Chat>) -> Status {
    let raft = replica.raft();
    let (node, leader) = (raft.node(), raft.leader());
    let role = |id: NodeId| match () {
        () if Some(id) == leader => Role::Leader,
        () if id == node && raft.is_candidate() => Role::Candidate,
        () if id == node || raft.is_linked(id) => Role::Follower,
        () => Role::Unknown,
    };
    let configuration = raft.configuration();
    let lag: BTreeMap<NodeId, Index> = raft.lag().into_iter().collect();
    let standing = |id: NodeId| match () {
        () if configuration.is_learner(id) => Standing::Learner { replaces: configuration.replaced_by(id) },
        () if configuration.voters().contains(&id) => Standing::Voter,
        () => Standing::Leaving,
    };
    let members = configuration.members().iter().map(|member| MemberStatus {
        id: member.id,
        client_address: member.client_address.clone(),
        peer_address: member.peer_address.clone(),
        role: role(member.id),
        reachable: raft.is_linked(member.id),
        standing: standing(member.id),
        matched: if member.id == node && leader == Some(node) { Some(raft.durable()) } else { lag.get(&member.id).copied() },
    });
    let missing = |member: &&Member| !raft.is_configured() && !raft.is_linked(member.id);
    let mut succession = raft.succession();
    succession.rotate_right(usize::from(leader.is_some()));
    Status {
        node,
        leader,
        term: raft.term(),
        commit: raft.commit(),
        applied: replica.applied(),
        succession,
        members: members.collect(),
        waiting_for: configuration.members().iter().filter(missing).map(|member| member.id).collect(),
        last: raft.last().index,
        changing: configuration.is_joint(),
        wanted_voters: configuration.wanted_voters(),
        repairing: raft.is_repairing(),
        stalled: raft.is_stalled(),
        policy: raft.succession_by_log().policy.clone(),
        placement: raft.placement_reasons().to_vec(),
        round_trips: raft.round_trips(),
        state_hash: replica.hash().0,
        diverged: replica.divergences(),
        tentative: 0,
        clocks_ahead: Vec::new(),
    }
}

impl Machine for Node {
    type Output = Output;
    fn poll_output(&mut self) -> Option<Output> {
        Node::poll_output(self)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Node::poll_timeout(self)
    }
    fn handle_timeout(&mut self, now: Now) {
        Node::handle_timeout(self, now);
    }
}
