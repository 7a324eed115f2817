//! Who was told that it is no member of a room any more, or that there is no such room, sees nothing more of it.
//!
//! Source: docs/PROTOCOL.md, rooms: only members follow, and a room that is deleted is gone at once.
//! Verifies: after a client was told so, it is delivered no post of the room, and no page that it asks for then shows one, until a client of its user asks to be let in.
//! Does *not* verify: other clients of the user that were not told yet; changes that are no posts (the last one that a member sees may be that it left); pages of public
//! rooms that show everything to everybody.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::{History, RoomRef};
use tertulia_protocol::ids::{RoomId, UserId};

#[derive(Clone, Default)]
pub(crate) struct RemovedSeeNothing {
    users: BTreeMap<u32, UserId>,
    /// Since when.
    out: BTreeMap<(u32, RoomId), At>,
    /// Rooms whose pages are not for everybody.
    closed: BTreeSet<RoomId>,
}

impl Rule for RemovedSeeNothing {
    fn name(&self) -> &'static str {
        "removed-see-nothing"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSession, Topic::ClientRoom, Topic::ClientDelivered, Topic::ClientRead])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::SignedIn { client, user, .. } => _ = self.users.insert(*client, *user),
            ClientFact::Out { client, room } => _ = self.out.insert((*client, *room), at),
            ClientFact::Joined { room, history: History::SinceJoin | History::None, .. } => {
                self.closed.insert(*room);
            }
            ClientFact::Joins { client, room } => {
                let user = self.users.get(client);
                let users = &self.users;
                let is_meant = |id: &RoomId| match room {
                    RoomRef::Id(room) => room == id,
                    RoomRef::Name(_) => true,
                };
                self.out.retain(|(other, id), _| !is_meant(id) || other != client && users.get(other) != user);
            }
            ClientFact::Delivered { client, room, seq, .. } => {
                if let Some(since) = self.out.get(&(*client, *room)) {
                    return Err(format!(
                        "Client {client} was told at {since} that it is out of {room}, or that there is none, and is delivered place {seq}."
                    ));
                }
            }
            ClientFact::Read { client, room, asked, posts, .. } => {
                let out = self.out.get(&(*client, *room)).filter(|since| *since < asked);
                if let (Some(since), true, Some(post)) = (out, self.closed.contains(room), posts.first()) {
                    return Err(format!(
                        "Client {client} was told at {since} that it is out of {room}, asked for a page at {asked}, and is shown place {}.",
                        post.seq
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{At, ClientFact, Extent};
    use crate::story::Story;
    use tertulia_protocol::chat::{History, RoomRef};
    use tertulia_protocol::ids::{RoomId, UserId};

    const RULE: &str = "removed-see-nothing";

    fn out(history: History) -> Story {
        let room = RoomId(1);
        let story = Story::of(RULE).client(ClientFact::SignedIn { client: 8, user: UserId(2), limit: 0, idle_ms: 0 });
        let story = story
            .client(ClientFact::Joined { client: 8, room, asked: At(0), history, tentative: Default::default() })
            .deliver(8, 1, "1");
        story.client(ClientFact::Out { client: 8, room })
    }

    #[test]
    fn what_comes_after_one_is_out_is_seen() {
        out(History::All).deliver(8, 2, "2").breaks(RULE, "is delivered place 2");
        out(History::SinceJoin).read(8, Extent::Page, 0, &[(1, "1")]).breaks(RULE, "is shown place 1");
    }

    #[test]
    fn who_comes_back_sees_again_and_old_questions_may_be_answered() {
        out(History::All).client(ClientFact::Joins { client: 8, room: RoomRef::Id(RoomId(1)) }).deliver(8, 2, "2").holds();
        out(History::SinceJoin).read(8, Extent::Page, 3, &[(1, "1")]).holds();
        out(History::All).read(8, Extent::Page, 0, &[(1, "1")]).holds();
    }
}
