//! A post never stands before what its author had seen when writing it, and whoever was shown the post is not refused what its author had seen.
//!
//! Source: Terry et al. 1994, "Session guarantees for weakly consistent replicated data": writes follow reads; DESIGN 4, "causality". What is promised across rooms is
//! docs/PROTOCOL.md, Reads: a page with `at_least` shows no less than the log through that index, and every answer says through where its state was.
//! Verifies: an acknowledged post has, in its room, a greater seq than every place there that its author had been delivered, had read or had been acknowledged
//! before it first sent the post, over whichever nodes; and across rooms, a page that was asked to show the reader's own past, and reaches the end of its room, holds
//! every place there that an author had seen when writing a post that the reader had been shown by an answer (read, or acknowledged as its own).
//! Does *not* verify: posts without an acknowledgement (nobody knows whose they are); what the authors of what the author had seen had seen themselves; across
//! rooms, what was delivered live (each room is delivered on its own, and nothing is promised between them); rooms that a post names by name, across rooms.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Extent, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::History;
use tertulia_protocol::ids::{MessageId, RoomId, Seq};

/// How many things a client had seen: a place in its own past.
type Step = u64;

/// What one client has seen, and when: steps and places both ascend.
#[derive(Clone, Default)]
struct Past {
    steps: Step,
    seen: BTreeMap<RoomId, Vec<(Step, Seq)>>,
    /// The step at which it first sent each request.
    submitted: BTreeMap<u64, Step>,
    /// By other client: through which of its steps this one's answers have shown its posts, and since when.
    shown: BTreeMap<u32, Vec<(At, Step)>>,
}

impl Past {
    fn saw(&mut self, room: RoomId, seq: Seq) {
        let seen = self.seen.entry(room).or_default();
        if seen.last().is_none_or(|(_, last)| *last < seq) {
            self.steps += 1;
            seen.push((self.steps, seq));
        }
    }

    /// The greatest place of a room that it had seen by a step.
    fn reached(&self, room: RoomId, by: Step) -> Seq {
        let seen = self.seen.get(&room).map_or(&[][..], Vec::as_slice);
        let earlier = seen.partition_point(|(step, _)| *step <= by);
        earlier.checked_sub(1).and_then(|last| seen.get(last)).map_or(0, |(_, seq)| *seq)
    }

    fn was_shown(&mut self, at: At, author: u32, step: Step) {
        let shown = self.shown.entry(author).or_default();
        if shown.last().is_none_or(|(_, last)| *last < step) {
            shown.push((at, step));
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct Causality {
    clients: BTreeMap<u32, Past>,
    /// Who wrote an acknowledged message, and at which of the author's steps.
    authors: Table<MessageId, (u32, Step)>,
    /// Rooms that do not show everything to everybody: a page without anything may be all that its reader may see.
    partial: BTreeSet<RoomId>,
}

impl Causality {
    fn acknowledged(&mut self, at: At, client: u32, number: u64, (room, seq, id): (RoomId, Seq, MessageId)) -> Verdict {
        let past = self.clients.entry(client).or_default();
        let Some(&step) = past.submitted.get(&number) else {
            past.saw(room, seq);
            return Ok(());
        };
        let reached = past.reached(room, step);
        self.authors.insert(id, (client, step));
        past.was_shown(at, client, step);
        past.saw(room, seq);
        if seq > reached {
            return Ok(());
        }
        Err(format!(
            "Client {client} had seen ({room}, {reached}) when it sent request {number}, and that post stands at ({room}, {seq})."
        ))
    }

    /// How far a room must reach for a reader that asked at `asked`, and whose post says so.
    fn owed(&self, client: u32, room: RoomId, asked: At) -> Option<(Seq, u32)> {
        let reader = self.clients.get(&client)?;
        let owed = reader.shown.iter().filter_map(|(author, shown)| {
            let earlier = shown.partition_point(|(at, _)| *at < asked);
            let (_, step) = shown.get(earlier.checked_sub(1)?)?;
            Some((self.clients.get(author)?.reached(room, *step), *author))
        });
        owed.max()
    }

    fn read(&mut self, at: At, fact: &ClientFact) -> Verdict {
        let ClientFact::Read { client, room, asked, after, before, posts, extent, own_past, .. } = fact else { return Ok(()) };
        let last = posts.last().map(|post| post.seq);
        let end = last.or(*after).unwrap_or(0);
        let hidden = posts.is_empty() && self.partial.contains(room);
        let judged = !hidden && *own_past && *extent != Extent::Page && before.is_none();
        let owed = if judged { self.owed(*client, *room, *asked) } else { None };
        let past = self.clients.entry(*client).or_default();
        for (author, step) in posts.iter().filter_map(|post| self.authors.get(&post.id)) {
            past.was_shown(at, *author, *step);
        }
        if let Some(last) = last {
            past.saw(*room, last);
        }
        match owed {
            Some((reached, author)) if reached > end => Err(format!(
                "Client {client} had been shown a post of client {author}, who had seen ({room}, {reached}) when writing it; it asked at {asked} for no less than \
                 its own past, and was told that {room} ends at {end}."
            )),
            _ => Ok(()),
        }
    }
}

impl Rule for Causality {
    fn name(&self) -> &'static str {
        "causality"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::ClientSubmitted,
            Topic::ClientAcknowledged,
            Topic::ClientDelivered,
            Topic::ClientRead,
            Topic::ClientRoom,
        ])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::Submitted { client, number, .. } => {
                let past = self.clients.entry(*client).or_default();
                past.submitted.entry(*number).or_insert(past.steps);
                Ok(())
            }
            // A repeated one says the same (`exactly-once`); what was seen since then does not count against it.
            ClientFact::Acknowledged { client, number, room, seq, id, .. } => {
                self.acknowledged(at, *client, *number, (*room, *seq, *id))
            }
            ClientFact::Delivered { client, room, seq, .. } => {
                self.clients.entry(*client).or_default().saw(*room, *seq);
                Ok(())
            }
            ClientFact::Read { .. } => self.read(at, fact),
            ClientFact::Joined { room, history, .. } if *history != History::All => {
                self.partial.insert(*room);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "causality";

    #[test]
    fn an_answer_that_stands_before_its_question_is_seen() {
        let delivered = Story::of(RULE).deliver(7, 4, "question").submit(7, 1, "answer");
        delivered.ack(7, 1, 4, "answer").breaks(RULE, "had seen (r1, 4)");
        let read = Story::of(RULE).read(7, Extent::Page, 0, &[(1, "a"), (2, "question")]).submit(7, 1, "answer");
        read.ack(7, 1, 1, "answer").breaks(RULE, "stands at (r1, 1)");
    }

    #[test]
    fn what_came_after_the_post_was_sent_and_other_rooms_may_stand_anywhere() {
        let story = Story::of(RULE).deliver(7, 4, "question").submit(7, 1, "answer").deliver(7, 5, "other");
        story.deliver_in(2, 7, 9, "far").ack(7, 1, 5, "answer").ack(7, 1, 5, "answer").holds();
        Story::of(RULE).deliver_in(2, 7, 9, "far").submit(7, 1, "answer").ack(7, 1, 1, "answer").holds();
    }

    /// Client 7 has seen place 3 of room 1 when it writes in room 2, where client 8 reads it.
    fn told_in_another_room() -> Story {
        let story = Story::of(RULE).deliver(7, 3, "news").submit_in(2, 7, 1, "have you seen room 1?");
        let story = story.ack_in(2, 7, 1, 1, "have you seen room 1?");
        story.read_own_past_in(2, 8, Extent::ToEnd, 0, &[(1, "have you seen room 1?")])
    }

    #[test]
    fn a_reader_that_does_not_find_what_the_author_had_seen_in_another_room_is_seen() {
        told_in_another_room().read_own_past(8, Extent::ToEnd, 0, &[(1, "a"), (2, "b")]).breaks(RULE, "who had seen (r1, 3)");
    }

    #[test]
    fn a_page_that_promises_nothing_or_was_asked_for_before_may_lack_it() {
        let short = [(1, "a"), (2, "b")];
        told_in_another_room().read(8, Extent::ToEnd, 0, &short).holds();
        told_in_another_room().read_own_past(8, Extent::Page, 0, &short).holds();
        told_in_another_room().read_own_past(8, Extent::ToEnd, 3, &short).holds();
        told_in_another_room().read_own_past(9, Extent::ToEnd, 0, &short).holds();
        told_in_another_room().read_own_past(8, Extent::ToEnd, 0, &[(1, "a"), (2, "b"), (3, "news")]).holds();
    }
}
