//! What the judge is told.
//!
//! What the order of observations must keep: a node's facts in the order in which it told them, taken from the machine after every input, before
//! what it sent is delivered anywhere; a client's words in its own order, its `Submitted` before the request leaves and its `Acknowledged` when the
//! answer has come. Then a cause is always seen before its effect, and the judge may ask "was it durable *by then*".

use serde::{Deserialize, Serialize};
use std::fmt;
use tertulia_protocol::chat::{Friendship, History, Post, RoomRef, Tentative};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Cursor, MessageId, NodeId, RoomId, Seq, UserId};
use tertulia_protocol::time::Timestamp;

/// Microseconds since the run began. Only for reports and for what was before what in a client's read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub u64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Observed<'a> {
    /// A node's machine told it.
    Fact { node: NodeId, fact: &'a Fact },
    /// A process died or was stopped: its memory is gone, its disk keeps at least what was reported durable. `Fact::Started` follows when it comes back.
    Crashed { node: NodeId },
    /// After a crash, the harness took the whole disk. The node owes nothing of it any more, and what it gave its word for still counts with those who heard it:
    /// its votes bind it, and a leader may rely on what it acknowledged. Whoever comes in its place has another id.
    Wiped { node: NodeId },
    /// After a crash, the harness let rot what the log had made durable; term and vote are whole. If the node starts with less than it had reported, it has to
    /// say so ([`Fact::Repairing`]), and has no say until its log is whole again.
    Damaged { node: NodeId },
    /// A client saw or did it.
    Client(&'a ClientFact),
}

/// What a client saw or did. A client is one session; `client` is its number in the harness. A device that signs in anew, because it was logged out or let go, is
/// another client: its number is that of the first plus a multiple of [`SESSIONS`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientFact {
    /// It sends a post for the first time.
    Submitted { client: u32, number: u64, room: RoomRef, text_digest: u64 },
    /// It was told that this request has its final place. A repeated one must say the same.
    Acknowledged { client: u32, number: u64, room: RoomId, seq: Seq, id: MessageId, at: Timestamp },
    /// It was told that this request was not executed and never will be. Not for refusals that leave it open whether it was
    /// (`Unknown`, `Forgotten`, `KeyExpired`).
    RefusedFinally { client: u32, number: u64 },
    /// It follows the room anew: the events after this cursor come next. Without it, deliveries may begin anywhere, and go on from there for the
    /// whole run, whichever server the client moves to.
    Followed { client: u32, room: RoomId, after: Cursor },
    /// It joined the room, was told then that `joined` is its newest place, and follows it from the last `last` messages on (at least one).
    FollowedLast { client: u32, room: RoomId, last: u32, joined: Seq },
    /// A live event, as the client's user gets it: after the client machine has put it in order.
    Delivered { client: u32, room: RoomId, cursor: Cursor, seq: Seq, id: MessageId, text_digest: u64, at: Timestamp },
    /// A live event that is no post (an edit, a join, …), as the client's user gets it. `digest`: of what it says.
    Changed { client: u32, room: RoomId, cursor: Cursor, digest: u64 },
    /// It was told that the room no longer keeps events `from..=through`, and goes on behind them.
    Skipped { client: u32, room: RoomId, from: Cursor, through: Cursor },
    /// A page of a room's history arrived.
    Read {
        client: u32,
        room: RoomId,
        /// When the request for it left the client.
        asked: At,
        /// The bounds asked for, both exclusive.
        after: Option<Seq>,
        before: Option<Seq>,
        posts: Vec<ReadPost>,
        extent: Extent,
        /// The answering node said that a leader confirmed that nothing newer existed.
        current: bool,
        /// It was asked for with no less than what this client's answers had shown.
        own_past: bool,
    },

    // its session
    /// It was told for the first time that it is signed in, as this user. `limit`: how many devices of a user the cluster was founded to allow; 0: any number. `idle_ms`: how
    /// long a session lives without a sign of life; 0: for ever.
    SignedIn { client: u32, user: UserId, limit: u32, idle_ms: u64 },
    /// It was told that its user is signed in from as many devices as may be, and was shown so many of them.
    TooManyDevices { client: u32, limit: u32, devices: u32 },
    /// It was told that its session is over. `asked`: it had asked to be logged out.
    SignedOut { client: u32, asked: bool },
    /// It will never hear what became of this post: its session is over, or its device is lost.
    GaveUp { client: u32, number: u64 },

    // its rooms
    /// It is about to ask to be let into this room (again).
    Joins { client: u32, room: RoomRef },
    /// It was told that it is a member. `asked`: when it first asked for that. `history`: what the room was made to keep.
    /// `tentative`: what the room was made to do with posts while no leader is reached.
    Joined {
        client: u32,
        room: RoomId,
        asked: At,
        history: History,
        #[serde(default)]
        tentative: Tentative,
    },
    /// It was told that it is no member any more, or that there is no such room any more.
    Out { client: u32, room: RoomId },
    /// It was told which room is the one that its user has with this other one alone.
    Direct { client: u32, room: RoomId, other: UserId },

    // tentative messages
    /// It was told that this request is accepted without a leader, on so many nodes: it settles later. Told again when that number has changed. `id`: the message's,
    /// if it is a post.
    Accepted { client: u32, number: u64, id: MessageId, copies: u32 },
    /// A tentative message has come onto its screen, into the tail of the room, which stands behind the committed messages: before this one of the tail, or
    /// (`None`) at its end.
    Tentative { client: u32, room: RoomId, id: MessageId, author: UserId, text_digest: u64, before: Option<MessageId> },
    /// A tentative message has left the tail of its screen: it has its place, or is withdrawn, or comes into the tail elsewhere right after this.
    Untailed { client: u32, room: RoomId, id: MessageId },
    /// It was told that a tentative message was refused when it was its turn: it is no message, and has left the tail.
    Withdrawn { client: u32, room: RoomId, id: MessageId },
    /// Its process died and came back from what it kept: nothing is on its screen, and what it had shown without keeping it, it does not know any more.
    Restarted { client: u32 },
    /// It turns to a server, maybe another one: that may know less than the one before.
    Turned { client: u32 },

    // messages that change
    /// It asks for the first time to change a message's text to this (`None`: to delete it).
    Revising { client: u32, number: u64, room: RoomId, seq: Seq, text_digest: Option<u64> },
    /// It was told that this is done, at or before this event of the room.
    Revised { client: u32, number: u64, cursor: Cursor },
    /// What messages say that were changed (`None`: deleted) since they were posted. Told right before the page, or the event, that shows it.
    Texts { client: u32, room: RoomId, shown: Shown, posts: Vec<(Seq, Option<u64>)> },

    // friends
    /// It asks for the first time for something between its user and another one.
    Relating { client: u32, number: u64, other: UserId, wish: Wish },
    /// It was told what came of that; `None`: it was refused.
    Related { client: u32, number: u64, friendship: Option<Friendship> },
    /// It asked at the end, when all outcomes had come: all that its user is to others.
    Relations { client: u32, friends: Vec<(UserId, Friendship)>, blocked: Vec<UserId> },

    // read marks
    /// It was told that its mark at this message counts, or that all before a post of its own is read.
    MarkedRead { client: u32, room: RoomId, seq: Seq },
    /// It asked at the end, when all outcomes had come: how far its user has read, how many messages wait, and the newest one.
    Marks { client: u32, room: RoomId, read: Seq, unread: u64, last: Seq },
}

/// How far apart the numbers of one device's sessions are.
pub const SESSIONS: u32 = 100_000;

/// What stands in a [`ClientFact::Delivered`] or a [`ReadPost`] for the text of a message that was changed or deleted since it was posted. What it says then is told by
/// [`ClientFact::Texts`].
pub const REVISED: u64 = 0;

/// By what a client was shown something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Shown {
    /// By a page; see [`ClientFact::Read`].
    Page { asked: At, current: bool },
    /// By this event of the room.
    Event { cursor: Cursor },
}

/// What somebody wants of another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Wish {
    Befriend,
    Unfriend,
    Block,
    Unblock,
}

/// A post in a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadPost {
    pub seq: Seq,
    pub id: MessageId,
    pub text_digest: u64,
    /// Its stamp.
    pub at: Timestamp,
}

impl From<&Post> for ReadPost {
    fn from(post: &Post) -> ReadPost {
        ReadPost { seq: post.seq, id: post.id, text_digest: digest_of(post), at: post.at }
    }
}

/// How far a read went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Extent {
    /// It may have been cut by its limit or by `before`.
    Page,
    /// It was cut by nothing at its upper end: fewer posts than its limit came, and there was no `before`.
    ToEnd,
    /// The whole history (all pages joined; `after` and `before` are `None`), asked for when the cluster had settled and the last
    /// outcome had come: what the end is judged by.
    Final,
}

/// Something happened that may not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The rule's name, for ever the same: campaigns group by it, the shrinker keeps to it.
    pub rule: &'static str,
    pub at: At,
    /// Sentences for a person.
    pub evidence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.rule, self.at, self.evidence)
    }
}

impl std::error::Error for Violation {}

/// What stands for a text in the judge's memory (64-bit FNV-1a): enough to see that two texts are not the same.
pub fn text_digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Whether a message is not any more as it was posted; if so, what it says now, `None` when it is deleted.
pub fn revision(post: &Post) -> Option<Option<u64>> {
    match (&post.more.deleted, &post.more.edited) {
        // What is deleted and speaks all the same is somebody's mistake, to be seen.
        (Some(_), _) => Some((!post.text.is_empty()).then(|| text_digest(&post.text))),
        (None, Some(_)) => Some(Some(text_digest(&post.text))),
        (None, None) => None,
    }
}

/// What stands for a message's text where it is shown.
pub fn digest_of(post: &Post) -> u64 {
    if revision(post).is_some() { REVISED } else { text_digest(&post.text) }
}
