//! Every room has one order, and everybody sees it.
//!
//! Source: DESIGN 4, "Committed: message (room, seq), seq dense from 1, given by the log, never changing".
//! Verifies: a place `(room, seq)` holds one message with one text, in every acknowledgement, delivery and page of any client and in what nodes posted; the text
//! acknowledged is the text submitted; places are first filled densely from 1 and along the log; a page ascends without gaps within its bounds
//! and begins right behind `after`.
//! Does *not* verify: what a message says that was changed (`revisions`); that the first of a page stands right behind `after` in a room that does not show everything
//! to everybody (`history-rules`); that a page has all there was (`linearizable-reads`, `final-read`); the order of deliveries to one client
//! (`delivery-order`); author and time of a post.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed, REVISED, ReadPost};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tertulia_protocol::chat::History;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, MessageId, NodeId, RoomId, Seq};

#[derive(Clone)]
struct Known {
    id: MessageId,
    /// What the text is, once a client saw it.
    text_digest: Option<u64>,
    /// Who said so first.
    who: Who,
}

/// Who says what stands at a place, and by what.
#[derive(Clone, Copy)]
enum Who {
    Node(NodeId),
    Client(u32, &'static str),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Node(node) => write!(f, "{node} (posted)"),
            Who::Client(client, how) => write!(f, "client {client} ({how})"),
        }
    }
}

#[derive(Clone, Default)]
pub(crate) struct OneOrder {
    places: Table<(RoomId, Seq), Known>,
    submitted: Table<(u32, u64), u64>,
    /// The last place of each room that nodes filled, and by which entry.
    last: BTreeMap<RoomId, (Seq, Index)>,
    /// Rooms that do not show everything to everybody.
    partial: BTreeSet<RoomId>,
}

impl OneOrder {
    fn agree(&mut self, room: RoomId, seq: Seq, id: MessageId, text_digest: Option<u64>, who: Who) -> Verdict {
        let text_digest = text_digest.filter(|digest| *digest != REVISED);
        let known = self.places.or_insert((room, seq), Known { id, text_digest: None, who });
        if known.id != id {
            return Err(format!("({room}, {seq}) is message {id} for {who}, but {} for {}.", known.id, known.who));
        }
        match (known.text_digest, text_digest) {
            (Some(one), Some(other)) if one != other => Err(format!(
                "Message {id} at ({room}, {seq}) has another text for {who} than for {} (digests {other:016x} and {one:016x}).",
                known.who
            )),
            (None, Some(_)) => {
                known.text_digest = text_digest;
                known.who = who;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn posted(&mut self, room: RoomId, seq: Seq, index: Index) -> Verdict {
        let (last, at) = self.last.get(&room).copied().unwrap_or_default();
        if seq == 0 || seq > last + 1 || (seq > last && index <= at) {
            return Err(format!("Entry {index} fills ({room}, {seq}), but the last place of the room is {last}, of entry {at}."));
        }
        if seq > last {
            self.last.insert(room, (seq, index));
        }
        Ok(())
    }

    fn client(&mut self, fact: &ClientFact) -> Verdict {
        match fact {
            ClientFact::Submitted { client, number, text_digest, .. } => {
                self.submitted.insert((*client, *number), *text_digest);
                Ok(())
            }
            ClientFact::Acknowledged { client, number, room, seq, id, .. } => {
                let text = self.submitted.get(&(*client, *number)).copied();
                self.agree(*room, *seq, *id, text, Who::Client(*client, "acknowledged"))
            }
            ClientFact::Delivered { client, room, seq, id, text_digest, .. } => {
                self.agree(*room, *seq, *id, Some(*text_digest), Who::Client(*client, "delivered"))
            }
            ClientFact::Read { client, room, after, before, posts, .. } => {
                in_bounds(*client, *room, *after, *before, posts, self.partial.contains(room))?;
                posts.iter().try_for_each(|post| {
                    self.agree(*room, post.seq, post.id, Some(post.text_digest), Who::Client(*client, "read"))
                })
            }
            ClientFact::Joined { room, history, .. } if *history != History::All => {
                self.partial.insert(*room);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn in_bounds(client: u32, room: RoomId, after: Option<Seq>, before: Option<Seq>, posts: &[ReadPost], partial: bool) -> Verdict {
    // A page with only `before` begins wherever its limit puts it.
    let from_low_end = !partial && (after.is_some() || before.is_none());
    let mut next = from_low_end.then(|| after.unwrap_or(0) + 1);
    for post in posts {
        let expected = next.unwrap_or(post.seq);
        if post.seq != expected || post.seq == 0 || before.is_some_and(|before| post.seq >= before) {
            return Err(format!(
                "Client {client} asked for {room} after {after:?} and before {before:?} and got {} where {expected} belongs.",
                post.seq
            ));
        }
        next = Some(post.seq + 1);
    }
    Ok(())
}

impl Rule for OneOrder {
    fn name(&self) -> &'static str {
        "one-order"
    }

    fn kind(&self) -> Kind {
        Kind::Both
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Fact { node, fact: &Fact::Posted { index, room, seq, id } } => {
                self.agree(room, seq, id, None, Who::Node(node))?;
                self.posted(room, seq, index)
            }
            Observed::Client(fact) => self.client(fact),
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Posted,
            Topic::ClientSubmitted,
            Topic::ClientAcknowledged,
            Topic::ClientDelivered,
            Topic::ClientRead,
            Topic::ClientRoom,
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{At, ClientFact, Extent, REVISED, ReadPost};
    use crate::story::{Story, id, stamp};
    use tertulia_protocol::chat::History;
    use tertulia_protocol::ids::{RoomId, Seq};

    const RULE: &str = "one-order";

    fn page(after: Option<Seq>, before: Option<Seq>, seqs: &[Seq]) -> Story {
        let posts = seqs.iter().map(|&seq| ReadPost { seq, id: id(&seq.to_string()), text_digest: 1, at: stamp(seq) }).collect();
        let (room, extent) = (RoomId(1), Extent::Page);
        let read =
            ClientFact::Read { client: 7, room, asked: At(0), after, before, posts, extent, current: false, own_past: false };
        Story::of(RULE).client(read)
    }

    #[test]
    fn two_messages_at_one_place_are_seen() {
        Story::of(RULE).deliver(7, 1, "hola").deliver(8, 1, "adios").breaks(RULE, "client 7 (delivered)");
        Story::of(RULE).posted(1, 1, 1, "hola").deliver(8, 1, "adios").breaks(RULE, "n1 (posted)");
        Story::of(RULE).ack(7, 1, 1, "hola").read(8, Extent::Page, 0, &[(1, "adios")]).breaks(RULE, "client 8 (read)");
        Story::of(RULE).posted(1, 1, 1, "hola").posted(2, 1, 1, "adios").breaks(RULE, "n2 (posted)");
    }

    #[test]
    fn a_text_that_changed_on_its_way_is_seen() {
        let (room, at) = (RoomId(1), stamp(1));
        let garbled = ClientFact::Delivered { client: 8, room, cursor: 1, seq: 1, id: id("hola"), text_digest: 9, at };
        let story = Story::of(RULE).submit(7, 1, "hola").ack(7, 1, 1, "hola");
        story.client(garbled).breaks(RULE, "another text");
    }

    #[test]
    fn a_skipped_place_and_one_against_the_log_are_seen() {
        Story::of(RULE).posted(1, 1, 1, "hola").posted(1, 2, 3, "adios").breaks(RULE, "the last place of the room is 1");
        Story::of(RULE).posted(1, 5, 1, "hola").posted(1, 5, 2, "adios").breaks(RULE, "of entry 5");
    }

    #[test]
    fn a_page_with_a_gap_or_out_of_bounds_is_seen() {
        page(None, None, &[1, 3]).breaks(RULE, "got 3 where 2 belongs");
        page(Some(4), None, &[6]).breaks(RULE, "got 6 where 5 belongs");
        page(None, None, &[2]).breaks(RULE, "got 2 where 1 belongs");
        page(None, Some(4), &[2, 3, 4]).breaks(RULE, "got 4");
        page(None, None, &[1, 1]).breaks(RULE, "got 1 where 2 belongs");
    }

    #[test]
    fn one_order_for_all_is_fine() {
        let story = Story::of(RULE).submit(7, 1, "hola").posted(1, 4, 1, "hola").posted(1, 5, 2, "adios").posted(2, 4, 1, "hola");
        let story = story.ack(7, 1, 1, "hola").deliver(8, 2, "adios").read(8, Extent::Page, 0, &[(1, "hola"), (2, "adios")]);
        story.posted(2, 5, 2, "adios").posted(2, 6, 3, "otra").holds();
        page(Some(4), Some(7), &[5, 6]).holds();
        page(None, Some(4), &[2, 3]).holds();
        page(None, None, &[]).holds();
    }

    #[test]
    fn who_came_late_to_a_room_that_shows_nothing_older_is_not_owed_its_beginning() {
        let joined =
            |history| ClientFact::Joined { client: 8, room: RoomId(1), asked: At(0), history, tentative: Default::default() };
        let of = |history| Story::of(RULE).client(joined(history)).read(8, Extent::Page, 0, &[(5, "cinco"), (6, "seis")]);
        of(History::SinceJoin).holds();
        of(History::All).breaks(RULE, "got 5 where 1 belongs");
    }

    #[test]
    fn a_text_that_its_author_changed_is_no_other_text() {
        let (room, at) = (RoomId(1), stamp(1));
        let edited = ClientFact::Delivered { client: 8, room, cursor: 1, seq: 1, id: id("hola"), text_digest: REVISED, at };
        Story::of(RULE).submit(7, 1, "hola").ack(7, 1, 1, "hola").client(edited).deliver(9, 1, "hola").holds();
    }
}
