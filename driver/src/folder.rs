//! A data folder as a whole: whose it is, how one is made, and how log and rows are put together at a start.
//!
//! Rules that it keeps:
//! - a folder belongs to one node of one cluster for ever, and says so in a file of its own that is written once;
//! - a folder is made under a marker file, so that a crash half-way is told apart from a folder that lost its identity: the one is begun
//!   again, the other is refused;
//! - a node starts only from rows and a log that fit together, and from a log whose hash chain holds. What of them is damaged is given up and
//!   said ([`Damage`]), for a peer can make it good; a folder is refused when a vote may be forgotten or when it is not clear whose it is;
//! - what an outbox has lost changes nothing of that: it is said, and nobody waits for it;
//! - rows are never deleted for being damaged: the last ones that were given up stand beside as `rows.damaged`.

mod restore;

pub use restore::{MakeError, make};

use crate::disk::{Disk, DiskFile, naming, read_all};
use crate::kept::{KeptError, OutboxFile, is_outbox_file};
use crate::log::{FOLDER_IS_LOST, Found, Log, LogError, SEGMENT_BYTES, is_log_file};
use crate::rows::{NEW_ROWS_FILE, ROWS_FILE, Rows, RowsError, RowsOptions};
use bytes::Bytes;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tertulia_protocol::contract::{Damage, Position, Restored};
use tertulia_protocol::ids::{Boot, ClusterId, Incarnation, Index, NodeId};
use tertulia_protocol::raft::Entry;
use xxhash_rust::xxh3::xxh3_64;

const IDENTITY_FILE: &str = "identity";
const NEW_IDENTITY_FILE: &str = "identity.new";
/// Rows that were given up, the last ones.
const DAMAGED_ROWS_FILE: &str = "rows.damaged";
/// Stands while the folder is being made.
const CREATING_FILE: &str = "creating";

const MAGIC: &[u8; 8] = b"TERTULIA";
/// The form of everything in the folder.
///
/// 2: records of the log say where it begins and whether it is damaged; a log can be trimmed.
const FORMAT: u32 = 2;

/// Whose folder it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FolderIdentity {
    pub cluster: ClusterId,
    pub node: NodeId,
}

/// How the store is laid out and how much it keeps in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreOptions {
    /// The size of a new segment of the log, in bytes; 4 KiB to 2 GiB.
    pub segment_bytes: u64,
    pub rows: RowsOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { segment_bytes: SEGMENT_BYTES, rows: RowsOptions::default() }
    }
}

/// Bytes that a store's files have, by what they are for. Segments of the log are made whole before they are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    pub log: u64,
    pub rows: u64,
    pub outbox: u64,
}

/// How large the files in this folder are, whoever has it open.
///
/// # Errors
/// The folder cannot be read. A file that goes meanwhile does not count.
pub fn sizes(folder: &Path) -> io::Result<Sizes> {
    let mut sizes = Sizes::default();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (name, bytes) = (entry.file_name(), entry.metadata().map_or(0, |file| file.len()));
        let Some(name) = name.to_str() else { continue };
        let sum = match name {
            name if is_log_file(name) => &mut sizes.log,
            name if is_outbox_file(name) => &mut sizes.outbox,
            name if name.starts_with("rows.") => &mut sizes.rows,
            _ => continue,
        };
        *sum += bytes;
    }
    Ok(sizes)
}

/// The open parts of a store.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    pub log: Log<D>,
    pub rows: Rows,
    pub kept: OutboxFile<D>,
}

/// Why a folder cannot be used. Each text says what to do.
#[derive(Debug)]
pub enum OpenError {
    Io(io::Error),
    /// The folder holds files of something else.
    NotAFolder {
        file: String,
    },
    /// The folder holds a store and does not say whose.
    IdentityLost {
        file: String,
    },
    IdentityDamaged,
    OtherFormat {
        found: u32,
    },
    OtherCluster {
        found: ClusterId,
        expected: ClusterId,
    },
    OtherNode {
        found: NodeId,
        expected: NodeId,
    },
    Log(LogError),
    Rows(RowsError),
    Kept(KeptError),
    /// The rows come of another log.
    RowsOfAnotherLog {
        applied: Index,
    },
    /// An entry does not continue the one before it.
    BrokenChain {
        index: Index,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io(error) => write!(f, "{error}"),
            OpenError::NotAFolder { file } => {
                write!(
                    f,
                    "the folder is no Tertulia data folder, but holds files ({file}): name an empty folder or one that does not exist"
                )
            }
            OpenError::IdentityLost { file } => {
                write!(
                    f,
                    "the folder holds data of a node ({file}), but the file {IDENTITY_FILE} that says whose is missing. {FOLDER_IS_LOST}"
                )
            }
            OpenError::IdentityDamaged => write!(f, "the file {IDENTITY_FILE} is damaged. {FOLDER_IS_LOST}"),
            OpenError::OtherFormat { found } => write!(
                f,
                "the data folder has format {found}, and this version reads format {FORMAT}: run the version that wrote it, or a newer one"
            ),
            OpenError::OtherCluster { found, expected } => write!(
                f,
                "the data folder belongs to another cluster ({found}, not {expected}): check the cluster secret, or name another folder"
            ),
            OpenError::OtherNode { found, expected } => write!(
                f,
                "the data folder belongs to node {}, and this is node {}: name that node's own folder; a folder is never given to another node",
                found.0, expected.0
            ),
            OpenError::Log(error) => write!(f, "{error}"),
            OpenError::Rows(error) => write!(f, "{error}"),
            OpenError::Kept(error) => write!(f, "{error}"),
            OpenError::RowsOfAnotherLog { applied } => write!(
                f,
                "rows and log disagree about log entry {applied}: they are not of the same folder, or one of them is damaged. {FOLDER_IS_LOST}"
            ),
            OpenError::BrokenChain { index } => {
                write!(f, "log entry {index} does not continue the one before it: the log is damaged. {FOLDER_IS_LOST}")
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

impl From<LogError> for OpenError {
    fn from(error: LogError) -> Self {
        OpenError::Log(error)
    }
}

impl From<KeptError> for OpenError {
    fn from(error: KeptError) -> Self {
        OpenError::Kept(error)
    }
}

impl From<RowsError> for OpenError {
    fn from(error: RowsError) -> Self {
        OpenError::Rows(error)
    }
}

/// Opens a folder, making it first if it is empty, and says what it holds.
///
/// `draw_incarnation` is asked only for a new folder, and must draw at random: a folder is told from a wiped one by it.
///
/// # Errors
/// See [`OpenError`]. A folder that is refused is left as it was.
pub fn open<D: Disk>(
    disk: D,
    identity: FolderIdentity,
    boot: Boot,
    draw_incarnation: impl FnOnce() -> Incarnation,
    options: StoreOptions,
) -> Result<(Opened<D>, Restored), OpenError> {
    let names = disk.list()?;
    let has = |name: &str| names.iter().any(|known| known == name);
    let incarnation = if has(IDENTITY_FILE) {
        let incarnation = read_identity(&disk, identity)?;
        if has(CREATING_FILE) {
            disk.delete(CREATING_FILE)?;
        }
        incarnation
    } else {
        check_empty(&names)?;
        create(&disk, &names, identity, draw_incarnation(), options)?
    };
    // First of all, for it refuses what must be refused and changes nothing.
    let found = Log::find(disk.clone(), salt(incarnation), options.segment_bytes)?;
    let begins = found.start();
    let (read, lost) = match read_rows(&disk, options.rows)? {
        Some(read) if read.applied.index >= begins.index => (read, false),
        unfit => (replace_rows(&disk, unfit, begins.index, options.rows)?, true),
    };
    let (contained, base) = if lost { (begins, None) } else { (read.applied, read.base) };
    let log = settle(found, contained, base)?;
    let (kept, outbox) = OutboxFile::open(disk, salt(incarnation))?;
    let restored = Restored {
        vote: log.vote(),
        applied: read.applied,
        start: log.start(),
        bytes: log.bytes_through(read.applied.index),
        log: entries_above(&log, contained)?,
        rows: read.working_set,
        kept: outbox.records,
        damage: Damage { log: log.damaged(), rows: lost && begins.index > 0, kept: outbox.damaged },
        incarnation,
        boot,
    };
    Ok((Opened { log, rows: read.rows, kept }, restored))
}

/// Rows that can be used.
struct ReadRows {
    rows: Rows,
    applied: Position,
    /// The rows were installed from a snapshot that stands for this place.
    base: Option<Position>,
    working_set: Vec<(Bytes, Bytes)>,
}

/// Reads what a start needs of the rows; `None` when they are gone or damaged, so that they have to be made again.
fn read_rows<D: Disk>(disk: &D, options: RowsOptions) -> Result<Option<ReadRows>, OpenError> {
    if !disk.list()?.iter().any(|name| name == ROWS_FILE) {
        tracing::warn!("the file {ROWS_FILE} is gone");
        return Ok(None);
    }
    let read = || {
        let rows = Rows::open(disk, options)?;
        let (applied, working_set) = (rows.applied()?.position, rows.working_set()?);
        let base = rows.base()?;
        Ok(ReadRows { rows, applied, base, working_set })
    };
    // redb can panic on a damaged file, when it is read or closed as well.
    match catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(RowsError::Panicked)) {
        Ok(read) => Ok(Some(read)),
        Err(error) if is_damage(&error) => {
            tracing::warn!(%error, "the rows are damaged");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the rows are to be given up for this. A disk that fails is no reason to: they may be whole.
fn is_damage(error: &RowsError) -> bool {
    match error {
        RowsError::Panicked | RowsError::Rot { .. } | RowsError::Applied { .. } | RowsError::Base => true,
        RowsError::Redb { error, .. } => match &**error {
            redb::Error::Io(error) => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData),
            _ => true,
        },
        _ => false,
    }
}

/// Makes empty rows in place of those that cannot be used, which are put aside.
fn replace_rows<D: Disk>(disk: &D, unfit: Option<ReadRows>, begins: Index, options: RowsOptions) -> Result<ReadRows, OpenError> {
    if begins == 0 {
        tracing::warn!("the rows are built again from the log");
    } else {
        tracing::warn!(
            begins,
            "the rows are lost, and the log does not reach back far enough to build them again: a peer's snapshot is needed"
        );
    }
    // Empty ones were made at an earlier start and wait for that snapshot.
    match unfit {
        Some(unfit) if unfit.applied.index == 0 => return Ok(unfit),
        unfit => drop(unfit),
    }
    if disk.list()?.iter().any(|name| name == ROWS_FILE) {
        disk.rename(ROWS_FILE, DAMAGED_ROWS_FILE)?;
        tracing::warn!("the file {ROWS_FILE} stands aside as {DAMAGED_ROWS_FILE}; it may be deleted");
    }
    Rows::create(disk)?;
    let rows = Rows::open(disk, options)?;
    Ok(ReadRows { rows, applied: Position::default(), base: None, working_set: Vec::new() })
}

/// Decides what of the log is kept, beside rows that contain everything through `contained`; with lost rows, where the log begins.
///
/// The log that comes of it begins at or below that place and holds it, or begins right after it. `base`: the rows were installed from a
/// snapshot that stands for this place.
///
/// # Errors
/// [`OpenError::RowsOfAnotherLog`] when a whole log has another entry there, or what the disk says.
fn settle<D: Disk>(found: Found<D>, contained: Position, base: Option<Position>) -> Result<Log<D>, OpenError> {
    let fits = found.position_at(contained.index)? == Some(contained);
    if found.is_damaged() {
        return Ok(match found.whole_above(contained)? {
            Some(kept) => found.begin_after(contained, &kept, false)?,
            None if fits => found.open()?,
            // The rows contain all that is left and more. An entry before the damage may have been replaced behind it, too.
            None => found.begin_after(contained, &[], true)?,
        });
    }
    if fits {
        Ok(found.open()?)
    } else if base == Some(contained) {
        // The log is from before the installation. All of it that was acknowledged is in the rows: what it holds above them was never committed.
        Ok(found.begin_after(contained, &[], false)?)
    } else if contained.index > found.last() {
        // Rows never run ahead of the durable log: its end is gone.
        Ok(found.begin_after(contained, &[], true)?)
    } else {
        Err(OpenError::RowsOfAnotherLog { applied: contained.index })
    }
}

/// The entries that the rows do not contain, after a check that they continue what the rows contain.
fn entries_above<D: Disk>(log: &Log<D>, contained: Position) -> Result<Vec<Entry>, OpenError> {
    let last = log.last();
    let entries = if contained.index < last { log.read(contained.index + 1, last, u64::MAX)? } else { Vec::new() };
    let mut previous = contained;
    for entry in &entries {
        if !entry.follows(previous) {
            return Err(OpenError::BrokenChain { index: entry.index });
        }
        previous = entry.position();
    }
    Ok(entries)
}

/// Mixed into the log's checksums, so that a segment of another folder is never taken for one of this.
fn salt(incarnation: Incarnation) -> u64 {
    xxh3_64(&incarnation.0.to_le_bytes())
}

fn is_ours(name: &str) -> bool {
    [IDENTITY_FILE, NEW_IDENTITY_FILE, CREATING_FILE, ROWS_FILE, NEW_ROWS_FILE, DAMAGED_ROWS_FILE].contains(&name)
        || is_log_file(name)
        || is_outbox_file(name)
}

/// Whether a folder without identity may be made into one: it is empty, or holds only what a crash left of an earlier try.
fn check_empty(names: &[String]) -> Result<(), OpenError> {
    if let Some(file) = names.iter().find(|name| !is_ours(name)) {
        return Err(OpenError::NotAFolder { file: file.clone() });
    }
    match names.first() {
        Some(file) if !names.iter().any(|name| name == CREATING_FILE) => Err(OpenError::IdentityLost { file: file.clone() }),
        _ => Ok(()),
    }
}

/// Makes a folder. The rename of the identity is the moment from which it is one.
fn create<D: Disk>(
    disk: &D,
    names: &[String],
    identity: FolderIdentity,
    incarnation: Incarnation,
    options: StoreOptions,
) -> Result<Incarnation, OpenError> {
    begin_creating(disk, names)?;
    Rows::create(disk)?;
    Log::create(disk, salt(incarnation), options.segment_bytes)?;
    finish_creating(disk, identity, incarnation)?;
    Ok(incarnation)
}

/// Takes away what an earlier try left, and marks the folder as one that is being made.
fn begin_creating<D: Disk>(disk: &D, names: &[String]) -> io::Result<()> {
    for name in names.iter().filter(|name| *name != CREATING_FILE) {
        disk.delete(name)?;
    }
    if !names.iter().any(|name| name == CREATING_FILE) {
        disk.create(CREATING_FILE, 0)?;
    }
    disk.sync_dir()
}

/// Rows and log are there: says whose folder it is.
fn finish_creating<D: Disk>(disk: &D, identity: FolderIdentity, incarnation: Incarnation) -> io::Result<()> {
    let bytes = identity_bytes(identity, incarnation);
    let file = disk.create(NEW_IDENTITY_FILE, bytes.len() as u64)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    disk.rename(NEW_IDENTITY_FILE, IDENTITY_FILE)?;
    disk.sync_dir()?;
    disk.delete(CREATING_FILE)?;
    disk.sync_dir()
}

fn identity_bytes(identity: FolderIdentity, incarnation: Incarnation) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&identity.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&identity.node.0.to_le_bytes());
    bytes.extend_from_slice(&incarnation.0.to_le_bytes());
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads the identity and compares it. In every format the file begins with magic and format and ends with a checksum over all before it.
fn read_identity<D: Disk>(disk: &D, expected: FolderIdentity) -> Result<Incarnation, OpenError> {
    let bytes = read_all(&disk.open(IDENTITY_FILE)?).map_err(naming("read", IDENTITY_FILE))?;
    let damaged = || OpenError::IdentityDamaged;
    let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(damaged)?;
    let body = body.strip_prefix(MAGIC).filter(|_| xxh3_64(body) == u64::from_le_bytes(*sum)).ok_or_else(damaged)?;
    let (format, body) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
    let found = u32::from_le_bytes(*format);
    if found != FORMAT {
        return Err(OpenError::OtherFormat { found });
    }
    let (cluster, body) = body.split_first_chunk::<16>().ok_or_else(damaged)?;
    let (node, body) = body.split_first_chunk::<8>().ok_or_else(damaged)?;
    let incarnation: [u8; 16] = body.try_into().map_err(|_| damaged())?;
    let (cluster, node) = (ClusterId(u128::from_le_bytes(*cluster)), NodeId(u64::from_le_bytes(*node)));
    if cluster != expected.cluster {
        return Err(OpenError::OtherCluster { found: cluster, expected: expected.cluster });
    }
    if node != expected.node {
        return Err(OpenError::OtherNode { found: node, expected: expected.node });
    }
    Ok(Incarnation(u128::from_le_bytes(incarnation)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;
    use tertulia_protocol::contract::Batch;
    use tertulia_protocol::time::Timestamp;

    fn entries(mut previous: Position, term: u64, count: usize) -> Vec<Entry> {
        let next = |_| {
            let entry = Entry::after(previous, term, Timestamp(1), Bytes::from(vec![term as u8; 100]));
            previous = entry.position();
            entry
        };
        (0..count).map(next).collect()
    }

    fn found(held: &[Entry], delete: Option<&str>) -> (SimDisk, Found<SimDisk>) {
        let disk = SimDisk::new();
        Log::create(&disk, 1, 4096).unwrap();
        let mut log = Log::open(disk.clone(), 1, 4096).unwrap();
        log.append(&Batch { entries: held.to_vec(), ..Batch::default() }).unwrap();
        log.sync().unwrap();
        if let Some(name) = delete {
            disk.delete(name).unwrap();
        }
        (disk.clone(), Log::find(disk, 1, 4096).unwrap())
    }

    #[test]
    fn a_log_from_before_an_installation_begins_after_it_and_that_is_no_damage() {
        let cluster = entries(Position::default(), 2, 50);
        let strange = [&cluster[..10], &entries(cluster[9].position(), 1, 20)].concat();
        let base = cluster[19].position();
        // It ends below, it is empty, or it holds another entry there and more above.
        for held in [&cluster[..10], &[], &strange] {
            let log = settle(found(held, None).1, base, Some(base)).unwrap();
            assert_eq!((log.start(), log.last(), log.damaged()), (base, 20, false));
            drop(log);
        }
        // A log that holds it is kept, and so is one that has gone on since.
        for applied in [base, cluster[29].position()] {
            let log = settle(found(&cluster[..40], None).1, applied, Some(base)).unwrap();
            assert_eq!((log.start().index, log.last(), log.damaged()), (0, 40, false));
        }
        // Rows that went on after the installation prove that the log did so too.
        let applied = cluster[29].position();
        let (disk, ahead) = found(&cluster[..10], None);
        let log = settle(ahead, applied, Some(base)).unwrap();
        assert_eq!((log.start(), log.last(), log.damaged()), (applied, 30, true));
        drop(log);
        assert!(Log::open(disk, 1, 4096).unwrap().damaged());
        // Damage is damage, whatever was installed.
        let log = settle(found(&strange, Some("log-00000001")).1, base, Some(base)).unwrap();
        assert_eq!((log.start(), log.last(), log.damaged()), (base, 20, true));
    }

    #[test]
    fn without_an_installation_rows_that_disagree_with_a_whole_log_are_refused() {
        let cluster = entries(Position::default(), 2, 50);
        let strange = entries(Position::default(), 1, 30);
        let error = settle(found(&strange, None).1, cluster[19].position(), None).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::RowsOfAnotherLog { applied: 20 }));
    }
}
