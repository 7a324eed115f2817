//! What a driver counts. Plain atomics: whoever publishes them reads them when it is asked.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tertulia_protocol::contract::Keep;
use tertulia_protocol::wire::FrameError;
use tertulia_protocol::wire::handshake::HelloRefusal;

/// Which port a refused connection came in by (or, for peers, went out to).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Port {
    Peer,
    Client,
}

impl Port {
    pub const ALL: [Port; 2] = [Port::Peer, Port::Client];

    pub fn name(self) -> &'static str {
        match self {
            Port::Peer => "peer",
            Port::Client => "client",
        }
    }
}

/// Why a frame or a hello ended its connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// Another version of the protocol.
    Version,
    /// A member of another cluster.
    Cluster,
    /// Another node was meant.
    WrongNode,
    /// Not a member.
    Stranger,
    /// A member that was removed.
    Removed,
    /// It runs with other leases.
    Leases,
    /// A member's name with another data folder.
    NewFolder,
    /// The secret is not known there.
    Proof,
    /// The first bytes are not the protocol's.
    Magic,
    /// A frame over its limit.
    TooLarge,
    Checksum,
    /// An envelope or a body that does not decode.
    Malformed,
    /// A frame of a kind that has no place there.
    Unexpected,
    /// A message of another group.
    Group,
    /// A handshake that did not come to its end in time.
    Slow,
    /// Nothing was heard, or nothing could be written, for too long.
    Silent,
    /// Too many connections that have not said who they are.
    TooMany,
}

impl Reason {
    pub const ALL: [Reason; 17] = [
        Reason::Version,
        Reason::Cluster,
        Reason::WrongNode,
        Reason::Stranger,
        Reason::Removed,
        Reason::Leases,
        Reason::NewFolder,
        Reason::Proof,
        Reason::Magic,
        Reason::TooLarge,
        Reason::Checksum,
        Reason::Malformed,
        Reason::Unexpected,
        Reason::Group,
        Reason::Slow,
        Reason::Silent,
        Reason::TooMany,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Reason::Version => "version",
            Reason::Cluster => "cluster",
            Reason::WrongNode => "wrong-node",
            Reason::Stranger => "stranger",
            Reason::Removed => "removed",
            Reason::Leases => "leases",
            Reason::NewFolder => "new-folder",
            Reason::Proof => "proof",
            Reason::Magic => "magic",
            Reason::TooLarge => "too-large",
            Reason::Checksum => "checksum",
            Reason::Malformed => "malformed",
            Reason::Unexpected => "unexpected",
            Reason::Group => "group",
            Reason::Slow => "slow",
            Reason::Silent => "silent",
            Reason::TooMany => "too-many",
        }
    }
}

impl From<&HelloRefusal> for Reason {
    fn from(refusal: &HelloRefusal) -> Reason {
        match refusal {
            HelloRefusal::Version { .. } => Reason::Version,
            HelloRefusal::Cluster => Reason::Cluster,
            HelloRefusal::Node { .. } => Reason::WrongNode,
            HelloRefusal::Stranger { .. } => Reason::Stranger,
            HelloRefusal::Removed { .. } => Reason::Removed,
            HelloRefusal::Leases { .. } => Reason::Leases,
            HelloRefusal::NewFolder { .. } => Reason::NewFolder,
            HelloRefusal::Proof => Reason::Proof,
            HelloRefusal::Malformed { .. } => Reason::Malformed,
        }
    }
}

impl From<&FrameError> for Reason {
    fn from(error: &FrameError) -> Reason {
        match error {
            FrameError::TooLarge { .. } => Reason::TooLarge,
            FrameError::Checksum => Reason::Checksum,
            FrameError::Envelope(_) => Reason::Malformed,
        }
    }
}

/// Counters of one node, since its start.
#[derive(Debug, Default)]
pub struct Metrics {
    refused: [[AtomicU64; Reason::ALL.len()]; Port::ALL.len()],
    dropped: AtomicU64,
    dialled: AtomicU64,
    redialled: AtomicU64,
    links: AtomicU64,
    connections: AtomicU64,
    divergences: AtomicU64,
    kept_records: AtomicU64,
    kept_bytes: AtomicU64,
}

impl Metrics {
    pub(crate) fn refuse(&self, port: Port, reason: Reason) {
        self.refused[port as usize][reason as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn drop_message(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn dial(&self) {
        self.dialled.fetch_add(1, Relaxed);
    }

    /// A link is up: not for the first time, if `again`.
    pub(crate) fn link_up(&self, again: bool) {
        self.links.fetch_add(1, Relaxed);
        self.redialled.fetch_add(u64::from(again), Relaxed);
    }

    pub(crate) fn link_down(&self) {
        self.links.fetch_sub(1, Relaxed);
    }

    pub(crate) fn diverged(&self) {
        self.divergences.fetch_add(1, Relaxed);
    }

    pub(crate) fn keep(&self, keep: &Keep) {
        self.kept_records.fetch_add(keep.records.len() as u64, Relaxed);
        self.kept_bytes.fetch_add(keep.records.iter().map(|record| record.len() as u64).sum(), Relaxed);
    }

    pub(crate) fn set_connections(&self, connections: usize) {
        self.connections.store(connections as u64, Relaxed);
    }

    /// Connections that ended because of what came, or did not come, over them.
    pub fn refused(&self, port: Port, reason: Reason) -> u64 {
        self.refused[port as usize][reason as usize].load(Relaxed)
    }

    /// Messages to peers that were dropped: the link was full or down. The protocol sends them again where that matters.
    pub fn messages_dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Attempts to reach a peer, whatever became of them.
    pub fn dials(&self) -> u64 {
        self.dialled.load(Relaxed)
    }

    /// Links to peers that came up again after they were lost.
    pub fn reconnects(&self) -> u64 {
        self.redialled.load(Relaxed)
    }

    /// Links to peers that are up now.
    pub fn links(&self) -> u64 {
        self.links.load(Relaxed)
    }

    /// Reports that a peer's state is not that of this node.
    pub fn divergences(&self) -> u64 {
        self.divergences.load(Relaxed)
    }

    /// Records that were handed to the outbox lane; those that are written anew with a clearing count again.
    pub fn kept_records(&self) -> u64 {
        self.kept_records.load(Relaxed)
    }

    /// The bytes of those records.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Relaxed)
    }

    /// Clients that are connected now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }
}
