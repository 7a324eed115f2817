//! The log in memory: a tail of what is on disk, and what is not there yet.
//!
//! Invariant: `start` is a committed, durable place (or the beginning), and entries are dense from `start.index + 1`, each following the one before it.

use super::message::Entry;
use crate::contract::Position;
use crate::ids::*;
use crate::time::Timestamp;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

#[derive(Clone, Debug, Hash)]
pub(super) struct Log {
    start: Position,
    start_at: Timestamp,
    entries: VecDeque<Entry>,
    bytes: usize,
}

/// What an entry counts for in byte budgets, beside its payload.
const OVERHEAD: usize = 32;

pub(super) fn cost(entry: &Entry) -> usize {
    OVERHEAD + entry.payload.len()
}

impl Log {
    pub(super) fn new(start: Position, start_at: Timestamp) -> Log {
        Log { start, start_at, entries: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn start(&self) -> Position {
        self.start
    }

    pub(super) fn last(&self) -> Position {
        self.entries.back().map_or(self.start, Entry::position)
    }

    /// The stamp of the last entry.
    pub(super) fn last_at(&self) -> Timestamp {
        self.entries.back().map_or(self.start_at, |entry| entry.at)
    }

    pub(super) fn get(&self, index: Index) -> Option<&Entry> {
        let offset = index.checked_sub(self.start.index + 1)?;
        self.entries.get(offset as usize)
    }

    /// The position of an entry in memory, or of the place before the first one.
    pub(super) fn position(&self, index: Index) -> Option<Position> {
        if index == self.start.index { Some(self.start) } else { self.get(index).map(Entry::position) }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        debug_assert!(entry.follows(self.last()));
        self.bytes += cost(&entry);
        self.entries.push_back(entry);
    }

    /// Drops everything at or above `index`.
    pub(super) fn truncate_from(&mut self, index: Index) {
        assert!(index > self.start.index, "only entries in memory can be replaced: older ones are committed");
        while self.last().index >= index {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= cost(&entry);
            }
        }
    }

    /// Entries from `from` on, up to `max_bytes` but at least one if there is any.
    pub(super) fn slice(&self, from: Index, max_bytes: usize) -> Vec<Entry> {
        let skip = from.saturating_sub(self.start.index + 1) as usize;
        let mut bytes = 0;
        self.entries
            .range(skip.min(self.entries.len())..)
            .take_while(|entry| {
                let fits = bytes == 0 || bytes + cost(entry) <= max_bytes;
                bytes += cost(entry);
                fits
            })
            .cloned()
            .collect()
    }

    /// The greatest place at or below `hint.index` whose term is not above `hint.term`: nothing between can match a log that ends so (etcd's optimisation
    /// of thesis 3.5). `None` when that lies below what is in memory.
    pub(super) fn last_not_above(&self, hint: Position) -> Option<Position> {
        let mut index = hint.index.min(self.last().index);
        while let Some(position) = self.position(index) {
            if position.term <= hint.term || index == 0 {
                return Some(position);
            }
            index -= 1;
        }
        None
    }

    /// Forgets the oldest entries up to `through` while more than `keep_bytes` are held.
    pub(super) fn trim(&mut self, through: Index, keep_bytes: usize) {
        while self.bytes > keep_bytes {
            match self.entries.front() {
                Some(entry) if entry.index <= through => {
                    self.bytes -= cost(entry);
                    (self.start, self.start_at) = (entry.position(), entry.at);
                    self.entries.pop_front();
                }
                _ => break,
            }
        }
    }
}
