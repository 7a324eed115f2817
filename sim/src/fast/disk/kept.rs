//! The outbox lane of a node's disk: a write is durable after a drawn sync, in order with the syncs of the log, which have the same thread in production.
//!
//! What a crash leaves of the writes under way is a prefix of their records; one that clears is there as a whole or not at all, since it is a new file with the
//! old one's name. Sectors are not told apart here, as they are for the log: the driver's own tests tear those.

use super::{Disk, put_off};
use crate::scenario::DiskFate;
use bytes::Bytes;
use std::collections::VecDeque;
use tertulia_protocol::contract::Keep;
use tertulia_protocol::dice::{Purpose, below, draw};

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Outbox {
    /// What a crash cannot take, oldest first.
    pub durable: Vec<Bytes>,
    pending: VecDeque<Pending>,
}

#[derive(Clone)]
struct Pending {
    id: u64,
    keep: Keep,
    due: u64,
}

impl Outbox {
    /// When the last write under way is durable; 0 without any.
    pub fn busy_until(&self) -> u64 {
        self.pending.back().map_or(0, |last| last.due)
    }
}

impl Disk {
    /// Writes to the outbox lane; returns when it will be durable. `digest` names the write for the draw.
    pub fn keep(&mut self, now: u64, id: u64, keep: Keep, digest: u64) -> u64 {
        let takes = self.sync.pick(draw(self.seed, Purpose::DiskSync, self.node, digest, 0));
        let due = put_off(now + takes, &self.pending, &self.outbox);
        self.outbox.pending.push_back(Pending { id, keep, due });
        due
    }

    /// Makes durable what is due of the outbox lane; the last write of it.
    pub fn kept(&mut self, now: u64) -> Option<u64> {
        let mut last = None;
        while let Some(pending) = self.outbox.pending.pop_front_if(|pending| pending.due <= now) {
            last = Some(pending.id);
            self.persist_kept(pending.keep);
        }
        last
    }

    fn persist_kept(&mut self, keep: Keep) {
        if keep.clear {
            self.outbox.durable.clear();
            self.damage.kept = false;
        }
        self.outbox.durable.extend(keep.records);
    }

    /// Decides what a crash leaves of the writes under way.
    pub(super) fn crash_outbox(&mut self, fate: DiskFate, torn: u64) {
        let pending = std::mem::take(&mut self.outbox.pending);
        let parts = |keep: &Keep| if keep.clear { 1 } else { keep.records.len() };
        let all: usize = pending.iter().map(|pending| parts(&pending.keep)).sum();
        let mut left = match fate {
            DiskFate::Keep | DiskFate::Any => all,
            DiskFate::LoseUnsynced | DiskFate::Wipe => 0,
            DiskFate::Torn => below(draw(self.seed, Purpose::DiskTorn, self.node, torn, 5), all as u64 + 1) as usize,
        };
        for Pending { mut keep, .. } in pending {
            let parts = parts(&keep);
            if !keep.clear {
                keep.records.truncate(left);
            } else if left == 0 {
                break;
            }
            self.persist_kept(keep);
            left = left.saturating_sub(parts);
        }
    }

    /// Rot takes a drawn record, and the store finds that it did. False when there is none.
    pub(super) fn rot_outbox(&mut self, drawn: u64) -> bool {
        if self.outbox.durable.is_empty() {
            return false;
        }
        self.outbox.durable.remove(below(drawn, self.outbox.durable.len() as u64) as usize);
        self.damage.kept = true;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, disk, log};
    use super::*;
    use crate::scenario::Rot;
    use std::collections::BTreeSet;
    use tertulia_protocol::contract::Damage;
    use tertulia_protocol::ids::{BatchId, Boot};

    fn records(nths: std::ops::Range<u8>) -> Vec<Bytes> {
        nths.map(|nth| Bytes::from(vec![nth; 10])).collect()
    }

    fn add(nths: std::ops::Range<u8>) -> Keep {
        Keep { clear: false, records: records(nths) }
    }

    fn anew(nths: std::ops::Range<u8>) -> Keep {
        Keep { clear: true, records: records(nths) }
    }

    /// Two records, durable.
    fn filled() -> Disk {
        let mut disk = disk();
        let due = disk.keep(0, 1, add(0..2), 7);
        assert_eq!((disk.kept(due - 1), disk.kept(due)), (None, Some(1)));
        disk
    }

    fn found(disk: &mut Disk, fate: DiskFate, torn: u64) -> Vec<Bytes> {
        disk.crash(fate, torn);
        let restored = disk.restore(Boot(2)).unwrap();
        assert_eq!(restored.damage, Damage::default());
        restored.kept
    }

    #[test]
    fn syncs_of_both_lanes_end_in_the_order_in_which_they_began() {
        for digest in 0..200 {
            let mut disk = disk();
            let first = disk.keep(0, 1, add(0..1), digest);
            let second = disk.store(1, BatchId(1), batch(log(1..=1)), digest + 1_000);
            let third = disk.keep(2, 2, anew(1..2), digest + 2_000);
            assert!(first <= second && second <= third, "{first} {second} {third}");
            assert_eq!((disk.kept(third), disk.synced(third)), (Some(2), Some(BatchId(1))));
        }
    }

    #[test]
    fn a_crash_takes_what_was_not_synced_and_nothing_else() {
        for (fate, expected) in [(DiskFate::Keep, 0..4), (DiskFate::LoseUnsynced, 0..2)] {
            let mut disk = filled();
            disk.keep(1_000_000, 2, add(2..4), 8);
            assert_eq!(found(&mut disk, fate, 3), records(expected));
        }
    }

    #[test]
    fn a_torn_crash_leaves_a_prefix_and_a_clearing_write_as_a_whole_or_not_at_all() {
        let mut seen = BTreeSet::new();
        for torn in 0..200 {
            let mut disk = filled();
            disk.keep(1_000_000, 2, add(2..4), 8);
            disk.keep(1_000_001, 3, anew(4..7), 9);
            disk.keep(1_000_002, 4, add(7..9), 10);
            seen.insert(found(&mut disk, DiskFate::Torn, torn));
        }
        let possible = [0..2, 0..3, 0..4, 4..7, 4..8, 4..9].map(records);
        assert_eq!(seen, possible.into_iter().collect());
    }

    #[test]
    fn a_wiped_folder_has_no_outbox() {
        assert!(filled().wiped(1).restore(Boot(2)).unwrap().kept.is_empty());
    }

    #[test]
    fn rot_takes_a_record_and_that_is_said_until_the_next_clearing() {
        let mut disk = filled();
        assert!(disk.rot(Rot::Outbox, u64::MAX));
        for boot in 2..4 {
            let restored = disk.restore(Boot(boot)).unwrap();
            assert_eq!((restored.kept, restored.damage), (records(0..1), Damage { kept: true, ..Damage::default() }));
            disk.crash(DiskFate::LoseUnsynced, 0);
        }
        let due = disk.keep(0, 1, anew(5..6), 9);
        disk.kept(due);
        assert_eq!(found(&mut disk, DiskFate::LoseUnsynced, 0), records(5..6));
        assert!(!super::super::tests::disk().rot(Rot::Outbox, 3), "there is nothing that could");
    }
}
