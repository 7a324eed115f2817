//! What the store's tests share.
#![allow(dead_code)]

pub mod kept;
pub mod logs;

use bytes::Bytes;
use tertulia_driver::disk::{Disk, DiskFile};
use tertulia_driver::sim_disk::SimDisk;
use tertulia_protocol::contract::{Batch, Position, Vote};
use tertulia_protocol::ids::{NodeId, Term};
use tertulia_protocol::raft::Entry;
use tertulia_protocol::time::Timestamp;

/// `count` entries of `term` after `previous`, their payloads told apart by `salt`.
pub fn entries(mut previous: Position, term: Term, count: usize, size: usize, salt: u8) -> Vec<Entry> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let payload = Bytes::from(vec![salt ^ (previous.index as u8); size]);
        let entry = Entry::after(previous, term, Timestamp(previous.index * 10), payload);
        previous = entry.position();
        entries.push(entry);
    }
    entries
}

pub fn batch(entries: Vec<Entry>) -> Batch {
    Batch { reset: None, repaired: false, vote: None, entries }
}

pub fn vote(term: Term, voted_for: Option<u64>) -> Vote {
    Vote { term, voted_for: voted_for.map(NodeId) }
}

pub fn len(disk: &SimDisk, name: &str) -> u64 {
    disk.open(name).unwrap().len().unwrap()
}

pub fn contents(disk: &SimDisk, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; len(disk, name) as usize];
    disk.open(name).unwrap().read_at(0, &mut bytes).unwrap();
    bytes
}

/// A small generator (splitmix64) for draws in tests that are no property tests.
pub fn dice(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |bound| {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}
