//! Friendship is a matter of two, and whoever blocks somebody is left alone.
//!
//! Source: docs/PROTOCOL.md, people; the chat's relations: both sides of one are written by one command.
//! Verifies: at the end both sides say the same of each other (friends; asked and was asked), and so do all devices of a user; of two requests that cross one finds the
//! other, so that not both are told that they have asked and neither that they are friends; a direct message that is sent after a block was acknowledged, and while nobody
//! asks for its end, is not accepted.
//! Does *not* verify: how often the two are told by notices (hints of the moment); messages in rooms of several.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed, Wish};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_protocol::chat::{Friendship, RoomRef};
use tertulia_protocol::ids::{NodeId, RoomId, UserId};

type Pair = (UserId, UserId);

/// All that a user is to others, as one of its clients was told at the end.
#[derive(Clone, PartialEq, Eq)]
struct Told {
    client: u32,
    friends: BTreeMap<UserId, Friendship>,
    blocked: BTreeSet<UserId>,
}

#[derive(Clone, Default)]
pub(crate) struct Friends {
    users: BTreeMap<u32, UserId>,
    open: BTreeMap<(u32, u64), (Pair, Wish)>,
    /// Who has blocked whom, as it was acknowledged and is not asked back.
    blocks: BTreeSet<Pair>,
    directs: BTreeMap<RoomId, Pair>,
    /// Direct messages that were sent to somebody who had blocked their author.
    doomed: BTreeMap<(u32, u64), Pair>,
    /// Who was told that it has asked whom, of pairs that never asked for anything but friendship.
    asked: BTreeSet<Pair>,
    unclear: BTreeSet<Pair>,
    told: BTreeMap<UserId, Told>,
}

fn pair(a: UserId, b: UserId) -> Pair {
    (a.min(b), a.max(b))
}

impl Friends {
    fn relating(&mut self, client: u32, number: u64, other: UserId, wish: Wish) {
        let Some(&user) = self.users.get(&client) else { return };
        self.open.insert((client, number), ((user, other), wish));
        if wish != Wish::Befriend {
            self.unclear.insert(pair(user, other));
        }
        if wish == Wish::Unblock {
            self.blocks.remove(&(user, other));
            // Which of the two is executed first, nobody knows.
            self.open.retain(|_, open| *open != ((user, other), Wish::Block));
            self.doomed.retain(|_, block| *block != (user, other));
        }
    }

    fn related(&mut self, client: u32, number: u64, friendship: Option<Friendship>) -> Verdict {
        let Some(((user, other), wish)) = self.open.remove(&(client, number)) else { return Ok(()) };
        if wish == Wish::Unblock {
            // A block that was asked for meanwhile, on another device, may have been executed before it.
            self.open.retain(|_, open| *open != ((user, other), Wish::Block));
        }
        let taken_back = self.open.values().any(|open| *open == ((user, other), Wish::Unblock));
        match (wish, friendship) {
            (Wish::Block, Some(_)) if !taken_back => _ = self.blocks.insert((user, other)),
            (Wish::Befriend, Some(Friendship::Requested)) => {
                self.asked.insert((user, other));
                if self.asked.contains(&(other, user)) && !self.unclear.contains(&pair(user, other)) {
                    return Err(format!(
                        "Users {user} and {other} asked each other for their friendship, both were told that they have asked, and neither ever asked for anything else."
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn submitted(&mut self, client: u32, number: u64, room: RoomId) {
        let (Some(&user), Some(&(a, b))) = (self.users.get(&client), self.directs.get(&room)) else { return };
        let other = if a == user { b } else { a };
        if self.blocks.contains(&(other, user)) {
            self.doomed.insert((client, number), (other, user));
        }
    }
}

impl Rule for Friends {
    fn name(&self) -> &'static str {
        "friends"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::ClientSession,
            Topic::ClientRoom,
            Topic::ClientRelation,
            Topic::ClientSubmitted,
            Topic::ClientAcknowledged,
        ])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::SignedIn { client, user, .. } => _ = self.users.insert(*client, *user),
            ClientFact::Relating { client, number, other, wish } => self.relating(*client, *number, *other, *wish),
            ClientFact::Related { client, number, friendship } => return self.related(*client, *number, *friendship),
            ClientFact::Direct { client, room, other } => {
                if let Some(user) = self.users.get(client) {
                    self.directs.insert(*room, pair(*user, *other));
                }
            }
            ClientFact::Submitted { client, number, room: RoomRef::Id(room), .. } => self.submitted(*client, *number, *room),
            ClientFact::Acknowledged { client, number, seq, .. } => {
                if let Some((by, user)) = self.doomed.remove(&(*client, *number)) {
                    return Err(format!(
                        "User {by} had blocked user {user} when client {client} sent its request {number}, a message to {by} alone; it was accepted as message {seq}."
                    ));
                }
            }
            ClientFact::Relations { client, friends, blocked } => {
                let Some(user) = self.users.get(client) else { return Ok(()) };
                let told = Told {
                    client: *client,
                    friends: friends.iter().copied().collect(),
                    blocked: blocked.iter().copied().collect(),
                };
                let first = self.told.entry(*user).or_insert_with(|| told.clone());
                if (&first.friends, &first.blocked) != (&told.friends, &told.blocked) {
                    return Err(format!(
                        "At the end clients {} and {client} of user {user} are told of other friends.",
                        first.client
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        for (user, told) in &self.told {
            for (other, theirs) in self.told.iter().filter(|(other, _)| *other != user) {
                let is = |told: &Told, whom| told.friends.get(whom).copied().unwrap_or_default();
                let (mine, back) = (is(told, other), is(theirs, user));
                let fits = match mine {
                    Friendship::None => Friendship::None,
                    Friendship::Requested => Friendship::Asked,
                    Friendship::Asked => Friendship::Requested,
                    Friendship::Friends => Friendship::Friends,
                };
                if back != fits {
                    return Err(format!(
                        "At the end user {other} is {mine:?} to user {user}, and {user} is {back:?} to {other}."
                    ));
                }
                if mine != Friendship::None && told.blocked.contains(other) {
                    return Err(format!("At the end user {user} has blocked user {other}, who is {mine:?} to it."));
                }
            }
        }
        for &(by, whom) in &self.blocks {
            let is_open = self.open.values().any(|(of, _)| *of == (by, whom));
            if let (Some(told), false) = (self.told.get(&by), is_open)
                && !told.blocked.contains(&whom)
            {
                return Err(format!(
                    "User {by} was told that it has blocked user {whom}, never asked that back, and at the end it has not."
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{ClientFact, Wish};
    use crate::story::Story;
    use tertulia_protocol::chat::Friendship;
    use tertulia_protocol::ids::{RoomId, UserId};

    const RULE: &str = "friends";

    /// Client 1 is user 1, client 2 user 2.
    fn two() -> Story {
        let signed_in = |client: u32| ClientFact::SignedIn { client, user: UserId(client.into()), limit: 0, idle_ms: 0 };
        Story::of(RULE).client(signed_in(1)).client(signed_in(2))
    }

    fn wants(story: Story, client: u32, number: u64, wish: Wish) -> Story {
        story.client(ClientFact::Relating { client, number, other: UserId(3 - u64::from(client)), wish })
    }

    fn has(story: Story, client: u32, number: u64, friendship: Friendship) -> Story {
        story.client(ClientFact::Related { client, number, friendship: Some(friendship) })
    }

    fn is(story: Story, client: u32, friendship: Friendship, blocked: &[u64]) -> Story {
        let friends = vec![(UserId(3 - u64::from(client)), friendship)];
        story.client(ClientFact::Relations { client, friends, blocked: blocked.iter().copied().map(UserId).collect() })
    }

    /// User 2 blocks user 1, who knows their room.
    fn blocked() -> Story {
        let story = has(wants(two(), 2, 1, Wish::Block), 2, 1, Friendship::None);
        story.client(ClientFact::Direct { client: 1, room: RoomId(9), other: UserId(2) })
    }

    #[test]
    fn a_message_to_somebody_who_does_not_want_it_is_seen() {
        blocked().submit_in(9, 1, 1, "hola").ack_in(9, 1, 1, 1, "hola").breaks(RULE, "had blocked user u1");
    }

    #[test]
    fn sides_that_do_not_agree_are_seen() {
        is(is(two(), 1, Friendship::Friends, &[]), 2, Friendship::Asked, &[]).finish().breaks(RULE, "is Friends to user u1");
        let crossed = wants(wants(two(), 1, 1, Wish::Befriend), 2, 1, Wish::Befriend);
        has(has(crossed, 1, 1, Friendship::Requested), 2, 1, Friendship::Requested).breaks(RULE, "both were told");
        is(blocked(), 2, Friendship::None, &[]).finish().breaks(RULE, "at the end it has not");
    }

    #[test]
    fn what_two_agree_on_is_fine_and_a_block_may_end() {
        let crossed = wants(wants(two(), 1, 1, Wish::Befriend), 2, 1, Wish::Befriend);
        let friends = has(has(crossed, 1, 1, Friendship::Requested), 2, 1, Friendship::Friends);
        is(is(friends, 1, Friendship::Friends, &[]), 2, Friendship::Friends, &[]).finish().holds();
        let ended = wants(blocked().submit_in(9, 1, 1, "hola"), 2, 2, Wish::Unblock);
        ended.ack_in(9, 1, 1, 1, "hola").finish().holds();
        // Two devices of user 2 ask at the same time, for a block and for its end: nobody knows which came first.
        let phone = ClientFact::SignedIn { client: 4, user: UserId(2), limit: 0, idle_ms: 0 };
        let ends = ClientFact::Relating { client: 4, number: 1, other: UserId(1), wish: Wish::Unblock };
        let ended = ClientFact::Related { client: 4, number: 1, friendship: Some(Friendship::None) };
        let both = wants(two().client(phone).client(ends), 2, 1, Wish::Block).client(ended);
        is(has(both, 2, 1, Friendship::None), 2, Friendship::None, &[]).finish().holds();
    }
}
