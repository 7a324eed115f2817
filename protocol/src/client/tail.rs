//! Tentative messages of followed rooms: each room's *tail*, behind its committed messages.
//!
//! - A tail is what events have told (`Tentative`, `Withdrawn`, `Tail`), by the messages' ids, in the order that the messages carry. Those events have no place in the room and
//!   are not delivered; [`Output::Tail`] says that a tail has changed.
//! - A message leaves its tail when it is delivered as committed, in the same step: it is shown all the time, and once. What was delivered or refused does not come back, though a
//!   node that is behind tells of it: ids are remembered, and what that node sends again of the room, or its answer to the next question, does the rest.
//! - What was told on an earlier connection is *doubtful* on the next one, and asked about ([`Ask::Tentative`]). What the answer does not name has been committed, then it
//!   is among the events through the answer's cursor, or is not known there: when those have been delivered it goes.
//! - An own message stays until its command is settled, whatever a node knows: the client still holds it, and is about to give it to that node.
//! - Bounded: [`LIMIT`] messages a room, the oldest; newer ones are left out until there is room. They are shown when they are committed.

use super::*;
use crate::chat::Change;
use crate::gateway::{EventKind, TentativePost};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;

/// Messages of one room's tail.
pub(super) const LIMIT: usize = 2_000;
/// Ids that are remembered of messages that are tentative no more.
const REMEMBERED: usize = 1_024;

type Place = (Timestamp, OutboxId, u64);

#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    posts: BTreeMap<(Place, MessageId), TentativePost>,
    /// Where each stands in `posts`.
    places: BTreeMap<MessageId, Place>,
    /// Told on an earlier connection, and not by this one's server.
    doubtful: BTreeSet<MessageId>,
    /// What is doubtful goes when the room's events through here have been delivered.
    until: Option<Cursor>,
    /// The question for what this server knows.
    stage: Option<Stage>,
}

impl Tail {
    fn is_needed(&self) -> bool {
        !self.posts.is_empty() || self.stage == Some(Stage::Sent)
    }

    fn remove(&mut self, id: MessageId) -> Option<TentativePost> {
        self.doubtful.remove(&id);
        let place = self.places.remove(&id)?;
        self.posts.remove(&(place, id))
    }

    /// Takes a message in, or its new state. False: nothing is different.
    ///
    /// The same message may have come to several nodes, and stands where it stood first: no screen shows it jump behind what was written later.
    fn put(&mut self, mut post: TentativePost) -> bool {
        self.doubtful.remove(&post.id);
        let id = post.id;
        let place = self.places.get(&id).map_or(post.order, |known| post.order.min(*known));
        post.order = place;
        let is_known = self.places.get(&id) == Some(&place);
        if is_known && self.posts.get(&(place, id)) == Some(&post) {
            return false;
        }
        let was_there = self.remove(id).is_some();
        if self.posts.len() >= LIMIT {
            let last = self.posts.last_key_value().map(|(key, _)| *key);
            let Some((_, newest)) = last.filter(|last| *last > (place, id)) else { return was_there };
            self.remove(newest);
        }
        self.places.insert(id, place);
        self.posts.insert((place, id), post);
        true
    }

    /// What is shown comes from another server.
    fn doubt(&mut self) {
        self.doubtful = self.places.keys().copied().collect();
        self.until = None;
    }

    /// Drops what is doubtful where the room has come to `cursor`.
    fn drop_doubtful(&mut self, cursor: Cursor) -> bool {
        if self.until.is_none_or(|until| cursor < until) {
            return false;
        }
        self.until = None;
        let doubtful = core::mem::take(&mut self.doubtful);
        doubtful.into_iter().filter(|id| self.remove(*id).is_some()).count() > 0
    }
}

impl Client {
    /// The tentative messages of a room, in the order in which they are shown behind the committed ones.
    pub fn tail(&self, room: RoomId) -> impl Iterator<Item = &TentativePost> {
        self.tails.get(&room).into_iter().flat_map(|tail| tail.posts.values())
    }

    /// An event without a place.
    pub(super) fn hint(&mut self, event: Arc<Event>) {
        let room = event.room;
        match &event.kind {
            EventKind::Withdrawn { id, refusal } => {
                self.hurry(*id);
                self.withdraw_post(room, *id, refusal);
            }
            EventKind::Tentative(_) | EventKind::Tail(_) if !self.follows(room) => {}
            EventKind::Tentative(post) => {
                let is_new = !self.remembered.contains(&post.id);
                if is_new && self.tails.entry(room).or_default().put(post.as_ref().clone()) {
                    self.tail_changed(room);
                }
            }
            EventKind::Tail(posts) => self.replace_tail(room, posts),
            _ => self.outputs.push_back(Output::Deliver(event)),
        }
    }

    fn replace_tail(&mut self, room: RoomId, posts: &[TentativePost]) {
        let (own, gone) = (self.own_accepted(), self.gone());
        let before = self.tails.remove(&room).unwrap_or_default();
        let mut tail = Tail { stage: before.stage.filter(|stage| *stage == Stage::Sent), ..Tail::default() };
        for post in before.posts.values().filter(|post| own.contains(&post.id)).chain(posts) {
            if !gone.contains(&post.id) {
                let order = before.places.get(&post.id).map_or(post.order, |known| post.order.min(*known));
                tail.put(TentativePost { order, ..post.clone() });
            }
        }
        let is_changed = tail.posts != before.posts;
        self.tails.insert(room, tail);
        if is_changed { self.tail_changed(room) } else { self.tidy(room) }
    }

    /// A tentative message was refused.
    fn withdraw_post(&mut self, room: RoomId, id: MessageId, refusal: &Refusal) {
        let Some(post) = self.tails.get_mut(&room).and_then(|tail| tail.remove(id)) else { return };
        self.remember(id);
        self.outputs.push_back(Output::Withdrawn { room, post: Box::new(post), refusal: refusal.clone() });
        self.tail_changed(room);
    }

    /// An own command that was accepted is refused: its message goes with it, if the room was not told before.
    pub(super) fn own_refused(&mut self, id: MessageId, refusal: &Refusal) {
        let room = self.tails.iter().find(|(_, tail)| tail.places.contains_key(&id)).map(|(room, _)| *room);
        if let Some(room) = room {
            self.withdraw_post(room, id, refusal);
        }
    }

    /// An event of this room was delivered.
    pub(super) fn tail_after(&mut self, event: &Event) {
        let room = event.room;
        if let EventKind::Posted(post) = &event.kind {
            self.remember(post.id);
            self.hurry(post.id);
        }
        let Some(tail) = self.tails.get_mut(&room) else { return };
        let mut is_changed = tail.drop_doubtful(event.cursor);
        match &event.kind {
            EventKind::Posted(post) => is_changed |= tail.remove(post.id).is_some(),
            EventKind::Changed(changed) => {
                let is_out = match changed.change {
                    Change::Left { user } | Change::Kicked { user } | Change::Banned { user, on: true } => Some(user),
                    _ => None,
                };
                if is_out.is_some() && is_out == self.user {
                    return self.drop_tail(room);
                }
            }
            // Any of them may have been committed among what is no longer kept.
            EventKind::Skipped { .. } => self.ask_for_tail(room),
            _ => {}
        }
        if is_changed {
            self.tail_changed(room);
        }
    }

    /// A server that is behind sends again what was delivered: what is committed is tentative no more.
    pub(super) fn seen_again(&mut self, event: &Event) {
        if let EventKind::Posted(post) = &event.kind
            && self.tails.get_mut(&event.room).is_some_and(|tail| tail.remove(post.id).is_some())
        {
            self.remember(post.id);
            self.tail_changed(event.room);
        }
    }

    /// The room is followed (again): what is shown of it may not be what this server knows.
    pub(super) fn ask_for_tail(&mut self, room: RoomId) {
        let now = self.now;
        if let Some(tail) = self.tails.get_mut(&room) {
            tail.doubt();
            tail.stage = (!tail.posts.is_empty()).then_some(Stage::Due { at: now });
        }
    }

    /// All rooms of the session are followed (again), these: what is shown of others is not this user's to see any more.
    pub(super) fn ask_for_tails(&mut self, rooms: &[(RoomId, Cursor)]) {
        let rooms: BTreeSet<RoomId> = rooms.iter().map(|(room, _)| *room).collect();
        for room in self.tails.keys().copied().collect::<Vec<_>>() {
            let by_itself = self.follows.values().any(|followed| followed.id == Some(room));
            match rooms.contains(&room) {
                _ if by_itself => {}
                true => self.ask_for_tail(room),
                false => self.drop_tail(room),
            }
        }
    }

    pub(super) fn due_tails(&mut self, due: &mut Vec<(About, Ask)>) {
        let now = self.now;
        for (room, tail) in &mut self.tails {
            if tail.stage.as_ref().is_some_and(|stage| stage.is_due(now)) {
                tail.stage = Some(Stage::Sent);
                due.push((About::Tail(*room), Ask::Tentative { room: RoomRef::Id(*room) }));
            }
        }
    }

    pub(super) fn tail_stages(&self) -> impl Iterator<Item = &Stage> {
        self.tails.values().filter_map(|tail| tail.stage.as_ref())
    }

    pub(super) fn answered_tail(&mut self, room: RoomId, result: Result<Answer, Refusal>) {
        let again_at = self.retry_at(&result);
        let (own, gone, cursor_now) = (self.own_accepted(), self.gone(), self.place_in(room));
        let Some(tail) = self.tails.get_mut(&room) else { return };
        match result {
            Ok(Answer::Tentative { cursor, posts, .. }) => {
                tail.stage = None;
                let mut is_changed = false;
                for post in posts.into_iter().filter(|post| !gone.contains(&post.id)) {
                    is_changed |= tail.put(post);
                }
                tail.doubtful.retain(|id| !own.contains(id));
                tail.until = Some(tail.until.map_or(cursor, |until| until.max(cursor)));
                is_changed |= tail.drop_doubtful(cursor_now.unwrap_or(cursor));
                if is_changed { self.tail_changed(room) } else { self.tidy(room) }
            }
            Err(refusal) if !refusal.is_temporary() => self.drop_tail(room),
            _ => {
                tail.stage = Some(Stage::Due { at: again_at });
                self.tidy(room);
            }
        }
    }

    /// Every room is to be followed anew, on the next connection.
    pub(super) fn doubt_tails(&mut self) {
        self.tails.retain(|_, tail| {
            tail.stage = None;
            tail.doubt();
            tail.is_needed()
        });
    }

    /// The room is followed no more.
    pub(super) fn drop_tail(&mut self, room: RoomId) {
        if self.tails.remove(&room).is_some_and(|tail| !tail.posts.is_empty()) {
            self.tail_changed(room);
        }
    }

    pub(super) fn follows(&self, room: RoomId) -> bool {
        self.all.is_some() || self.follows.values().any(|followed| followed.id == Some(room))
    }

    /// The last event of a room that was delivered.
    fn place_in(&self, room: RoomId) -> Option<Cursor> {
        let followed = self.follows.values().find(|followed| followed.id == Some(room));
        followed.map_or_else(|| self.cursor(room), |followed| followed.cursor)
    }

    /// Told once for several changes in a row, and behind what was delivered among them.
    fn tail_changed(&mut self, room: RoomId) {
        self.tidy(room);
        self.outputs.retain(|output| *output != Output::Tail { room });
        self.outputs.push_back(Output::Tail { room });
    }

    fn tidy(&mut self, room: RoomId) {
        if self.tails.get(&room).is_some_and(|tail| !tail.is_needed()) {
            self.tails.remove(&room);
        }
    }

    fn remember(&mut self, id: MessageId) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(id);
    }

    fn gone(&self) -> BTreeSet<MessageId> {
        self.remembered.iter().copied().collect()
    }

    /// Messages of this client that are accepted and not settled.
    fn own_accepted(&self) -> BTreeSet<MessageId> {
        self.commands.values().filter_map(|held| held.accepted.map(|(id, _)| id)).collect()
    }
}
