//! A post that was refused for good never shows up.
//!
//! Source: DESIGN 5 and docs/PROTOCOL.md, Requests: a refusal that is final says that the request was not executed and never will be.
//! Verifies: a text that one client sent once, in one request to a room named by its id, and nobody else sent there, is in no delivery and in no page of that room,
//! before or after that request was refused for good, in the whole run.
//! Does *not* verify: texts that were sent more than once (nobody could tell which it is), rooms named by name, refusals that leave it open whether the request was
//! executed; an acknowledgement of what was refused (`exactly-once`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::RoomRef;
use tertulia_protocol::ids::{RoomId, Seq};

type Text = (RoomId, u64);

#[derive(Clone, Default)]
pub(crate) struct RefusedFinal {
    submitted: Table<(u32, u64), Text>,
    /// How often a text was sent to a room.
    sent: Table<Text, u32>,
    /// Where a text was first seen, and by whom.
    seen: Table<Text, (Seq, u32)>,
    refused: BTreeMap<Text, (u32, u64)>,
    judged: BTreeSet<Text>,
}

impl RefusedFinal {
    fn judge(&mut self, text: Text) -> Verdict {
        let (Some((client, number)), Some((seq, who))) = (self.refused.get(&text), self.seen.get(&text)) else { return Ok(()) };
        if self.sent.get(&text) != Some(&1) || !self.judged.insert(text) {
            return Ok(());
        }
        let room = text.0;
        Err(format!(
            "Request {number} of client {client} was refused for good, and client {who} sees what it said at ({room}, {seq})."
        ))
    }

    fn see(&mut self, client: u32, room: RoomId, seq: Seq, text_digest: u64) -> Verdict {
        let text = (room, text_digest);
        self.seen.or_insert(text, (seq, client));
        // Mostly nothing was refused in the whole run.
        if self.refused.is_empty() { Ok(()) } else { self.judge(text) }
    }
}

impl Rule for RefusedFinal {
    fn name(&self) -> &'static str {
        "refused-final"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSubmitted, Topic::ClientRefusedFinally, Topic::ClientDelivered, Topic::ClientRead])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::Submitted { client, number, room: RoomRef::Id(room), text_digest } => {
                let text = (*room, *text_digest);
                if self.submitted.insert((*client, *number), text).is_none() {
                    *self.sent.or_insert(text, 0) += 1;
                }
                Ok(())
            }
            ClientFact::RefusedFinally { client, number } => match self.submitted.get(&(*client, *number)) {
                Some(text) => {
                    let text = *text;
                    self.refused.insert(text, (*client, *number));
                    self.judge(text)
                }
                None => Ok(()),
            },
            ClientFact::Delivered { client, room, seq, text_digest, .. } => self.see(*client, *room, *seq, *text_digest),
            ClientFact::Read { client, room, posts, .. } => {
                posts.iter().try_for_each(|post| self.see(*client, *room, post.seq, post.text_digest))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "refused-final";

    fn sent() -> Story {
        Story::of(RULE).submit(7, 1, "hola").submit(7, 2, "adios")
    }

    #[test]
    fn a_refused_post_that_shows_up_later_or_had_been_seen_before_is_seen() {
        sent().refuse(7, 2).deliver(8, 2, "adios").breaks(RULE, "client 8 sees what it said at (r1, 2)");
        sent().refuse(7, 2).read(9, Extent::Page, 0, &[(1, "hola"), (2, "adios")]).breaks(RULE, "client 9 sees");
        sent().deliver(8, 2, "adios").refuse(7, 2).breaks(RULE, "Request 2 of client 7");
    }

    #[test]
    fn the_same_words_of_somebody_else_or_in_another_room_are_fine() {
        sent().submit(8, 1, "adios").refuse(7, 2).deliver(8, 2, "adios").holds();
        sent().refuse(7, 2).deliver_in(2, 8, 2, "adios").deliver(8, 1, "hola").holds();
        sent().deliver(8, 1, "hola").ack(7, 1, 1, "hola").holds();
    }
}
