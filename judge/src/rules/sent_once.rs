//! What was sent once stands once.
//!
//! Source: DESIGN 4, "the same post may arrive over two nodes and commits once"; zulip #31219, "Prevent the client from accidentally sending duplicate messages".
//! Verifies: a text that exactly one request submitted is seen at one place, in whatever any client is delivered or reads: also when the client
//! itself gave its request two numbers, where `exactly-once` sees two requests.
//! Does *not* verify: texts that were submitted more than once, or never; runs in which two texts have one digest.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::ids::{RoomId, Seq};

type Request = (u32, u64);
type Place = (RoomId, Seq);

#[derive(Clone, Default)]
pub(crate) struct SentOnce {
    /// By text: the request that sent it; `None` when several did.
    sent: Table<u64, Option<Request>>,
    seen: Table<u64, Place>,
}

impl SentOnce {
    fn saw(&mut self, client: u32, text_digest: u64, place: Place) -> Verdict {
        let first = *self.seen.or_insert(text_digest, place);
        if first == place {
            return Ok(());
        }
        let Some(&Some((author, number))) = self.sent.get(&text_digest) else { return Ok(()) };
        let ((room, seq), (first_room, first_seq)) = (place, first);
        Err(format!(
            "What client {author} sent once, as request {number}, stands twice: client {client} sees it at ({room}, {seq}), and it was seen at \
             ({first_room}, {first_seq}) before."
        ))
    }
}

impl Rule for SentOnce {
    fn name(&self) -> &'static str {
        "sent-once"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSubmitted, Topic::ClientDelivered, Topic::ClientRead])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(&ClientFact::Submitted { client, number, text_digest, .. }) => {
                if self.sent.insert(text_digest, Some((client, number))).is_some() {
                    self.sent.insert(text_digest, None);
                }
                Ok(())
            }
            Observed::Client(&ClientFact::Delivered { client, room, seq, text_digest, .. }) => {
                self.saw(client, text_digest, (room, seq))
            }
            Observed::Client(ClientFact::Read { client, room, posts, .. }) => {
                posts.iter().try_for_each(|post| self.saw(*client, post.text_digest, (*room, post.seq)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "sent-once";

    #[test]
    fn a_text_that_was_sent_once_and_stands_twice_is_seen() {
        let story = || Story::of(RULE).submit(7, 1, "a").deliver(8, 1, "a");
        story().deliver(8, 2, "a").breaks(RULE, "stands twice");
        story().read(9, Extent::Page, 0, &[(1, "a"), (2, "a")]).breaks(RULE, "stands twice");
    }

    #[test]
    fn one_place_for_many_readers_is_fine_and_so_is_a_text_that_was_sent_twice() {
        Story::of(RULE).submit(7, 1, "a").deliver(8, 1, "a").deliver(9, 1, "a").read(9, Extent::Page, 0, &[(1, "a")]).holds();
        Story::of(RULE).submit(7, 1, "a").submit(7, 2, "a").deliver(8, 1, "a").deliver(8, 2, "a").holds();
        Story::of(RULE).deliver(8, 1, "a").deliver(8, 2, "a").holds();
    }
}
