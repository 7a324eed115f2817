//! Messages: posted, answered, edited, deleted, reacted to, pinned, read.
//!
//! A message is a cold row. What changes one names it in [`Chat::messages_needed`], so that the row is there when the command is applied; what a room's history rule
//! takes away is found in the same place.

use super::rows::{MessageRow, message_key, thread_key, thread_row};
use super::*;
use core::ops::RangeInclusive;

/// Messages more than its rule wants that a room may hold, so that not every post has to take one away.
const SLACK: u64 = 64;
/// Messages that a room without history keeps for members who have not read them.
const HELD: u64 = 1_000;
/// Messages taken away by one command.
pub(super) const PART: u64 = 256;
/// Names that one message may mention.
const MENTIONS: usize = 20;
/// Different reactions to one message, and reactions to it in all.
const EMOJIS: usize = 20;
const REACTIONS: usize = 1_000;
const PINS: usize = 50;

pub(super) fn check_reaction(emoji: &str) -> Result<(), Refusal> {
    let stray = |c: char| c.is_control() || c.is_whitespace() || names::turns_direction(c);
    let visible = !names::is_blank(emoji) && !emoji.chars().any(stray);
    if visible && emoji.len() <= 32 { Ok(()) } else { Err(Refusal::BadReaction) }
}

impl Chat {
    /// The rows that a command about messages must see.
    pub(super) fn messages_needed(&self, command: &Command) -> Vec<Bytes> {
        // Which of the rooms of one name it is depends on who asks, which is not known here: all of them, a few at most.
        let rooms = |room: &RoomRef| match room {
            RoomRef::Id(id) => Vec::from([*id]),
            // Too many: the command will be refused.
            RoomRef::Name(name) => self.rooms_named(name).unwrap_or_default(),
        };
        let one = |room: &RoomRef, seq: Seq| rooms(room).into_iter().map(|id| message_key(id, seq)).collect::<Vec<_>>();
        let trimmed = |room: &RoomRef, posts: u64| {
            let of_room = |id: RoomId| self.trimmed_by(id, posts).map(move |seqs| (id, seqs));
            let messages = rooms(room).into_iter().filter_map(of_room);
            messages.flat_map(|(id, seqs)| seqs.map(move |seq| message_key(id, seq))).collect::<Vec<_>>()
        };
        match command {
            Command::Post { room, .. } => trimmed(room, 1),
            Command::Respond { room, to, .. } => {
                let mut keys = one(room, *to);
                keys.extend(trimmed(room, 1));
                keys
            }
            Command::Edit { room, seq, .. }
            | Command::Delete { room, seq }
            | Command::React { room, seq, .. }
            | Command::Pin { room, seq, .. } => one(room, *seq),
            Command::Read { room, .. } => trimmed(room, 0),
            _ => Vec::new(),
        }
    }

    /// The messages that the room's rule takes away once `posts` more have come.
    fn trimmed_by(&self, id: RoomId, posts: u64) -> Option<RangeInclusive<Seq>> {
        let room = self.rooms.get(&id)?;
        let (first, last) = (room.end.first, room.end.seq + posts);
        let through = match room.info.rules.history {
            History::All | History::SinceJoin => return None,
            History::Last(count) => {
                let through = last.saturating_sub(u64::from(count));
                // All that is over at once when there is enough of it.
                if through < first + SLACK - 1 { return None } else { through }
            }
            History::None => {
                // As they were before the command: what a member has just read goes with the next one.
                let read = room.members.values().map(|member| member.read).min().unwrap_or(last);
                read.min(room.end.seq).max(last.saturating_sub(HELD))
            }
        };
        let through = through.min(first + PART - 1).min(room.end.seq);
        (through >= first).then_some(first..=through)
    }

    /// Takes away what the room's rule no longer keeps.
    fn trim(&mut self, id: RoomId, posts: u64, rows: &[(Bytes, Bytes)], effects: Fx) {
        let Some(seqs) = self.trimmed_by(id, posts) else { return };
        for seq in seqs.clone() {
            let Some((key, value)) = find(rows, &message_key(id, seq)) else { continue };
            drop_message(id, seq, key, value, effects);
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.end.first = seqs.end() + 1;
            let (first, pins) = (room.end.first, room.info.pins.clone());
            Chat::write_end(room, id, effects);
            if pins.iter().any(|pin| *pin < first) {
                self.change_info(id, effects, |info| info.pins.retain(|pin| *pin >= first));
            }
        }
    }

    pub(super) fn post(
        &mut self,
        at: &At,
        user: UserId,
        room: &RoomRef,
        text: String,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.may_post(at.at, user, room, &text)?;
        self.trim(id, 1, rows, effects);
        Ok(self.post_message(at, user, id, text, More::default(), effects))
    }

    pub(super) fn may_post(&self, at: Timestamp, user: UserId, room: &RoomRef, text: &str) -> Result<RoomId, Refusal> {
        let id = self.open_room_of(user, room)?;
        let room = &self.rooms[&id];
        if let Some(until) = room.standings.get(&user).and_then(|standing| standing.muted_until)
            && until > at
        {
            return Err(Refusal::Muted { until });
        }
        self.allowed(id, user, room.info.rules.post)?;
        names::check_text(text, room.info.rules.text_bytes.min(self.limits.text_bytes))?;
        if let Some((a, b)) = room.info.pair {
            self.may_write_to(user, if a == user { b } else { a })?;
        }
        Ok(id)
    }

    /// The message that is answered counts its answers.
    pub(super) fn respond(
        &mut self,
        at: &At,
        user: UserId,
        (room, to): (&RoomRef, Seq),
        text: String,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.may_post(at.at, user, room, &text)?;
        let (key, old, answered) = self.message(user, id, to, rows)?;
        let thread = answered.more.thread.unwrap_or(to);
        // One that goes with this very post counts nothing any more.
        if !self.trimmed_by(id, 1).is_some_and(|trimmed| trimmed.contains(&to)) {
            let mut answered = answered;
            answered.more.replies = answered.more.replies.saturating_add(1);
            effects.put(key, Some(&old), answered.seal());
        }
        self.trim(id, 1, rows, effects);
        let more = More { reply_to: Some(to), thread: Some(thread), ..More::default() };
        let done = self.post_message(at, user, id, text, more, effects);
        let seq = self.rooms[&id].end.seq;
        effects.put(thread_key(id, thread, seq), None, thread_row());
        Ok(done)
    }

    fn post_message(&mut self, at: &At, user: UserId, id: RoomId, text: String, mut more: More, effects: Fx) -> Done {
        let text = names::clean_text(text);
        let author_name = self.user_name(user).to_string();
        more.mentions = self.mentions_in(id, user, &text);
        more.written = at.written;
        let Some(room) = self.rooms.get_mut(&id) else { return Done::Ok };
        room.end.seq += 1;
        room.end.cursor += 1;
        let (seq, cursor) = (room.end.seq, room.end.cursor);
        Chat::write_end(room, id, effects);
        // Whoever writes has read what stands before it.
        self.change_member(id, user, effects, |member| {
            member.read = seq;
            member.mentions.clear();
        });
        for mentioned in &more.mentions {
            self.mention(id, seq, *mentioned, user, effects);
        }
        let row = MessageRow { id: at.id, author: user, text, at: at.at, more };
        effects.put(message_key(id, seq), None, row.seal());
        let MessageRow { text, more, .. } = row;
        let post = Post { seq, id: at.id, author: user, author_name, text, at: at.at, more };
        effects.publish(ChatEvent::Room { index: at.index, event: Event { room: id, cursor, kind: EventKind::Posted(post) } });
        Done::Posted { room: id, seq, id: at.id, at: at.at }
    }

    /// Members other than the author who are named in a text.
    fn mentions_in(&self, id: RoomId, author: UserId, text: &str) -> Vec<UserId> {
        if !text.contains('@') {
            return Vec::new();
        }
        let mut mentions = Vec::new();
        for name in names::mentioned(text, MENTIONS) {
            let Some(user) = self.user_by_name.first(&name) else { continue };
            if user != author && !mentions.contains(&user) && self.is_member(id, user) {
                mentions.push(user);
            }
        }
        mentions
    }

    fn mention(&mut self, id: RoomId, seq: Seq, user: UserId, by: UserId, effects: Fx) {
        if self.has_blocked(user, by) {
            return;
        }
        let kept = self.first_message(id);
        self.change_member(id, user, effects, |member| {
            // What the room no longer keeps takes no place.
            member.mentions.retain(|mention| *mention >= kept);
            if member.mentions.len() < MOST_MENTIONS && member.read < seq && !member.mentions.contains(&seq) {
                member.mentions.push(seq);
                member.mentions.sort_unstable();
            }
        });
        effects.publish(ChatEvent::Notice { user, notice: Notice::Mentioned { room: id, seq, by } });
    }

    /// A message that the user may see, with its row as it was written.
    fn message(
        &self,
        user: UserId,
        id: RoomId,
        seq: Seq,
        rows: &[(Bytes, Bytes)],
    ) -> Result<(Bytes, Bytes, MessageRow), Refusal> {
        let unknown = Refusal::UnknownMessage { room: id, seq };
        let key = message_key(id, seq);
        let visible = self.first_visible(id, user).is_some_and(|first| seq >= first);
        let Some((_, value)) = find(rows, &key).filter(|_| visible) else { return Err(unknown) };
        match MessageRow::read(value) {
            Ok(mut row) => {
                // What a sweep is about to take away is gone already.
                if self.users.get(&row.author).is_some_and(|author| author.user.erased) && row.more.deleted.is_none() {
                    let (author, at) = (row.author, row.at);
                    blank(&mut row, author, at);
                }
                Ok((key, value.clone(), row))
            }
            Err(error) => Err(Refusal::BadRequest { why: error.to_string() }),
        }
    }

    /// Writes a message anew and tells the room.
    fn rewrite(
        &mut self,
        at: &At,
        (id, seq, by): (RoomId, Seq, UserId),
        (key, old): (Bytes, Bytes),
        row: &MessageRow,
        change: Change,
        effects: Fx,
    ) -> Done {
        effects.put(key, Some(&old), row.seal());
        let post = self.post_of(id, seq, row.clone());
        let cursor = self.record(at, id, by, change, Some(post), effects);
        Done::Changed { room: id, cursor }
    }

    pub(super) fn edit(
        &mut self,
        at: &At,
        user: UserId,
        (room, seq): (&RoomRef, Seq),
        text: String,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.may_post(at.at, user, room, &text)?;
        let (key, old, mut row) = self.message(user, id, seq, rows)?;
        if row.author != user {
            return Err(Refusal::NotAllowed { needs: Needs::Author });
        }
        if !self.rooms[&id].info.rules.edits {
            return Err(Refusal::NotAllowed { needs: Needs::OtherRules });
        }
        let is_gone = row.more.deleted.is_some();
        #[cfg(feature = "zoo")]
        let is_gone = is_gone && self.bug != Some(crate::zoo::Bug::EditDeleted);
        if is_gone {
            return Err(Refusal::UnknownMessage { room: id, seq });
        }
        row.text = names::clean_text(text);
        row.more.edited = Some(at.at);
        let before = core::mem::take(&mut row.more.mentions);
        row.more.mentions = self.mentions_in(id, user, &row.text);
        // Who is named only now is told; who was named before and is not any more has nothing to be told of.
        for mentioned in row.more.mentions.iter().filter(|mentioned| !before.contains(mentioned)) {
            self.mention(id, seq, *mentioned, user, effects);
        }
        for gone in before.iter().filter(|gone| !row.more.mentions.contains(gone)) {
            self.change_member(id, *gone, effects, |member| member.mentions.retain(|mention| *mention != seq));
        }
        Ok(self.rewrite(at, (id, seq, user), (key, old), &row, Change::Edited { seq }, effects))
    }

    pub(super) fn delete(
        &mut self,
        at: &At,
        user: UserId,
        (room, seq): (&RoomRef, Seq),
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.open_room_of(user, room)?;
        let (key, old, mut row) = self.message(user, id, seq, rows)?;
        let info = &self.rooms[&id].info;
        if row.author != user && (info.kind == RoomKind::Direct || self.role(id, user) < MemberRole::Moderator) {
            return Err(Refusal::NotAllowed {
                needs: if info.kind == RoomKind::Direct { Needs::Author } else { Needs::Moderator },
            });
        }
        if !info.rules.edits && self.role(id, user) < MemberRole::Moderator {
            return Err(Refusal::NotAllowed { needs: Needs::OtherRules });
        }
        if row.more.deleted.is_some() {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        for mentioned in &row.more.mentions {
            self.change_member(id, *mentioned, effects, |member| member.mentions.retain(|mention| *mention != seq));
        }
        if row.more.pinned {
            self.change_info(id, effects, |info| info.pins.retain(|pin| *pin != seq));
        }
        blank(&mut row, user, at.at);
        Ok(self.rewrite(at, (id, seq, user), (key, old), &row, Change::Deleted { seq }, effects))
    }

    pub(super) fn react(
        &mut self,
        at: &At,
        user: UserId,
        (room, seq): (&RoomRef, Seq),
        (emoji, on): (String, bool),
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.open_room_of(user, room)?;
        if let Some((a, b)) = self.rooms[&id].info.pair {
            self.may_write_to(user, if a == user { b } else { a })?;
        }
        let (key, old, mut row) = self.message(user, id, seq, rows)?;
        if row.more.deleted.is_some() {
            return Err(Refusal::UnknownMessage { room: id, seq });
        }
        let reactions = &mut row.more.reactions;
        let place = reactions.iter().position(|reaction| reaction.emoji == emoji);
        let reacted = place.is_some_and(|place| reactions[place].users.contains(&user));
        if reacted == on {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        if on && reactions.iter().map(|reaction| reaction.users.len()).sum::<usize>() >= REACTIONS {
            return Err(Refusal::Full { what: "reactions to one message".into(), limit: REACTIONS as u32 });
        }
        match place {
            Some(place) if on => reactions[place].users.push(user),
            Some(place) => {
                reactions[place].users.retain(|reacted| *reacted != user);
                if reactions[place].users.is_empty() {
                    reactions.remove(place);
                }
            }
            None if reactions.len() >= EMOJIS => {
                return Err(Refusal::Full { what: "different reactions to one message".into(), limit: EMOJIS as u32 });
            }
            None => reactions.push(Reaction { emoji: emoji.clone(), users: Vec::from([user]) }),
        }
        Ok(self.rewrite(at, (id, seq, user), (key, old), &row, Change::Reacted { seq, emoji, on }, effects))
    }

    pub(super) fn pin(
        &mut self,
        at: &At,
        user: UserId,
        (room, seq): (&RoomRef, Seq),
        on: bool,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.open_room_of(user, room)?;
        let info = &self.rooms[&id].info;
        if info.kind != RoomKind::Direct && self.role(id, user) < MemberRole::Moderator {
            return Err(Refusal::NotAllowed { needs: Needs::Moderator });
        }
        let (key, old, mut row) = self.message(user, id, seq, rows)?;
        if row.more.deleted.is_some() {
            return Err(Refusal::UnknownMessage { room: id, seq });
        }
        if row.more.pinned == on {
            return Ok(Done::Changed { room: id, cursor: self.last(id) });
        }
        if on && info.pins.len() >= PINS {
            return Err(Refusal::Full { what: "pinned messages of one room".into(), limit: PINS as u32 });
        }
        row.more.pinned = on;
        self.change_info(id, effects, |info| {
            info.pins.retain(|pin| *pin != seq);
            if on {
                info.pins.push(seq);
            }
        });
        Ok(self.rewrite(at, (id, seq, user), (key, old), &row, Change::Pinned { seq, on }, effects))
    }

    /// Marks everything through a message as read.
    pub(super) fn read(
        &mut self,
        user: UserId,
        room: &RoomRef,
        seq: Seq,
        rows: &[(Bytes, Bytes)],
        effects: Fx,
    ) -> Result<Done, Refusal> {
        let id = self.room_for(user, room)?;
        if !self.is_member(id, user) {
            return Err(Refusal::NotAMember { room: id });
        }
        self.trim(id, 0, rows, effects);
        let last = self.rooms[&id].end.seq;
        let seq = seq.min(last);
        let before = self.rooms[&id].members[&user].read;
        #[cfg(feature = "zoo")]
        let goes_back = self.bug == Some(crate::zoo::Bug::ReadMarkGoesBack);
        self.change_member(id, user, effects, |member| {
            member.read = member.read.max(seq);
            #[cfg(feature = "zoo")]
            if goes_back {
                member.read = seq;
            }
            member.mentions.retain(|mention| *mention > seq);
        });
        let read = before.max(seq);
        let unread = self.unread(id, user);
        if read > before {
            effects.publish(ChatEvent::Notice { user, notice: Notice::Read { room: id, seq: read, unread } });
        }
        Ok(Done::Read { room: id, unread })
    }
}

/// A message without what was said in it.
pub(super) fn blank(row: &mut MessageRow, by: UserId, at: Timestamp) {
    row.text.clear();
    let More { reply_to, thread, replies, written, .. } = row.more;
    row.more = More { reply_to, thread, replies, written, deleted: Some(Deleted { by, at }), ..More::default() };
}

/// Takes a message away, and its place in its thread.
pub(super) fn drop_message(id: RoomId, seq: Seq, key: &Bytes, value: &Bytes, effects: Fx) {
    effects.delete(key.clone(), value);
    if let Some(thread) = MessageRow::read(value).ok().and_then(|row| row.more.thread) {
        effects.delete(thread_key(id, thread, seq), &thread_row());
    }
}

pub(super) fn find<'a>(rows: &'a [(Bytes, Bytes)], key: &Bytes) -> Option<(&'a Bytes, &'a Bytes)> {
    rows.iter().find(|(found, _)| found == key).map(|(key, value)| (key, value))
}
