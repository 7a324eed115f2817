//! The outbox lane: records that the node wants back at its next start, in one file of their own.
//!
//! A separate file, and not records within the log, because the log is idle while there is no leader, which is just when this lane is written: so trimming, reset
//! and damage of the log stay what they are. What is lost here is lost for the outbox alone: the node goes on voting and acknowledging, and whoever
//! holds a copy of a lost record still has it.
//!
//! Rules that it keeps:
//! - what [`OutboxFile::sync`] has returned for is found again after any crash, or [`Found::damaged`] says that something is lost, and says it at every
//!   start until the next `clear`. What a crash leaves of the rest is a prefix, in the order of writing;
//! - a new file (the first one, or that of a `clear`) is written and synced under another name and then renamed, and its first record says through where it was
//!   synced by then: so a crash leaves all of the old file or all of the new one, and a file that does not begin with a whole record is damaged;
//! - every record says through where the file was synced before it, and an idle file gets such a mark as the log's last batch does. What is bad above the greatest
//!   mark is a torn tail and is cut, with whole records behind it too, for the sectors of one unsynced write may have come to the disk in any order.
//!   What is bad at or below it is damage: it is skipped, and the good records before and behind it are kept;
//! - a cut tail is overwritten with zeros, and a damaged file is written anew: what was not handed back at one start is not at the next;
//! - the file is made when there is something to keep. A node that never keeps anything writes nothing, and syncs nothing;
//! - after a failed write or sync nothing is written again, as in the log.
//!
//! What remains: rot in the last records before a mark has followed them passes for a torn tail; and a file that something else has deleted, or has cut
//! right behind a record with no mark of what is gone before it, is not missed.
//!
//! The file grows until the next `clear`, up to [`FILE_BYTES`]: when to clear is the node's to say.

mod lane;
mod record;
mod scan;

pub(crate) use lane::KeptLane;

use crate::disk::{Disk, DiskFile, read_all};
use bytes::Bytes;
use record::{BEGINNING, Kind, push, record_len};
use scan::Scan;
use std::fmt;
use std::io;
use tertulia_protocol::contract::Keep;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The file's name in the data folder.
pub const OUTBOX_FILE: &str = "outbox";
/// The file before it has its name.
pub const NEW_OUTBOX_FILE: &str = "outbox.new";

/// The longest record, in bytes: far more than any request of a client.
pub const RECORD_BYTES: usize = 1 << 20;
/// The longest file, in bytes. A node clears long before.
pub const FILE_BYTES: u64 = 1 << 30;
/// A new file is written in pieces of about this size.
const PIECE: usize = 1 << 20;

/// Whether a file of this name belongs to the outbox lane.
pub(crate) fn is_outbox_file(name: &str) -> bool {
    name == OUTBOX_FILE || name == NEW_OUTBOX_FILE
}

/// Why the outbox lane could not do what it was asked. Each text says what to do.
#[derive(Debug)]
pub enum KeptError {
    /// The disk failed.
    Io(io::Error),
    /// One record is longer than any may be.
    TooLong { bytes: usize },
    /// The file would be longer than it may be.
    TooMuch,
    /// The file was begun by another version.
    OtherFormat { found: u32 },
    /// An earlier write failed.
    Failed { earlier: String },
}

impl fmt::Display for KeptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeptError::Io(error) => write!(f, "{error}"),
            KeptError::TooLong { bytes } => write!(
                f,
                "a record of {bytes} bytes was to be kept in the file {OUTBOX_FILE}, which takes {RECORD_BYTES}: this is a bug, please report it"
            ),
            KeptError::TooMuch => write!(
                f,
                "the file {OUTBOX_FILE} was to become longer than {FILE_BYTES} bytes without having been cleared: this is a bug, please report it"
            ),
            KeptError::OtherFormat { found } => write!(
                f,
                "the file {OUTBOX_FILE} has format {found}, and this version reads format {}: run the version that wrote it, or a newer one",
                record::FORMAT
            ),
            KeptError::Failed { earlier } => write!(
                f,
                "the file {OUTBOX_FILE} takes nothing more since a write failed ({earlier}): check the disk and start the node again"
            ),
        }
    }
}

impl std::error::Error for KeptError {}

impl From<io::Error> for KeptError {
    fn from(error: io::Error) -> Self {
        KeptError::Io(error)
    }
}

/// What a start finds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The whole records, oldest first.
    pub records: Vec<Bytes>,
    /// Records that were durable are missing among them.
    pub damaged: bool,
}

/// The open outbox lane of a folder.
#[derive(Debug)]
pub struct OutboxFile<D: Disk> {
    disk: D,
    /// In all checksums: records of another folder, or of its log, are no records here.
    seed: u64,
    /// `None`: there is none yet.
    file: Option<D::File>,
    /// The file has its other name still; the next sync gives it its own.
    staged: bool,
    /// Where the next record goes.
    end: u64,
    /// The sequence number of the last record. It goes on from file to file.
    last: u64,
    /// All records through this one are durable, or will be when the staged file has its name. At most `last`.
    synced: u64,
    /// The greatest mark in any record. At most `synced`.
    marked: u64,
    /// Something was written since the last sync.
    dirty: bool,
    failed: Option<String>,
}

impl<D: Disk> OutboxFile<D> {
    /// Opens the lane and says what was kept. A folder without the file is left as it is.
    ///
    /// # Errors
    /// [`KeptError::OtherFormat`], or what the disk says.
    pub fn open(disk: D, salt: u64) -> Result<(OutboxFile<D>, Found), KeptError> {
        let names = disk.list()?;
        let has = |name: &str| names.iter().any(|known| known == name);
        if has(NEW_OUTBOX_FILE) {
            // A crash came before its rename: it never was the file.
            disk.delete(NEW_OUTBOX_FILE)?;
        }
        let seed = xxh3_64_with_seed(OUTBOX_FILE.as_bytes(), salt);
        let mut lane = OutboxFile {
            disk,
            seed,
            file: None,
            staged: false,
            end: 0,
            last: 0,
            synced: 0,
            marked: 0,
            dirty: false,
            failed: None,
        };
        if !has(OUTBOX_FILE) {
            return Ok((lane, Found::default()));
        }
        let file = lane.disk.open(OUTBOX_FILE)?;
        let bytes = read_all(&file)?;
        let scan = Scan::of(&bytes, seed)?;
        let damaged = scan.lost || scan.was_damaged;
        let records: Vec<Bytes> = scan.records.iter().map(|range| Bytes::copy_from_slice(&bytes[range.clone()])).collect();
        if scan.lost {
            tracing::warn!(
                file = OUTBOX_FILE,
                whole = records.len(),
                "messages that were accepted without a leader are damaged; the whole ones are kept, the others are lost unless another node holds a copy"
            );
            lane.last = scan.greatest;
            lane.stage(&records, true)?;
            lane.sync()?;
        } else {
            lane.go_on(file, &bytes, &scan)?;
        }
        Ok((lane, Found { records, damaged }))
    }

    /// Goes on behind the last good record.
    fn go_on(&mut self, file: D::File, bytes: &[u8], scan: &Scan) -> Result<(), KeptError> {
        let tail = &bytes[scan.end..];
        if let Some(cut) = tail.iter().rposition(|byte| *byte != 0) {
            tracing::warn!(
                file = OUTBOX_FILE,
                offset = scan.end,
                "cut a torn tail off the outbox: no mark says that it was synced"
            );
            file.write_at(scan.end as u64, &vec![0; cut + 1])?;
        }
        // Without this a power failure could take back what a mere crash of the process had left in the cache, after it was relied upon.
        file.sync()?;
        self.disk.sync_dir()?;
        self.file = Some(file);
        self.end = scan.end as u64;
        (self.last, self.synced, self.marked) = (scan.last, scan.last, scan.marked);
        Ok(())
    }

    /// Writes records, after having dropped all earlier ones if `keep` says so; durable after the next [`OutboxFile::sync`].
    ///
    /// # Errors
    /// Nothing is written for [`KeptError::TooLong`] and [`KeptError::TooMuch`]. After any other error the lane takes nothing more.
    pub fn write(&mut self, keep: &Keep) -> Result<(), KeptError> {
        self.check_usable()?;
        if let Some(record) = keep.records.iter().find(|record| record.len() > RECORD_BYTES) {
            return Err(KeptError::TooLong { bytes: record.len() });
        }
        let more: u64 = keep.records.iter().map(|record| record_len(record.len()) as u64).sum();
        let anew = self.file.is_none() || keep.clear;
        if more + if anew { BEGINNING as u64 } else { self.end } > FILE_BYTES {
            return Err(KeptError::TooMuch);
        }
        // Nothing to add, or nothing to clear.
        if keep.records.is_empty() && (self.file.is_none() || !keep.clear) {
            return Ok(());
        }
        let written = if anew { self.stage(&keep.records, false) } else { self.append(Kind::Record, &keep.records) };
        self.note_failure(written)
    }

    /// Makes all that was written durable; without a sync if nothing was.
    ///
    /// # Errors
    /// What the disk says; the lane takes nothing more then.
    pub fn sync(&mut self) -> Result<(), KeptError> {
        self.check_usable()?;
        let Some(file) = self.file.as_ref().filter(|_| self.dirty) else { return Ok(()) };
        let mut synced = file.sync();
        if self.staged {
            synced = synced.and_then(|()| self.disk.rename(NEW_OUTBOX_FILE, OUTBOX_FILE)).and_then(|()| self.disk.sync_dir());
        }
        self.note_failure(synced.map_err(KeptError::Io))?;
        (self.dirty, self.staged, self.synced) = (false, false, self.last);
        Ok(())
    }

    /// Whether the last record is durable and no record says so yet.
    pub fn needs_mark(&self) -> bool {
        self.failed.is_none() && !self.dirty && self.marked < self.last
    }

    /// Writes a mark and makes it durable.
    ///
    /// # Errors
    /// What the disk says; the lane takes nothing more then.
    pub fn write_mark(&mut self) -> Result<(), KeptError> {
        self.check_usable()?;
        let written = self.append(Kind::Mark, &[Bytes::new()]);
        self.note_failure(written)?;
        self.sync()
    }

    /// Begins a file that holds these records and nothing else. It takes the place of the present one with the next sync.
    fn stage(&mut self, records: &[Bytes], damaged: bool) -> Result<(), KeptError> {
        if self.staged {
            self.disk.delete(NEW_OUTBOX_FILE)?;
        }
        self.file = Some(self.disk.create(NEW_OUTBOX_FILE, 0)?);
        (self.staged, self.end) = (true, 0);
        let mut bytes = Vec::new();
        // Whoever finds the file under its own name finds all of this durable.
        self.synced = self.last + records.len() as u64;
        record::push_beginning(&mut bytes, self.seed, self.last, self.synced, damaged);
        for record in records {
            if bytes.len() > PIECE {
                self.put(&bytes)?;
                bytes.clear();
            }
            self.last += 1;
            push(&mut bytes, self.seed, Kind::Record, self.last, self.synced, record);
        }
        self.marked = self.synced;
        self.put(&bytes)
    }

    fn append(&mut self, kind: Kind, bodies: &[Bytes]) -> Result<(), KeptError> {
        let mut bytes = Vec::with_capacity(bodies.iter().map(|body| record_len(body.len())).sum());
        for body in bodies {
            self.last += u64::from(kind == Kind::Record);
            push(&mut bytes, self.seed, kind, self.last, self.synced, body);
        }
        self.marked = self.synced;
        self.put(&bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), KeptError> {
        if let Some(file) = &self.file {
            self.dirty = true;
            file.write_at(self.end, bytes)?;
            self.end += bytes.len() as u64;
        }
        Ok(())
    }

    fn check_usable(&self) -> Result<(), KeptError> {
        match &self.failed {
            Some(earlier) => Err(KeptError::Failed { earlier: earlier.clone() }),
            None => Ok(()),
        }
    }

    fn note_failure(&mut self, result: Result<(), KeptError>) -> Result<(), KeptError> {
        if let Err(error) = &result {
            self.failed = Some(error.to_string());
        }
        result
    }
}
