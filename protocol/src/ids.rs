//! Identities. Each says who gives it out and for how long it is unique.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A place in the replicated log, dense from 1. 0 is the place before the first entry.
pub type Index = u64;
/// A leader's reign. At most one leader a term (Ongaro, thesis 3.4). 0 is the term before the first election.
pub type Term = u64;
/// A message's place in its room, dense from 1, given by the log.
pub type Seq = u64;
/// A place in a room's events, dense from 1. Posts are events, and so are edits, reactions, joins and other changes between them.
pub type Cursor = u64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(/// A member of the cluster, chosen by whoever sets the cluster up; never used again for another data folder.
    NodeId, u64, "n");
id!(/// One replicated log. There is one group now; frames and keys name it from the first day (see docs/PROTOCOL.md).
    GroupId, u32, "g");
id!(/// A connection of a client to one node, given by the driver, unique in one run of that node.
    ConnectionId, u64, "c");
id!(/// One write to the log lane, ascending in one run of a node.
    BatchId, u64, "b");
id!(/// One read of the store, unique in one run of a node. Its remainder by four says who asked: 0 raft, 1 replica, 2 gateway.
    LoadId, u64, "l");
id!(/// A device of a user: the index of the log entry that opened it, so unique for ever.
    SessionId, u64, "s");
id!(/// A user: counted by the replicated state, from 1.
    UserId, u64, "u");
id!(/// A room: counted by the replicated state, from 1.
    RoomId, u64, "r");
id!(/// One start of a node's process, drawn by the driver (or counted by the simulator). A new boot voids what others believed of the old one.
    Boot, u64, "boot-");

/// An outbox: what one start of one node accepts while it reaches no leader. Each start begins a new one, so no place of a lost tail is ever given again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OutboxId {
    pub node: NodeId,
    pub boot: Boot,
}

impl fmt::Display for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}", self.node, self.boot.0)
    }
}

impl fmt::Debug for OutboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The only group there is so far.
pub const GROUP: GroupId = GroupId(0);

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u128);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:08x}…", (self.0 >> 96) as u32)
            }
        }
    };
}

wide_id!(/// Which cluster this is, derived from its secret (see [`crate::wire::handshake::Secret::cluster_id`]).
    ClusterId);
wide_id!(/// A data folder, drawn at random when it is made. The configuration names each voter's: a wiped folder has another one and may not vote.
    Incarnation);
wide_id!(/// A message's identity: derived from its session and its number or key, never from its place, and so the same before and after it has one.
    MessageId);
