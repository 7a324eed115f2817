//! What a node remembers of its last entries: the hash of the state after each, and which rows each wrote.
//!
//! - Remembering costs one copy of the rows' keys and digests an entry; the digests are those that the state's hash is made of anyhow.
//! - Bounded three ways: so many entries, so many bytes of rows (those of older entries go first, their hashes stay), so many checkpoints behind that.

use super::RowChange;
use crate::contract::StateHash;
use crate::ids::Index;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of the rows' keys and digests that are remembered.
const MOST_BYTES: usize = 512 << 10;
/// Checkpoints that are remembered beyond the window, for peers that are far behind.
const MOST_CHECKPOINTS: usize = 64;
/// Of one change in the log of changes: flags, the key's length, both digests. The key follows.
const HEAD: usize = 1 + 2 + 8 + 8;
const HAD: u8 = 1;
const HAS: u8 = 2;

/// Adds one change of a row to a log of changes.
pub(in crate::replica) fn note(changes: &mut Vec<u8>, key: &[u8], old: Option<u64>, new: Option<u64>) {
    let mut head = [0; HEAD];
    head[0] = if old.is_some() { HAD } else { 0 } | if new.is_some() { HAS } else { 0 };
    // A key is far shorter; of one that is not, the beginning has to do.
    let key = &key[..key.len().min(usize::from(u16::MAX))];
    head[1..3].copy_from_slice(&(key.len() as u16).to_le_bytes());
    head[3..11].copy_from_slice(&old.unwrap_or(0).to_le_bytes());
    head[11..].copy_from_slice(&new.unwrap_or(0).to_le_bytes());
    changes.extend_from_slice(&head);
    changes.extend_from_slice(key);
}

/// The changes in such a log, each row once: from what it held before the first to what it holds after the last.
fn read(changes: &[u8]) -> BTreeMap<Bytes, RowChange> {
    let mut rows = BTreeMap::new();
    let mut rest = changes;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let digest = |flag: u8, at: usize| {
            let bytes = head[at..at + 8].try_into().unwrap_or_default();
            (head[0] & flag != 0).then_some(u64::from_le_bytes(bytes))
        };
        let (key, next) = after.split_at(usize::from(u16::from_le_bytes([head[1], head[2]])).min(after.len()));
        let (old, new) = (digest(HAD, 3), digest(HAS, 11));
        let change = rows.entry(Bytes::copy_from_slice(key)).or_insert(RowChange { old, new });
        change.new = new;
        rest = next;
    }
    rows
}

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Window {
    most: usize,
    /// The place before the oldest entry that is remembered, and the state's hash there.
    base: (Index, StateHash),
    /// By entry after `base`: the hash after it, and where its changes begin, counted over all changes ever.
    entries: VecDeque<(StateHash, u64)>,
    /// The changes of the entries from `rows_from` on, one behind the other.
    changes: VecDeque<u8>,
    /// Where `changes` begins, counted over all changes ever.
    gone: u64,
    rows_from: Index,
    /// Ascending.
    checkpoints: VecDeque<(Index, StateHash)>,
}

impl Window {
    pub(super) fn new(most: u32, at: Index, hash: StateHash) -> Window {
        Window {
            most: most.max(1) as usize,
            base: (at, hash),
            entries: VecDeque::new(),
            changes: VecDeque::new(),
            gone: 0,
            rows_from: at + 1,
            checkpoints: VecDeque::new(),
        }
    }

    /// The state is another one from here on: nothing of what was counts.
    pub(super) fn restart(&mut self, at: Index, hash: StateHash) {
        *self = Window::new(self.most as u32, at, hash);
    }

    /// The place that the state has come to.
    pub(super) fn last(&self) -> Index {
        self.base.0 + self.entries.len() as u64
    }

    /// The first place whose hash is remembered, but for checkpoints.
    pub(super) fn first(&self) -> Index {
        self.base.0
    }

    /// The entry after [`Window::last`] was applied.
    pub(super) fn push(&mut self, hash: StateHash, changes: &[u8]) {
        if self.entries.len() >= self.most
            && let Some((oldest, _)) = self.entries.pop_front()
        {
            self.base = (self.base.0 + 1, oldest);
            self.forget_rows(self.base.0 + 1);
        }
        self.entries.push_back((hash, self.gone + self.changes.len() as u64));
        self.changes.extend(changes);
        while self.changes.len() > MOST_BYTES && self.rows_from <= self.last() {
            self.forget_rows(self.rows_from + 1);
        }
    }

    /// Forgets the rows of the entries before this one.
    fn forget_rows(&mut self, from: Index) {
        if from > self.rows_from {
            self.rows_from = from;
            let end = self.gone + self.changes.len() as u64;
            let keep = self.entry(from).map_or(end, |(_, begins)| begins);
            self.changes.drain(..(keep - self.gone) as usize);
            self.gone = keep;
        }
    }

    fn entry(&self, index: Index) -> Option<(StateHash, u64)> {
        self.entries.get(usize::try_from(index.checked_sub(self.base.0 + 1)?).ok()?).copied()
    }

    /// Keeps the hash at the present place beyond the window.
    pub(super) fn keep_checkpoint(&mut self) {
        let last = self.last();
        if let Some(hash) = self.hash_at(last) {
            self.checkpoints.push_back((last, hash));
        }
        if self.checkpoints.len() > MOST_CHECKPOINTS {
            self.checkpoints.pop_front();
        }
    }

    /// The state's hash after this entry, if it is remembered.
    pub(super) fn hash_at(&self, index: Index) -> Option<StateHash> {
        if index == self.base.0 {
            return Some(self.base.1);
        }
        if index > self.base.0 {
            return self.entry(index).map(|(hash, _)| hash);
        }
        let nth = self.checkpoints.binary_search_by_key(&index, |(at, _)| *at).ok()?;
        self.checkpoints.get(nth).map(|(_, hash)| *hash)
    }

    /// The hashes of all places in this range that the window holds: the first such place, and they in order.
    pub(super) fn hashes(&self, from: Index, through: Index) -> (Index, Vec<StateHash>) {
        let from = from.max(self.base.0);
        let through = through.min(self.last());
        (from, (from..=through).filter_map(|index| self.hash_at(index)).collect())
    }

    /// The rows that an entry changed, if they are remembered.
    pub(super) fn rows_at(&self, index: Index) -> Option<BTreeMap<Bytes, RowChange>> {
        if index < self.rows_from {
            return None;
        }
        let (_, begins) = self.entry(index)?;
        let ends = self.entry(index + 1).map_or(self.gone + self.changes.len() as u64, |(_, begins)| begins);
        let range = (begins - self.gone) as usize..(ends - self.gone) as usize;
        Some(read(&self.changes.range(range).copied().collect::<Vec<u8>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(rows: &[(&[u8], Option<u64>, Option<u64>)]) -> Vec<u8> {
        let mut changes = Vec::new();
        for (key, old, new) in rows {
            note(&mut changes, key, *old, *new);
        }
        changes
    }

    fn hash(index: Index) -> StateHash {
        StateHash(index * 1_000)
    }

    fn window(most: u32, through: Index) -> Window {
        let mut window = Window::new(most, 10, hash(10));
        for index in 11..=through {
            window.push(hash(index), &changes(&[(&[1, index as u8], None, Some(index))]));
        }
        window
    }

    #[test]
    fn the_last_entries_are_remembered_with_the_place_before_them() {
        let window = window(4, 20);
        assert_eq!((window.first(), window.last()), (16, 20));
        for index in 0..30 {
            assert_eq!(window.hash_at(index), (16..=20).contains(&index).then(|| hash(index)), "{index}");
            let rows = window.rows_at(index).map(|rows| rows.into_iter().collect::<Vec<_>>());
            let row = (Bytes::copy_from_slice(&[1, index as u8]), RowChange { old: None, new: Some(index) });
            assert_eq!(rows, (17..=20).contains(&index).then(|| Vec::from([row])), "{index}");
        }
        assert_eq!(window.hashes(0, 18), (16, Vec::from([hash(16), hash(17), hash(18)])));
        assert_eq!(window.hashes(30, 40).1, []);
    }

    #[test]
    fn a_row_that_is_written_twice_changed_once() {
        let mut window = window(4, 11);
        let twice = changes(&[(b"a", Some(1), Some(2)), (b"b", None, Some(7)), (b"a", Some(2), None)]);
        window.push(hash(12), &twice);
        let expected = [
            (Bytes::from_static(b"a"), RowChange { old: Some(1), new: None }),
            (Bytes::from_static(b"b"), RowChange { old: None, new: Some(7) }),
        ];
        assert_eq!(window.rows_at(12), Some(BTreeMap::from(expected)));
    }

    #[test]
    fn rows_beyond_the_bound_in_bytes_go_and_their_hashes_stay() {
        let mut window = Window::new(1_000, 0, hash(0));
        let long = [7; 60_000];
        for index in 1..=20 {
            window.push(hash(index), &changes(&[(&long, None, Some(index))]));
        }
        assert!(window.changes.len() <= MOST_BYTES);
        assert_eq!((window.rows_at(1), window.hash_at(1)), (None, Some(hash(1))));
        assert_eq!(window.rows_at(20).unwrap().values().next().unwrap().new, Some(20));
        // One entry alone that is too much is not remembered; the next one is.
        let huge: Vec<u8> = (0..20).flat_map(|_| changes(&[(&long, None, None)])).collect();
        window.push(hash(21), &huge);
        assert_eq!((window.rows_at(21), window.changes.len()), (None, 0));
        window.push(hash(22), &changes(&[(b"a", None, None)]));
        assert_eq!(window.rows_at(22).map(|rows| rows.len()), Some(1));
    }

    #[test]
    fn checkpoints_reach_further_back_and_are_bounded_too() {
        let mut window = Window::new(4, 0, hash(0));
        for index in 1..=1_000 {
            window.push(hash(index), &[]);
            if index % 10 == 0 {
                window.keep_checkpoint();
            }
        }
        assert_eq!([350, 360, 370, 371, 1_000].map(|at| window.hash_at(at).is_some()), [false, false, true, false, true]);
        window.restart(2_000, hash(5));
        assert_eq!((window.hash_at(370), window.hash_at(2_000), window.rows_at(2_000)), (None, Some(hash(5)), None));
    }
}
