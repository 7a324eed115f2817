//! The write-ahead log: votes and entries in segments of preallocated files, one sync for as many batches as wait for it.
//!
//! Rules that it keeps:
//! - what [`Log::sync`] has returned for is found again after any crash, or [`Log::open`] refuses and says so;
//! - every record says through where the log was synced before it; opening cuts what is torn above the greatest such mark and refuses what
//!   is damaged below it. What remains, and cannot be told apart from a torn tail: rot in the last batch before a mark has followed it, and a
//!   tail that something else has overwritten with zeros, marks and all;
//! - a new segment gets its name when all segments before it, its own whole length and its own first record are durable: only the last one can
//!   be torn, and none can be shorter than its first record says that it was made;
//! - a cut tail is overwritten with zeros, and the sequence numbers jump over all that it held: its bytes never come back;
//! - after a failed write or sync nothing is written again: what the operating system still holds of it is unknown (Rebello et al. 2020).
//!
//! Order of calls: [`Log::create`] once for a folder, [`Log::open`] at each start; then [`Log::append`] and [`Log::sync`]; and when nothing has
//! come for [`MARK_AFTER`] and [`Log::needs_mark`] says so, [`Log::write_mark`].

mod record;
mod scan;
mod votes;

use crate::disk::{Disk, DiskFile, read_all};
use record::{Body, FIRST, HEAD, Head, Home, MAX_BODY, RecordKind, parse_entry, push, record_len};
use scan::{Place, Scan, rot};
use std::fmt;
use std::io;
use std::time::Duration;
use tertulia_protocol::contract::{Batch, Vote};
use tertulia_protocol::ids::Index;
use tertulia_protocol::raft::Entry;
use votes::{Votes, later};

/// How long a log may be idle before its last batch gets a mark.
pub const MARK_AFTER: Duration = Duration::from_millis(10);

/// The size of a segment unless another one is asked for, in bytes.
pub const SEGMENT_BYTES: u64 = 16 << 20;

const SEGMENT_PREFIX: &str = "log-";
/// A segment before it has its name.
const NEW_SEGMENT: &str = "log.new";

/// What to do with a folder that has lost something for good.
///
/// Nothing refuses an older copy of it, for that has the same incarnation: so the text must.
pub(crate) const KEEP_AS_IT_IS: &str = "Keep the folder as it is, and do not start this node on it: \
    the cluster goes on without this node while a majority of all nodes runs. \
    Do not put back an older copy of the folder: it would have forgotten its votes and what it acknowledged";

/// Why the log could not do what it was asked. Each text says what to do.
#[derive(Debug)]
pub enum LogError {
    /// The disk failed.
    Io(io::Error),
    /// Something is damaged or missing that was durable, and so may have been acknowledged.
    Rot { file: String, offset: u64, what: String },
    /// Term and vote cannot be read.
    Votes { why: &'static str },
    /// The entries of a batch do not follow on what the log holds.
    Gap { index: Index, last: Index },
    /// One entry is greater than any record may be.
    TooLong { index: Index, bytes: usize },
    /// The log does not hold these entries.
    NotHere { from: Index, last: Index },
    /// An earlier write failed.
    Failed { earlier: String },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogError::Io(error) => write!(f, "{error}"),
            LogError::Rot { file, offset, what } => write!(
                f,
                "the log is damaged in file {file} at byte {offset} ({what}): something that was synced and acknowledged may be lost. {KEEP_AS_IT_IS}"
            ),
            LogError::Votes { why } => write!(
                f,
                "the file {} {why}: this node no longer knows whom it voted for, and could vote twice in one term. {KEEP_AS_IT_IS}",
                votes::VOTE_FILE
            ),
            LogError::Gap { index, last } => {
                write!(f, "entry {index} was to be written after entry {last}: this is a bug, please report it")
            }
            LogError::TooLong { index, bytes } => {
                write!(f, "entry {index} has {bytes} bytes, more than the {MAX_BODY} that a record of the log may have")
            }
            LogError::NotHere { from, last } => write!(f, "entry {from} is not in the log, which ends at {last}"),
            LogError::Failed { earlier } => {
                write!(f, "the log takes nothing more since a write failed ({earlier}): check the disk and start the node again")
            }
        }
    }
}

impl std::error::Error for LogError {}

impl From<io::Error> for LogError {
    fn from(error: io::Error) -> Self {
        LogError::Io(error)
    }
}

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
    /// The places of entries 1, 2, …; dense.
    places: Vec<Place>,
    /// Entries through this index are durable as they stand. At most the last index.
    durable: Index,
    vote: Vote,
    votes: Votes<D::File>,
    failed: Option<String>,
}

fn segment_name(segment: u64) -> String {
    format!("{SEGMENT_PREFIX}{segment:08}")
}

/// Whether a file of this name belongs to the log.
pub(crate) fn is_log_file(name: &str) -> bool {
    name.starts_with(SEGMENT_PREFIX) || name == NEW_SEGMENT || name == votes::VOTE_FILE
}

/// Makes a segment that begins with a record of `kind`, durable with its name.
///
/// One sync makes the length and the first record durable, before the name. So what a crash interrupts has no name yet, and is begun again.
fn make_segment<D: Disk>(
    disk: &D,
    home: Home,
    len: u64,
    kind: RecordKind,
    sequence: u64,
    synced: u64,
) -> Result<D::File, LogError> {
    if disk.list()?.iter().any(|name| name == NEW_SEGMENT) {
        disk.delete(NEW_SEGMENT)?;
    }
    let file = disk.create(NEW_SEGMENT, len)?;
    let mut first = Vec::with_capacity(FIRST);
    push(&mut first, home, kind, sequence, synced, &Body::Made(len));
    file.write_at(0, &first)?;
    file.sync()?;
    disk.rename(NEW_SEGMENT, &segment_name(home.segment))?;
    disk.sync_dir()?;
    Ok(file)
}

/// The ids of all segments, which must be dense.
fn segments<D: Disk>(disk: &D) -> Result<Vec<u64>, LogError> {
    let names = disk.list()?;
    let mut ids: Vec<u64> = names.iter().filter_map(|name| name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()).collect();
    ids.sort_unstable();
    // Nothing is trimmed so far: a log begins with segment 1.
    let expected = 1..=ids.last().copied().unwrap_or(1);
    match expected.into_iter().find(|id| !ids.contains(id)) {
        Some(id) => Err(rot(id, 0, "the file is missing")),
        None => Ok(ids),
    }
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
        make_segment(disk, Home::new(salt, 1), checked_size(segment_bytes), RecordKind::Opened, 1, 0)?;
        Ok(())
    }

    /// Opens the log: reads all of it, cuts a torn tail, and makes durable what it hands back.
    ///
    /// # Errors
    /// [`LogError::Rot`] and [`LogError::Votes`] when something durable is lost, or what the disk says. Nothing is changed then.
    pub fn open(disk: D, salt: u64, segment_bytes: u64) -> Result<Log<D>, LogError> {
        let votes = Votes::open(&disk, salt)?;
        let ids = segments(&disk)?;
        let mut scan = Scan::default();
        let mut last = None;
        for id in ids {
            let file = disk.open(&segment_name(id))?;
            let bytes = read_all(&file)?;
            scan.segment(Home::new(salt, id), &bytes)?;
            last = Some((id, file, bytes));
        }
        let Some((segment, file, bytes)) = last else { return Err(rot(1, 0, "the file is missing")) };
        scan.judge(votes.mark())?;
        assert_eq!(scan.tail.0, segment, "a scan that ends before the last segment is rot");

        let tail = &bytes[scan.tail.1 as usize..];
        if tail.iter().any(|byte| *byte != 0) {
            tracing::warn!(
                file = segment_name(segment),
                offset = scan.tail.1,
                "cut a torn tail off the log: no mark says that it was synced"
            );
            file.write_at(scan.tail.1, &vec![0; tail.len()])?;
        }
        // Without this a power failure could take back what a mere crash of the process had left in the cache, after it was relied upon.
        file.sync()?;
        disk.sync_dir()?;
        let vote = later(scan.vote, votes.vote());
        let mut log = Log {
            size: bytes.len() as u64,
            disk,
            salt,
            segment_bytes: checked_size(segment_bytes),
            file,
            segment,
            end: scan.tail.1,
            buffer: Vec::new(),
            next: scan.greatest + 1,
            synced: scan.last,
            marked: scan.mark,
            last_content: scan.last_content,
            durable: scan.places.len() as Index,
            places: scan.places,
            vote,
            votes,
            failed: None,
        };
        log.put(RecordKind::Opened, &Body::Nothing)?;
        log.flush()?;
        log.sync()?;
        Ok(log)
    }

    /// The greatest term and the vote in it.
    pub fn vote(&self) -> Vote {
        self.vote
    }

    /// The index of the last entry, 0 if there is none.
    pub fn last(&self) -> Index {
        self.places.len() as Index
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
        let mut last = self.last();
        for (nth, entry) in batch.entries.iter().enumerate() {
            // Only the first one may stand below the end.
            if entry.index == 0 || entry.index > last + 1 || nth > 0 && entry.index != last + 1 {
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
        if let Some(vote) = batch.vote {
            self.put(RecordKind::Vote, &Body::Vote(vote))?;
            self.vote = later(self.vote, vote);
        }
        if let Some(first) = batch.entries.first() {
            self.durable = self.durable.min(first.index - 1);
            self.places.truncate(first.index as usize - 1);
        }
        for entry in &batch.entries {
            let body = Body::Entry(entry);
            let (segment, offset) = self.put(RecordKind::Entry, &body)?;
            self.places.push(Place { segment, offset: offset as u32, length: body.len() as u32 });
        }
        self.flush()?;
        if batch.vote.is_some() {
            self.votes.write(self.vote, self.synced)?;
        }
        Ok(())
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
    /// [`LogError::NotHere`] when `from` is not in the log, [`LogError::Rot`] when a record is not as it was written.
    pub fn read(&self, from: Index, through: Index, max_bytes: u64) -> Result<Vec<Entry>, LogError> {
        if from == 0 || from > self.last() || through < from {
            return Err(LogError::NotHere { from, last: self.last() });
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut older: Option<(u64, D::File)> = None;
        for index in from..=through.min(self.last()) {
            let place = self.places[index as usize - 1];
            let file = if place.segment == self.segment {
                &self.file
            } else {
                if older.as_ref().is_none_or(|(segment, _)| *segment != place.segment) {
                    older = Some((place.segment, self.disk.open(&segment_name(place.segment))?));
                }
                older.as_ref().map_or(&self.file, |(_, file)| file)
            };
            let entry = self.read_entry(file, place, index)?;
            bytes += entry.payload.len() as u64;
            entries.push(entry);
            if bytes >= max_bytes {
                break;
            }
        }
        Ok(entries)
    }

    fn read_entry(&self, file: &D::File, place: Place, index: Index) -> Result<Entry, LogError> {
        let home = Home::new(self.salt, place.segment);
        let mut bytes = vec![0; HEAD + place.length as usize];
        file.read_at(u64::from(place.offset), &mut bytes)?;
        let (head, body) = bytes.split_at(HEAD);
        let whole = Head::parse(head, home).is_some_and(|head| head.kind == RecordKind::Entry && head.body_is_whole(body, home));
        let entry = parse_entry(body).filter(|entry| whole && entry.index == index);
        entry.ok_or_else(|| rot(place.segment, place.offset as usize, "an entry is not as it was written"))
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
            self.roll(len, kind)?;
        }
        let offset = self.end + self.buffer.len() as u64;
        let sequence = self.next;
        push(&mut self.buffer, Home::new(self.salt, self.segment), kind, sequence, self.synced, body);
        self.next += 1;
        self.marked = self.synced;
        if matches!(kind, RecordKind::Vote | RecordKind::Entry) {
            self.last_content = sequence;
        }
        Ok((self.segment, offset))
    }

    /// Closes this segment and begins one in which a record of `len` bytes fits.
    fn roll(&mut self, len: u64, for_kind: RecordKind) -> Result<(), LogError> {
        self.flush()?;
        self.file.sync()?;
        // If the log is just being opened, the sequence may jump here as well.
        let kind = if for_kind == RecordKind::Opened { RecordKind::Opened } else { RecordKind::Mark };
        if kind == RecordKind::Mark {
            self.synced = self.next - 1;
        }
        let home = Home::new(self.salt, self.segment + 1);
        let size = self.segment_bytes.max(FIRST as u64 + len);
        self.file = make_segment(&self.disk, home, size, kind, self.next, self.synced)?;
        self.marked = self.synced;
        self.synced = self.next;
        self.next += 1;
        self.segment += 1;
        self.end = FIRST as u64;
        self.size = size;
        Ok(())
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
