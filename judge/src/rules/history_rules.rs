//! A room that does not show everything to everybody shows nobody what is not theirs.
//!
//! Source: docs/PROTOCOL.md and the chat's rules of rooms (`History`): since-join and none show what came after a member joined; last n keeps n messages.
//! Verifies: under since-join and none, nothing that a user is shown (events, pages) stands at or before the newest place that anybody had been acknowledged in the room
//! before the first of the user's clients asked to be let in; under last n no page holds more than n messages, and no page that a leader has confirmed holds one that
//! was too old by what had been acknowledged before the page was asked for.
//! Does *not* verify: that all that a member may see is shown (`linearizable-reads`, `delivery-order`); what a user sees who left and came back, beyond what is
//! wrong by its first membership; rooms whose rules are changed.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed, ReadPost};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::chat::History;
use tertulia_protocol::ids::{NodeId, RoomId, Seq, UserId};

#[derive(Clone, Default)]
pub(crate) struct HistoryRules {
    users: BTreeMap<u32, UserId>,
    rooms: BTreeMap<RoomId, History>,
    /// By room: when its newest acknowledged place became which; both ascend.
    acknowledged: BTreeMap<RoomId, Vec<(At, Seq)>>,
    /// When the first client of a user asked to be let in.
    asked: BTreeMap<(UserId, RoomId), At>,
    /// The earliest place that a user was shown, and to which client.
    shown: BTreeMap<(UserId, RoomId), (Seq, u32)>,
}

impl HistoryRules {
    /// The newest place that was acknowledged before then.
    fn newest(&self, room: RoomId, before: At) -> Seq {
        let newest = self.acknowledged.get(&room).map_or(&[][..], Vec::as_slice);
        let earlier = newest.partition_point(|(at, _)| *at < before);
        earlier.checked_sub(1).map_or(0, |last| newest[last].1)
    }

    fn show(&mut self, client: u32, room: RoomId, seq: Seq) -> Verdict {
        let Some(&user) = self.users.get(&client) else { return Ok(()) };
        if !matches!(self.rooms.get(&room), Some(History::SinceJoin | History::None)) {
            return Ok(());
        }
        let first = self.shown.entry((user, room)).or_insert((seq, client));
        *first = (*first).min((seq, client));
        // Another device may have asked earlier, and not be told of it yet: the end will show.
        let alone = self.users.values().filter(|other| **other == user).count() == 1;
        if alone { self.judge(user, room) } else { Ok(()) }
    }

    fn judge(&self, user: UserId, room: RoomId) -> Verdict {
        let (Some(&asked), Some(&(seq, client))) = (self.asked.get(&(user, room)), self.shown.get(&(user, room))) else {
            return Ok(());
        };
        let newest = self.newest(room, asked);
        if seq > newest {
            return Ok(());
        }
        Err(format!(
            "User {user} asked at {asked} to be let into {room}, where place {newest} had been acknowledged before; the room shows members what came after they joined, and \
             client {client} is shown place {seq}."
        ))
    }

    fn page(&mut self, fact: &ClientFact) -> Verdict {
        let ClientFact::Read { client, room, asked, posts, current, extent, .. } = fact else { return Ok(()) };
        if let Some(ReadPost { seq, .. }) = posts.first() {
            self.show(*client, *room, *seq)?;
        }
        let Some(History::Last(count)) = self.rooms.get(room) else { return Ok(()) };
        // A whole history is of several pages, between which there may be new posts.
        if posts.len() > *count as usize && *extent != crate::Extent::Final {
            return Err(format!("Client {client} is shown {} messages of {room} at once, which keeps {count}.", posts.len()));
        }
        let oldest = (self.newest(*room, *asked) + 1).saturating_sub(u64::from(*count));
        match posts.first() {
            Some(first) if *current && first.seq < oldest => Err(format!(
                "Client {client} asked for {room} at {asked} and is shown place {}; the room keeps {count} messages, and {oldest} was the oldest of them by then.",
                first.seq
            )),
            _ => Ok(()),
        }
    }
}

impl Rule for HistoryRules {
    fn name(&self) -> &'static str {
        "history-rules"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[
            Topic::ClientSession,
            Topic::ClientRoom,
            Topic::ClientAcknowledged,
            Topic::ClientDelivered,
            Topic::ClientRead,
            Topic::ClientRevision,
        ])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match *fact {
            ClientFact::SignedIn { client, user, .. } => _ = self.users.insert(client, user),
            ClientFact::Acknowledged { room, seq, .. } => {
                let newest = self.acknowledged.entry(room).or_default();
                if newest.last().is_none_or(|(_, last)| *last < seq) {
                    newest.push((at, seq));
                }
            }
            ClientFact::Joined { client, room, asked, history, .. } => {
                let Some(user) = self.users.get(&client) else { return Ok(()) };
                self.rooms.insert(room, history);
                let first = self.asked.entry((*user, room)).or_insert(asked);
                *first = (*first).min(asked);
            }
            ClientFact::Delivered { client, room, seq, .. } => return self.show(client, room, seq),
            // A change of an older message may be told, and not what stands in it.
            ClientFact::Texts { client, room, ref posts, .. } => {
                let shown = posts.iter().filter(|(_, text)| text.is_some()).map(|(seq, _)| *seq).min();
                return shown.map_or(Ok(()), |seq| self.show(client, room, seq));
            }
            ClientFact::Read { .. } => return self.page(fact),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, _: &View, _: &[NodeId]) -> Verdict {
        self.shown.keys().try_for_each(|(user, room)| self.judge(*user, *room))
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{At, ClientFact, Extent};
    use crate::story::Story;
    use tertulia_protocol::chat::History;
    use tertulia_protocol::ids::{RoomId, UserId};

    const RULE: &str = "history-rules";

    /// Three posts were acknowledged; then client 8 asked to be let in, and is.
    fn late(history: History) -> Story {
        let story = (1..=3).fold(Story::of(RULE), |story, seq| story.ack(7, seq, seq, &seq.to_string()));
        let story = story.client(ClientFact::SignedIn { client: 8, user: UserId(2), limit: 0, idle_ms: 0 });
        story.client(ClientFact::Joined { client: 8, room: RoomId(1), asked: At(3_500), history, tentative: Default::default() })
    }

    #[test]
    fn who_is_shown_what_was_said_before_it_came_is_seen() {
        late(History::SinceJoin).deliver(8, 3, "3").breaks(RULE, "is shown place 3");
        late(History::None).read(8, Extent::Page, 0, &[(2, "2"), (3, "3")]).breaks(RULE, "is shown place 2");
        let second = late(History::SinceJoin).client(ClientFact::SignedIn { client: 9, user: UserId(2), limit: 0, idle_ms: 0 });
        second.deliver(8, 3, "3").holds().finish().breaks(RULE, "is shown place 3");
    }

    #[test]
    fn more_than_a_room_keeps_is_seen() {
        let all = [(2, "2"), (3, "3"), (4, "4")];
        late(History::Last(2)).read(8, Extent::Page, 0, &all).breaks(RULE, "is shown 3 messages");
        late(History::Last(2)).read(8, Extent::Page, 0, &all[..2]).holds();
        late(History::Last(2)).read(8, Extent::Page, 0, &[(1, "1"), (2, "2")]).breaks(RULE, "2 was the oldest");
    }

    #[test]
    fn what_came_after_is_for_everybody_and_so_is_all_where_all_is_shown() {
        late(History::SinceJoin).deliver(8, 4, "4").finish().holds();
        late(History::All).read(8, Extent::Page, 0, &[(1, "1")]).finish().holds();
    }
}
