//! Handing leadership over (thesis 3.10), and what gives a reason to: a stop, a stalled disk, a better-placed voter.

use super::progress::Flow;
use super::*;
use crate::sometimes;

/// A hand-over under way. The leader takes no proposals meanwhile: the successor must hold all that there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    to: NodeId,
    /// Then it has failed, and this node goes on leading.
    until: Instant,
}

/// Why leadership cannot go to a node. Each text says what to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
pub enum TransferRefusal {
    NotAVoter {
        node: NodeId,
    },
    /// It does not answer, or is far behind.
    NotThere {
        node: NodeId,
    },
}

impl core::fmt::Display for TransferRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            TransferRefusal::NotAVoter { node } => {
                write!(f, "node {} does not vote and cannot lead: `node status` shows who does", node.0)
            }
            TransferRefusal::NotThere { node } => {
                write!(f, "node {} does not answer the leader or is far behind: look at it, or choose another one", node.0)
            }
        }
    }
}

impl Raft {
    /// Begins to hand leadership to `to`. `Ok(false)`: this node does not lead, or is handing over already.
    ///
    /// # Errors
    /// Why that node cannot have it.
    pub fn transfer(&mut self, now: Now, to: NodeId) -> Result<bool, TransferRefusal> {
        if !self.is_leader() || to == self.node {
            return Ok(false);
        }
        if !self.configuration().voters().contains(&to) {
            return Err(TransferRefusal::NotAVoter { node: to });
        }
        if !self.could_lead(to) {
            return Err(TransferRefusal::NotThere { node: to });
        }
        let until = now.instant + self.timing.detection;
        let Role::Leader(leading) = &mut self.role else { return Ok(false) };
        if leading.transfer.is_some() {
            return Ok(false);
        }
        // Whatever comes of it: the other one may stand from here on, and its votes pass the gate that the lease relies on.
        leading.lease_given_up = true;
        leading.transfer = Some(Transfer { to, until });
        leading.broadcast = true;
        sometimes!(self.facts, "transfer.begun");
        self.go_on_with_transfer(now);
        Ok(true)
    }

    /// Whether `node` answers, follows, and lacks little.
    fn could_lead(&self, node: NodeId) -> bool {
        let Role::Leader(leading) = &self.role else { return false };
        leading.progress.get(&node).is_some_and(|progress| self.is_well(progress) && progress.flow == Flow::Replicate)
    }

    /// Voters that could lead at once, in the order of succession.
    pub fn successors(&self) -> Vec<NodeId> {
        let voters = self.configuration().voters();
        self.succession().into_iter().filter(|id| voters.contains(id) && self.could_lead(*id)).collect()
    }

    /// Hands over to the first in line that can have it and has not been asked in vain: what keeps it from standing, only it knows. When all have been asked it begins
    /// anew. False: there is nobody, or this node does not lead.
    pub fn hand_over(&mut self, now: Now) -> bool {
        let successors = self.successors();
        let Role::Leader(leading) = &mut self.role else { return false };
        if successors.iter().all(|id| leading.asked_in_vain.contains(id)) {
            leading.asked_in_vain.clear();
        }
        let next = successors.into_iter().find(|id| !leading.asked_in_vain.contains(id));
        next.is_some_and(|to| self.transfer(now, to).unwrap_or(false))
    }

    /// Once the successor holds everything, it is told to stand; until it does, or the time is over.
    pub(super) fn go_on_with_transfer(&mut self, now: Now) {
        let (term, last) = (self.vote.term, self.log.last().index);
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(transfer) = leading.transfer else { return };
        if now.instant >= transfer.until {
            leading.transfer = None;
            leading.asked_in_vain.insert(transfer.to);
            return sometimes!(self.facts, "transfer.failed");
        }
        if leading.progress.get(&transfer.to).is_some_and(|progress| progress.matched == last) {
            self.send(transfer.to, Class::Control, RaftMessage::TimeoutNow { term });
        }
    }

    /// The leader hands over to this node.
    pub(super) fn handle_timeout_now(&mut self, now: Now, from: NodeId, term: Term) {
        if term == self.vote.term && self.leader == Some(from) && self.may_stand() {
            self.elections += 1;
            self.become_candidate(now, true);
        }
    }

    /// A leader that is no voter any more: somebody else is told to stand, and this node says nothing more (4.2.2).
    pub(super) fn step_aside(&mut self, now: Now) {
        let term = self.vote.term;
        // Whoever lacks entries that others have would be refused by them, and hold them up. Of those that have most, the first in line.
        let matched = |id: &NodeId| match &self.role {
            Role::Leader(leading) => leading.progress.get(id).map_or(0, |progress| progress.matched),
            _ => 0,
        };
        let most = self.successors().into_iter().rev().max_by_key(matched);
        if let Some(to) = most {
            self.send(to, Class::Control, RaftMessage::TimeoutNow { term });
        }
        self.become_follower(now, None);
    }

    /// What the disk owes for too long is said once; a leader hands over, because nobody else can see what is wrong with it.
    pub(super) fn watch_disk(&mut self, now: Now) {
        let since = self.writing.waiting_since();
        let stalled = since.is_some_and(|since| now.instant.since(since) >= self.timing.disk_stall);
        if stalled && !self.stalled {
            sometimes!(self.facts, "disk.stalled");
        }
        self.stalled = stalled;
        if stalled && matches!(&self.role, Role::Leader(leading) if leading.transfer.is_none()) {
            self.hand_over(now);
        }
    }
}
