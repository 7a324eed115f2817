//! Following rooms: catching up from the store, then live.
//!
//! Invariant: a live follower has been handed every event of the room up to its last one; one that catches up has been handed all below `next`. A room's live followers
//! are its audience. Events reach a follower in order, without gaps, once on each connection.

use super::reads::HistoryLoad;
use super::*;
use crate::chat::ChatEvent;
use crate::facts::Fact;
#[cfg(feature = "zoo")]
use crate::zoo::Bug;
use alloc::vec::Vec;
use bytes::Bytes;

/// Events of one read while catching up.
const CATCH_UP: u32 = 256;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Follow {
    CatchingUp { next: Cursor },
    Live,
}

impl Gateway {
    pub(super) fn follow(&mut self, replica: &Replica<Chat>, connection: ConnectionId, id: u64, room: RoomId, from: From) {
        let last = replica.machine().last(room);
        let cursor = match from {
            From::After(cursor) => cursor.min(last),
            #[cfg(feature = "zoo")]
            From::Last(count) if self.has(Bug::LastTooMany) => last.saturating_sub(u64::from(count) + 1),
            From::Last(count) => last.saturating_sub(u64::from(count)),
        };
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
        let cursor = |room| after.get(&room).map_or(chat.last(room), |cursor| (*cursor).min(chat.last(room)));
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
            ChatEvent::Room { event, .. } => self.publish(event),
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
        }
    }

    fn publish(&mut self, event: Event) {
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
        if !to.is_empty() {
            self.outputs.push_back(node::Output::Publish { to, event: Arc::new(event) });
        }
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
            let behind = known.follows.iter().find_map(|(room, follow)| match follow {
                Follow::CatchingUp { next } => Some((*room, *next)),
                Follow::Live => None,
            });
            let Some((room, next)) = behind else { return };
            if next > replica.machine().last(room) {
                known.follows.insert(room, Follow::Live);
                self.audiences.remove(&room);
                continue;
            }
            let query = Chat::messages(room, next - 1, Seq::MAX, CATCH_UP, false);
            let load = self.load(query, HistoryLoad::CatchUp { connection, room });
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
        rows: &[(Bytes, Bytes)],
    ) {
        #[cfg(feature = "zoo")]
        let too_early = self.has(Bug::LiveTooEarly) && rows.len() < CATCH_UP as usize;
        let Some(known) = self.connections.get_mut(&connection) else { return };
        if known.loading != Some((load, room)) {
            // The reader has begun anew in the meantime.
            return self.pump(replica, connection);
        }
        known.loading = None;
        let Some(Follow::CatchingUp { next }) = known.follows.get_mut(&room) else { return self.pump(replica, connection) };
        for (key, value) in rows {
            let post = match replica.machine().post(key, value) {
                Ok(post) => post,
                Err(error) => return self.unreadable(room, &error),
            };
            if post.seq != *next || known.outstanding > self.limits.reader_bytes {
                break;
            }
            *next += 1;
            let event = Event { room, cursor: post.seq, kind: EventKind::Posted(post) };
            known.outstanding += event.cost();
            self.outputs.push_back(node::Output::Publish { to: known.alone.clone(), event: Arc::new(event) });
        }
        #[cfg(feature = "zoo")]
        if too_early {
            known.follows.insert(room, Follow::Live);
            self.audiences.remove(&room);
        }
        self.pump(replica, connection);
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
