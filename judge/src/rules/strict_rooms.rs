//! A room that wants a majority, or so many copies, is obeyed.
//!
//! Source: DESIGN 4, "Rooms with `tentative = "refuse"` answer: no majority since …", and the copies that a room may ask for.
//! Verifies: nobody is told that a post in a room is accepted that was made to refuse tentative posts, and nobody is shown one there; in a room that was made to want k
//! copies nobody is told that a post is accepted on fewer nodes.
//! Does *not* verify: that the copies are there (`accepted-durable`); requests that are no posts; rooms that a post names by name; rooms whose rules are changed; rooms of
//! which no client was told that it is a member.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::chat::{RoomRef, Tentative};
use tertulia_protocol::ids::RoomId;

#[derive(Clone, Default)]
pub(crate) struct StrictRooms {
    /// Those that are not content with one copy.
    rooms: BTreeMap<RoomId, Tentative>,
    posts: Table<(u32, u64), RoomId>,
}

impl Rule for StrictRooms {
    fn name(&self) -> &'static str {
        "strict-rooms"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientRoom, Topic::ClientSubmitted, Topic::ClientAccepted, Topic::ClientTentative])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match *fact {
            ClientFact::Joined { room, tentative, .. } if tentative != Tentative::Accept => {
                _ = self.rooms.insert(room, tentative)
            }
            ClientFact::Submitted { client, number, room: RoomRef::Id(room), .. } => {
                _ = self.posts.insert((client, number), room)
            }
            ClientFact::Accepted { client, number, copies, .. } => {
                let Some(room) = self.posts.get(&(client, number)) else { return Ok(()) };
                let told = format!("Client {client} was told that its post {number} in {room} is accepted on {copies} nodes");
                match self.rooms.get(room) {
                    Some(Tentative::Refuse) => return Err(format!("{told}; that room takes posts from a leader only.")),
                    Some(Tentative::Copies(wanted)) if copies < u32::from(*wanted) => {
                        return Err(format!("{told}; that room wants {wanted}."));
                    }
                    _ => {}
                }
            }
            ClientFact::Tentative { client, room, id, .. } if self.rooms.get(&room) == Some(&Tentative::Refuse) => {
                return Err(format!(
                    "Client {client} is shown the tentative message {id} in {room}, which takes posts from a leader only."
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{At, ClientFact};
    use crate::story::Story;
    use tertulia_protocol::chat::{History, Tentative};
    use tertulia_protocol::ids::RoomId;

    const RULE: &str = "strict-rooms";

    /// Client 7 is in a room with this rule, and posts.
    fn in_room(tentative: Tentative) -> Story {
        let joined = ClientFact::Joined { client: 7, room: RoomId(1), asked: At(0), history: History::All, tentative };
        Story::of(RULE).client(joined).submit(7, 1, "hola")
    }

    #[test]
    fn a_room_that_refuses_and_does_not_is_seen() {
        in_room(Tentative::Refuse).told_accepted(7, 1, "hola", 3).breaks(RULE, "from a leader only");
        in_room(Tentative::Refuse).tentative(8, "hola", None).breaks(RULE, "Client 8 is shown");
    }

    #[test]
    fn too_few_copies_are_seen() {
        in_room(Tentative::Copies(2)).told_accepted(7, 1, "hola", 1).breaks(RULE, "that room wants 2");
    }

    #[test]
    fn enough_copies_and_rooms_that_want_none_are_fine() {
        in_room(Tentative::Copies(2))
            .tentative(7, "hola", None)
            .told_accepted(7, 1, "hola", 2)
            .told_accepted(7, 1, "hola", 3)
            .holds();
        in_room(Tentative::Accept).told_accepted(7, 1, "hola", 1).tentative(8, "hola", None).holds();
        in_room(Tentative::Refuse).ack(7, 1, 1, "hola").deliver(8, 1, "hola").holds();
    }
}
