//! Reads beyond a page of history: people, rooms, members, threads, search, and all that somebody has written.

use super::*;
use crate::chat::{MemberView, Post, RoomRef, UserView};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use reads::{HistoryLoad, PAGE_BYTES};

/// Messages that one part of an export looks at.
const EXPORT: u32 = 1_000;
/// Bytes of the words of a search.
const WORDS: usize = 256;

impl Gateway {
    /// Whether this is one of the reads of this room. All of them are answered from a state that a read index has confirmed, or that says that it was not.
    pub(super) fn is_lookup(ask: &Ask) -> bool {
        matches!(
            ask,
            Ask::Me
                | Ask::User { .. }
                | Ask::Room { .. }
                | Ask::Members { .. }
                | Ask::Thread { .. }
                | Ask::Messages { .. }
                | Ask::Search { .. }
                | Ask::Export { .. }
        )
    }

    pub(super) fn look_up(
        &mut self,
        now: Now,
        replica: &mut Replica<Chat>,
        connection: ConnectionId,
        request: Request,
        (session, user): (SessionId, UserId),
        fresh: reads::Fresh,
    ) {
        let id = request.id;
        let result = match &request.ask {
            Ask::Me => Ok(self.me(now, replica.machine(), user, session)),
            Ask::User { user: other } => {
                let found = replica.machine().find_user(other);
                found.map(|other| Answer::User(self.with_presence(now, replica.machine(), user, other)))
            }
            Ask::Room { room } => self.known_room(replica.machine(), user, room).and_then(|id| {
                let view = replica.machine().room_view(id, user);
                view.map(|view| Answer::Room(Box::new(view))).ok_or_else(|| Refusal::UnknownRoom { room: room.clone() })
            }),
            Ask::Members { room, after, limit } => self.members(now, replica.machine(), user, room, *after, *limit),
            Ask::Thread { .. } | Ask::Messages { .. } | Ask::Search { .. } | Ask::Export { .. } => {
                match self.begin_lookup(replica.machine(), connection, &request, user) {
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            _ => return,
        };
        match result {
            Err(refusal) => self.refuse_or_wait(now, replica, connection, request, fresh, refusal),
            result => self.reply(connection, id, result),
        }
    }

    fn known_room(&self, chat: &Chat, user: UserId, room: &RoomRef) -> Result<RoomId, Refusal> {
        let found = chat.find_room_for(user, room).filter(|id| chat.may_know(*id, user));
        found.ok_or_else(|| Refusal::UnknownRoom { room: room.clone() })
    }

    /// A room whose messages the user may see, from the first one on.
    pub(super) fn visible_room(&self, chat: &Chat, user: UserId, room: &RoomRef) -> Result<(RoomId, Seq), Refusal> {
        let id = self.known_room(chat, user, room)?;
        chat.first_visible(id, user).map(|first| (id, first)).ok_or(Refusal::NotAMember { room: id })
    }

    fn me(&self, now: Now, chat: &Chat, user: UserId, session: SessionId) -> Answer {
        let mut me = chat.me(user, session);
        me.user.online = true;
        for (friend, _) in &mut me.friends {
            friend.online = chat.sees(user, friend.id) && self.is_online(now, friend.id);
        }
        Answer::Me(Box::new(me))
    }

    fn with_presence(&self, now: Now, chat: &Chat, user: UserId, other: UserId) -> UserView {
        let online = chat.sees(user, other) && self.is_online(now, other);
        UserView { online, ..chat.user_view(other) }
    }

    fn members(&self, now: Now, chat: &Chat, user: UserId, room: &RoomRef, after: UserId, limit: u32) -> Result<Answer, Refusal> {
        let id = self.known_room(chat, user, room)?;
        if !chat.may_look_into(id, user) {
            return Err(Refusal::NotAMember { room: id });
        }
        self.check_limit(limit)?;
        let mut members: Vec<MemberView> = chat.members(id, after, limit);
        for member in &mut members {
            member.user.online = chat.sees(user, member.user.id) && self.is_online(now, member.user.id);
        }
        Ok(Answer::Members { room: id, members })
    }

    pub(super) fn check_limit(&self, limit: u32) -> Result<(), Refusal> {
        if limit == 0 || limit > self.limits.page {
            let why = alloc::format!("limit must be from 1 to {}", self.limits.page);
            return Err(Refusal::BadRequest { why });
        }
        Ok(())
    }

    fn begin_lookup(&mut self, chat: &Chat, connection: ConnectionId, request: &Request, user: UserId) -> Result<(), Refusal> {
        let id = request.id;
        match &request.ask {
            Ask::Thread { room, root, after, limit } => {
                self.check_limit(*limit)?;
                let (room, _) = self.visible_room(chat, user, room)?;
                self.load(Chat::thread(room, *root, *after, *limit), HistoryLoad::Thread { connection, id, user, room });
            }
            Ask::Messages { room, seqs } => {
                self.check_limit(seqs.len() as u32)?;
                let (room, first) = self.visible_room(chat, user, room)?;
                let seqs = seqs.iter().copied().filter(|seq| *seq >= first).map(|seq| (room, seq));
                self.load(Chat::messages_at(seqs), HistoryLoad::Messages { connection, id, user, room });
            }
            Ask::Search { words, room, before, limit } => {
                self.check_limit(*limit)?;
                if words.trim().is_empty() || words.len() > WORDS {
                    let why = alloc::format!("name the words to look for, at most {WORDS} bytes");
                    return Err(Refusal::BadRequest { why });
                }
                let room = room.as_ref().map(|room| self.visible_room(chat, user, room)).transpose()?.map(|(room, _)| room);
                let rooms = room.map_or_else(|| self.searchable(chat, user), |room| Vec::from([room]));
                self.search(connection, (id, user), words.clone(), rooms, *before, *limit);
            }
            Ask::Export { after: (room, seq) } => self.export(chat, connection, id, user, (*room, *seq)),
            _ => {}
        }
        Ok(())
    }

    /// Rooms that a search without a room looks at: the user's own, and public ones that show everybody what was said.
    fn searchable(&self, chat: &Chat, user: UserId) -> Vec<RoomId> {
        chat.rooms(user).into_iter().map(|room| room.id).filter(|id| chat.first_visible(*id, user).is_some()).collect()
    }

    fn search(
        &mut self,
        connection: ConnectionId,
        (id, user): (u64, UserId),
        words: String,
        rooms: Vec<RoomId>,
        before: Option<Found>,
        limit: u32,
    ) {
        self.loads_made += 1;
        let load = LoadId(self.loads_made * 4 + 2);
        self.loads.insert(load, HistoryLoad::Found { connection, id, user, limit });
        self.outputs.push_back(node::Output::Search { id: load, words, rooms, before, limit });
    }

    /// What the index has found, the newest first; the messages themselves are read and looked at again: the index may be behind.
    pub(crate) fn handle_found(&mut self, load: LoadId, found: Result<Vec<Found>, Refusal>) {
        let Some(HistoryLoad::Found { connection, id, user, limit }) = self.loads.remove(&load) else { return };
        match found {
            Err(refusal) => self.reply(connection, id, Err(refusal)),
            Ok(found) => {
                let more = (found.len() >= limit as usize).then(|| found.last().copied()).flatten();
                let query = Chat::messages_at(found.into_iter().map(|found| (found.room, found.seq)));
                self.load(query, HistoryLoad::Read { connection, id, user, more });
            }
        }
    }

    fn export(&mut self, chat: &Chat, connection: ConnectionId, id: u64, user: UserId, (room, seq): (RoomId, Seq)) {
        // The room itself, or the next one that this user can have written in. Messages in rooms that it has left are its own still.
        let Some(room_now) = chat.room_from(room) else {
            return self.reply(connection, id, Ok(Answer::Exported { posts: Vec::new(), next: None }));
        };
        let after = if room_now == room { seq } else { 0 };
        let query = Chat::messages(room_now, after, after.saturating_add(u64::from(EXPORT) + 1), EXPORT, false);
        self.load(query, HistoryLoad::Export { connection, id, user, at: (room_now, after) });
    }

    /// Rows that one of these reads has asked for are here.
    pub(super) fn looked_up(&mut self, replica: &Replica<Chat>, load: HistoryLoad, rows: &[(Bytes, Bytes)]) {
        let chat = replica.machine();
        let read = |user: UserId| {
            let mut bytes = 0;
            let posts = rows.iter().map(|(key, value)| chat.post_in(key, value)).collect::<Result<Vec<(RoomId, Post)>, _>>()?;
            let visible = |(room, post): &(RoomId, Post)| {
                chat.may_know(*room, user) && chat.first_visible(*room, user).is_some_and(|first| post.seq >= first)
            };
            let fits = |(_, post): &(RoomId, Post)| {
                bytes += post.cost() as usize;
                bytes <= PAGE_BYTES
            };
            Ok::<_, crate::wire::EnvelopeError>(posts.into_iter().filter(visible).take_while(fits).collect::<Vec<_>>())
        };
        let answered = match load {
            HistoryLoad::Thread { connection, id, user, room } => {
                let answers = Chat::answers(room, rows);
                self.load(Chat::messages_at(answers), HistoryLoad::Messages { connection, id, user, room });
                return;
            }
            HistoryLoad::Messages { connection, id, user, room } => read(user).map(|posts| {
                let posts = posts.into_iter().map(|(_, post)| post).collect();
                (connection, id, Answer::Messages { room, posts })
            }),
            HistoryLoad::Read { connection, id, user, more } => {
                self.found(chat, user, more, rows).map(|answer| (connection, id, answer))
            }
            HistoryLoad::Export { connection, id, user, at } => {
                self.exported(chat, user, at, rows).map(|answer| (connection, id, answer))
            }
            _ => return,
        };
        match answered {
            Ok((connection, id, answer)) => self.reply(connection, id, Ok(answer)),
            Err(error) => self.unreadable(RoomId(0), &error),
        }
    }

    /// What was found and may be seen, the newest first; what does not fit any more is found from `more` on.
    fn found(
        &self,
        chat: &Chat,
        user: UserId,
        more: Option<Found>,
        rows: &[(Bytes, Bytes)],
    ) -> Result<Answer, crate::wire::EnvelopeError> {
        let mut posts = rows.iter().map(|(key, value)| chat.post_in(key, value)).collect::<Result<Vec<(RoomId, Post)>, _>>()?;
        posts.retain(|(room, post)| {
            let first = chat.first_visible(*room, user).filter(|_| chat.may_know(*room, user));
            post.more.deleted.is_none() && first.is_some_and(|first| post.seq >= first)
        });
        posts.sort_by_key(|(room, post)| core::cmp::Reverse((post.at, *room, post.seq)));
        let mut bytes = 0;
        let fits = |(_, post): &&(RoomId, Post)| {
            bytes += post.cost() as usize;
            bytes <= PAGE_BYTES
        };
        let fit = posts.iter().take_while(fits).count().max(1);
        let cut = posts.len() > fit;
        posts.truncate(fit);
        let last = posts.last().map(|(room, post)| Found { at: post.at, room: *room, seq: post.seq });
        Ok(Answer::Found { posts, more: if cut { last } else { more } })
    }

    fn exported(
        &self,
        chat: &Chat,
        user: UserId,
        (room, after): (RoomId, Seq),
        rows: &[(Bytes, Bytes)],
    ) -> Result<Answer, crate::wire::EnvelopeError> {
        let mut posts = Vec::new();
        let (mut bytes, mut last) = (0, after);
        let mut cut = false;
        for (key, value) in rows {
            let (room, post) = chat.post_in(key, value)?;
            let seq = post.seq;
            if post.author == user {
                bytes += post.cost() as usize;
                if bytes > PAGE_BYTES && !posts.is_empty() {
                    cut = true;
                    break;
                }
                posts.push((room, post));
            }
            last = seq;
        }
        // A page without rows may be a gap in a room that forgets.
        let last = if cut { last } else { last.max(after.saturating_add(u64::from(EXPORT))) };
        let next = if last < chat.last_message(room) {
            Some((room, last))
        } else {
            chat.room_from(RoomId(room.0 + 1)).map(|room| (room, 0))
        };
        Ok(Answer::Exported { posts, next })
    }
}
