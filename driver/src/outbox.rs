//! A client's outbox in a file: what its machine wants kept over the end of the process.
//!
//! - The file is a row of frames, each a record or what takes one back (`tertulia_protocol::client`); it is read up to the first frame that is not whole, and cut there.
//! - What the machine waits for is synced before it is told so. Anything else is synced with the next of that kind.
//! - When little of the file counts any more, what does is written to a new file, synced, and renamed over the old one.
//! - One process at a time: `FILE.lock` is locked as long as the outbox is open, and stays behind, empty.
//! - The file holds the session's token: whoever reads it acts for the user. It is made readable for its owner alone.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tertulia_protocol::client::{Change, Key, forgotten, frame, key_of, read};

/// A file is written anew when it is longer than this, and four times what counts in it.
const COMPACT_BYTES: u64 = 64 << 10;
/// More than any outbox holds: a file that is longer is something else.
const LARGEST: u64 = 256 << 20;

/// Why an outbox cannot be used. Each text says what to do.
#[derive(Debug)]
pub enum OutboxError {
    Io { path: PathBuf, error: io::Error },
    InUse { path: PathBuf },
    NotAnOutbox { path: PathBuf },
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutboxError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            OutboxError::InUse { path } => {
                write!(f, "{} is in use by another process: end that one, or name another file", path.display())
            }
            OutboxError::NotAnOutbox { path } => write!(
                f,
                "{} is not empty and does not begin as an outbox does: name another file, or remove this one",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OutboxError {}

/// An open outbox. Not for two clients: see [`Outbox::records`].
#[derive(Debug)]
pub struct Outbox {
    path: PathBuf,
    file: File,
    length: u64,
    live: BTreeMap<Key, Bytes>,
    /// Bytes of the frames of `live`.
    live_bytes: u64,
    /// Held until the outbox is dropped.
    _lock: File,
}

impl Outbox {
    /// Opens an outbox, or makes one with its folder. A torn end of the file is cut off.
    pub fn open(path: &Path) -> Result<Outbox, OutboxError> {
        let failed = |error| OutboxError::Io { path: path.into(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = private().open(beside(path, "lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OutboxError::InUse { path: path.into() },
            TryLockError::Error(error) => failed(error),
        })?;
        let mut file = private().open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        let too_long = file.metadata().map_err(failed)?.len() > LARGEST;
        if !too_long {
            file.read_to_end(&mut bytes).map_err(failed)?;
        }
        let found = read(&bytes);
        // The first record is written before anything depends on it, so a short beginning may be torn; a long one is somebody else's file.
        if too_long || found.whole == 0 && bytes.len() > 4096 {
            return Err(OutboxError::NotAnOutbox { path: path.into() });
        }
        let length = found.whole as u64;
        if length < bytes.len() as u64 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        sync_folder(path).map_err(failed)?;
        let live_bytes = found.records.values().map(|record| frame(record).len() as u64).sum();
        Ok(Outbox { path: path.into(), file, length, live: found.records, live_bytes, _lock: lock })
    }

    /// What was kept: what a client is resumed from.
    pub fn records(&self) -> Vec<Bytes> {
        self.live.values().cloned().collect()
    }

    /// Carries out changes in their order; `None` forgets. True when they are durable, with all before them.
    pub fn write(&mut self, changes: &[(Change, Option<Bytes>)]) -> Result<bool, OutboxError> {
        self.append(changes).map_err(|error| OutboxError::Io { path: self.path.clone(), error })
    }

    fn append(&mut self, changes: &[(Change, Option<Bytes>)]) -> io::Result<bool> {
        let mut frames = Vec::new();
        for (change, record) in changes {
            let record = record.clone().unwrap_or_else(|| forgotten(change.key));
            let framed = frame(&record);
            debug_assert!(key_of(&record).is_ok_and(|(key, _)| key == change.key));
            frames.extend_from_slice(&framed);
            let (key, is_gone) = (change.key, key_of(&record).is_ok_and(|(_, gone)| gone));
            let before = if is_gone { self.live.remove(&key) } else { self.live.insert(key, record) };
            self.live_bytes -= before.map_or(0, |before| frame(&before).len() as u64);
            self.live_bytes += if is_gone { 0 } else { framed.len() as u64 };
        }
        self.file.write_all(&frames)?;
        self.length += frames.len() as u64;
        let sync = changes.iter().any(|(change, _)| change.sync);
        if self.length > COMPACT_BYTES && self.length > self.live_bytes * 4 {
            self.compact()?;
            return Ok(true);
        }
        if sync {
            self.file.sync_data()?;
        }
        Ok(sync)
    }

    fn compact(&mut self) -> io::Result<()> {
        let new = beside(&self.path, "new");
        let mut file = private().truncate(true).open(&new)?;
        let frames: Vec<u8> = self.live.values().flat_map(frame).collect();
        file.write_all(&frames)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        sync_folder(&self.path)?;
        self.file = file;
        self.length = frames.len() as u64;
        Ok(())
    }
}

/// For reading and writing, made where it is missing, for its owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// A new file's name is durable with its folder.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
