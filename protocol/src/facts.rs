//! What a machine tells an observer: the judge, a log, a test. Free when nobody listens: a machine without `Config::facts` records none.

use crate::contract::{Position, StateHash};
use crate::ids::*;
use crate::replica::{Divergence, Identity};
use alloc::boxed::Box;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Something that happened inside one node, in the order in which it happened there.
///
/// Facts can be written down and read again, but for [`Fact::Reached`]: the name of a point is a constant of the program, and whoever reads it back has to keep it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Fact {
    /// The node starts, after a crash or for the first time. `durable` is the end of the log found on disk.
    Started {
        boot: Boot,
        term: Term,
        voted_for: Option<NodeId>,
        durable: Position,
        applied: Index,
    },
    /// The term in memory went up.
    TermBegan {
        term: Term,
    },
    /// A real vote (not a pre-vote) was sent to `candidate`: it must be durable by now.
    Voted {
        term: Term,
        candidate: NodeId,
    },
    BecamePreCandidate {
        term: Term,
    },
    BecameCandidate {
        term: Term,
    },
    /// `last` is the end of its log when it was elected, before its no-op.
    BecameLeader {
        term: Term,
        last: Position,
    },
    SteppedDown {
        term: Term,
    },
    /// An entry now stands in the log in memory; everything that stood at or above its index is gone.
    Appended {
        at: Position,
    },
    /// Term and vote are durable on this node's disk.
    VoteDurable {
        term: Term,
        voted_for: Option<NodeId>,
    },
    /// This log up to here is durable on this node's disk.
    Durable {
        through: Position,
    },
    /// A follower told the leader of `term` that all up to here is durable.
    Acknowledged {
        term: Term,
        through: Position,
    },
    /// The node knows all up to here to be committed. `as_leader`: by its own counting.
    Committed {
        through: Position,
        as_leader: bool,
    },
    /// The entry at `at` was applied; `hash` is the state after it.
    Applied {
        at: Position,
        hash: StateHash,
    },
    /// Applying the entry at `index` executed this request (it was not a repetition and not refused as a gap).
    Executed {
        index: Index,
        session: SessionId,
        identity: Identity,
    },
    /// Applying the entry at `index` put a message at this place.
    Posted {
        index: Index,
        room: RoomId,
        seq: Seq,
        id: MessageId,
    },
    /// A named point of the protocol was reached.
    #[serde(skip_deserializing)]
    Reached {
        #[serde(skip_deserializing)]
        point: &'static str,
    },
    /// A peer's rows as of `at` are here as a whole and are about to take the place of this node's: from now on a start may find either.
    SnapshotReceived {
        at: Position,
    },
    /// They have: the state is that after `at`, with this hash, and the log contains `at` or begins after it.
    SnapshotInstalled {
        at: Position,
        hash: StateHash,
    },
    /// The log up to `at` says that these are the members, and whose majorities decide (see [`crate::raft::Configuration`]). Told when such an entry is appended;
    /// at a start for what the log holds, and with the place of the rows for what they say.
    Configured {
        at: Position,
        members: Vec<NodeId>,
        voters: Vec<NodeId>,
        outgoing: Vec<NodeId>,
    },
    /// The node has started with a log that lost what it may have acknowledged. It is over at the point `log.repaired`.
    Repairing,
    /// The node's state is not that of a peer that applied the same entries.
    Diverged(Box<Divergence>),
    /// This tentative entry is durable on this node's disk. `outbox.node` has accepted it.
    Kept {
        outbox: OutboxId,
        n: u64,
        session: SessionId,
        identity: Identity,
    },
    /// A client is told that its request is accepted: it is durable on so many nodes, this one among them.
    Accepted {
        session: SessionId,
        identity: Identity,
        copies: u32,
    },
    /// Applying the entry at `index` refused this request, which some outbox had carried, without executing it: its session is over, or its key too old.
    TentativeRefused {
        index: Index,
        session: SessionId,
        identity: Identity,
    },
    /// Tentative entries that were durable on this node's disk are missing there.
    OutboxDamaged,
}

/// Collects facts for whoever drives the machine.
#[derive(Clone, Debug, Default, Hash)]
pub struct Facts {
    listening: bool,
    facts: Vec<Fact>,
}

impl Facts {
    pub fn new(listening: bool) -> Facts {
        Facts { listening, facts: Vec::new() }
    }

    /// Records what `fact` returns, if somebody listens.
    pub fn tell(&mut self, fact: impl FnOnce() -> Fact) {
        if self.listening {
            self.facts.push(fact());
        }
    }

    /// All facts since the last call, oldest first.
    pub fn take(&mut self) -> Vec<Fact> {
        core::mem::take(&mut self.facts)
    }

    /// As [`Facts::take`], into a vector that is empty: the two change places, so that neither is allocated anew.
    pub fn take_into(&mut self, empty: &mut Vec<Fact>) {
        debug_assert!(empty.is_empty());
        core::mem::swap(&mut self.facts, empty);
    }
}
