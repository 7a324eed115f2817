//! The named points of the simulator: courses of events that no single machine can tell, because a fault meets them or because two nodes take part.
//!
//! As for the points of the protocol ([`tertulia_protocol::points`]) a sweep must reach each of them. What is here is told to whoever asks
//! [`Crossings`], which sees the same facts as the judge; it never changes a run.

use tertulia_protocol::contract::Position;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, Term};
pub use tertulia_protocol::points::Point;

/// All points that the simulator tells, by name.
pub const POINTS: &[Point] = &[
    ("crash.in_joint", "a node crashes whose newest configuration is joint"),
    ("crash.in_repair", "a node crashes while it repairs its log"),
    ("crash.in_snapshot", "a node crashes that has received a part of a snapshot"),
    ("crash.in_transfer", "a leader crashes that is handing over"),
    ("crash.of_leader", "a leader crashes"),
    ("crash.of_leader_with_tail", "a leader crashes whose log holds more than is durable"),
    ("leader.two_at_once", "two nodes lead, each in a term of its own"),
    ("progress.owed", "a part of the members owed progress by right, and made it"),
    ("restart.tail_lost", "a node starts with less of its log than it had in memory"),
    ("snapshot.interrupted_by_election", "another node is elected while a snapshot is on its way"),
    ("snapshot.receiver_elected", "a node is elected that had begun to receive a snapshot in its present run"),
];

/// Points that a sweep need not reach: a snapshot is never wrong unless its sender is. A test of the receiver comes to it.
pub const NOT_DEMANDED: &[&str] = &["snapshot.wrong_hash"];

/// Whether the protocol or the simulator has a point of this name.
pub fn is_known(name: &str) -> bool {
    all().any(|(known, _)| known == name)
}

/// The protocol's points and the simulator's.
pub fn all() -> impl Iterator<Item = Point> + Clone {
    tertulia_protocol::points::POINTS.iter().chain(POINTS).copied()
}

/// What is known of one node, as far as a crossing needs it.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    leading: Option<Term>,
    joint: bool,
    repairing: bool,
    transferring: bool,
    receiving: bool,
    /// It has begun to receive a snapshot since it started.
    received: bool,
    last: Index,
    durable: Index,
}

/// Sees where courses of events cross.
#[derive(Clone, Debug)]
pub struct Crossings {
    nodes: Vec<Node>,
    reached: Vec<&'static str>,
}

impl Crossings {
    /// For so many machines.
    pub fn new(hosts: usize) -> Crossings {
        Crossings { nodes: vec![Node::default(); hosts], reached: Vec::new() }
    }

    /// Whether [`Crossings::take`] has anything.
    pub fn has_news(&self) -> bool {
        !self.reached.is_empty()
    }

    /// What was reached since the last call.
    pub fn take(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.reached)
    }

    pub fn fact(&mut self, host: usize, fact: &Fact) {
        let node = &mut self.nodes[host];
        match fact {
            Fact::Started { durable, .. } => self.started(host, durable),
            Fact::Appended { at } => node.last = at.index,
            Fact::Durable { through } => node.durable = through.index,
            Fact::Configured { outgoing, .. } => node.joint = !outgoing.is_empty(),
            Fact::Repairing => node.repairing = true,
            Fact::BecameLeader { term, .. } => self.elected(host, *term),
            Fact::SteppedDown { .. } => (node.leading, node.transferring) = (None, false),
            Fact::Reached { point } => node.reached(point),
            _ => {}
        }
    }

    pub fn crashed(&mut self, host: usize) {
        let node = self.nodes[host];
        let crossed = [
            (node.joint, "crash.in_joint"),
            (node.repairing, "crash.in_repair"),
            (node.receiving, "crash.in_snapshot"),
            (node.leading.is_some() && node.transferring, "crash.in_transfer"),
            (node.leading.is_some(), "crash.of_leader"),
            (node.leading.is_some() && node.last > node.durable, "crash.of_leader_with_tail"),
        ];
        self.reached.extend(crossed.into_iter().filter_map(|(is, point)| is.then_some(point)));
        self.nodes[host] = Node { last: node.last, ..Node::default() };
    }

    fn started(&mut self, host: usize, durable: &Position) {
        if durable.index < self.nodes[host].last {
            self.reached.push("restart.tail_lost");
        }
        self.nodes[host] = Node { last: durable.index, durable: durable.index, ..Node::default() };
    }

    fn elected(&mut self, host: usize, term: Term) {
        if self.nodes.iter().enumerate().any(|(other, node)| other != host && node.leading.is_some()) {
            self.reached.push("leader.two_at_once");
        }
        if self.nodes.iter().any(|node| node.receiving) {
            self.reached.push("snapshot.interrupted_by_election");
        }
        if self.nodes[host].received {
            self.reached.push("snapshot.receiver_elected");
        }
        self.nodes[host].leading = Some(term);
    }
}

impl Node {
    fn reached(&mut self, point: &str) {
        match point {
            "snapshot.begun" => (self.receiving, self.received) = (true, true),
            "snapshot.installed" | "snapshot.abandoned" => self.receiving = false,
            "transfer.begun" => self.transferring = true,
            "transfer.failed" => self.transferring = false,
            "log.repaired" => self.repairing = false,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: Index) -> Position {
        Position { index, ..Position::default() }
    }

    #[test]
    fn a_leader_that_dies_with_a_tail_in_memory_starts_without_it() {
        let mut crossings = Crossings::new(2);
        crossings.fact(0, &Fact::BecameLeader { term: 1, last: at(0) });
        crossings.fact(0, &Fact::Appended { at: at(2) });
        crossings.fact(0, &Fact::Durable { through: at(1) });
        crossings.crashed(0);
        assert_eq!(crossings.take(), ["crash.of_leader", "crash.of_leader_with_tail"]);
        let (durable, boot) = (at(1), tertulia_protocol::ids::Boot(2));
        crossings.fact(0, &Fact::Started { boot, term: 1, voted_for: None, durable, applied: 0 });
        assert_eq!(crossings.take(), ["restart.tail_lost"]);
    }

    #[test]
    fn an_election_meets_a_snapshot_and_another_leader() {
        let mut crossings = Crossings::new(3);
        crossings.fact(0, &Fact::BecameLeader { term: 1, last: at(0) });
        crossings.fact(2, &Fact::Reached { point: "snapshot.begun" });
        crossings.fact(1, &Fact::BecameLeader { term: 2, last: at(0) });
        assert_eq!(crossings.take(), ["leader.two_at_once", "snapshot.interrupted_by_election"]);
        crossings.fact(2, &Fact::Reached { point: "snapshot.installed" });
        crossings.fact(0, &Fact::SteppedDown { term: 2 });
        crossings.fact(1, &Fact::SteppedDown { term: 2 });
        crossings.fact(2, &Fact::BecameLeader { term: 3, last: at(0) });
        assert_eq!(crossings.take(), ["snapshot.receiver_elected"]);
    }

    #[test]
    fn names_are_sorted_and_differ_from_the_protocols() {
        assert!(POINTS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(POINTS.iter().all(|(name, _)| !tertulia_protocol::points::is_known(name)));
    }
}
