//! What the bugs of the zoo do in a replica, as far as it does not fit a line beside the right one.

use super::*;
use crate::contract::COLD;
use crate::zoo::Bug;

impl<S: StateMachine> Replica<S> {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Where, when and as what a command of a session is applied.
    pub(super) fn spoil_at(&mut self, at: At) -> At {
        self.sessions.set_leads(self.raft.leader() == Some(self.raft.node()));
        match self.bug {
            Some(Bug::ApplyByOwnClock) => At { at: Timestamp(self.now.0), ..at },
            Some(Bug::IdByTime) => At { id: MessageId(u128::from(at.at.0 / 1_000)), ..at },
            _ => at,
        }
    }

    /// What leaves as rows. `before`: through where they had come.
    pub(super) fn spoil_rows(&self, rows: &mut Vec<(Bytes, Option<Bytes>)>, before: Index) {
        if self.has(Bug::AppliedApart) && self.applied.index / 8 == before / 8 {
            rows.pop();
        }
        if self.has(Bug::RowsInPart) {
            let mut cold = 0;
            rows.retain(|(key, _)| {
                cold += u32::from(key[0] >= COLD);
                key[0] < COLD || cold == 1
            });
        }
    }
}
