//! Repair of a log that has lost what its node may have acknowledged (DESIGN 3, "Torn or rotten"; the problem is that of Alagappan et al.,
//! "Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018).
//!
//! Until it is repaired, the node gives no vote, stands for no election, and what it acknowledges counts for nothing. That is over when
//! 1. the leader has heard of the node's new boot, and has dropped whatever it believed of the old one;
//! 2. a read index taken after that, confirmed by a majority in which this node does not count, says how far anything can have been committed with the help of
//!    what is lost;
//! 3. the log here is the leader's through that index, durably.

use super::*;
use crate::sometimes;
use crate::time::Duration;

/// The id of the read that a repair asks for: above all that others ask.
pub(super) const REPAIR_READ: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
pub(super) enum Repair {
    /// The read index is being asked for, last at this moment.
    Asking { asked: Option<Instant> },
    /// Whatever was lost lies at or below this index.
    Until { index: Index },
}

impl Raft {
    /// Whether the log here has lost what it may have acknowledged, and is not yet whole again.
    pub fn is_repairing(&self) -> bool {
        self.repair.is_some()
    }

    /// A leader is there: asks it for the index, again and again until it answers.
    pub(super) fn ask_for_repair(&mut self, now: Now, leader: NodeId) {
        let Some(Repair::Asking { asked }) = &mut self.repair else { return };
        let pause: Duration = self.timing.heartbeat * 2;
        if asked.is_some_and(|asked| now.instant.since(asked) < pause) {
            return;
        }
        *asked = Some(now.instant);
        let (term, boot) = (self.vote.term, self.boot);
        self.send(leader, Class::Control, RaftMessage::AskRead { term, id: REPAIR_READ, boot, repair: true });
    }

    pub(super) fn repair_until(&mut self, index: Index) {
        if matches!(self.repair, Some(Repair::Asking { .. })) {
            self.repair = Some(Repair::Until { index });
            self.finish_repair();
        }
    }

    /// The log has grown, here or on the disk: the repair may be over.
    pub(super) fn finish_repair(&mut self) {
        let Some(Repair::Until { index }) = self.repair else { return };
        if self.agreed.max(self.commit) >= index && self.writing.durable >= index {
            self.repair = None;
            self.writing.repaired = true;
            sometimes!(self.facts, "log.repaired");
        }
    }
}
