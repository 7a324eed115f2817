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
//! The first record of a segment (a `Mark` or `Opened`), every `Opened` and every `State` have a [`State`] as their body: what is true of the
//! log as a whole is said again and again, so that no segment is needed for it.
//!
//! Rules: the checksums are xxh3, seeded by the segment and the folder's salt, so that bytes of another segment or another folder are no
//! records here. A head that is whole tells the body's length even if the body is damaged, so a scan finds what comes after.

use bytes::Bytes;
use tertulia_protocol::contract::{Position, Vote};
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
const STATE_BODY: usize = 64;

/// Bytes of a segment's first record.
pub(super) const FIRST: usize = HEAD + STATE_BODY;

/// What a record's body is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum RecordKind {
    Vote = 1,
    /// Replaces everything at its index and above.
    Entry = 2,
    /// No body, unless it is the first of a segment: written for its synced-through mark.
    Mark = 3,
    /// Written at each opening of the log. Only here may the sequence jump, over every number that a cut tail may have used; the mark says behind
    /// which record everything is cut.
    Opened = 4,
    /// Written when the state changes, and only when all before it is durable: whoever finds it whole may believe it, whatever is damaged before it.
    State = 5,
}

impl RecordKind {
    /// Whether the body of such a record at offset `at` of a segment is a [`State`].
    pub fn has_state(self, at: usize) -> bool {
        matches!(self, RecordKind::Opened | RecordKind::State) || at == 0 && self == RecordKind::Mark
    }

    fn from_number(number: u8) -> Option<RecordKind> {
        Some(match number {
            1 => RecordKind::Vote,
            2 => RecordKind::Entry,
            3 => RecordKind::Mark,
            4 => RecordKind::Opened,
            5 => RecordKind::State,
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

/// What is true of the log as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct State {
    /// How long the file of the segment was made that this record is the first of; 0 in any other record.
    pub made: u64,
    /// The log begins after this place.
    pub start: Position,
    /// Segments below this one hold nothing that is needed.
    pub first: u64,
    /// All entries written before this record are dropped.
    pub reset: bool,
    /// Entries that were durable are lost, and nobody has repaired that yet.
    pub damaged: bool,
    pub vote: Vote,
}

impl State {
    fn push(&self, out: &mut Vec<u8>) {
        let voted = self.vote.voted_for.is_some();
        let flags = u64::from(self.reset) | u64::from(self.damaged) << 1 | u64::from(voted) << 2;
        let node = self.vote.voted_for.map_or(0, |node| node.0);
        let Position { index, term, chain } = self.start;
        for value in [self.made, index, term, chain, self.first, flags, self.vote.term, node] {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// The state in a record's body.
    pub fn parse(body: &[u8]) -> Option<State> {
        if body.len() != STATE_BODY {
            return None;
        }
        let word = |nth: usize| word(body, nth * 8);
        let flags = word(5)?;
        Some(State {
            made: word(0)?,
            start: Position { index: word(1)?, term: word(2)?, chain: word(3)? },
            first: word(4)?,
            reset: flags & 1 != 0,
            damaged: flags & 2 != 0,
            vote: Vote { term: word(6)?, voted_for: if flags & 4 != 0 { Some(NodeId(word(7)?)) } else { None } },
        })
    }
}

/// What goes into a record.
pub(super) enum Body<'a> {
    Nothing,
    State(State),
    Vote(Vote),
    Entry(&'a Entry),
}

impl Body<'_> {
    pub fn len(&self) -> usize {
        match self {
            Body::Nothing => 0,
            Body::State(_) => STATE_BODY,
            Body::Vote(_) => VOTE_BODY,
            Body::Entry(entry) => ENTRY_HEAD + entry.payload.len(),
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Body::Nothing => {}
            Body::State(state) => state.push(out),
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

/// Bytes of payload in the body of an entry's record.
pub(super) fn payload_len(body: usize) -> u64 {
    body.saturating_sub(ENTRY_HEAD) as u64
}

/// The entry in a record's body.
pub(super) fn parse_entry(body: &[u8]) -> Option<Entry> {
    let payload = Bytes::copy_from_slice(body.get(ENTRY_HEAD..)?);
    Some(Entry { index: word(body, 0)?, term: word(body, 8)?, at: Timestamp(word(body, 16)?), chain: word(body, 24)?, payload })
}
