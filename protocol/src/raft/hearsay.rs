//! What a node hears of the log while no leader reaches it: a peer that knows of more that is committed tells it.
//!
//! Rule: what is committed is in the log of every later leader (leader completeness, thesis 3.6.3), so a log that ends in a committed place may take the committed entries
//! behind it from anybody; what stood there instead can never be committed. It says nothing about who leads, and nobody is told that the entries are here: only a leader counts.

use super::*;
use crate::sometimes;
use alloc::vec::Vec;

impl Raft {
    /// Whether a leader can be reached, as far as can be known by now: this node follows one that it has heard lately, or leads and has heard a quorum lately.
    pub fn leader_answers(&self, now: Now) -> bool {
        let heard = match (&self.role, self.leader) {
            (Role::Leader(_), _) => self.reached_by_quorum(now.instant, |progress| progress.heard),
            (_, Some(_)) => self.heard,
            (_, None) => return false,
        };
        now.instant.since(heard) < self.timing.leader_silence
    }

    /// The last place that is known to be committed; `None`: only its index is known here.
    pub(crate) fn committed(&self) -> Option<Position> {
        self.log.position(self.commit)
    }

    /// Committed entries behind a place, as far as they are in memory: up to so many bytes, but at least one if there is any.
    pub(crate) fn committed_after(&self, place: Position, max_bytes: usize) -> Vec<Entry> {
        if place.index >= self.commit || self.log.position(place.index) != Some(place) {
            return Vec::new();
        }
        let mut entries = self.log.slice(place.index + 1, max_bytes);
        entries.truncate((self.commit - place.index) as usize);
        entries
    }

    /// A peer says that these entries are committed. They are taken if they go on where this node knows the log to be committed, and no leader says more.
    pub(crate) fn take_committed(&mut self, now: Now, mut entries: Vec<Entry>) {
        self.now = now;
        let known = self.commit;
        entries.retain(|entry| entry.index > known);
        let (Some(committed), Some(last)) = (self.committed(), entries.last()) else { return };
        let (term, through) = (last.term, last.position());
        let follows = entries.iter().try_fold(committed, |before, entry| entry.follows(before).then(|| entry.position()));
        if self.halted || self.repair.is_some() || self.rows_lost || follows.is_none() || self.leader_answers(now) {
            return;
        }
        if term > self.vote.term {
            self.enter_term(now, term);
        }
        if self.is_leader() {
            // Its own log holds them, and it will learn by counting that they are committed.
            return;
        }
        if let Err(index) = self.take_entries(entries) {
            return self.halt(HaltReason::Diverged { index });
        }
        sometimes!(self.facts, "raft.committed_by_peer");
        self.commit = through.index;
        self.facts.tell(|| Fact::Committed { through, as_leader: false });
        if self.configurations.commit(through.index) {
            self.configuration_committed(now);
        }
    }
}
