//! A client's posts stand in a room in the order in which it sent them.
//!
//! Source: thesis 6.3 (sessions); DESIGN 4, "Order is promised per session".
//! Verifies: of two acknowledged posts of one client in one room, the one with the smaller number has the smaller seq, in whatever order the
//! acknowledgements come.
//! Does *not* verify: order between rooms, between clients or between two devices of one user (causality); requests with a key, which have no order.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct SessionOrder {
    acknowledged: BTreeMap<(u32, RoomId), BTreeMap<u64, Seq>>,
}

impl Rule for SessionOrder {
    fn name(&self) -> &'static str {
        "session-order"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(&ClientFact::Acknowledged { client, number, room, seq, .. }) = *observed else { return Ok(()) };
        let seqs = self.acknowledged.entry((client, room)).or_default();
        let before = seqs.range(..number).next_back().filter(|(_, earlier)| **earlier >= seq);
        let after = seqs.range(number + 1..).next().filter(|(_, later)| **later <= seq);
        if let Some((other, place)) = before.or(after) {
            return Err(format!(
                "Client {client} sent request {number} to {room} and it has place {seq}; its request {other} has place {place}."
            ));
        }
        seqs.insert(number, seq);
        Ok(())
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientAcknowledged])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "session-order";

    #[test]
    fn posts_that_changed_places_are_seen_whichever_is_acknowledged_first() {
        Story::of(RULE).ack(7, 1, 5, "a").ack(7, 2, 4, "b").breaks(RULE, "its request 1 has place 5");
        Story::of(RULE).ack(7, 2, 4, "b").ack(7, 1, 5, "a").breaks(RULE, "its request 2 has place 4");
    }

    #[test]
    fn acknowledgements_may_come_in_any_order() {
        Story::of(RULE).ack(7, 1, 2, "a").ack(7, 9, 8, "c").ack(7, 3, 5, "b").ack(8, 1, 7, "x").ack(7, 3, 5, "b").holds();
    }
}
