//! Connections between nodes: dialled, admitted on both sides, and missed when they are gone.

use super::World;
use super::event::{Event, Input};
use tertulia_protocol::contract::Link;
use tertulia_protocol::ids::Boot;
use tertulia_protocol::node::Node;

/// Pause after a refused hello.
const REFUSED: u64 = 500_000;

impl World<'_> {
    /// The process at the other end, if `from` is connected to it.
    pub(super) fn linked(&mut self, from: usize, to: usize) -> Option<Boot> {
        let (low, high) = self.network.pair(from, to).boots?;
        let (ours, theirs) = if from < to { (low, high) } else { (high, low) };
        (self.hosts[from].boot == ours).then_some(theirs)
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
        if !alive && !pair.dialling && self.could_talk(a, b) {
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
        // Who was connected to an earlier process learns of its end by the new one's call.
        if let Some(old) = self.network.pair(a, b).boots.replace(boots) {
            self.tell_down(a, b, old);
        }
        self.network.pair(a, b).breaking = false;
        self.input(a, Input::Link { peer: self.node_id(b), link: Link::Up { boot: of_b.boot } });
        self.input(b, Input::Link { peer: self.node_id(a), link: Link::Up { boot: of_a.boot } });
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
        self.network.pair(a, b).boots = None;
        self.tell_down(a, b, boots);
        self.review(a, b);
    }

    /// The connection of these two breaks, if there is one; it is dialled anew as any other.
    pub(super) fn reset(&mut self, a: usize, b: usize) {
        let (a, b) = (a.min(b), a.max(b));
        if let Some(boots) = self.network.pair(a, b).boots.take() {
            self.network.pair(a, b).breaking = false;
            self.tell_down(a, b, boots);
            self.review(a, b);
        }
    }

    fn tell_down(&mut self, a: usize, b: usize, boots: (Boot, Boot)) {
        for (node, boot, peer) in [(a, boots.0, b), (b, boots.1, a)] {
            if self.hosts[node].runs(boot) {
                self.input(node, Input::Link { peer: self.node_id(peer), link: Link::Down });
            }
        }
    }
}
