//! The chat as a replicated state machine: users and their devices, rooms and their members, messages. Every room has one order, given by the log.
//!
//! - Users, devices, rooms, members, friendships and settings are held in memory and in rows alike; messages and changes are rows only (cold), read by pages.
//! - A command is checked whole before it changes anything: what is refused changes nothing.
//! - Nothing here reads a clock: what depends on time looks at the entry's own stamp.
//!
//! Invariants: a room's messages are dense from 1 to its last, its events (messages and changes) from 1 to its newest, and their stamps never decrease; a member has read
//! no further than the room's last message; a direct room has two members; a room with members that is not direct and not the public's has an owner.

mod accounts;
mod command;
mod friends;
mod house;
mod messages;
mod names;
pub mod password;
mod refusal;
mod roles;
mod rooms;
mod rows;
mod settings;
mod sight;
mod tentative;
mod types;
mod views;

pub use command::{decode_reply, decode_signed_in};
pub use house::Due;
pub use names::bad_letter;
pub use refusal::*;
pub use rows::message_place;
pub use settings::*;
pub use sight::{Events, LastMessages, Planned, message_text};
pub use tentative::Carry;
pub use types::*;

use crate::contract::Limits;
use crate::gateway::{Event, EventKind};
use crate::ids::*;
use crate::replica::{At, Effects, Ending, StateMachine};
use crate::time::Timestamp;
use crate::wire::{Envelope, EnvelopeError, Kind, seal};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use names::{Name, Names};
use rows::{Counters, Device, InviteRow, Member, OldForms, Relation, RoomEnd, RoomInfo, Standing, Sweep, User};

/// Unread messages with the member's name in them that are counted; more count as so many.
pub(crate) const MOST_MENTIONS: usize = 100;

/// What the chat tells its node.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are posts, and a box would be one allocation more for each")]
pub enum ChatEvent {
    /// For everybody who follows the room.
    Room {
        index: Index,
        event: Event,
    },
    /// `user` follows the room from after this event on.
    Joined {
        user: UserId,
        room: RoomId,
        last: Cursor,
    },
    Left {
        user: UserId,
        room: RoomId,
    },
    /// A device is signed in no more.
    Closed {
        session: SessionId,
        user: UserId,
    },
    /// For all devices of one user. A hint: who missed it asks.
    Notice {
        user: UserId,
        notice: Notice,
    },
}

/// Something that a user's devices are told while they are there, and find by asking otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Hash, serde::Serialize, serde::Deserialize)]
pub enum Notice {
    /// A friendship, or a request for one, is not what it was.
    Friendship { other: UserId, name: String, friendship: Friendship },
    /// Somebody invites to a room.
    Invited { room: RoomId, name: String, by: UserId },
    /// The user has read through here, on one of its devices.
    Read { room: RoomId, seq: Seq, unread: u64 },
    /// A message names the user.
    Mentioned { room: RoomId, seq: Seq, by: UserId },
}

#[derive(Clone, Debug, Default)]
struct Room {
    info: RoomInfo,
    end: RoomEnd,
    /// The row of `end` as it was last written: every post changes it, and the hash over all rows needs the old value.
    written_end: Option<Bytes>,
    members: BTreeMap<UserId, Member>,
    standings: BTreeMap<UserId, Standing>,
}

/// A user with what its name is found by.
#[derive(Clone, Debug, Default)]
struct Known {
    user: User,
    folded: String,
    looks: String,
    /// What is shown, as [`Name::looks`].
    shown: String,
}

/// The whole chat of one cluster, without its messages.
#[derive(Clone, Debug)]
pub struct Chat {
    limits: Limits,
    /// What was agreed; `None` before anything was.
    settings: Option<Settings>,
    counters: Counters,
    users: BTreeMap<UserId, Known>,
    user_by_name: Names<UserId>,
    user_by_looks: Names<UserId>,
    /// How many users are shown under names that look so.
    shown: BTreeMap<String, u32>,
    devices: BTreeMap<SessionId, Device>,
    devices_of: BTreeMap<UserId, BTreeSet<SessionId>>,
    /// All devices by when they were last seen.
    by_seen: BTreeSet<(Timestamp, SessionId)>,
    rooms: BTreeMap<RoomId, Room>,
    /// Public rooms.
    room_by_name: Names<RoomId>,
    room_by_looks: Names<RoomId>,
    /// Rooms with a name that are not public: several may have the same one.
    own_by_name: Names<RoomId>,
    directs: BTreeMap<(UserId, UserId), RoomId>,
    rooms_of: BTreeMap<UserId, BTreeSet<RoomId>>,
    invited_to: BTreeMap<UserId, BTreeSet<RoomId>>,
    relations: BTreeMap<UserId, BTreeMap<UserId, Relation>>,
    invites: BTreeMap<[u8; 32], InviteRow>,
    room_sweeps: BTreeMap<RoomId, Sweep>,
    user_sweeps: BTreeMap<UserId, Sweep>,
    /// What is known of the outboxes of removed nodes.
    seals: BTreeMap<NodeId, Sealed>,
    /// Rooms that do not keep everything: while there is none, a post needs no look at its room's rules before it is applied.
    forgetful: BTreeSet<RoomId>,
    old_forms: OldForms,
    #[cfg(feature = "zoo")]
    bug: Option<crate::zoo::Bug>,
}

/// What applying a command gives to its parts.
type Fx<'a> = &'a mut Effects<ChatEvent>;

impl Chat {
    /// A chat without users. `limits` must be the same on all nodes of a cluster: they decide what is refused.
    pub fn new(limits: Limits) -> Chat {
        Chat {
            limits,
            settings: None,
            counters: Counters::default(),
            users: BTreeMap::new(),
            user_by_name: Names::new(),
            user_by_looks: Names::new(),
            shown: BTreeMap::new(),
            devices: BTreeMap::new(),
            devices_of: BTreeMap::new(),
            by_seen: BTreeSet::new(),
            rooms: BTreeMap::new(),
            room_by_name: Names::new(),
            room_by_looks: Names::new(),
            own_by_name: Names::new(),
            directs: BTreeMap::new(),
            rooms_of: BTreeMap::new(),
            invited_to: BTreeMap::new(),
            relations: BTreeMap::new(),
            invites: BTreeMap::new(),
            room_sweeps: BTreeMap::new(),
            user_sweeps: BTreeMap::new(),
            seals: BTreeMap::new(),
            forgetful: BTreeSet::new(),
            old_forms: OldForms::default(),
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

    /// What holds for the cluster.
    pub fn settings(&self) -> Settings {
        self.settings.clone().unwrap_or_default()
    }

    /// How often things may be done here.
    pub fn rates(&self) -> Rates {
        self.settings.as_ref().map(|settings| settings.rates).unwrap_or_default()
    }

    /// What can be said of a command before it goes into the log, so that what is plainly wrong costs no entry. Applying says it again.
    ///
    /// # Errors
    /// What applying it would be refused with, whatever the state.
    pub fn check(command: &Command, limits: &Limits) -> Result<(), Refusal> {
        let topic_limit = 8 * limits.name_bytes;
        // A refusal says what was not found, and is kept. NFKC may have made a name longer than it was chosen.
        let (bytes, limit) = (command.longest_name() as u32, 2 * limits.name_bytes);
        if bytes > limit {
            return Err(Refusal::NameTooLong { bytes, limit });
        }
        match command {
            Command::CreateRoom { name } | Command::Rename { name, .. } => names::check_room_name(name, limits),
            Command::Post { text, .. } | Command::Respond { text, .. } | Command::Edit { text, .. } => {
                names::check_text(text, limits.text_bytes)
            }
            Command::MakeRoom { kind: RoomKind::Direct, .. } => {
                let why = "a direct room is opened with its other user, not made by name".into();
                Err(Refusal::BadRequest { why })
            }
            Command::MakeRoom { name, kind, topic, members, .. } => {
                if *kind != RoomKind::Group || !name.is_empty() {
                    names::check_room_name(name, limits)?;
                }
                check_topic(topic, topic_limit)?;
                if members.len() > limits.group as usize {
                    return Err(Refusal::Full { what: "members that a room may be made with".into(), limit: limits.group });
                }
                Ok(())
            }
            Command::SetTopic { topic, .. } => check_topic(topic, topic_limit),
            Command::React { emoji, .. } => messages::check_reaction(emoji),
            Command::SetDisplayName { name } | Command::NameDevice { name } if !name.is_empty() => {
                names::check_name(name, limits)
            }
            // Whoever logs in pays for what it says.
            Command::ChangePassword { new, .. } if !new.recipe.params.are_sensible() => {
                Err(Refusal::BadRequest { why: "deriving this password would cost too much".into() })
            }
            _ => Ok(()),
        }
    }

    fn execute(&mut self, at: &At, command: Command, rows: &[(Bytes, Bytes)], effects: Fx) -> Result<Done, Refusal> {
        Chat::check(&command, &self.limits)?;
        let user = match at.late {
            Some(owner) => self.late_author(UserId(owner), &command)?,
            None => self.user_of(at.session).ok_or(Refusal::UnknownSession)?,
        };
        self.show_life(at, effects);
        match command {
            Command::CreateRoom { name } => self.create_room(at, user, name, effects),
            Command::Join { room } => self.join_room(at, user, &room, effects),
            Command::Leave { room } => self.leave_room(at, user, &room, effects),
            Command::Post { room, text } => self.post(at, user, &room, text, rows, effects),
            Command::Respond { room, to, text } => self.respond(at, user, (&room, to), text, rows, effects),
            Command::Edit { room, seq, text } => self.edit(at, user, (&room, seq), text, rows, effects),
            Command::Delete { room, seq } => self.delete(at, user, (&room, seq), rows, effects),
            Command::React { room, seq, emoji, on } => self.react(at, user, (&room, seq), (emoji, on), rows, effects),
            Command::Pin { room, seq, on } => self.pin(at, user, (&room, seq), on, rows, effects),
            Command::Read { room, seq } => self.read(user, &room, seq, rows, effects),
            Command::MakeRoom { name, kind, topic, rules, members } => {
                let info = RoomInfo { name, kind, topic, rules: rules.unwrap_or(self.settings().rules), ..RoomInfo::default() };
                self.make_room(at, user, info, &members, effects)
            }
            Command::OpenDirect { user: other } => self.open_direct(at, user, &other, effects),
            Command::Invite { room, user: other } => self.invite(at, user, &room, &other, effects),
            Command::Decline { room } => self.decline(user, &room, effects),
            Command::SetTopic { room, topic } => self.set_topic(at, user, &room, topic, effects),
            Command::Rename { room, name } => self.rename(at, user, &room, &name, effects),
            Command::Archive { room, on } => self.archive(at, user, &room, on, effects),
            Command::DeleteRoom { room } => self.delete_room(user, &room, effects),
            Command::SetRules { room, rules } => self.set_rules(at, user, &room, rules, effects),
            Command::SetRole { room, user: other, role } => self.set_role(at, user, (&room, &other), role, effects),
            Command::Kick { room, user: other } => self.kick(at, user, (&room, &other), effects),
            Command::Ban { room, user: other, on } => self.ban(at, user, (&room, &other), on, effects),
            Command::Mute { room, user: other, for_ms } => self.mute(at, user, (&room, &other), for_ms, effects),
            Command::Befriend { user: other } => self.befriend(user, &other, effects),
            Command::Unfriend { user: other } => self.unfriend(user, &other, effects),
            Command::Block { user: other, on } => self.block(user, &other, on, effects),
            Command::SetDisplayName { name } => self.set_display_name(user, &name, effects),
            Command::NameDevice { name } => self.name_device(at.session, &name, effects),
            Command::LogOut { devices } => self.log_out(at.session, user, devices, effects),
            Command::ChangePassword { old, new } => self.change_password(at.session, user, old, new, effects),
            Command::DeleteAccount { proof } => self.delete_account(at, user, proof, effects),
            Command::MakeInvite { code, for_ms } => self.make_invite(at, user, code, for_ms, effects),
            Command::RevokeInvite { code } => self.revoke_invite(user, &code, effects),
            Command::SetAdmin { user: other, on } => self.set_admin(user, &other, on, effects),
            Command::Configure { settings } => {
                self.needs_admin(user)?;
                self.configure(settings, effects)?;
                Ok(Done::Ok)
            }
        }
    }

    /// Whether the first time at which a device was seen is what counts for ever.
    #[cfg_attr(not(feature = "zoo"), expect(clippy::unused_self, reason = "only a bug makes a difference"))]
    fn has_bug_expire_anyway(&self) -> bool {
        #[cfg(feature = "zoo")]
        return self.bug == Some(crate::zoo::Bug::ExpireAnyway);
        #[cfg(not(feature = "zoo"))]
        false
    }

    // ---- what is held in memory -------------------------------------------------------------------------------------------------------

    fn hold_user(&mut self, id: UserId, user: User) {
        self.let_go_of_user(id);
        let name = Name::of(&user.name);
        let shown = if user.display.is_empty() { name.looks.clone() } else { Name::of(&user.display).looks };
        if !user.deleted {
            self.user_by_name.add(name.folded.clone(), id);
            self.user_by_looks.add(name.looks.clone(), id);
            *self.shown.entry(shown.clone()).or_default() += 1;
        }
        self.users.insert(id, Known { user, folded: name.folded, looks: name.looks, shown });
    }

    fn let_go_of_user(&mut self, id: UserId) {
        let Some(known) = self.users.remove(&id) else { return };
        self.user_by_name.remove(&known.folded, id);
        self.user_by_looks.remove(&known.looks, id);
        if !known.user.deleted
            && let Some(count) = self.shown.get_mut(&known.shown)
        {
            *count -= 1;
            if *count == 0 {
                self.shown.remove(&known.shown);
            }
        }
    }

    fn hold_device(&mut self, session: SessionId, device: Device) {
        self.devices_of.entry(device.user).or_default().insert(session);
        self.by_seen.insert((device.seen, session));
        if let Some(before) = self.devices.insert(session, device.clone())
            && before.seen != device.seen
            && !self.has_bug_expire_anyway()
        {
            self.by_seen.remove(&(before.seen, session));
        }
    }

    fn hold_room(&mut self, id: RoomId, room: Room) {
        self.hold_room_name(id, &room.info);
        if let Some(pair) = room.info.pair {
            self.directs.insert(pair, id);
        }
        if matches!(room.info.rules.history, History::Last(_) | History::None) {
            self.forgetful.insert(id);
        }
        self.rooms.insert(id, room);
    }

    fn hold_room_name(&mut self, id: RoomId, info: &RoomInfo) {
        let name = Name::of(&info.name);
        if info.kind == RoomKind::Public {
            self.room_by_name.add(name.folded, id);
            self.room_by_looks.add(name.looks, id);
        } else if !info.name.is_empty() {
            self.own_by_name.add(name.folded, id);
        }
    }

    fn let_go_of_room_name(&mut self, id: RoomId, info: &RoomInfo) {
        let name = Name::of(&info.name);
        if info.kind == RoomKind::Public {
            self.room_by_name.remove(&name.folded, id);
            self.room_by_looks.remove(&name.looks, id);
        } else {
            self.own_by_name.remove(&name.folded, id);
        }
    }

    fn hold_member(&mut self, id: RoomId, user: UserId, member: Member) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.members.insert(user, member);
        self.rooms_of.entry(user).or_default().insert(id);
    }

    fn hold_standing(&mut self, id: RoomId, user: UserId, standing: Standing) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let invited = standing.invited_by.is_some();
        if standing == Standing::default() {
            room.standings.remove(&user);
        } else {
            room.standings.insert(user, standing);
        }
        if invited {
            self.invited_to.entry(user).or_default().insert(id);
        } else if let Some(rooms) = self.invited_to.get_mut(&user) {
            rooms.remove(&id);
            if rooms.is_empty() {
                self.invited_to.remove(&user);
            }
        }
    }
}

fn check_topic(topic: &str, limit: u32) -> Result<(), Refusal> {
    if topic.len() > limit as usize { Err(Refusal::TextTooLong { bytes: topic.len() as u32, limit }) } else { Ok(()) }
}

impl StateMachine for Chat {
    type Event = ChatEvent;

    fn needs(&self, command: &Bytes) -> Vec<Bytes> {
        match Kind::of(command) {
            Ok(Kind::Post | Kind::Read) if self.forgetful.is_empty() => Vec::new(),
            Ok(Kind::Post | Kind::Read | Kind::Respond | Kind::Edit | Kind::Delete | Kind::React | Kind::Pin) => {
                Command::decode(command).map_or_else(|_| Vec::new(), |command| self.messages_needed(&command))
            }
            Ok(Kind::HouseSweepRoom | Kind::HouseSweepUser) => {
                Housekeeping::decode(command).map_or_else(|_| Vec::new(), |command| self.swept(&command))
            }
            _ => Vec::new(),
        }
    }

    fn apply(&mut self, at: &At, command: &Bytes, rows: &[(Bytes, Bytes)], effects: &mut Effects<ChatEvent>) {
        let bad = |error: EnvelopeError| Refusal::BadRequest { why: error.to_string() };
        if at.house {
            let done = Housekeeping::decode(command).map_err(bad).and_then(|command| self.keep_house(at, command, rows, effects));
            return effects.reply(seal(Kind::ChatReply, &done.map(|()| Done::Ok)));
        }
        if at.opens {
            let signed_in = Opening::decode(command).map_err(bad).and_then(|opening| self.sign_in(at, opening, effects));
            let reply = seal(Kind::ChatReply, &signed_in);
            return if signed_in.is_ok() { effects.reply(reply) } else { effects.refuse(reply) };
        }
        let done = Command::decode(command).map_err(bad).and_then(|command| self.execute(at, command, rows, effects));
        let reply = seal(Kind::ChatReply, &done);
        if done.is_ok() { effects.reply(reply) } else { effects.refuse(reply) }
    }

    fn restore(&mut self, rows: &[(Bytes, Bytes)]) -> Result<(), EnvelopeError> {
        for (key, value) in rows {
            self.restore_row(key, value)?;
        }
        Ok(())
    }

    fn describe(&self, key: &[u8]) -> String {
        rows::describe(key).unwrap_or_else(|| crate::replica::describe_key(key))
    }

    fn owner(&self, opened: &Bytes) -> u64 {
        decode_signed_in(opened).map_or(0, |(user, _)| user.0)
    }

    fn knows(&self, command: &Bytes) -> Result<(), EnvelopeError> {
        let envelope = Envelope::parse(command)?;
        let known = Command::is_kind(envelope.kind) || Opening::is_kind(envelope.kind) || Housekeeping::is_kind(envelope.kind);
        match envelope.version {
            1 if known => Ok(()),
            version => Err(EnvelopeError::UnknownVersion { kind: envelope.kind, version }),
        }
    }
}
