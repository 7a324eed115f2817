//! One tentative entry: a session's request as a node has accepted it, and what it depends on.

use crate::ids::*;
use crate::replica::{Identity, Slot, Submission, message_id};
use crate::time::Timestamp;
use crate::wire::{EnvelopeError, Kind, open, seal};
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request that a node has accepted while it reached no leader. It never changes, whoever carries it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Entry {
    pub outbox: OutboxId,
    /// Its place in the outbox, dense from 1.
    pub n: u64,
    /// The writer's hybrid clock: later than all that it had seen.
    pub written_at: Timestamp,
    /// Through where the writer's state had come.
    pub applied: Index,
    /// Of other outboxes, through where the writer held their entries, as far as they were not settled there: it may speak of any of them.
    pub seen: Vec<(OutboxId, u64)>,
    pub session: SessionId,
    pub identity: Identity,
    pub first_unacked: u64,
    pub command: Bytes,
}

impl Entry {
    /// The bytes that it counts for, in memory and on its way.
    pub fn cost(&self) -> u64 {
        (96 + self.command.len() + 24 * self.seen.len()) as u64
    }

    /// What makes its request the same one, in whatever outbox or log it stands.
    pub fn request(&self) -> (SessionId, Slot) {
        (self.session, self.identity.slot())
    }

    /// The message's identity, if it is a post.
    pub fn id(&self) -> MessageId {
        message_id(self.session, self.identity.slot())
    }

    /// What a leader proposes for it.
    pub fn submission(&self) -> Submission {
        Submission::Carried {
            session: self.session,
            identity: self.identity,
            first_unacked: self.first_unacked,
            command: self.command.clone(),
            written_at: self.written_at,
        }
    }
}

/// One record of the outbox lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Record {
    Entry(Entry),
    /// Entries through here are settled, by the log through `by`: written when records before it are dropped.
    Settled {
        outbox: OutboxId,
        through: u64,
        by: Index,
    },
}

impl Record {
    pub(super) fn seal(&self) -> Bytes {
        seal(Kind::Tentative, self)
    }

    /// # Errors
    /// The bytes are no record, or one of a later version.
    pub(super) fn open(record: &Bytes) -> Result<Record, EnvelopeError> {
        open(Kind::Tentative, record)
    }
}
