//! Term and vote, a second time: in two checksummed slots, apart from the log.
//!
//! Rules: a write goes into the slot that does not hold the newest vote, so that a torn one leaves the other; the slots lie in different
//! sectors. Rot in the log must not make a node forget whom it voted for, for it could then vote twice in one term.
//!
//! Beside the vote stand two things that the log's own damage must not be able to hide: through where the log was synced, and whether it is damaged.

use super::LogError;
use crate::disk::{Disk, DiskFile, read_all};
use tertulia_protocol::contract::Vote;
use tertulia_protocol::ids::NodeId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) const VOTE_FILE: &str = "vote";
const SLOT_AT: [u64; 2] = [0, 4096];
const FILE_LEN: u64 = 8192;
const SLOT: usize = 48;

/// The open vote file.
#[derive(Debug)]
pub(super) struct Votes<F> {
    file: F,
    seed: u64,
    newest: Slot,
    /// The other slot could not be read: it may have held a newer vote than `newest`.
    half: bool,
    dirty: bool,
}

/// One write of the vote.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Counts writes; its parity is the slot's place.
    count: u64,
    vote: Vote,
    /// Through where the log was synced then: a mark that outlives the log's tail.
    mark: u64,
    /// The log has lost entries that were durable, and is not repaired.
    damaged: bool,
}

impl Slot {
    fn bytes(&self, seed: u64) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        let node = self.vote.voted_for.map_or(0, |node| node.0);
        // The count carries whether there is a vote at all in its lowest bit.
        let count = self.count << 1 | u64::from(self.vote.voted_for.is_some());
        for (at, value) in [count, self.vote.term, node, self.mark, u64::from(self.damaged)].into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        let sum = xxh3_64_with_seed(&bytes[..40], seed);
        bytes[40..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8], seed: u64) -> Option<Slot> {
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at * 8..at * 8 + 8)?.try_into().ok()?));
        if word(5)? != xxh3_64_with_seed(&bytes[..40], seed) {
            return None;
        }
        let count = word(0)?;
        let voted_for = (count & 1 == 1).then_some(NodeId(word(2)?));
        let (mark, damaged) = (word(3)?, word(4)? & 1 == 1);
        Some(Slot { count: count >> 1, vote: Vote { term: word(1)?, voted_for }, mark, damaged })
    }
}

/// The later one of two votes: greater term, or in the same term the one that was given.
pub(super) fn later(a: Vote, b: Vote) -> Vote {
    if (b.term, b.voted_for.is_some()) >= (a.term, a.voted_for.is_some()) { b } else { a }
}

impl<F: DiskFile> Votes<F> {
    /// Makes the file, durable in content; the caller syncs the folder.
    pub fn create<D: Disk<File = F>>(disk: &D, seed: u64) -> Result<(), LogError> {
        let file = disk.create(VOTE_FILE, FILE_LEN)?;
        for count in 0..2 {
            let slot = Slot { count, vote: Vote::default(), mark: 0, damaged: false };
            file.write_at(SLOT_AT[count as usize], &slot.bytes(seed))?;
        }
        Ok(file.sync()?)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// [`LogError::Votes`] when the file is missing or neither slot can be read.
    pub fn open<D: Disk<File = F>>(disk: &D, seed: u64) -> Result<Votes<F>, LogError> {
        if !disk.list()?.iter().any(|name| name == VOTE_FILE) {
            return Err(LogError::Votes { why: "is missing" });
        }
        let file = disk.open(VOTE_FILE)?;
        let bytes = read_all(&file)?;
        let slots: Vec<Slot> = SLOT_AT.iter().filter_map(|at| Slot::parse(bytes.get(*at as usize..)?, seed)).collect();
        let half = slots.len() < SLOT_AT.len();
        let newest =
            slots.into_iter().max_by_key(|slot| slot.count).ok_or(LogError::Votes { why: "is damaged in both of its places" })?;
        // What was read may stand only in the cache, if the process died and the machine did not.
        file.sync()?;
        Ok(Votes { file, seed, newest, half, dirty: false })
    }

    pub fn vote(&self) -> Vote {
        self.newest.vote
    }

    pub fn mark(&self) -> u64 {
        self.newest.mark
    }

    pub fn damaged(&self) -> bool {
        self.newest.damaged
    }

    /// Whether one slot cannot be read. The next write heals it.
    pub fn half(&self) -> bool {
        self.half
    }

    /// Writes a vote, with through where the log is synced and whether it is damaged; durable after [`Votes::sync`].
    ///
    /// The older slot is overwritten, so the newer one must be durable by then: two writes without a sync between could tear both.
    pub fn write(&mut self, vote: Vote, mark: u64, damaged: bool) -> Result<(), LogError> {
        self.sync()?;
        let slot = Slot { count: self.newest.count + 1, vote, mark, damaged };
        self.file.write_at(SLOT_AT[(slot.count % 2) as usize], &slot.bytes(self.seed))?;
        self.newest = slot;
        self.half = false;
        self.dirty = true;
        Ok(())
    }

    pub fn sync(&mut self) -> Result<(), LogError> {
        if std::mem::take(&mut self.dirty) {
            self.file.sync()?;
        }
        Ok(())
    }
}
