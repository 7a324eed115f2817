//! Connections between nodes: dialled, admitted on both sides, and missed when they are gone.

use super::World;
use super::event::{Event, Input};
use super::network::Pair;
use super::nodes::peer_address;
use tertulia_protocol::contract::Link;
use tertulia_protocol::ids::{Boot, NodeId};
use tertulia_protocol::node::Node;

/// Pause after a refused hello.
const REFUSED: u64 = 500_000;

impl World<'_> {
    /// The process at the other end, if `from` is connected to it.
    pub(super) fn linked(&mut self, from: usize, to: usize) -> Option<Boot> {
        let pair = self.network.pair(from, to);
        let ((low, high), (low_up, high_up)) = (pair.boots?, pair.up);
        let (ours, theirs, up) = if from < to { (low, high, low_up) } else { (high, low, high_up) };
        (up && self.hosts[from].boot == ours).then_some(theirs)
    }

    /// Looks at all connections of a node after something changed.
    pub(super) fn review_links(&mut self, node: usize) {
        for peer in 0..self.hosts.len() {
            if peer != node {
                self.review(node.min(peer), node.max(peer));
            }
        }
    }

    pub(super) fn review_all_links(&mut self) {
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                self.review(a, b);
            }
        }
    }

    fn apart(&self, a: usize, b: usize) -> bool {
        self.plan.conditions().blocked(a, b) || self.plan.conditions().blocked(b, a)
    }

    /// Whether both of these processes run.
    fn both_run(&self, a: usize, b: usize, boots: (Boot, Boot)) -> bool {
        self.hosts[a].runs(boots.0) && self.hosts[b].runs(boots.1)
    }

    fn could_talk(&self, a: usize, b: usize) -> bool {
        let answers = |host: &super::Host| host.machine.is_some() && !host.paused;
        answers(&self.hosts[a]) && answers(&self.hosts[b]) && !self.apart(a, b)
    }

    /// Whether the process on one machine dials the one on the other.
    fn knows(&self, host: usize, other: usize) -> bool {
        self.hosts[host].peers.contains(&self.node_id(other))
    }

    /// A node dials a peer from now on, or forgets it: then its own link ends, and the peer's does not.
    pub(super) fn set_peer(&mut self, node: usize, peer: NodeId, dials: bool) {
        if dials {
            self.hosts[node].peers.insert(peer);
        } else {
            self.hosts[node].peers.remove(&peer);
        }
        // A newcomer may not have heard yet that it has an id: it is dialled once it starts with it.
        let Some(other) = self.witness.roster.host(peer) else { return };
        if dials {
            return self.review(node.min(other), node.max(other));
        }
        let pair = self.network.pair(node, other);
        let up = if node < other { &mut pair.up.0 } else { &mut pair.up.1 };
        if std::mem::take(up) {
            self.later(node, Input::Link { peer, link: Link::Down });
        }
    }

    /// Starts a dial, or the noticing of an end, where one is due.
    fn review(&mut self, a: usize, b: usize) {
        let pair = *self.network.pair(a, b);
        let alive = pair.boots.is_some_and(|boots| self.both_run(a, b, boots));
        if let (Some(boots), false, true) = (pair.boots, pair.breaking, !alive || self.apart(a, b)) {
            let silent = self.apart(a, b);
            let after = self.network.notice(a, b, silent);
            self.network.pair(a, b).breaking = true;
            self.queue.push(self.now + after, Event::Noticed { a, b, boots });
        }
        let (a_knows, b_knows) = (self.knows(a, b), self.knows(b, a));
        let missing = !alive && (a_knows || b_knows) || alive && (a_knows && !pair.up.0 || b_knows && !pair.up.1);
        if missing && !pair.dialling && self.could_talk(a, b) {
            let after = self.network.dial(a, b);
            self.network.pair(a, b).dialling = true;
            self.queue.push(self.now + after, Event::Dialled { a, b });
        }
    }

    /// A dial ends: both sides look at each other's folder, and are connected or not.
    pub(super) fn dialled(&mut self, a: usize, b: usize) {
        self.network.pair(a, b).dialling = false;
        if !self.could_talk(a, b) {
            return;
        }
        let (of_a, of_b) = (self.identity(a), self.identity(b));
        let is_member = |host: usize| self.hosts[host].machine.as_ref().is_some_and(Node::is_member);
        let admit = |host: usize, other: usize, peer| match &self.hosts[host].machine {
            Some(machine) => machine.admit(peer, is_member(other)).err(),
            None => None,
        };
        let (by_a, by_b) = (admit(a, b, &of_b), admit(b, a, &of_a));
        if by_a.is_some() || by_b.is_some() {
            if let Some(refusal) = by_a {
                self.input(b, Input::Refused { by: self.node_id(a), refusal });
            }
            if let Some(refusal) = by_b {
                self.input(a, Input::Refused { by: self.node_id(b), refusal });
            }
            self.network.pair(a, b).dialling = true;
            return self.queue.push(self.now + REFUSED, Event::Dialled { a, b });
        }
        let boots = (of_a.boot, of_b.boot);
        let before = *self.network.pair(a, b);
        if before.boots != Some(boots) {
            // Who was connected to an earlier process learns of its end by the new one's call.
            self.clogged.clear(a, b);
            self.tell_down(a, b, before);
            let pair = Pair { boots: Some(boots), ids: (of_a.node, of_b.node), up: (false, false), breaking: false, ..before };
            *self.network.pair(a, b) = Pair { dialling: false, ..pair };
        }
        for (host, other, peer) in [(a, b, of_b), (b, a, of_a)] {
            if self.knows(other, host) {
                self.input(host, Input::Met { peer: peer.node, address: peer_address(other) });
            }
        }
        for (host, other, peer) in [(a, b, of_b), (b, a, of_a)] {
            let dials = self.knows(host, other);
            let pair = self.network.pair(a, b);
            let up = if host == a { &mut pair.up.0 } else { &mut pair.up.1 };
            if dials && pair.boots == Some(boots) && !std::mem::replace(up, true) {
                self.input(host, Input::Link { peer: peer.node, link: Link::Up { boot: peer.boot } });
            }
        }
    }

    /// The end of a connection is noticed, unless it has healed or been replaced meanwhile.
    pub(super) fn noticed(&mut self, a: usize, b: usize, boots: (Boot, Boot)) {
        if self.network.pair(a, b).boots != Some(boots) {
            return;
        }
        self.network.pair(a, b).breaking = false;
        if self.both_run(a, b, boots) && !self.apart(a, b) {
            return;
        }
        self.end_connection(a, b);
    }

    /// The connection of these two breaks, if there is one; it is dialled anew as any other.
    pub(super) fn reset(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        if self.network.pair(a, b).boots.is_some() {
            self.network.pair(a, b).breaking = false;
            self.end_connection(a, b);
        }
    }

    fn end_connection(&mut self, a: usize, b: usize) {
        self.clogged.clear(a, b);
        let before = *self.network.pair(a, b);
        *self.network.pair(a, b) = Pair { boots: None, up: (false, false), ..before };
        self.tell_down(a, b, before);
        self.review(a, b);
    }

    fn tell_down(&mut self, a: usize, b: usize, before: Pair) {
        let Some(boots) = before.boots else { return };
        for (node, boot, peer, up) in [(a, boots.0, before.ids.1, before.up.0), (b, boots.1, before.ids.0, before.up.1)] {
            if up && self.hosts[node].runs(boot) {
                self.input(node, Input::Link { peer, link: Link::Down });
            }
        }
    }
}
