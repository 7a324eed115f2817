//! Along a room's places the stamps of its posts never decrease.
//!
//! Source: Kulkarni et al. 2014, hybrid logical clocks; DESIGN 4 and docs/PROTOCOL.md, Requests: "`at` never decreases in a room".
//! Verifies: a place `(room, seq)` has one stamp in every acknowledgement, delivery and page of any client, and it is neither less than the stamp of any smaller
//! place that any client ever saw, nor more than that of any greater one, in whatever order they were seen.
//! Does *not* verify: that a stamp is near the real time of anything; stamps between rooms.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{RoomId, Seq};
use tertulia_protocol::time::Timestamp;

#[derive(Clone, Default)]
pub(crate) struct Stamps {
    rooms: BTreeMap<RoomId, BTreeMap<Seq, Timestamp>>,
    /// The same by place: every client sees every post, so most of what is asked is known.
    known: Table<(RoomId, Seq), Timestamp>,
}

impl Stamps {
    fn see(&mut self, client: u32, room: RoomId, seq: Seq, at: Timestamp) -> Verdict {
        let known = self.known.get(&(room, seq)).copied();
        if known == Some(at) {
            return Ok(());
        }
        let stamps = self.rooms.entry(room).or_default();
        let here = known.map(|known| (seq, known));
        let below = stamps.range(..seq).next_back().map(|(seq, at)| (*seq, *at)).filter(|(_, below)| *below > at);
        let above = stamps.range(seq + 1..).next().map(|(seq, at)| (*seq, *at)).filter(|(_, above)| *above < at);
        if let Some((other, stamp)) = here.or(below).or(above) {
            return Err(format!(
                "Client {client} sees ({room}, {seq}) with the stamp {at:?}; ({room}, {other}) was seen with {stamp:?}."
            ));
        }
        stamps.insert(seq, at);
        self.known.insert((room, seq), at);
        Ok(())
    }
}

impl Rule for Stamps {
    fn name(&self) -> &'static str {
        "stamps"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientAcknowledged, Topic::ClientDelivered, Topic::ClientRead])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::Acknowledged { client, room, seq, at, .. } | ClientFact::Delivered { client, room, seq, at, .. } => {
                self.see(*client, *room, *seq, *at)
            }
            ClientFact::Read { client, room, posts, .. } => {
                posts.iter().try_for_each(|post| self.see(*client, *room, post.seq, post.at))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::ClientFact;
    use crate::story::{Story, id};
    use tertulia_protocol::ids::{RoomId, Seq};
    use tertulia_protocol::time::Timestamp;

    const RULE: &str = "stamps";

    fn delivered(story: Story, room: u64, seq: Seq, at: u64) -> Story {
        let (room, at, text_digest) = (RoomId(room), Timestamp(at), 0);
        story.client(ClientFact::Delivered { client: 8, room, cursor: seq, seq, id: id(&seq.to_string()), text_digest, at })
    }

    #[test]
    fn a_stamp_that_goes_back_along_the_room_is_seen_in_whatever_order() {
        delivered(delivered(Story::of(RULE), 1, 4, 50), 1, 5, 49).breaks(RULE, "(r1, 4) was seen with @50us");
        delivered(delivered(Story::of(RULE), 1, 9, 50), 1, 5, 51).breaks(RULE, "(r1, 9) was seen with @50us");
    }

    #[test]
    fn two_stamps_of_one_place_are_seen() {
        delivered(Story::of(RULE).ack(7, 1, 2, "a"), 1, 2, 2_001).breaks(RULE, "with the stamp @2001us");
    }

    #[test]
    fn equal_stamps_and_other_rooms_are_fine() {
        let story = delivered(delivered(delivered(Story::of(RULE), 1, 4, 50), 1, 5, 50), 1, 5, 50);
        delivered(story, 2, 6, 1).holds();
    }
}
