//! Followed rooms: a cursor for each, events in order, without gaps, once.
//!
//! - A room is followed by itself, or with all rooms of the session at once; both on the one connection.
//! - An event that was delivered before is dropped. One that leaves a gap is not delivered: the server is asked to begin again after the last one that was.
//! - A new connection begins after the last delivered event. Of a room that was never heard of, the first event is where it begins; a room that this client joins begins
//!   after the place that the outcome of the join names.

use super::kept::cursor_record;
use super::*;
use crate::chat::Done;

#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub room: RoomRef,
    pub from: From,
    /// Known once the server has said so.
    pub id: Option<RoomId>,
    /// The last event delivered.
    pub cursor: Option<Cursor>,
    pub stage: Stage,
    /// The answer has come: events flow.
    pub flowing: bool,
}

/// All rooms of the session are followed.
#[derive(Clone, Debug)]
pub(super) struct All {
    pub stage: Stage,
    /// The answer has come: a gap is a gap.
    pub flowing: bool,
}

impl Client {
    /// Follows a room from a place on, over all servers. Only members may: join first. After a restart, [`Client::cursor`] says where the last run was.
    pub fn follow(&mut self, now: Now, room: RoomRef, from: From) {
        self.now = now.instant;
        let id = self.next_follow;
        self.next_follow += 1;
        let stage = Stage::Due { at: now.instant };
        self.follows.insert(id, Followed { room, from, id: None, cursor: None, stage, flowing: false });
    }

    /// Follows every room that the session's user is in, also those joined later: each from where this client or an earlier run of it was, others from now.
    pub fn follow_all(&mut self, now: Now) {
        self.now = now.instant;
        self.ask_for_all();
    }

    /// Follows a room by itself no more: it was left, say. What is on its way is dropped.
    pub fn unfollow(&mut self, room: RoomId) {
        self.follows.retain(|_, followed| followed.id != Some(room) && followed.room != RoomRef::Id(room));
        if !self.follows(room) {
            self.drop_tail(room);
        }
    }

    /// The last event of a room that was delivered, or where following it began.
    pub fn cursor(&self, room: RoomId) -> Option<Cursor> {
        self.cursors.get(&room).copied()
    }

    pub fn handle_event(&mut self, now: Now, event: Arc<Event>) {
        self.now = now.instant;
        self.heard = now.instant;
        if event.cursor == 0 {
            // It has no place, and nothing is missed with it.
            return self.hint(event);
        }
        let Some(followed) = self.follows.values_mut().find(|followed| followed.id == Some(event.room) && followed.flowing)
        else {
            return self.event_of_all(event);
        };
        let Some(cursor) = followed.cursor else { return };
        // What is no longer kept is one event over all of its places.
        let is_next = event.begins() <= cursor + 1 && event.cursor > cursor;
        #[cfg(feature = "zoo")]
        let is_next = is_next || event.cursor <= cursor && self.zoo.has(Bug::DeliverAgain);
        if is_next {
            followed.cursor = Some(event.cursor);
            self.deliver(event);
        } else if event.cursor > cursor {
            // Something is missing: begin again after the last one that was delivered.
            followed.flowing = false;
            followed.stage = Stage::Due { at: now.instant };
        } else {
            self.seen_again(&event);
        }
    }

    fn event_of_all(&mut self, event: Arc<Event>) {
        let Some(all) = &self.all else { return };
        // A room of its own that is not flowing yet is begun from another place than all rooms.
        if self.follows.values().any(|followed| followed.id == Some(event.room)) {
            return;
        }
        match self.cursors.get(&event.room) {
            Some(last) if event.cursor <= *last => self.seen_again(&event),
            Some(last) if event.begins() > last + 1 => {
                if all.flowing {
                    self.ask_for_all();
                }
            }
            _ => self.deliver(event),
        }
    }

    fn ask_for_all(&mut self) {
        self.all = Some(All { stage: Stage::Due { at: self.now }, flowing: false });
    }

    fn deliver(&mut self, event: Arc<Event>) {
        let (room, cursor) = (event.room, event.cursor);
        self.outputs.push_back(Output::Deliver(event.clone()));
        self.move_cursor(room, cursor);
        self.tail_after(&event);
    }

    fn move_cursor(&mut self, room: RoomId, cursor: Cursor) {
        if !self.journal.on && self.all.is_none() {
            return;
        }
        self.cursors.insert(room, cursor);
        if self.journal.on {
            // Not waited for: what is lost of it is delivered once more to the next run, never skipped.
            self.keep(Key::Cursor(room), cursor_record(room, cursor), false);
        }
    }

    /// What an outcome says about the rooms that are followed.
    pub(super) fn see_membership(&mut self, done: &Done) {
        match done {
            Done::Joined { room, cursor, .. } if self.all.is_some() => match self.cursors.get(room) {
                None => self.move_cursor(*room, *cursor),
                // In it once more: from where on, the server says. What comes next would look like a gap, and be the last that this user may see.
                Some(last) if last < cursor => self.ask_for_all(),
                Some(_) => {}
            },
            Done::Room { room, created: true, .. } if self.all.is_some() && !self.cursors.contains_key(room) => {
                self.move_cursor(*room, 0);
            }
            Done::Left { room } => {
                let was_followed = self.cursors.remove(room).is_some();
                if was_followed && self.journal.on {
                    self.forget(Key::Cursor(*room));
                }
                self.drop_tail(*room);
            }
            _ => {}
        }
    }

    pub(super) fn due_follows(&mut self, due: &mut Vec<(About, Ask)>) {
        let now = self.now;
        for (id, followed) in &mut self.follows {
            if followed.stage.is_due(now) {
                followed.stage = Stage::Sent;
                let from = followed.cursor.map_or(followed.from, From::After);
                #[cfg(feature = "zoo")]
                let from = if self.zoo.has(Bug::FollowFromNow) && followed.cursor.is_some() { From::Last(0) } else { from };
                due.push((About::Follow(*id), Ask::Follow { room: followed.room.clone(), from }));
            }
        }
        if let Some(all) = self.all.as_mut().filter(|all| all.stage.is_due(now)) {
            all.stage = Stage::Sent;
            let mut after = self.cursors.clone();
            // The server has one place for each room, whoever names it.
            after.extend(self.follows.values().filter_map(|followed| followed.id.zip(followed.cursor)));
            due.push((About::All, Ask::FollowAll { after: after.into_iter().collect() }));
        }
    }

    pub(super) fn answered_follow(&mut self, follow: u64, result: Result<Answer, Refusal>) {
        let again_at = self.retry_at(&result);
        let Some(followed) = self.follows.get_mut(&follow) else { return };
        match result {
            Ok(Answer::Following { room, cursor }) => {
                followed.id = Some(room);
                followed.flowing = true;
                // A server that is behind names an earlier place than the one that was asked for: what lies between was seen.
                let begins = if let From::After(asked) = followed.from { asked.max(cursor) } else { cursor };
                #[cfg(feature = "zoo")]
                let begins = if self.zoo.has(Bug::TakeServersCursor) || self.zoo.has(Bug::FollowFromNow) {
                    followed.cursor = None;
                    cursor
                } else {
                    begins
                };
                // A later place than this client has come to: what lies between is not this user's to see any more.
                let last = followed.cursor.unwrap_or(begins);
                followed.cursor = Some(last.max(cursor));
                self.ask_for_tail(room);
            }
            Err(refusal) if !refusal.is_temporary() => {
                if let Some(gone) = self.follows.remove(&follow) {
                    self.outputs.push_back(Output::Unfollowed { room: gone.room, refusal });
                    if let Some(room) = gone.id.filter(|room| !self.follows(*room)) {
                        self.drop_tail(room);
                    }
                }
            }
            _ => followed.stage = Stage::Due { at: again_at },
        }
    }

    pub(super) fn answered_all(&mut self, result: &Result<Answer, Refusal>) {
        let again_at = self.retry_at(result);
        let Some(all) = &mut self.all else { return };
        let Ok(Answer::FollowingAll { cursors }) = result else {
            all.stage = Stage::Due { at: again_at };
            return;
        };
        all.flowing = true;
        for (room, cursor) in cursors {
            if self.cursors.get(room).is_none_or(|last| last < cursor) {
                self.move_cursor(*room, *cursor);
            }
        }
        self.ask_for_tails(cursors);
    }

    /// Everything that is followed is asked for anew, on the next connection.
    pub(super) fn follow_again(&mut self) {
        let due = Stage::Due { at: self.now };
        for followed in self.follows.values_mut() {
            followed.stage = due.clone();
            followed.flowing = false;
        }
        if self.all.is_some() {
            self.ask_for_all();
        }
        self.doubt_tails();
    }
}
