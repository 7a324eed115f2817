//! What the log's tests share.

use super::{contents, dice};
use tertulia_driver::disk::Disk;
use tertulia_driver::log::{Log, LogError};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::{Batch, Position};
use tertulia_protocol::raft::Entry;

pub const SALT: u64 = 42;
pub const SEGMENT: u64 = 8192;

pub fn open(disk: &SimDisk) -> Result<Log<SimDisk>, LogError> {
    Log::open(disk.clone(), SALT, SEGMENT)
}

pub fn new_log() -> (SimDisk, Log<SimDisk>) {
    let disk = SimDisk::new();
    Log::create(&disk, SALT, SEGMENT).unwrap();
    let log = open(&disk).unwrap();
    (disk, log)
}

/// All entries that the log holds.
pub fn all(log: &Log<SimDisk>) -> Vec<Entry> {
    let start = log.start().index;
    if log.last() == start { Vec::new() } else { log.read(start + 1, log.last(), u64::MAX).unwrap() }
}

pub fn stored(log: &mut Log<SimDisk>, batch: &Batch) {
    log.append(batch).unwrap();
    log.sync().unwrap();
}

pub fn crash(disk: &SimDisk, outcome: CrashOutcome) -> SimDisk {
    disk.crash(outcome, &mut dice(7));
    disk.thaw()
}

/// Where in a file these bytes stand.
pub fn find(disk: &SimDisk, name: &str, bytes: &[u8]) -> u64 {
    contents(disk, name).windows(bytes.len()).position(|window| window == bytes).unwrap() as u64
}

/// The names of all segments.
pub fn segments(disk: &SimDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| name.starts_with("log-")).collect()
}

/// A copy of the disk as it is now, all of it synced.
pub fn copy(disk: &SimDisk) -> SimDisk {
    use tertulia_driver::disk::DiskFile;
    let copied = SimDisk::new();
    for name in disk.list().unwrap() {
        let bytes = contents(disk, &name);
        let file = copied.create(&name, bytes.len() as u64).unwrap();
        file.write_at(0, &bytes).unwrap();
        file.sync().unwrap();
    }
    copied.sync_dir().unwrap();
    copied
}

/// Checks that entries are dense, continue `start` and each other.
pub fn assert_chain(start: Position, entries: &[Entry]) {
    let mut previous = start;
    for entry in entries {
        assert!(entry.follows(previous), "entry {} does not follow {}", entry.index, previous.index);
        previous = entry.position();
    }
}
