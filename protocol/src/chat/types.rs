//! The chat's vocabulary: commands in, outcomes out, and what users, rooms and messages look like to those who may see them.
//!
//! Each command is a kind of its own in an envelope, so that a new one never changes an old one's bytes. Outcomes are kept: new ones go to the end of their enum.

use super::password::{Key, PasswordHash};
use super::settings::*;
use crate::ids::*;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How a request names a room.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum RoomRef {
    Id(RoomId),
    Name(String),
}

impl core::fmt::Display for RoomRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RoomRef::Id(id) => write!(f, "{}", id.0),
            RoomRef::Name(name) => write!(f, "{name}"),
        }
    }
}

/// What a session asks the replicated chat to do.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Makes a public room with its asker as owner; a public room of that name that exists already is returned instead, and joined.
    CreateRoom {
        name: String,
    },
    /// Idempotent. Public rooms, and others after an invitation.
    Join {
        room: RoomRef,
    },
    /// Idempotent.
    Leave {
        room: RoomRef,
    },
    /// Only members post.
    Post {
        room: RoomRef,
        text: String,
    },

    // messages
    /// Posts an answer to a message. Answers to an answer belong to the same thread.
    Respond {
        room: RoomRef,
        to: Seq,
        text: String,
    },
    Edit {
        room: RoomRef,
        seq: Seq,
        text: String,
    },
    /// Takes text and reactions away; the place stays. Idempotent.
    Delete {
        room: RoomRef,
        seq: Seq,
    },
    /// Idempotent both ways.
    React {
        room: RoomRef,
        seq: Seq,
        emoji: String,
        on: bool,
    },
    /// Idempotent both ways.
    Pin {
        room: RoomRef,
        seq: Seq,
        on: bool,
    },
    /// Everything through this message is read, on all of the user's devices. Never goes back.
    Read {
        room: RoomRef,
        seq: Seq,
    },

    // rooms
    /// Makes a room by its kind ([`RoomKind::Direct`] has its own command) and lets these users in at once (group) or invites them (private).
    MakeRoom {
        name: String,
        kind: RoomKind,
        topic: String,
        rules: Option<Rules>,
        members: Vec<UserRef>,
    },
    /// The room of two with this user; the same one each time.
    OpenDirect {
        user: UserRef,
    },
    Invite {
        room: RoomRef,
        user: UserRef,
    },
    /// Declines an invitation. Idempotent.
    Decline {
        room: RoomRef,
    },
    SetTopic {
        room: RoomRef,
        topic: String,
    },
    Rename {
        room: RoomRef,
        name: String,
    },
    /// Nothing changes in an archived room until it is taken back.
    Archive {
        room: RoomRef,
        on: bool,
    },
    /// The room and all that was said in it go, for good.
    DeleteRoom {
        room: RoomRef,
    },
    SetRules {
        room: RoomRef,
        rules: Rules,
    },
    SetRole {
        room: RoomRef,
        user: UserRef,
        role: MemberRole,
    },
    Kick {
        room: RoomRef,
        user: UserRef,
    },
    /// A banned user is no member and cannot become one.
    Ban {
        room: RoomRef,
        user: UserRef,
        on: bool,
    },
    /// Keeps a user from posting for so many milliseconds from now: 0 ends it, `u64::MAX` is for good.
    Mute {
        room: RoomRef,
        user: UserRef,
        for_ms: u64,
    },

    // people
    /// Asks for somebody's friendship, or accepts theirs.
    Befriend {
        user: UserRef,
    },
    /// Ends a friendship, declines a request or takes one back. Idempotent.
    Unfriend {
        user: UserRef,
    },
    /// Blocking ends a friendship.
    Block {
        user: UserRef,
        on: bool,
    },

    // the account
    /// The name that is shown; it need not be unique, and is shown with the id where it is not. Empty: the account's name.
    SetDisplayName {
        name: String,
    },
    NameDevice {
        name: String,
    },
    LogOut {
        devices: Devices,
    },
    /// Made by the gateway, which derives both from passwords. The other devices are logged out.
    ChangePassword {
        old: Key,
        new: PasswordHash,
    },
    /// `proof`: from the password, where there is one.
    DeleteAccount {
        proof: Option<Key>,
    },
    /// `code`: the SHA-256 of the code that the asker drew.
    MakeInvite {
        code: [u8; 32],
        for_ms: u64,
    },
    /// Idempotent.
    RevokeInvite {
        code: [u8; 32],
    },

    // the cluster
    SetAdmin {
        user: UserRef,
        on: bool,
    },
    Configure {
        settings: Settings,
    },
}

/// Devices of the asking user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Devices {
    This,
    One(SessionId),
    Others,
    All,
}

/// How a session is opened. Each is a kind of its own.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Opening {
    /// With a name alone.
    Name { name: String, device: String },
    /// A new account. `invite`: the SHA-256 of the code.
    Register { name: String, password: PasswordHash, invite: Option<[u8; 32]>, device: String },
    /// `proof`: derived from the password by the node that was asked, with the account's own parameters.
    LogIn { name: String, proof: Key, device: String },
}

/// What no session asks: a leader's own commands, to keep the house in order. Each is checked again when it is applied.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Housekeeping {
    /// The settings that the cluster is founded with, or an operator's.
    Configure { settings: Settings, founding: bool },
    /// These sessions show signs of life.
    Seen { sessions: Vec<SessionId> },
    /// Closes sessions that were last seen then, if they were not seen since.
    Expire { sessions: Vec<(SessionId, Timestamp)> },
    /// Takes the next part of a deleted room's messages away.
    SweepRoom { room: RoomId, from: Seq },
    /// Takes the next part of a deleted user's messages away.
    SweepUser { user: UserId, room: RoomId, from: Seq },
    /// The node was removed, and its outboxes are known through these places: nobody waits for what lies behind them. What was sealed before stays as it is.
    Seal { node: NodeId, outboxes: Vec<(Boot, u64)> },
}

/// What is known of the outboxes of a node that was removed.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Sealed {
    pub at: Timestamp,
    /// Each start of the node, ascending, and the place through which its outbox was known. Of others nothing was.
    pub outboxes: Vec<(Boot, u64)>,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Done {
    /// `created` is false when the room was there before.
    Room {
        room: RoomId,
        name: String,
        created: bool,
    },
    /// `last`: the room's newest message; `cursor`: its newest event, the joining with it.
    Joined {
        room: RoomId,
        name: String,
        last: Seq,
        cursor: Cursor,
    },
    Left {
        room: RoomId,
    },
    Posted {
        room: RoomId,
        seq: Seq,
        id: MessageId,
        at: Timestamp,
    },
    /// The room's event that this became, or its newest one if nothing was to be done.
    Changed {
        room: RoomId,
        cursor: Cursor,
    },
    /// How many messages of the room are not read.
    Read {
        room: RoomId,
        unread: u64,
    },
    Friend {
        user: UserId,
        friendship: Friendship,
    },
    /// Done, and there is nothing to say about it.
    Ok,
}

/// What two users are to each other, as one of them sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Friendship {
    #[default]
    None,
    /// This one has asked the other.
    Requested,
    /// The other has asked this one.
    Asked,
    Friends,
}

/// A message as its readers see it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Post {
    pub seq: Seq,
    pub id: MessageId,
    pub author: UserId,
    pub author_name: String,
    /// Empty when it is deleted.
    pub text: String,
    pub at: Timestamp,
    pub more: More,
}

impl Post {
    /// Bytes that it counts for.
    pub fn cost(&self) -> u32 {
        let reactions: usize = self.more.reactions.iter().map(|reaction| 16 + 8 * reaction.users.len()).sum();
        64 + (self.text.len() + self.author_name.len() + reactions + 8 * self.more.mentions.len()) as u32
    }
}

/// What not every message has.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
pub struct More {
    /// The message that this one answers.
    pub reply_to: Option<Seq>,
    /// The first message of the thread that it belongs to.
    pub thread: Option<Seq>,
    /// Messages that answer it.
    pub replies: u32,
    pub edited: Option<Timestamp>,
    pub deleted: Option<Deleted>,
    pub pinned: bool,
    /// Members named in it.
    pub mentions: Vec<UserId>,
    pub reactions: Vec<Reaction>,
    /// When a node took it that reached no leader, by that node's hybrid clock; `None`: it came straight to a leader.
    pub written: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Deleted {
    pub by: UserId,
    pub at: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Reaction {
    pub emoji: String,
    /// In the order in which they reacted.
    pub users: Vec<UserId>,
}

/// Something that happened in a room and is no new message. Each has a place among the room's events.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Change {
    Edited { seq: Seq },
    Deleted { seq: Seq },
    Reacted { seq: Seq, emoji: String, on: bool },
    Pinned { seq: Seq, on: bool },
    Joined { user: UserId },
    Left { user: UserId },
    Kicked { user: UserId },
    Banned { user: UserId, on: bool },
    Muted { user: UserId, until: Option<Timestamp> },
    Role { user: UserId, role: MemberRole },
    Topic { topic: String },
    Renamed { name: String },
    Archived { on: bool },
    Rules { rules: Rules },
}

impl Change {
    /// The message that it is about.
    pub fn message(&self) -> Option<Seq> {
        match self {
            Change::Edited { seq } | Change::Deleted { seq } | Change::Reacted { seq, .. } | Change::Pinned { seq, .. } => {
                Some(*seq)
            }
            _ => None,
        }
    }

    /// The user that it is done to or by.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Change::Joined { user }
            | Change::Left { user }
            | Change::Kicked { user }
            | Change::Banned { user, .. }
            | Change::Muted { user, .. }
            | Change::Role { user, .. } => Some(*user),
            _ => None,
        }
    }
}

/// A change as a room's members are told of it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Changed {
    pub at: Timestamp,
    pub by: UserId,
    pub by_name: String,
    pub change: Change,
    /// The message that it is about, as it is now.
    pub post: Option<Post>,
    /// The name of the user that it is about.
    pub user_name: String,
}

/// A user as others see it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct UserView {
    pub id: UserId,
    /// Unique, unless the cluster takes guests.
    pub name: String,
    /// What is shown; the name, if the user chose nothing else.
    pub shown: String,
    /// Somebody else is shown in the same way: show the id too.
    pub ambiguous: bool,
    pub deleted: bool,
    /// Signed in and connected, as far as this node knows and the asker may see.
    pub online: bool,
}

/// A device of a user, as that user sees it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct DeviceView {
    pub session: SessionId,
    pub name: String,
    pub opened: Timestamp,
    /// When it last showed a sign of life, to within a third of the time after which it expires.
    pub seen: Timestamp,
}

/// A room as somebody sees it in a list.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct RoomView {
    pub id: RoomId,
    pub name: String,
    /// Whether the asker is a member.
    pub member: bool,
    pub members: u32,
    /// The place of the newest message, 0 when there is none.
    pub last: Seq,
    pub kind: RoomKind,
    pub topic: String,
    pub archived: bool,
    pub rules: Rules,
    pub role: MemberRole,
    /// The newest event.
    pub cursor: Cursor,
    /// The last message that the asker has read.
    pub read: Seq,
    pub unread: u64,
    /// Unread messages that name the asker.
    pub mentions: u32,
    /// The asker is invited.
    pub invited: bool,
    /// Of a direct room: the other one.
    pub with: Option<UserId>,
    pub pins: Vec<Seq>,
    /// The first message that the asker may see.
    pub first: Seq,
}

/// A member of a room.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct MemberView {
    pub user: UserView,
    pub role: MemberRole,
    pub muted_until: Option<Timestamp>,
    /// How far the member has read.
    pub read: Seq,
}

/// A user as it sees itself.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Me {
    pub user: UserView,
    pub session: SessionId,
    pub admin: bool,
    pub has_password: bool,
    pub devices: Vec<DeviceView>,
    pub friends: Vec<(UserView, Friendship)>,
    pub blocked: Vec<UserView>,
    /// Rooms that it is invited to, and by whom.
    pub invitations: Vec<(RoomId, String, UserId)>,
    pub settings: Settings,
}
