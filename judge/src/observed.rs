//! What the judge is told.
//!
//! What the order of observations must keep: a node's facts in the order in which it told them, taken from the machine after every input, before
//! what it sent is delivered anywhere; a client's words in its own order, its `Submitted` before the request leaves and its `Acknowledged` when the
//! answer has come. Then a cause is always seen before its effect, and the judge may ask "was it durable *by then*".

use serde::{Deserialize, Serialize};
use std::fmt;
use tertulia_protocol::chat::{Post, RoomRef};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Cursor, MessageId, NodeId, RoomId, Seq};
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

/// What a client saw or did. A client is one session for the whole run; `client` is its number in the harness.
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
        ReadPost { seq: post.seq, id: post.id, text_digest: text_digest(&post.text), at: post.at }
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
