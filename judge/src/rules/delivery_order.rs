//! A client gets a room's events in order, without gaps, each once, whichever server it is at.
//!
//! Source: DESIGN 5 (cursors per room, gap fetch); the client machine's promise to its user.
//! Verifies: the cursors of a client's deliveries in a room are dense, from the first one or from where it said that it follows; the places of
//! posts among them ascend, and are dense as well.
//! Does *not* verify: that deliveries come at all (liveness is the simulator's); what is at a place (`one-order`); requests' answers.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{Cursor, RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct DeliveryOrder {
    /// The last event, and the last post among the events since the client began to follow.
    last: BTreeMap<(u32, RoomId), (Cursor, Option<Seq>)>,
}

impl Rule for DeliveryOrder {
    fn name(&self) -> &'static str {
        "delivery-order"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(&ClientFact::Followed { client, room, after }) => {
                self.last.insert((client, room), (after, None));
                Ok(())
            }
            // It may have been a member before: of what it missed it may be shown nothing, or what it was shown then once more.
            Observed::Client(&ClientFact::Joined { client, room, .. }) => {
                self.last.remove(&(client, room));
                Ok(())
            }
            Observed::Client(&ClientFact::FollowedLast { client, room, .. }) => {
                // Where it begins is for `history-window` to say.
                self.last.remove(&(client, room));
                Ok(())
            }
            Observed::Client(&ClientFact::Delivered { client, room, cursor, seq, .. }) => {
                let Some((last, post)) = self.last.insert((client, room), (cursor, Some(seq))) else { return Ok(()) };
                if cursor != last + 1 {
                    return Err(format!("Client {client} was delivered event {cursor} of {room} after event {last}."));
                }
                match post {
                    Some(post) if seq != post + 1 => {
                        Err(format!("Client {client} was delivered post {seq} of {room} after post {post}."))
                    }
                    _ => Ok(()),
                }
            }
            Observed::Client(&ClientFact::Changed { client, room, cursor, .. }) => self.goes_on(client, room, cursor, cursor),
            Observed::Client(&ClientFact::Skipped { client, room, from, through }) => {
                let verdict = self.goes_on(client, room, from, through);
                // The posts that are gone are not counted.
                self.last.insert((client, room), (through, None));
                verdict
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientFollowed, Topic::ClientFollowedLast, Topic::ClientRoom, Topic::ClientDelivered])
    }
}

impl DeliveryOrder {
    /// An event that is no post: the posts around it go on where they were.
    fn goes_on(&mut self, client: u32, room: RoomId, from: Cursor, through: Cursor) -> Verdict {
        let before = self.last.get(&(client, room)).copied();
        self.last.insert((client, room), (through, before.and_then(|(_, post)| post)));
        match before {
            Some((last, _)) if from != last + 1 => {
                Err(format!("Client {client} was delivered event {from} of {room} after event {last}."))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::ClientFact;
    use crate::story::Story;
    use tertulia_protocol::ids::RoomId;

    const RULE: &str = "delivery-order";

    fn follow(story: Story, after: u64) -> Story {
        story.client(ClientFact::Followed { client: 7, room: RoomId(1), after })
    }

    #[test]
    fn a_gap_a_repetition_and_a_step_back_are_seen() {
        let begun = || Story::of(RULE).deliver(7, 4, "d").deliver(7, 5, "e");
        begun().deliver(7, 7, "g").breaks(RULE, "event 7 of r1 after event 5");
        begun().deliver(7, 5, "e").breaks(RULE, "event 5 of r1 after event 5");
        begun().deliver(7, 4, "d").breaks(RULE, "event 4 of r1 after event 5");
    }

    #[test]
    fn a_first_event_that_is_not_the_next_one_asked_for_is_seen() {
        follow(Story::of(RULE), 2).deliver(7, 4, "d").breaks(RULE, "event 4 of r1 after event 2");
    }

    #[test]
    fn each_client_goes_its_own_way() {
        let story = Story::of(RULE).deliver(7, 4, "d").deliver(8, 1, "a").deliver(7, 5, "e").deliver(8, 2, "b");
        follow(story, 1).deliver(7, 2, "b").deliver(7, 3, "c").holds();
    }
}
