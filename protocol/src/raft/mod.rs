//! One replica of a log of opaque bytes: Raft as in Ongaro's thesis (sections are cited by number), with what production systems found missing.
//!
//! - **Storage is asynchronous.** A batch is handed out by [`Output::Store`] and reported by [`Raft::handle_stored`]; what depends on it (a vote, an acknowledgement, the
//!   leader's own share of a majority) waits. A completion credits `(index, term)`, and only if the log still holds that entry.
//! - **One vote gate** (6.2, 9.6): votes and pre-votes are refused within `detect_min` of hearing a leader, the same for every voter; a voter that has just
//!   started counts as having just heard one.
//! - **A leader without a quorum falls silent** (CheckQuorum, 6.2).
//! - **Entry 1 is the configuration** with every voter's data folder; the first election of an empty cluster needs all of its voters.
//!   Later ones come by joint consensus (4.3).
//! - **A log that has lost something acknowledged** neither votes nor acknowledges until it is repaired.
//!
//! Where things are: `election.rs` votes, `replication.rs` appends on both sides, `storage.rs` batches and their completion, `read.rs` ReadIndex and leases,
//! `configuration.rs` who has a say and `membership.rs` how that changes, `transfer.rs` handing over, `placement.rs` to whom, `repair.rs` damaged logs,
//! `snapshot.rs` where the log begins, `hearsay.rs` what peers know to be committed.

#[cfg(feature = "zoo")]
mod bugs;
pub mod configuration;
mod election;
mod hearsay;
mod log;
mod membership;
mod message;
mod placement;
mod progress;
pub mod quorum;
mod read;
mod repair;
mod replication;
mod roles;
mod snapshot;
mod storage;
mod transfer;

pub use configuration::{Change, ChangeRefusal, Configuration, Member};
pub use membership::Changing;
pub use message::{Answer, Entry, RaftMessage};
pub use transfer::TransferRefusal;

use crate::contract::*;
use crate::dice::Seed;
use crate::facts::{Fact, Facts};
use crate::ids::*;
use crate::node::{Config, HaltReason};

use crate::succession::{self, Succession};
use crate::time::{Instant, Timestamp};
use crate::wire::{Kind, open};
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use election::Ballot;
use log::Log;
use membership::Configurations;
pub(crate) use membership::configuration_in;
pub(crate) use placement::succession_in;
use placement::{Placing, Ranking};
use progress::Progress;
use repair::Repair;
use storage::Writing;
use transfer::Transfer;

/// What a replica asks of whoever drives it.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Output {
    Send {
        to: NodeId,
        class: Class,
        message: RaftMessage,
    },
    Store {
        id: BatchId,
        batch: Batch,
    },
    Load {
        id: LoadId,
        query: Query,
    },
    /// Reads asked as `id` by [`Raft::read`] may be answered once the state is applied through `index`.
    ReadReady {
        id: u64,
        index: Index,
    },
    /// The leader's log begins after `start`, and this node needs what lies before: a snapshot of the leader's rows.
    Behind {
        leader: NodeId,
        start: Index,
    },
    Halt {
        reason: HaltReason,
    },
}

/// Why a proposal was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ProposeError {
    NotLeader,
    /// Too many bytes wait to be committed.
    Busy,
}

#[derive(Clone, Debug, Hash)]
enum Role {
    Follower,
    /// Asks whether votes would be given (9.6); nothing has changed yet.
    PreCandidate {
        ballot: Ballot,
        since: Instant,
        again_at: Instant,
    },
    Candidate {
        ballot: Ballot,
    },
    Leader(Box<Leading>),
}

/// What only a leader knows.
#[derive(Clone, Debug, Hash)]
struct Leading {
    progress: BTreeMap<NodeId, Progress>,
    /// The entry that opened the term: reads and requests wait until it is committed (6.4).
    opened_by: Index,
    heartbeat_at: Instant,
    /// Broadcasts so far; answers repeat it.
    round: u64,
    reads: VecDeque<read::WaitingRead>,
    /// Reads that the asker must not help to confirm.
    repair_reads: VecDeque<read::WaitingRead>,
    lease: read::Lease,
    /// From the moment on in which somebody else was told to stand, no lease holds in this term.
    lease_given_up: bool,
    transfer: Option<Transfer>,
    /// Who did not take over when this leader handed over; see [`Raft::hand_over`].
    asked_in_vain: BTreeSet<NodeId>,
    ranking: Ranking,
    /// The end of the log when the last heartbeat went out: whoever holds that has caught up.
    last_at_heartbeat: Index,
    /// A broadcast is owed now, for reads or because the term has just begun.
    broadcast: bool,
    uncommitted_bytes: usize,
}

/// One replica. See the module for the rules, [`crate`] for the order of calls.
#[derive(Clone, Debug, Hash)]
pub struct Raft {
    node: NodeId,
    boot: Boot,
    incarnation: Incarnation,
    timing: Timing,
    limits: Limits,
    seed: Seed,
    #[cfg(feature = "zoo")]
    bug: Option<Bug>,
    /// The time of the last input.
    now: Now,
    /// From the log once that holds one, else what the node was started with; then every voter must vote for the first leader.
    configurations: Configurations,
    members_version: u64,
    /// This node has been removed, and stops at this moment.
    leave_at: Option<Instant>,
    vote: Vote,
    log: Log,
    /// Known to be committed. Never decreases in one run.
    commit: Index,
    /// Handed out by [`Raft::next_committed`]; at most `min(commit, durable)`.
    handed: Index,
    role: Role,
    leader: Option<NodeId>,
    /// The last leader known, for the order of succession.
    last_leader: Option<NodeId>,
    /// When a leader was last heard, or when this node started: the vote gate counts from here.
    heard: Instant,
    /// When a follower or candidate stands for election next.
    election_at: Instant,
    elections: u64,
    /// The leader's log and ours agree up to here, in this term.
    agreed: Index,
    /// The greatest round of this term's leader.
    round: u64,
    /// The leader is owed an acknowledgement once the disk has caught up.
    owes_answer: bool,
    writing: Writing,
    repair: Option<Repair>,
    placing: Placing,
    /// The disk owes a batch for too long.
    stalled: bool,
    /// The link to this leader broke at that moment, and it was not heard since.
    lost_leader: Option<(NodeId, Instant)>,
    extent: snapshot::Extent,
    /// This node's rows are damaged: it votes and acknowledges, but it cannot lead before it has a peer's snapshot.
    rows_lost: bool,
    links: BTreeMap<NodeId, Boot>,
    loads_made: u64,
    loads: BTreeMap<LoadId, NodeId>,
    outputs: VecDeque<Output>,
    facts: Facts,
    halted: bool,
}

/// What a replica's rows say of the cluster, when the log entries that said so are applied already.
#[derive(Clone, Debug, Default, Hash)]
pub struct FromRows {
    pub configuration: Option<Configuration>,
    pub succession: Option<Succession>,
    /// The greatest stamp applied.
    pub at: Timestamp,
}

impl Raft {
    /// A replica from what the store holds.
    pub fn restore(config: &Config, restored: &Restored, rows: FromRows, now: Now) -> Raft {
        let FromRows { configuration, succession, at } = rows;
        let mut placing = Placing::new(config, succession, now.instant);
        // Whoever has lost its rows still knows that the log was trimmed only of what is committed.
        let start = if restored.start.index > restored.applied.index { restored.start } else { restored.applied };
        let mut log = Log::new(start, at);
        let mut extent = snapshot::Extent::new(restored);
        let mut facts = Facts::new(config.facts);
        let mut told: Vec<Fact> = configuration.iter().map(|known| known.told(restored.applied)).collect();
        let mut configurations = match configuration {
            Some(configuration) => Configurations::new(configuration, true),
            None => Configurations::new(Configuration::of_voters(config.voters.clone()), false),
        };
        for entry in &restored.log {
            if let Some(found) = configuration_in(entry) {
                told.push(found.told(entry.position()));
                configurations.push(entry.index, found);
            }
            if let Some(found) = succession_in(entry) {
                placing.push(entry.index, found, start.index);
            }
            extent.appended(entry, config.limits.log_bytes);
            log.push(entry.clone());
        }
        let last = log.last();
        facts.tell(|| Fact::Started {
            boot: restored.boot,
            term: restored.vote.term,
            voted_for: restored.vote.voted_for,
            durable: last,
            applied: restored.applied.index,
        });
        if restored.damage.log {
            facts.tell(|| Fact::Repairing);
        }
        told.into_iter().for_each(|fact| facts.tell(|| fact));
        let mut raft = Raft {
            node: config.node,
            boot: restored.boot,
            incarnation: restored.incarnation,
            timing: config.timing,
            limits: config.limits,
            seed: config.seed,
            #[cfg(feature = "zoo")]
            bug: config.bug,
            now,
            configurations,
            members_version: 1,
            leave_at: None,
            vote: restored.vote,
            log,
            commit: start.index,
            handed: restored.applied.index,
            role: Role::Follower,
            leader: None,
            last_leader: None,
            heard: now.instant,
            election_at: now.instant,
            elections: 0,
            agreed: 0,
            round: 0,
            owes_answer: false,
            writing: Writing::new(restored.vote, last.index),
            repair: restored.damage.log.then_some(Repair::Asking { asked: None }),
            placing,
            stalled: false,
            lost_leader: None,
            extent,
            rows_lost: restored.damage.rows,
            links: BTreeMap::new(),
            loads_made: 0,
            loads: BTreeMap::new(),
            outputs: VecDeque::new(),
            facts,
            halted: false,
        };
        #[cfg(feature = "zoo")]
        raft.start_wrongly();
        raft.wait_for_leader(now.instant);
        if raft.was_removed(raft.node) {
            raft.leave_at = Some(now.instant);
        }
        raft
    }

    // ---- what is known ------------------------------------------------------------------------------------------------------------------

    pub fn node(&self) -> NodeId {
        self.node
    }

    pub fn boot(&self) -> Boot {
        self.boot
    }

    pub fn term(&self) -> Term {
        self.vote.term
    }

    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Entries for followers that are being read from disk, and reads that this leader has not confirmed.
    pub(crate) fn open_loads(&self) -> u32 {
        let reads = match &self.role {
            Role::Leader(leading) => leading.reads.len() + leading.repair_reads.len(),
            _ => 0,
        };
        (self.loads.len() + reads) as u32
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// A leader's first entry of its term: once that is applied, the state holds everything that was committed before.
    pub fn opened_by(&self) -> Option<Index> {
        if let Role::Leader(leading) = &self.role { Some(leading.opened_by) } else { None }
    }

    pub fn is_candidate(&self) -> bool {
        matches!(self.role, Role::PreCandidate { .. } | Role::Candidate { .. })
    }

    pub fn commit(&self) -> Index {
        self.commit
    }

    pub fn last(&self) -> Position {
        self.log.last()
    }

    pub fn durable(&self) -> Index {
        self.writing.durable
    }

    /// Whether the disk owes this node a batch for longer than it may.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Whether there is a link to this node.
    pub fn is_linked(&self, node: NodeId) -> bool {
        node == self.node || self.links.contains_key(&node)
    }

    pub fn take_facts(&mut self) -> Vec<Fact> {
        self.facts.take()
    }

    /// As [`Raft::take_facts`], into an empty vector that is used again and again.
    pub fn take_facts_into(&mut self, empty: &mut Vec<Fact>) {
        self.facts.take_into(empty);
    }

    /// The facts of the machines around this one go the same way, so that their order is kept.
    pub(crate) fn tell(&mut self, fact: impl FnOnce() -> Fact) {
        self.facts.tell(fact);
    }

    // ---- inputs -------------------------------------------------------------------------------------------------------------------------

    pub fn handle_message(&mut self, now: Now, from: NodeId, message: RaftMessage) {
        self.now = now;
        // Whoever knows the cluster's secret and was not removed may be a member that the log here does not name yet (4.1).
        if self.halted || from == self.node || self.was_removed(from) && !self.is_farewell(from, &message) || !message.is_sound()
        {
            return;
        }
        match message {
            RaftMessage::AskVote { term, pre, forced, last } => self.handle_ask_vote(now, from, term, (pre, forced), last),
            RaftMessage::Voted { term, pre, granted, boot, incarnation } => {
                self.handle_voted(now, from, term, pre, granted, boot, incarnation);
            }
            RaftMessage::Append { term, previous, entries, commit, round } => {
                if self.follow(now, from, term) {
                    self.handle_append(now, from, previous, entries, commit, round);
                }
            }
            RaftMessage::Appended { term, matched, answer } => {
                if self.heard_answer(now, from, term, answer) {
                    self.handle_appended(now, from, matched);
                }
            }
            RaftMessage::Refused { term, previous, hint, answer } => {
                if self.heard_answer(now, from, term, answer) {
                    self.handle_refused(from, previous, hint);
                }
            }
            RaftMessage::AskRead { term: _, id, boot, repair } => self.handle_ask_read(now, from, boot, id, repair),
            // An earlier run's read may have the same id, and saw an older state.
            RaftMessage::Read { term: _, id: repair::REPAIR_READ, boot, index } if boot == self.boot => self.repair_until(index),
            RaftMessage::Read { term: _, id, boot, index } if boot == self.boot => {
                self.outputs.push_back(Output::ReadReady { id, index });
            }
            RaftMessage::Probe { sent } => self.handle_probe(now, from, sent),
            RaftMessage::Report { term: _, boot, column } => self.handle_report(now, from, boot, &column),
            RaftMessage::TimeoutNow { term } => self.handle_timeout_now(now, from, term),
            RaftMessage::Read { .. } => {}
            RaftMessage::NeedSnapshot { term, start } => {
                if self.follow(now, from, term) {
                    self.outputs.push_back(Output::Behind { leader: from, start });
                }
            }
        }
    }

    /// A hint about a link: a new boot voids what was believed of the old one; a broken link makes the leader look again where its follower is, and the first in
    /// line stand at once when it was the leader's.
    pub fn handle_link(&mut self, now: Now, peer: NodeId, link: Link) {
        self.now = now;
        let last = self.log.last().index;
        match link {
            Link::Up { boot } => {
                self.lost_leader.take_if(|(lost, _)| *lost == peer);
                if self.links.insert(peer, boot) != Some(boot) {
                    self.placing.forget(peer);
                }
                if let Role::PreCandidate { ballot, .. } | Role::Candidate { ballot } = &mut self.role {
                    ballot.see_boot(peer, boot);
                }
                if let Role::Leader(leading) = &mut self.role
                    && let Some(progress) = leading.progress.get_mut(&peer)
                {
                    progress.see_boot(boot, leading.round, last);
                    leading.ranking.forget(peer);
                    leading.broadcast = true;
                }
            }
            Link::Down => {
                self.links.remove(&peer);
                if let Role::Leader(leading) = &mut self.role
                    && let Some(progress) = leading.progress.get_mut(&peer)
                {
                    progress.link_broke();
                }
                if self.leader == Some(peer) && matches!(self.role, Role::Follower) {
                    self.lost_leader(now, peer);
                }
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        if self.halted {
            return;
        }
        if self.leave_at.is_some_and(|at| now.instant >= at) {
            return self.halt(HaltReason::Removed { node: self.node });
        }
        self.watch_disk(now);
        self.measure(now);
        match &self.role {
            Role::Leader(leading) if now.instant >= leading.heartbeat_at => self.heartbeat(now),
            Role::Leader(_) => {}
            Role::PreCandidate { again_at, .. } if now.instant >= *again_at => self.ask_pre_votes(now),
            Role::PreCandidate { .. } => {}
            Role::Follower | Role::Candidate { .. } if now.instant >= self.election_at => self.stand(now),
            Role::Follower | Role::Candidate { .. } => {}
        }
    }

    /// Appends a payload to the leader's log. Its place is decided once it is committed.
    pub fn propose(&mut self, now: Now, payload: Bytes) -> Result<Position, ProposeError> {
        let limit = self.limits.uncommitted_bytes as usize;
        let Role::Leader(leading) = &mut self.role else { return Err(ProposeError::NotLeader) };
        if leading.transfer.is_some() {
            return Err(ProposeError::NotLeader);
        }
        // What this node's own disk has not written stays in memory, committed or not.
        if leading.uncommitted_bytes > limit || self.writing.waiting_bytes() > limit {
            return Err(ProposeError::Busy);
        }
        Ok(self.append_own(now, payload))
    }

    // ---- outputs ------------------------------------------------------------------------------------------------------------------------

    /// The next thing to do. Batches and appends are made when everything else is drained, so that inputs of one moment share them.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.halted {
            return None;
        }
        if let Some((id, batch)) = self.make_batch() {
            return Some(Output::Store { id, batch });
        }
        self.replicate();
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.halted {
            return None;
        }
        let role = match &self.role {
            Role::Leader(leading) => leading.heartbeat_at,
            Role::PreCandidate { again_at, .. } => *again_at,
            Role::Follower | Role::Candidate { .. } => self.election_at,
        };
        let stall = self.writing.waiting_since().filter(|_| !self.stalled).map(|since| since + self.timing.disk_stall);
        let next = role.min(self.placing.poll_timeout());
        let next = stall.map_or(next, |stall| stall.min(next));
        Some(self.leave_at.map_or(next, |leave| leave.min(next)))
    }

    /// Whether [`Raft::next_committed`] has an entry.
    pub(crate) fn has_committed(&self) -> bool {
        !self.halted && self.handed < self.commit.min(self.writing.durable)
    }

    /// The next committed entry that is also durable here, each once. The state machine never runs ahead of its own log on disk.
    pub fn next_committed(&mut self) -> Option<Entry> {
        if !self.has_committed() {
            return None;
        }
        let entry = self.log.get(self.handed + 1)?.clone();
        self.handed += 1;
        Some(entry)
    }

    /// Lets go of applied entries beyond what slow followers are likely to need; older ones are read from disk.
    pub fn trim(&mut self, applied: Index) {
        let keep = u64::from(self.limits.tail_bytes).min(self.limits.log_bytes);
        self.log.trim(applied.min(self.handed), keep as usize);
    }

    /// Stops for good; only outputs made so far are still given out.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted
    }

    pub(crate) fn halt(&mut self, reason: HaltReason) {
        if !self.halted {
            self.halted = true;
            self.outputs.push_back(Output::Halt { reason });
        }
    }

    fn send(&mut self, to: NodeId, class: Class, message: RaftMessage) {
        self.outputs.push_back(Output::Send { to, class, message });
    }
}

impl Machine for Raft {
    type Output = Output;
    fn poll_output(&mut self) -> Option<Output> {
        Raft::poll_output(self)
    }
    fn poll_timeout(&self) -> Option<Instant> {
        Raft::poll_timeout(self)
    }
    fn handle_timeout(&mut self, now: Now) {
        Raft::handle_timeout(self, now);
    }
}
