//! The bytes of the log: records with separate checksums of head and body, each at a multiple of 8 bytes.
//!
//! ```text
//! head, 48 bytes, little endian:
//!   0  u32 length of the body     4  u8 kind, three zeros      8  u64 segment id
//!  16  u64 sequence number       24  u64 synced-through mark  32  u64 checksum of the body
//!  40  u64 checksum of the head's first 40 bytes
//! body, padded with zeros to a multiple of 8
//! ```
//!
//! The first record of a segment, a `Mark` or `Opened`, has a body of 8 bytes: how long the segment's file was made.
//!
//! Rules: the checksums are xxh3, seeded by the segment and the folder's salt, so that bytes of another segment or another folder are no
//! records here. A head that is whole tells the body's length even if the body is damaged, so a scan finds what comes after.

use bytes::Bytes;
use tertulia_protocol::contract::Vote;
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::raft::Entry;
use tertulia_protocol::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a record's head.
pub(super) const HEAD: usize = 48;

/// The longest body, in bytes: far more than the greatest entry. What claims more is not a record.
pub(super) const MAX_BODY: usize = 16 << 20;

const ENTRY_HEAD: usize = 32;
const VOTE_BODY: usize = 17;
const MADE_BODY: usize = 8;

/// Bytes of a segment's first record.
pub(super) const FIRST: usize = HEAD + MADE_BODY;

/// What a record's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum RecordKind {
    Vote = 1,
    /// Replaces everything at its index and above.
    Entry = 2,
    /// No body, unless it is the first of a segment: written for its synced-through mark.
    Mark = 3,
    /// No body, unless it is the first of a segment: written at each opening of the log. Only here may the sequence jump, over every number that a cut tail may have used.
    Opened = 4,
}

impl RecordKind {
    fn from_number(number: u8) -> Option<RecordKind> {
        Some(match number {
            1 => RecordKind::Vote,
            2 => RecordKind::Entry,
            3 => RecordKind::Mark,
            4 => RecordKind::Opened,
            _ => return None,
        })
    }
}

/// A record's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub kind: RecordKind,
    /// Bytes of the body, without padding.
    pub length: usize,
    pub sequence: u64,
    /// The greatest sequence number known to be durable when this record was written.
    pub synced_through: u64,
    body_sum: u64,
}

/// Whose records these are: a segment of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    pub segment: u64,
    pub seed: u64,
}

impl Home {
    pub fn new(salt: u64, segment: u64) -> Home {
        Home { segment, seed: xxh3_64_with_seed(&segment.to_le_bytes(), salt) }
    }
}

/// Bytes that a record with such a body takes.
pub(super) fn record_len(body: usize) -> usize {
    HEAD + body.next_multiple_of(8)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

impl Head {
    /// The head at the start of `bytes`, if there is a whole one of this home.
    pub fn parse(bytes: &[u8], home: Home) -> Option<Head> {
        // The cheap comparison first: a scan through garbage asks this at every eighth byte.
        if word(bytes, 8)? != home.segment || word(bytes, 40)? != xxh3_64_with_seed(&bytes[..40], home.seed) {
            return None;
        }
        let first = word(bytes, 0)?;
        let length = first as u32 as usize;
        if length > MAX_BODY || first >> 40 != 0 {
            return None;
        }
        let kind = RecordKind::from_number((first >> 32) as u8)?;
        Some(Head { kind, length, sequence: word(bytes, 16)?, synced_through: word(bytes, 24)?, body_sum: word(bytes, 32)? })
    }

    /// Whether this is the body that the head was written for.
    pub fn body_is_whole(&self, body: &[u8], home: Home) -> bool {
        body.len() == self.length && xxh3_64_with_seed(body, home.seed) == self.body_sum
    }
}

/// Appends a record to `out`.
pub(super) fn push(out: &mut Vec<u8>, home: Home, kind: RecordKind, sequence: u64, synced_through: u64, body: &Body<'_>) {
    let start = out.len();
    out.resize(start + HEAD, 0);
    body.push(out);
    let length = out.len() - start - HEAD;
    let body_sum = xxh3_64_with_seed(&out[start + HEAD..], home.seed);
    out.resize(start + record_len(length), 0);
    let head = &mut out[start..start + HEAD];
    head[..8].copy_from_slice(&(length as u64 | (kind as u64) << 32).to_le_bytes());
    for (at, value) in [(8, home.segment), (16, sequence), (24, synced_through), (32, body_sum)] {
        head[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    let head_sum = xxh3_64_with_seed(&head[..40], home.seed);
    head[40..].copy_from_slice(&head_sum.to_le_bytes());
}

/// What goes into a record.
pub(super) enum Body<'a> {
    Nothing,
    /// How long the segment's file was made.
    Made(u64),
    Vote(Vote),
    Entry(&'a Entry),
}

impl Body<'_> {
    pub fn len(&self) -> usize {
        match self {
            Body::Nothing => 0,
            Body::Made(_) => MADE_BODY,
            Body::Vote(_) => VOTE_BODY,
            Body::Entry(entry) => ENTRY_HEAD + entry.payload.len(),
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Body::Nothing => {}
            Body::Made(len) => out.extend_from_slice(&len.to_le_bytes()),
            Body::Vote(vote) => {
                out.extend_from_slice(&vote.term.to_le_bytes());
                out.push(u8::from(vote.voted_for.is_some()));
                out.extend_from_slice(&vote.voted_for.map_or(0, |node| node.0).to_le_bytes());
            }
            Body::Entry(entry) => {
                for value in [entry.index, entry.term, entry.at.0, entry.chain] {
                    out.extend_from_slice(&value.to_le_bytes());
                }
                out.extend_from_slice(&entry.payload);
            }
        }
    }
}

/// How long the segment's file was made, in the body of its first record.
pub(super) fn parse_made(body: &[u8]) -> Option<u64> {
    if body.len() == MADE_BODY { word(body, 0) } else { None }
}

/// The vote in a record's body.
pub(super) fn parse_vote(body: &[u8]) -> Option<Vote> {
    if body.len() != VOTE_BODY {
        return None;
    }
    let node = NodeId(word(body, 9)?);
    Some(Vote { term: word(body, 0)?, voted_for: (body[8] != 0).then_some(node) })
}

/// The index of the entry in a record's body.
pub(super) fn parse_index(body: &[u8]) -> Option<u64> {
    if body.len() < ENTRY_HEAD { None } else { word(body, 0) }
}

/// The entry in a record's body.
pub(super) fn parse_entry(body: &[u8]) -> Option<Entry> {
    let payload = Bytes::copy_from_slice(body.get(ENTRY_HEAD..)?);
    Some(Entry { index: word(body, 0)?, term: word(body, 8)?, at: Timestamp(word(body, 16)?), chain: word(body, 24)?, payload })
}
