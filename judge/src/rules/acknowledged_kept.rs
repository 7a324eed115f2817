//! What a client was told is posted, is posted, and stays.
//!
//! Source: DESIGN 7, "acknowledged never lost"; thesis 6.3 (an answer follows the execution).
//! Verifies: when a client hears that its post stands at a place, some node had put exactly that message there by applying a committed entry;
//! at the end, every node of the core has applied that entry.
//! Does *not* verify: clusters of which no node's facts are heard (`final-read` needs none); that history pages show it (`final-read`).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::table::Table;
use crate::topics::{Topic, Topics};
use crate::view::View;
use tertulia_protocol::facts::Fact;
use tertulia_protocol::ids::{Index, MessageId, NodeId, RoomId, Seq};

#[derive(Clone, Default)]
pub(crate) struct AcknowledgedKept {
    posted: Table<(RoomId, Seq), (Index, MessageId)>,
    /// The acknowledged post with the greatest log index.
    last: Option<(Index, RoomId, Seq, MessageId)>,
}

impl Rule for AcknowledgedKept {
    fn name(&self) -> &'static str {
        "acknowledged-kept"
    }

    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn observe(&mut self, view: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Fact { fact: &Fact::Posted { index, room, seq, id }, .. } => {
                self.posted.or_insert((room, seq), (index, id));
                Ok(())
            }
            Observed::Client(&ClientFact::Acknowledged { client, number, room, seq, id, .. }) if view.hears_nodes() => {
                match self.posted.get(&(room, seq)) {
                    Some(&(index, posted)) if posted == id => {
                        self.last = self.last.max(Some((index, room, seq, id)));
                        Ok(())
                    }
                    other => Err(format!(
                        "Client {client} was told that its request {number} is message {id} at ({room}, {seq}), \
                         but no node had put it there (there: {:?}).",
                        other.map(|(_, id)| *id)
                    )),
                }
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, view: &View, core: &[NodeId]) -> Verdict {
        let Some((index, room, seq, id)) = self.last else { return Ok(()) };
        for node in core {
            let applied = view.node(*node).map_or(0, |node| node.applied);
            if applied < index {
                return Err(format!(
                    "Message {id} at ({room}, {seq}), entry {index}, was acknowledged; \
                     at the end {node} has applied only through {applied}."
                ));
            }
        }
        Ok(())
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::Posted, Topic::ClientAcknowledged])
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    const RULE: &str = "acknowledged-kept";

    #[test]
    fn an_acknowledgement_before_anybody_posted_is_seen() {
        Story::of(RULE).three_start().ack(7, 1, 1, "hola").breaks(RULE, "no node had put it there");
        Story::of(RULE).posted(1, 2, 1, "adios").ack(7, 1, 1, "hola").breaks(RULE, "no node had put it there");
    }

    #[test]
    fn a_node_that_never_gets_it_is_seen_at_the_end() {
        let story = Story::of(RULE).three_start().apply(1, &[1]).posted(1, 1, 1, "hola").apply(2, &[1]).ack(7, 1, 1, "hola");
        story.finish().breaks(RULE, "n3 has applied only through 0");
    }

    #[test]
    fn what_everybody_has_is_kept() {
        let story = Story::of(RULE).three_start().apply(1, &[1]).posted(1, 1, 1, "hola").ack(7, 1, 1, "hola").apply(2, &[1]);
        story.apply(3, &[1]).finish().holds();
        Story::of(RULE).ack(7, 1, 1, "hola").finish().holds();
    }
}
