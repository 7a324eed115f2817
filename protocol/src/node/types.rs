//! What a node is started with, and what it asks of its driver.

use crate::chat::password::{Password, PasswordParams, Recipe};
use crate::chat::{Refusal, Settings};
use crate::contract::*;
use crate::dice::Seed;
use crate::gateway::Credential;
use crate::gateway::{Audience, CloseReason, Event, Found, Reply};
use crate::ids::*;
use crate::node::{Admin, AdminOutcome};
use crate::raft::Member;
use crate::raft::RaftMessage;
use crate::replica::{CompareMessage, Divergence, Slot, SnapshotMessage, Submission};
use crate::succession::{Policy, SuccessionTiming};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    pub cluster: ClusterId,
    /// The voters of an empty cluster, this node among them; or for a newcomer the members that it knows of. Once the log holds a configuration, that one counts.
    pub voters: Vec<Member>,
    /// Where other nodes reach this one, `host:port`, as it tells those who do not know it. May be empty in a cluster whose members never change.
    pub peer_address: String,
    /// Who should lead next, until the log says something else.
    pub succession: Policy,
    pub succession_timing: SuccessionTiming,
    pub timing: Timing,
    pub limits: Limits,
    /// What a new cluster begins with; once something is agreed, that counts.
    pub settings: Settings,
    /// What deriving a password costs here.
    pub passwords: PasswordParams,
    /// Whether [`crate::node::Node::take_facts`] is listened to.
    pub facts: bool,
    pub seed: Seed,
    #[cfg(feature = "zoo")]
    pub bug: Option<crate::zoo::Bug>,
}

impl Config {
    /// A configuration with the default timing and limits.
    pub fn new(node: NodeId, cluster: ClusterId, voters: Vec<Member>, seed: Seed) -> Config {
        let peer_address = voters.iter().find(|member| member.id == node).map(|member| member.peer_address.clone());
        Config {
            node,
            cluster,
            voters,
            peer_address: peer_address.unwrap_or_default(),
            succession: Policy::default(),
            succession_timing: SuccessionTiming::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            settings: Settings::default(),
            passwords: PasswordParams::default(),
            facts: false,
            seed,
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }
}

/// What nodes say to each other. Every frame between peers carries one, with its group.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Message {
    pub group: GroupId,
    pub body: Body,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Body {
    Raft(RaftMessage),
    /// A client's request, for the leader to propose. The sender learns the outcome by applying it.
    Forward(Submission),
    /// What became of a forwarded request, where applying will not tell.
    Forwarded {
        request: RequestKey,
        answer: ForwardAnswer,
    },
    /// An operator's call, for the leader; `boot` is that of the node that asks.
    Admin {
        ticket: u64,
        boot: Boot,
        admin: Box<Admin>,
    },
    Administered {
        ticket: u64,
        boot: Boot,
        outcome: AdminOutcome,
    },
    /// In a box, as calls are: a message is moved many times, and most are small.
    Snapshot(Box<SnapshotMessage>),
    /// Of the moment; losing one does no harm.
    Hint(crate::gateway::Hint),
    Compare(Box<CompareMessage>),
    Outbox(Box<crate::outbox::OutboxMessage>),
}

/// What makes a request the same one, wherever it waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum RequestKey {
    Open(Credential),
    Execute(SessionId, Slot),
    /// A command of the house, by its digest.
    House(u64),
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum ForwardAnswer {
    /// It was executed at this index or before: the state there tells the outcome.
    Executed {
        by: Index,
    },
    Refused(Refusal),
}

/// What a node asks of its driver.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Output {
    Send {
        to: NodeId,
        class: Class,
        message: Message,
    },
    /// Write to the log lane; report by `handle_stored`. Batches complete in order.
    Store {
        id: BatchId,
        batch: Batch,
    },
    /// Write to the outbox lane; report by `handle_kept`. Writes complete in order, whatever the log lane does.
    Keep {
        id: u64,
        keep: Keep,
    },
    /// Write to the row lane. Nothing waits for it; every later load sees it. It must not become durable before the log is durable through `through`.
    Apply {
        through: Index,
        rows: RowBatch,
    },
    /// Entries through here may leave the log: slow followers get a snapshot instead. The store keeps what its durable rows do not contain.
    Trim {
        through: Index,
    },
    /// Write a part of a snapshot that comes from a peer; an installation is reported by `handle_installed`.
    Receive(Receive),
    /// Read; report by `handle_loaded`.
    Load {
        id: LoadId,
        query: Query,
    },
    Reply {
        to: ConnectionId,
        reply: Reply,
    },
    /// Derive a key from a password, beside everything else, as it takes long on purpose; report by `handle_derived`.
    Derive {
        id: u64,
        password: Password,
        recipe: Recipe,
    },
    /// Find messages with these words in these rooms, the newest first, at most `limit`, older than `before`; report by `handle_found`. What is found is looked at
    /// again: an index may be behind.
    Search {
        id: LoadId,
        words: String,
        rooms: Vec<RoomId>,
        before: Option<Found>,
        limit: u32,
    },
    /// What became of an operator's call.
    Admin {
        ticket: u64,
        outcome: AdminOutcome,
    },
    /// One event for many readers.
    Publish {
        to: Audience,
        event: Arc<Event>,
    },
    /// Dial this peer and keep dialling, or (`None`) forget it.
    Peer {
        node: NodeId,
        address: Option<String>,
    },
    Close {
        connection: ConnectionId,
        reason: CloseReason,
    },
    /// This node's state is not that of a peer at the same place: tell whoever watches over the cluster. The node goes on.
    Diverged(Box<Divergence>),
    /// Stop the process; nothing that follows would be right.
    Halt {
        reason: HaltReason,
    },
}

/// Why a node stops by itself. Each text says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum HaltReason {
    /// A peer knows this member with another data folder.
    NewFolder { told_by: NodeId, node: NodeId },
    /// A write or a read failed.
    Store { message: String },
    /// The log holds something that this version does not know.
    UnknownEntry { index: Index, why: String },
    /// The cluster has removed this node.
    Removed { node: NodeId },
    /// Two logs that must agree do not: a bug or a damaged disk, and going on would spread it.
    Diverged { index: Index },
}

impl fmt::Display for HaltReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HaltReason::NewFolder { told_by, node } => {
                write!(
                    f,
                    "node {} refuses this node: {}",
                    told_by.0,
                    crate::wire::handshake::HelloRefusal::NewFolder { node: *node }
                )
            }
            HaltReason::Store { message } => write!(f, "the store failed: {message}"),
            HaltReason::UnknownEntry { index, why } => {
                write!(f, "log entry {index} cannot be applied: {why}; run the release that wrote it, or a newer one")
            }
            HaltReason::Removed { node } => write!(
                f,
                "node {} was removed from the cluster: its data folder is of no more use, and a new one joins with `node serve --join`",
                node.0
            ),
            HaltReason::Diverged { index } => write!(
                f,
                "at log entry {index} this node and its leader hold different committed data: keep this data folder for study and do not start it again"
            ),
        }
    }
}

/// Why a node cannot start from what the store holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreError {
    pub message: String,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for RestoreError {}

/// What a node has taken and not finished; see [`crate::node::Node::open_work`]. Counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenWork {
    /// Requests of clients without an outcome.
    pub requests: u32,
    /// Reads that wait for a read index, or for the state to come to one.
    pub reads: u32,
    /// Reads of the store under way.
    pub loads: u32,
    /// As the leader: requests in the log that are not applied.
    pub proposed: u32,
    /// As the leader: requests whose predecessors have not come.
    pub held: u32,
    /// Forwarded requests that wait for the term's first entry.
    pub early: u32,
    /// Tentative entries that are not settled.
    pub tentative: u32,
}

impl OpenWork {
    pub fn is_nothing(&self) -> bool {
        *self == OpenWork::default()
    }
}
