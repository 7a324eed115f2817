//! ReadIndex: a read that sees everything committed before it was asked, without a log entry (thesis 6.4).
//!
//! The leader notes its commit index once it has committed an entry of its own term, makes sure by one round of heartbeats that it still led after the read
//! was asked, and lets the read see the state at that index.

use super::*;

/// Reads that may wait at one leader. More are dropped, and asked again by whoever waits for them.
const MOST_READS: usize = 16_384;

#[derive(Clone, Debug)]
pub(super) struct WaitingRead {
    asker: NodeId,
    /// The run of the asker that `id` belongs to.
    boot: Boot,
    id: u64,
    /// Its read index and the round that must be answered; `None` until an entry of this term is committed.
    confirm: Option<(Index, u64)>,
}

impl Raft {
    /// Asks for a read; [`Output::ReadReady`] with the same `id` follows if a leader can confirm it. Nothing follows if a message is lost or the leader changes:
    /// ask again. False when no leader is known.
    pub fn read(&mut self, id: u64) -> bool {
        if self.is_leader() {
            self.handle_ask_read(self.node, self.boot, id);
            return true;
        }
        let Some(leader) = self.leader else { return false };
        let (term, boot) = (self.vote.term, self.boot);
        self.send(leader, Class::Control, RaftMessage::AskRead { term, id, boot });
        true
    }

    pub(super) fn handle_ask_read(&mut self, asker: NodeId, boot: Boot, id: u64) {
        let Role::Leader(leading) = &mut self.role else { return };
        if leading.reads.len() < MOST_READS {
            leading.reads.push_back(WaitingRead { asker, boot, id, confirm: None });
            self.start_reads();
        }
    }

    /// Gives waiting reads their index and the next round, once this term has committed something.
    pub(super) fn start_reads(&mut self) {
        let commit = self.commit;
        let Role::Leader(leading) = &mut self.role else { return };
        if commit < leading.opened_by {
            return;
        }
        let round = leading.round + 1;
        for read in leading.reads.iter_mut().rev().take_while(|read| read.confirm.is_none()) {
            read.confirm = Some((commit, round));
            leading.broadcast = true;
        }
    }

    /// Lets reads go whose round a majority has answered.
    pub(super) fn confirm_reads(&mut self) {
        let (node, term) = (self.node, self.vote.term);
        let Role::Leader(leading) = &mut self.role else { return };
        if leading.reads.is_empty() {
            return;
        }
        let mut rounds: Vec<u64> = leading.progress.values().map(|progress| progress.round).collect();
        rounds.push(leading.round);
        let confirmed = quorum::reached_by_majority(rounds);
        while let Some(read) = leading.reads.pop_front_if(|read| read.confirm.is_some_and(|(_, round)| round <= confirmed)) {
            let (boot, id, index) = (read.boot, read.id, read.confirm.map_or(0, |(index, _)| index));
            self.outputs.push_back(if read.asker == node {
                Output::ReadReady { id, index }
            } else {
                Output::Send { to: read.asker, class: Class::Control, message: RaftMessage::Read { term, id, boot, index } }
            });
        }
    }
}
