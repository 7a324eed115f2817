//! Batches to the log lane and what their completion is worth.
//!
//! Invariant: `durable` is the greatest index such that our log up to it is on disk. It goes back when entries are replaced, and a completion raises it only if the
//! log still holds the entry (same index, same term) that the batch ended with, and has held it ever since: a late completion of replaced entries credits nothing.

use super::*;

#[derive(Clone, Debug, Hash)]
pub(super) struct Writing {
    pub(super) durable: Index,
    pub(super) durable_vote: Vote,
    /// In a batch, durable or not.
    written_vote: Vote,
    /// The first entry that is in no batch yet.
    unwritten: Index,
    next_batch: u64,
    pending: VecDeque<Pending>,
    /// A vote that is given and must not be told before it is durable: at most one a term.
    pub(super) vote_to_tell: Option<(NodeId, Term)>,
    /// The log is whole again, and the disk has not been told.
    pub(super) repaired: bool,
    /// Bytes in batches that are not durable.
    waiting_bytes: usize,
    /// The next batch makes the log on disk begin after this place.
    reset: Option<Position>,
}

#[derive(Clone, Debug, Hash)]
struct Pending {
    id: BatchId,
    since: Instant,
    bytes: usize,
    vote: Option<Vote>,
    last: Option<(Index, Term)>,
}

impl Writing {
    pub(super) fn new(vote: Vote, durable: Index) -> Writing {
        Writing {
            durable,
            durable_vote: vote,
            written_vote: vote,
            unwritten: durable + 1,
            next_batch: 1,
            pending: VecDeque::new(),
            vote_to_tell: None,
            repaired: false,
            waiting_bytes: 0,
            reset: None,
        }
    }

    /// Since when the disk owes the oldest batch.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.pending.front().map(|batch| batch.since)
    }

    /// Whether the entry at `index` is in a batch, durable or not.
    pub(super) fn is_written(&self, index: Index) -> bool {
        index < self.unwritten
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Entries from `index` on are being replaced.
    pub(super) fn replaced_from(&mut self, index: Index) {
        self.durable = self.durable.min(index - 1);
        self.unwritten = self.unwritten.min(index);
        // The entries may come back, and stand in a later batch then: a crash between the two writes leaves what was written between them.
        for batch in self.pending.iter_mut().filter(|batch| batch.last.is_some_and(|(last, _)| last >= index)) {
            batch.last = None;
        }
    }

    /// The log goes on after `position`, which durable rows contain: what a crash leaves of the log does not matter any more.
    pub(super) fn reset(&mut self, position: Position) {
        self.durable = position.index;
        self.unwritten = position.index + 1;
        self.reset = Some(position);
        for batch in &mut self.pending {
            batch.last = None;
        }
    }
}

impl Raft {
    pub(super) fn make_batch(&mut self) -> Option<(BatchId, Batch)> {
        let vote = (self.vote != self.writing.written_vote).then_some(self.vote);
        let last = self.log.last();
        let repaired = self.writing.repaired;
        if vote.is_none() && !repaired && self.writing.reset.is_none() && last.index < self.writing.unwritten {
            return None;
        }
        self.writing.repaired = false;
        let entries =
            if last.index < self.writing.unwritten { Vec::new() } else { self.log.slice(self.writing.unwritten, usize::MAX) };
        let id = BatchId(self.writing.next_batch);
        self.writing.next_batch += 1;
        self.writing.written_vote = self.vote;
        self.writing.unwritten = last.index + 1;
        let last = entries.last().map(|entry| (entry.index, entry.term));
        let bytes = entries.iter().map(log::cost).sum();
        self.writing.waiting_bytes += bytes;
        self.writing.pending.push_back(Pending { id, since: self.now.instant, bytes, vote, last });
        Some((id, Batch { reset: self.writing.reset.take(), repaired, vote, entries }))
    }

    /// All batches up to `up_to` are durable.
    pub fn handle_stored(&mut self, now: Now, up_to: BatchId) {
        self.now = now;
        let durable_before = self.writing.durable;
        while let Some(batch) = self.writing.pending.pop_front_if(|batch| batch.id <= up_to) {
            self.writing.waiting_bytes -= batch.bytes;
            if let Some(vote) = batch.vote {
                self.writing.durable_vote = vote;
                self.facts.tell(|| Fact::VoteDurable { term: vote.term, voted_for: vote.voted_for });
            }
            if let Some((index, term)) = batch.last
                && self.log.position(index).is_some_and(|position| position.term == term)
            {
                self.writing.durable = self.writing.durable.max(index);
            }
        }
        if self.halted {
            return;
        }
        if self.writing.durable > durable_before
            && let Some(through) = self.log.position(self.writing.durable)
        {
            self.facts.tell(|| Fact::Durable { through });
        }
        self.watch_disk(now);
        self.finish_repair();
        self.vote_is_durable(now);
        if self.is_leader() {
            self.advance_commit(now);
        } else if self.owes_answer || self.writing.durable > durable_before {
            self.answer_leader();
        }
    }

    /// A write failed: what this node would say from here on might not be true after a crash.
    pub fn handle_store_failed(&mut self, error: StoreError) {
        self.halt(HaltReason::Store { message: error.message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Entry;
    use alloc::vec;

    fn replica() -> (Raft, Now) {
        let voter = |id| Member { id: NodeId(id), peer_address: "".into(), client_address: "".into(), incarnation: None };
        let config = Config::new(NodeId(1), ClusterId(1), (1..=5).map(voter).collect(), Seed(1));
        let empty = Restored::empty(Incarnation(1), Boot(1));
        let now = Now::default();
        (Raft::restore(&config, &empty, FromRows::default(), now), now)
    }

    fn batches(raft: &mut Raft) -> Vec<BatchId> {
        let batch = |output| if let Output::Store { id, .. } = output { Some(id) } else { None };
        core::iter::from_fn(|| raft.poll_output()).filter_map(batch).collect()
    }

    /// Index and term do not tell whether the batch on disk is still the last word on them: between the two writes of one entry there may be one of another.
    #[test]
    fn an_entry_that_was_replaced_and_came_back_counts_only_once_its_second_write_is_durable() {
        let (mut raft, now) = replica();
        let entry = |before: Position, term| Entry::after(before, term, Timestamp(1), Bytes::new());
        let first = entry(Position::default(), 2);
        let (lost, other) = (entry(first.position(), 2), entry(first.position(), 3));
        let newer = entry(lost.position(), 4);
        let mut written = Vec::new();
        for (term, previous, entries) in [
            (2, Position::default(), vec![first.clone(), lost.clone()]),
            (3, first.position(), vec![other]),
            (4, first.position(), vec![lost, newer]),
        ] {
            let append = RaftMessage::Append { term, previous, entries, commit: 0, round: 1 };
            raft.handle_message(now, NodeId(term), append);
            written.extend(batches(&mut raft));
        }
        raft.handle_stored(now, written[0]);
        assert!(raft.durable() < 2, "the entry of term 3 may be what a crash leaves at index 2");
        raft.handle_stored(now, written[2]);
        assert_eq!(raft.durable(), 3);
    }
}
