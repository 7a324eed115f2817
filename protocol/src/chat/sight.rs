//! What somebody may see of a room, and the reads that find it.
//!
//! A room's messages stand under their `seq`, its changes under their `cursor`, and a change knows how many messages there were before it. So the place of every message
//! among the events follows from the next change behind it: between two changes, posts and cursors go side by side.

use super::rows::{ChangeRow, MessageRow, change_cursor, change_key, message_key, message_place, thread_key, thread_seq};
use super::*;
use crate::contract::Query;

/// Events of one step of catching up.
const STEP: u32 = 256;
/// Rooms of one name among which a command finds the one that is meant.
const NAMESAKES: usize = 16;
/// Changes that are looked through for where the last messages begin.
const LOOK_BACK: u32 = 1_000;

/// How the events of a room from a place on are found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Events {
    /// By one read: nothing but posts lies ahead. `first`: the first one's place among the messages.
    Posts { query: Query, first: Seq },
    /// First the changes from here on, then by [`Chat::planned`].
    Changes { query: Query },
}

/// Where the last messages of a room begin, as far as that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastMessages {
    room: RoomId,
    /// The message before them.
    before: Seq,
    /// All changes in the room.
    changes: u64,
    /// The read of the newest changes, if some of them may stand among these messages.
    pub query: Option<Query>,
}

impl LastMessages {
    /// The event before the first of them. `rows`: what the query has found, the newest first.
    ///
    /// Among more changes than a read finds, fewer messages are shown than were asked for.
    ///
    /// # Errors
    /// A row that this version cannot read.
    pub fn begin(&self, rows: &[(Bytes, Bytes)]) -> Result<Cursor, EnvelopeError> {
        let mut behind = 0;
        for (key, value) in rows {
            let row: ChangeRow = crate::wire::open(Kind::ChangeRow, value)?;
            if row.base <= self.before {
                return Ok(self.before + self.changes - behind);
            }
            behind += 1;
            if behind == u64::from(LOOK_BACK) {
                return change_cursor(key).map(|cursor| cursor - 1).ok_or(EnvelopeError::TooShort);
            }
        }
        Ok(self.before + self.changes - behind)
    }

    pub fn room(&self) -> RoomId {
        self.room
    }
}

/// What stands at one place of a room's events, before the messages are there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned(pub(super) Vec<(Cursor, Plan)>);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    Post(Seq),
    Change(ChangeRow),
}

impl Chat {
    // ---- who may see what ---------------------------------------------------------------------------------------------------------------

    /// Finds a room by id, a public one by name, or one of the user's own by name: of several the oldest.
    pub fn find_room_for(&self, user: UserId, room: &RoomRef) -> Option<RoomId> {
        match room {
            RoomRef::Id(id) => self.rooms.contains_key(id).then_some(*id),
            RoomRef::Name(name) => {
                let name = names::fold(name);
                let own = || self.own_by_name.all(&name).find(|id| self.is_member(*id, user));
                let invited = || self.own_by_name.all(&name).find(|id| self.may_look_into(*id, user));
                self.room_by_name.first(&name).or_else(own).or_else(invited)
            }
        }
    }

    /// All rooms of a name: a public one, or the others; `None`: too many to look at.
    pub(super) fn rooms_named(&self, name: &str) -> Option<Vec<RoomId>> {
        let name = names::fold(name);
        if let Some(public) = self.room_by_name.first(&name) {
            return Some(Vec::from([public]));
        }
        let named: Vec<RoomId> = self.own_by_name.all(&name).take(NAMESAKES + 1).collect();
        (named.len() <= NAMESAKES).then_some(named)
    }

    /// Where a page of a room ends at the latest that keeps so many messages: right behind the newest one. `None`: it has no such end.
    pub fn end_of_page(&self, id: RoomId) -> Option<Seq> {
        let room = self.rooms.get(&id)?;
        matches!(room.info.rules.history, History::Last(_)).then_some(room.end.seq + 1)
    }

    /// Whether the user may know that the room exists.
    pub fn may_know(&self, id: RoomId, user: UserId) -> bool {
        self.rooms.get(&id).is_some_and(|room| {
            let invited = || room.standings.get(&user).is_some_and(|standing| standing.invited_by.is_some() || standing.banned);
            room.info.kind == RoomKind::Public || room.members.contains_key(&user) || invited()
        })
    }

    pub fn is_member(&self, room: RoomId, user: UserId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.members.contains_key(&user))
    }

    /// The first message of a room that the user may see; `None`: no message at all.
    pub fn first_visible(&self, id: RoomId, user: UserId) -> Option<Seq> {
        let room = self.rooms.get(&id)?;
        let member = room.members.get(&user);
        if member.is_none() {
            let banned = room.standings.get(&user).is_some_and(|standing| standing.banned);
            let open = room.info.kind == RoomKind::Public && matches!(room.info.rules.history, History::All | History::Last(_));
            if banned || !open {
                return None;
            }
        }
        let history = room.info.rules.history;
        #[cfg(feature = "zoo")]
        let history = if self.shows_all() { History::All } else { history };
        let first = match (history, member) {
            (History::Last(count), _) => (room.end.seq + 1).saturating_sub(u64::from(count)),
            (History::SinceJoin | History::None, Some(member)) => member.joined_seq + 1,
            _ => 1,
        };
        Some(first.max(room.end.first))
    }

    /// The event behind which a member's events begin.
    pub fn visible_after(&self, id: RoomId, user: UserId) -> Cursor {
        let Some(room) = self.rooms.get(&id) else { return 0 };
        let history = room.info.rules.history;
        #[cfg(feature = "zoo")]
        let history = if self.shows_all() { History::All } else { history };
        match (history, room.members.get(&user)) {
            (History::SinceJoin | History::None, Some(member)) => member.joined_after,
            _ => 0,
        }
    }

    #[cfg(feature = "zoo")]
    fn shows_all(&self) -> bool {
        self.bug == Some(crate::zoo::Bug::HistoryForLateJoiners)
    }

    /// Where a member's events of a room begin when it joins: behind the newest one.
    pub fn joined_after(&self, room: RoomId, user: UserId) -> Option<Cursor> {
        Some(self.rooms.get(&room)?.members.get(&user)?.joined_after)
    }

    /// The place of the room's newest event, 0 when there is none.
    pub fn last(&self, room: RoomId) -> Cursor {
        self.rooms.get(&room).map_or(0, |room| room.end.cursor)
    }

    /// Where the last so many messages of a room begin.
    pub fn last_messages(&self, room: RoomId, count: u32) -> LastMessages {
        let end = self.rooms.get(&room).map(|room| room.end).unwrap_or_default();
        let before = end.seq.saturating_sub(count.into());
        let changes = end.cursor - end.seq;
        let last = LastMessages { room, before, changes, query: None };
        if end.change + (end.seq - before) <= end.cursor {
            return last;
        }
        let (from, to) = (change_key(room, 0), change_key(room, end.cursor + 1));
        LastMessages { query: Some(Query::Range { from, to, limit: LOOK_BACK, backwards: true }), ..last }
    }

    /// The place of the room's newest message, 0 when there is none.
    pub fn last_message(&self, room: RoomId) -> Seq {
        self.rooms.get(&room).map_or(0, |room| room.end.seq)
    }

    pub fn rooms_of(&self, user: UserId) -> impl Iterator<Item = RoomId> {
        self.rooms_of.get(&user).into_iter().flatten().copied()
    }

    // ---- reads --------------------------------------------------------------------------------------------------------------------------

    /// The read that finds messages `after < seq < before` of a room, from the low end or (`backwards`) from the high end.
    pub fn messages(room: RoomId, after: Seq, before: Seq, limit: u32, backwards: bool) -> Query {
        let from = message_key(room, after.saturating_add(1));
        Query::Range { from, to: message_key(room, before), limit, backwards }
    }

    /// The read that finds these messages.
    pub fn messages_at(places: impl IntoIterator<Item = (RoomId, Seq)>) -> Query {
        Query::Keys { keys: places.into_iter().map(|(room, seq)| message_key(room, seq)).collect() }
    }

    /// The read that finds where the answers of a thread stand.
    pub fn thread(room: RoomId, root: Seq, after: Seq, limit: u32) -> Query {
        let (from, to) = (thread_key(room, root, after.max(root).saturating_add(1)), thread_key(room, root, Seq::MAX));
        Query::Range { from, to, limit, backwards: false }
    }

    /// The answers that [`Chat::thread`] has found.
    pub fn answers(room: RoomId, rows: &[(Bytes, Bytes)]) -> Vec<(RoomId, Seq)> {
        rows.iter().filter_map(|(key, _)| Some((room, thread_seq(key)?))).collect()
    }

    /// How to find a room's events from `next` on.
    pub fn events(&self, room: RoomId, next: Cursor) -> Events {
        let end = self.rooms.get(&room).map(|room| room.end).unwrap_or_default();
        if next > end.change {
            let first = end.seq.saturating_add(next).saturating_sub(end.cursor);
            let kept = first.max(self.first_message(room));
            // Only as far as there is nothing but posts by now: behind what comes while the read is under way, there may be a change.
            return Events::Posts { query: Chat::messages(room, kept.saturating_sub(1), end.seq + 1, STEP, false), first };
        }
        let (from, to) = (change_key(room, next), change_key(room, Cursor::MAX));
        Events::Changes { query: Query::Range { from, to, limit: STEP, backwards: false } }
    }

    /// What stands at each of the next places from `next` on, from the changes that [`Events::Changes`] has found, and the read that finds the messages.
    ///
    /// # Errors
    /// A row that this version cannot read.
    pub fn planned(&self, room: RoomId, next: Cursor, changes: &[(Bytes, Bytes)]) -> Result<(Planned, Query), EnvelopeError> {
        let end = self.rooms.get(&room).map(|room| room.end).unwrap_or_default();
        let mut plan = Vec::new();
        let mut cursor = next;
        for (key, value) in changes {
            let at = change_cursor(key).ok_or(EnvelopeError::TooShort)?;
            let row: ChangeRow = crate::wire::open(Kind::ChangeRow, value)?;
            while cursor < at && plan.len() < STEP as usize {
                plan.push((cursor, Plan::Post((row.base + cursor + 1).saturating_sub(at))));
                cursor += 1;
            }
            if plan.len() >= STEP as usize {
                break;
            }
            plan.push((at, Plan::Change(row)));
            cursor = at + 1;
        }
        // Behind the room's last change there are posts alone.
        while cursor > end.change && cursor <= end.cursor && plan.len() < STEP as usize {
            plan.push((cursor, Plan::Post(end.seq + cursor - end.cursor)));
            cursor += 1;
        }
        let seqs = plan.iter().filter_map(|(_, plan)| match plan {
            Plan::Post(seq) => Some(*seq),
            Plan::Change(row) => row.change.message(),
        });
        let seqs: BTreeSet<Seq> = seqs.collect();
        let query = Chat::messages_at(seqs.into_iter().map(|seq| (room, seq)));
        Ok((Planned(plan), query))
    }

    /// The events of a plan, with the messages that its read has found.
    ///
    /// # Errors
    /// A row that this version cannot read.
    pub fn events_of(&self, room: RoomId, planned: Planned, rows: &[(Bytes, Bytes)]) -> Result<Vec<Event>, EnvelopeError> {
        let mut posts = BTreeMap::new();
        let kept = self.first_message(room);
        for (key, value) in rows {
            let (_, post) = self.post_in(key, value)?;
            if post.seq >= kept {
                posts.insert(post.seq, post);
            }
        }
        let event = |(cursor, plan): (Cursor, Plan)| {
            let kind = match plan {
                Plan::Post(seq) => match posts.get(&seq) {
                    Some(post) => EventKind::Posted(post.clone()),
                    None => EventKind::Skipped { from: cursor },
                },
                Plan::Change(row) => {
                    let post = row.change.message().and_then(|seq| posts.get(&seq).cloned());
                    EventKind::Changed(alloc::boxed::Box::new(self.changed(&row, post)))
                }
            };
            Event { room, cursor, kind }
        };
        Ok(planned.0.into_iter().map(event).collect())
    }

    /// Whether an event shows a message that some members may not see: they joined after it was written.
    pub fn is_not_for_all(&self, event: &Event) -> bool {
        let history = self.rooms.get(&event.room).map(|room| room.info.rules.history);
        let shows = matches!(&event.kind, EventKind::Changed(changed) if changed.post.is_some());
        shows && matches!(history, Some(History::SinceJoin | History::None))
    }

    /// The event as this user may see it: what happened to a message is told, and what stands in it is not, if it is older than the user's membership.
    #[must_use]
    pub fn as_seen_by(&self, user: UserId, mut event: Event) -> Event {
        if let EventKind::Changed(changed) = &mut event.kind {
            let first = self.first_visible(event.room, user).unwrap_or(Seq::MAX);
            changed.post = changed.post.take().filter(|post| post.seq >= first);
        }
        event
    }

    /// A message as its readers see it, from its row, and its room.
    ///
    /// # Errors
    /// The row is none of a message, or of a version that this one does not know.
    pub fn post_in(&self, key: &Bytes, value: &Bytes) -> Result<(RoomId, Post), EnvelopeError> {
        let (room, seq) = message_place(key).ok_or(EnvelopeError::TooShort)?;
        Ok((room, self.post_of(room, seq, MessageRow::read(value)?)))
    }

    pub(super) fn post_of(&self, _room: RoomId, seq: Seq, mut row: MessageRow) -> Post {
        let author = self.users.get(&row.author);
        if author.is_some_and(|author| author.user.erased) && row.more.deleted.is_none() {
            let (by, at) = (row.author, row.at);
            super::messages::blank(&mut row, by, at);
        }
        let author_name = self.user_name(row.author).to_string();
        Post { seq, id: row.id, author: row.author, author_name, text: row.text, at: row.at, more: row.more }
    }

    pub(super) fn changed(&self, row: &ChangeRow, post: Option<Post>) -> Changed {
        let by_name = self.user_name(row.by).to_string();
        let user_name = row.change.user().map(|user| self.user_name(user).to_string()).unwrap_or_default();
        Changed { at: row.at, by: row.by, by_name, change: row.change.clone(), post, user_name }
    }
}

/// The text that a message's row holds, for whoever keeps an index of words; `None`: the row is no message's, or nothing is left in it.
pub fn message_text(key: &[u8], value: &Bytes) -> Option<(RoomId, Seq, UserId, Timestamp, String)> {
    let (room, seq) = message_place(key)?;
    let row = MessageRow::read(value).ok()?;
    row.more.deleted.is_none().then_some((room, seq, row.author, row.at, row.text))
}
