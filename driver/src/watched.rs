//! A disk that says how long its syncs take, and that can be slowed for a demonstration ([`crate::faults`]).
//!
//! What is measured is what the node waits for: the delay of a demonstration counts. It costs two readings of the clock and a lock that nobody waits for, beside a sync.

use crate::disk::{Disk, DiskFile};
use crate::faults::Faults;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Syncs that are remembered.
const REMEMBERED: usize = 512;

/// How long syncs took.
#[derive(Debug, Default)]
pub struct Syncs {
    recent: Mutex<VecDeque<(Instant, Duration)>>,
    faults: Option<Arc<Faults>>,
}

/// Syncs of a stretch of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SyncTimes {
    /// At most [`REMEMBERED`].
    pub count: usize,
    pub median: Duration,
    pub longest: Duration,
}

impl Syncs {
    /// `faults`: whose delay comes before each sync.
    pub fn new(faults: Option<Arc<Faults>>) -> Arc<Syncs> {
        Arc::new(Syncs { recent: Mutex::default(), faults })
    }

    fn sync<F: DiskFile>(&self, file: &F) -> io::Result<()> {
        let begun = Instant::now();
        if let Some(delay) = self.faults.as_ref().map(|faults| faults.sync_delay()).filter(|delay| !delay.is_zero()) {
            std::thread::sleep(delay);
        }
        let synced = file.sync();
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((Instant::now(), begun.elapsed()));
        synced
    }

    /// Those that ended within this time; `None` if there were none.
    pub fn within(&self, time: Duration) -> Option<SyncTimes> {
        let now = Instant::now();
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut took: Vec<Duration> =
            recent.iter().rev().take_while(|(at, _)| now.duration_since(*at) <= time).map(|(_, took)| *took).collect();
        drop(recent);
        took.sort_unstable();
        Some(SyncTimes { count: took.len(), median: *took.get(took.len() / 2)?, longest: *took.last()? })
    }
}

/// A disk whose syncs are measured.
#[derive(Clone, Debug)]
pub struct WatchedDisk<D> {
    disk: D,
    syncs: Arc<Syncs>,
}

impl<D: Disk> WatchedDisk<D> {
    pub fn new(disk: D, syncs: Arc<Syncs>) -> WatchedDisk<D> {
        WatchedDisk { disk, syncs }
    }

    fn watch(&self, file: D::File) -> WatchedFile<D::File> {
        WatchedFile { file, syncs: Arc::clone(&self.syncs) }
    }
}

impl<D: Disk> Disk for WatchedDisk<D> {
    type File = WatchedFile<D::File>;

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        Ok(self.watch(self.disk.open(name)?))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Self::File> {
        Ok(self.watch(self.disk.create(name, len)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.disk.delete(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

/// A file of a [`WatchedDisk`].
#[derive(Debug)]
pub struct WatchedFile<F> {
    file: F,
    syncs: Arc<Syncs>,
}

impl<F: DiskFile> DiskFile for WatchedFile<F> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.sync(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn syncs_are_measured_with_the_delay_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let syncs = Syncs::new(Some(Arc::clone(&faults)));
        let disk = WatchedDisk::new(RealDisk::open(dir.path()).unwrap(), Arc::clone(&syncs));
        let file = disk.create("log", 4_096).unwrap();
        assert_eq!(syncs.within(Duration::from_secs(60)), None);
        file.write_at(0, b"hola").unwrap();
        file.sync().unwrap();
        faults.set_sync_delay(Duration::from_millis(30));
        file.sync().unwrap();
        let seen = syncs.within(Duration::from_secs(60)).unwrap();
        assert_eq!(seen.count, 2);
        assert!(seen.longest >= Duration::from_millis(30), "{seen:?}");
        let mut read = [0; 4];
        disk.open("log").unwrap().read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"hola");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let syncs = Syncs::new(None);
        let file = WatchedDisk::new(RealDisk::open(dir.path()).unwrap(), Arc::clone(&syncs)).create("log", 16).unwrap();
        for _ in 0..REMEMBERED + 10 {
            file.sync().unwrap();
        }
        assert_eq!(syncs.within(Duration::from_secs(600)).unwrap().count, REMEMBERED);
    }
}
