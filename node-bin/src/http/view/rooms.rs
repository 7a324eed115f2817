//! Rooms as JSON.

use super::super::schema;
use super::Member;
use serde::Serialize;
use tertulia_protocol::chat::{MemberRole, RoomKind, RoomView, Rules};
use utoipa::ToSchema;

/// A room as the asker sees it.
#[derive(Serialize, ToSchema)]
pub struct Room {
    pub id: u64,
    /// Empty in rooms of two.
    pub name: String,
    #[schema(value_type = schema::RoomKind)]
    pub kind: RoomKind,
    pub topic: String,
    pub archived: bool,
    /// Whether the asker is a member.
    pub member: bool,
    pub members: u32,
    /// What the asker is there; null outside.
    #[schema(value_type = Option<schema::MemberRole>, required)]
    pub role: Option<MemberRole>,
    /// The asker is invited.
    pub invited: bool,
    /// Of a room of two: the other user.
    #[schema(required)]
    pub with: Option<u64>,
    /// The place of the newest message; 0 when there is none.
    pub last: u64,
    /// The first message that the asker may see.
    pub first: u64,
    /// The newest event.
    pub cursor: u64,
    /// The last message that the asker has read.
    pub read: u64,
    pub unread: u64,
    /// Unread messages that name the asker.
    pub mentions: u32,
    /// Places of pinned messages.
    pub pins: Vec<u64>,
    #[schema(value_type = schema::Rules)]
    pub rules: Rules,
}

pub fn room(room: &RoomView) -> Room {
    Room {
        id: room.id.0,
        name: room.name.clone(),
        kind: room.kind,
        topic: room.topic.clone(),
        archived: room.archived,
        member: room.member,
        members: room.members,
        role: room.member.then_some(room.role),
        invited: room.invited,
        with: room.with.map(|user| user.0),
        last: room.last,
        first: room.first,
        cursor: room.cursor,
        read: room.read,
        unread: room.unread,
        mentions: room.mentions,
        pins: room.pins.clone(),
        rules: room.rules,
    }
}

#[derive(Serialize, ToSchema)]
pub struct Rooms {
    pub rooms: Vec<Room>,
}

/// A room that was made, or was there.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct MadeRoom {
    pub id: u64,
    pub name: String,
}

/// The asker is a member.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Joined {
    pub id: u64,
    pub name: String,
    /// Always true.
    pub member: bool,
    /// The place of the newest message.
    pub last: u64,
}

/// The asker is no member.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Left {
    pub id: u64,
    /// Always false.
    pub member: bool,
}

/// The room is gone.
#[derive(Serialize, ToSchema)]
pub struct DeletedRoom {
    pub id: u64,
    /// Always true.
    pub deleted: bool,
}

/// The event of the room that the request became, or its newest one if there was nothing to be done.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct RoomChanged {
    pub room: u64,
    pub cursor: u64,
}

/// A page of members, by id.
#[derive(Serialize, ToSchema)]
pub struct Members {
    pub room: u64,
    pub members: Vec<Member>,
    /// The `after` of the next page; null when there is none.
    #[schema(required)]
    pub next: Option<u64>,
}
