//! The write-ahead log: votes and entries in segments of preallocated files, one sync for as many batches as wait for it.
//!
//! Rules that it keeps:
//! - what [`Log::sync`] has returned for is found again after any crash, or the log says that it is damaged ([`Log::damaged`]) and goes on saying
//!   so over every start until [`Log::repaired`]; or, when a vote may be forgotten, it cannot be opened;
//! - every record says through where the log was synced before it; opening cuts what is torn above the greatest such mark and calls damage what
//!   is lost below it. What remains, and cannot be told apart from a torn tail: rot in the last batch before a mark has followed it, and a
//!   tail that something else has overwritten with zeros, marks and all;
//! - a new segment gets its name when all segments before it, its own whole length and its own first record are durable: only the last one can
//!   be torn, and none can be shorter than its first record says that it was made. The vote slots know that it was made;
//! - a segment's first record says where the log begins, which segments it needs, and the vote: so the oldest segments can be deleted, and are
//!   only when a durable record says that they are not needed;
//! - a cut tail is overwritten with zeros, and the sequence numbers jump over all that it held: its bytes never come back;
//! - after a failed write or sync nothing is written again: what the operating system still holds of it is unknown (Rebello et al. 2020).
//!
//! Order of calls: [`Log::create`] once for a folder, [`Log::find`] at each start and then what to do with what was found; then [`Log::append`]
//! and [`Log::sync`], now and then [`Log::trim`]; and when nothing has come for [`MARK_AFTER`] and [`Log::needs_mark`] says so,
//! [`Log::write_mark`].

mod error;
mod opening;
mod record;
mod scan;
mod segment;
mod trim;
mod view;
mod votes;

pub(crate) use error::FOLDER_IS_LOST;
pub use error::LogError;
pub use opening::Found;
pub(crate) use segment::is_log_file;

use crate::disk::{Disk, DiskFile};
use record::{Body, FIRST, Home, MAX_BODY, RecordKind, State, payload_len, push, record_len};
use segment::{First, Place, make_segment, read_entries};
use std::collections::VecDeque;
use std::time::Duration;
use tertulia_protocol::contract::{Batch, Position, Vote};
use tertulia_protocol::ids::Index;
use tertulia_protocol::raft::Entry;
use votes::{Votes, later};

/// How long a log may be idle before its last batch gets a mark.
pub const MARK_AFTER: Duration = Duration::from_millis(10);

/// The size of a segment unless another one is asked for, in bytes.
pub const SEGMENT_BYTES: u64 = 16 << 20;

/// An open log.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    /// The folder's own number in all checksums: records of another folder are no records here.
    salt: u64,
    segment_bytes: u64,
    /// The last segment, which is written to; its id, where its next record goes and its size in bytes.
    file: D::File,
    segment: u64,
    end: u64,
    size: u64,
    /// Encoded and not yet written; stands at `end` when it is.
    buffer: Vec<u8>,
    /// The sequence number of the next record.
    next: u64,
    /// All records through this sequence number are durable. Less than `next`.
    synced: u64,
    /// The greatest mark in any record. At most `synced`.
    marked: u64,
    /// The last record that is a vote or an entry.
    last_content: u64,
    /// The log begins after this place.
    start: Position,
    /// Segments below this one are not needed.
    first: u64,
    /// Entries that were durable are lost, and nobody has repaired that.
    damaged: bool,
    /// The places of the entries above the start; dense.
    places: VecDeque<Place>,
    /// Entries through this index are durable as they stand. At most the last index.
    durable: Index,
    vote: Vote,
    votes: Votes<D::File>,
    failed: Option<String>,
}

fn checked_size(segment_bytes: u64) -> u64 {
    // An offset has 32 bits in the index.
    segment_bytes.clamp(4096, 1 << 31)
}

impl<D: Disk> Log<D> {
    /// Makes an empty log in a folder that has none, durable when it returns.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(disk: &D, salt: u64, segment_bytes: u64) -> Result<(), LogError> {
        Votes::create(disk, salt)?;
        let state = State { first: 1, ..State::default() };
        let first = First { kind: RecordKind::Opened, sequence: 1, synced: 0, state };
        make_segment(disk, Home::new(salt, 1), checked_size(segment_bytes), &first, &[])?;
        Ok(())
    }

    /// The greatest term and the vote in it.
    pub fn vote(&self) -> Vote {
        self.vote
    }

    /// The log begins after this place: what was at or below it is not here any more.
    pub fn start(&self) -> Position {
        self.start
    }

    /// The index of the last entry, that of the start if there is none.
    pub fn last(&self) -> Index {
        self.start.index + self.places.len() as Index
    }

    /// Whether entries that were durable are lost: the node must neither vote nor acknowledge before [`Log::repaired`].
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    /// Bytes of payload of the entries above the start, through `index`.
    pub fn bytes_through(&self, index: Index) -> u64 {
        let count = index.saturating_sub(self.start.index) as usize;
        self.places.iter().take(count).map(|place| payload_len(place.length as usize)).sum()
    }

    /// Entries through here are durable.
    pub fn durable_through(&self) -> Index {
        self.durable
    }

    /// Writes a batch; durable after the next [`Log::sync`].
    ///
    /// # Errors
    /// Nothing is written for [`LogError::Gap`] and [`LogError::TooLong`]. After any other error the log takes nothing more.
    pub fn append(&mut self, batch: &Batch) -> Result<(), LogError> {
        self.check_usable()?;
        let (start, mut last) = batch.reset.map_or((self.start.index, self.last()), |reset| (reset.index, reset.index));
        for (nth, entry) in batch.entries.iter().enumerate() {
            // Only the first one may stand below the end.
            if entry.index <= start || entry.index > last + 1 || nth > 0 && entry.index != last + 1 {
                return Err(LogError::Gap { index: entry.index, last });
            }
            if Body::Entry(entry).len() > MAX_BODY {
                return Err(LogError::TooLong { index: entry.index, bytes: entry.payload.len() });
            }
            last = entry.index;
        }
        let written = self.write_batch(batch);
        self.note_failure(written)
    }

    fn write_batch(&mut self, batch: &Batch) -> Result<(), LogError> {
        if let Some(position) = batch.reset {
            self.reset(position)?;
        }
        if let Some(vote) = batch.vote {
            self.put(RecordKind::Vote, &Body::Vote(vote))?;
            self.vote = later(self.vote, vote);
        }
        if let Some(first) = batch.entries.first() {
            self.durable = self.durable.min(first.index - 1);
            self.places.truncate((first.index - self.start.index) as usize - 1);
        }
        for entry in &batch.entries {
            let body = Body::Entry(entry);
            let (segment, offset) = self.put(RecordKind::Entry, &body)?;
            self.places.push_back(Place { segment, offset: offset as u32, length: body.len() as u32 });
        }
        self.flush()?;
        if batch.vote.is_some() {
            self.write_slots()?;
        }
        if batch.repaired { self.repaired() } else { Ok(()) }
    }

    /// Writes the vote slots; durable after the next [`Log::sync`]. What the log holds of the vote must be written before.
    fn write_slots(&mut self) -> Result<(), LogError> {
        self.votes.write(self.vote, self.synced, self.damaged)
    }

    /// Makes all that was appended durable, with one sync (two if there was a vote).
    ///
    /// # Errors
    /// What the disk says; the log takes nothing more then.
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        let synced = self.votes.sync().and_then(|()| Ok(self.file.sync()?));
        self.note_failure(synced)?;
        self.synced = self.next - 1;
        self.durable = self.last();
        Ok(())
    }

    /// Whether the last batch is durable and no record says so yet.
    pub fn needs_mark(&self) -> bool {
        self.failed.is_none() && self.synced >= self.last_content && self.marked < self.last_content
    }

    /// Writes a mark and makes it durable.
    ///
    /// # Errors
    /// What the disk says; the log takes nothing more then.
    pub fn write_mark(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        let written = self.put(RecordKind::Mark, &Body::Nothing).and_then(|_| self.flush());
        self.note_failure(written)?;
        self.sync()
    }

    /// Entries `from..=through` that are in the log, cut after the one that reaches `max_bytes` of payload; at least one.
    ///
    /// # Errors
    /// [`LogError::NotHere`] when `from` is not in the log, [`LogError::Trimmed`] when it no longer is, [`LogError::Rot`] when a record is not
    /// as it was written.
    pub fn read(&self, from: Index, through: Index, max_bytes: u64) -> Result<Vec<Entry>, LogError> {
        if from > 0 && from <= self.start.index {
            return Err(LogError::Trimmed { from, start: self.start.index });
        }
        if from == 0 || from > self.last() || through < from {
            return Err(LogError::NotHere { from, last: self.last() });
        }
        let count = (through.min(self.last()) - from + 1) as usize;
        let places = self.places.iter().skip((from - self.start.index) as usize - 1).take(count).copied();
        read_entries(&self.disk, self.salt, from, places, max_bytes)
    }

    fn check_usable(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(earlier) => Err(LogError::Failed { earlier: earlier.clone() }),
            None => Ok(()),
        }
    }

    fn note_failure(&mut self, result: Result<(), LogError>) -> Result<(), LogError> {
        if let Err(error) = &result {
            self.failed = Some(error.to_string());
        }
        result
    }

    /// Encodes a record into the buffer, in a new segment if this one is full, and says where it will stand.
    fn put(&mut self, kind: RecordKind, body: &Body<'_>) -> Result<(u64, u64), LogError> {
        let len = record_len(body.len()) as u64;
        if self.end + self.buffer.len() as u64 + len > self.size {
            self.roll(len, kind, false)?;
        }
        let offset = self.end + self.buffer.len() as u64;
        let sequence = self.next;
        push(&mut self.buffer, Home::new(self.salt, self.segment), kind, sequence, self.synced, body);
        self.next += 1;
        self.marked = self.synced;
        if matches!(kind, RecordKind::Vote | RecordKind::Entry | RecordKind::State) {
            self.last_content = sequence;
        }
        Ok((self.segment, offset))
    }

    /// What is true of the log as a whole, as it is said in records.
    fn state(&self) -> State {
        let &Log { start, first, damaged, vote, .. } = self;
        State { made: 0, start, first, reset: false, damaged, vote }
    }

    /// Closes this segment and begins one in which a record of `len` bytes fits. `reset`: the log is to begin with it, after its start.
    fn roll(&mut self, len: u64, for_kind: RecordKind, reset: bool) -> Result<(), LogError> {
        self.flush()?;
        self.file.sync()?;
        // If the log is just being opened, the sequence may jump here as well.
        let kind = if for_kind == RecordKind::Opened { RecordKind::Opened } else { RecordKind::Mark };
        if kind == RecordKind::Mark {
            self.synced = self.next - 1;
        }
        let home = Home::new(self.salt, self.segment + 1);
        if reset {
            self.first = home.segment;
        }
        let size = self.segment_bytes.max(FIRST as u64 + len);
        let first = First { kind, sequence: self.next, synced: self.synced, state: State { reset, ..self.state() } };
        (self.file, _, self.end) = make_segment(&self.disk, home, size, &first, &[])?;
        self.marked = self.synced;
        self.synced = self.next;
        self.next += 1;
        self.segment += 1;
        self.size = size;
        // So the slots know that this segment was there, should its file be gone one day.
        self.write_slots()
    }

    /// Writes the buffer with one write.
    fn flush(&mut self) -> Result<(), LogError> {
        if !self.buffer.is_empty() {
            self.file.write_at(self.end, &self.buffer)?;
            self.end += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
