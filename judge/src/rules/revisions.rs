//! A message that was changed is shown as it is now, to everybody in the same way; one that was deleted says nothing any more.
//!
//! Source: docs/PROTOCOL.md, messages: edits and deletions are events of the room, each with its place; a deleted message keeps its place without its text.
//! Verifies: an event of a room that is no post says the same to all clients; when a client was told that its change stands at some event, no page that was asked for
//! later, and that a leader has confirmed, and no event at or behind that place, shows what the message said before; the text of a message that was deleted is not
//! shown there at all; nothing is changed behind its deletion.
//! Does *not* verify: changes of which nobody was told that they are done; pages that no leader has confirmed; reactions, pins and what else is no text.

use super::{Kind, Rule, Verdict};
use crate::observed::{At, ClientFact, Observed, REVISED, Shown};
use crate::topics::{Topic, Topics};
use crate::view::View;
use std::collections::BTreeMap;
use tertulia_protocol::ids::{Cursor, RoomId, Seq};

type Place = (RoomId, Seq);

/// What a message was made to say; `None`: nothing.
type Text = Option<u64>;

#[derive(Clone, Copy)]
struct Version {
    cursor: Cursor,
    text: Text,
    told: At,
}

#[derive(Clone, Default)]
pub(crate) struct Revisions {
    asked: BTreeMap<(u32, u64), (Place, Text)>,
    /// Acknowledged changes of each message.
    versions: BTreeMap<Place, Vec<Version>>,
    /// By message: what events at which places showed.
    shown: BTreeMap<Place, Vec<(Cursor, Text, u32)>>,
    changes: BTreeMap<(RoomId, Cursor), (u64, u32)>,
}

impl Revisions {
    /// Whether `text` may be what a message says once the changes that `counts` picks are done.
    fn allowed(&self, place: Place, text: Text, counts: impl Fn(&Version) -> bool) -> Result<(), String> {
        let Some(versions) = self.versions.get(&place) else { return Ok(()) };
        let Some(newest) = versions.iter().filter(|version| counts(version)).max_by_key(|version| version.cursor) else {
            return Ok(());
        };
        let deleted = versions.iter().find(|version| version.text.is_none() && counts(version));
        if let (Some(deleted), Some(_)) = (deleted, text) {
            return Err(format!("which was deleted at event {} at the latest", deleted.cursor));
        }
        // What nobody was told to be done may stand anywhere.
        let known = versions.iter().find(|version| version.text == text);
        match known {
            Some(known) if text.is_some() && known.cursor < newest.cursor => {
                Err(format!("as event {} made it, though event {} changed it again", known.cursor, newest.cursor))
            }
            _ => Ok(()),
        }
    }

    fn original(&self, place: Place, counts: impl Fn(&Version) -> bool) -> Result<(), String> {
        let newest =
            self.versions.get(&place).into_iter().flatten().filter(|version| counts(version)).map(|version| version.cursor).max();
        newest.map_or(Ok(()), |newest| Err(format!("as it was posted, though event {newest} changed it")))
    }

    fn revised(&mut self, at: At, client: u32, number: u64, cursor: Cursor) -> Verdict {
        let Some((place, text)) = self.asked.remove(&(client, number)) else { return Ok(()) };
        let (room, seq) = place;
        let deleted = self.versions.get(&place).into_iter().flatten().find(|version| version.text.is_none());
        if let (Some(deleted), Some(_)) = (deleted, text)
            && deleted.cursor < cursor
        {
            return Err(format!(
                "Client {client} was told that its change of ({room}, {seq}) is event {cursor}; the message was deleted at event {} at the latest.",
                deleted.cursor
            ));
        }
        self.versions.entry(place).or_default().push(Version { cursor, text, told: at });
        for (event, text, who) in self.shown.get(&place).into_iter().flatten() {
            let event = *event;
            self.allowed(place, *text, |version| version.cursor <= event)
                .map_err(|why| format!("Event {event} of {room} showed client {who} message {seq}, {why}."))?;
        }
        Ok(())
    }

    fn texts(&mut self, client: u32, room: RoomId, shown: Shown, posts: &[(Seq, Text)]) -> Verdict {
        for &(seq, text) in posts {
            let place = (room, seq);
            match shown {
                Shown::Page { current: false, .. } => {}
                Shown::Page { asked, .. } => {
                    let allowed = self.allowed(place, text, |version| version.told < asked);
                    allowed.map_err(|why| {
                        format!("Client {client} asked for {room} at {asked} and is shown message {seq}, {why}.")
                    })?;
                }
                Shown::Event { cursor } => {
                    let seen = self.shown.entry(place).or_default();
                    if !seen.iter().any(|(event, known, _)| (*event, *known) == (cursor, text)) {
                        seen.push((cursor, text, client));
                    }
                    let allowed = self.allowed(place, text, |version| version.cursor <= cursor);
                    allowed.map_err(|why| format!("Event {cursor} of {room} shows client {client} message {seq}, {why}."))?;
                }
            }
        }
        Ok(())
    }
}

impl Rule for Revisions {
    fn name(&self) -> &'static str {
        "revisions"
    }

    fn kind(&self) -> Kind {
        Kind::ClientVisible
    }

    fn hears(&self) -> Topics {
        Topics::of(&[Topic::ClientRevision, Topic::ClientDelivered, Topic::ClientRead])
    }

    fn observe(&mut self, _: &View, at: At, observed: &Observed<'_>) -> Verdict {
        let Observed::Client(fact) = *observed else { return Ok(()) };
        match fact {
            ClientFact::Revising { client, number, room, seq, text_digest } => {
                self.asked.insert((*client, *number), ((*room, *seq), *text_digest));
                Ok(())
            }
            ClientFact::Revised { client, number, cursor } => self.revised(at, *client, *number, *cursor),
            ClientFact::Texts { client, room, shown, posts } => self.texts(*client, *room, *shown, posts),
            ClientFact::Changed { client, room, cursor, digest } => {
                let (first, who) = *self.changes.entry((*room, *cursor)).or_insert((*digest, *client));
                if first == *digest {
                    return Ok(());
                }
                Err(format!("Event {cursor} of {room} says something else to client {client} than to client {who}."))
            }
            ClientFact::Read { client, room, asked, posts, current: true, .. } if !self.versions.is_empty() => {
                for post in posts.iter().filter(|post| post.text_digest != REVISED) {
                    let original = self.original((*room, post.seq), |version| version.told < *asked);
                    original.map_err(|why| {
                        format!("Client {client} asked for {room} at {asked} and is shown message {}, {why}.", post.seq)
                    })?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::observed::{At, ClientFact, Extent, Shown};
    use crate::story::Story;
    use tertulia_protocol::ids::{Cursor, RoomId};

    const RULE: &str = "revisions";
    const ROOM: RoomId = RoomId(1);

    fn change(story: Story, number: u64, cursor: Cursor, text_digest: Option<u64>) -> Story {
        let story = story.client(ClientFact::Revising { client: 7, number, room: ROOM, seq: 1, text_digest });
        story.client(ClientFact::Revised { client: 7, number, cursor })
    }

    fn edited() -> Story {
        change(change(Story::of(RULE), 2, 4, Some(20)), 3, 6, Some(30))
    }

    fn page(story: Story, text: Option<u64>, current: bool) -> Story {
        let shown = Shown::Page { asked: At(1_000_000), current };
        story.client(ClientFact::Texts { client: 8, room: ROOM, shown, posts: vec![(1, text)] })
    }

    fn event(story: Story, cursor: Cursor, text: Option<u64>) -> Story {
        story.client(ClientFact::Texts { client: 8, room: ROOM, shown: Shown::Event { cursor }, posts: vec![(1, text)] })
    }

    #[test]
    fn an_older_text_in_a_later_read_is_seen() {
        edited().read(8, Extent::Page, 0, &[(1, "hola")]).breaks(RULE, "as it was posted, though event 6");
        page(edited(), Some(20), true).breaks(RULE, "as event 4 made it, though event 6");
        event(edited(), 7, Some(20)).breaks(RULE, "as event 4 made it");
        change(event(Story::of(RULE), 7, Some(9)), 2, 5, None).breaks(RULE, "which was deleted");
    }

    #[test]
    fn what_was_deleted_and_speaks_is_seen() {
        page(change(edited(), 4, 8, None), Some(30), true).breaks(RULE, "which was deleted at event 8");
        change(change(edited(), 4, 8, None), 5, 9, Some(50)).breaks(RULE, "was deleted at event 8");
    }

    #[test]
    fn a_change_that_says_two_things_is_seen() {
        let changed = |client, digest| ClientFact::Changed { client, room: ROOM, cursor: 4, digest };
        Story::of(RULE).client(changed(7, 1)).client(changed(8, 2)).breaks(RULE, "something else to client 8");
    }

    #[test]
    fn what_is_as_it_is_now_or_was_asked_for_before_is_fine() {
        let story = event(event(page(page(edited(), Some(30), true), Some(20), false), 5, Some(20)), 7, Some(40));
        page(story, None, true).read(8, Extent::Page, 8, &[(1, "hola")]).holds();
        page(change(edited(), 4, 8, None), None, true).holds();
    }
}
