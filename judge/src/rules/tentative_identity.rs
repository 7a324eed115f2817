//! A message is the same one before and after it has its place.
//!
//! Source: Terry et al. 1995 (Bayou): a write keeps its identity from tentative to committed; DESIGN 4 and 8, "`id` survives the move from tentative to committed".
//! Verifies: what a client was delivered with its place is never on its screen as tentative again, as long as its process lives; a message has one text, one author and one room on whatever screen,
//! tentative or not; what anybody is told to be withdrawn has no place, before or after; of one request a client is told one id, accepted and acknowledged; and
//! whoever has read all of a room at the end has nothing tentative of it on its screen.
//! Does *not* verify: the text of messages that were changed or deleted since they were posted; the author of committed messages; that a tentative message is shown to
//! everybody who may see it.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Extent, Observed, REVISED};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::ids::{MessageId, NodeId, RoomId, Seq, UserId};

#[derive(Clone, Default)]
pub(crate) struct TentativeIdentity {
    placed: Table<MessageId, (RoomId, Seq)>,
    /// From behind where through where a client was delivered a room since its process began.
    delivered: BTreeMap<(u32, RoomId), (Seq, Seq)>,
    tentative: Table<MessageId, (RoomId, UserId, u64)>,
    /// By whom a message was withdrawn.
    withdrawn: BTreeMap<MessageId, u32>,
    /// What a request of a client is called.
    called: Table<(u32, u64), MessageId>,
    tails: BTreeMap<(u32, RoomId), BTreeSet<MessageId>>,
    read: BTreeSet<(u32, RoomId)>,
}

impl TentativeIdentity {
    fn place(&mut self, client: u32, id: MessageId, (room, seq): (RoomId, Seq), text_digest: Option<u64>) -> Verdict {
        self.placed.or_insert(id, (room, seq));
        if let Some(who) = self.withdrawn.get(&id) {
            return Err(format!(
                "Client {client} is told that message {id} stands at ({room}, {seq}); client {who} was told that it is withdrawn."
            ));
        }
        let Some(&(said_in, author, said)) = self.tentative.get(&id) else { return Ok(()) };
        let same_text = text_digest.is_none_or(|digest| digest == REVISED || digest == said);
        if same_text && said_in == room {
            return Ok(());
        }
        Err(format!(
            "Client {client} is told that message {id} stands at ({room}, {seq}); when it was tentative, in {said_in} and by {author}, it said something else \
             or stood in another room."
        ))
    }

    fn show(&mut self, fact: &ClientFact) -> Verdict {
        let &ClientFact::Tentative { client, room, id, author, text_digest, .. } = fact else { return Ok(()) };
        self.tails.entry((client, room)).or_default().insert(id);
        let first = *self.tentative.or_insert(id, (room, author, text_digest));
        if first != (room, author, text_digest) {
            return Err(format!(
                "Client {client} is shown the tentative message {id} of {author} in {room}; it was one of {} in {}, or said something else.",
                first.1, first.0
            ));
        }
        match self.placed.get(&id) {
            Some(&(placed, seq))
                if self.delivered.get(&(client, placed)).is_some_and(|(from, last)| *from < seq && seq <= *last) =>
            {
                Err(format!(
                    "Client {client} was delivered message {id} at ({placed}, {seq}), and has it on its screen as tentative again."
                ))
            }
            _ => Ok(()),
        }
    }

    fn call(&mut self, client: u32, number: u64, id: MessageId) -> Verdict {
        let first = *self.called.or_insert((client, number), id);
        if first == id {
            return Ok(());
        }
        Err(format!("Client {client} was told that its request {number} is message {first}, and then that it is {id}."))
    }

    fn leave(&mut self, client: u32, room: RoomId, id: MessageId) {
        if let Some(tail) = self.tails.get_mut(&(client, room)) {
            tail.remove(&id);
        }
    }
}

impl Rule for TentativeIdentity {
    fn name(&self) -> &'static str {
        "tentative-identity"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::ClientAcknowledged,
            Topic::ClientAccepted,
            Topic::ClientDelivered,
            Topic::ClientRead,
            Topic::ClientTentative,
        ])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match *fact {
            ClientFact::Accepted { client, number, id, .. } => self.call(client, number, id),
            ClientFact::Acknowledged { client, number, room, seq, id, .. } => {
                self.call(client, number, id)?;
                self.place(client, id, (room, seq), None)
            }
            ClientFact::Delivered { client, room, seq, id, text_digest, .. } => {
                self.delivered.entry((client, room)).or_insert((0, seq)).1 = seq;
                self.place(client, id, (room, seq), Some(text_digest))
            }
            ClientFact::Read { client, room, ref posts, extent, .. } => {
                if extent == Extent::Final {
                    self.read.insert((client, room));
                }
                posts.iter().try_for_each(|post| self.place(client, post.id, (room, post.seq), Some(post.text_digest)))
            }
            ClientFact::Restarted { client } => {
                for (from, last) in
                    self.delivered.range_mut((client, RoomId(0))..=(client, RoomId(u64::MAX))).map(|(_, seen)| seen)
                {
                    *from = *last;
                }
                Ok(())
            }
            ClientFact::Tentative { .. } => self.show(fact),
            ClientFact::Untailed { client, room, id } => {
                self.leave(client, room, id);
                Ok(())
            }
            ClientFact::Withdrawn { client, room, id } => {
                self.leave(client, room, id);
                self.withdrawn.entry(id).or_insert(client);
                match self.placed.get(&id) {
                    Some((placed, seq)) => {
                        Err(format!("Client {client} is told that message {id} is withdrawn; it stands at ({placed}, {seq})."))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        let left = self.tails.iter().find(|(place, tail)| !tail.is_empty() && self.read.contains(place));
        let Some(((client, room), tail)) = left else { return Ok(()) };
        Err(format!(
            "Client {client} has read all of {room} at the end, and still has {} tentative messages on its screen; one is {}.",
            tail.len(),
            tail.first().copied().unwrap_or(MessageId(0))
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{ClientFact, Extent, text_digest};
    use crate::story::{Story, id};
    use tertulia_protocol::ids::{RoomId, UserId};

    const RULE: &str = "tentative-identity";

    fn withdrawn(story: Story) -> Story {
        story.client(ClientFact::Withdrawn { client: 8, room: RoomId(1), id: id("hola") })
    }

    #[test]
    fn a_message_that_loses_its_place_is_seen() {
        Story::of(RULE).deliver(7, 1, "hola").tentative(7, "hola", None).breaks(RULE, "as tentative again");
        Story::of(RULE)
            .tentative(7, "hola", None)
            .deliver(7, 1, "hola")
            .deliver(7, 2, "x")
            .tentative(7, "hola", None)
            .breaks(RULE, "at (r1, 1)");
    }

    #[test]
    fn a_process_that_begins_anew_may_be_told_by_a_node_that_is_behind() {
        let story = Story::of(RULE).deliver(7, 1, "hola").client(ClientFact::Restarted { client: 7 }).tentative(7, "hola", None);
        let story = story.holds().untailed(7, "hola").deliver(7, 2, "adios").tentative(7, "hola", None).holds();
        story.tentative(7, "adios", None).breaks(RULE, "at (r1, 2)");
    }

    #[test]
    fn a_message_that_becomes_another_one_is_seen() {
        let shown = |author, room, text| ClientFact::Tentative {
            client: 8,
            room: RoomId(room),
            id: id("hola"),
            author: UserId(author),
            text_digest: text_digest(text),
            before: None,
        };
        let first = || Story::of(RULE).tentative(7, "hola", None);
        first().client(shown(2, 1, "hola")).breaks(RULE, "of u2");
        first().client(shown(1, 2, "hola")).breaks(RULE, "in r2");
        first().client(shown(1, 1, "adios")).breaks(RULE, "or said something else");
        first().client(shown(1, 1, "hola")).holds();
        first().deliver_in(2, 8, 1, "hola").breaks(RULE, "stood in another room");
    }

    #[test]
    fn what_is_withdrawn_and_has_a_place_is_seen() {
        withdrawn(Story::of(RULE).tentative(8, "hola", None))
            .read(9, Extent::Page, 0, &[(4, "hola")])
            .breaks(RULE, "that it is withdrawn");
        withdrawn(Story::of(RULE).ack(7, 1, 4, "hola")).breaks(RULE, "it stands at (r1, 4)");
    }

    #[test]
    fn a_request_that_changes_its_name_is_seen() {
        Story::of(RULE).told_accepted(7, 1, "hola", 1).ack(7, 1, 4, "adios").breaks(RULE, "its request 1 is message");
        Story::of(RULE).told_accepted(7, 1, "hola", 1).told_accepted(7, 1, "adios", 2).breaks(RULE, "its request 1 is message");
    }

    #[test]
    fn what_stays_tentative_for_ever_is_seen_at_the_end() {
        let story = Story::of(RULE).tentative(7, "hola", None).read(7, Extent::Final, 0, &[]);
        story.finish().breaks(RULE, "still has 1 tentative messages");
    }

    #[test]
    fn tentative_then_placed_or_withdrawn_is_fine() {
        let story = Story::of(RULE).told_accepted(7, 1, "hola", 1).tentative(7, "hola", None).tentative(8, "hola", None);
        let story = story.deliver(8, 1, "hola").untailed(8, "hola").ack(7, 1, 1, "hola").tentative(9, "hola", None);
        let story = story.deliver(7, 1, "hola").untailed(7, "hola").read(7, Extent::Final, 0, &[(1, "hola")]);
        story.read(8, Extent::Final, 0, &[(1, "hola")]).finish().holds();
        withdrawn(Story::of(RULE).tentative(8, "hola", None)).read(8, Extent::Final, 0, &[]).finish().holds();
    }
}
