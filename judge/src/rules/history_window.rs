//! Who comes late and asks for the last messages of a room is shown them, and goes on from there.
//!
//! Source: DESIGN 7, "history rules"; the gateway's promise for following "from the last n on".
//! Verifies: the first event that is delivered after `FollowedLast { last, joined }` begins a window of `last` messages whose end is somewhere between the place
//! that the client was told of when it joined and the number of posts that all clients together had sent to the room by then (more cannot stand there); at the end,
//! one who joined a room that was not empty was shown something.
//! Does *not* verify: that what follows is dense (`delivery-order`); rooms to which somebody posts who is no part of the history, or by the room's name (then
//! the window's latest beginning is not known, and only its earliest is judged).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::RoomRef;
use tertulia_protocol::ids::{NodeId, RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct HistoryWindow {
    /// Who waits for the first event, with how many messages it asked for and the newest place when it joined.
    waiting: BTreeMap<(u32, RoomId), (u32, Seq)>,
    /// By room, posts that were sent to it.
    sent: BTreeMap<RoomId, u64>,
    submitted: BTreeSet<(u32, u64)>,
    /// Some post was sent to a room by its name: counts are not complete.
    by_name: bool,
}

impl Rule for HistoryWindow {
    fn name(&self) -> &'static str {
        "history-window"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSubmitted, Topic::ClientFollowed, Topic::ClientFollowedLast, Topic::ClientDelivered])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::Submitted { client, number, room, .. } => {
                let first = self.submitted.insert((*client, *number));
                match room {
                    RoomRef::Id(room) if first => *self.sent.entry(*room).or_insert(0) += 1,
                    RoomRef::Id(_) => {}
                    RoomRef::Name(_) => self.by_name = true,
                }
            }
            ClientFact::Followed { client, room, .. } => {
                self.waiting.remove(&(*client, *room));
            }
            ClientFact::FollowedLast { client, room, last, joined } => {
                self.waiting.insert((*client, *room), (*last, *joined));
            }
            ClientFact::Delivered { client, room, seq, .. } => {
                let Some((last, joined)) = self.waiting.remove(&(*client, *room)) else { return Ok(()) };
                let begins = |newest: Seq| (newest + 1).saturating_sub(u64::from(last)).max(1);
                let sent = self.sent.get(room).copied().unwrap_or(0);
                // A history without the posts that are there is not whole: nothing is known of the newest place.
                let latest = if self.by_name || sent < joined { Seq::MAX } else { begins(sent) };
                let earliest = begins(joined);
                if !(earliest..=latest).contains(seq) {
                    return Err(format!(
                        "Client {client} joined {room} at place {joined} and asked for its last {last} messages: the first that it is shown is {seq}, and should lie \
                         in {earliest}..={latest} ({sent} were sent)."
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        match self.waiting.iter().find(|(_, (_, joined))| *joined > 0) {
            Some(((client, room), (last, joined))) => Err(format!(
                "Client {client} joined {room} at place {joined} and asked for its last {last} messages: it was never shown any."
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::ClientFact;
    use crate::story::Story;
    use tertulia_protocol::ids::{RoomId, Seq};

    const RULE: &str = "history-window";

    /// Ten posts were sent, client 8 joined at `joined` and wants the last four.
    fn asked(joined: Seq) -> Story {
        let sent = (1..=10).fold(Story::of(RULE), |story, n| story.submit(7, n, &n.to_string()).submit(7, n, "again"));
        sent.client(ClientFact::FollowedLast { client: 8, room: RoomId(1), last: 4, joined })
    }

    #[test]
    fn a_window_that_begins_too_early_or_too_late_is_seen() {
        asked(6).deliver(8, 2, "2").breaks(RULE, "should lie in 3..=7");
        asked(6).deliver(8, 8, "8").breaks(RULE, "the first that it is shown is 8");
    }

    #[test]
    fn who_is_never_shown_anything_is_seen_at_the_end() {
        asked(6).finish().breaks(RULE, "it was never shown any");
        asked(0).finish().holds();
    }

    #[test]
    fn a_window_that_ends_between_joining_and_what_was_sent_is_fine_and_so_is_a_short_room() {
        for first in 3..=7 {
            asked(6).deliver(8, first, "x").deliver(8, first + 1, "y").finish().holds();
        }
        asked(2).deliver(8, 1, "1").holds();
        let unknown = Story::of(RULE).client(ClientFact::FollowedLast { client: 8, room: RoomId(1), last: 4, joined: 6 });
        unknown.deliver(8, 30, "30").holds();
    }
}
