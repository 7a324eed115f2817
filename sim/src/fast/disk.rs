//! One node's disk, in memory, with the outcomes that a crash can have on a real one.
//!
//! Two lanes, as in production, and the outbox beside the first of them (see `kept`). The log lane: a batch is written at once (every load sees it) and durable after a drawn sync, in order. The row lane:
//! written at once, durable at intervals, and never beyond the durable log. What a crash leaves is decided by [`Disk::crash`], after the machine is
//! gone: nothing that a machine does while it dies can reach the disk.
//!
//! A snapshot that is received stands beside the rows, and takes their place when its installation is done: a crash before that leaves the old rows, or by the
//! draw the new ones. Snapshots that are read are copies of the rows, a few at a time.

mod kept;
mod rot;
mod torn;

use crate::scenario::{Cluster, DiskFate, Span};
use bytes::Bytes;
use kept::Outbox;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use tertulia_protocol::contract::{
    APPLIED_KEY, AppliedRow, Batch, COLD, Damage, Loaded, Position, Query, Receive, Restored, RowBatch, SnapshotRows, Vote,
};
use tertulia_protocol::dice::{Purpose, Seed, below, draw};
use tertulia_protocol::ids::{BatchId, Boot, Incarnation, Index};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::wire::{Kind, open};

/// How often rows become durable.
const ROWS: Span = Span::millis(50, 400);

/// Snapshots that are held at once, and for how long after they were last read, as in production.
const MOST_PINS: usize = 2;
const PIN_FOR: u64 = 30_000_000;

/// Row batches that may wait to be moved.
const MANY: usize = 10_000;

#[derive(Clone)]
struct Pending {
    id: BatchId,
    batch: Batch,
    due: u64,
}

/// Entries after a place, dense.
#[derive(Clone, Default)]
struct Log {
    start: Position,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Pin {
    applied: AppliedRow,
    rows: BTreeMap<Bytes, Bytes>,
    used: u64,
}

#[derive(Clone)]
pub(super) struct Disk {
    seed: Seed,
    node: u64,
    /// How long one sync takes.
    pub sync: Span,
    /// What is written as a whole or not at all, in bytes.
    sector: Option<u32>,
    incarnation: Incarnation,
    /// What a crash cannot take.
    vote: Vote,
    durable: Log,
    durable_rows: BTreeMap<Bytes, Bytes>,
    /// The place of the durable rows when they came from a peer.
    base: Option<Position>,
    /// What loads see; of `rows` see [`Disk::catch_up`].
    written: Log,
    rows: BTreeMap<Bytes, Bytes>,
    /// Written and not synced.
    pending: VecDeque<Pending>,
    /// Not yet in `durable_rows`; those through `rows_through` are durable all the same, and moved there when it matters.
    pending_rows: VecDeque<(Index, RowBatch)>,
    /// Of so many of the newest `pending_rows` only the cold ones are in `rows`: the others are read rarely, and written over again and again.
    unseen: usize,
    rows_through: Index,
    next_rows: u64,
    row_commits: u64,
    outbox: Outbox,
    /// Of what was durable, as every start tells it.
    damage: Damage,
    pins: Vec<Pin>,
    received: Option<BTreeMap<Bytes, Bytes>>,
    /// Being put in use.
    installing: Option<Position>,
}

impl Disk {
    /// An empty data folder. `node` keys the draws.
    pub fn new(seed: Seed, node: u64, cluster: &Cluster) -> Disk {
        Disk::with(seed, node, cluster.sync, cluster.sector)
    }

    fn with(seed: Seed, node: u64, sync: Span, sector: Option<u32>) -> Disk {
        let half = |nth| u128::from(draw(seed, Purpose::Identity, node, 0, nth));
        Disk {
            seed,
            node,
            sync,
            sector,
            incarnation: Incarnation(half(0) << 64 | half(1)),
            vote: Vote::default(),
            durable: Log::default(),
            durable_rows: BTreeMap::new(),
            base: None,
            written: Log::default(),
            rows: BTreeMap::new(),
            pending: VecDeque::new(),
            pending_rows: VecDeque::new(),
            unseen: 0,
            rows_through: 0,
            next_rows: ROWS.from,
            row_commits: 0,
            outbox: Outbox::default(),
            damage: Damage::default(),
            pins: Vec::new(),
            received: None,
            installing: None,
        }
    }

    /// Draws come from here from now on.
    pub fn reseed(&mut self, seed: Seed) {
        self.seed = seed;
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Writes a batch; returns when it will be durable. `digest` names the batch for the draw.
    pub fn store(&mut self, now: u64, id: BatchId, batch: Batch, digest: u64) -> u64 {
        let takes = self.sync.pick(draw(self.seed, Purpose::DiskSync, self.node, digest, 0));
        let due = put_off(now + takes, &self.pending, &self.outbox);
        self.written.take(&batch);
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
        for (key, value) in batch.rows.iter().filter(|(key, _)| is_cold(key)) {
            put(&mut self.rows, key, value);
        }
        self.pending_rows.push_back((through, batch));
        self.unseen += 1;
        if now >= self.next_rows {
            self.row_commits += 1;
            self.next_rows = now + ROWS.pick(draw(self.seed, Purpose::DiskSync, self.node, 0, self.row_commits));
            self.commit_rows();
            if self.pending_rows.len() > MANY {
                self.catch_up();
                self.move_rows();
            }
        }
    }

    /// Puts all rows that were written where loads see them.
    fn catch_up(&mut self) {
        let seen = self.pending_rows.len() - std::mem::take(&mut self.unseen);
        for (_, batch) in self.pending_rows.range(seen..) {
            for (key, value) in batch.rows.iter().filter(|(key, _)| !is_cold(key)) {
                put(&mut self.rows, key, value);
            }
        }
    }

    /// Forgets entries through `through`, as far as the rows durably contain them.
    pub fn trim(&mut self, through: Index) {
        self.commit_rows();
        let through = through.min(self.rows_through.max(self.base.map_or(0, |base| base.index)));
        self.written.trim(through);
        self.durable.trim(through);
    }

    /// A step of receiving a snapshot; when its installation will be done.
    pub fn receive(&mut self, now: u64, step: Receive, digest: u64) -> Option<u64> {
        match step {
            Receive::Begin => self.received = Some(BTreeMap::new()),
            Receive::Abandon => self.received = None,
            Receive::Range { from, to, rows } => {
                let received = self.received.as_mut().expect("a snapshot is begun before its rows come");
                received.retain(|key, _| *key < from || to.as_ref().is_some_and(|to| key >= to));
                received.extend(rows);
            }
            Receive::Install { position } => {
                self.installing = Some(position);
                return Some(now + self.sync.pick(draw(self.seed, Purpose::DiskSync, self.node, digest, 0)));
            }
        }
        None
    }

    /// The received rows take the place of those in use, durably.
    pub fn install(&mut self) {
        let (Some(position), Some(rows)) = (self.installing.take(), self.received.take()) else { return };
        self.rows.clone_from(&rows);
        self.durable_rows = rows;
        self.base = Some(position);
        self.damage.rows = false;
        self.rows_through = position.index;
        (self.unseen, self.pending_rows) = (0, VecDeque::new());
        self.pins.clear();
    }

    fn read_snapshot(&mut self, now: u64, at: Option<Index>, from: &Bytes, to: Option<&Bytes>, max_bytes: u32) -> SnapshotRows {
        self.pins.retain(|pin| now - pin.used < PIN_FOR);
        let present = applied_in(&self.rows).unwrap_or_default();
        let held = |pins: &[Pin], index| pins.iter().position(|pin| pin.applied.position.index == index);
        let nth = at.and_then(|at| held(&self.pins, at)).or_else(|| held(&self.pins, present.position.index));
        let nth = nth.unwrap_or_else(|| {
            if self.pins.len() >= MOST_PINS {
                let oldest = (0..self.pins.len()).min_by_key(|nth| self.pins[*nth].used);
                self.pins.remove(oldest.unwrap_or_default());
            }
            self.pins.push(Pin { applied: present, rows: self.rows.clone(), used: now });
            self.pins.len() - 1
        });
        let pin = &mut self.pins[nth];
        pin.used = now;
        let (mut rows, mut next, mut bytes) = (Vec::new(), None, 0);
        for (key, value) in pin.rows.range(from.clone()..).take_while(|(key, _)| to.is_none_or(|to| *key < to)) {
            if bytes >= max_bytes as usize && !rows.is_empty() {
                next = Some(key.clone());
                break;
            }
            bytes += key.len() + value.len();
            rows.push((key.clone(), value.clone()));
        }
        SnapshotRows { applied: pin.applied, rows, next }
    }

    pub fn load(&mut self, now: u64, query: &Query) -> Loaded {
        let of_messages = matches!(query, Query::Log { .. }) || matches!(query, Query::Range { from, .. } if is_cold(from));
        if !of_messages {
            self.catch_up();
        }
        match query {
            Query::Log { from, through, max_bytes } => {
                let (start, end) = (self.written.start.index, self.written.entries.len());
                let place = |index: Index| (index.saturating_sub(start) as usize).min(end);
                let first = place(from.saturating_sub(1));
                let last = place(*through).max(first);
                let mut bytes = 0u64;
                let full = |entry: &&Entry| {
                    let before = bytes;
                    bytes += entry.payload.len() as u64;
                    before < u64::from(*max_bytes) || before == 0
                };
                Loaded::Entries(self.written.entries[first..last].iter().take_while(full).cloned().collect())
            }
            Query::Snapshot { at, from, to, max_bytes } => {
                Loaded::Snapshot(self.read_snapshot(now, *at, from, to.as_ref(), *max_bytes))
            }
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
        self.crash_outbox(fate, torn);
        self.move_rows();
        // The rename may have reached the disk before the crash.
        if fate != DiskFate::LoseUnsynced && below(draw(self.seed, Purpose::DiskTorn, self.node, torn, 1), 2) == 0 {
            self.install();
        }
        (self.installing, self.received) = (None, None);
        self.pins.clear();
        self.written.clone_from(&self.durable);
        self.rows.clone_from(&self.durable_rows);
        (self.unseen, self.pending_rows) = (0, VecDeque::new());
    }

    /// What the store finds at start.
    pub fn restore(&mut self, boot: Boot) -> Result<Restored, String> {
        let applied = applied_in(&self.durable_rows)?.position;
        if !self.damage.rows && self.durable.at(applied.index) != Some(applied) {
            if self.base != Some(applied) {
                let last = self.durable.last();
                return Err(format!("rows through {applied:?} stand on a log that ends at {last:?}"));
            }
            // The log is from before the snapshot was installed.
            self.durable = Log { start: applied, entries: Vec::new() };
            self.written.clone_from(&self.durable);
        }
        let (below, above) = self.durable.entries.split_at(applied.index.saturating_sub(self.durable.start.index) as usize);
        let rows = self.durable_rows.iter().filter(|(key, _)| !is_cold(key));
        Ok(Restored {
            vote: self.vote,
            applied,
            start: self.durable.start,
            bytes: below.iter().map(|entry| entry.payload.len() as u64).sum(),
            damage: self.damage,
            log: above.to_vec(),
            rows: rows.map(|(key, value)| (key.clone(), value.clone())).collect(),
            kept: self.outbox.durable.clone(),
            incarnation: self.incarnation,
            boot,
        })
    }

    /// A prefix of what was on its way, in the order in which it was written: reset, vote, entries, vote, …
    fn tear(&mut self, pending: VecDeque<Pending>, torn: u64) {
        let parts =
            |batch: &Batch| u64::from(batch.reset.is_some()) + u64::from(batch.vote.is_some()) + batch.entries.len() as u64;
        let total: u64 = pending.iter().map(|pending| parts(&pending.batch)).sum();
        let what = draw(self.seed, Purpose::DiskTorn, self.node, torn, 0);
        let mut left = match self.sector {
            None => below(what, total + 1) as usize,
            Some(sector) => self.whole_records(&pending, torn, sector),
        };
        for Pending { mut batch, .. } in pending {
            if left == 0 {
                break;
            }
            left -= usize::from(batch.reset.is_some());
            if left == 0 {
                batch.vote = None;
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
        self.durable.take(&batch);
    }

    /// Everything that the durable log covers becomes durable.
    fn commit_rows(&mut self) {
        let end = self.durable.last().index;
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

impl Log {
    fn last(&self) -> Position {
        self.entries.last().map_or(self.start, Entry::position)
    }

    fn at(&self, index: Index) -> Option<Position> {
        match index.checked_sub(self.start.index)? {
            0 => Some(self.start),
            nth => self.entries.get(nth as usize - 1).map(Entry::position),
        }
    }

    /// The first entry replaces everything from its place on.
    fn take(&mut self, batch: &Batch) {
        if let Some(reset) = batch.reset {
            *self = Log { start: reset, entries: Vec::new() };
        }
        let Some(first) = batch.entries.first() else { return };
        let keep = (first.index - 1).checked_sub(self.start.index).filter(|keep| *keep <= self.entries.len() as u64);
        let keep = keep.unwrap_or_else(|| panic!("a batch from index {} leaves a gap after {:?}", first.index, self.last()));
        self.entries.truncate(keep as usize);
        self.entries.extend_from_slice(&batch.entries);
    }

    fn trim(&mut self, through: Index) {
        if let Some(start) = self.at(through) {
            self.entries.drain(..(through - self.start.index) as usize);
            self.start = start;
        }
    }
}

/// A sync that would end at `due` ends no sooner than those that were begun before it.
fn put_off(due: u64, pending: &VecDeque<Pending>, outbox: &Outbox) -> u64 {
    due.max(pending.back().map_or(0, |last| last.due)).max(outbox.busy_until())
}

fn is_cold(key: &[u8]) -> bool {
    key.first().is_some_and(|first| *first >= COLD)
}

/// Through where rows have come.
fn applied_in(rows: &BTreeMap<Bytes, Bytes>) -> Result<AppliedRow, String> {
    match rows.get(APPLIED_KEY) {
        Some(row) => open(Kind::Applied, row).map_err(|error| format!("the applied row: {error}")),
        None => Ok(AppliedRow::default()),
    }
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
        Disk::with(Seed(1), 1, Span::millis(1, 4), None)
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
        let loaded = disk.load(0, &Query::Log { from: 2, through: 9, max_bytes: 15 });
        assert_eq!(loaded, Loaded::Entries(log(1..=4)[1..3].to_vec()));
    }

    /// A disk with ten entries, rows through the tenth, and the log trimmed through the eighth.
    fn trimmed() -> (Disk, Vec<Entry>) {
        let (mut disk, entries) = (disk(), log(1..=10));
        let due = disk.store(1_000_000, BatchId(1), batch(entries.clone()), 7);
        disk.synced(due);
        disk.apply(due, 10, row(&entries[9]));
        disk.trim(8);
        (disk, entries)
    }

    #[test]
    fn a_trimmed_log_begins_later_and_goes_on() {
        let (mut disk, entries) = trimmed();
        disk.crash(DiskFate::LoseUnsynced, 0);
        let restored = disk.restore(Boot(2)).unwrap();
        assert_eq!((restored.start, restored.applied, restored.bytes), (entries[7].position(), entries[9].position(), 20));
        let loaded = disk.load(0, &Query::Log { from: 9, through: 10, max_bytes: 99 });
        assert_eq!(loaded, Loaded::Entries(entries[8..].to_vec()));
        disk.store(0, BatchId(1), batch(log(1..=11)[10..].to_vec()), 8);
        assert_eq!(
            disk.load(0, &Query::Log { from: 11, through: 11, max_bytes: 99 }),
            Loaded::Entries(log(1..=11)[10..].to_vec())
        );
    }

    #[test]
    fn a_crash_while_a_snapshot_is_put_in_use_leaves_the_old_rows_or_the_new_ones() {
        let (mut old, mut new) = (0, 0);
        for torn in 0..32 {
            let (mut disk, entries) = trimmed();
            let there = Position { index: 20, term: 3, chain: 5 };
            let applied = AppliedRow { position: there, ..AppliedRow::default() };
            let rows = vec![(Bytes::from_static(APPLIED_KEY), seal(Kind::Applied, &applied))];
            assert_eq!(disk.receive(0, Receive::Begin, 0), None);
            assert_eq!(disk.receive(0, Receive::Range { from: Bytes::new(), to: None, rows }, 0), None);
            disk.receive(0, Receive::Install { position: there }, 1).unwrap();
            if torn == 0 {
                disk.install();
            }
            disk.crash(if torn % 2 == 0 { DiskFate::Torn } else { DiskFate::LoseUnsynced }, torn);
            let restored = disk.restore(Boot(2)).unwrap();
            if restored.applied == there {
                assert_eq!((restored.start, restored.log.len(), torn % 2), (there, 0, 0));
                new += 1;
            } else {
                assert_eq!((restored.applied, restored.start, torn > 0), (entries[9].position(), entries[7].position(), true));
                old += 1;
            }
        }
        assert!(old > 16 && new > 4, "{old} {new}");
    }

    #[test]
    fn a_snapshot_is_read_in_parts_of_one_state() {
        let (mut disk, entries) = trimmed();
        let put = |nth: u8, value: &'static [u8]| (Bytes::from(vec![0x90, nth]), Some(Bytes::from_static(value)));
        disk.apply(0, 10, RowBatch { rows: vec![put(1, b"a"), put(2, b"b"), put(3, b"c")] });
        let ask = |at, from: &[u8]| Query::Snapshot { at, from: Bytes::copy_from_slice(from), to: None, max_bytes: 4 };
        let Loaded::Snapshot(first) = disk.load(0, &ask(None, &[0x90])) else { panic!("a snapshot") };
        disk.apply(0, 11, RowBatch { rows: vec![row(&log(1..=11)[10]).rows.remove(0), put(3, b"changed")] });
        let Loaded::Snapshot(rest) = disk.load(0, &ask(Some(10), &first.next.clone().unwrap())) else { panic!("a snapshot") };
        assert_eq!(
            (first.rows.len(), rest.rows, rest.next),
            (2, vec![(Bytes::from(vec![0x90, 3]), Bytes::from_static(b"c"))], None)
        );
        assert_eq!((first.applied.position, rest.applied.position), (entries[9].position(), entries[9].position()));
        let Loaded::Snapshot(late) = disk.load(PIN_FOR, &ask(Some(10), &[0x90, 3])) else { panic!("a snapshot") };
        assert_eq!((late.applied.position.index, late.rows.len()), (11, 1));
    }
}
