//! Requests that are executed once, however often and wherever they arrive.

use crate::gateway::Credential;
use crate::ids::*;
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What makes a request of a session the same request, wherever it arrives (thesis 6.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum Identity {
    /// The session's requests in order, from 1.
    Number(u64),
    /// A request without a place in an order: the caller's Idempotency-Key, hashed, or one drawn by the gateway; stamped by the gateway that took it first.
    Key { key: u128, stamp: Timestamp },
}

impl Identity {
    /// The identity without its stamp: equal for all attempts of one request.
    pub fn slot(&self) -> Slot {
        match self {
            Identity::Number(number) => Slot::Number(*number),
            Identity::Key { key, .. } => Slot::Key(*key),
        }
    }
}

/// What all attempts of one request share.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum Slot {
    Number(u64),
    Key(u128),
}

/// What stands in a log entry, for the session table.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Submission {
    /// Opens a session for whoever holds the credential; `command` lets the state machine accept or refuse it.
    Open { credential: Credential, command: Bytes },
    /// A command of a session.
    Execute { session: SessionId, identity: Identity, first_unacked: u64, command: Bytes },
    /// A command of the house, which no session asks and nobody is answered: doing it twice does no harm.
    House { command: Bytes },
    /// As [`Submission::Execute`], by way of an outbox: a node has accepted it while it reached no leader. It counts even when the session has expired since then.
    Carried { session: SessionId, identity: Identity, first_unacked: u64, command: Bytes, written_at: Timestamp },
}

impl Submission {
    pub fn command(&self) -> &Bytes {
        match self {
            Submission::Open { command, .. }
            | Submission::Execute { command, .. }
            | Submission::House { command }
            | Submission::Carried { command, .. } => command,
        }
    }
}
