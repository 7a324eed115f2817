//! A read that says that nothing newer existed, tells the truth.
//!
//! Source: thesis 6.4 (read-only queries by ReadIndex); Herlihy and Wing 1990, with `seq` as the witness of the order.
//! Verifies: a page that reaches the end of a room and is called current holds the greatest place that any client had been acknowledged, delivered or
//! read before the page was asked for: hence also read-your-writes and monotonic reads, for such pages.
//! Does *not* verify: pages without anything of rooms that do not show everything to everybody; pages that are cut or not called current; anything by what nodes say: only by what clients saw.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Extent, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::History;
use tertulia_protocol::ids::{RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct LinearizableReads {
    /// When a room was first seen to reach so far; both ascend.
    seen: BTreeMap<RoomId, Vec<(At, Seq)>>,
    /// Rooms that do not show everything to everybody: a page without anything may be all that its reader may see.
    partial: BTreeSet<RoomId>,
}

impl LinearizableReads {
    fn saw(&mut self, at: At, room: RoomId, seq: Seq) {
        let seen = self.seen.entry(room).or_default();
        if seen.last().is_none_or(|(_, last)| *last < seq) {
            seen.push((at, seq));
        }
    }

    /// How far the room was seen to reach before `asked`.
    fn reached(&self, room: RoomId, asked: At) -> Seq {
        let seen = self.seen.get(&room).map_or(&[][..], Vec::as_slice);
        let earlier = seen.partition_point(|(at, _)| *at < asked);
        earlier.checked_sub(1).and_then(|last| seen.get(last)).map_or(0, |(_, seq)| *seq)
    }
}

impl Rule for LinearizableReads {
    fn name(&self) -> &'static str {
        "linearizable-reads"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(ClientFact::Acknowledged { room, seq, .. } | ClientFact::Delivered { room, seq, .. }) => {
                self.saw(at, *room, *seq);
                Ok(())
            }
            Observed::Client(ClientFact::Read { client, room, asked, after, before, posts, extent, current, .. }) => {
                let last = posts.last().map(|post| post.seq);
                let reached = self.reached(*room, *asked);
                if let Some(last) = last {
                    self.saw(at, *room, last);
                }
                let end = last.or(*after).unwrap_or(0);
                let hidden = posts.is_empty() && self.partial.contains(room);
                if hidden || !current || *extent == Extent::Page || before.is_some() || end >= reached {
                    return Ok(());
                }
                Err(format!(
                    "Client {client} asked for {room} at {asked} and was told that it ends at {end}, \
                     but place {reached} had been seen before that."
                ))
            }
            Observed::Client(ClientFact::Joined { room, history, .. }) if *history != History::All => {
                self.partial.insert(*room);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientAcknowledged, Topic::ClientDelivered, Topic::ClientRead, Topic::ClientRoom])
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "linearizable-reads";

    #[test]
    fn a_current_read_that_misses_what_was_acknowledged_before_is_seen() {
        let story = Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b");
        story.read(8, Extent::ToEnd, 0, &[(1, "a")]).breaks(RULE, "place 2 had been seen");
    }

    #[test]
    fn a_read_after_a_newer_read_is_seen() {
        let story = Story::of(RULE).read(8, Extent::ToEnd, 0, &[(1, "a"), (2, "b")]);
        story.read(9, Extent::ToEnd, 0, &[]).breaks(RULE, "ends at 0");
    }

    #[test]
    fn what_came_while_the_read_was_under_way_may_be_missed() {
        let story = Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b");
        story.read(8, Extent::ToEnd, 1, &[(1, "a")]).holds();
    }

    #[test]
    fn a_page_that_was_cut_promises_nothing() {
        Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b").read(8, Extent::Page, 0, &[(1, "a")]).holds();
    }
}
