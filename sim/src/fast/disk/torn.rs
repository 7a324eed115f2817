//! What a crash leaves of unsynced writes on a disk that writes sectors, each as a whole or not at all.
//!
//! The log's records lie behind each other, without regard to sectors. A record is there if all of its sectors are; the store's recovery takes records up
//! to the first that is not, since everything behind it was not synced either. So what comes back is a prefix of records here too, but which one follows
//! from sectors: from a drawn number of first ones when the cache was written out in order, or else from each of them by lot, as real disks do it.

use super::{Disk, Pending};
use std::collections::VecDeque;
use tertulia_protocol::contract::Batch;
use tertulia_protocol::dice::{Purpose, below, draw};

/// About what the log's own head of a record takes, in bytes.
const HEAD: u64 = 32;

impl Disk {
    /// How many of the unsynced parts (see [`Disk::tear`]) are there as a whole, from the first on.
    pub(super) fn whole_records(&self, pending: &VecDeque<Pending>, torn: u64, sector: u32) -> usize {
        let drawn = |what: u64| draw(self.seed, Purpose::DiskTorn, self.node, torn, what);
        // The first unsynced record begins somewhere in a sector; what lies before it there is written again as it was.
        let mut end = below(drawn(2), u64::from(sector));
        let ends: Vec<u64> = pending
            .iter()
            .flat_map(|pending| sizes(&pending.batch))
            .map(|bytes| {
                end += bytes;
                end
            })
            .collect();
        let sectors = end.div_ceil(u64::from(sector));
        let in_order = below(drawn(3), 2) == 0;
        let kept = below(drawn(4), sectors + 1);
        let is_there = |nth: u64| if in_order { nth < kept } else { below(drawn(16 + nth), 4) > 0 };
        let whole = (0..sectors).take_while(|nth| is_there(*nth)).count() as u64 * u64::from(sector);
        ends.iter().take_while(|end| **end <= whole).count()
    }
}

/// Bytes of a batch's parts, in the order in which they are written.
fn sizes(batch: &Batch) -> impl Iterator<Item = u64> + '_ {
    let small = usize::from(batch.reset.is_some()) + usize::from(batch.vote.is_some());
    std::iter::repeat_n(HEAD, small).chain(batch.entries.iter().map(|entry| HEAD + entry.payload.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{batch, log};
    use crate::fast::disk::Disk;
    use crate::scenario::{DiskFate, Span};
    use tertulia_protocol::dice::Seed;
    use tertulia_protocol::ids::{BatchId, Boot};

    #[test]
    fn records_within_one_sector_are_there_together_or_not_at_all() {
        let left = |sector: u32, torn: u64| {
            let mut disk = Disk::with(Seed(1), 1, Span::millis(1, 4), Some(sector));
            disk.store(0, BatchId(1), batch(log(1..=8)), 7);
            disk.crash(DiskFate::Torn, torn);
            disk.restore(Boot(2)).unwrap().log.len()
        };
        let counts = |sector| (0..200).map(|torn| left(sector, torn)).collect::<std::collections::BTreeSet<usize>>();
        assert_eq!(counts(512).len(), 9, "records of 42 bytes end anywhere in sectors of 512: {:?}", counts(512));
        let big = (0..200).map(|torn| left(65_536, torn)).filter(|left| (1..8).contains(left)).count();
        assert!(big <= 2, "only one that begins at the end of a sector is torn: {big}");
    }
}
