//! The chat's rows: keys that sort as they are read, values in envelopes. Numbers in keys are big endian.
//!
//! Users, devices, rooms, members and what they are to each other are held in memory in the same form; messages, changes and threads are cold. What the first release wrote
//! is read for ever, and written in the present form when it changes.

use super::password::PasswordHash;
use super::settings::*;
use super::types::*;
use super::{Chat, Room};
use crate::contract::COLD;
use crate::ids::*;
use crate::replica::Effects;
use crate::time::Timestamp;
use crate::wire::{EnvelopeError, Kind, open, seal};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const COUNTERS: u8 = 0x0e;
const SETTINGS: u8 = 0x0f;
const USER: u8 = 0x10;
const DEVICE: u8 = 0x11;
const ROOM: u8 = 0x12;
const MEMBER: u8 = 0x13;
const ROOM_END: u8 = 0x14;
const STANDING: u8 = 0x15;
const RELATION: u8 = 0x16;
const INVITE: u8 = 0x17;
const SWEEP: u8 = 0x18;
const SEAL: u8 = 0x19;
const MESSAGE: u8 = COLD;
const CHANGE: u8 = COLD + 1;
const THREAD: u8 = COLD + 2;

/// A row that is held in memory too.
pub(super) trait Row: Serialize + Sized {
    const KIND: Kind;

    fn seal(&self) -> Bytes {
        seal(Self::KIND, self)
    }
}

macro_rules! rows {
    ($($name:ident = $kind:ident),+ $(,)?) => {
        $(impl Row for $name { const KIND: Kind = Kind::$kind; })+
    };
}

rows!(
    Counters = CountersRow,
    Settings = SettingsRow,
    User = UserRow,
    Device = DeviceRow,
    RoomInfo = RoomRow,
    RoomEnd = RoomEnd,
    Member = MemberRow,
    Standing = Standing,
    Relation = Relation,
    InviteRow = InviteRow,
    Sweep = Sweep,
    Sealed = SealRow,
    ChangeRow = ChangeRow,
);

/// Rows that still stand as an earlier release wrote them: the hash over all rows needs those bytes when they change.
#[derive(Clone, Debug, Default)]
pub(super) struct OldForms(BTreeMap<Bytes, Bytes>);

impl OldForms {
    /// Writes what a row is now; `None`: it is no more.
    pub(super) fn write<R: Row, E>(&mut self, effects: &mut Effects<E>, key: Bytes, old: Option<&R>, new: Option<&R>) {
        let as_written = if self.0.is_empty() { None } else { self.0.remove(&key) };
        let old = as_written.or_else(|| old.map(Row::seal));
        match (old, new) {
            (old, Some(new)) => effects.put(key, old.as_deref(), new.seal()),
            (Some(old), None) => effects.delete(key, &old),
            (None, None) => {}
        }
    }
}

/// What deleting must not take back: ids are given once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Counters {
    pub(super) last_room: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    /// What is shown instead of the name; empty: the name.
    pub(super) display: String,
    pub(super) password: Option<PasswordHash>,
    pub(super) admin: bool,
    pub(super) created: Timestamp,
    pub(super) deleted: bool,
    /// Deleted, and its messages are shown to nobody; a sweep takes them away.
    pub(super) erased: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Device {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) opened: Timestamp,
    pub(super) seen: Timestamp,
}

/// What a room is, without what each post changes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct RoomInfo {
    pub(super) name: String,
    pub(super) kind: RoomKind,
    pub(super) topic: String,
    pub(super) rules: Rules,
    pub(super) archived: bool,
    pub(super) created: Timestamp,
    /// Pinned messages, in the order of pinning.
    pub(super) pins: Vec<Seq>,
    /// Of a direct room: its two.
    pub(super) pair: Option<(UserId, UserId)>,
}

/// Where a room ends. `cursor - seq` changes have happened in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct RoomEnd {
    pub(super) seq: Seq,
    pub(super) cursor: Cursor,
    /// The newest event that is no post, 0 when there is none: behind it, posts and events go side by side.
    pub(super) change: Cursor,
    /// The first message that is still kept.
    pub(super) first: Seq,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Member {
    /// The room's newest event at the time of joining, the join itself with it.
    pub(super) joined_after: Cursor,
    /// Its newest message then.
    pub(super) joined_seq: Seq,
    pub(super) role: MemberRole,
    pub(super) read: Seq,
    /// Unread messages that name this member, at most [`super::MOST_MENTIONS`].
    pub(super) mentions: Vec<Seq>,
}

/// What a room holds of a user whether it is a member or not.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) banned: bool,
    pub(super) muted_until: Option<Timestamp>,
    pub(super) invited_by: Option<UserId>,
}

/// What the first user of a pair has said of the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Relation {
    pub(super) friendship: Friendship,
    pub(super) blocked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct InviteRow {
    pub(super) by: UserId,
    pub(super) until: Timestamp,
}

/// Rows that are still to be taken away, part by part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Sweep {
    /// Of a deleted room: its messages from here through `last`, its changes through `cursor`.
    Room { from: Seq, last: Seq, cursor: Cursor },
    /// Of a deleted user: its messages, from here on in this room and in all rooms with a higher id.
    User { room: RoomId, from: Seq },
}

/// A message. One that an outbox has carried is a row of another kind, which says when it was written, too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) author: UserId,
    pub(super) text: String,
    pub(super) at: Timestamp,
    pub(super) more: More,
}

/// What is said in a message: all that the first release wrote.
type Said = (MessageId, UserId, String, Timestamp);

/// What else its row holds, in the order of [`More`].
type Around = (Option<Seq>, Option<Seq>, u32, Option<Timestamp>, Option<Deleted>, bool, Vec<UserId>, Vec<Reaction>);

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ChangeRow {
    pub(super) at: Timestamp,
    pub(super) by: UserId,
    /// The room's newest message at the time: it tells which posts lie around this change.
    pub(super) base: Seq,
    pub(super) change: Change,
}

/// As it is written of every message.
#[derive(Serialize)]
struct Straight<'a> {
    id: MessageId,
    author: UserId,
    text: &'a str,
    at: Timestamp,
    reply_to: &'a Option<Seq>,
    thread: &'a Option<Seq>,
    replies: u32,
    edited: &'a Option<Timestamp>,
    deleted: &'a Option<Deleted>,
    pinned: bool,
    mentions: &'a [UserId],
    reactions: &'a [Reaction],
}

impl MessageRow {
    pub(super) fn read(value: &Bytes) -> Result<MessageRow, EnvelopeError> {
        let ((id, author, text, at), around, written): (Said, Around, Option<Timestamp>) = match Kind::of(value)? {
            Kind::Message => (open(Kind::Message, value)?, Around::default(), None),
            Kind::CarriedMessage => {
                let (said, around, written) = open(Kind::CarriedMessage, value)?;
                (said, around, Some(written))
            }
            _ => {
                let (said, around) = open(Kind::MessageRow, value)?;
                (said, around, None)
            }
        };
        let (reply_to, thread, replies, edited, deleted, pinned, mentions, reactions) = around;
        let more = More { reply_to, thread, replies, edited, deleted, pinned, mentions, reactions, written };
        Ok(MessageRow { id, author, text, at, more })
    }

    pub(super) fn seal(&self) -> Bytes {
        let MessageRow { id, author, text, at, more } = self;
        let More { reply_to, thread, replies, edited, deleted, pinned, mentions, reactions, written } = more;
        let (id, author, at, replies, pinned) = (*id, *author, *at, *replies, *pinned);
        let row = Straight { id, author, text, at, reply_to, thread, replies, edited, deleted, pinned, mentions, reactions };
        match written {
            None => seal(Kind::MessageRow, &row),
            Some(written) => seal(Kind::CarriedMessage, &(row, written)),
        }
    }
}

pub(super) fn counters_key() -> Bytes {
    key(COUNTERS, &[])
}

pub(super) fn settings_key() -> Bytes {
    key(SETTINGS, &[])
}

pub(super) fn user_key(user: UserId) -> Bytes {
    key(USER, &[user.0])
}

pub(super) fn device_key(session: SessionId) -> Bytes {
    key(DEVICE, &[session.0])
}

pub(super) fn room_key(room: RoomId) -> Bytes {
    key(ROOM, &[room.0])
}

pub(super) fn room_end_key(room: RoomId) -> Bytes {
    key(ROOM_END, &[room.0])
}

pub(super) fn member_key(room: RoomId, user: UserId) -> Bytes {
    key(MEMBER, &[room.0, user.0])
}

pub(super) fn standing_key(room: RoomId, user: UserId) -> Bytes {
    key(STANDING, &[room.0, user.0])
}

pub(super) fn relation_key(user: UserId, other: UserId) -> Bytes {
    key(RELATION, &[user.0, other.0])
}

pub(super) fn invite_key(code: &[u8; 32]) -> Bytes {
    let mut key = Vec::with_capacity(33);
    key.push(INVITE);
    key.extend_from_slice(code);
    Bytes::from(key)
}

pub(super) fn room_sweep_key(room: RoomId) -> Bytes {
    key(SWEEP, &[0, room.0])
}

pub(super) fn user_sweep_key(user: UserId) -> Bytes {
    key(SWEEP, &[1, user.0])
}

pub(super) fn seal_key(node: NodeId) -> Bytes {
    key(SEAL, &[node.0])
}

pub(super) fn message_key(room: RoomId, seq: Seq) -> Bytes {
    key(MESSAGE, &[room.0, seq])
}

pub(super) fn change_key(room: RoomId, cursor: Cursor) -> Bytes {
    key(CHANGE, &[room.0, cursor])
}

pub(super) fn thread_key(room: RoomId, root: Seq, seq: Seq) -> Bytes {
    key(THREAD, &[room.0, root, seq])
}

/// What stands for an answer in its thread: its key says all.
pub(super) fn thread_row() -> Bytes {
    seal(Kind::ThreadRow, &())
}

/// The room and the place of a message's key; `None`: it is no message's.
pub fn message_place(key: &[u8]) -> Option<(RoomId, Seq)> {
    (key.first() == Some(&MESSAGE)).then_some(())?;
    Some((RoomId(number(key, 0)?), number(key, 1)?))
}

pub(super) fn change_cursor(key: &[u8]) -> Option<Cursor> {
    (key.first() == Some(&CHANGE)).then_some(())?;
    number(key, 1)
}

/// The place of an answer, from its key among those of its thread.
pub(super) fn thread_seq(key: &[u8]) -> Option<Seq> {
    (key.first() == Some(&THREAD)).then_some(())?;
    number(key, 2)
}

/// What a person calls the row under a key of the chat.
pub(super) fn describe(key: &[u8]) -> Option<String> {
    let nth = |nth| number(key, nth);
    Some(match *key.first()? {
        COUNTERS => "counters".into(),
        SETTINGS => "settings".into(),
        USER => format!("user {}", nth(0)?),
        DEVICE => format!("device {}", nth(0)?),
        ROOM => format!("room {}", nth(0)?),
        ROOM_END => format!("end of room {}", nth(0)?),
        MEMBER => format!("member {} of room {}", nth(1)?, nth(0)?),
        STANDING => format!("standing of user {} in room {}", nth(1)?, nth(0)?),
        RELATION => format!("user {} to user {}", nth(0)?, nth(1)?),
        INVITE => "an invitation".into(),
        SWEEP if nth(0)? == 0 => format!("sweep of room {}", nth(1)?),
        SWEEP => format!("sweep of user {}", nth(1)?),
        SEAL => format!("outboxes of removed node {}", nth(0)?),
        MESSAGE => format!("message {} of room {}", nth(1)?, nth(0)?),
        CHANGE => format!("event {} of room {}", nth(1)?, nth(0)?),
        THREAD => format!("answer {} to message {} of room {}", nth(2)?, nth(1)?, nth(0)?),
        _ => return None,
    })
}

fn key(table: u8, numbers: &[u64]) -> Bytes {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(table);
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    Bytes::from(key)
}

fn number(key: &[u8], nth: usize) -> Option<u64> {
    let bytes = key.get(1 + 8 * nth..9 + 8 * nth)?;
    bytes.try_into().ok().map(u64::from_be_bytes)
}

impl Chat {
    /// Takes one row if it is the chat's.
    pub(super) fn restore_row(&mut self, key: &Bytes, value: &Bytes) -> Result<(), EnvelopeError> {
        let id = |nth| number(key, nth).ok_or(EnvelopeError::TooShort);
        if key.first().is_some_and(|table| (USER..=MEMBER).contains(table))
            && matches!(Kind::of(value)?, Kind::User | Kind::Device | Kind::Room | Kind::Member)
        {
            self.old_forms.0.insert(key.clone(), value.clone());
        }
        match key.first() {
            Some(&COUNTERS) => self.counters = open(Kind::CountersRow, value)?,
            Some(&SETTINGS) => self.settings = Some(open(Kind::SettingsRow, value)?),
            Some(&USER) => {
                let user = match Kind::of(value)? {
                    Kind::User => User { name: open(Kind::User, value)?, ..User::default() },
                    _ => open(Kind::UserRow, value)?,
                };
                self.hold_user(UserId(id(0)?), user);
            }
            Some(&DEVICE) => {
                let device = match Kind::of(value)? {
                    Kind::Device => {
                        let (name, opened, seen) = (String::new(), Timestamp(0), Timestamp(0));
                        Device { user: open(Kind::Device, value)?, name, opened, seen }
                    }
                    _ => open(Kind::DeviceRow, value)?,
                };
                self.hold_device(SessionId(id(0)?), device);
            }
            Some(&ROOM) => self.restore_room(RoomId(id(0)?), value)?,
            // Rooms sort before what belongs to them, so the room is there.
            Some(&ROOM_END) => {
                let end: RoomEnd = open(Kind::RoomEnd, value)?;
                #[cfg(feature = "zoo")]
                let end = if self.bug == Some(crate::zoo::Bug::RoomRestarts) {
                    RoomEnd { first: 1, ..RoomEnd::default() }
                } else {
                    end
                };
                if let Some(room) = self.rooms.get_mut(&RoomId(id(0)?)) {
                    (room.end, room.written_end) = (end, Some(value.clone()));
                }
            }
            Some(&MEMBER) => {
                let member = match Kind::of(value)? {
                    Kind::Member => {
                        let joined_after: Cursor = open(Kind::Member, value)?;
                        Member { joined_after, joined_seq: joined_after, read: joined_after, ..Member::default() }
                    }
                    _ => open(Kind::MemberRow, value)?,
                };
                self.hold_member(RoomId(id(0)?), UserId(id(1)?), member);
            }
            Some(&STANDING) => {
                let standing: Standing = open(Kind::Standing, value)?;
                let (room, user) = (RoomId(id(0)?), UserId(id(1)?));
                self.hold_standing(room, user, standing);
            }
            Some(&RELATION) => {
                let relation: Relation = open(Kind::Relation, value)?;
                #[cfg(feature = "zoo")]
                let relation =
                    Relation { blocked: relation.blocked && self.bug != Some(crate::zoo::Bug::ForgetBlocks), ..relation };
                self.relations.entry(UserId(id(0)?)).or_default().insert(UserId(id(1)?), relation);
            }
            Some(&INVITE) => {
                let code = key.get(1..33).and_then(|code| code.try_into().ok()).ok_or(EnvelopeError::TooShort)?;
                self.invites.insert(code, open(Kind::InviteRow, value)?);
            }
            Some(&SWEEP) => {
                let (what, which) = (id(0)?, id(1)?);
                let sweep = open(Kind::Sweep, value)?;
                if what == 0 {
                    self.room_sweeps.insert(RoomId(which), sweep)
                } else {
                    self.user_sweeps.insert(UserId(which), sweep)
                };
            }
            Some(&SEAL) => _ = self.seals.insert(NodeId(id(0)?), open(Kind::SealRow, value)?),
            _ => {}
        }
        Ok(())
    }

    fn restore_room(&mut self, id: RoomId, value: &Bytes) -> Result<(), EnvelopeError> {
        let mut room = Room::default();
        match Kind::of(value)? {
            Kind::Room => {
                let (name, last): (String, Seq) = open(Kind::Room, value)?;
                room.info = RoomInfo { name, ..RoomInfo::default() };
                room.end = RoomEnd { seq: last, cursor: last, change: 0, first: 1 };
            }
            _ => room.info = open(Kind::RoomRow, value)?,
        }
        self.hold_room(id, room);
        Ok(())
    }
}
