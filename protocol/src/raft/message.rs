//! What replicas of one group say to each other, and the entries that they agree on.

use crate::contract::Position;
use crate::ids::*;
use crate::time::Timestamp;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// One entry of the log: opaque bytes with a place, encoded once for disk, wire and apply.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub index: Index,
    pub term: Term,
    /// Stamped by the leader, never decreasing along the log: the only clock that a state machine sees.
    pub at: Timestamp,
    /// Hash over this entry and the one before it, hence over the whole log up to here. A follower checks it before it takes the entry,
    /// so that two logs with the same chain at a place are equal below it (Log Matching, thesis 3.5, made visible).
    pub chain: u64,
    pub payload: Bytes,
}

impl Entry {
    /// The entry that follows `previous`.
    pub fn after(previous: Position, term: Term, at: Timestamp, payload: Bytes) -> Entry {
        let index = previous.index + 1;
        let chain = Entry::link(previous.chain, index, term, at, &payload);
        Entry { index, term, at, chain, payload }
    }

    /// Whether this entry may stand right after `previous`: dense, not of an older term, and the chain agrees.
    pub fn follows(&self, previous: Position) -> bool {
        self.index == previous.index + 1
            && self.term >= previous.term
            && self.chain == Entry::link(previous.chain, self.index, self.term, self.at, &self.payload)
    }

    pub fn position(&self) -> Position {
        Position { index: self.index, term: self.term, chain: self.chain }
    }

    fn link(previous: u64, index: Index, term: Term, at: Timestamp, payload: &[u8]) -> u64 {
        let mut head = [0u8; 32];
        head[..8].copy_from_slice(&previous.to_le_bytes());
        head[8..16].copy_from_slice(&index.to_le_bytes());
        head[16..24].copy_from_slice(&term.to_le_bytes());
        head[24..].copy_from_slice(&at.0.to_le_bytes());
        xxh3_64_with_seed(payload, xxh3_64_with_seed(&head, 0))
    }
}

/// The chain stands for the payload: hashing an entry (for traces) is O(1).
impl core::hash::Hash for Entry {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (self.index, self.term, self.at, self.chain).hash(state);
    }
}

/// What every answer to a leader says of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The greatest round of this term's leader that was heard.
    pub round: u64,
    pub boot: Boot,
    /// The sender's log has lost what it may have acknowledged: what it says is good for finding what to send, and counts for nothing.
    pub repairing: bool,
}

/// A message between two replicas. Each carries its sender's term; the section is the thesis's.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum RaftMessage {
    /// Asks for a vote (3.4), or whether one would be given (pre-vote, 9.6) in `term`. `forced`: the leader asked the candidate to stand (3.10), so that the
    /// vote gate does not hold it up.
    AskVote { term: Term, pre: bool, forced: bool, last: Position },
    /// The answer. For a refusal `term` is the voter's own. `boot` lets a candidate drop what an earlier run of the voter said.
    Voted { term: Term, pre: bool, granted: bool, boot: Boot, incarnation: Incarnation },
    /// Entries after `previous`, or none: a heartbeat (3.5). `round` counts the leader's broadcasts, for ReadIndex (6.4) and CheckQuorum (6.2).
    Append { term: Term, previous: Position, entries: Vec<Entry>, commit: Index, round: u64 },
    /// All up to `matched` is the leader's log and durable here.
    Appended { term: Term, matched: Index, answer: Answer },
    /// `previous` of an append with that index is not here. `hint` is where the leader should look next: nothing above it can match.
    Refused { term: Term, previous: Index, hint: Position, answer: Answer },
    /// Asks the leader for a read index (6.4). `id` is the asker's own, unique in its run as `boot`. `repair`: the asker must not be among those who confirm it.
    AskRead { term: Term, id: u64, boot: Boot, repair: bool },
    /// Reads of the state at `index` or later see all that was committed when the asker, running as `boot`, asked `id`.
    Read { term: Term, id: u64, boot: Boot, index: Index },
    /// The leader hands over: stand for election now (3.10).
    TimeoutNow { term: Term },
    /// Lets the receiver measure the way from here: `sent` by the sender's monotonic clock, in µs.
    Probe { sent: u64 },
    /// To the leader: what its sender, running as `boot`, has measured of the ways to it (see [`crate::succession::Latencies`]).
    Report { term: Term, boot: Boot, column: Vec<(NodeId, i64)> },
    /// What the follower needs is at or below `start`, and the leader's log begins after it: the follower has to ask for a snapshot (5).
    NeedSnapshot { term: Term, start: Index },
}

/// No term and no place comes near it: below it arithmetic with terms and places does not overflow.
const FAR: u64 = 1 << 62;

impl RaftMessage {
    /// Whether a replica can have said this: everything else is not looked at.
    pub(super) fn is_sound(&self) -> bool {
        let near = match self {
            RaftMessage::AskVote { last: Position { index, .. }, .. }
            | RaftMessage::Appended { matched: index, .. }
            | RaftMessage::Read { index, .. }
            | RaftMessage::NeedSnapshot { start: index, .. } => *index < FAR,
            RaftMessage::Append { previous, entries, commit, .. } => {
                let dense = (previous.index..FAR).zip(entries).all(|(before, entry)| entry.index == before + 1);
                previous.index < FAR && *commit < FAR && dense && entries.iter().all(|entry| entry.term <= self.term())
            }
            RaftMessage::Refused { previous, hint, .. } => (1..FAR).contains(previous) && hint.index <= *previous,
            RaftMessage::Voted { .. }
            | RaftMessage::AskRead { .. }
            | RaftMessage::TimeoutNow { .. }
            | RaftMessage::Probe { .. } => true,
            RaftMessage::Report { column, .. } => column.len() <= usize::from(super::configuration::MOST_MEMBERS),
        };
        near && self.term() < FAR
    }

    pub fn term(&self) -> Term {
        match self {
            RaftMessage::AskVote { term, .. }
            | RaftMessage::Voted { term, .. }
            | RaftMessage::Append { term, .. }
            | RaftMessage::Appended { term, .. }
            | RaftMessage::Refused { term, .. }
            | RaftMessage::AskRead { term, .. }
            | RaftMessage::Read { term, .. }
            | RaftMessage::TimeoutNow { term }
            | RaftMessage::NeedSnapshot { term, .. }
            | RaftMessage::Report { term, .. } => *term,
            RaftMessage::Probe { .. } => 0,
        }
    }
}
