//! The chat's rows: keys that sort as they are read, values in envelopes. Numbers in keys are big endian.

use super::{Chat, Room};
use crate::contract::COLD;
use crate::ids::*;
use crate::time::Timestamp;
use crate::wire::{EnvelopeError, Kind, open};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

const USER: u8 = 0x10;
const DEVICE: u8 = 0x11;
const ROOM: u8 = 0x12;
const MEMBER: u8 = 0x13;
const MESSAGE: u8 = COLD;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct UserRow {
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct RoomRow {
    pub(super) name: String,
    pub(super) last: Seq,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct MemberRow {
    /// The room's newest event at the time.
    pub(super) joined_after: Cursor,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) author: UserId,
    pub(super) text: String,
    pub(super) at: Timestamp,
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

pub(super) fn member_key(room: RoomId, user: UserId) -> Bytes {
    key(MEMBER, &[room.0, user.0])
}

pub(super) fn message_key(room: RoomId, seq: Seq) -> Bytes {
    key(MESSAGE, &[room.0, seq])
}

pub(super) fn message_seq(key: &[u8]) -> Option<Seq> {
    number(key, 1)
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
        match key.first() {
            Some(&USER) => {
                let (user, row): (_, UserRow) = (UserId(id(0)?), open(Kind::User, value)?);
                self.users.insert(user, row.name.clone());
                self.user_by_name.insert(row.name, user);
            }
            Some(&DEVICE) => {
                self.devices.insert(SessionId(id(0)?), open(Kind::Device, value)?);
            }
            Some(&ROOM) => {
                let (room, row): (_, RoomRow) = (RoomId(id(0)?), open(Kind::Room, value)?);
                self.room_by_name.insert(row.name.clone(), room);
                let last = row.last;
                #[cfg(feature = "zoo")]
                let last = if self.bug == Some(crate::zoo::Bug::RoomRestarts) { 0 } else { last };
                self.rooms.insert(room, Room { name: row.name, last, written: value.clone(), members: BTreeMap::new() });
            }
            Some(&MEMBER) => {
                // Rooms sort before members, so the room is there.
                let (room, user, row): (_, _, MemberRow) = (RoomId(id(0)?), UserId(id(1)?), open(Kind::Member, value)?);
                if let Some(found) = self.rooms.get_mut(&room) {
                    found.members.insert(user, row.joined_after);
                    self.rooms_of.entry(user).or_default().insert(room);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
