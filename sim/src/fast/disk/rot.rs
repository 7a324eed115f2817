//! What a disk loses beyond what a crash takes: bytes that were durable and are not as they were written, or the whole folder.
//!
//! Here rot is what the store makes of it at the next start, since there are no bytes to flip:
//! - a damaged entry above the rows is given up together with all after it; one that the rows contain takes the log before their place with it;
//! - damaged rows are given up, and built again from the log;
//! - a damaged record of the outbox is missing from it;
//! - one damaged slot of the vote leaves the log's own copy of it and the other slot: nothing is lost.

use super::Disk;
use crate::scenario::Rot;
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow};
use tertulia_protocol::dice::{Purpose, below, draw};
use tertulia_protocol::ids::{Incarnation, Index};
use tertulia_protocol::wire::{Kind, open};

impl Disk {
    /// Rots at a drawn place, after a crash. False when there is nothing that could.
    pub fn rot(&mut self, rot: Rot, drawn: u64) -> bool {
        match rot {
            Rot::Log => self.rot_log(drawn),
            Rot::Rows if self.durable_rows.is_empty() => false,
            Rot::Rows => {
                self.durable_rows.clear();
                self.rows.clear();
                self.rows_through = 0;
                // A log that was trimmed does not hold what they were built from.
                self.damage.rows = self.durable.start.index > 0;
                true
            }
            Rot::Vote => true,
            Rot::Outbox => self.rot_outbox(drawn),
        }
    }

    /// An entry above the durable rows if there is one: what lies below is not needed while the rows are whole, and the log begins after them.
    fn rot_log(&mut self, drawn: u64) -> bool {
        let applied = self.durable_rows.get(APPLIED_KEY).and_then(|row| open::<AppliedRow>(Kind::Applied, row).ok());
        let applied = applied.map(|applied| applied.position).unwrap_or_default();
        let from = applied.index.saturating_sub(self.durable.start.index) as usize;
        let above = self.durable.entries.len().saturating_sub(from);
        if self.durable.entries.is_empty() {
            return false;
        }
        if above == 0 {
            self.durable.start = applied;
            self.durable.entries.clear();
            self.written.clone_from(&self.durable);
            return true;
        }
        self.durable.entries.truncate(from + below(drawn, above as Index) as usize);
        self.written.clone_from(&self.durable);
        self.damage.log = true;
        true
    }

    /// An empty folder in the place of this one, the nth of this machine.
    pub fn wiped(&self, nth: u64) -> Disk {
        let half = |which| u128::from(draw(self.seed, Purpose::Identity, self.node, 16 + nth, which));
        Disk { incarnation: Incarnation(half(0) << 64 | half(1)), ..Disk::with(self.seed, self.node, self.sync, self.sector) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, disk, log, row};
    use super::*;
    use crate::scenario::DiskFate;
    use tertulia_protocol::contract::Position;
    use tertulia_protocol::ids::{BatchId, Boot};

    /// Four entries, rows through the second, all durable.
    fn filled() -> Disk {
        let (mut disk, entries) = (disk(), log(1..=4));
        let due = disk.store(1_000_000, BatchId(1), batch(entries.clone()), 7);
        disk.synced(due);
        disk.apply(2_000_000, 2, row(&entries[1]));
        disk.crash(DiskFate::LoseUnsynced, 0);
        disk
    }

    #[test]
    fn a_rotten_log_ends_above_the_rows_and_says_so() {
        for drawn in [0, u64::MAX / 2, u64::MAX] {
            let mut disk = filled();
            assert!(disk.rot(Rot::Log, drawn));
            let restored = disk.restore(Boot(2)).unwrap();
            assert!(restored.damage.log && restored.applied.index == 2 && restored.log.len() < 2);
            assert_eq!(restored.log, log(1..=4)[2..2 + restored.log.len()]);
        }
        let mut empty = disk();
        assert!(!empty.rot(Rot::Log, 5) && !empty.rot(Rot::Rows, 5));
    }

    #[test]
    fn rotten_rows_are_gone_and_the_log_is_whole() {
        let mut disk = filled();
        assert!(disk.rot(Rot::Rows, 3));
        let restored = disk.restore(Boot(2)).unwrap();
        assert_eq!((restored.applied, restored.rows.len(), restored.log), (Position::default(), 0, log(1..=4)));
        assert!(!restored.damage.log && !restored.damage.rows);
    }

    #[test]
    fn a_wiped_folder_is_empty_and_another_one() {
        let disk = filled();
        let (mut first, second) = (disk.wiped(1), disk.wiped(2));
        assert!(first.incarnation() != disk.incarnation() && first.incarnation() != second.incarnation());
        assert_eq!(first.restore(Boot(2)).unwrap().log.len(), 0);
    }
}
