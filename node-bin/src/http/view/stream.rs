//! The frames of the stream as JSON.

use super::super::problem::{Problem, Shape};
use super::super::schema;
use super::{Message, Tentative, message, tentative, until};
use crate::rfc3339;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tertulia_protocol::chat::{self, Change, MemberRole, Rules};
use tertulia_protocol::gateway::{Event, EventKind};
use tertulia_protocol::ids::{Cursor, RoomId};
use utoipa::ToSchema;

/// A frame of the stream. Those with a `cursor` have a place among the events of their room; the others are of the moment.
#[derive(Serialize, ToSchema, Debug)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame {
    /// What follows comes after these events, by room.
    Following {
        cursors: BTreeMap<String, u64>,
    },
    Message {
        room: u64,
        cursor: u64,
        message: Message,
    },
    /// Events `from` … `cursor` are no longer kept: read the history.
    Skipped {
        room: u64,
        cursor: u64,
        from: u64,
    },
    Edited {
        #[serde(flatten)]
        changed: Changed,
        seq: u64,
    },
    Deleted {
        #[serde(flatten)]
        changed: Changed,
        seq: u64,
    },
    Reacted {
        #[serde(flatten)]
        changed: Changed,
        seq: u64,
        emoji: String,
        on: bool,
    },
    Pinned {
        #[serde(flatten)]
        changed: Changed,
        seq: u64,
        on: bool,
    },
    Joined {
        #[serde(flatten)]
        changed: Changed,
    },
    Left {
        #[serde(flatten)]
        changed: Changed,
    },
    Kicked {
        #[serde(flatten)]
        changed: Changed,
    },
    Banned {
        #[serde(flatten)]
        changed: Changed,
        on: bool,
    },
    /// Until a time, or `forever`; null: no more.
    Muted {
        #[serde(flatten)]
        changed: Changed,
        #[schema(required)]
        until: Option<String>,
    },
    Role {
        #[serde(flatten)]
        changed: Changed,
        #[schema(value_type = schema::MemberRole)]
        role: MemberRole,
    },
    Topic {
        #[serde(flatten)]
        changed: Changed,
        topic: String,
    },
    Renamed {
        #[serde(flatten)]
        changed: Changed,
        name: String,
    },
    Archived {
        #[serde(flatten)]
        changed: Changed,
        on: bool,
    },
    Rules {
        #[serde(flatten)]
        changed: Changed,
        #[schema(value_type = schema::Rules)]
        rules: Rules,
    },
    Typing {
        room: u64,
        user: u64,
        user_name: String,
    },
    Presence {
        user: u64,
        online: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        room: Option<u64>,
    },
    /// For this user alone.
    Notice(Notice),
    /// A message that waits for a majority, new or changed.
    Tentative {
        room: u64,
        message: Tentative,
    },
    /// All messages that wait in this room, in their order, in place of those told before.
    Tail {
        room: u64,
        messages: Vec<Tentative>,
    },
    /// A waiting message was refused when it was its turn.
    Withdrawn {
        room: u64,
        id: String,
        why: Shape,
    },
    /// The stream ends.
    Error {
        problem: Shape,
    },
}

/// What a change has besides what was done: where it stands, who did it and when, to whom, and the message that it is about as it is now.
#[derive(Serialize, ToSchema, Debug)]
pub struct Changed {
    pub room: u64,
    pub cursor: u64,
    #[schema(format = DateTime)]
    pub at: String,
    pub by: u64,
    pub by_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub user_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<Message>,
}

#[derive(Serialize, ToSchema, Debug)]
#[serde(tag = "notice", rename_all = "lowercase")]
pub enum Notice {
    Friendship {
        user: u64,
        user_name: String,
        #[schema(value_type = schema::Friendship)]
        friendship: chat::Friendship,
    },
    Invited {
        room: u64,
        name: String,
        by: u64,
    },
    /// This user has read through `seq`, on one of its devices.
    Read {
        room: u64,
        seq: u64,
        unread: u64,
    },
    Mentioned {
        room: u64,
        seq: u64,
        by: u64,
    },
}

/// As [`frame`], for those who put it into something else.
pub fn event(event: &Event) -> Value {
    json!(frame(event))
}

pub fn frame(event: &Event) -> Frame {
    let (room, cursor) = (event.room.0, event.cursor);
    match &event.kind {
        EventKind::Posted(post) => Frame::Message { room, cursor, message: message(post) },
        EventKind::Changed(change) => changed(room, cursor, change),
        EventKind::Skipped { from } => Frame::Skipped { room, cursor, from: *from },
        EventKind::Typing { user, name } => Frame::Typing { room, user: user.0, user_name: name.clone() },
        EventKind::Presence { user, online } => {
            Frame::Presence { user: user.0, online: *online, room: (event.room != RoomId(0)).then_some(room) }
        }
        EventKind::Notice(told) => Frame::Notice(notice(told)),
        EventKind::Tentative(post) => Frame::Tentative { room, message: tentative(post) },
        EventKind::Withdrawn { id, refusal } => {
            Frame::Withdrawn { room, id: id.to_string(), why: Problem::from((**refusal).clone()).shape() }
        }
        EventKind::Tail(posts) => Frame::Tail { room, messages: posts.iter().map(tentative).collect() },
    }
}

fn changed(room: u64, cursor: Cursor, told: &chat::Changed) -> Frame {
    let user = told.change.user();
    let changed = Changed {
        room,
        cursor,
        at: rfc3339::format(told.at),
        by: told.by.0,
        by_name: told.by_name.clone(),
        user: user.map(|user| user.0),
        user_name: user.map(|_| told.user_name.clone()),
        message: told.post.as_ref().map(message),
    };
    match &told.change {
        Change::Edited { seq } => Frame::Edited { changed, seq: *seq },
        Change::Deleted { seq } => Frame::Deleted { changed, seq: *seq },
        Change::Reacted { seq, emoji, on } => Frame::Reacted { changed, seq: *seq, emoji: emoji.clone(), on: *on },
        Change::Pinned { seq, on } => Frame::Pinned { changed, seq: *seq, on: *on },
        Change::Joined { .. } => Frame::Joined { changed },
        Change::Left { .. } => Frame::Left { changed },
        Change::Kicked { .. } => Frame::Kicked { changed },
        Change::Banned { on, .. } => Frame::Banned { changed, on: *on },
        Change::Muted { until: at, .. } => Frame::Muted { changed, until: at.map(until) },
        Change::Role { role, .. } => Frame::Role { changed, role: *role },
        Change::Topic { topic } => Frame::Topic { changed, topic: topic.clone() },
        Change::Renamed { name } => Frame::Renamed { changed, name: name.clone() },
        Change::Archived { on } => Frame::Archived { changed, on: *on },
        Change::Rules { rules } => Frame::Rules { changed, rules: *rules },
    }
}

fn notice(notice: &chat::Notice) -> Notice {
    match notice {
        chat::Notice::Friendship { other, name, friendship } => {
            Notice::Friendship { user: other.0, user_name: name.clone(), friendship: *friendship }
        }
        chat::Notice::Invited { room, name, by } => Notice::Invited { room: room.0, name: name.clone(), by: by.0 },
        chat::Notice::Read { room, seq, unread } => Notice::Read { room: room.0, seq: *seq, unread: *unread },
        chat::Notice::Mentioned { room, seq, by } => Notice::Mentioned { room: room.0, seq: *seq, by: by.0 },
    }
}

/// The stream's first frame.
pub fn following(cursors: &[(RoomId, Cursor)]) -> Frame {
    Frame::Following { cursors: cursors.iter().map(|(room, cursor)| (room.0.to_string(), *cursor)).collect() }
}
