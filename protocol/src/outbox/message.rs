//! What nodes say to each other about their outboxes.

use super::Entry;
use crate::contract::Position;
use crate::ids::*;
use crate::raft;
use crate::time::Timestamp;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How far a node has one outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Extent {
    pub outbox: OutboxId,
    /// Everything through here is settled, by the log through `settled_by`: it is not held any more, and nobody needs it.
    pub settled: u64,
    pub settled_by: Index,
    /// Everything through here is held, or settled.
    pub held: u64,
    /// Everything through here is durable on the sender's disk, or settled.
    pub durable: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum OutboxMessage {
    /// What the sender holds: when a link comes up, when that has changed, and now and then while it matters. `answer`: the sender wants the same back.
    Digest { extents: Vec<Extent>, commit: Position, wall: Timestamp, leaderless: bool, answer: bool },
    /// Send what is behind these places, as far as there is room in one message.
    Want { behind: Vec<(OutboxId, u64)> },
    /// Entries of each outbox in their order, behind the settled ones that `extents` name.
    Entries { extents: Vec<Extent>, entries: Vec<Entry> },
    /// Entries of the log that are committed, in order: a node that no leader reaches hears of them from whoever has heard.
    Committed { entries: Vec<raft::Entry> },
}
