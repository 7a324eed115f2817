//! The form of a backup: all rows of one state of one node, as a file or on their way to one (docs/BACKUP.md has it byte by byte).
//!
//! Rules that it keeps:
//! - every byte is covered: each record by a checksum that is bound to its place among the others, and all of them by the SHA-256 at the end;
//! - what is read is checked as it comes and handed out record by record, so that neither side ever holds more than one of them ([`MOST_RECORD`]);
//! - rows ascend, none is there twice, and their sum is the state hash in the head: a file that reads to its end is the state that the node had, not only what was written;
//! - on the way from a node a backup may begin anew, or end with the reason why it cannot go on. A file holds neither.
//!
//! Whoever can write a file can also make its checksums: they find damage, not forgery.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Item, Reader};
pub use writer::{Writer, anew, failed};

use std::fmt;
use tertulia_protocol::contract::AppliedRow;
use tertulia_protocol::ids::{ClusterId, NodeId};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The first bytes.
const MAGIC: &[u8; 8] = b"TERTBACK";
/// The form of what follows.
const VERSION: u32 = 1;
/// Bytes in front of a record's body: its kind, the body's length, the checksum.
const RECORD_HEAD: usize = 1 + 4 + 8;
/// Bytes of a record's body, at most: a part as nodes read them, with one row of the largest kind, and room to spare.
pub const MOST_RECORD: usize = 4 << 20;

/// What a record is.
const HEAD: u8 = b'H';
const ROWS: u8 = b'R';
const END: u8 = b'E';
/// Only on the way: all that came before counts for nothing, and a backup begins behind this.
const ANEW: u8 = b'A';
/// Only on the way: there is no more; the body says why.
const FAILED: u8 = b'F';

/// What a backup says of itself first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub cluster: ClusterId,
    /// Whose rows they are.
    pub node: NodeId,
    /// By that node's clock, in milliseconds since 1970.
    pub taken_ms: u64,
    /// What they stand for: the place in the log, the greatest stamp, the state hash.
    pub applied: AppliedRow,
}

/// What a backup says of itself last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    pub rows: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// Over all before the end, and these numbers.
    pub sha256: [u8; 32],
}

/// Why bytes are no backup that can be used. Each text says what was found; whoever shows it names the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FormatError {
    /// It does not begin as one.
    NotABackup,
    OtherVersion {
        found: u32,
    },
    /// From this byte on it is not as it was written.
    Damaged {
        at: u64,
        what: &'static str,
    },
    /// It ends here, and not with an end.
    CutOff {
        at: u64,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::NotABackup => write!(f, "this is no backup of Tertulia"),
            FormatError::OtherVersion { found } => {
                write!(
                    f,
                    "this backup has version {found}, and this release reads version {VERSION}: use the release that wrote it, or a newer one"
                )
            }
            FormatError::Damaged { at, what } => {
                write!(f, "the backup is damaged at byte {at}: {what}. Use another copy of it, or another backup")
            }
            FormatError::CutOff { at } => {
                write!(f, "the backup is cut off after {at} bytes. Use another copy of it, or another backup")
            }
        }
    }
}

impl std::error::Error for FormatError {}

/// The checksum of the record with this number: `body` under its kind, its length and its place.
fn sum_of(kind: u8, nth: u64, body: &[u8]) -> u64 {
    let mut seed = [0; 17];
    seed[0] = kind;
    seed[1..9].copy_from_slice(&nth.to_le_bytes());
    seed[9..].copy_from_slice(&(body.len() as u64).to_le_bytes());
    xxh3_64_with_seed(body, xxh3_64(&seed))
}
