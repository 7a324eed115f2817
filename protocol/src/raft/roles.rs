//! Changes of term and role: whose follower this node is, and since when.

use super::*;
use crate::sometimes;

impl Raft {
    /// A greater term: its vote is free, and whatever this node was, it is a follower now (3.3).
    pub(super) fn enter_term(&mut self, now: Now, term: Term) {
        debug_assert!(term > self.vote.term);
        self.become_follower(now, None);
        self.vote = Vote { term, voted_for: None };
        self.facts.tell(|| Fact::TermBegan { term });
    }

    pub(super) fn become_follower(&mut self, now: Now, leader: Option<NodeId>) {
        if self.is_leader() {
            let term = self.vote.term;
            self.facts.tell(|| Fact::SteppedDown { term });
        }
        let was_following = matches!(self.role, Role::Follower);
        self.role = Role::Follower;
        self.loads.clear();
        self.agreed = 0;
        self.round = 0;
        self.owes_answer = false;
        self.leader = leader;
        self.last_leader = leader.or(self.last_leader);
        if !was_following || leader.is_some() {
            self.wait_for_leader(now.instant);
        }
    }

    /// Makes sure that this node follows `from` in `term`; false if the message is of an older term (its sender is told).
    pub(super) fn follow(&mut self, now: Now, from: NodeId, term: Term) -> bool {
        if term < self.vote.term {
            let (term, answer) = (self.vote.term, Answer { round: 0, ..self.answer() });
            self.send(from, Class::Control, RaftMessage::Appended { term, matched: 0, answer });
            return false;
        }
        if term > self.vote.term {
            self.enter_term(now, term);
        }
        // What was under way when the link broke is no sign of life. If the leader lives, it says so again.
        let late = |(lost, at): (NodeId, Instant)| lost == from && now.instant.since(at) < self.timing.heartbeat;
        if self.lost_leader.is_some_and(late) {
            sometimes!(self.facts, "leader.heard_late");
            return false;
        }
        if self.is_leader() {
            // Two leaders of one term: election safety is broken elsewhere. Stop before it spreads.
            self.halt(HaltReason::Diverged { index: self.log.last().index });
            return false;
        }
        if self.leader != Some(from) || !matches!(self.role, Role::Follower) {
            self.become_follower(now, Some(from));
            #[cfg(feature = "zoo")]
            if self.has(Bug::ResetVoteInTerm) {
                self.vote.voted_for = None;
            }
        }
        self.heard = now.instant;
        self.lost_leader = None;
        self.wait_for_leader(now.instant);
        self.ask_for_repair(now, from);
        true
    }

    pub(super) fn answer(&self) -> Answer {
        Answer { round: self.round, boot: self.boot, repairing: self.is_repairing() }
    }
}
