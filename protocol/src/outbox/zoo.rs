//! What the bugs of the zoo do in an outbox, as far as it does not fit a line beside the right one.

use super::*;
use crate::replica::Submission;
use crate::zoo::Bug;

impl Outbox {
    pub(crate) fn with_bug(mut self, bug: Option<Bug>) -> Outbox {
        self.bug = bug;
        self
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// On how many nodes a request is said to be durable, by what is in memory here.
    pub(super) fn copies_in_memory(&self, request: &(SessionId, Slot)) -> Option<u32> {
        let places = self.requests.get(request)?;
        self.has(Bug::AcceptBeforeDurable).then(|| 1 + self.spread.holders(places))
    }

    /// What a peer has said, as it is remembered.
    pub(super) fn spoil_extents(&self, mut extents: Vec<Extent>) -> Vec<Extent> {
        if self.has(Bug::CountCopiesInMemory) {
            extents.iter_mut().for_each(|extent| extent.durable = extent.held);
        }
        extents
    }

    /// What a writer's clock says that has seen no other one.
    pub(super) fn spoil_clock(&self, written_at: Timestamp, now: Now) -> Timestamp {
        if self.has(Bug::OrderByWallClock) { now.wall } else { written_at }
    }

    /// What is due to be proposed, one outbox after the other.
    pub(super) fn spoil_due(&self, due: Vec<Order>, most: usize) -> Vec<Order> {
        if !self.has(Bug::ProposeByOutbox) {
            return due;
        }
        let mut all: Vec<Order> = self.unproposed.iter().copied().collect();
        all.sort_unstable_by_key(|(_, outbox, n)| (*outbox, *n));
        all.truncate(most);
        all
    }

    /// What was sent to the leader is its affair.
    pub(super) fn drop_what_was_sent(&mut self, to: NodeId, requests: Vec<(SessionId, Slot)>) {
        if self.has(Bug::DropOnceForwarded) && self.reach == Reach::Leader(to) {
            let applied = self.applied;
            requests.into_iter().for_each(|request| self.settle(request, applied));
        }
    }

    /// As what an entry is proposed.
    pub(crate) fn spoil_submission(&self, submission: Submission, order: &Order) -> Submission {
        match submission {
            Submission::Carried { session, first_unacked, command, written_at, .. } if self.has(Bug::CarryWithoutIdentity) => {
                let (_, outbox, n) = order;
                let key = u128::from(outbox.boot.0) << 64 | u128::from(outbox.node.0) << 32 | u128::from(*n);
                let identity = Identity::Key { key, stamp: written_at };
                Submission::Carried { session, identity, first_unacked, command, written_at }
            }
            other => other,
        }
    }
}
