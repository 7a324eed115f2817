//! Who should lead next. Rank changes timing only, never a vote: whoever is ranked first stands for election first, and every rule of safety is Raft's.
//!
//! Nodes measure the links to them ([`latency`]) and report to the leader, which ranks the voters ([`ranking`]), puts them in order by a [`policy`] and
//! commits that; a leader that is not well placed hands over, reluctantly ([`transfer`]). All of it is pure and in whole numbers.

pub mod latency;
pub mod policy;
pub mod ranking;
pub mod timing;
pub mod transfer;

pub use latency::{Latencies, Matrix, Ways};
pub use policy::{Policy, PolicyError, Succession, order_of, preference, slot_of};
pub use ranking::{Paths, Reason, central_order, quorum_latency, reasons};
pub use timing::SuccessionTiming;
pub use transfer::{Placement, View};

use crate::contract::Timing;
use crate::ids::NodeId;
use crate::time::Duration;
use alloc::vec::Vec;

/// The voters in the order in which they should lead, after `leader`; the leader itself comes last.
pub fn ring(voters: &[NodeId], leader: Option<NodeId>) -> Vec<NodeId> {
    let mut order = voters.to_vec();
    order.sort_unstable();
    if let Some(leader) = leader {
        let after = order.iter().take_while(|id| **id <= leader).count();
        order.rotate_left(after);
    }
    order
}

/// How long the voter with this place in the order ([`slot_of`]) stays silent after it last heard a leader: those in front of it come first, each by a
/// stagger.
pub fn patience(slot: usize, timing: &Timing, jitter: Duration) -> Duration {
    timing.detection + timing.stagger * slot as u32 + jitter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_begins_after_the_leader_and_ends_with_it() {
        let voters = [NodeId(3), NodeId(1), NodeId(5)];
        assert_eq!(ring(&voters, Some(NodeId(3))), [NodeId(5), NodeId(1), NodeId(3)]);
        assert_eq!(ring(&voters, Some(NodeId(4))), [NodeId(5), NodeId(1), NodeId(3)]);
        assert_eq!(ring(&voters, None), [NodeId(1), NodeId(3), NodeId(5)]);
    }

    #[test]
    fn each_one_in_line_waits_a_stagger_longer() {
        let timing = Timing::default();
        let order = ring(&[NodeId(1), NodeId(2), NodeId(3)], Some(NodeId(1)));
        let slot = |id| order.iter().position(|node| *node == NodeId(id)).unwrap_or(order.len());
        let wait = |id| patience(slot(id), &timing, Duration::ZERO);
        assert_eq!(wait(2), timing.detection);
        assert_eq!(wait(3), timing.detection + timing.stagger);
        assert_eq!(wait(9), timing.detection + timing.stagger * 3, "a stranger comes last");
    }
}
