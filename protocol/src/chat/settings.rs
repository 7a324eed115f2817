//! What an operator and a room's owner may choose: rules as data, replicated like everything else.

use crate::ids::*;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// How somebody becomes a user of this cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignIn {
    /// A name is enough, and the same name is the same user: a classroom, a demo.
    #[default]
    Open,
    /// A name is enough, and each sign-in is a new user with an id of its own: names may be the same and are shown with the id then.
    Guests,
    /// Anybody may register a name with a password; it is needed from then on.
    Accounts,
    /// As [`SignIn::Accounts`], and registering takes the code of an invitation. The first account needs none, and administers.
    Invite,
}

/// With whom a direct room may be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direct {
    #[default]
    Anybody,
    Friends,
}

/// How often something may be done: `burst` at once, `per_second` in the long run. 0 per second: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

/// The rates that each node holds its clients to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Commands of one session.
    pub session: Rate,
    /// Posts in one room.
    pub room: Rate,
    /// Sign-ins from one network address. Each may cost a password's derivation.
    pub address: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        // Far above what people do, and below what one program needs to starve the others.
        Rates {
            session: Rate { per_second: 5_000, burst: 10_000 },
            room: Rate { per_second: 50_000, burst: 100_000 },
            address: Rate { per_second: 1_000, burst: 10_000 },
        }
    }
}

/// What holds for the whole cluster. Changed by an operator or an administrator, in the log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub sign_in: SignIn,
    /// Devices that one user may be signed in from. 0: no limit.
    pub devices: u32,
    /// A session without a sign of life for so long is closed, in milliseconds of log time. 0: never.
    pub idle_ms: u64,
    pub direct: Direct,
    /// Whether deleting an account takes the text of its messages away; without it they stay, under "deleted user".
    pub erase: bool,
    /// Whether administrators alone make public rooms.
    pub admins_make_rooms: bool,
    /// The rules of rooms that are made without any.
    pub rules: Rules,
    pub rates: Rates,
}

/// What a room keeps, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum History {
    /// Everything, for every member.
    #[default]
    All,
    /// The last so many messages; older ones are deleted.
    Last(u32),
    /// Everything, for each member from when it joined.
    SinceJoin,
    /// A message goes as soon as every member has read it, and when 1,000 newer ones wait; members see what came after they joined.
    None,
}

/// Who may do a thing in a room.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    #[default]
    Members,
    Moderators,
    Nobody,
}

/// A room's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    pub history: History,
    pub post: Who,
    /// Who may invite others to a room that is not public.
    pub invite: Who,
    /// Whether authors may change and delete what they wrote. Moderators may always delete.
    pub edits: bool,
    /// Bytes of the longest message; at most [`crate::contract::Limits::text_bytes`].
    pub text_bytes: u32,
    /// Whether posts are taken while no leader is reached.
    pub tentative: Tentative,
}

/// What a node does with a post in a room while it can reach no leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tentative {
    /// It refuses: try again.
    Refuse,
    /// It accepts the post once that is durable on its own disk.
    #[default]
    Accept,
    /// It accepts the post once that is durable on so many nodes, itself among them.
    Copies(u8),
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            history: History::All,
            post: Who::Members,
            invite: Who::Members,
            edits: true,
            text_bytes: 4_096,
            tentative: Tentative::Accept,
        }
    }
}

/// What a room is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoomKind {
    /// Anybody finds it and may join.
    #[default]
    Public,
    /// Members find it; who was invited may join.
    Private,
    /// As private, made by naming its members; it needs no name.
    Group,
    /// Two people, for ever.
    Direct,
}

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    #[default]
    Member,
    Moderator,
    Owner,
}

/// How a request names a user.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum UserRef {
    Id(UserId),
    Name(String),
}

impl core::fmt::Display for UserRef {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            UserRef::Id(id) => write!(f, "{}", id.0),
            UserRef::Name(name) => write!(f, "{name}"),
        }
    }
}
