//! The vocabulary between a machine and whoever drives it: store batches and reads, bounds, timing. The order of calls stands in the crate's root.

use crate::ids::*;
use crate::raft::Entry;
pub use crate::time::Now;
use crate::time::{Duration, Timestamp};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Term and vote. Durable before anything that follows from it is sent (thesis 3.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Vote {
    pub term: Term,
    pub voted_for: Option<NodeId>,
}

/// One write of the log lane. It becomes durable as a whole or, after a crash, as a prefix of its entries.
///
/// Entries are dense and ascending. The first one may stand at or below the end of the log: it replaces everything from there on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct Batch {
    /// The log drops everything that it holds and begins after this place, which the durable rows contain: a snapshot was installed. Written first.
    pub reset: Option<Position>,
    /// What [`Damage::log`] spoke of is made good, for every later start.
    pub repaired: bool,
    /// Written before the entries.
    pub vote: Option<Vote>,
    pub entries: Vec<Entry>,
}

/// One write of the row lane. `None` deletes the row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct RowBatch {
    /// At most one write a key, in the order of their first mention.
    pub rows: Vec<(Bytes, Option<Bytes>)>,
}

/// One write of the outbox lane: records that the node wants back at its next start, whatever they say (see [`crate::outbox`]).
///
/// Durable as a whole, or after a crash as a prefix of its records. With `clear`, all records of earlier writes are dropped in the same step: a crash leaves
/// either all of them, or none of them and these.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct Keep {
    pub clear: bool,
    pub records: Vec<Bytes>,
}

/// Keys whose first byte is at least this are *cold*: they stay on disk and come by [`Query`]. All others are handed over whole at start.
pub const COLD: u8 = 0x80;

/// A read of the store. Every read sees all row batches handed over before it.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Query {
    /// Log entries `from..=through`, cut after the one that reaches `max_bytes` of payload; at least one is returned.
    Log { from: Index, through: Index, max_bytes: u32 },
    /// Rows with `from <= key < to`, at most `limit`; ascending, or from the end when `backwards`.
    Range { from: Bytes, to: Bytes, limit: u32, backwards: bool },
    /// The rows of these keys; missing ones are left out.
    Keys { keys: Vec<Bytes> },
    /// Rows of a snapshot: all rows as of one place, which stays what it is while it is read in parts. `at`: the place that earlier parts were of; the store
    /// goes on with it if it still holds that snapshot, and otherwise takes a new one of the present rows. From `from` on in ascending order, and below `to` if it
    /// says so; cut after the row that reaches `max_bytes`, at least one row.
    Snapshot { at: Option<Index>, from: Bytes, to: Option<Bytes>, max_bytes: u32 },
}

/// Rows of a snapshot; see [`Query::Snapshot`].
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct SnapshotRows {
    /// What the snapshot's rows stand for.
    pub applied: AppliedRow,
    pub rows: Vec<(Bytes, Bytes)>,
    /// The first key that is not in this part; `None`: there is none in the range that was asked for.
    pub next: Option<Bytes>,
}

/// One step of writing a snapshot that comes from a peer beside the rows that are in use.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Receive {
    /// Begins with no rows, whatever was received before.
    Begin,
    /// Exactly these rows stand from `from` on and below `to` (`None`: the end).
    Range { from: Bytes, to: Option<Bytes>, rows: Vec<(Bytes, Bytes)> },
    /// The received rows are whole and stand for `position`: they become durable and take the place of the rows in use, in one step that a crash leaves done or
    /// not done. Reported by `handle_installed`.
    Install { position: Position },
    /// What was received is not needed.
    Abandon,
}

/// What a [`Query`] found.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Loaded {
    Entries(Vec<Entry>),
    Rows(Vec<(Bytes, Bytes)>),
    Snapshot(SnapshotRows),
}

/// Why the store could not do what it was asked. The text is for people and says what to do.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct StoreError {
    pub message: String,
}

/// What the store knows at start.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Restored {
    pub vote: Vote,
    /// The last log place that the durable rows contain, from the rows' own [`AppliedRow`]; default when there are none.
    pub applied: Position,
    /// Where the log begins: what was at or below this place is trimmed off it. At most `applied`, unless the rows are lost.
    pub start: Position,
    /// Bytes of payload of the entries in the log that are not in `log`: after `start`, through `applied`.
    pub bytes: u64,
    /// The log above `applied.index`, or above `start` if that lies higher; dense. The store has checked that it continues what lies before it.
    pub log: Vec<Entry>,
    /// All rows that are not cold, ascending.
    pub rows: Vec<(Bytes, Bytes)>,
    /// The records of the outbox lane, oldest first, those that are whole.
    pub kept: Vec<Bytes>,
    pub damage: Damage,
    /// The data folder's identity.
    pub incarnation: Incarnation,
    /// This start's identity.
    pub boot: Boot,
}

impl Restored {
    /// What a store holds that has just been made.
    pub fn empty(incarnation: Incarnation, boot: Boot) -> Restored {
        Restored {
            vote: Vote::default(),
            applied: Position::default(),
            start: Position::default(),
            bytes: 0,
            log: Vec::new(),
            rows: Vec::new(),
            kept: Vec::new(),
            damage: Damage::default(),
            incarnation,
            boot,
        }
    }
}

/// What was durable, is not as it was written, and has been given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Damage {
    /// Entries that this node may have acknowledged are missing from the end of its log: it must neither vote nor acknowledge before it is repaired.
    pub log: bool,
    /// The rows are gone and the log does not reach back far enough to build them again: a peer's snapshot is needed.
    pub rows: bool,
    /// Records of the outbox lane that were durable are missing: what they held is lost here, and whoever holds a copy still has it.
    pub kept: bool,
}

/// A place in the log with what identifies all that lies before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
pub struct Position {
    pub index: Index,
    pub term: Term,
    /// The hash over this entry and all before it ([`Entry::chain`]).
    pub chain: u64,
}

/// The key of the row that says through where the rows have come. Its value is an [`AppliedRow`] in an envelope.
pub const APPLIED_KEY: &[u8] = &[0x00];

/// Through where the rows have come; written with every row batch, so that rows and index are never apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub struct AppliedRow {
    pub position: Position,
    /// The greatest stamp applied.
    pub at: Timestamp,
    /// Hash over all other rows.
    pub hash: StateHash,
}

/// A hash over rows, independent of their order: the wrapping sum of the rows' hashes. Equal on all nodes that applied the same entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateHash(pub u64);

impl StateHash {
    /// The hash after a row changed from `old` to `new`.
    #[must_use]
    pub fn changed(self, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> StateHash {
        let (old, new) = StateHash::digests(key, old, new);
        self.replaced(old, new)
    }
}

impl StateHash {
    /// The digests of two values of one row, each over the key and the value: a state's hash is the sum of its rows' digests.
    pub(crate) fn digests(key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) -> (Option<u64>, Option<u64>) {
        use xxhash_rust::xxh3::xxh3_64_with_seed;
        let seed = xxh3_64_with_seed(key, 0);
        (old.map(|old| xxh3_64_with_seed(old, seed)), new.map(|new| xxh3_64_with_seed(new, seed)))
    }

    /// The hash after a row whose digest was `old` has the digest `new`.
    #[must_use]
    pub(crate) fn replaced(self, old: Option<u64>, new: Option<u64>) -> StateHash {
        StateHash(self.0.wrapping_sub(old.unwrap_or(0)).wrapping_add(new.unwrap_or(0)))
    }
}

/// What a full link drops first: data before control. Nothing that is dropped is lost: whoever sent it notices and sends it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Class {
    /// Votes, heartbeats, answers: small, and progress depends on them.
    Control,
    /// Log entries and forwarded requests.
    Data,
}

/// What is known of a link. A hint, never a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Link {
    /// Messages can be sent; the peer runs as `boot`.
    Up {
        boot: Boot,
    },
    Down,
}

/// How long things take. Defaults are DESIGN's for one data centre.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Timing {
    /// A leader says that it is there at least this often.
    pub heartbeat: Duration,
    /// Votes are refused for so long after a leader was heard. The same for every voter.
    pub detect_min: Duration,
    /// Silence after which the first in line stands for election.
    pub detection: Duration,
    /// How much longer each further one in line waits; at least a round trip and a sync.
    pub stagger: Duration,
    /// Upper bound of what is drawn on top.
    pub jitter: Duration,
    /// How long a request waits for a leader before it is refused.
    pub hold: Duration,
    /// How long a request may take in all before its outcome is called unknown.
    pub request: Duration,
    /// How long a forwarded request waits before it is forwarded again.
    pub forward_again: Duration,
    /// A batch that is not durable for so long means that the disk has stalled: a leader hands over, nobody stands for election.
    pub disk_stall: Duration,
    /// A leader that was not heard for so long does not answer: posts are accepted without it, before it is given up.
    pub leader_silence: Duration,
    /// By how much two clocks may run apart, in millionths of time passed. With it a leader answers reads on its lease, without asking anybody; without it
    /// (`None`, the default) leases are off and no clock matters for safety.
    pub lease_drift_ppm: Option<u32>,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Timing {
            heartbeat: ms(50),
            detect_min: ms(200),
            detection: ms(300),
            stagger: ms(50),
            jitter: ms(25),
            hold: ms(500),
            request: ms(5_000),
            forward_again: ms(250),
            disk_stall: ms(1_000),
            leader_silence: ms(150),
            lease_drift_ppm: None,
        }
    }
}

/// Every bound, and by its refusal what happens at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Limits {
    /// Payload bytes of one append message. More waits for the next one.
    pub append_bytes: u32,
    /// Append bytes under way to one follower. More waits for its answer.
    pub inflight_bytes: u32,
    /// Bytes in the leader's log that are not committed. More is refused: busy.
    pub uncommitted_bytes: u32,
    /// Log bytes that are applied and still kept in memory for slow followers. Older ones are read from disk.
    pub tail_bytes: u32,
    /// Log bytes that stay on disk for slow followers when the log is trimmed, which happens at twice as many. Whoever needs older ones gets a snapshot.
    pub log_bytes: u64,
    /// Bytes of rows after which a part of a snapshot ends. With one row of the largest kind it must fit a frame between peers.
    pub snapshot_part_bytes: u32,
    /// Bytes of a snapshot that a node asks for in a second, so that its leader has time for others.
    pub snapshot_bytes_per_second: u64,
    /// Nodes that one node gives snapshots to at once. Others wait and ask again.
    pub snapshots: u32,
    /// Requests that a node has taken from clients and not answered. More is refused: busy.
    pub pending_requests: u32,
    /// Requests of one session that may be under way, and outcomes kept for it. More is refused: busy.
    pub session_window: u32,
    /// Outcomes kept for requests with a key, a session. More is refused until old ones expire.
    pub session_keys: u32,
    /// How long the outcome of a request with a key is kept, in log time. A later retry is refused, never executed.
    pub key_retention: Duration,
    /// Sessions in all. More is refused.
    pub sessions: u32,
    /// Users in all. More is refused.
    pub users: u32,
    /// Rooms in all. More is refused.
    pub rooms: u32,
    /// Rooms that one user may be in. More is refused.
    pub rooms_of_user: u32,
    /// Users that a room may be made with.
    pub group: u32,
    /// Bans, mutes and open invitations of one room. More is refused.
    pub standings: u32,
    /// Friends and requests of one user. More is refused.
    pub friends: u32,
    /// Invitations to the cluster that are open at one time. More is refused.
    pub invites: u32,
    /// Bytes of a user's or a room's name.
    pub name_bytes: u32,
    /// Bytes of one message's text.
    pub text_bytes: u32,
    /// Connections of clients to one node. More is refused.
    pub connections: u32,
    /// Bytes of events that may wait for one reader. A reader beyond it leaves the live audience and catches up from the store.
    pub reader_bytes: u32,
    /// Messages of one page of history.
    pub page: u32,
    /// Bytes that all clients together may have sent and that are not yet answered; see [`crate::node::Node::admission`].
    pub admission_bytes: u32,
    /// Bytes of tentative entries that one node holds, its own and others'. More of its own is refused, more of others' is not taken.
    pub outbox_bytes: u64,
    /// After so many applied entries nodes compare the hashes of their states. 0: they never do, and remember nothing for it.
    pub compare_every: u32,
    /// Entries of which a node remembers the state's hash and what they wrote, to say where two states parted. Older ones: "at or before".
    pub compare_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            append_bytes: 256 << 10,
            inflight_bytes: 1 << 20,
            uncommitted_bytes: 16 << 20,
            tail_bytes: 8 << 20,
            log_bytes: 64 << 20,
            snapshot_part_bytes: 256 << 10,
            snapshot_bytes_per_second: 64 << 20,
            snapshots: 2,
            pending_requests: 8_192,
            session_window: 64,
            session_keys: 65_536,
            key_retention: Duration::from_secs(24 * 3600),
            sessions: 200_000,
            users: 100_000,
            rooms: 20_000,
            rooms_of_user: 1_000,
            group: 100,
            standings: 10_000,
            friends: 1_000,
            invites: 10_000,
            name_bytes: 64,
            text_bytes: 4_096,
            connections: 10_000,
            reader_bytes: 256 << 10,
            page: 1_000,
            admission_bytes: 32 << 20,
            outbox_bytes: 64 << 20,
            compare_every: 256,
            compare_window: 2_048,
        }
    }
}

/// The discipline that all machines share, small enough that one engine can drive any of them.
///
/// Hand over inputs (each machine has its own, each takes [`Now`]), drain `poll_output` to `None`, then ask `poll_timeout` when to call
/// `handle_timeout` next. Inputs with the same `now` may be handed over in a row before one drain.
pub trait Machine: Clone {
    type Output;
    /// The next thing to do, or `None`. Appends are made here, lazily, so that inputs of one moment form one batch.
    fn poll_output(&mut self) -> Option<Self::Output>;
    /// When [`Machine::handle_timeout`] wants to be called; earlier calls do no harm.
    fn poll_timeout(&self) -> Option<crate::time::Instant>;
    fn handle_timeout(&mut self, now: Now);
}
