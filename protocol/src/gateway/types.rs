//! What clients and their node say to each other. HTTP, WebSocket and the framed protocol are three spellings of this.

use crate::chat::password::Password;
use crate::chat::{
    Changed, Command, Done, Me, MemberView, Notice, Post, Refusal, RoomRef, RoomView, Settings, UserRef, UserView,
};
use crate::ids::*;
use crate::replica::{Divergence, Identity};
use crate::succession::{Policy, Reason};
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A session's secret: 256 random bits, drawn outside the protocol. Whoever shows it acts for the session on any node.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token(pub [u8; 32]);

/// Secrets stay out of logs.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// In traces a token counts by its credential's first bytes, as any other value does.
impl core::hash::Hash for Token {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.credential().hash(state);
    }
}

/// What the replicated state keeps of a token: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct Credential(pub [u8; 32]);

impl Token {
    pub fn credential(&self) -> Credential {
        use sha2::{Digest, Sha256};
        Credential(Sha256::digest(self.0).into())
    }
}

/// How a client's connection begins.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct ClientHello {
    /// A session that the client has already. Without one, only signing in, [`Ask::Cluster`] and [`Ask::Settings`] are answered.
    pub token: Option<Token>,
}

/// One request; its answer carries the same `id`.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client, unique on its connection.
    pub id: u64,
    pub ask: Ask,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// Opens a session under a token that the asker drew, and binds the connection to it. Repeating it with the same token finds the same session.
    SignIn {
        name: String,
        token: Token,
    },
    /// A command of this connection's session. `first_unacked`: outcomes of lower numbers need not be kept any more.
    Submit {
        identity: Identity,
        first_unacked: u64,
        command: Command,
    },
    /// All rooms there are.
    Rooms,
    /// A page of a room's posts: `after < seq < before`, ascending, at most `limit`. With `after` (or neither) from its low end, with only `before` from its high end.
    History {
        room: RoomRef,
        after: Option<Seq>,
        before: Option<Seq>,
        limit: u32,
        /// Without it the page shows everything that was committed when it was asked for, as a leader confirms. With it any state will do that holds the log through
        /// this index ([`Reply::index`] of an earlier answer, say): read your writes and monotonic reads on every node, without asking the leader.
        at_least: Option<Index>,
    },
    /// Events of one room from a place on, until [`Ask::Unfollow`]. Only members may follow.
    Follow {
        room: RoomRef,
        from: From,
    },
    Unfollow {
        room: RoomId,
    },
    /// Events of every room the user is in, also of those joined later; rooms that are not named begin now.
    FollowAll {
        after: Vec<(RoomId, Cursor)>,
    },
    /// The cluster as this node sees it. Needs no session.
    Cluster,
    /// Keeps the connection alive.
    Ping,
    /// As [`Ask::SignIn`], with everything that can be said: how, and from what device.
    SignInAs {
        name: String,
        token: Token,
        /// What the device is called; may be empty.
        device: String,
        how: How,
    },
    /// Changes the asker's password, as [`Ask::Submit`] does other things. The other devices are logged out.
    ChangePassword {
        identity: Identity,
        first_unacked: u64,
        old: Password,
        new: Password,
    },
    /// Deletes the asker's account, which has this password.
    DeleteAccount {
        identity: Identity,
        first_unacked: u64,
        password: Password,
    },
    /// The asker: devices, friends, invitations, and the cluster's settings.
    Me,
    /// A user, by name or id.
    User {
        user: UserRef,
    },
    /// One room, as the asker sees it.
    Room {
        room: RoomRef,
    },
    /// A room's members after one of them, by id.
    Members {
        room: RoomRef,
        after: UserId,
        limit: u32,
    },
    /// A page of a room's posts on both sides of a place, at most `limit` in all. `at_least`: see [`Ask::History`].
    Around {
        room: RoomRef,
        seq: Seq,
        limit: u32,
        at_least: Option<Index>,
    },
    /// The answers of the thread that begins with a message, after one of them.
    Thread {
        room: RoomRef,
        root: Seq,
        after: Seq,
        limit: u32,
    },
    /// These messages of one room, those that the asker may see.
    Messages {
        room: RoomRef,
        seqs: Vec<Seq>,
    },
    /// Messages with these words that the asker may see, the newest first; of one room or of all. By this node's own index, which may be a moment behind.
    Search {
        words: String,
        room: Option<RoomRef>,
        /// Only messages older than this one.
        before: Option<Found>,
        limit: u32,
    },
    /// All that the asker has written, room by room: the part after a place.
    Export {
        after: (RoomId, Seq),
    },
    /// The asker is typing in a room: a hint, which goes no further than those who look at it now.
    Typing {
        room: RoomId,
    },
    /// What holds for the whole cluster, how to sign in above all. Needs no session; as this node sees it.
    Settings,
    /// How full this node is. Needs no session.
    Load,
    /// The number that the session's next request must carry, as a leader confirms: no older state is shown.
    NextNumber,
    /// A room's tentative messages as this node knows them. Asked by a client that has some on its screen and comes to another node.
    Tentative {
        room: RoomRef,
    },
}

/// How somebody signs in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub enum How {
    /// With a name alone, where the cluster is content with that.
    #[default]
    Name,
    /// As a new user, with a code where the cluster wants one.
    Register {
        password: Password,
        invite: Option<String>,
    },
    LogIn {
        password: Password,
    },
}

/// Where a search goes on: a message's stamp and place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub struct Found {
    pub at: Timestamp,
    pub room: RoomId,
    pub seq: Seq,
}

/// Where to begin following a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum From {
    /// With the event after this one.
    After(Cursor),
    /// With the last so many.
    Last(u32),
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Reply {
    /// The request's.
    pub id: u64,
    /// The state that this was answered from holds the log through here.
    pub index: Index,
    pub result: Result<Answer, Refusal>,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// `next_number` is the number that the session's next request must carry.
    SignedIn {
        user: UserId,
        session: SessionId,
        name: String,
        next_number: u64,
    },
    Done(Done),
    Rooms(Vec<RoomView>),
    /// `current` is false when no leader could confirm that nothing newer exists.
    History {
        room: RoomId,
        posts: Vec<Post>,
        current: bool,
    },
    /// Events after `cursor` follow.
    Following {
        room: RoomId,
        cursor: Cursor,
    },
    FollowingAll {
        cursors: Vec<(RoomId, Cursor)>,
    },
    Unfollowed,
    Cluster(Box<Status>),
    Pong,
    Me(Box<Me>),
    User(UserView),
    Room(Box<RoomView>),
    Members {
        room: RoomId,
        members: Vec<MemberView>,
    },
    /// Posts of a room that were asked for one by one, or as a thread.
    Messages {
        room: RoomId,
        posts: Vec<Post>,
    },
    /// `more`: where to go on, if there may be more.
    Found {
        posts: Vec<(RoomId, Post)>,
        more: Option<Found>,
    },
    /// `next`: where to go on; `None`: that was all.
    Exported {
        posts: Vec<(RoomId, Post)>,
        next: Option<(RoomId, Seq)>,
    },
    /// Taken note of.
    Noted,
    Settings(Box<Settings>),
    /// How much of the node's fullest bound (connections, open requests, their bytes) is taken, in thousandths.
    Load {
        permille: u32,
    },
    NextNumber(u64),
    /// No leader answers; the request is durable on so many nodes and is committed, or refused, once there is a leader again. Asking again with the same number
    /// or key finds out. `id`: the message's, if the request is a post.
    Accepted {
        id: MessageId,
        copies: u32,
    },
    /// In their order. What became of others is told by the room's events through `cursor`.
    Tentative {
        room: RoomId,
        cursor: Cursor,
        posts: Vec<TentativePost>,
    },
}

/// A message that is accepted and not committed: it has no place in its room's order yet. It is shown after the committed ones, in the order of [`TentativePost::order`].
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct TentativePost {
    /// The same before and after it is committed.
    pub id: MessageId,
    pub author: UserId,
    pub author_name: String,
    pub text: String,
    /// The committed message that it answers.
    pub reply_to: Option<Seq>,
    /// When the node that took it wrote it down, by a hybrid clock.
    pub written_at: Timestamp,
    /// Where it stands among tentative messages here. On other nodes it may stand elsewhere; never before what its author had seen.
    pub order: (Timestamp, OutboxId, u64),
    /// On how many nodes it is durable, as far as this one knows.
    pub copies: u32,
}

impl TentativePost {
    /// Bytes that it counts for.
    pub fn cost(&self) -> u32 {
        128 + (self.text.len() + self.author_name.len()) as u32
    }
}

/// Something that happened in a room, sent to those who follow it, in order, without gaps.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Event {
    pub room: RoomId,
    /// Its place among the room's events.
    pub cursor: Cursor,
    pub kind: EventKind,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are posts, and a box would be one allocation more for each")]
pub enum EventKind {
    Posted(Post),
    Changed(Box<Changed>),
    /// Events from `from` through this one are no longer kept.
    Skipped {
        from: Cursor,
    },
    /// Of this moment, without a place: `cursor` is 0. Who misses it misses nothing that counts.
    Typing {
        user: UserId,
        name: String,
    },
    /// A user of the room has come or gone. As [`EventKind::Typing`], a hint.
    Presence {
        user: UserId,
        online: bool,
    },
    /// For the reader alone: `room` and `cursor` are 0. Who misses it finds the same by asking.
    Notice(Box<Notice>),
    /// Without a place, `cursor` is 0: a message is accepted, or what is said of it has changed. It becomes [`EventKind::Posted`] with the same id.
    Tentative(Box<TentativePost>),
    /// Without a place: a tentative message was refused when it was its turn, and is no message.
    Withdrawn {
        id: MessageId,
        refusal: Box<Refusal>,
    },
    /// Without a place: all tentative messages of the room, in their order, in place of those told before.
    Tail(Box<[TentativePost]>),
}

impl Event {
    /// The first place that it stands for: its own, or where what is no longer kept begins.
    pub fn begins(&self) -> Cursor {
        if let EventKind::Skipped { from } = self.kind { from } else { self.cursor }
    }

    /// Bytes that this event counts for against [`crate::contract::Limits::reader_bytes`]. The driver gives the same number back by `handle_drained` once it is written.
    pub fn cost(&self) -> u32 {
        match &self.kind {
            EventKind::Posted(post) => post.cost(),
            EventKind::Changed(changed) => 160 + changed.post.as_ref().map_or(0, Post::cost),
            EventKind::Skipped { .. } | EventKind::Typing { .. } | EventKind::Presence { .. } => 64,
            EventKind::Notice(_) | EventKind::Withdrawn { .. } => 160,
            EventKind::Tentative(post) => 32 + post.cost(),
            EventKind::Tail(posts) => 64 + posts.iter().map(TentativePost::cost).sum::<u32>(),
        }
    }
}

/// The readers of one event: a shared list, however many there are.
pub type Audience = Arc<[ConnectionId]>;

/// Why a node closes a client's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    TooManyConnections,
    Stopping,
    /// The node's disk does not answer: nothing is acknowledged here for now.
    Stalled,
    /// The session that it acted for was logged out or has expired.
    LoggedOut,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::TooManyConnections => "this node holds its limit of connections: try another node",
            CloseReason::Stopping => "this node is stopping: go on at another node",
            CloseReason::LoggedOut => "this session was logged out or has expired: sign in again",
            CloseReason::Stalled => "this node's disk does not answer: go on at another node",
        })
    }
}

/// The cluster as one node sees it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Status {
    pub node: NodeId,
    pub leader: Option<NodeId>,
    pub term: Term,
    pub commit: Index,
    pub applied: Index,
    /// Who leads next, in order, the leader first.
    pub succession: Vec<NodeId>,
    pub members: Vec<MemberStatus>,
    /// Voters that the first election of this cluster still waits for.
    pub waiting_for: Vec<NodeId>,
    pub state_hash: u64,
    /// The end of this node's log.
    pub last: Index,
    /// Voters are just changing.
    pub changing: bool,
    /// Learners become voters by themselves until there are so many.
    pub wanted_voters: u16,
    /// This node's log has lost what it may have acknowledged and is being repaired.
    pub repairing: bool,
    /// This node's disk owes a write for too long.
    pub stalled: bool,
    /// By what `succession` is ordered.
    pub policy: Policy,
    /// What the leader has measured, best-placed voter first; empty elsewhere.
    pub placement: Vec<Reason>,
    /// Round trips between members as the leader knows them, in µs; empty elsewhere.
    pub round_trips: Vec<(NodeId, NodeId, u64)>,
    /// Members whose state was found to differ from that of this node at the same place of the log, and not found equal since.
    pub diverged: Vec<Divergence>,
    /// Tentative entries that this node holds and that are not settled.
    pub tentative: u64,
    /// Nodes whose wall clock was ahead of this node's by more than half a second when they said last what they hold, and by how many milliseconds.
    pub clocks_ahead: Vec<(NodeId, u64)>,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct MemberStatus {
    pub id: NodeId,
    /// Where clients reach it (`http://…`), as it was configured.
    pub client_address: String,
    pub peer_address: String,
    pub role: Role,
    /// Whether this node has a link to it (a hint).
    pub reachable: bool,
    pub standing: Standing,
    /// How much of the log it is known to hold; known to the leader alone.
    pub matched: Option<Index>,
}

/// What say a member has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Standing {
    Voter,
    /// It is sent the log and has no say yet.
    Learner {
        replaces: Option<NodeId>,
    },
    /// It has a say until the change that is under way is done.
    Leaving,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Role {
    Leader,
    Follower,
    Candidate,
    /// Nothing is known of it.
    Unknown,
}
