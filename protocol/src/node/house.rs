//! A leader keeps house: what is due by the state's own rules goes into the log without anybody asking for it.
//!
//! One command at a time: the next one depends on what applying this one did. A new leader begins by agreeing on what the cluster is founded with, before it takes any
//! request.

use super::*;
use crate::chat::{Due, Housekeeping, Settings};
use crate::time::{Duration, Timestamp};
use bytes::Bytes;

/// Of so many ids that were given last, those that are no members any more are looked at.
const REMOVED: u64 = 256;
/// How long one command may take before it is offered again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct House {
    founding: Settings,
    /// The term in which this node led when it last looked, and since when by its wall clock.
    led: Option<(Term, Timestamp)>,
    /// The state at the last look, when something was proposed: the next one comes when that is applied, or has taken too long.
    proposed: Option<(Index, Instant)>,
    look_at: Option<Instant>,
    /// The version of the members in which every removed node's outboxes were found sealed.
    sealed_for: Option<u64>,
}

impl House {
    pub(super) fn new(founding: Settings) -> House {
        House { founding, led: None, proposed: None, look_at: None, sealed_for: None }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }
}

impl Node {
    /// Proposes what is due, if this node leads. True if something was proposed.
    pub(super) fn keep_house(&mut self) -> bool {
        let raft = self.replica.raft();
        let ready = raft.opened_by().is_some_and(|opened_by| self.replica.applied() >= opened_by);
        if !raft.is_leader() || !ready {
            (self.house.led, self.house.proposed, self.house.look_at) = (None, None, None);
            self.house.sealed_for = None;
            return false;
        }
        let now = self.now.wall.max(self.replica.applied_at());
        let term = raft.term();
        let (_, since) = *self.house.led.get_or_insert((term, now));
        let applied = self.replica.applied();
        match self.house.proposed {
            Some((at, until)) if applied == at && self.now.instant < until => return false,
            _ => self.house.proposed = None,
        }
        if self.house.look_at.is_some_and(|at| self.now.instant < at) && !self.replica.machine().has_chores() {
            return false;
        }
        let first = self.replica.machine().founding(&self.house.founding).or_else(|| self.unsealed());
        let due = match first {
            Some(command) => Due::Now(command),
            None => self.replica.machine().due(now, since),
        };
        self.house.look_at = None;
        match due {
            Due::Now(command) => {
                let again = self.now.instant + AGAIN;
                (self.house.proposed, self.house.look_at) = (Some((applied, again)), Some(again));
                self.replica.offer(self.now, Submission::House { command }) == Offer::Taken
            }
            Due::At(at) => {
                // Clocks are no promise: look again now and then.
                let wait = at.since(now).clamp(Duration::from_millis(10), Duration::from_secs(10));
                self.house.look_at = Some(self.now.instant + wait);
                false
            }
            Due::Never => false,
        }
    }

    /// Says, for a removed node of which it is not said yet, through where its outboxes are known: what else they held is lost, and nobody waits for it.
    fn unsealed(&mut self) -> Option<Bytes> {
        let raft = self.replica.raft();
        let version = raft.members_version();
        if self.house.sealed_for == Some(version) {
            return None;
        }
        let chat = self.replica.machine();
        let removed = raft.committed_configuration().removed(REMOVED).find(|node| chat.sealed(*node).is_none());
        let Some(node) = removed else {
            self.house.sealed_for = Some(version);
            return None;
        };
        let outboxes = self.outbox.extents_of(node);
        Some(Housekeeping::Seal { node, outboxes }.encode())
    }
}
