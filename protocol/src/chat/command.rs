//! Commands as bytes: each variant is a kind of its own, its body the fields in order.

use super::types::*;
use super::{Refusal, Settings, UserRef};
use crate::ids::UserId;
use crate::wire::{Envelope, EnvelopeError, Kind, open, seal};
use alloc::string::{String, ToString};
use bytes::Bytes;

macro_rules! coded {
    ($name:ident, $($variant:ident { $($field:ident),+ }),+ $(,)?) => {
        impl $name {
            pub fn encode(&self) -> Bytes {
                match self {
                    $($name::$variant { $($field),+ } => seal(Kind::$variant, &($($field,)+)),)+
                }
            }

            /// # Errors
            /// The bytes are no such command, or of a version that this one does not know.
            pub fn decode(bytes: &Bytes) -> Result<$name, EnvelopeError> {
                let envelope = Envelope::parse(bytes)?;
                Ok(match envelope.kind {
                    $(Kind::$variant => {
                        let ($($field,)+) = envelope.decode()?;
                        $name::$variant { $($field),+ }
                    })+
                    found => return Err(EnvelopeError::WrongKind { expected: Kind::Post, found }),
                })
            }

            /// Whether this version knows commands of this kind.
            pub(super) fn is_kind(kind: Kind) -> bool {
                matches!(kind, $(Kind::$variant)|+)
            }
        }
    };
}

coded!(
    Command,
    CreateRoom { name },
    Join { room },
    Leave { room },
    Post { room, text },
    Respond { room, to, text },
    Edit { room, seq, text },
    Delete { room, seq },
    React { room, seq, emoji, on },
    Pin { room, seq, on },
    Read { room, seq },
    MakeRoom { name, kind, topic, rules, members },
    OpenDirect { user },
    Invite { room, user },
    Decline { room },
    SetTopic { room, topic },
    Rename { room, name },
    Archive { room, on },
    DeleteRoom { room },
    SetRules { room, rules },
    SetRole { room, user, role },
    Kick { room, user },
    Ban { room, user, on },
    Mute { room, user, for_ms },
    Befriend { user },
    Unfriend { user },
    Block { user, on },
    SetDisplayName { name },
    NameDevice { name },
    LogOut { devices },
    ChangePassword { old, new },
    DeleteAccount { proof },
    MakeInvite { code, for_ms },
    RevokeInvite { code },
    SetAdmin { user, on },
    Configure { settings },
);

impl Command {
    /// The longest name by which the command names a room or a user, in bytes.
    pub(super) fn longest_name(&self) -> usize {
        use Command::*;
        let room = match self {
            Join { room }
            | Leave { room }
            | Post { room, .. }
            | Respond { room, .. }
            | Edit { room, .. }
            | Delete { room, .. }
            | React { room, .. }
            | Pin { room, .. }
            | Read { room, .. }
            | Invite { room, .. }
            | Decline { room }
            | SetTopic { room, .. }
            | Rename { room, .. }
            | Archive { room, .. }
            | DeleteRoom { room }
            | SetRules { room, .. }
            | SetRole { room, .. }
            | Kick { room, .. }
            | Ban { room, .. }
            | Mute { room, .. } => Some(room),
            _ => None,
        };
        let users = match self {
            MakeRoom { members, .. } => &members[..],
            OpenDirect { user }
            | Invite { user, .. }
            | SetRole { user, .. }
            | Kick { user, .. }
            | Ban { user, .. }
            | Mute { user, .. }
            | Befriend { user }
            | Unfriend { user }
            | Block { user, .. }
            | SetAdmin { user, .. } => core::slice::from_ref(user),
            _ => &[],
        };
        let of_user = |user: &UserRef| if let UserRef::Name(name) = user { name.len() } else { 0 };
        let of_room = |room: &RoomRef| if let RoomRef::Name(name) = room { name.len() } else { 0 };
        users.iter().map(of_user).max().unwrap_or(0).max(room.map_or(0, of_room))
    }
}

impl Opening {
    pub fn encode(&self) -> Bytes {
        match self {
            // The first release's form, which a name alone still takes.
            Opening::Name { name, device } if device.is_empty() => seal(Kind::SignIn, name),
            Opening::Name { name, device } => seal(Kind::SignInFrom, &(name, device)),
            Opening::Register { name, password, invite, device } => seal(Kind::Register, &(name, password, invite, device)),
            Opening::LogIn { name, proof, device } => seal(Kind::LogIn, &(name, proof, device)),
        }
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Opening, EnvelopeError> {
        let envelope = Envelope::parse(bytes)?;
        Ok(match envelope.kind {
            Kind::SignIn => Opening::Name { name: envelope.decode()?, device: String::new() },
            Kind::SignInFrom => {
                let (name, device) = envelope.decode()?;
                Opening::Name { name, device }
            }
            Kind::Register => {
                let (name, password, invite, device) = envelope.decode()?;
                Opening::Register { name, password, invite, device }
            }
            Kind::LogIn => {
                let (name, proof, device) = envelope.decode()?;
                Opening::LogIn { name, proof, device }
            }
            found => return Err(EnvelopeError::WrongKind { expected: Kind::SignIn, found }),
        })
    }

    pub(super) fn is_kind(kind: Kind) -> bool {
        matches!(kind, Kind::SignIn | Kind::SignInFrom | Kind::Register | Kind::LogIn)
    }
}

impl Housekeeping {
    pub fn encode(&self) -> Bytes {
        match self {
            Housekeeping::Configure { settings, founding } => seal(Kind::HouseSettings, &(settings, founding)),
            Housekeeping::Seen { sessions } => seal(Kind::HouseSeen, sessions),
            Housekeeping::Expire { sessions } => seal(Kind::HouseExpire, sessions),
            Housekeeping::SweepRoom { room, from } => seal(Kind::HouseSweepRoom, &(room, from)),
            Housekeeping::SweepUser { user, room, from } => seal(Kind::HouseSweepUser, &(user, room, from)),
            Housekeeping::Seal { node, outboxes } => seal(Kind::HouseSeal, &(node, outboxes)),
        }
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Housekeeping, EnvelopeError> {
        let envelope = Envelope::parse(bytes)?;
        Ok(match envelope.kind {
            Kind::HouseSettings => {
                let (settings, founding): (Settings, bool) = envelope.decode()?;
                Housekeeping::Configure { settings, founding }
            }
            Kind::HouseSeen => Housekeeping::Seen { sessions: envelope.decode()? },
            Kind::HouseExpire => Housekeeping::Expire { sessions: envelope.decode()? },
            Kind::HouseSweepRoom => {
                let (room, from) = envelope.decode()?;
                Housekeeping::SweepRoom { room, from }
            }
            Kind::HouseSweepUser => {
                let (user, room, from) = envelope.decode()?;
                Housekeeping::SweepUser { user, room, from }
            }
            Kind::HouseSeal => {
                let (node, outboxes) = envelope.decode()?;
                Housekeeping::Seal { node, outboxes }
            }
            found => return Err(EnvelopeError::WrongKind { expected: Kind::HouseSeen, found }),
        })
    }

    pub(super) fn is_kind(kind: Kind) -> bool {
        use Kind::*;
        matches!(kind, HouseSettings | HouseSeen | HouseExpire | HouseSweepRoom | HouseSweepUser | HouseSeal)
    }
}

/// What a command was answered, from the bytes that the session table keeps.
pub fn decode_reply(bytes: &Bytes) -> Result<Done, Refusal> {
    open::<Result<Done, Refusal>>(Kind::ChatReply, bytes).unwrap_or_else(|error| Err(unreadable(&error)))
}

/// What a sign-in was answered.
pub fn decode_signed_in(bytes: &Bytes) -> Result<(UserId, String), Refusal> {
    open::<Result<(UserId, String), Refusal>>(Kind::ChatReply, bytes).unwrap_or_else(|error| Err(unreadable(&error)))
}

fn unreadable(error: &EnvelopeError) -> Refusal {
    Refusal::BadRequest {
        why: ["the outcome kept for this request cannot be read by this version: ", &error.to_string()].concat(),
    }
}
