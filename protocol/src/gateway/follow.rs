//! Following rooms: catching up from the store, then live.
//!
//! Invariant: a live follower has been handed every event of the room up to its last one; one that catches up has been handed all below `next`. A room's live followers
//! are its audience. Events reach a follower in order, without gaps, once on each connection.

use super::reads::HistoryLoad;
use super::*;
use crate::chat::{ChatEvent, Events, LastMessages};
use crate::facts::Fact;
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::vec::Vec;
use bytes::Bytes;

/// Posts of one read while catching up.
#[cfg(feature = "zoo")]
const CATCH_UP: usize = 256;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Follow {
    CatchingUp { next: Cursor },
    Live,
}

impl Gateway {
    pub(super) fn follow(&mut self, replica: &Replica<Chat>, connection: ConnectionId, id: u64, room: RoomId, from: From) {
        match from {
            From::After(cursor) => self.begin_after(replica, connection, id, room, cursor),
            From::Last(count) => {
                #[cfg(feature = "zoo")]
                let count = if self.has(Bug::LastTooMany) { count + 1 } else { count };
                let last = replica.machine().last_messages(room, count);
                match last.query.clone() {
                    Some(query) => _ = self.load(query, HistoryLoad::Last { connection, id, last }),
                    None => self.begin_last(replica, connection, id, &last, &[]),
                }
            }
        }
    }

    /// The newest changes of a room are here: they tell where its last messages begin.
    pub(super) fn begin_last(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        last: &LastMessages,
        rows: &[(Bytes, Bytes)],
    ) {
        match last.begin(rows) {
            Ok(cursor) => self.begin_after(replica, connection, id, last.room(), cursor),
            Err(error) => self.unreadable(last.room(), &error),
        }
    }

    fn begin_after(&mut self, replica: &Replica<Chat>, connection: ConnectionId, id: u64, room: RoomId, cursor: Cursor) {
        let chat = replica.machine();
        // The user may have been made to leave while its changes were read.
        let Some(user) = self.user_on(connection).filter(|user| chat.is_member(room, *user)) else {
            return self.reply(connection, id, Err(Refusal::NotAMember { room }));
        };
        let cursor = cursor.min(chat.last(room)).max(chat.visible_after(room, user));
        self.reply(connection, id, Ok(Answer::Following { room, cursor }));
        self.begin(connection, room, cursor);
        self.pump(replica, connection);
    }

    pub(super) fn follow_all(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        id: u64,
        user: UserId,
        after: &[(RoomId, Cursor)],
    ) {
        let after: BTreeMap<RoomId, Cursor> = after.iter().copied().collect();
        let chat = replica.machine();
        let cursor = |room| {
            let asked = after.get(&room).map_or(chat.last(room), |cursor| (*cursor).min(chat.last(room)));
            asked.max(chat.visible_after(room, user))
        };
        let cursors: Vec<(RoomId, Cursor)> = chat.rooms_of(user).map(|room| (room, cursor(room))).collect();
        self.reply(connection, id, Ok(Answer::FollowingAll { cursors: cursors.clone() }));
        if let Some(known) = self.connections.get_mut(&connection) {
            known.follows_all = true;
        }
        for (room, cursor) in cursors {
            self.begin(connection, room, cursor);
        }
        self.pump(replica, connection);
    }

    pub(super) fn begin(&mut self, connection: ConnectionId, room: RoomId, cursor: Cursor) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        if known.loading.is_some_and(|(_, loading)| loading == room) {
            known.loading = None;
        }
        known.follows.insert(room, Follow::CatchingUp { next: cursor + 1 });
        self.audiences.remove(&room);
    }

    pub(super) fn unfollow(&mut self, connection: ConnectionId, room: RoomId) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        known.follows.remove(&room);
        self.audiences.remove(&room);
    }

    /// Something was applied that followers may want to hear of.
    pub(crate) fn handle_event(&mut self, replica: &Replica<Chat>, event: ChatEvent) {
        match event {
            ChatEvent::Room { event, .. } => self.publish(replica.machine(), event),
            ChatEvent::Joined { user, room, last } => {
                for connection in self.by_user.get(&user).cloned().unwrap_or_default() {
                    if self
                        .connections
                        .get(&connection)
                        .is_some_and(|known| known.follows_all && !known.follows.contains_key(&room))
                    {
                        self.begin(connection, room, last);
                        self.pump(replica, connection);
                    }
                }
            }
            ChatEvent::Left { user, room } => {
                for connection in self.by_user.get(&user).cloned().unwrap_or_default() {
                    self.unfollow(connection, room);
                }
            }
            ChatEvent::Closed { session, .. } => self.close_session(session),
            ChatEvent::Notice { .. } => self.notice(&event),
        }
    }

    pub(super) fn user_on(&self, connection: ConnectionId) -> Option<UserId> {
        self.connections.get(&connection)?.session.map(|(_, user)| user)
    }

    fn publish(&mut self, chat: &Chat, event: Event) {
        let (room, cost) = (event.room, event.cost());
        let audience = self.audience(room);
        #[cfg(feature = "zoo")]
        let audience = if self.has(Bug::DropForSlowReader) { self.keeping_up(&audience, cost) } else { audience };
        if audience.is_empty() {
            return;
        }
        let mut lagging = false;
        for connection in audience.iter() {
            let Some(known) = self.connections.get_mut(connection) else { continue };
            if known.outstanding.saturating_add(cost) > self.limits.reader_bytes {
                known.follows.insert(room, Follow::CatchingUp { next: event.cursor });
                lagging = true;
            } else {
                known.outstanding += cost;
            }
        }
        if lagging {
            self.fell_behind = true;
            self.audiences.remove(&room);
        }
        let to = if lagging { self.audience(room) } else { audience };
        // Who joined after a message was written is told that it was changed, and not what stands in it.
        let to = if chat.is_not_for_all(&event) { self.publish_in_part(chat, &to, &event) } else { to };
        if !to.is_empty() {
            self.outputs.push_back(node::Output::Publish { to, event: Arc::new(event) });
        }
    }

    /// Tells those who may not see all of an event what they may, and says who is left.
    fn publish_in_part(&mut self, chat: &Chat, to: &Audience, event: &Event) -> Audience {
        let (mut all, mut part) = (Vec::new(), Vec::new());
        let mut seen = event.clone();
        for connection in to.iter() {
            let as_seen = chat.as_seen_by(self.user_on(*connection).unwrap_or(UserId(0)), event.clone());
            if as_seen == *event {
                all.push(*connection);
            } else {
                part.push(*connection);
                seen = as_seen;
                // The reader gives back what the smaller one counts for.
                if let Some(known) = self.connections.get_mut(connection) {
                    known.outstanding = known.outstanding.saturating_sub(event.cost() - seen.cost());
                }
            }
        }
        if !part.is_empty() {
            self.outputs.push_back(node::Output::Publish { to: part.into_iter().collect(), event: Arc::new(seen) });
        }
        all.into_iter().collect()
    }

    fn audience(&mut self, room: RoomId) -> Audience {
        if let Some(audience) = self.audiences.get(&room) {
            return audience.clone();
        }
        let live = |(id, known): (&ConnectionId, &Connection)| (known.follows.get(&room) == Some(&Follow::Live)).then_some(*id);
        let audience: Audience = self.connections.iter().filter_map(live).collect();
        self.audiences.insert(room, audience.clone());
        audience
    }

    /// A reader has written events of this cost.
    pub(crate) fn handle_drained(&mut self, replica: &mut Replica<Chat>, connection: ConnectionId, bytes: u32) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        known.outstanding = known.outstanding.saturating_sub(bytes);
        self.pump(replica, connection);
    }

    /// Takes a connection's catching-up rooms further, one read at a time, while its reader keeps up.
    pub(super) fn pump(&mut self, replica: &Replica<Chat>, connection: ConnectionId) {
        if self.jumping {
            return;
        }
        let half = self.limits.reader_bytes / 2;
        loop {
            let Some(known) = self.connections.get_mut(&connection) else { return };
            if known.loading.is_some() || known.outstanding > half {
                return;
            }
            if !known.tails_owed.is_empty() && self.tell_more(connection) {
                continue;
            }
            let Some(known) = self.connections.get_mut(&connection) else { return };
            let behind = known.follows.iter().find_map(|(room, follow)| match follow {
                Follow::CatchingUp { next } => Some((*room, *next)),
                Follow::Live => None,
            });
            let Some((room, next)) = behind else { return };
            if next > replica.machine().last(room) {
                known.follows.insert(room, Follow::Live);
                self.audiences.remove(&room);
                self.tell_tail(connection, room);
                continue;
            }
            let load = match replica.machine().events(room, next) {
                Events::Posts { query, first } => self.load(query, HistoryLoad::CatchUp { connection, room, first }),
                Events::Changes { query } => self.load(query, HistoryLoad::Changes { connection, room }),
            };
            if let Some(known) = self.connections.get_mut(&connection) {
                known.loading = Some((load, room));
            }
        }
    }

    pub(super) fn caught_up(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        (load, room): (LoadId, RoomId),
        first: Seq,
        rows: &[(Bytes, Bytes)],
    ) {
        #[cfg(feature = "zoo")]
        let too_early = self.has(Bug::LiveTooEarly) && rows.len() < CATCH_UP;
        let Some(next) = self.catching_up(connection, load, room) else { return self.pump(replica, connection) };
        let mut events = Vec::with_capacity(rows.len());
        let (mut cursor, mut seq) = (next, first);
        // Where the room's rule has taken messages away, the ones that are left follow.
        let skip_to = |cursor: &mut Cursor, seq: &mut Seq, found: Seq, events: &mut Vec<Event>| {
            if found > *seq {
                let from = core::mem::replace(cursor, *cursor + (found - *seq));
                events.push(Event { room, cursor: *cursor - 1, kind: EventKind::Skipped { from } });
                *seq = found;
            }
        };
        for (key, value) in rows {
            let post = match replica.machine().post_in(key, value) {
                Ok((_, post)) => post,
                Err(error) => return self.unreadable(room, &error),
            };
            skip_to(&mut cursor, &mut seq, post.seq, &mut events);
            events.push(Event { room, cursor, kind: EventKind::Posted(post) });
            (cursor, seq) = (cursor + 1, seq + 1);
        }
        if rows.is_empty() && first > 0 {
            skip_to(&mut cursor, &mut seq, replica.machine().first_message(room), &mut events);
            if events.is_empty() && replica.machine().last(room) >= next {
                return self.unreadable(room, &crate::wire::EnvelopeError::TooShort);
            }
        }
        self.hand_over_now(connection, room, events);
        #[cfg(feature = "zoo")]
        if too_early && let Some(known) = self.connections.get_mut(&connection) {
            known.follows.insert(room, Follow::Live);
            self.audiences.remove(&room);
        }
        self.pump(replica, connection);
    }

    /// Where a follower is that this load was for; `None`: it has begun anew in the meantime, or is gone.
    fn catching_up(&mut self, connection: ConnectionId, load: LoadId, room: RoomId) -> Option<Cursor> {
        let known = self.connections.get_mut(&connection)?;
        if known.loading != Some((load, room)) {
            return None;
        }
        known.loading = None;
        match known.follows.get(&room) {
            Some(Follow::CatchingUp { next }) => Some(*next),
            _ => None,
        }
    }

    /// The changes from where a follower is are here; now the messages that lie between them.
    pub(super) fn plan(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        (load, room): (LoadId, RoomId),
        rows: &[(Bytes, Bytes)],
    ) {
        let Some(next) = self.catching_up(connection, load, room) else { return self.pump(replica, connection) };
        match replica.machine().planned(room, next, rows) {
            Ok((planned, query)) => {
                let load = self.load(query, HistoryLoad::Events { connection, room, planned });
                if let Some(known) = self.connections.get_mut(&connection) {
                    known.loading = Some((load, room));
                }
            }
            Err(error) => self.unreadable(room, &error),
        }
    }

    pub(super) fn hand_over(
        &mut self,
        replica: &Replica<Chat>,
        connection: ConnectionId,
        (load, room): (LoadId, RoomId),
        events: Vec<Event>,
    ) {
        if self.catching_up(connection, load, room).is_some() {
            self.hand_over_now(connection, room, events);
        }
        self.pump(replica, connection);
    }

    /// Hands a follower its next events, as far as its credit reaches.
    fn hand_over_now(&mut self, connection: ConnectionId, room: RoomId, events: Vec<Event>) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        let Some(Follow::CatchingUp { next }) = known.follows.get_mut(&room) else { return };
        for event in events {
            if event.begins() != *next || known.outstanding > self.limits.reader_bytes {
                break;
            }
            *next = event.cursor + 1;
            known.outstanding += event.cost();
            self.outputs.push_back(node::Output::Publish { to: known.alone.clone(), event: Arc::new(event) });
        }
    }

    /// The fact behind an event, for the judge.
    pub(crate) fn fact(event: &ChatEvent) -> Option<Fact> {
        match event {
            ChatEvent::Room { index, event: Event { room, kind: EventKind::Posted(post), .. } } => {
                Some(Fact::Posted { index: *index, room: *room, seq: post.seq, id: post.id })
            }
            _ => None,
        }
    }
}
