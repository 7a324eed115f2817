//! In the end, every acknowledged post is there to be read.
//!
//! Source: DESIGN 7, "acknowledged never lost", seen by clients alone.
//! Verifies: every `Extent::Final` read of a room holds every post that any client was acknowledged in that room in the whole run, and so do all of them
//! alike; a post that was refused for good is judged by `exactly-once`.
//! Does *not* verify: what stands before the first post that a reader may see, in rooms that do not show everything to everybody (`history-rules`); rooms that nobody reads at the end; posts without an outcome (they may be there or not).

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Extent, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::History;
use tertulia_protocol::ids::{MessageId, NodeId, RoomId, Seq};

type Post = (Seq, MessageId);

#[derive(Clone)]
struct WholeRead {
    client: u32,
    room: RoomId,
    posts: BTreeSet<Post>,
}

#[derive(Clone, Default)]
pub(crate) struct FinalRead {
    /// By room and post, the client and the number of its request.
    acknowledged: BTreeMap<RoomId, BTreeMap<Post, (u32, u64)>>,
    reads: Vec<WholeRead>,
    /// Rooms that do not show everything to everybody.
    partial: BTreeSet<RoomId>,
}

impl Rule for FinalRead {
    fn name(&self) -> &'static str {
        "final-read"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(&ClientFact::Acknowledged { client, number, room, seq, id, .. }) => {
                self.acknowledged.entry(room).or_default().insert((seq, id), (client, number));
            }
            Observed::Client(ClientFact::Read { client, room, posts, extent: Extent::Final, .. }) => {
                let posts = posts.iter().map(|post| (post.seq, post.id)).collect();
                self.reads.push(WholeRead { client: *client, room: *room, posts });
            }
            Observed::Client(ClientFact::Joined { room, history, .. }) if *history != History::All => {
                self.partial.insert(*room);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        let mut lengths: BTreeMap<RoomId, (usize, u32)> = BTreeMap::new();
        for WholeRead { client: reader, room, posts } in &self.reads {
            let partial = self.partial.contains(room);
            for (&(seq, id), (client, number)) in self.acknowledged.get(room).into_iter().flatten() {
                let hidden = partial && posts.first().is_none_or(|(first, _)| seq < *first);
                if !hidden && !posts.contains(&(seq, id)) {
                    return Err(format!(
                        "Client {client} was told that its request {number} is message {id} at ({room}, {seq}); \
                         client {reader} read the whole room at the end and it was not there."
                    ));
                }
            }
            let (length, first) = *lengths.entry(*room).or_insert((posts.len(), *reader));
            if !partial && length != posts.len() {
                let now = posts.len();
                return Err(format!("At the end client {first} read {length} posts in {room}, and client {reader} read {now}."));
            }
        }
        Ok(())
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientAcknowledged, Topic::ClientRead, Topic::ClientRoom])
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::Extent;
    use crate::story::Story;

    const RULE: &str = "final-read";

    fn two_acknowledged() -> Story {
        Story::of(RULE).ack(7, 1, 1, "a").ack(7, 2, 2, "b")
    }

    #[test]
    fn an_acknowledged_post_that_is_gone_is_seen() {
        two_acknowledged().read(8, Extent::Final, 0, &[(1, "a")]).finish().breaks(RULE, "it was not there");
        two_acknowledged().read(8, Extent::Final, 0, &[(1, "a"), (2, "c")]).finish().breaks(RULE, "it was not there");
    }

    #[test]
    fn readers_that_end_with_different_histories_are_seen() {
        let story = two_acknowledged().read(8, Extent::Final, 0, &[(1, "a"), (2, "b")]);
        story.read(9, Extent::Final, 0, &[(1, "a"), (2, "b"), (3, "c")]).finish().breaks(RULE, "client 9 read 3");
    }

    #[test]
    fn all_of_it_and_posts_without_an_answer_are_fine() {
        let posts = [(1, "a"), (2, "b"), (3, "c")];
        two_acknowledged().read(8, Extent::Page, 0, &[]).read(8, Extent::Final, 0, &posts).finish().holds();
        two_acknowledged().finish().holds();
    }
}
