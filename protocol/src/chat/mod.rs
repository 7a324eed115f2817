//! The chat as a replicated state machine: users, rooms, members and messages. Every room has one order, given by the log.
//!
//! Users, devices, rooms and members are held in memory and in rows alike; messages are rows only (cold), read by pages.
//! Invariant: the messages of a room are dense from 1 to its `last`, and their stamps never decrease.

mod command;
mod rows;
mod types;

pub use command::{decode_reply, decode_signed_in};
pub use types::*;

use crate::contract::{Limits, Query};
use crate::gateway::{Event, EventKind};
use crate::ids::*;
use crate::replica::{At, Effects, StateMachine};
use crate::wire::{Envelope, EnvelopeError, Kind, seal};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use rows::{MemberRow, MessageRow, RoomRow, UserRow};

/// What the chat tells its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChatEvent {
    /// For everybody who follows the room.
    Room {
        index: Index,
        event: Event,
    },
    Joined {
        user: UserId,
        room: RoomId,
        last: Cursor,
    },
    Left {
        user: UserId,
        room: RoomId,
    },
}

#[derive(Clone, Debug, Default)]
struct Room {
    name: String,
    last: Seq,
    /// Its row as it was last written: the hash over all rows needs the old value.
    written: Bytes,
    /// Each with the place of the room's newest event when it joined.
    members: BTreeMap<UserId, Cursor>,
}

/// The whole chat of one cluster, without its messages.
#[derive(Clone, Debug)]
pub struct Chat {
    limits: Limits,
    users: BTreeMap<UserId, String>,
    user_by_name: BTreeMap<String, UserId>,
    devices: BTreeMap<SessionId, UserId>,
    rooms: BTreeMap<RoomId, Room>,
    room_by_name: BTreeMap<String, RoomId>,
    rooms_of: BTreeMap<UserId, BTreeSet<RoomId>>,
    #[cfg(feature = "zoo")]
    bug: Option<crate::zoo::Bug>,
}

impl Chat {
    /// A chat without users. `limits` must be the same on all nodes of a cluster: they decide what is refused.
    pub fn new(limits: Limits) -> Chat {
        Chat {
            limits,
            users: BTreeMap::new(),
            user_by_name: BTreeMap::new(),
            devices: BTreeMap::new(),
            rooms: BTreeMap::new(),
            room_by_name: BTreeMap::new(),
            rooms_of: BTreeMap::new(),
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }

    /// The same chat with a bug of the zoo.
    #[cfg(feature = "zoo")]
    #[must_use]
    pub fn with_bug(mut self, bug: Option<crate::zoo::Bug>) -> Chat {
        self.bug = bug;
        self
    }

    // ---- what the gateway looks up ------------------------------------------------------------------------------------------------------

    pub fn user_of(&self, session: SessionId) -> Option<UserId> {
        self.devices.get(&session).copied()
    }

    pub fn user_name(&self, user: UserId) -> &str {
        self.users.get(&user).map_or("", String::as_str)
    }

    /// Finds a room by id or name.
    pub fn find_room(&self, room: &RoomRef) -> Option<RoomId> {
        match room {
            RoomRef::Id(id) => self.rooms.contains_key(id).then_some(*id),
            RoomRef::Name(name) => self.room_by_name.get(name).copied(),
        }
    }

    pub fn is_member(&self, room: RoomId, user: UserId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.members.contains_key(&user))
    }

    /// Where a member's events of a room begin: behind the newest one of when it joined.
    pub fn joined_after(&self, room: RoomId, user: UserId) -> Option<Cursor> {
        self.rooms.get(&room)?.members.get(&user).copied()
    }

    /// The place of the room's newest event, 0 when there is none.
    pub fn last(&self, room: RoomId) -> Cursor {
        self.rooms.get(&room).map_or(0, |room| room.last)
    }

    pub fn rooms_of(&self, user: UserId) -> impl Iterator<Item = RoomId> {
        self.rooms_of.get(&user).into_iter().flatten().copied()
    }

    /// All rooms, as `user` sees them.
    pub fn rooms(&self, user: UserId) -> Vec<RoomView> {
        let view = |(id, room): (&RoomId, &Room)| RoomView {
            id: *id,
            name: room.name.clone(),
            member: room.members.contains_key(&user),
            members: room.members.len() as u32,
            last: room.last,
        };
        self.rooms.iter().map(view).collect()
    }

    /// The read that finds messages `after < seq < before` of a room, from the low end or (`backwards`) from the high end.
    pub fn messages(room: RoomId, after: Seq, before: Seq, limit: u32, backwards: bool) -> Query {
        let from = rows::message_key(room, after.saturating_add(1));
        Query::Range { from, to: rows::message_key(room, before), limit, backwards }
    }

    /// A message as its readers see it, from its row.
    pub fn post(&self, key: &Bytes, value: &Bytes) -> Result<Post, EnvelopeError> {
        let row: MessageRow = crate::wire::open(Kind::Message, value)?;
        let seq = rows::message_seq(key).ok_or(EnvelopeError::TooShort)?;
        let author_name = self.user_name(row.author).to_string();
        Ok(Post { seq, id: row.id, author: row.author, author_name, text: row.text, at: row.at })
    }

    // ---- commands -----------------------------------------------------------------------------------------------------------------------

    /// What can be said of a command before it goes into the log, so that what is plainly wrong costs no entry. Applying says it again.
    pub fn check(command: &Command, limits: &Limits) -> Result<(), Refusal> {
        match command {
            Command::CreateRoom { name } => check_room_name(name, limits),
            Command::Join { .. } | Command::Leave { .. } => Ok(()),
            Command::Post { text, .. } => check_text(text, limits),
        }
    }

    fn sign_in(&mut self, at: &At, name: &str, effects: &mut Effects<ChatEvent>) -> Result<(UserId, String), Refusal> {
        check_name(name, &self.limits)?;
        let user = match self.user_by_name.get(name) {
            Some(user) => *user,
            None => {
                if self.users.len() >= self.limits.users as usize {
                    return Err(Refusal::Full { what: "users".into(), limit: self.limits.users });
                }
                let user = UserId(self.users.last_key_value().map_or(1, |(last, _)| last.0 + 1));
                effects.put(rows::user_key(user), None, seal(Kind::User, &UserRow { name: name.into() }));
                self.users.insert(user, name.into());
                self.user_by_name.insert(name.into(), user);
                user
            }
        };
        effects.put(rows::device_key(at.session), None, seal(Kind::Device, &user));
        self.devices.insert(at.session, user);
        Ok((user, name.into()))
    }

    fn execute(&mut self, at: &At, command: Command, effects: &mut Effects<ChatEvent>) -> Result<Done, Refusal> {
        Chat::check(&command, &self.limits)?;
        let user = self.user_of(at.session).ok_or(Refusal::UnknownSession)?;
        match command {
            Command::CreateRoom { name } => self.create_room(user, name, effects),
            Command::Join { room } => {
                let id = self.find_room(&room).ok_or(Refusal::UnknownRoom { room })?;
                self.join(user, id, effects)?;
                let room = &self.rooms[&id];
                Ok(Done::Joined { room: id, name: room.name.clone(), last: room.last })
            }
            Command::Leave { room } => {
                let id = self.find_room(&room).ok_or(Refusal::UnknownRoom { room })?;
                self.leave(user, id, effects);
                Ok(Done::Left { room: id })
            }
            Command::Post { room, text } => {
                let id = self.find_room(&room).ok_or(Refusal::UnknownRoom { room })?;
                self.post_message(at, user, id, text, effects)
            }
        }
    }

    fn create_room(&mut self, user: UserId, name: String, effects: &mut Effects<ChatEvent>) -> Result<Done, Refusal> {
        if let Some(room) = self.room_by_name.get(&name).copied() {
            self.join(user, room, effects)?;
            return Ok(Done::Room { room, name, created: false });
        }
        if self.rooms.len() >= self.limits.rooms as usize {
            return Err(Refusal::Full { what: "rooms".into(), limit: self.limits.rooms });
        }
        // Before anything is made: what is refused changes nothing.
        self.may_join_another(user)?;
        let id = RoomId(self.rooms.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        let written = seal(Kind::Room, &RoomRow { name: name.clone(), last: 0 });
        effects.put(rows::room_key(id), None, written.clone());
        let room = Room { name: name.clone(), last: 0, written, members: BTreeMap::new() };
        self.rooms.insert(id, room);
        self.room_by_name.insert(name.clone(), id);
        self.join(user, id, effects)?;
        Ok(Done::Room { room: id, name, created: true })
    }

    fn may_join_another(&self, user: UserId) -> Result<(), Refusal> {
        let (rooms, limit) = (self.rooms_of.get(&user).map_or(0, BTreeSet::len), self.limits.rooms_of_user);
        if rooms >= limit as usize { Err(Refusal::Full { what: "rooms for one user".into(), limit }) } else { Ok(()) }
    }

    fn join(&mut self, user: UserId, id: RoomId, effects: &mut Effects<ChatEvent>) -> Result<(), Refusal> {
        if self.is_member(id, user) {
            return Ok(());
        }
        self.may_join_another(user)?;
        let Some(room) = self.rooms.get_mut(&id) else { return Ok(()) };
        self.rooms_of.entry(user).or_default().insert(id);
        room.members.insert(user, room.last);
        effects.put(rows::member_key(id, user), None, seal(Kind::Member, &MemberRow { joined_after: room.last }));
        effects.publish(ChatEvent::Joined { user, room: id, last: room.last });
        Ok(())
    }

    fn leave(&mut self, user: UserId, id: RoomId, effects: &mut Effects<ChatEvent>) {
        let Some(joined_after) = self.rooms.get_mut(&id).and_then(|room| room.members.remove(&user)) else { return };
        if let Some(rooms) = self.rooms_of.get_mut(&user) {
            rooms.remove(&id);
        }
        effects.delete(rows::member_key(id, user), &seal(Kind::Member, &MemberRow { joined_after }));
        effects.publish(ChatEvent::Left { user, room: id });
    }

    fn post_message(
        &mut self,
        at: &At,
        user: UserId,
        id: RoomId,
        text: String,
        effects: &mut Effects<ChatEvent>,
    ) -> Result<Done, Refusal> {
        let author_name = self.user_name(user).to_string();
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.members.contains_key(&user)) else {
            return Err(Refusal::NotAMember { room: id });
        };
        room.last += 1;
        let seq = room.last;
        let written = seal(Kind::Room, &room.row());
        effects.put(rows::room_key(id), Some(&room.written), written.clone());
        room.written = written;
        let row = MessageRow { id: at.id, author: user, text, at: at.at };
        effects.put(rows::message_key(id, seq), None, seal(Kind::Message, &row));
        let post = Post { seq, id: at.id, author: user, author_name, text: row.text, at: at.at };
        effects
            .publish(ChatEvent::Room { index: at.index, event: Event { room: id, cursor: seq, kind: EventKind::Posted(post) } });
        Ok(Done::Posted { room: id, seq, id: at.id, at: at.at })
    }
}

impl Room {
    fn row(&self) -> RoomRow {
        RoomRow { name: self.name.clone(), last: self.last }
    }
}

impl StateMachine for Chat {
    type Event = ChatEvent;

    fn needs(&self, _command: &Bytes) -> Vec<Bytes> {
        // Nothing here changes an old message; edits will need its row.
        Vec::new()
    }

    fn apply(&mut self, at: &At, command: &Bytes, _rows: &[(Bytes, Bytes)], effects: &mut Effects<ChatEvent>) {
        if at.opens {
            let signed_in = match crate::wire::open::<String>(Kind::SignIn, command) {
                Ok(name) => self.sign_in(at, &name, effects),
                Err(error) => Err(Refusal::BadRequest { why: error.to_string() }),
            };
            let reply = seal(Kind::ChatReply, &signed_in);
            return if signed_in.is_ok() { effects.reply(reply) } else { effects.refuse(reply) };
        }
        let done = match Command::decode(command) {
            Ok(command) => self.execute(at, command, effects),
            Err(error) => Err(Refusal::BadRequest { why: error.to_string() }),
        };
        let reply = seal(Kind::ChatReply, &done);
        if done.is_ok() { effects.reply(reply) } else { effects.refuse(reply) }
    }

    fn restore(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), EnvelopeError> {
        for (key, value) in rows {
            self.restore_row(key, value)?;
        }
        Ok(())
    }

    fn knows(&self, command: &Bytes) -> Result<(), EnvelopeError> {
        let envelope = Envelope::parse(command)?;
        match envelope.kind {
            Kind::SignIn | Kind::CreateRoom | Kind::Join | Kind::Leave | Kind::Post if envelope.version == 1 => Ok(()),
            kind => Err(EnvelopeError::UnknownVersion { kind, version: envelope.version }),
        }
    }
}

/// Names are shown beside others: nothing invisible, nothing that runs together with its surroundings.
fn check_name(name: &str, limits: &Limits) -> Result<(), Refusal> {
    if is_blank(name) {
        return Err(Refusal::EmptyName);
    }
    if name.len() > limits.name_bytes as usize {
        return Err(Refusal::NameTooLong { bytes: name.len() as u32, limit: limits.name_bytes });
    }
    if name.trim() != name || name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(Refusal::BadName);
    }
    Ok(())
}

/// Characters that take no room, or turn those around them: two names that differ by them alone look the same.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// A room's name is no number either: numbers are ids.
fn check_room_name(name: &str, limits: &Limits) -> Result<(), Refusal> {
    check_name(name, limits)?;
    if name.bytes().all(|byte| byte.is_ascii_digit()) { Err(Refusal::BadName) } else { Ok(()) }
}

fn check_text(text: &str, limits: &Limits) -> Result<(), Refusal> {
    if is_blank(text) {
        return Err(Refusal::EmptyText);
    }
    if text.len() > limits.text_bytes as usize {
        return Err(Refusal::TextTooLong { bytes: text.len() as u32, limit: limits.text_bytes });
    }
    Ok(())
}
