//! What the store asks of a disk: flat files in one folder, and a clear line between what is written and what is durable.
//!
//! Rules that every disk here keeps:
//! - what [`DiskFile::write_at`] wrote is read back at once, and is durable after [`DiskFile::sync`] has returned, not before;
//! - a name that was created, renamed or deleted is durable after [`Disk::sync_dir`], not before;
//! - every error names the file.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of flat files. Clones are handles to the same folder.
pub trait Disk: Clone + Send + 'static {
    type File: DiskFile;

    /// The names of all files, ascending. A lock file is not among them.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes a file of `len` zero bytes whose blocks are allocated; fails if the name is taken.
    ///
    /// Writing into allocated blocks leaves a sync nothing to do but data, and a full disk is met here rather than in the midst of a batch.
    /// How much faster that is depends on the disk and its load (DESIGN, section 6: 2.4 times; on a busy shared disk no difference was seen).
    fn create(&self, name: &str, len: u64) -> io::Result<Self::File>;
    /// Gives a file another name, replacing what had it. Atomic.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn delete(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: fmt::Debug + Send + Sync + 'static {
    fn len(&self) -> io::Result<u64>;
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or lets it grow by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Fills `bytes`; an error if the file ends before.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes`; the file grows if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes everything written to this file durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// Puts the file's name and what was tried in front of an error.
pub(crate) fn naming<'a>(doing: &'a str, name: &'a str) -> impl FnOnce(io::Error) -> io::Error + 'a {
    move |error| io::Error::new(error.kind(), format!("cannot {doing} {name}: {error}"))
}

/// Reads a whole file that is known to be small.
pub(crate) fn read_all<F: DiskFile>(file: &F) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

const LOCK_FILE: &str = "lock";

/// A folder of the operating system, locked for this process as long as a handle lives.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: Arc<PathBuf>,
    /// Held for its lock: two processes on one folder would each believe that it alone writes the log.
    _lock: Arc<File>,
}

impl RealDisk {
    /// Takes the folder, making it if need be.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it; the text says what to do.
    pub fn open(dir: impl AsRef<Path>) -> io::Result<RealDisk> {
        let dir = dir.as_ref().to_path_buf();
        let shown = dir.display().to_string();
        std::fs::create_dir_all(&dir).map_err(naming("make the data folder", &shown))?;
        let path = dir.join(LOCK_FILE);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(naming("open", &path.display().to_string()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text =
                    format!("another process uses the data folder {shown}: stop it first, or give this node a folder of its own");
                return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
            }
            Err(TryLockError::Error(error)) => return Err(naming("lock", &path.display().to_string())(error)),
        }
        // The folder's own name must outlive a power failure too.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(naming("sync the folder above", &shown))?;
        }
        Ok(RealDisk { dir: Arc::new(dir), _lock: Arc::new(lock) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn file(&self, doing: &str, name: &str, options: &OpenOptions) -> io::Result<RealFile> {
        let path = self.path(name);
        let shown = path.display().to_string();
        let file = options.open(&path).map_err(naming(doing, &shown))?;
        Ok(RealFile { file, name: shown })
    }
}

impl Disk for RealDisk {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let shown = self.dir.display().to_string();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&*self.dir).map_err(naming("list", &shown))? {
            let entry = entry.map_err(naming("list", &shown))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != LOCK_FILE {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        self.file("open", name, OpenOptions::new().read(true).write(true))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<RealFile> {
        let file = self.file("create", name, OpenOptions::new().read(true).write(true).create_new(true))?;
        let zeros = vec![0u8; len.min(1 << 20) as usize];
        let mut at = 0;
        while at < len {
            let step = (len - at).min(zeros.len() as u64);
            file.write_at(at, &zeros[..step as usize])?;
            at += step;
        }
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let path = self.path(from);
        std::fs::rename(&path, self.path(to)).map_err(naming("rename", &path.display().to_string()))
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(naming("delete", &path.display().to_string()))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&*self.dir).and_then(|dir| dir.sync_all()).map_err(naming("sync the folder", &self.dir.display().to_string()))
    }
}

/// A file of a [`RealDisk`].
#[derive(Debug)]
pub struct RealFile {
    file: File,
    name: String,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata().map_err(naming("stat", &self.name))?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len).map_err(naming("resize", &self.name))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset).map_err(naming("read", &self.name))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset).map_err(naming("write", &self.name))
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data().map_err(naming("sync", &self.name))
    }
}
