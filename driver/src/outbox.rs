//! A client's outbox in a file: what its machine wants kept over the end of the process.
//!
//! - The file begins with a head that says so, and in which version; then it is a row of frames, each a record or what takes one back (`tertulia_protocol::client`). A file that begins otherwise is left as
//!   it is, but for one of the form without a head, which began with the session's record: that is written anew.
//! - A last frame that was not written to its end is cut off. Any other damage is an error, and the file is left as it is: what waits in it is somebody's to save.
//! - What the machine waits for is synced before it is told so. Anything else is synced with the next of that kind.
//! - When little of the file counts any more, what does is written to a new file, synced, and renamed over the old one.
//! - One process at a time: `FILE.lock` is locked as long as the outbox is open, and stays behind, empty.
//! - The file holds the session's token: whoever reads it acts for the user. It is made readable for its owner alone.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tertulia_protocol::client::{Change, Key, Rest, forgotten, frame, key_of, read};

/// How a file begins: a name, and the version of its form.
const HEAD: [u8; 16] = *b"tertulia outbox\x01";
/// A file is written anew when it is longer than this, and four times what counts in it.
const COMPACT_BYTES: u64 = 64 << 10;
/// More than any outbox holds: a file that is longer is something else.
const LARGEST: u64 = 256 << 20;

/// Why an outbox cannot be used. Each text says what to do.
#[derive(Debug)]
pub enum OutboxError {
    Io {
        path: PathBuf,
        error: io::Error,
    },
    InUse {
        path: PathBuf,
    },
    NotAnOutbox {
        path: PathBuf,
    },
    /// Written by a later version of this program.
    Newer {
        path: PathBuf,
        version: u8,
    },
    /// Frames from this byte on cannot be read, and it is not the torn end of the file.
    Damaged {
        path: PathBuf,
        byte: u64,
    },
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
                "{} is no outbox: it does not begin as one does. It was left as it is; name another file, or one that is not there yet",
                path.display()
            ),
            OutboxError::Newer { path, version } => write!(
                f,
                "{} is an outbox of version {version}, and this program knows version {} only: use the newer program, or name another file",
                path.display(),
                HEAD[15]
            ),
            OutboxError::Damaged { path, byte } => write!(
                f,
                "the outbox {} is damaged at byte {byte}: what waits in it was not sent, and the file was left as it is. \
                 Bring it back from a copy, or move it away to begin with a new one",
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
    /// Bytes of a torn end that were cut off.
    torn: u64,
    /// Held until the outbox is dropped.
    _lock: File,
}

impl Outbox {
    /// Opens an outbox, or makes one with its folder. A torn end of the file is cut off: see [`Outbox::torn`].
    ///
    /// # Errors
    /// The file is not this program's to write, or damaged: then it is as it was.
    pub fn open(path: &Path) -> Result<Outbox, OutboxError> {
        let failed = |error| OutboxError::Io { path: path.into(), error };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock_path = beside(path, "lock");
        let lock = private().open(&lock_path).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OutboxError::InUse { path: path.into() },
            TryLockError::Error(error) => failed(error),
        })?;
        let found = find(path).inspect_err(|error| {
            // Nobody will want a lock beside a file that is something else.
            if matches!(error, OutboxError::NotAnOutbox { .. }) {
                let _ = std::fs::remove_file(&lock_path);
            }
        })?;
        let live_bytes = found.live.values().map(|record| frame(record).len() as u64).sum();
        let file = match found.file {
            Some(file) => file,
            None => written(path, &found.live).map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len();
        Ok(Outbox { path: path.into(), file, length, live: found.live, live_bytes, torn: found.torn, _lock: lock })
    }

    /// How many bytes were cut off when it was opened: of something that was not written to its end, or whose end is damaged.
    pub fn torn(&self) -> u64 {
        self.torn
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
        self.file = written(&self.path, &self.live)?;
        self.length = HEAD.len() as u64 + self.live_bytes;
        Ok(())
    }
}

/// What is there.
#[derive(Default)]
struct Found {
    /// The file, at its end; `None` where it is to be written anew.
    file: Option<File>,
    live: BTreeMap<Key, Bytes>,
    torn: u64,
}

/// Reads the file of an outbox, cuts its torn end off, and makes it private; one that is refused is not touched.
fn find(path: &Path) -> Result<Found, OutboxError> {
    let failed = |error| OutboxError::Io { path: path.into(), error };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::default()),
        file => file.map_err(failed)?,
    };
    let kind = file.metadata().map_err(failed)?;
    let mut bytes = Vec::new();
    if !kind.is_file() || kind.len() > LARGEST {
        return Err(OutboxError::NotAnOutbox { path: path.into() });
    }
    file.read_to_end(&mut bytes).map_err(failed)?;
    if HEAD.starts_with(&bytes) {
        // Nothing, or a head that was not written to its end.
        return Ok(Found::default());
    }
    let (name, version) = HEAD.split_at(15);
    let has_head = bytes.starts_with(name) && bytes.len() >= HEAD.len();
    if has_head && bytes[15] != version[0] {
        return Err(OutboxError::Newer { path: path.into(), version: bytes[15] });
    }
    let begin = if has_head { HEAD.len() } else { 0 };
    let found = read(&bytes[begin..]);
    // In the form without a head, the session's record was written before anything else.
    if !has_head && !found.records.contains_key(&Key::Session) {
        return Err(OutboxError::NotAnOutbox { path: path.into() });
    }
    let length = (begin + found.whole) as u64;
    if found.rest == Rest::Damaged {
        return Err(OutboxError::Damaged { path: path.into(), byte: length });
    }
    let torn = bytes.len() as u64 - length;
    if !has_head {
        return Ok(Found { file: None, live: found.records, torn });
    }
    make_private(&file).map_err(failed)?;
    if torn > 0 {
        file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    file.seek(SeekFrom::Start(length)).map_err(failed)?;
    Ok(Found { file: Some(file), live: found.records, torn })
}

/// A file of these records in place of the one that is there, durable with its name.
fn written(path: &Path, live: &BTreeMap<Key, Bytes>) -> io::Result<File> {
    let new = beside(path, "new");
    let mut file = private().truncate(true).open(&new)?;
    make_private(&file)?;
    file.write_all(&HEAD)?;
    file.write_all(&live.values().flat_map(frame).collect::<Vec<u8>>())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_folder(path)?;
    Ok(file)
}

/// Takes it from everybody but its owner, also where it was there before.
fn make_private(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut rights = file.metadata()?.permissions();
        if rights.mode() & 0o077 != 0 {
            rights.set_mode(0o600);
            file.set_permissions(rights)?;
        }
    }
    Ok(())
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
