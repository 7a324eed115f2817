//! The bytes of the outbox file: records with separate checksums of head and body, each at a multiple of 8 bytes, much as the log's.
//!
//! ```text
//! head, 40 bytes, little endian:
//!   0  u32 length of the body     4  u8 kind, three zeros      8  u64 sequence number
//!  16  u64 synced-through mark   24  u64 checksum of the body 32  u64 checksum of the head's first 32 bytes
//! body, padded with zeros to a multiple of 8
//! ```
//!
//! Only records that hold something are counted: the beginning of a file and a mark have the number of the last one before them. So a number that is missing is
//! a record that is missing.
//!
//! A head that is whole tells the body's length even if the body is damaged, so a scan finds what comes after.

use super::RECORD_BYTES;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The form of the file; its first record says it.
pub(super) const FORMAT: u32 = 1;

/// Bytes of a record's head.
pub(super) const HEAD: usize = 40;
/// Bytes of a file's first record.
pub(super) const BEGINNING: usize = HEAD + 8;

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    /// The first one of a file; its body is the format and whether the file is damaged.
    Beginning = 1,
    /// What the node wants back.
    Record = 2,
    /// No body: written for its synced-through mark.
    Mark = 3,
}

/// A record's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub kind: Kind,
    /// Bytes of the body, without padding.
    pub length: usize,
    pub sequence: u64,
    /// The greatest sequence number known to be durable when this record was written.
    pub synced_through: u64,
    body_sum: u64,
}

/// Bytes that a record with such a body takes.
pub(super) fn record_len(body: usize) -> usize {
    HEAD + body.next_multiple_of(8)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Head {
    /// The head at the start of `bytes`, if there is a whole one.
    pub fn parse(bytes: &[u8], seed: u64) -> Option<Head> {
        let first = word(bytes, 0)?;
        // The cheap look first: a scan through garbage asks this at every eighth byte.
        let kind = match first >> 32 {
            1 => Kind::Beginning,
            2 => Kind::Record,
            3 => Kind::Mark,
            _ => return None,
        };
        if word(bytes, 32)? != xxh3_64_with_seed(&bytes[..32], seed) {
            return None;
        }
        let length = first as u32 as usize;
        let (sequence, synced_through, body_sum) = (word(bytes, 8)?, word(bytes, 16)?, word(bytes, 24)?);
        (length <= RECORD_BYTES).then_some(Head { kind, length, sequence, synced_through, body_sum })
    }

    /// Whether this is the body that the head was written for.
    pub fn body_is_whole(&self, body: &[u8], seed: u64) -> bool {
        body.len() == self.length && xxh3_64_with_seed(body, seed) == self.body_sum
    }
}

/// Appends a record to `out`.
pub(super) fn push(out: &mut Vec<u8>, seed: u64, kind: Kind, sequence: u64, synced_through: u64, body: &[u8]) {
    let start = out.len();
    for value in [body.len() as u64 | (kind as u64) << 32, sequence, synced_through, xxh3_64_with_seed(body, seed)] {
        out.extend_from_slice(&value.to_le_bytes());
    }
    let head_sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&head_sum.to_le_bytes());
    out.extend_from_slice(body);
    out.resize(start + record_len(body.len()), 0);
}

/// Appends the first record of a file.
pub(super) fn push_beginning(out: &mut Vec<u8>, seed: u64, sequence: u64, synced_through: u64, damaged: bool) {
    let body = u64::from(FORMAT) | u64::from(damaged) << 32;
    push(out, seed, Kind::Beginning, sequence, synced_through, &body.to_le_bytes());
}

/// The format in the body of a file's first record, and whether the file is damaged.
pub(super) fn parse_beginning(body: &[u8]) -> Option<(u32, bool)> {
    let body = word(body, 0)?;
    Some((body as u32, body >> 32 & 1 != 0))
}
