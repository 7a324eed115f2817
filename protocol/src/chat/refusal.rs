//! Why a request was not done. Each refusal has one sentence that says what to do.

use super::{DeviceView, RoomRef, UserRef};
use crate::ids::*;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Why a request was not done. New ones go to the end: refusals are kept as outcomes.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Refusal {
    // of the replicated chat: the same on all nodes, final
    UnknownRoom {
        room: RoomRef,
    },
    NotAMember {
        room: RoomId,
    },
    EmptyName,
    NameTooLong {
        bytes: u32,
        limit: u32,
    },
    BadName,
    EmptyText,
    TextTooLong {
        bytes: u32,
        limit: u32,
    },
    /// A bound of the cluster as a whole.
    Full {
        what: String,
        limit: u32,
    },
    // of the session table: final
    UnknownSession,
    /// An Idempotency-Key was used for another request before.
    KeyReused,
    /// A request with a key that is older than the retention of outcomes: it may have been executed, and will not be again.
    KeyExpired,
    /// The outcome of this number is no longer kept: the session has acknowledged it.
    Forgotten,
    // of one node at one moment: try again with the same number or key
    NoLeader {
        since_ms: u64,
    },
    Busy {
        retry_after_ms: u32,
    },
    /// The request was taken and its outcome is not known yet: the same number or key will find it.
    Unknown,
    // of the request itself
    NotSignedIn,
    BadRequest {
        why: String,
    },
    // of the replicated chat again: final
    UnknownUser {
        user: UserRef,
    },
    /// Somebody or something has this name.
    NameTaken {
        name: String,
    },
    /// The name looks like one that there is.
    LooksLike {
        name: String,
    },
    /// The cluster wants another way of signing in.
    WrongSignIn {
        wanted: super::SignIn,
    },
    /// No such user, or not with this password.
    WrongPassword,
    /// No such code, or used, or too old.
    WrongInvite,
    /// The user is signed in from as many devices as the cluster allows.
    TooManyDevices {
        limit: u32,
        devices: Vec<DeviceView>,
    },
    /// The session was logged out or has expired.
    LoggedOut,
    UnknownDevice,
    /// What the asker is may not do that here.
    NotAllowed {
        needs: Needs,
    },
    Banned {
        room: RoomId,
    },
    /// Until then.
    Muted {
        until: Timestamp,
    },
    Archived {
        room: RoomId,
    },
    UnknownMessage {
        room: RoomId,
        seq: Seq,
    },
    /// The other one has blocked the asker, or the asker the other one.
    Blocked,
    NotFriends,
    /// Nothing was asked that could be accepted or declined.
    NoRequest,
    BadReaction,
    /// A room of two is what it is: nobody joins, leaves, is removed or given a role.
    IsDirect,
    /// A room needs an owner.
    LastOwner,
    /// Of one node at one moment: too often.
    TooOften {
        retry_after_ms: u32,
    },
    /// Of one node while it reaches no leader: it holds as many bytes of tentative requests as it may.
    OutboxFull {
        limit: u64,
    },
    /// Of one node while it reaches no leader: the request is kept, and the room wants it on more nodes before it counts as accepted.
    TooFewCopies {
        copies: u32,
        wanted: u32,
    },
}

/// What somebody would have to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Needs {
    Owner,
    Moderator,
    Author,
    Admin,
    Invitation,
    /// The room's rules allow it to nobody.
    OtherRules,
    /// Somebody with a higher role than the one it is done to.
    HigherRole,
}

impl Refusal {
    /// Whether the same request, with the same identity, may succeed later.
    pub fn is_temporary(&self) -> bool {
        use Refusal::*;
        matches!(self, NoLeader { .. } | Busy { .. } | Unknown | TooOften { .. } | OutboxFull { .. } | TooFewCopies { .. })
    }
}

impl core::fmt::Display for Needs {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Needs::Owner => "only the room's owner may do that: ask them",
            Needs::Moderator => "only the room's moderators may do that: ask one",
            Needs::Author => "only its author may do that",
            Needs::Admin => "only an administrator may do that: ask one",
            Needs::Invitation => "this room is not public: ask a member for an invitation",
            Needs::OtherRules => "the room's rules do not allow that",
            Needs::HigherRole => "their role in this room is not below yours: ask the owner",
        })
    }
}

impl core::fmt::Display for Refusal {
    // A table: one sentence for each.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        use super::SignIn;
        match self {
            Refusal::UnknownRoom { room } => write!(f, "there is no room \"{room}\": list the rooms, or create it first"),
            Refusal::NotAMember { room } => write!(f, "you are not a member of room {}: join it first", room.0),
            Refusal::EmptyName => write!(f, "a name must have at least one visible character"),
            Refusal::NameTooLong { bytes, limit } => {
                write!(f, "the name has {bytes} bytes, the limit is {limit}: choose a shorter one")
            }
            Refusal::BadName => write!(
                f,
                "a name may not begin with @ or with an accent alone, nor hold control or invisible characters or two spaces in a row, nor begin or end with a space, and a room's may not be a number: choose another one"
            ),
            Refusal::EmptyText => write!(f, "the message is empty: write something"),
            Refusal::TextTooLong { bytes, limit } => {
                write!(f, "the text has {bytes} bytes, the limit is {limit}: shorten it, or send a message in parts")
            }
            Refusal::Full { what, limit } => write!(f, "the limit is {limit} {what}, and it is reached"),
            Refusal::UnknownSession => write!(f, "this token belongs to no session: sign in again"),
            Refusal::KeyReused => {
                write!(f, "this Idempotency-Key was used for a different request: draw a new key for each new request")
            }
            Refusal::KeyExpired => write!(
                f,
                "this request is older than the time outcomes are kept for: it may have been executed, look at the history before you send it anew"
            ),
            Refusal::Forgotten => write!(f, "this request was executed and acknowledged before: its outcome is no longer kept"),
            Refusal::NoLeader { since_ms } => {
                write!(f, "no majority: this node has reached no leader for {since_ms} ms; try again with the same key")
            }
            Refusal::Busy { retry_after_ms } => {
                write!(f, "the cluster is busy: try again with the same key after {retry_after_ms} ms")
            }
            Refusal::Unknown => write!(
                f,
                "the request was taken but is not confirmed yet: ask again with the same key, it is executed at most once"
            ),
            Refusal::NotSignedIn => write!(f, "this needs a session: sign in and send its token"),
            Refusal::BadRequest { why } => write!(f, "{why}"),
            Refusal::UnknownUser { user } => write!(f, "there is no user \"{user}\""),
            Refusal::NameTaken { name } => write!(f, "the name \"{name}\" is taken: choose another one"),
            Refusal::LooksLike { name } => write!(f, "that name looks like \"{name}\", which is taken: choose another one"),
            Refusal::WrongSignIn { wanted: SignIn::Open | SignIn::Guests } => {
                write!(f, "this cluster has no passwords: sign in with a name alone")
            }
            Refusal::WrongSignIn { wanted: SignIn::Accounts } => {
                write!(f, "this cluster wants a password: register, then log in")
            }
            Refusal::WrongSignIn { wanted: SignIn::Invite } => {
                write!(f, "this cluster wants a password, and registering takes an invitation's code: ask a member for one")
            }
            Refusal::WrongPassword => write!(f, "the password is wrong, or there is no such user"),
            Refusal::WrongInvite => write!(
                f,
                "registering here takes an invitation's code, and this one is missing, unknown, used or expired: ask a member for one"
            ),
            Refusal::TooManyDevices { limit, devices } => {
                write!(f, "you are signed in from {} devices already, the limit is {limit}: log one out (", devices.len())?;
                for (nth, device) in devices.iter().enumerate() {
                    let name = if device.name.is_empty() { "unnamed" } else { &device.name };
                    write!(f, "{}{name}, device {}", if nth == 0 { "" } else { "; " }, device.session.0)?;
                }
                write!(f, ")")
            }
            Refusal::LoggedOut => write!(f, "this session was logged out or has expired: sign in again"),
            Refusal::UnknownDevice => write!(f, "you are not signed in from such a device: list your devices"),
            Refusal::NotAllowed { needs } => write!(f, "{needs}"),
            Refusal::Banned { room } => write!(f, "you are banned from room {}: ask its moderators", room.0),
            Refusal::Muted { .. } => write!(f, "you are muted in this room for now: ask its moderators"),
            Refusal::Archived { room } => write!(f, "room {} is archived: it can be read, and nothing in it changes", room.0),
            Refusal::UnknownMessage { room, seq } => write!(f, "room {} has no message {seq} that you may see", room.0),
            Refusal::Blocked => write!(f, "one of you has blocked the other"),
            Refusal::NotFriends => write!(f, "direct messages are for friends here: ask them for their friendship first"),
            Refusal::NoRequest => write!(f, "there is no such request: they may have taken it back"),
            Refusal::BadReaction => write!(f, "a reaction is one emoji, or a word of at most 32 bytes"),
            Refusal::IsDirect => write!(f, "this is a room of two: it cannot be changed so"),
            Refusal::LastOwner => write!(f, "the room needs an owner: make somebody else its owner first"),
            Refusal::OutboxFull { limit } => write!(
                f,
                "no majority, and this node holds {limit} bytes of messages that wait for one, as many as it may: try again later, or at another node"
            ),
            Refusal::TooFewCopies { copies, wanted } => write!(
                f,
                "no majority: the message is kept on {copies} node(s), and this room wants {wanted} before it counts as accepted; try again with the same key"
            ),
            Refusal::TooOften { retry_after_ms } => write!(f, "too many requests: try again after {retry_after_ms} ms"),
        }
    }
}
