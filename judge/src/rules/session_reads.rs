//! A read that was asked to show the reader's own past does, whichever node answers.
//!
//! Source: Terry et al. 1994, "Session guarantees for weakly consistent replicated data": read your writes and monotonic reads.
//! Verifies: such a page, if it reaches the end of a room, holds the greatest place that the *same* client had been acknowledged or had read there before it
//! asked.
//! Does *not* verify: what others saw; what was delivered live (the page answers for earlier *answers* only); pages that are cut.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Extent, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct SessionReads {
    /// By client and room: when it was first shown so far; both ascend.
    shown: BTreeMap<(u32, RoomId), Vec<(At, Seq)>>,
}

impl SessionReads {
    fn show(&mut self, at: At, client: u32, room: RoomId, seq: Seq) {
        let shown = self.shown.entry((client, room)).or_default();
        if shown.last().is_none_or(|(_, last)| *last < seq) {
            shown.push((at, seq));
        }
    }
}

impl Rule for SessionReads {
    fn name(&self) -> &'static str {
        "session-reads"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(ClientFact::Acknowledged { client, room, seq, .. }) => {
                self.show(at, *client, *room, *seq);
                Ok(())
            }
            Observed::Client(ClientFact::Read { client, room, asked, after, before, posts, extent, own_past, .. }) => {
                let past = self.shown.get(&(*client, *room)).map_or(&[][..], Vec::as_slice);
                let earlier = past.partition_point(|(at, _)| at < asked);
                let past = earlier.checked_sub(1).map_or(0, |last| past[last].1);
                let last = posts.last().map(|post| post.seq);
                if let Some(last) = last {
                    self.show(at, *client, *room, last);
                }
                let end = last.or(*after).unwrap_or(0);
                if !own_past || *extent == Extent::Page || before.is_some() || end >= past {
                    return Ok(());
                }
                Err(format!(
                    "Client {client} had been shown place {past} of {room}, asked at {asked} for no less than that, and was told that it ends at {end}."
                ))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientAcknowledged, Topic::ClientRead])
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "session-reads";

    #[test]
    fn a_client_that_does_not_find_its_own_post_is_seen() {
        let story = Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b");
        story.read_own_past(7, Extent::ToEnd, 0, &[(1, "a")]).breaks(RULE, "had been shown place 2");
    }

    #[test]
    fn a_read_that_goes_back_is_seen() {
        let story = Story::of(RULE).read_own_past(8, Extent::ToEnd, 0, &[(1, "a"), (2, "b")]);
        story.read_own_past(8, Extent::ToEnd, 0, &[(1, "a")]).breaks(RULE, "ends at 1");
    }

    #[test]
    fn what_others_saw_may_be_missing() {
        Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b").read_own_past(8, Extent::ToEnd, 0, &[(1, "a")]).holds();
    }

    #[test]
    fn what_came_while_the_read_was_under_way_may_be_missing() {
        let story = Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b");
        story.read_own_past(7, Extent::ToEnd, 1, &[(1, "a")]).holds();
    }

    #[test]
    fn each_room_and_each_client_has_a_past_of_its_own_whichever_node_answers() {
        let story = || Story::of(RULE).ack_in(2, 7, 1, 5, "far").ack(7, 2, 1, "a");
        story().read_own_past(7, Extent::ToEnd, 0, &[(1, "a")]).read_own_past(8, Extent::ToEnd, 0, &[]).holds();
        story().read_own_past_in(2, 7, Extent::ToEnd, 0, &[(1, "x")]).breaks(RULE, "had been shown place 5 of r2");
    }
}
