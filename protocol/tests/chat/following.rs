//! What a follower is handed, from any place on, is the room's events in order; and where its last messages begin.

use super::random::{cases, runner};
use super::stage::Stage;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::{Event, EventKind};
use tertulia_protocol::ids::*;

/// A room with two people who write, change, come and go. What is drawn for each step: what, a number.
type Steps = Vec<(u8, u16)>;

struct Hall {
    stage: Stage,
    ada: SessionId,
    bob: SessionId,
    room: RoomId,
}

fn name(name: &str) -> Opening {
    Opening::Name { name: name.into(), device: String::new() }
}

fn hall(steps: &Steps) -> Hall {
    let mut stage = Stage::with(Limits::default(), BTreeMap::new());
    stage.looks = false;
    let (ada, bob) = (stage.open(&name("ada")).unwrap(), stage.open(&name("bob")).unwrap());
    let Ok(Done::Room { room, .. }) = stage.ask(ada, &Command::CreateRoom { name: "hall".into() }) else { panic!("a room") };
    let mut hall = Hall { stage, ada, bob, room };
    for (what, number) in steps {
        hall.step(*what, *number);
    }
    hall
}

impl Hall {
    fn step(&mut self, what: u8, number: u16) {
        let room = RoomRef::Id(self.room);
        let who = if number.is_multiple_of(3) { self.bob } else { self.ada };
        // The latest messages, mostly: changes of old ones come once in a while.
        let last = self.stage.chat().last_message(self.room);
        let seq = last.saturating_sub(Seq::from(number % 7)).max(1);
        let text = format!("text {number}");
        let command = match what {
            0..50 => Command::Post { room, text },
            50..56 => Command::Respond { room, to: seq, text },
            56..68 => Command::Edit { room, seq, text },
            68..76 => Command::React { room, seq, emoji: "x".into(), on: number.is_multiple_of(2) },
            76..80 => Command::Delete { room, seq },
            80..84 => Command::SetTopic { room, topic: text },
            84..89 => Command::Join { room },
            89..91 => Command::Leave { room },
            91..95 => Command::Read { room, seq: last },
            // A flood, so that rules have something to take away, and reads are cut.
            95..97 => {
                for nth in 0..number % 150 {
                    _ = self.stage.ask(self.ada, &Command::Post { room: room.clone(), text: format!("flood {nth}") });
                }
                return;
            }
            97 => {
                for nth in 0..number % 600 {
                    _ = self.stage.ask(self.ada, &Command::SetTopic { room: room.clone(), topic: format!("flood {nth}") });
                }
                return;
            }
            _ => {
                let history = match number % 5 {
                    0 => History::All,
                    1 => History::Last(3),
                    2 => History::Last(60),
                    3 => History::SinceJoin,
                    _ => History::None,
                };
                Command::SetRules { room, rules: Rules { history, ..Rules::default() } }
            }
        };
        _ = self.stage.ask(who, &command);
    }

    /// All that was told of the room while it happened.
    fn told(&self) -> Vec<Event> {
        let events = self.stage.events.iter();
        events.filter_map(|event| if let ChatEvent::Room { event, .. } = event { Some(event.clone()) } else { None }).collect()
    }

    /// The events from `next` on, as a node's gateway finds them.
    fn followed(&self, mut next: Cursor) -> Vec<Event> {
        let chat = self.stage.chat();
        let mut events = Vec::new();
        while next <= chat.last(self.room) {
            let step = match chat.events(self.room, next) {
                Events::Posts { query, first } => self.posts(next, first, &self.stage.read(&query)),
                Events::Changes { query } => {
                    let (planned, query) = chat.planned(self.room, next, &self.stage.read(&query)).unwrap();
                    chat.events_of(self.room, planned, &self.stage.read(&query)).unwrap()
                }
            };
            assert!(!step.is_empty() && step.len() <= 512, "a step goes on, and is bounded: {} from {next}", step.len());
            next = step.last().unwrap().cursor + 1;
            events.extend(step);
        }
        events
    }

    /// Posts from one read, the gaps between them skipped, as `gateway/follow.rs` says it.
    fn posts(&self, next: Cursor, first: Seq, rows: &[(bytes::Bytes, bytes::Bytes)]) -> Vec<Event> {
        let (chat, room) = (self.stage.chat(), self.room);
        let (mut events, mut cursor, mut seq) = (Vec::new(), next, first);
        let found = rows.iter().map(|(key, row)| chat.post_in(key, row).unwrap().1);
        let skip = |to: Seq, cursor: &mut Cursor, seq: &mut Seq, events: &mut Vec<Event>| {
            if to > *seq {
                let from = *cursor;
                *cursor += to - *seq;
                *seq = to;
                events.push(Event { room, cursor: *cursor - 1, kind: EventKind::Skipped { from } });
            }
        };
        for post in found {
            skip(post.seq, &mut cursor, &mut seq, &mut events);
            events.push(Event { room, cursor, kind: EventKind::Posted(post) });
            (cursor, seq) = (cursor + 1, seq + 1);
        }
        if rows.is_empty() {
            skip(chat.first_message(room), &mut cursor, &mut seq, &mut events);
        }
        events
    }

    fn check(&self) -> Result<(), String> {
        let (chat, told) = (self.stage.chat(), self.told());
        let kept = chat.first_message(self.room);
        // From every place while there are few, from some when there are many.
        let last = chat.last(self.room);
        let places = (1..=last + 1).filter(|next| last < 60 || next % 37 == 0 || *next + 5 > last || *next < 5);
        for next in places {
            let mut at = next;
            for event in self.followed(next) {
                let begins = if let EventKind::Skipped { from } = event.kind { from } else { event.cursor };
                if begins != at {
                    return Err(format!("from {next}: {event:?} where {at} was to come"));
                }
                for cursor in begins..=event.cursor {
                    self.same(&told[cursor as usize - 1], &event, kept)
                        .map_err(|why| format!("from {next} at {cursor}: {why}"))?;
                }
                at = event.cursor + 1;
            }
            if at != last + 1 {
                return Err(format!("from {next}: it ends before {at}, the room with {last}"));
            }
        }
        for count in [0, 1, 2, 5, 17, 300] {
            self.last_messages(count, &told)?;
        }
        self.visible(&told)
    }

    /// What was told and what is found later: the same place, the same thing, the message as it is now.
    fn same(&self, told: &Event, found: &Event, kept: Seq) -> Result<(), String> {
        match (&told.kind, &found.kind) {
            (EventKind::Posted(told), EventKind::Posted(found))
                if (told.seq, told.id, told.author, told.at) == (found.seq, found.id, found.author, found.at)
                    && found.seq >= kept =>
            {
                return Ok(());
            }
            (EventKind::Posted(told), EventKind::Skipped { .. }) if told.seq < kept => return Ok(()),
            (EventKind::Changed(told), EventKind::Changed(found)) => {
                let shown = found.post.as_ref().map(|post| post.seq);
                let expected = told.change.message().filter(|seq| *seq >= kept);
                if (told.at, told.by, &told.change) == (found.at, found.by, &found.change) && shown == expected {
                    return Ok(());
                }
            }
            _ => {}
        }
        Err(format!("told {told:?}, found {found:?}, kept from {kept}"))
    }

    /// The last so many messages begin exactly so many before the end.
    fn last_messages(&self, count: u32, told: &[Event]) -> Result<(), String> {
        let last = self.stage.chat().last_messages(self.room, count);
        let rows = last.query.as_ref().map(|query| self.stage.read(query)).unwrap_or_default();
        let begin = last.begin(&rows).unwrap();
        let posts = told[begin as usize..].iter().filter(|event| matches!(event.kind, EventKind::Posted(_))).count();
        let all = told.iter().filter(|event| matches!(event.kind, EventKind::Posted(_))).count();
        let look_back = rows.len() >= 1_000;
        if posts != all.min(count as usize) && !look_back || posts > count as usize {
            return Err(format!("{posts} messages after {begin}, not {count} of {all}"));
        }
        // It begins with a message, unless there is none.
        if count > 0 && posts > 0 && !look_back && all > posts && !matches!(told[begin as usize].kind, EventKind::Posted(_)) {
            return Err(format!("the last {count} begin with {:?}", told[begin as usize]));
        }
        Ok(())
    }

    /// Where history begins with joining, neither events nor messages from before are a late joiner's.
    fn visible(&self, told: &[Event]) -> Result<(), String> {
        let chat = self.stage.chat();
        for user in [UserId(1), UserId(2)].into_iter().filter(|user| chat.is_member(self.room, *user)) {
            let view = chat.room_view(self.room, user).unwrap();
            let begins = matches!(view.rules.history, History::SinceJoin | History::None);
            let joined = chat.joined_after(self.room, user).unwrap();
            let after = chat.visible_after(self.room, user);
            if after != if begins { joined } else { 0 } {
                return Err(format!("{user} sees what is after {after}, and joined at {joined}"));
            }
            let before = told[..joined as usize].iter().filter(|event| matches!(event.kind, EventKind::Posted(_))).count() as Seq;
            let first = chat.first_visible(self.room, user).unwrap();
            if begins && first <= before || first < chat.first_message(self.room) {
                return Err(format!("{user} sees from {first} on, and {before} stood there when it joined"));
            }
            for event in self.followed(after + 1).into_iter().map(|event| chat.as_seen_by(user, event)) {
                let shown = match &event.kind {
                    EventKind::Posted(post) => Some(post.seq),
                    EventKind::Changed(changed) => changed.post.as_ref().map(|post| post.seq),
                    _ => None,
                };
                if shown.is_some_and(|seq| seq < first) {
                    return Err(format!("{user} is shown {event:?}, and sees from {first} on"));
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_follower_is_handed_every_event_once_and_in_order_from_wherever_it_begins() {
    let steps = prop::collection::vec((0u8..100, any::<u16>()), 1..120);
    let result = runner(cases(200)).run(&steps, |steps| hall(&steps).check().map_err(TestCaseError::fail));
    if let Err(broken) = result {
        panic!("{broken}");
    }
}
