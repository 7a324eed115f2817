//! Users, devices, friends and sessions as JSON.

use super::super::schema;
use crate::rfc3339;
use serde::Serialize;
use tertulia_protocol::chat::{DeviceView, Friendship, MemberRole, MemberView, UserView};
use utoipa::ToSchema;

/// A user as others see it.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct User {
    pub id: u64,
    /// Unique, unless the cluster takes guests.
    pub name: String,
    /// What people see: the name, if the user chose nothing else.
    pub shown: String,
    /// Somebody else is shown in the same way: show the id as well.
    pub ambiguous: bool,
    pub deleted: bool,
    /// Connected, as far as this node knows and the asker may see.
    pub online: bool,
}

pub fn user(user: &UserView) -> User {
    User {
        id: user.id.0,
        name: user.name.clone(),
        shown: user.shown.clone(),
        ambiguous: user.ambiguous,
        deleted: user.deleted,
        online: user.online,
    }
}

/// A user as a member of a room.
#[derive(Serialize, ToSchema)]
pub struct Member {
    #[serde(flatten)]
    pub user: User,
    #[schema(value_type = schema::MemberRole)]
    pub role: MemberRole,
    /// The last message that the member has read.
    pub read: u64,
    /// A time, or `forever`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub muted_until: Option<String>,
}

pub fn member(member: &MemberView) -> Member {
    let muted_until = member.muted_until.map(super::until);
    Member { user: user(&member.user), role: member.role, read: member.read, muted_until }
}

/// A device that the asker is signed in from.
#[derive(Serialize, ToSchema)]
pub struct Device {
    /// By which it is signed out.
    pub session: u64,
    pub name: String,
    #[schema(format = DateTime)]
    pub opened: String,
    /// When it last showed a sign of life, about.
    #[schema(format = DateTime)]
    pub seen: String,
    /// It is the one that asks.
    pub current: bool,
}

fn device(device: &DeviceView, current: bool) -> Device {
    let (opened, seen) = (rfc3339::format(device.opened), rfc3339::format(device.seen));
    Device { session: device.session.0, name: device.name.clone(), opened, seen, current }
}

#[derive(Serialize, ToSchema)]
pub struct Devices {
    pub devices: Vec<Device>,
}

pub fn devices(me: &tertulia_protocol::chat::Me) -> Vec<Device> {
    me.devices.iter().map(|known| device(known, known.session == me.session)).collect()
}

/// A user, and what it is to the asker.
#[derive(Serialize, ToSchema)]
pub struct Friend {
    #[serde(flatten)]
    pub user: User,
    #[schema(value_type = schema::Friendship)]
    pub friendship: Friendship,
}

/// Friends, those who were asked and those who ask.
#[derive(Serialize, ToSchema)]
pub struct Friends {
    pub friends: Vec<Friend>,
}

pub fn friends(me: &tertulia_protocol::chat::Me) -> Vec<Friend> {
    me.friends.iter().map(|(view, friendship)| Friend { user: user(view), friendship: *friendship }).collect()
}

/// What a user is to the asker now.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Befriended {
    pub user: u64,
    #[schema(value_type = schema::Friendship)]
    pub friendship: Friendship,
}

/// A room that the asker is invited to.
#[derive(Serialize, ToSchema)]
pub struct Invitation {
    pub room: u64,
    pub name: String,
    /// The user who invited.
    pub by: u64,
}

/// The asker.
#[derive(Serialize, ToSchema)]
pub struct Me {
    pub user: User,
    pub session: u64,
    pub admin: bool,
    pub has_password: bool,
    pub devices: Vec<Device>,
    pub friends: Vec<Friend>,
    pub blocked: Vec<User>,
    pub invitations: Vec<Invitation>,
}

pub fn me(me: &tertulia_protocol::chat::Me) -> Me {
    let invitation = |(room, name, by): &(tertulia_protocol::ids::RoomId, String, tertulia_protocol::ids::UserId)| Invitation {
        room: room.0,
        name: name.clone(),
        by: by.0,
    };
    Me {
        user: user(&me.user),
        session: me.session.0,
        admin: me.admin,
        has_password: me.has_password,
        devices: devices(me),
        friends: friends(me),
        blocked: me.blocked.iter().map(user).collect(),
        invitations: me.invitations.iter().map(invitation).collect(),
    }
}

/// A session that was opened.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    /// 64 hexadecimal digits; said once, here.
    pub token: String,
    pub user: u64,
    pub session: u64,
    pub name: String,
}

/// An invitation to the cluster.
#[derive(Serialize, ToSchema)]
pub struct InviteCode {
    /// Said once, here.
    pub code: String,
    /// It is good for so long.
    pub hours: u32,
}
