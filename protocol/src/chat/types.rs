//! The chat's vocabulary: commands in, outcomes and events out. Each command is a kind of its own in an envelope, so that a new one never changes an old one's bytes.

use crate::ids::*;
use crate::time::Timestamp;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// How a request names a room.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum RoomRef {
    Id(RoomId),
    Name(String),
}

/// What a session asks the replicated chat to do.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Makes a room with its asker as a member; a room of that name that exists already is returned instead, and joined.
    CreateRoom { name: String },
    /// Idempotent.
    Join { room: RoomRef },
    /// Idempotent.
    Leave { room: RoomRef },
    /// Only members post.
    Post { room: RoomRef, text: String },
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Done {
    /// `created` is false when the room was there before.
    Room {
        room: RoomId,
        name: String,
        created: bool,
    },
    Joined {
        room: RoomId,
        name: String,
        last: Cursor,
    },
    Left {
        room: RoomId,
    },
    Posted {
        room: RoomId,
        seq: Seq,
        id: MessageId,
        at: Timestamp,
    },
}

/// Why a request was not done. Each has one sentence that says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Refusal {
    // of the replicated chat: the same on all nodes, final
    UnknownRoom {
        room: RoomRef,
    },
    NotAMember {
        room: RoomId,
    },
    EmptyName,
    NameTooLong {
        bytes: u32,
        limit: u32,
    },
    BadName,
    EmptyText,
    TextTooLong {
        bytes: u32,
        limit: u32,
    },
    /// A bound of the cluster as a whole.
    Full {
        what: String,
        limit: u32,
    },
    // of the session table: final
    UnknownSession,
    /// An Idempotency-Key was used for another request before.
    KeyReused,
    /// A request with a key that is older than the retention of outcomes: it may have been executed, and will not be again.
    KeyExpired,
    /// The outcome of this number is no longer kept: the session has acknowledged it.
    Forgotten,
    // of one node at one moment: try again with the same number or key
    NoLeader {
        since_ms: u64,
    },
    Busy {
        retry_after_ms: u32,
    },
    /// The request was taken and its outcome is not known yet: the same number or key will find it.
    Unknown,
    // of the request itself
    NotSignedIn,
    BadRequest {
        why: String,
    },
}

impl Refusal {
    /// Whether the same request, with the same identity, may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Refusal::NoLeader { .. } | Refusal::Busy { .. } | Refusal::Unknown)
    }
}

impl core::fmt::Display for RoomRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RoomRef::Id(id) => write!(f, "{}", id.0),
            RoomRef::Name(name) => write!(f, "{name}"),
        }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Refusal::UnknownRoom { room } => write!(f, "there is no room \"{room}\": list the rooms, or create it first"),
            Refusal::NotAMember { room } => write!(f, "you are not a member of room {}: join it first", room.0),
            Refusal::EmptyName => write!(f, "a name must have at least one visible character"),
            Refusal::NameTooLong { bytes, limit } => {
                write!(f, "the name has {bytes} bytes, the limit is {limit}: choose a shorter one")
            }
            Refusal::BadName => write!(
                f,
                "a name may not hold control or invisible characters, nor begin or end with a space, and a room's may not be a number: choose another one"
            ),
            Refusal::EmptyText => write!(f, "the message is empty: write something"),
            Refusal::TextTooLong { bytes, limit } => {
                write!(f, "the message has {bytes} bytes, the limit is {limit}: send it in parts")
            }
            Refusal::Full { what, limit } => write!(f, "the cluster holds its limit of {limit} {what}: ask its operator"),
            Refusal::UnknownSession => write!(f, "this token belongs to no session: sign in again"),
            Refusal::KeyReused => {
                write!(f, "this Idempotency-Key was used for a different request: draw a new key for each new request")
            }
            Refusal::KeyExpired => write!(
                f,
                "this request is older than the time outcomes are kept for: it may have been executed, look at the history before you send it anew"
            ),
            Refusal::Forgotten => write!(f, "this request was executed and acknowledged before: its outcome is no longer kept"),
            Refusal::NoLeader { since_ms } => {
                write!(f, "the cluster has had no leader that this node can reach for {since_ms} ms: try again with the same key")
            }
            Refusal::Busy { retry_after_ms } => {
                write!(f, "the cluster is busy: try again with the same key after {retry_after_ms} ms")
            }
            Refusal::Unknown => write!(
                f,
                "the request was taken but is not confirmed yet: ask again with the same key, it is executed at most once"
            ),
            Refusal::NotSignedIn => write!(f, "this needs a session: sign in and send its token"),
            Refusal::BadRequest { why } => write!(f, "{why}"),
        }
    }
}

/// A message as its readers see it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Post {
    pub seq: Seq,
    pub id: MessageId,
    pub author: UserId,
    pub author_name: String,
    pub text: String,
    pub at: Timestamp,
}

/// A room as its members see it in a list.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct RoomView {
    pub id: RoomId,
    pub name: String,
    /// Whether the asker is a member.
    pub member: bool,
    pub members: u32,
    /// The place of the newest message, 0 when there is none.
    pub last: Seq,
}
