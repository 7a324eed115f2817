//! Messages as JSON, and what is answered to whoever writes them.

use super::{is_false, is_zero};
use crate::rfc3339;
use serde::Serialize;
use tertulia_protocol::chat::Post;
use tertulia_protocol::gateway::{Found, TentativePost};
use tertulia_protocol::ids::{MessageId, RoomId};
use tertulia_protocol::time::Timestamp;
use utoipa::ToSchema;

/// A message at its place in its room. What it has not is left out.
#[derive(Clone, Serialize, ToSchema, PartialEq, Debug)]
pub struct Message {
    /// Its place, from 1.
    pub seq: u64,
    /// 32 hexadecimal digits. The same from the moment on when a node took it.
    pub id: String,
    pub author: String,
    pub author_id: u64,
    /// Empty when it is deleted.
    pub text: String,
    /// When it got its place.
    #[schema(format = DateTime)]
    pub at: String,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply_to: Option<u64>,
    /// The first message of the thread that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub thread: Option<u64>,
    /// Messages that answer it.
    #[serde(skip_serializing_if = "is_zero")]
    pub replies: u32,
    /// When a node without a leader took it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub written_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub edited: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub deleted: Option<Deletion>,
    #[serde(skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// Members named in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

/// Who deleted a message, and when.
#[derive(Clone, Serialize, ToSchema, PartialEq, Debug)]
pub struct Deletion {
    pub by: u64,
    #[schema(format = DateTime)]
    pub at: String,
}

#[derive(Clone, Serialize, ToSchema, PartialEq, Debug)]
pub struct Reaction {
    pub emoji: String,
    /// In the order in which they reacted.
    pub users: Vec<u64>,
}

pub fn message(post: &Post) -> Message {
    let more = &post.more;
    let reaction = |reaction: &tertulia_protocol::chat::Reaction| Reaction {
        emoji: reaction.emoji.clone(),
        users: reaction.users.iter().map(|user| user.0).collect(),
    };
    Message {
        seq: post.seq,
        id: post.id.to_string(),
        author: post.author_name.clone(),
        author_id: post.author.0,
        text: post.text.clone(),
        at: rfc3339::format(post.at),
        reply_to: more.reply_to,
        thread: more.thread,
        replies: more.replies,
        written_at: more.written.map(rfc3339::format),
        edited: more.edited.map(rfc3339::format),
        deleted: more.deleted.map(|deleted| Deletion { by: deleted.by.0, at: rfc3339::format(deleted.at) }),
        pinned: more.pinned,
        mentions: more.mentions.iter().map(|user| user.0).collect(),
        reactions: more.reactions.iter().map(reaction).collect(),
    }
}

pub fn messages(posts: &[Post]) -> Vec<Message> {
    posts.iter().map(message).collect()
}

/// A message without a place: a node without a leader has accepted it.
#[derive(Clone, Serialize, ToSchema, PartialEq, Debug)]
pub struct Tentative {
    /// The one that it keeps when it gets its place.
    pub id: String,
    pub author: String,
    pub author_id: u64,
    pub text: String,
    #[schema(format = DateTime)]
    pub written_at: String,
    /// The nodes that it is on, as far as this one knows.
    pub copies: u32,
    /// Sorts as text: the waiting messages of a room stand by it, behind the committed ones.
    pub order: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reply_to: Option<u64>,
}

pub fn tentative(post: &TentativePost) -> Tentative {
    let (at, outbox, n) = post.order;
    Tentative {
        id: post.id.to_string(),
        author: post.author_name.clone(),
        author_id: post.author.0,
        text: post.text.clone(),
        written_at: rfc3339::format(post.written_at),
        copies: post.copies,
        order: format!("{:016x}-{:016x}-{:016x}-{n:016x}", at.0, outbox.node.0, outbox.boot.0),
        reply_to: post.reply_to,
    }
}

/// The messages of a room that wait, as far as this node knows.
#[derive(Serialize, ToSchema)]
pub struct Waiting {
    pub room: u64,
    /// Events through here are taken into account.
    pub cursor: u64,
    pub messages: Vec<Tentative>,
}

/// A message has its place, on a majority's disks.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Posted {
    pub id: String,
    pub seq: u64,
    #[schema(format = DateTime)]
    pub at: String,
    pub state: Committed,
    pub room: u64,
}

#[derive(Serialize, ToSchema, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Committed {
    Committed,
}

/// A node without a leader has it on its disk. The same request with the same key asks what became of it.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Accepted {
    pub state: AcceptedState,
    /// The nodes that it is on.
    pub copies: u32,
    /// Of a message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
}

#[derive(Serialize, ToSchema, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum AcceptedState {
    Accepted,
}

/// `id`: a message's.
pub fn accepted(id: Option<MessageId>, copies: u32) -> Accepted {
    Accepted { state: AcceptedState::Accepted, copies, id: id.map(|id| id.to_string()) }
}

/// How much of a room is not read.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct ReadMark {
    pub room: u64,
    pub unread: u64,
}

/// A page of a room's history, ascending.
#[derive(Serialize, ToSchema)]
pub struct History {
    pub messages: Vec<Message>,
    pub room: u64,
    /// False when no leader could confirm that there is nothing newer.
    pub current: bool,
}

/// The answers of one thread.
#[derive(Serialize, ToSchema)]
pub struct Thread {
    pub room: u64,
    pub messages: Vec<Message>,
}

/// A message of a list that is of several rooms.
#[derive(Serialize, ToSchema)]
pub struct MessageIn {
    #[serde(flatten)]
    pub message: Message,
    pub room: u64,
}

pub fn message_in((room, post): &(RoomId, Post)) -> MessageIn {
    MessageIn { message: message(post), room: room.0 }
}

/// What a search has found, the newest first.
#[derive(Serialize, ToSchema)]
pub struct FoundPage {
    pub messages: Vec<MessageIn>,
    /// The `before` of the next page; null when there is none.
    #[schema(required)]
    pub next: Option<String>,
    /// False while this node builds its index anew.
    pub complete: bool,
}

/// Where a search goes on, in one word.
pub fn place(found: Found) -> String {
    format!("{}.{}.{}", found.at.0, found.room.0, found.seq)
}

/// The place that [`place`] wrote.
pub fn read_place(text: &str) -> Option<Found> {
    let mut parts = text.split('.').map(str::parse);
    let (Some(Ok(at)), Some(Ok(room)), Some(Ok(seq)), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    Some(Found { at: Timestamp(at), room: RoomId(room), seq })
}
