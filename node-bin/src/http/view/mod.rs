//! What users, rooms, messages and events look like as JSON: each in one place, for all routes, the stream, and the description of the API, which is made from the same types.
//!
//! What is empty or false is left out of messages and events, so that a reader who knows only the old fields goes on. Numbers are ids and places, times are RFC 3339.

mod messages;
mod people;
mod rooms;
mod stream;
#[cfg(test)]
mod tests;

pub use messages::*;
pub use people::*;
pub use rooms::*;
pub use stream::*;

use crate::rfc3339;
use serde::Serialize;
use tertulia_protocol::chat::Done;
use tertulia_protocol::time::Timestamp;
use utoipa::ToSchema;

/// For good is no time that a calendar has.
fn until(at: Timestamp) -> String {
    if at.0 == u64::MAX { "forever".into() } else { rfc3339::format(at) }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// It is done, and there is nothing to say about it.
#[derive(Serialize, ToSchema, PartialEq, Debug)]
pub struct Nothing {}

/// What became of a command, as far as its route says nothing of its own.
#[derive(Serialize, PartialEq, Debug)]
#[serde(untagged)]
pub enum Outcome {
    Room(MadeRoom),
    Joined(Joined),
    Left(Left),
    Posted(Posted),
    Changed(RoomChanged),
    Read(ReadMark),
    Friend(Befriended),
    Accepted(Accepted),
    Nothing(Nothing),
}

pub fn done(done: &Done) -> Outcome {
    match done {
        Done::Room { room, name, .. } => Outcome::Room(MadeRoom { id: room.0, name: name.clone() }),
        Done::Joined { room, name, last, .. } => {
            Outcome::Joined(Joined { id: room.0, name: name.clone(), member: true, last: *last })
        }
        Done::Left { room } => Outcome::Left(Left { id: room.0, member: false }),
        Done::Posted { room, seq, id, at } => {
            let (id, at) = (id.to_string(), rfc3339::format(*at));
            Outcome::Posted(Posted { id, seq: *seq, at, state: Committed::Committed, room: room.0 })
        }
        Done::Changed { room, cursor } => Outcome::Changed(RoomChanged { room: room.0, cursor: *cursor }),
        Done::Read { room, unread } => Outcome::Read(ReadMark { room: room.0, unread: *unread }),
        Done::Friend { user, friendship } => Outcome::Friend(Befriended { user: user.0, friendship: *friendship }),
        Done::Ok => Outcome::Nothing(Nothing {}),
    }
}
