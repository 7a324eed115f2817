//! A replicated state machine: raft's log of opaque bytes, a session table that makes requests exactly-once, and the machine that they are applied to.
//!
//! - Only a leader whose term's first entry is applied takes requests: its session table then knows everything that was executed before.
//! - It proposes a session's numbers in order: a later one is held until its predecessors are there.
//! - Every node learns an outcome by applying the entry; [`Output::Executed`] tells the node that waits for it.
//! - A node that cannot be sent the log gets a peer's rows (`snapshot/`).
//! - Rows of all entries applied in one drain leave as one batch, with the place that they stand for.
//! - The rows of a backup become the first state of a new cluster by [`found()`].

mod apply;
mod compare;
mod found;
mod machine;
mod offer;
mod sessions;
mod snapshot;
mod types;
#[cfg(feature = "zoo")]
mod zoo;

pub use compare::{CompareMessage, DifferentRow, Divergence, RowChange, describe_key};
pub use found::{FoundError, Founding, found, is_of_members};
pub use machine::{At, Effects, Ending, StateMachine};
pub use sessions::SessionRefusal;
pub use snapshot::{Ask, Part, SnapshotMessage};
pub use types::*;

use crate::contract::*;
use crate::facts::Fact;
use crate::gateway::Credential;
use crate::ids::*;
use crate::node::{Config, HaltReason, RequestKey, RestoreError};
use crate::raft::{
    self, Change, ChangeRefusal, Changing, Configuration, Entry, ProposeError, Raft, RaftMessage, TransferRefusal,
};
use crate::succession::Policy;
use crate::time::{Instant, Timestamp};
use crate::wire::{Envelope, Kind, open, seal};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;
use compare::Compare;
use sessions::{Lookup, Sessions};
use sha2::{Digest, Sha256};
use snapshot::{Jump, Receiver, Sender};
use xxhash_rust::xxh3::xxh3_64;

const CONFIGURATION_KEY: &[u8] = &[0x01];
const SUCCESSION_KEY: &[u8] = &[0x05];

/// What a replica asks of whoever drives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output<E> {
    Send {
        to: NodeId,
        class: Class,
        message: RaftMessage,
    },
    Store {
        id: BatchId,
        batch: Batch,
    },
    Apply {
        through: Index,
        rows: RowBatch,
    },
    Load {
        id: LoadId,
        query: Query,
    },
    /// To another replica, about snapshots.
    Snapshot {
        to: NodeId,
        class: Class,
        message: SnapshotMessage,
    },
    /// See [`crate::node::Output::Receive`].
    Receive(Receive),
    /// See [`crate::node::Output::Trim`].
    Trim {
        through: Index,
    },
    /// From here until [`Output::Jumped`] the rows are replaced by a snapshot's: what the store reads may not be of the state here.
    Jumping,
    /// The state has jumped ahead: nothing tells what happened in between.
    Jumped,
    /// A request was applied: the first time, or again.
    Executed(Executed),
    /// To another replica, about the states of both.
    Compare {
        to: NodeId,
        class: Class,
        message: CompareMessage,
    },
    /// The state here is not that of a peer at the same place. Nothing stops: somebody has to know.
    Diverged(Box<Divergence>),
    /// What the machine published.
    Event(E),
    /// Reads asked as `id` by [`Replica::read`] may look at the state now.
    Readable {
        id: u64,
    },
    Halt {
        reason: HaltReason,
    },
}

/// What became of a request that the log brought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Executed {
    pub request: RequestKey,
    /// Of its command.
    pub digest: u64,
    /// For an opened session: which one.
    pub session: SessionId,
    pub outcome: Result<Bytes, SessionRefusal>,
    /// An outbox has carried it, and it was refused for good without being executed: nothing will come of it any more.
    pub withdrawn: bool,
}

/// What a leader says to a request that is offered to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offer {
    /// In the log, or waiting for its predecessors, or was so already: [`Output::Executed`] follows unless the leader changes.
    Taken,
    /// Executed at the state's present place or before; see [`Replica::outcome`].
    Known,
    /// Not the leader, or not yet at work: offer it again.
    NotNow,
    /// Too much waits already: offer it again later.
    Busy,
    /// Its command is of a newer version than this leader's: it would stop every node that does not know it. Offer it again once another version leads.
    Foreign,
}

#[derive(Clone, Debug)]
struct Applying {
    entry: Entry,
    rows: Option<Vec<(Bytes, Bytes)>>,
    load: LoadId,
}

/// One replica of a state machine.
#[derive(Clone, Debug)]
pub struct Replica<S: StateMachine> {
    raft: Raft,
    machine: S,
    sessions: Sessions,
    limits: Limits,
    applied: Position,
    applied_at: Timestamp,
    hash: StateHash,
    /// The rows of members and succession as they are: the hash over all rows needs the old values.
    own_rows: BTreeMap<&'static [u8], Bytes>,
    /// An entry whose rows are being loaded.
    applying: Option<Applying>,
    loads: u64,
    /// Reads that wait until the state has come to an index.
    reads: BTreeSet<(Index, u64)>,
    /// In the log of this leader and not applied yet.
    proposed: BTreeSet<RequestKey>,
    /// The next number that this leader may propose for a session with something proposed.
    proposed_next: BTreeMap<SessionId, u64>,
    /// Numbers whose predecessors have not come, with when they came.
    held: BTreeMap<(SessionId, u64), (Instant, Submission)>,
    /// The term in which `proposed` and `held` were filled.
    leading_term: Term,
    /// The rows are damaged: nothing can be applied before a snapshot is here.
    lost: bool,
    /// This leader's log begins after this place, and the state here is not as far.
    needed: Option<(NodeId, Index)>,
    receiver: Receiver,
    sender: Sender,
    jump: Option<Jump<S>>,
    compare: Compare,
    /// The machine as it was before it had any rows.
    blank: S,
    /// The time of the last input.
    now: Instant,
    #[cfg(feature = "zoo")]
    bug: Option<crate::zoo::Bug>,
    outputs: VecDeque<Output<S::Event>>,
}

/// A digest of a command, to tell two requests under one key apart.
pub fn digest(command: &Bytes) -> u64 {
    xxh3_64(command)
}

/// What makes a request the same one, wherever it waits.
pub fn request_of(submission: &Submission) -> RequestKey {
    match submission {
        Submission::Open { credential, .. } => RequestKey::Open(*credential),
        Submission::Execute { session, identity, .. } | Submission::Carried { session, identity, .. } => {
            RequestKey::Execute(*session, identity.slot())
        }
        Submission::House { command } => RequestKey::House(digest(command)),
    }
}

/// A message's identity: the first half of the SHA-256 over its session and its number or key.
pub fn message_id(session: SessionId, slot: Slot) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(session.0.to_le_bytes());
    match slot {
        Slot::Number(number) => hash.update(number.to_le_bytes()),
        Slot::Key(key) => hash.update(key.to_le_bytes()),
    }
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    MessageId(u128::from_be_bytes(id))
}

impl<S: StateMachine> Replica<S> {
    /// A replica from what the store holds and a machine that is empty.
    pub fn restore(config: &Config, restored: &Restored, mut machine: S, now: Now) -> Result<Self, RestoreError> {
        let blank = machine.clone();
        let mut sessions = Sessions::new(config.limits);
        let mut applied = AppliedRow::default();
        let mut known = raft::FromRows::default();
        let bad = |key: &Bytes, error| RestoreError {
            message: format!("the row {key:02x?} cannot be read: {error}; run the release that wrote it, or a newer one"),
        };
        for (key, value) in &restored.rows {
            match &key[..] {
                APPLIED_KEY => applied = open(Kind::Applied, value).map_err(|error| bad(key, error))?,
                CONFIGURATION_KEY => known.configuration = Some(configuration_row(value).map_err(|error| bad(key, error))?),
                SUCCESSION_KEY => known.succession = Some(open(Kind::SuccessionRow, value).map_err(|error| bad(key, error))?),
                _ => sessions.restore(key, value).map_err(|error| bad(key, error))?,
            }
        }
        machine.restore(&restored.rows).map_err(|error| bad(&Bytes::new(), error))?;
        #[cfg(feature = "zoo")]
        sessions.came_by_rows(config.bug);
        let receiver = Receiver::new(restored.boot, &config.limits);
        #[cfg(feature = "zoo")]
        let receiver = receiver.mixing(config.bug == Some(crate::zoo::Bug::MixSnapshotParts));
        Ok(Replica {
            raft: Raft::restore(config, restored, raft::FromRows { at: applied.at, ..known }, now),
            machine,
            sessions,
            limits: config.limits,
            applied: applied.position,
            applied_at: applied.at,
            hash: applied.hash,
            own_rows: own_rows(&restored.rows),
            applying: None,
            loads: 0,
            reads: BTreeSet::new(),
            proposed: BTreeSet::new(),
            proposed_next: BTreeMap::new(),
            held: BTreeMap::new(),
            leading_term: 0,
            lost: restored.damage.rows,
            needed: None,
            receiver,
            sender: Sender::default(),
            jump: None,
            compare: Compare::new(&config.limits, applied.position.index, applied.hash),
            blank,
            now: now.instant,
            #[cfg(feature = "zoo")]
            bug: config.bug,
            outputs: VecDeque::new(),
        })
    }

    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    pub fn machine(&self) -> &S {
        &self.machine
    }

    pub fn applied(&self) -> Index {
        self.applied.index
    }

    /// The greatest stamp applied: the log's own time.
    pub fn applied_at(&self) -> Timestamp {
        self.applied_at
    }

    /// What a request that was executed was answered, whatever its command, if that is kept.
    pub fn answered(&self, session: SessionId, slot: Slot) -> Option<Bytes> {
        self.sessions.outcome(session, slot).map(|(_, outcome)| outcome)
    }

    /// Hash over all rows: equal on all nodes that have applied the same entries.
    pub fn hash(&self) -> StateHash {
        self.hash
    }

    /// The session that was opened under a credential, and what opening it was answered.
    pub fn opened(&self, credential: &Credential) -> Option<(SessionId, Bytes)> {
        self.sessions.opened(credential)
    }

    /// Whether a session was opened under this credential and is over.
    pub fn is_closed(&self, credential: &Credential) -> bool {
        self.sessions.is_closed(credential)
    }

    /// The number that the session's next request carries. Of one that has expired: the next that is executed if an outbox brings it.
    pub fn next_number(&self, session: SessionId) -> Option<u64> {
        self.sessions.next(session)
    }

    /// What an executed request was answered, as far as the state here knows. `digest`: of the command that is asked for.
    pub fn outcome(&self, session: SessionId, slot: Slot, digest: u64) -> Option<Result<Bytes, SessionRefusal>> {
        match self.sessions.outcome(session, slot) {
            Some((Some(kept), _)) if kept != digest => Some(Err(SessionRefusal::KeyReused)),
            Some((_, outcome)) => Some(Ok(outcome)),
            None => match slot {
                Slot::Number(number) if self.sessions.next(session)? > number && self.sessions.remembers(session, number) => {
                    Some(Err(SessionRefusal::Forgotten))
                }
                _ => None,
            },
        }
    }

    /// Whose session this was, by [`StateMachine::owner`], if it has expired and what outboxes bring for it is still executed.
    pub fn late_owner(&self, session: SessionId) -> Option<u64> {
        self.sessions.expired(session).map(|opened| self.machine.owner(opened))
    }

    /// Whether nothing will come of this request any more, by the state here, if an outbox carries it: it was executed, or can never be, because its session was logged out
    /// or is none. One that has expired may still have it executed.
    ///
    /// `false` says nothing for certain: the state may be behind, and a key may be too old to be executed. What applying tells counts, too: [`Executed::withdrawn`].
    pub fn is_settled(&self, session: SessionId, slot: Slot) -> bool {
        // A session is named by the entry that opened it: one that lies ahead is not known yet.
        session.0 <= self.applied.index && self.sessions.is_settled(session, slot)
    }

    /// What is proposed and held by this leader, reads that wait, and loads. What a former leader remembers of its term is let go of when it leads again.
    pub(crate) fn open_work(&self) -> (u32, u32, u32, u32) {
        let leads = self.raft.is_leader() && self.leading_term == self.raft.term();
        let of_leader = |count: usize| if leads { count as u32 } else { 0 };
        let loads = self.raft.open_loads() + u32::from(self.applying.is_some());
        (of_leader(self.proposed.len()), of_leader(self.held.len()), self.reads.len() as u32, loads)
    }

    pub(crate) fn tell(&mut self, fact: impl FnOnce() -> Fact) {
        self.raft.tell(fact);
    }

    pub fn take_facts(&mut self) -> Vec<Fact> {
        self.raft.take_facts()
    }

    /// As [`Replica::take_facts`], into an empty vector that is used again and again.
    pub fn take_facts_into(&mut self, empty: &mut Vec<Fact>) {
        self.raft.take_facts_into(empty);
    }

    // ---- inputs -------------------------------------------------------------------------------------------------------------------------

    pub fn handle_message(&mut self, now: Now, from: NodeId, message: RaftMessage) {
        self.now = now.instant;
        self.raft.handle_message(now, from, message);
    }

    /// A peer says that these entries are committed: see `raft/hearsay.rs`.
    pub(crate) fn take_committed(&mut self, now: Now, entries: Vec<Entry>) {
        self.now = now.instant;
        self.raft.take_committed(now, entries);
    }

    pub fn handle_link(&mut self, now: Now, peer: NodeId, link: Link) {
        self.raft.handle_link(now, peer, link);
        if let Link::Up { .. } = link {
            self.greet(peer);
        }
    }

    pub fn handle_stored(&mut self, now: Now, up_to: BatchId) {
        self.now = now.instant;
        self.raft.handle_stored(now, up_to);
    }

    pub fn handle_store_failed(&mut self, error: StoreError) {
        self.raft.handle_store_failed(error);
    }

    pub fn handle_loaded(&mut self, load: LoadId, loaded: Result<Loaded, StoreError>) {
        if load.0 % 4 == 3 {
            return self.handle_snapshot_load(load, loaded);
        }
        match &mut self.applying {
            Some(applying) if applying.load == load => match loaded {
                Ok(Loaded::Rows(rows)) => applying.rows = Some(rows),
                Ok(_) => {}
                Err(error) => self.raft.handle_store_failed(error),
            },
            _ => self.raft.handle_loaded(load, loaded),
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now.instant;
        self.raft.handle_timeout(now);
        self.compare.handle_timeout(now.instant);
    }

    /// Asks to read; see [`Raft::read`].
    pub fn read(&mut self, now: Now, id: u64) -> bool {
        self.raft.read(now, id)
    }

    /// Asks for a change of members; see [`Raft::change`].
    ///
    /// # Errors
    /// Why it will not be made.
    pub fn change(&mut self, now: Now, change: &Change) -> Result<Changing, ChangeRefusal> {
        self.raft.change(now, change)
    }

    /// Begins to hand leadership to `to`; see [`Raft::transfer`].
    ///
    /// # Errors
    /// Why that node cannot have it.
    pub fn transfer(&mut self, now: Now, to: NodeId) -> Result<bool, TransferRefusal> {
        self.raft.transfer(now, to)
    }

    /// Asks for another policy of succession; see [`Raft::set_policy`].
    pub fn set_policy(&mut self, now: Now, policy: &Policy) -> Changing {
        self.raft.set_policy(now, policy)
    }

    /// Hands leadership to whoever is first in line; see [`Raft::hand_over`].
    pub fn hand_over(&mut self, now: Now) -> bool {
        self.raft.hand_over(now)
    }

    /// Asks to read the state as soon as it has come to `index`.
    pub fn read_at(&mut self, id: u64, index: Index) {
        self.reads.insert((index, id));
    }

    /// Whoever asked by [`Replica::read_at`] has given up: the state may never come there.
    pub fn forget_read(&mut self, id: u64, index: Index) {
        self.reads.remove(&(index, id));
    }

    // ---- outputs ------------------------------------------------------------------------------------------------------------------------

    pub fn poll_output(&mut self) -> Option<Output<S::Event>> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if self.apply_committed() || self.receive() || self.compare_states() {
                continue;
            }
            return Some(match self.raft.poll_output()? {
                raft::Output::Send { to, class, message } => Output::Send { to, class, message },
                raft::Output::Store { id, batch } => Output::Store { id, batch },
                raft::Output::Load { id, query } => Output::Load { id, query },
                raft::Output::Halt { reason } => Output::Halt { reason },
                raft::Output::Behind { leader, start } => {
                    self.handle_behind(leader, start);
                    continue;
                }
                raft::Output::ReadReady { id, index } => {
                    self.read_at(id, index);
                    self.wake_readers();
                    continue;
                }
            });
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let raft = self.raft.poll_timeout()?;
        let raft = self.compare.deadline().map_or(raft, |compare| compare.min(raft));
        let receiver = if self.jump.is_some() { None } else { self.receiver.deadline() };
        Some(receiver.map_or(raft, |receiver| receiver.min(raft)))
    }

    fn wake_readers(&mut self) {
        while let Some((_, id)) = self.reads.pop_first_if_at_most(self.applied.index) {
            self.outputs.push_back(Output::Readable { id });
        }
    }
}

fn own_rows(rows: &[(Bytes, Bytes)]) -> BTreeMap<&'static [u8], Bytes> {
    let of = |key: &'static [u8]| rows.iter().find(|(found, _)| found == key).map(|(_, row)| (key, row.clone()));
    [CONFIGURATION_KEY, SUCCESSION_KEY].into_iter().filter_map(of).collect()
}

/// The members by their row. The first release knew only voters.
fn configuration_row(row: &Bytes) -> Result<Configuration, crate::wire::EnvelopeError> {
    match Envelope::parse(row)?.kind {
        Kind::ConfigurationRow => open(Kind::ConfigurationRow, row).map(Configuration::of_voters),
        _ => open(Kind::MembershipRow, row),
    }
}

trait PopAtMost {
    fn pop_first_if_at_most(&mut self, index: Index) -> Option<(Index, u64)>;
}

impl PopAtMost for BTreeSet<(Index, u64)> {
    fn pop_first_if_at_most(&mut self, index: Index) -> Option<(Index, u64)> {
        if self.first()?.0 > index { None } else { self.pop_first() }
    }
}
