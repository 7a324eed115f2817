//! A request is executed once, however often and wherever it arrives; a message has one place.
//!
//! Source: thesis 6.3 (linearizable semantics by sessions); DESIGN 4, "Identity is (session, number) everywhere".
//! Verifies: from nodes, one log index executes a request (applying that index again after a restart is not another execution), and
//! one index and place holds a message; from clients alone, a message has one place in what any of them was delivered, acknowledged or read, and a request has one
//! outcome: one acknowledgement (a repeated one must say the same), and none with a final refusal.
//! Does *not* verify: that a request with no outcome was or was not executed; requests whose outcome is no longer kept.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, MessageId, NodeId, RoomId, Seq, SessionId};
use tertulia_protocol::replica::Slot;

type Place = (RoomId, Seq);

#[derive(Clone, Default)]
pub(crate) struct ExactlyOnce {
    executed: Table<(SessionId, Slot), (Index, NodeId)>,
    posted: Table<MessageId, (Index, Place)>,
    seen: Table<MessageId, Place>,
    /// `None`: refused for good.
    outcomes: Table<(u32, u64), Option<(Place, MessageId)>>,
}

impl ExactlyOnce {
    fn fact(&mut self, node: NodeId, fact: &Fact) -> Verdict {
        match *fact {
            Fact::Executed { index, session, identity } => {
                let slot = identity.slot();
                let (first, who) = *self.executed.or_insert((session, slot), (index, node));
                if first == index {
                    return Ok(());
                }
                Err(format!("{node} executed {slot:?} of session {session} at entry {index}, but {who} had at entry {first}."))
            }
            Fact::Posted { index, room, seq, id } => {
                let place = (room, seq);
                let first = *self.posted.or_insert(id, (index, place));
                if first == (index, place) {
                    return Ok(());
                }
                let (first_index, (first_room, first_seq)) = first;
                Err(format!(
                    "Entry {index} put message {id} at ({room}, {seq}) on {node}; \
                     entry {first_index} had put it at ({first_room}, {first_seq})."
                ))
            }
            _ => Ok(()),
        }
    }

    fn saw(&mut self, client: u32, id: MessageId, place: Place) -> Verdict {
        let first = *self.seen.or_insert(id, place);
        if first == place {
            return Ok(());
        }
        let ((room, seq), (first_room, first_seq)) = (place, first);
        Err(format!("Client {client} sees message {id} at ({room}, {seq}); it was seen at ({first_room}, {first_seq}) before."))
    }

    fn outcome(&mut self, client: u32, number: u64, outcome: Option<(Place, MessageId)>) -> Verdict {
        let first = *self.outcomes.or_insert((client, number), outcome);
        if first == outcome {
            return Ok(());
        }
        let say = |outcome: Option<(Place, MessageId)>| match outcome {
            Some(((room, seq), id)) => format!("acknowledged as message {id} at ({room}, {seq})"),
            None => "refused for good".to_owned(),
        };
        Err(format!("Request {number} of client {client} was {} and now is {}.", say(first), say(outcome)))
    }
}

impl Rule for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly-once"
    }

    fn kind(&self) -> Kind {
        Kind::Both
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Fact { node, fact } => self.fact(node, fact),
            Observed::Client(ClientFact::Acknowledged { client, number, room, seq, id, .. }) => {
                self.outcome(*client, *number, Some(((*room, *seq), *id)))?;
                self.saw(*client, *id, (*room, *seq))
            }
            Observed::Client(ClientFact::RefusedFinally { client, number }) => self.outcome(*client, *number, None),
            Observed::Client(ClientFact::Delivered { client, room, seq, id, .. }) => self.saw(*client, *id, (*room, *seq)),
            Observed::Client(ClientFact::Read { client, room, posts, .. }) => {
                posts.iter().try_for_each(|post| self.saw(*client, post.id, (*room, post.seq)))
            }
            _ => Ok(()),
        }
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::Executed,
            Topic::Posted,
            Topic::ClientAcknowledged,
            Topic::ClientRefusedFinally,
            Topic::ClientDelivered,
            Topic::ClientRead,
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{ClientFact, Extent};
    use crate::story::Story;

    const RULE: &str = "exactly-once";

    fn refused(story: Story) -> Story {
        story.client(ClientFact::RefusedFinally { client: 7, number: 1 })
    }

    #[test]
    fn a_request_that_is_executed_at_two_entries_is_seen() {
        Story::of(RULE).executed(1, 4, 1, 1).executed(2, 6, 1, 1).breaks(RULE, "n1 had at entry 4");
    }

    #[test]
    fn a_message_that_is_posted_twice_is_seen() {
        Story::of(RULE).posted(1, 4, 1, "hola").posted(1, 6, 2, "hola").breaks(RULE, "entry 4 had put it");
    }

    #[test]
    fn clients_that_see_a_message_at_two_places_are_enough() {
        Story::of(RULE).deliver(7, 1, "hola").deliver(8, 2, "hola").breaks(RULE, "Client 8 sees");
        Story::of(RULE).ack(7, 1, 1, "hola").deliver(7, 2, "hola").breaks(RULE, "Client 7 sees");
        Story::of(RULE).read(7, Extent::Page, 0, &[(1, "hola"), (2, "hola")]).breaks(RULE, "Client 7 sees");
    }

    #[test]
    fn two_outcomes_of_one_request_are_seen() {
        Story::of(RULE).ack(7, 1, 1, "hola").ack(7, 1, 2, "hola").breaks(RULE, "Request 1 of client 7");
        refused(Story::of(RULE).ack(7, 1, 1, "hola")).breaks(RULE, "now is refused for good");
        refused(Story::of(RULE)).ack(7, 1, 1, "hola").breaks(RULE, "was refused for good");
    }

    #[test]
    fn all_nodes_execute_it_and_all_clients_see_it() {
        let story = Story::of(RULE).executed(1, 4, 1, 1).executed(2, 4, 1, 1).crash(1).executed(1, 4, 1, 1).executed(1, 5, 2, 1);
        let story = story.posted(1, 4, 1, "hola").posted(2, 4, 1, "hola").ack(7, 1, 1, "hola").ack(7, 1, 1, "hola");
        story.deliver(7, 1, "hola").deliver(8, 1, "hola").read(8, Extent::Page, 0, &[(1, "hola")]).holds();
    }
}
