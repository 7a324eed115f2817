//! One node's disk, in memory, with the outcomes that a crash can have on a real one.
//!
//! Two lanes, as in production. The log lane: a batch is written at once (every load sees it) and durable after a drawn sync, in order. The row lane:
//! written at once, durable at intervals, and never beyond the durable log. What a crash leaves is decided by [`Disk::crash`], after the machine is
//! gone: nothing that a machine does while it dies can reach the disk.

mod rot;

use crate::scenario::{DiskFate, Span};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use tertulia_protocol::contract::{
    APPLIED_KEY, AppliedRow, Batch, COLD, Damage, Loaded, Position, Query, Restored, RowBatch, Vote,
};
use tertulia_protocol::dice::{Purpose, Seed, below, draw};
use tertulia_protocol::ids::{BatchId, Boot, Incarnation, Index};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::wire::{Kind, open};

/// How often rows become durable.
const ROWS: Span = Span::millis(50, 400);

/// Row batches that may wait to be moved.
const MANY: usize = 10_000;

struct Pending {
    id: BatchId,
    batch: Batch,
    due: u64,
}

pub(super) struct Disk {
    seed: Seed,
    node: u64,
    /// How long one sync takes.
    pub sync: Span,
    incarnation: Incarnation,
    /// What a crash cannot take.
    vote: Vote,
    durable: Vec<Entry>,
    durable_rows: BTreeMap<Bytes, Bytes>,
    /// What loads see.
    written: Vec<Entry>,
    rows: BTreeMap<Bytes, Bytes>,
    /// Written and not synced.
    pending: VecDeque<Pending>,
    /// Not yet in `durable_rows`; those through `rows_through` are durable all the same, and moved there when it matters.
    pending_rows: VecDeque<(Index, RowBatch)>,
    rows_through: Index,
    next_rows: u64,
    row_commits: u64,
    /// Of what was durable, as every start tells it.
    damage: Damage,
}

impl Disk {
    /// An empty data folder. `node` keys the draws.
    pub fn new(seed: Seed, node: u64, sync: Span) -> Disk {
        let half = |nth| u128::from(draw(seed, Purpose::Identity, node, 0, nth));
        Disk {
            seed,
            node,
            sync,
            incarnation: Incarnation(half(0) << 64 | half(1)),
            vote: Vote::default(),
            durable: Vec::new(),
            durable_rows: BTreeMap::new(),
            written: Vec::new(),
            rows: BTreeMap::new(),
            pending: VecDeque::new(),
            pending_rows: VecDeque::new(),
            rows_through: 0,
            next_rows: ROWS.from,
            row_commits: 0,
            damage: Damage::default(),
        }
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Writes a batch; returns when it will be durable. `digest` names the batch for the draw.
    pub fn store(&mut self, now: u64, id: BatchId, batch: Batch, digest: u64) -> u64 {
        let takes = self.sync.pick(draw(self.seed, Purpose::DiskSync, self.node, digest, 0));
        let due = (now + takes).max(self.pending.back().map_or(0, |last| last.due));
        append(&mut self.written, &batch.entries);
        self.pending.push_back(Pending { id, batch, due });
        due
    }

    /// Makes durable what is due; the last batch of it.
    pub fn synced(&mut self, now: u64) -> Option<BatchId> {
        let mut last = None;
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.due <= now) {
            last = Some(pending.id);
            self.persist(pending.batch);
        }
        last
    }

    /// Writes rows; now and then makes durable what the durable log covers.
    pub fn apply(&mut self, now: u64, through: Index, batch: RowBatch) {
        for (key, value) in &batch.rows {
            put(&mut self.rows, key, value);
        }
        self.pending_rows.push_back((through, batch));
        if now >= self.next_rows {
            self.row_commits += 1;
            self.next_rows = now + ROWS.pick(draw(self.seed, Purpose::DiskSync, self.node, 0, self.row_commits));
            self.commit_rows();
            if self.pending_rows.len() > MANY {
                self.move_rows();
            }
        }
    }

    pub fn load(&self, query: &Query) -> Loaded {
        match query {
            Query::Log { from, through, max_bytes } => {
                let first = (from.saturating_sub(1) as usize).min(self.written.len());
                let last = (*through as usize).clamp(first, self.written.len());
                let mut bytes = 0u64;
                let full = |entry: &&Entry| {
                    let before = bytes;
                    bytes += entry.payload.len() as u64;
                    before < u64::from(*max_bytes) || before == 0
                };
                Loaded::Entries(self.written[first..last].iter().take_while(full).cloned().collect())
            }
            Query::Snapshot { .. } => Loaded::Rows(Vec::new()),
            Query::Range { from, to, limit, backwards } => {
                if from >= to {
                    return Loaded::Rows(Vec::new());
                }
                let range = self.rows.range::<Bytes, _>((Bound::Included(from), Bound::Excluded(to)));
                let pair = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
                let limit = *limit as usize;
                Loaded::Rows(match backwards {
                    false => range.take(limit).map(pair).collect(),
                    true => range.rev().take(limit).map(pair).collect(),
                })
            }
            Query::Keys { keys } => {
                let row = |key: &Bytes| self.rows.get(key).map(|value| (key.clone(), value.clone()));
                Loaded::Rows(keys.iter().filter_map(row).collect())
            }
        }
    }

    /// Decides what a crash leaves. The machine must be gone.
    pub fn crash(&mut self, fate: DiskFate, torn: u64) {
        let pending = std::mem::take(&mut self.pending);
        match fate {
            DiskFate::Keep | DiskFate::Any => {
                pending.into_iter().for_each(|pending| self.persist(pending.batch));
                self.commit_rows();
            }
            DiskFate::LoseUnsynced | DiskFate::Wipe => {}
            DiskFate::Torn => self.tear(pending, torn),
        }
        self.move_rows();
        self.written.clone_from(&self.durable);
        self.rows.clone_from(&self.durable_rows);
        self.pending_rows.clear();
    }

    /// What the store finds at start.
    pub fn restore(&self, boot: Boot) -> Result<Restored, String> {
        let applied = match self.durable_rows.get(APPLIED_KEY) {
            Some(row) => open::<AppliedRow>(Kind::Applied, row).map_err(|error| format!("the applied row: {error}"))?.position,
            None => Position::default(),
        };
        let above = applied.index as usize;
        if above > self.durable.len() || (above > 0 && self.durable[above - 1].position() != applied) {
            return Err(format!(
                "rows through {applied:?} stand on a log that ends at {:?}",
                self.durable.last().map(Entry::position)
            ));
        }
        let rows = self.durable_rows.iter().filter(|(key, _)| key.first().is_none_or(|first| *first < COLD));
        Ok(Restored {
            vote: self.vote,
            applied,
            start: Position::default(),
            bytes: 0,
            damage: self.damage,
            log: self.durable[above..].to_vec(),
            rows: rows.map(|(key, value)| (key.clone(), value.clone())).collect(),
            incarnation: self.incarnation,
            boot,
        })
    }

    /// A prefix of what was on its way, in the order in which it was written: vote, entries, vote, …
    fn tear(&mut self, pending: VecDeque<Pending>, torn: u64) {
        let parts = |batch: &Batch| u64::from(batch.vote.is_some()) + batch.entries.len() as u64;
        let total: u64 = pending.iter().map(|pending| parts(&pending.batch)).sum();
        let what = draw(self.seed, Purpose::DiskTorn, self.node, torn, 0);
        let mut left = below(what, total + 1) as usize;
        for Pending { mut batch, .. } in pending {
            if left == 0 {
                break;
            }
            left -= usize::from(batch.vote.is_some());
            batch.entries.truncate(left);
            left -= batch.entries.len();
            self.persist(batch);
        }
    }

    fn persist(&mut self, batch: Batch) {
        self.damage.log &= !batch.repaired;
        if let Some(vote) = batch.vote {
            self.vote = vote;
        }
        append(&mut self.durable, &batch.entries);
    }

    /// Everything that the durable log covers becomes durable.
    fn commit_rows(&mut self) {
        let end = self.durable.len() as Index;
        let covered = self.pending_rows.partition_point(|(through, _)| *through <= end);
        if let Some((through, _)) = covered.checked_sub(1).and_then(|last| self.pending_rows.get(last)) {
            self.rows_through = *through;
        }
    }

    fn move_rows(&mut self) {
        while let Some((_, batch)) = self.pending_rows.pop_front_if(|(through, _)| *through <= self.rows_through) {
            for (key, value) in &batch.rows {
                put(&mut self.durable_rows, key, value);
            }
        }
    }
}

/// The first entry replaces everything from its place on.
fn append(log: &mut Vec<Entry>, entries: &[Entry]) {
    let Some(first) = entries.first() else { return };
    let keep = first.index as usize - 1;
    assert!(keep <= log.len(), "a batch from index {} leaves a gap after {}", first.index, log.len());
    log.truncate(keep);
    log.extend_from_slice(entries);
}

fn put(rows: &mut BTreeMap<Bytes, Bytes>, key: &Bytes, value: &Option<Bytes>) {
    match value {
        Some(value) => drop(rows.insert(key.clone(), value.clone())),
        None => drop(rows.remove(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::ids::NodeId;
    use tertulia_protocol::time::Timestamp;
    use tertulia_protocol::wire::seal;

    pub(super) fn log(places: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let mut last = Position { index: places.start() - 1, ..Position::default() };
        let entry = |index: u64| {
            let entry = Entry::after(last, 1, Timestamp(index), Bytes::from(vec![index as u8; 10]));
            last = entry.position();
            entry
        };
        places.map(entry).collect()
    }

    pub(super) fn disk() -> Disk {
        Disk::new(Seed(1), 1, Span::millis(1, 4))
    }

    pub(super) fn batch(entries: Vec<Entry>) -> Batch {
        Batch { reset: None, repaired: false, vote: None, entries }
    }

    pub(super) fn row(through: &Entry) -> RowBatch {
        let applied = AppliedRow { position: through.position(), ..AppliedRow::default() };
        RowBatch { rows: vec![(Bytes::from_static(APPLIED_KEY), Some(seal(Kind::Applied, &applied)))] }
    }

    #[test]
    fn a_crash_takes_what_was_not_synced() {
        let mut disk = disk();
        let due = disk.store(0, BatchId(1), batch(log(1..=2)), 7);
        assert_eq!(disk.synced(due), Some(BatchId(1)));
        disk.store(due, BatchId(2), batch(log(3..=4)), 8);
        disk.crash(DiskFate::LoseUnsynced, 0);
        assert_eq!(disk.restore(Boot(2)).unwrap().log, log(1..=2));
    }

    #[test]
    fn a_torn_batch_leaves_a_prefix_and_its_vote_comes_first() {
        let vote = Some(Vote { term: 3, voted_for: Some(NodeId(2)) });
        let mut seen = [false; 4];
        for torn in 0..64 {
            let mut disk = disk();
            disk.store(0, BatchId(1), Batch { reset: None, repaired: false, vote, entries: log(1..=2) }, 7);
            disk.crash(DiskFate::Torn, torn);
            let restored = disk.restore(Boot(2)).unwrap();
            assert_eq!(restored.log, log(1..=2)[..restored.log.len()]);
            assert!(restored.log.is_empty() || restored.vote.term == 3);
            seen[usize::from(restored.vote.term == 3) + restored.log.len()] = true;
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn rows_never_stand_on_a_log_that_is_not_durable() {
        let mut disk = disk();
        let entries = log(1..=2);
        disk.store(1_000_000, BatchId(1), batch(entries.clone()), 7);
        disk.apply(1_000_001, 2, row(&entries[1]));
        disk.crash(DiskFate::LoseUnsynced, 0);
        assert_eq!(disk.restore(Boot(2)).unwrap().applied, Position::default());
        let due = disk.store(2_000_000, BatchId(2), batch(entries.clone()), 8);
        disk.synced(due);
        disk.apply(3_000_000, 2, row(&entries[1]));
        disk.crash(DiskFate::LoseUnsynced, 0);
        let restored = disk.restore(Boot(3)).unwrap();
        assert_eq!((restored.applied, restored.log.len()), (entries[1].position(), 0));
    }

    #[test]
    fn loads_see_what_was_written() {
        let mut disk = disk();
        disk.store(0, BatchId(1), batch(log(1..=4)), 7);
        let loaded = disk.load(&Query::Log { from: 2, through: 9, max_bytes: 15 });
        assert_eq!(loaded, Loaded::Entries(log(1..=4)[1..3].to_vec()));
    }
}
