//! Nodes: how inputs reach a machine, what becomes of its outputs, how it dies and comes back.

#[cfg(test)]
mod outbox_tests;

use super::World;
use super::codec;
use super::event::{Event, Input, NodeWord};
use crate::engine::{Tamper, Verdict};
use crate::record::Said;
use crate::scenario::{DiskFailure, DiskFate};
use crate::trace::digest;
use tertulia_protocol::chat::password::{Key, PasswordParams};
use tertulia_protocol::contract::{Loaded, Query};
use tertulia_protocol::dice::{Purpose, below, within};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Boot, ClusterId, LoadId, NodeId};
use tertulia_protocol::node::{Config, HaltReason, Message, Node, Output};
use tertulia_protocol::raft::Member;
use tertulia_protocol::wire::Kind;
use tertulia_protocol::wire::handshake::PeerIdentity;

/// The simulated cluster's name.
const CLUSTER: ClusterId = ClusterId(0x7e57);
/// Where the node on a machine is reached by its peers.
pub(super) fn peer_address(host: usize) -> String {
    format!("n{}:7000", host + 1)
}

/// Where the node on a machine is reached by clients.
pub(super) fn client_address(host: usize) -> String {
    format!("http://n{}:8000", host + 1)
}

/// The voters that a cluster begins with.
pub(super) fn first_voters(voters: usize) -> Vec<Member> {
    let voter = |host: usize| Member {
        id: NodeId(host as u64 + 1),
        peer_address: peer_address(host),
        client_address: client_address(host),
        incarnation: None,
    };
    (0..voters).map(voter).collect()
}

/// Messages that the buffers of a paused node's sockets hold.
const KEPT: usize = 4_096;

impl World<'_> {
    /// Starts a node's process on what its disk holds.
    pub(super) fn start(&mut self, node: usize) {
        if !self.witness.roster.is_member(node) {
            // It was removed while it was down: nobody starts it again.
            return;
        }
        let host = &mut self.hosts[node];
        host.boot = Boot(host.boot.0 + 1);
        let boot = host.boot;
        let restored = match host.disk.restore(boot) {
            Ok(restored) => restored,
            Err(error) => return self.fail(Verdict::failed("store", format!("n{} cannot read its disk: {error}", node + 1))),
        };
        let now = host.now(self.now);
        let machine = match Node::restore(self.config(node), restored, now) {
            Ok(machine) => machine,
            Err(error) => return self.fail(Verdict::failed("restore", format!("n{} does not start: {error}", node + 1))),
        };
        let host = &mut self.hosts[node];
        host.chain.input(self.now, boot.0);
        host.machine = Some(machine);
        host.timer = u64::MAX;
        host.paused = false;
        host.peers.clear();
        self.witness.started(self.now, node);
        self.drain(node);
        self.review_links(node);
    }

    /// Kills a node's process: the machine first, then what the disk did not hold yet.
    pub(super) fn crash(&mut self, node: usize, fate: DiskFate, torn: u64) {
        let host = &mut self.hosts[node];
        if host.machine.take().is_none() {
            return;
        }
        host.inbox.clear();
        host.paused = false;
        host.written.clear();
        host.disk.crash(fate, torn);
        self.witness.crashed(self.now, node);
        if fate == DiskFate::Wipe {
            let host = &mut self.hosts[node];
            host.disk = host.disk.wiped(host.boot.0);
            self.witness.wiped(self.now, node);
        }
        self.review_links(node);
        self.cut_clients_of(node);
    }

    /// Stops a process where it stands. Its connections stay, and its clock goes on.
    pub(super) fn pause(&mut self, node: usize) {
        self.hosts[node].paused = self.hosts[node].machine.is_some();
        self.witness.paused(self.now, node, true);
    }

    /// Everything that has come meanwhile is handed over now, and then timers fire.
    pub(super) fn resume(&mut self, node: usize) {
        if !std::mem::take(&mut self.hosts[node].paused) {
            return;
        }
        self.witness.paused(self.now, node, false);
        let boot = self.hosts[node].boot;
        self.queue.push(self.now, Event::Wake { node, boot });
        self.review_links(node);
    }

    /// The process ends, and never comes back.
    pub(super) fn gone(&mut self, node: usize) {
        self.crash(node, DiskFate::LoseUnsynced, 0);
        self.witness.roster.left(node);
    }

    /// The id of what runs on a machine. A machine without one runs nothing.
    pub(super) fn node_id(&self, node: usize) -> NodeId {
        self.witness.roster.id(node).unwrap_or(NodeId(0))
    }

    fn config(&self, node: usize) -> Config {
        let cluster = &self.scenario.cluster;
        let mut config = Config::new(self.node_id(node), CLUSTER, self.hosts[node].knows.clone(), self.draws);
        config.passwords = PasswordParams::LEAST;
        config.peer_address = peer_address(node);
        config.succession = cluster.policy();
        config.succession_timing = cluster.succession_timing;
        config.timing = cluster.timing;
        config.limits = cluster.limits;
        config.settings = self.scenario.chat.clone();
        config.facts = true;
        #[cfg(feature = "zoo")]
        {
            config.bug = self.options.bug;
        }
        config
    }

    /// How a node introduces itself.
    pub(super) fn identity(&self, node: usize) -> PeerIdentity {
        let host = &self.hosts[node];
        PeerIdentity { cluster: CLUSTER, node: self.node_id(node), incarnation: host.disk.incarnation(), boot: host.boot }
    }

    /// Something comes to a node in the midst of what it does: it takes it a moment later.
    pub(super) fn later(&mut self, node: usize, input: Input) {
        let host = &mut self.hosts[node];
        if host.machine.is_none() {
            return;
        }
        if host.inbox.is_empty() && !host.paused {
            let boot = host.boot;
            self.queue.push(self.now + 1, Event::Wake { node, boot });
        }
        host.inbox.push(input);
    }

    /// Something comes to a node. Mostly it is handled at once; a node that is drawn to be busy takes it a little later, with whatever else has
    /// come by then, in the order of coming.
    pub(super) fn input(&mut self, node: usize, input: Input) {
        if self.hosts[node].machine.is_none() {
            return;
        }
        if self.hosts[node].paused {
            // What of the sockets' buffers is full, peers send again; all else is bounded by what the machine has asked for.
            let full = self.hosts[node].inbox.len() >= KEPT && matches!(input, Input::Message { .. });
            if !full {
                self.hosts[node].inbox.push(input);
            }
            return;
        }
        if self.hosts[node].inbox.is_empty() {
            let drawn = self.moment(Purpose::InputBatch, node as u64, 0);
            if below(drawn, 4) > 0 {
                self.hosts[node].hand(self.now, input);
                return self.drain(node);
            }
            let busy = within(drawn.rotate_left(32), 1, 400);
            let boot = self.hosts[node].boot;
            self.queue.push(self.now + busy, Event::Wake { node, boot });
        }
        self.hosts[node].inbox.push(input);
    }

    /// Hands over what has come, a drawn number of inputs before each drain.
    pub(super) fn wake(&mut self, node: usize, boot: Boot) {
        if !self.hosts[node].runs(boot) || self.hosts[node].paused {
            return;
        }
        let mut inputs = std::mem::take(&mut self.hosts[node].inbox);
        if inputs.is_empty() {
            return self.drain(node);
        }
        let mut left = 0;
        for (nth, input) in inputs.drain(..).enumerate() {
            if left == 0 {
                left = 1 + below(self.moment(Purpose::InputBatch, node as u64, nth as u64 + 1), 6);
            }
            self.hosts[node].hand(self.now, input);
            self.take_facts(node);
            left -= 1;
            if left == 0 {
                self.drain(node);
            }
        }
        if left > 0 {
            self.drain(node);
        }
        // Used again, unless something has come meanwhile.
        if self.hosts[node].inbox.is_empty() {
            self.hosts[node].inbox = inputs;
        }
    }

    /// Takes all outputs, then the facts, then the deadline.
    fn drain(&mut self, node: usize) {
        self.take_facts(node);
        while let Some(output) = self.hosts[node].machine.as_mut().and_then(Node::poll_output) {
            self.output(node, output);
        }
        self.take_facts(node);
        self.set_timer(node);
    }

    /// Schedules the deadline of a node, if that is earlier than what is scheduled.
    fn set_timer(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        let Some(deadline) = host.machine.as_ref().and_then(Node::poll_timeout) else { return };
        let due = host.clock.time_of(deadline).max(self.now + 1);
        if due < host.timer {
            host.timer = due;
            let boot = host.boot;
            self.queue.push(due, Event::NodeTimer { node, boot });
        }
    }

    /// Clocks have changed: deadlines come earlier or later. A timer that comes too early is set anew.
    pub(super) fn set_clocks(&mut self) {
        for node in 0..self.hosts.len() {
            let clock = self.plan.conditions().clock(node);
            if clock != self.hosts[node].clock {
                self.hosts[node].clock = clock;
                self.set_timer(node);
            }
        }
    }

    pub(super) fn take_facts(&mut self, node: usize) {
        let Some(machine) = &mut self.hosts[node].machine else { return };
        machine.take_facts_into(&mut self.facts);
        if self.facts.is_empty() {
            return;
        }
        let mut facts = std::mem::take(&mut self.facts);
        for fact in facts.drain(..) {
            self.witness.fact(self.now, node, &fact);
            if let Fact::Reached { point } = fact {
                if let Some(news) = &mut self.news {
                    news.push(point);
                }
                self.plan.reached(self.now, point);
                self.schedule_plan();
            }
        }
        self.facts = facts;
    }

    fn output(&mut self, node: usize, output: Output) {
        let boot = self.hosts[node].boot;
        match output {
            Output::Send { to, message, .. } => self.send(node, to, message),
            Output::Store { id, batch } => {
                let told = digest(&(2u8, id, &batch));
                self.hosts[node].chain.output(told);
                let broken = self.plan.conditions().broken_disk(node);
                if let Some(how) = broken.filter(|how| *how != DiskFailure::Misread) {
                    return self.hosts[node].fail_store(self.now, id, how);
                }
                let sync = self.plan.conditions().slow_disk(node).unwrap_or(self.scenario.cluster.sync);
                self.hosts[node].disk.sync = sync;
                let due = self.hosts[node].disk.store(self.now, id, batch, told);
                self.queue.push(due, Event::Synced { node, boot });
            }
            Output::Keep { id, keep } => {
                let told = digest(&(10u8, id, &keep));
                self.hosts[node].chain.output(told);
                let broken = self.plan.conditions().broken_disk(node);
                if let Some(how) = broken.filter(|how| *how != DiskFailure::Misread) {
                    return self.hosts[node].fail_keep(self.now, how);
                }
                let sync = self.plan.conditions().slow_disk(node).unwrap_or(self.scenario.cluster.sync);
                self.hosts[node].disk.sync = sync;
                let due = self.hosts[node].disk.keep(self.now, id, keep, told);
                self.queue.push(due, Event::Synced { node, boot });
            }
            Output::Apply { through, rows } => {
                self.hosts[node].chain.output(digest(&(3u8, through, &rows)));
                self.hosts[node].disk.apply(self.now, through, rows);
            }
            Output::Load { id, query } => self.load(node, id, &query),
            Output::Derive { id, password, recipe } => {
                let told = digest(&(9u8, id, &password, &recipe));
                self.hosts[node].chain.output(told);
                let (boot, key) = (self.hosts[node].boot, recipe.derive(&password));
                let takes = within(self.moment(Purpose::DiskSync, node as u64, told), 5_000, 50_000);
                self.queue.push(self.now + takes, Event::Derived { node, boot, id, key });
            }
            Output::Trim { through } => {
                self.hosts[node].chain.output(digest(&(7u8, through)));
                self.hosts[node].disk.trim(through);
            }
            Output::Receive(step) => {
                let told = digest(&(8u8, &step));
                self.hosts[node].chain.output(told);
                if let Some(due) = self.hosts[node].disk.receive(self.now, step, told) {
                    self.queue.push(due, Event::Installed { node, boot });
                }
            }
            Output::Reply { to, reply } => {
                if self.coded {
                    self.check_codec(Kind::Reply, &reply);
                }
                let told = digest(&(5u8, to, &reply));
                self.hosts[node].chain.output(told);
                self.say(to, NodeWord::Reply(reply), told);
            }
            Output::Publish { to, event } => self.publish(node, &to, &event),
            Output::Close { connection, .. } => {
                self.hosts[node].chain.output(digest(&(6u8, connection)));
                self.close(connection);
            }
            Output::Peer { node: peer, address } => {
                self.hosts[node].chain.output(digest(&(7u8, peer, &address)));
                self.set_peer(node, peer, address.is_some());
            }
            Output::Diverged(divergence) => self.hosts[node].chain.output(digest(&(9u8, divergence))),
            Output::Admin { ticket, outcome } => {
                self.hosts[node].chain.output(digest(&(8u8, ticket, &outcome)));
                self.administered(ticket, &outcome);
            }
            // The cluster has removed it, and it has heard so before the operator has.
            Output::Halt { reason: HaltReason::Removed { .. } } => self.leave(node),
            Output::Halt { .. } if self.plan.halted(self.now, node) => {
                // What it did before it halted is out already.
                self.take_facts(node);
                self.crash(node, DiskFate::Keep, 0);
                self.schedule_plan();
            }
            Output::Halt { reason } => self.fail(Verdict::failed("halt", format!("n{} halts: {reason}", node + 1))),
            other => self.fail(Verdict::failed("engine", format!("the fast engine does not know this output: {other:?}"))),
        }
    }

    fn load(&mut self, node: usize, id: LoadId, query: &Query) {
        let told = digest(&(4u8, id, query));
        self.hosts[node].chain.output(told);
        if self.plan.conditions().broken_disk(node) == Some(DiskFailure::Misread) {
            return self.hosts[node].fail_load(self.now, id);
        }
        let (boot, loaded) = (self.hosts[node].boot, self.hosts[node].disk.load(self.now, query));
        let takes = within(self.moment(Purpose::DiskSync, node as u64, told), 20, 1_000);
        self.queue.push(self.now + takes, Event::Loaded { node, boot, id, loaded });
    }

    fn send(&mut self, from: usize, to: NodeId, message: Message) {
        let told = digest(&message);
        self.hosts[from].chain.output(told ^ to.0.rotate_left(32));
        let Some(to) = self.witness.roster.host(to) else { return };
        let Some(boot) = self.linked(from, to) else {
            if let Some(recorder) = &mut self.witness.recorder {
                recorder.sent(self.now, (from, to), told, Said::Peer(&message), true);
            }
            return;
        };
        let sender = self.node_id(from);
        if self.coded {
            self.check_codec(Kind::Peer, &message);
        }
        if self.clogged.waits(from, to) || self.plan.conditions().clog(from, to).is_some() {
            return self.queue_up((from, sender), to, boot, message, told);
        }
        self.put_on_the_wire((from, sender), to, boot, message, told);
    }

    pub(super) fn put_on_the_wire(
        &mut self,
        (from, sender): (usize, NodeId),
        to: usize,
        boot: Boot,
        message: Message,
        told: u64,
    ) {
        let [first, second] = self.network.send(self.now, from, to, told, self.plan.conditions());
        if let Some(recorder) = &mut self.witness.recorder {
            recorder.sent(self.now, (from, to), told, Said::Peer(&message), first.or(second).is_none());
        }
        if let Some(at) = second {
            let message = message.clone();
            self.queue.push(at, Event::Peer { from, sender, to, boot, message, digest: told });
        }
        let Some(at) = first else { return };
        self.sent += 1;
        let (at, message, told) = match self.options.tamper {
            Some(Tamper::Late(nth)) if nth == self.sent => (at + 1, message, told),
            Some(Tamper::Flip(nth)) if nth == self.sent => {
                let flipped = codec::flip_one_bit(&message).unwrap_or(message);
                let told = digest(&flipped);
                (at, flipped, told)
            }
            _ => (at, message, told),
        };
        self.queue.push(at, Event::Peer { from, sender, to, boot, message, digest: told });
    }

    pub(super) fn check_codec<T>(&mut self, kind: Kind, value: &T)
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        if let Err(error) = codec::round_trip(kind, value) {
            self.fail(Verdict::failed("codec", error));
        }
    }

    /// A message arrives, unless its receiver has died or a partition stands in between by now.
    pub(super) fn arrive(&mut self, (from, sender): (usize, NodeId), to: usize, boot: Boot, message: Message, digest: u64) {
        let taken = self.hosts[to].runs(boot) && !self.plan.conditions().blocked(from, to);
        if let Some(recorder) = &mut self.witness.recorder {
            recorder.arrived(self.now, (from, to), digest, taken);
        }
        if taken {
            self.input(to, Input::Message { from: sender, message, digest });
        }
    }

    pub(super) fn synced(&mut self, node: usize, boot: Boot) {
        if !self.hosts[node].runs(boot) {
            return;
        }
        if let Some(until) = self.stalled_until(node) {
            return self.queue.push(until, Event::Synced { node, boot });
        }
        if let Some(up_to) = self.hosts[node].disk.synced(self.now) {
            self.input(node, Input::Stored { up_to });
        }
        if let Some(up_to) = self.hosts[node].disk.kept(self.now) {
            self.input(node, Input::Kept { up_to });
        }
    }

    pub(super) fn derived(&mut self, node: usize, boot: Boot, id: u64, key: Key) {
        if self.hosts[node].runs(boot) {
            self.input(node, Input::Derived { id, key });
        }
    }

    pub(super) fn installed(&mut self, node: usize, boot: Boot) {
        if self.hosts[node].runs(boot) {
            self.hosts[node].disk.install();
            self.input(node, Input::Installed);
        }
    }

    pub(super) fn loaded(&mut self, node: usize, boot: Boot, id: LoadId, loaded: Loaded) {
        if !self.hosts[node].runs(boot) {
            return;
        }
        match self.stalled_until(node) {
            Some(until) => self.queue.push(until, Event::Loaded { node, boot, id, loaded }),
            None => self.input(node, Input::Loaded { id, loaded }),
        }
    }

    /// Until when this node's disk does nothing.
    fn stalled_until(&self, node: usize) -> Option<u64> {
        self.plan.conditions().stalled_until(node).filter(|until| *until > self.now)
    }

    /// The deadline may have moved since this was scheduled: then it is scheduled anew, and the machine is left alone.
    pub(super) fn node_timer(&mut self, node: usize, boot: Boot) {
        if !self.hosts[node].runs(boot) || self.hosts[node].timer != self.now {
            return;
        }
        let host = &mut self.hosts[node];
        host.timer = u64::MAX;
        if host.paused {
            // Set again when the node goes on.
            return;
        }
        let Some(deadline) = host.machine.as_ref().and_then(Node::poll_timeout) else { return };
        let due = host.clock.time_of(deadline);
        if due <= self.now {
            return self.input(node, Input::Timeout);
        }
        host.timer = due;
        self.queue.push(due, Event::NodeTimer { node, boot });
    }
}
