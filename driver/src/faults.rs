//! What a demonstration does to a running node: it keeps the node from some of its peers, and lets its disk take longer.
//!
//! Nothing here exists for a node that was not started with [`crate::Setup::faults`]; what a peer or a client says never gets here.
//!
//! - A cut is silence and not a reset, as on a network that is cut: frames to and from the peer are dropped, connections stand until they are found dead, nobody is dialled or
//!   let in. Both directions, so it is enough that one of two nodes is told. What was dropped is lost: the protocol sends again what matters.
//! - A delay comes before each sync of the disk ([`crate::watched`]), on the thread that syncs, and is at most [`MAX_SYNC_DELAY`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tertulia_protocol::ids::NodeId;
use tokio::sync::Notify;

/// The longest that a sync is held back.
pub const MAX_SYNC_DELAY: Duration = Duration::from_secs(2);

/// Shared by whoever sets it and by what it is done to.
#[derive(Debug, Default)]
pub struct Faults {
    cut: Mutex<BTreeSet<NodeId>>,
    /// `cut` has something: a look at it costs nothing while it has not.
    is_any_cut: AtomicBool,
    healed: Notify,
    sync_delay_us: AtomicU64,
}

impl Faults {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<NodeId>> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this node hears and reaches all peers but these.
    pub fn set_cut(&self, peers: BTreeSet<NodeId>) {
        self.is_any_cut.store(!peers.is_empty(), Relaxed);
        *self.lock() = peers;
        self.healed.notify_waiters();
    }

    /// The peers that this node is kept from.
    pub fn cut(&self) -> BTreeSet<NodeId> {
        self.lock().clone()
    }

    pub fn is_cut(&self, peer: NodeId) -> bool {
        self.is_any_cut.load(Relaxed) && self.lock().contains(&peer)
    }

    /// Waits until this peer may be reached.
    pub(crate) async fn open_to(&self, peer: NodeId) {
        loop {
            let healed = self.healed.notified();
            tokio::pin!(healed);
            // From here on a change is not missed.
            healed.as_mut().enable();
            if !self.is_cut(peer) {
                return;
            }
            healed.await;
        }
    }

    /// Each sync waits so long first; more than [`MAX_SYNC_DELAY`] is that.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.sync_delay_us.store(delay.min(MAX_SYNC_DELAY).as_micros() as u64, Relaxed);
    }

    pub fn sync_delay(&self) -> Duration {
        Duration::from_micros(self.sync_delay_us.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_delay_is_bounded() {
        let faults = Faults::default();
        faults.set_sync_delay(Duration::from_secs(3_600));
        assert_eq!(faults.sync_delay(), MAX_SYNC_DELAY);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_cut_peer_goes_on_when_that_one_is_healed() {
        let faults = Arc::new(Faults::default());
        faults.open_to(NodeId(2)).await;
        faults.set_cut([NodeId(2), NodeId(3)].into());
        assert!(faults.is_cut(NodeId(2)) && !faults.is_cut(NodeId(4)));
        let waits = tokio::spawn({
            let faults = Arc::clone(&faults);
            async move { faults.open_to(NodeId(2)).await }
        });
        faults.set_cut([NodeId(2)].into());
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        faults.set_cut(BTreeSet::new());
        waits.await.unwrap();
    }
}
