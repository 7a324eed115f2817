//! The rows: what applying the log has led to, in redb, on the same disk as the log.
//!
//! Rules that it keeps:
//! - a row batch becomes durable as a whole, and never before the log is durable through it: rows can always be replayed, never run ahead;
//! - most commits are not durable. A durable one is made after so many batches or bytes, so that a start has little to replay, and at the latest [`DURABLE_AFTER`] after
//!   the first of them: a node that has crashed and meets nobody shows what its durable rows hold, and knows of no later entry that it is committed;
//! - the rows hold nothing that the log does not: when their file is damaged or gone, they are built again from the log;
//! - every value carries a checksum, bound to its key: a value whose bytes changed on the disk is an error, never an answer. redb has checksums
//!   too, but reads pages without looking at them: `rows/pages.rs` does.
//!
//! Snapshots, both those that are read from here and those that come from a peer or a backup, are in `rows/snapshot.rs`.

mod pages;
mod snapshot;

pub(crate) use snapshot::Making;
pub use snapshot::{MOST_PINS, PIN_FOR};

use crate::disk::{Disk, DiskFile, naming};
use bytes::Bytes;
use pages::Backend;
use redb::{Builder, Database, Durability, ReadableDatabase, TableDefinition};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow, COLD, Loaded, Position, Query, RowBatch};
use tertulia_protocol::ids::Index;
use tertulia_protocol::time::Duration;
use tertulia_protocol::wire::{EnvelopeError, Kind, open as open_envelope};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The file that holds the rows.
pub const ROWS_FILE: &str = "rows.redb";
/// The file while it is being made.
pub(crate) const NEW_ROWS_FILE: &str = "rows.new";

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// Where the rows came from, beside them.
const ORIGIN: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("origin");
/// The place that the rows stood for when they came from a peer, if they did: index, term and chain, little endian.
const BASE: &[u8] = b"base";

/// So long rows are not durable at most.
pub const DURABLE_AFTER: Duration = Duration::from_secs(1);

/// When rows are made durable, and how much of them is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RowsOptions {
    /// A durable commit after so many batches …
    pub durable_batches: u32,
    /// … or so many bytes of keys and values.
    pub durable_bytes: u64,
    /// Bytes of pages kept in memory.
    pub cache_bytes: usize,
}

impl Default for RowsOptions {
    fn default() -> Self {
        RowsOptions { durable_batches: 4_096, durable_bytes: 8 << 20, cache_bytes: 64 << 20 }
    }
}

/// Why the rows could not do what they were asked. Each text says what to do.
#[derive(Debug)]
pub enum RowsError {
    /// The file is damaged, or the disk failed under it.
    Redb {
        doing: &'static str,
        error: Box<redb::Error>,
    },
    /// redb gave up on what it found in the file.
    Panicked,
    /// A row's bytes are not the ones that were written.
    Rot {
        key: Bytes,
    },
    /// The row of [`APPLIED_KEY`] cannot be read.
    Applied {
        error: EnvelopeError,
    },
    /// Rows were handed over that the log does not durably hold.
    AheadOfLog {
        through: Index,
        durable_through: Index,
    },
    /// Entries are read from the log, not from here.
    NotRows,
    /// A snapshot was to be written to or put in use, and none was begun.
    NotReceiving,
    /// What says where the rows came from does not decode.
    Base,
    Io(io::Error),
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ADVICE: &str = "Start the node again: damaged rows are put aside and built again, from the log or from another node's. If it comes again, check the disk";
        match self {
            RowsError::Redb { doing, error } => write!(f, "cannot {doing} the rows in {ROWS_FILE}: {error}. {ADVICE}"),
            RowsError::Panicked => write!(f, "the file {ROWS_FILE} is damaged. {ADVICE}"),
            RowsError::Rot { key } => {
                write!(f, "the file {ROWS_FILE} is damaged: the bytes of the row with the key ")?;
                key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, " changed on disk since they were written. {ADVICE}")
            }
            RowsError::Applied { error } => {
                write!(f, "the row in {ROWS_FILE} that says through where the log is applied cannot be read: {error}. {ADVICE}")
            }
            RowsError::AheadOfLog { through, durable_through } => write!(
                f,
                "rows through log entry {through} were to be written while the log is durable only through {durable_through}: \
                 this is a bug, please report it"
            ),
            RowsError::NotRows => write!(f, "log entries were asked of the rows: this is a bug, please report it"),
            RowsError::NotReceiving => {
                write!(f, "a part of a snapshot came before its beginning: this is a bug, please report it")
            }
            RowsError::Base => write!(f, "the file {ROWS_FILE} does not say where its rows came from. {ADVICE}"),
            RowsError::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for RowsError {}

impl From<io::Error> for RowsError {
    fn from(error: io::Error) -> Self {
        RowsError::Io(error)
    }
}

fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl Fn(E) -> RowsError {
    move |error| RowsError::Redb { doing, error: Box::new(error.into()) }
}

/// Bytes of a value's checksum, which stands behind it.
const SUM: usize = 8;

/// The checksum of a value, bound to its key: a value that turns up under another key is no value there.
fn sum_of(key: &[u8], value: &[u8]) -> [u8; SUM] {
    xxh3_64_with_seed(value, xxh3_64(key)).to_le_bytes()
}

/// Bytes of keys and values.
pub(crate) fn size_of(rows: &RowBatch) -> u64 {
    rows.rows.iter().map(|(key, value)| (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64).sum()
}

/// A value as it is stored.
fn summed(key: &[u8], value: &[u8]) -> Vec<u8> {
    [value, &sum_of(key, value)].concat()
}

/// The value in what is stored, if it is as it was written.
fn checked(key: &[u8], stored: &[u8]) -> Result<Bytes, RowsError> {
    match stored.split_last_chunk::<SUM>() {
        Some((value, sum)) if sum_of(key, value) == *sum => Ok(Bytes::copy_from_slice(value)),
        _ => Err(RowsError::Rot { key: Bytes::copy_from_slice(key) }),
    }
}

/// The open rows.
pub struct Rows {
    database: Database,
    options: RowsOptions,
    /// Batches and bytes since the last durable commit.
    batches: u32,
    bytes: u64,
    /// Through where the rows have come, and through where durably.
    through: Index,
    durable: Index,
    /// The folder, for a file that comes from a peer.
    home: Box<dyn snapshot::Home>,
    /// Rows that come from a peer: not in use, not durable.
    receiving: Option<Database>,
    pins: Vec<snapshot::Pin>,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({} batches not yet durable)", self.batches)
    }
}

/// Opens redb on a file. It can panic on a damaged one; whoever starts a node is told in words instead.
fn open_database<F: DiskFile>(file: F, cache_bytes: usize) -> Result<Database, RowsError> {
    let opening = || Builder::new().set_cache_size(cache_bytes).create_with_backend(Backend::new(file));
    catch_unwind(AssertUnwindSafe(opening)).map_err(|_| RowsError::Panicked)?.map_err(failed("open"))
}

/// All pages of files up to this size are checked at a start; about a second a gigabyte. In greater ones damage to a value is still found when it is read.
const CHECKED_BYTES: u64 = 1 << 30;

/// Compares every page with its checksum: redb itself reads them without looking, and a row whose key has changed would seem never to have been.
fn check_pages(database: &mut Database) -> Result<(), RowsError> {
    let checking = AssertUnwindSafe(|| database.check_integrity());
    match catch_unwind(checking).map_err(|_| RowsError::Panicked)?.map_err(failed("check"))? {
        true => Ok(()),
        false => Err(RowsError::Panicked),
    }
}

impl Rows {
    /// Makes an empty file of rows, durable when it returns. It gets its name when it is whole.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create<D: Disk>(disk: &D) -> Result<(), RowsError> {
        if disk.list()?.iter().any(|name| name == NEW_ROWS_FILE) {
            disk.delete(NEW_ROWS_FILE)?;
        }
        let database = open_database(disk.create(NEW_ROWS_FILE, 0)?, 1 << 20)?;
        let write = database.begin_write().map_err(failed("create"))?;
        write.open_table(TABLE).map_err(failed("create"))?;
        write.commit().map_err(failed("create"))?;
        drop(database);
        disk.open(NEW_ROWS_FILE)?.sync().map_err(naming("finish", NEW_ROWS_FILE))?;
        disk.rename(NEW_ROWS_FILE, ROWS_FILE)?;
        Ok(disk.sync_dir()?)
    }

    /// Opens the rows, as of their last durable commit.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn open<D: Disk>(disk: &D, options: RowsOptions) -> Result<Rows, RowsError> {
        if disk.list()?.iter().any(|name| name == NEW_ROWS_FILE) {
            // A snapshot that had not come as a whole: its sender is asked for another one.
            disk.delete(NEW_ROWS_FILE)?;
        }
        let file = disk.open(ROWS_FILE)?;
        // What a crashed process left in the cache must not be taken back later, after it was relied upon.
        file.sync()?;
        let checked = file.len()? <= CHECKED_BYTES;
        let mut database = open_database(file, options.cache_bytes)?;
        if checked {
            check_pages(&mut database)?;
        }
        let mut rows = Rows {
            database,
            options,
            batches: 0,
            bytes: 0,
            through: 0,
            durable: 0,
            home: Box::new(disk.clone()),
            receiving: None,
            pins: Vec::new(),
        };
        // Whoever opens damaged rows is told when it asks for them.
        rows.through = rows.applied().map_or(0, |applied| applied.position.index);
        rows.durable = rows.through;
        Ok(rows)
    }

    /// Writes a batch that came of applying the log through `through`. Seen by every later [`Rows::load`]; durable some time later.
    ///
    /// # Errors
    /// [`RowsError::AheadOfLog`] when the log is durable only below `through`; nothing is written then. Otherwise what the disk says.
    pub fn apply(&mut self, through: Index, rows: &RowBatch, durable_through: Index) -> Result<(), RowsError> {
        self.apply_group(&[(through, rows)], durable_through)
    }

    /// Writes batches, in order, as one: a key that several of them mention is written once. Seen and durable as by [`Rows::apply`].
    ///
    /// # Errors
    /// As [`Rows::apply`]; then none of them is written.
    pub fn apply_group(&mut self, batches: &[(Index, &RowBatch)], durable_through: Index) -> Result<(), RowsError> {
        if let Some((through, _)) = batches.iter().find(|(through, _)| *through > durable_through) {
            return Err(RowsError::AheadOfLog { through: *through, durable_through });
        }
        self.batches = self.batches.saturating_add(batches.len() as u32);
        self.bytes += batches.iter().map(|(_, rows)| size_of(rows)).sum::<u64>();
        let durable = self.batches >= self.options.durable_batches || self.bytes >= self.options.durable_bytes;
        if let Some((through, _)) = batches.last() {
            self.through = *through;
        }
        // In order of the keys: neighbours share their pages.
        let last = batches.iter().flat_map(|(_, rows)| &rows.rows).map(|(key, value)| (&**key, value.as_deref()));
        self.commit(last.collect(), durable)
    }

    /// Through where the log may be trimmed, at most `through`: what is trimmed off it must stand in durable rows. Makes them durable if need be.
    ///
    /// # Errors
    /// What the disk says.
    pub fn trimmable(&mut self, through: Index) -> Result<Index, RowsError> {
        if self.durable < through.min(self.through) {
            self.make_durable()?;
        }
        Ok(through.min(self.durable))
    }

    /// Something that was written would not survive a crash without being replayed.
    pub fn is_ahead_of_disk(&self) -> bool {
        self.batches > 0
    }

    /// Makes all rows durable, so that the next start has nothing to replay.
    ///
    /// # Errors
    /// What the disk says.
    pub fn make_durable(&mut self) -> Result<(), RowsError> {
        if self.batches == 0 { Ok(()) } else { self.commit(BTreeMap::new(), true) }
    }

    fn commit(&mut self, rows: BTreeMap<&[u8], Option<&[u8]>>, durable: bool) -> Result<(), RowsError> {
        let mut write = self.database.begin_write().map_err(failed("write"))?;
        if durable {
            // A start after a crash then need not walk through the whole file.
            write.set_quick_repair(true);
        } else {
            write.set_durability(Durability::None).map_err(failed("write"))?;
        }
        {
            let mut table = write.open_table(TABLE).map_err(failed("write"))?;
            for (key, value) in rows {
                match value {
                    Some(value) => drop(table.insert(key, &*summed(key, value)).map_err(failed("write"))?),
                    None => drop(table.remove(key).map_err(failed("write"))?),
                }
            }
        }
        write.commit().map_err(failed("write"))?;
        if durable {
            (self.batches, self.bytes, self.durable) = (0, 0, self.through);
        }
        Ok(())
    }

    /// Answers a query for rows. Rows read backwards come in descending order.
    ///
    /// # Errors
    /// [`RowsError::NotRows`] for [`Query::Log`], [`RowsError::Rot`] for a row that is not as it was written; otherwise what the disk says.
    pub fn load(&self, query: &Query) -> Result<Loaded, RowsError> {
        match query {
            Query::Log { .. } | Query::Snapshot { .. } => Err(RowsError::NotRows),
            Query::Keys { keys } => {
                let table = self.table()?;
                let mut rows = Vec::new();
                for key in keys {
                    if let Some(value) = table.get(&**key).map_err(failed("read"))? {
                        rows.push((key.clone(), checked(key, value.value())?));
                    }
                }
                Ok(Loaded::Rows(rows))
            }
            Query::Range { from, to, .. } if from >= to => Ok(Loaded::Rows(Vec::new())),
            Query::Range { from, to, limit, backwards } => {
                let table = self.table()?;
                let range = table.range::<&[u8]>(&**from..&**to).map_err(failed("read"))?;
                let limit = *limit as usize;
                let rows = if *backwards { collect(range.rev().take(limit)) } else { collect(range.take(limit)) };
                Ok(Loaded::Rows(rows?))
            }
        }
    }

    /// All rows that are not cold, ascending.
    ///
    /// # Errors
    /// [`RowsError::Rot`] for a row that is not as it was written; otherwise what the disk says.
    pub fn working_set(&self) -> Result<Vec<(Bytes, Bytes)>, RowsError> {
        collect(self.table()?.range::<&[u8]>(..&[COLD][..]).map_err(failed("read"))?)
    }

    /// Through where the rows have come; the default when there are none.
    ///
    /// # Errors
    /// [`RowsError::Rot`] when the row is not as it was written, [`RowsError::Applied`] when it does not decode.
    pub fn applied(&self) -> Result<AppliedRow, RowsError> {
        applied_in(&self.table()?)
    }

    /// The place that the rows stood for when they came from a peer as a whole, whatever was applied since; `None` if they never did.
    ///
    /// Where the log does not contain that place, and nothing was applied since, the log is of no use: the node stopped before it could say so to the log.
    ///
    /// # Errors
    /// [`RowsError::Rot`] or [`RowsError::Base`] when that is not as it was written; otherwise what the disk says.
    pub fn base(&self) -> Result<Option<Position>, RowsError> {
        let read = self.database.begin_read().map_err(failed("read"))?;
        let table = match read.open_table(ORIGIN) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed("read")(error)),
        };
        let Some(value) = table.get(BASE).map_err(failed("read"))? else { return Ok(None) };
        let value = checked(BASE, value.value())?;
        let (numbers, rest) = value.as_chunks::<8>();
        match (numbers, rest) {
            ([index, term, chain], []) => Ok(Some(Position {
                index: u64::from_le_bytes(*index),
                term: u64::from_le_bytes(*term),
                chain: u64::from_le_bytes(*chain),
            })),
            _ => Err(RowsError::Base),
        }
    }

    fn table(&self) -> Result<Table, RowsError> {
        let read = self.database.begin_read().map_err(failed("read"))?;
        read.open_table(TABLE).map_err(failed("read"))
    }
}

type Table = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;
type Found<'a> = Result<(redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>), redb::StorageError>;

fn collect<'a>(found: impl Iterator<Item = Found<'a>>) -> Result<Vec<(Bytes, Bytes)>, RowsError> {
    found.map(copied).collect()
}

fn applied_in(table: &Table) -> Result<AppliedRow, RowsError> {
    match table.get(APPLIED_KEY).map_err(failed("read"))? {
        None => Ok(AppliedRow::default()),
        Some(value) => {
            let value = checked(APPLIED_KEY, value.value())?;
            open_envelope(Kind::Applied, &value).map_err(|error| RowsError::Applied { error })
        }
    }
}

/// A row as it was written.
fn copied(found: Found<'_>) -> Result<(Bytes, Bytes), RowsError> {
    let (key, value) = found.map_err(failed("read"))?;
    let key = Bytes::copy_from_slice(key.value());
    let value = checked(&key, value.value())?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_that_of_its_key_and_as_it_was_written_or_it_is_none() {
        let stored = summed(b"key", b"value");
        assert_eq!(checked(b"key", &stored).unwrap(), "value");
        for byte in 0..stored.len() {
            let mut rotten = stored.clone();
            rotten[byte] ^= 1;
            let error = checked(b"key", &rotten).unwrap_err();
            assert!(matches!(&error, RowsError::Rot { key } if key == "key"), "{error}");
            assert!(error.to_string().contains("changed on disk"), "{error}");
        }
        assert!(checked(b"other", &stored).is_err() && checked(b"key", b"short").is_err());
    }
}
