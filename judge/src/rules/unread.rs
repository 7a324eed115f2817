//! What a user has read, it has read on all its devices, and stays read.
//!
//! Source: docs/PROTOCOL.md, read marks: a mark belongs to the user and never goes back; whoever posts has read what stands before it.
//! Verifies: at the end all devices of a user are told the same mark and the same number of unread messages in a room; that number is that of the messages behind the
//! mark; the mark is not before any that a client of the user was acknowledged, nor before a post of its own.
//! Does *not* verify: what is said while things change; mentions.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{RoomId, Seq, UserId};

#[derive(Clone, Default)]
pub(crate) struct Unread {
    users: BTreeMap<u32, UserId>,
    /// The furthest acknowledged mark, and whose.
    marked: BTreeMap<(UserId, RoomId), (Seq, u32)>,
    told: BTreeMap<(UserId, RoomId), (Seq, u64, u32)>,
}

impl Rule for Unread {
    fn name(&self) -> &'static str {
        "unread"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientSession, Topic::ClientMark])
    }

    fn observe(&mut self, _: &View, _: At, observed: &Observed<'_>) -> Verdict {
        match *observed {
            Observed::Client(&ClientFact::SignedIn { client, user, .. }) => _ = self.users.insert(client, user),
            Observed::Client(&ClientFact::MarkedRead { client, room, seq }) => {
                let Some(&user) = self.users.get(&client) else { return Ok(()) };
                let furthest = self.marked.entry((user, room)).or_insert((seq, client));
                *furthest = (*furthest).max((seq, client));
            }
            Observed::Client(&ClientFact::Marks { client, room, read, unread, last }) => {
                let Some(&user) = self.users.get(&client) else { return Ok(()) };
                let (marked, by) = self.marked.get(&(user, room)).copied().unwrap_or_default();
                if read < marked {
                    return Err(format!(
                        "Client {by} was told that user {user} has read {room} through {marked}; at the end client {client} is told that it is {read}."
                    ));
                }
                if read + unread != last {
                    return Err(format!(
                        "Client {client} is told that {unread} messages of {room} are not read; the newest one is {last}, and {read} the last that is."
                    ));
                }
                let (first, count, who) = *self.told.entry((user, room)).or_insert((read, unread, client));
                if (first, count) != (read, unread) {
                    return Err(format!(
                        "At the end client {who} is told that user {user} has read {room} through {first} and that {count} wait, and client {client} that \
                         it is {read} and {unread}."
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
    use crate::observed::ClientFact;
    use crate::story::Story;
    use tertulia_protocol::ids::{RoomId, Seq, UserId};

    const RULE: &str = "unread";

    /// Clients 1 and 2 are of one user; the first has read through 5.
    fn marked() -> Story {
        let signed_in = |client: u32| ClientFact::SignedIn { client, user: UserId(4), limit: 0, idle_ms: 0 };
        let story = Story::of(RULE).client(signed_in(1)).client(signed_in(2));
        story.client(ClientFact::MarkedRead { client: 1, room: RoomId(1), seq: 5 })
    }

    fn told(story: Story, client: u32, read: Seq, unread: u64) -> Story {
        story.client(ClientFact::Marks { client, room: RoomId(1), read, unread, last: 9 })
    }

    #[test]
    fn a_mark_that_goes_back_and_devices_that_differ_are_seen() {
        told(marked(), 2, 4, 5).breaks(RULE, "has read r1 through 5");
        told(told(marked(), 1, 5, 4), 2, 6, 3).breaks(RULE, "and client 2 that");
        told(marked(), 1, 5, 3).breaks(RULE, "3 messages of");
    }

    #[test]
    fn one_mark_for_all_devices_is_fine() {
        told(told(marked(), 1, 6, 3), 2, 6, 3).holds();
    }
}
