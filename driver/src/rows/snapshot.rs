//! Snapshots of the rows: read in parts for a peer or for a backup, and received in parts from one.
//!
//! Rules that it keeps:
//! - all parts that are read of one snapshot are of one state: it is pinned by a read transaction, which costs only the pages that change meanwhile. At most
//!   [`MOST_PINS`] are held, each until nobody has read from it for [`PIN_FOR`];
//! - what comes from a peer stands in a file of its own, which no read sees. The rename over the rows in use is the moment from which it counts: a crash leaves
//!   the old rows or the new ones as a whole. What is left of a file that did not get there is deleted at the next start;
//! - received rows say where they came from ([`Rows::base`]): after a crash the log may still be the one from before.

use super::*;
use std::ops::Bound;
use tertulia_protocol::contract::{Receive, SnapshotRows};
use tokio::time::Instant;

/// Snapshots that are held at once: for as many peers as a node gives them to, and for a backup. The one that was not read for longest makes way for another.
pub const MOST_PINS: usize = 3;
/// How long a snapshot is held after it was last read.
pub const PIN_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// A state that is read in parts.
pub(super) struct Pin {
    applied: AppliedRow,
    table: Table,
    used: Instant,
}

/// The folder, as far as a received file needs it.
pub(super) trait Home: Send {
    /// An empty file for received rows, whatever stood there before.
    fn begin(&self, cache_bytes: usize) -> Result<Database, RowsError>;
    /// The received file takes the place of the rows, durably.
    fn install(&self) -> io::Result<()>;
    /// Deletes the received file.
    fn discard(&self) -> io::Result<()>;
}

impl<D: Disk> Home for D {
    fn begin(&self, cache_bytes: usize) -> Result<Database, RowsError> {
        self.discard()?;
        let database = open_database(self.create(NEW_ROWS_FILE, 0)?, cache_bytes)?;
        let write = database.begin_write().map_err(failed("receive"))?;
        write.open_table(TABLE).map_err(failed("receive"))?;
        write.commit().map_err(failed("receive"))?;
        Ok(database)
    }

    fn install(&self) -> io::Result<()> {
        self.rename(NEW_ROWS_FILE, ROWS_FILE)?;
        self.sync_dir()
    }

    fn discard(&self) -> io::Result<()> {
        if self.list()?.iter().any(|name| name == NEW_ROWS_FILE) {
            self.delete(NEW_ROWS_FILE)?;
        }
        Ok(())
    }
}

impl Rows {
    /// Reads a part of a snapshot; see [`Query::Snapshot`].
    ///
    /// # Errors
    /// [`RowsError::NotRows`] for any other query, [`RowsError::Rot`] for a row that is not as it was written; otherwise what the disk says.
    pub fn read_snapshot(&mut self, query: &Query, now: Instant) -> Result<SnapshotRows, RowsError> {
        let Query::Snapshot { at, from, to, max_bytes } = query else { return Err(RowsError::NotRows) };
        self.unpin(now);
        let pin = self.pinned(*at, now)?;
        let applied = pin.applied;
        let to = to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut rows, mut bytes, mut next) = (Vec::new(), 0, None);
        if matches!(to, Bound::Excluded(to) if to <= &from[..]) {
            return Ok(SnapshotRows { applied, rows, next });
        }
        for found in pin.table.range::<&[u8]>((Bound::Included(&from[..]), to)).map_err(failed("read"))? {
            if bytes >= *max_bytes as usize && !rows.is_empty() {
                next = Some(Bytes::copy_from_slice(found.map_err(failed("read"))?.0.value()));
                break;
            }
            let (key, value) = copied(found)?;
            bytes += key.len() + value.len();
            rows.push((key, value));
        }
        Ok(SnapshotRows { applied, rows, next })
    }

    /// Lets go of snapshots that nobody reads any more; when to look again.
    pub fn unpin(&mut self, now: Instant) -> Option<Instant> {
        self.pins.retain(|pin| now.duration_since(pin.used) < PIN_FOR);
        self.pins.iter().map(|pin| pin.used + PIN_FOR).min()
    }

    fn pinned(&mut self, at: Option<Index>, now: Instant) -> Result<&Pin, RowsError> {
        let held = |pins: &[Pin], index| pins.iter().position(|pin| pin.applied.position.index == index);
        let nth = match at.and_then(|index| held(&self.pins, index)) {
            Some(nth) => nth,
            None => {
                let table = self.table()?;
                let applied = applied_in(&table)?;
                if let Some(nth) = held(&self.pins, applied.position.index) {
                    nth
                } else {
                    while self.pins.len() >= MOST_PINS {
                        let oldest = (0..self.pins.len()).min_by_key(|nth| self.pins[*nth].used);
                        drop(oldest.map(|nth| self.pins.remove(nth)));
                    }
                    self.pins.push(Pin { applied, table, used: now });
                    self.pins.len() - 1
                }
            }
        };
        self.pins[nth].used = now;
        Ok(&self.pins[nth])
    }

    /// Does one step of receiving. True when received rows have taken the place of those in use.
    ///
    /// # Errors
    /// [`RowsError::NotReceiving`] when nothing was begun; otherwise what the disk says. The rows in use are what they were before.
    pub fn receive(&mut self, step: &Receive) -> Result<bool, RowsError> {
        match step {
            Receive::Begin => {
                self.receiving = None;
                self.receiving = Some(self.home.begin(self.options.cache_bytes)?);
            }
            Receive::Range { from, to, rows } => self.receive_range(from, to.as_ref(), rows)?,
            Receive::Install { position } => {
                self.install(*position)?;
                return Ok(true);
            }
            Receive::Abandon => {
                self.receiving = None;
                self.home.discard()?;
            }
        }
        Ok(false)
    }

    fn receive_range(&mut self, from: &Bytes, to: Option<&Bytes>, rows: &[(Bytes, Bytes)]) -> Result<(), RowsError> {
        let received = self.receiving.as_ref().ok_or(RowsError::NotReceiving)?;
        let to = to.map_or(Bound::Unbounded, |to| Bound::Excluded(&to[..]));
        fill(received, (Bound::Included(&from[..]), to), rows.iter().map(|(key, value)| (key, Some(value))))
    }

    fn install(&mut self, position: Position) -> Result<(), RowsError> {
        let received = self.receiving.take().ok_or(RowsError::NotReceiving)?;
        complete(&received, position)?;
        self.home.install()?;
        self.pins.clear();
        self.database = received;
        (self.batches, self.bytes) = (0, 0);
        (self.through, self.durable) = (position.index, position.index);
        Ok(())
    }
}

/// Writes into a file that is not in use: nothing but these rows stands in the range then. `None` deletes a row. Not durable: a crash loses all of it anyway.
fn fill<'a>(
    database: &Database,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    rows: impl Iterator<Item = (&'a Bytes, Option<&'a Bytes>)>,
) -> Result<(), RowsError> {
    let mut write = database.begin_write().map_err(failed("receive"))?;
    write.set_durability(Durability::None).map_err(failed("receive"))?;
    {
        let mut table = write.open_table(TABLE).map_err(failed("receive"))?;
        table.retain_in::<&[u8], _>(range, |_, _| false).map_err(failed("receive"))?;
        for (key, value) in rows {
            match value {
                Some(value) => drop(table.insert(&**key, &*summed(key, value)).map_err(failed("receive"))?),
                None => drop(table.remove(&**key).map_err(failed("receive"))?),
            }
        }
    }
    write.commit().map_err(failed("receive"))
}

/// Says what the rows stand for and makes all of them durable.
fn complete(database: &Database, position: Position) -> Result<(), RowsError> {
    let mut write = database.begin_write().map_err(failed("install"))?;
    write.set_quick_repair(true);
    {
        let base: Vec<u8> =
            [position.index, position.term, position.chain].iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut table = write.open_table(ORIGIN).map_err(failed("install"))?;
        table.insert(BASE, &*summed(BASE, &base)).map_err(failed("install"))?;
    }
    write.commit().map_err(failed("install"))
}

/// Rows that are made from a backup, in a file beside that gets its name at the end.
pub(crate) struct Making {
    home: Box<dyn Home>,
    database: Database,
}

impl Making {
    pub(crate) fn begin<D: Disk>(disk: &D, options: RowsOptions) -> Result<Making, RowsError> {
        Ok(Making { home: Box::new(disk.clone()), database: disk.begin(options.cache_bytes)? })
    }

    /// No row may come twice.
    pub(crate) fn add(&self, rows: &[(Bytes, Bytes)]) -> Result<(), RowsError> {
        fill(&self.database, NOTHING, rows.iter().map(|(key, value)| (key, Some(value))))
    }

    /// With these last changes they stand for `position`, durably and under their name when this returns.
    pub(crate) fn finish(self, changes: &RowBatch, position: Position) -> Result<(), RowsError> {
        fill(&self.database, NOTHING, changes.rows.iter().map(|(key, value)| (key, value.as_ref())))?;
        complete(&self.database, position)?;
        drop(self.database);
        Ok(self.home.install()?)
    }
}

/// An empty range: nothing is taken away.
const NOTHING: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Unbounded, Bound::Excluded(&[]));
