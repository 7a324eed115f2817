//! What the outbox lane's tests share.

use super::dice;
use bytes::Bytes;
use tertulia_driver::kept::{Found, KeptError, OutboxFile};
use tertulia_driver::sim_disk::{CrashOutcome, SimDisk};
use tertulia_protocol::contract::Keep;

pub const SALT: u64 = 42;
pub const OUTCOMES: [CrashOutcome; 3] = [CrashOutcome::Keep, CrashOutcome::LoseUnsynced, CrashOutcome::Torn];

pub fn open(disk: &SimDisk) -> Result<(OutboxFile<SimDisk>, Found), KeptError> {
    OutboxFile::open(disk.clone(), SALT)
}

pub fn found(disk: &SimDisk) -> Found {
    open(disk).unwrap().1
}

pub fn crash(disk: &SimDisk, outcome: CrashOutcome) -> SimDisk {
    disk.crash(outcome, &mut dice(7));
    disk.thaw()
}

/// Records that are told apart by their first bytes, none a multiple of 8 long.
pub fn records(from: u64, count: u64, size: usize) -> Vec<Bytes> {
    let record = |nth: u64| {
        let mut bytes = nth.to_le_bytes().to_vec();
        bytes.resize(8 + size, nth as u8 ^ 0x5A);
        Bytes::from(bytes)
    };
    (from..from + count).map(record).collect()
}

pub fn add(records: Vec<Bytes>) -> Keep {
    Keep { clear: false, records }
}

pub fn anew(records: Vec<Bytes>) -> Keep {
    Keep { clear: true, records }
}

pub fn kept(lane: &mut OutboxFile<SimDisk>, keep: &Keep) {
    lane.write(keep).unwrap();
    lane.sync().unwrap();
}

/// Whether all of these are among those, in the same order.
pub fn is_within(some: &[Bytes], all: &[Bytes]) -> bool {
    let mut all = all.iter();
    some.iter().all(|record| all.any(|other| other == record))
}
