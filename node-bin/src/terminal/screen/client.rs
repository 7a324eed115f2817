//! What the client machine tells: what happens in rooms, what became of what was written, how the servers are reached.

use super::room::{Progress, Room};
use super::{Doing, Key, Line, Mode, Question, Screen, Want};
use crate::terminal::harmless::one_line;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Change, Changed, Command, Done, Friendship, Notice, Post, Refusal, RoomRef};
use tertulia_protocol::gateway::{Ask, Event, EventKind, TentativePost};
use tertulia_protocol::ids::{MessageId, RoomId, UserId};
use tertulia_protocol::time::Timestamp;

/// What happened earlier than this before the start is not told of as if it happened now, in µs.
const LATELY: u64 = 60_000_000;

impl Screen {
    /// `server`: the address of the server that the event names, if it names one.
    pub fn handle_client(&mut self, now: Timestamp, event: ClientEvent, server: &str) {
        self.now = now;
        match event {
            ClientEvent::Connected { .. } => self.at_server(server),
            ClientEvent::Disconnected { why, .. } => {
                self.link.signed_in = false;
                self.link.failure = Some(why.split(" (os error").next().unwrap_or(&why).to_owned());
            }
            ClientEvent::SignedIn { user, name, .. } => self.signed_in(user, name, server),
            ClientEvent::Settled { number, result } => self.settled(number, result),
            ClientEvent::Unclear { number } => self.unclear(number),
            ClientEvent::Accepted { number, id, copies } => self.accepted(number, id, copies),
            ClientEvent::Tail { room, posts } => self.tail(room, posts),
            ClientEvent::Withdrawn { room, post, refusal } => self.withdrawn(room, &post, &refusal),
            ClientEvent::Answered { ask, result } => {
                if let Some(question) = self.asked.remove(&ask) {
                    self.answered(question, result);
                }
            }
            ClientEvent::Deliver(event) => self.deliver(&event),
            ClientEvent::Unfollowed { .. } | ClientEvent::Servers(_) => {}
            // These end the chat: the host says why.
            ClientEvent::Rejected(_) | ClientEvent::OutboxFailed { .. } => self.wants.push_back(Want::Quit),
        }
        self.look();
    }

    fn signed_in(&mut self, user: UserId, name: String, server: &str) {
        let moved = self.link.was_signed_in && self.link.server != server.trim_start_matches("http://");
        self.at_server(server);
        (self.user, self.name) = (Some(user), name);
        (self.link.signed_in, self.link.was_signed_in, self.link.failure) = (true, true, None);
        if moved {
            self.say(format!("now on {}", self.link.server));
        }
        self.ask(Ask::Rooms, Question::Rooms);
        self.ask(Ask::Me, Question::Me { tell: false });
        self.ask_cluster();
        if let Some(id) = self.current {
            self.ask_members(id, false);
        }
    }

    // ---- what became of what was written

    /// A command that was wanted was taken, or was not.
    pub fn submitted(&mut self, doing: Doing, result: Result<u64, SubmitError>) {
        match (result, doing) {
            (Ok(number), doing) => {
                if let Doing::Post { room, nth } = doing
                    && let Some(pending) = self.pending(room, nth)
                {
                    pending.number = Some(number);
                }
                self.doing.insert(number, doing);
            }
            (Err(_), Doing::Post { room, nth }) => {
                let why = "so much of yours waits that this was not taken: send it again when some of it has its place";
                if let Some(pending) = self.pending(room, nth) {
                    pending.progress = Progress::Refused { why: why.into() };
                }
            }
            (Err(_), Doing::Read { room, .. }) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.telling_read = None;
                }
            }
            (Err(error), Doing::Line(line)) => self.tell(format!("not done: {error} ({})", line.line)),
        }
    }

    /// A command that was certainly never sent was taken back, or could not be.
    pub fn taken_back(&mut self, number: u64, command: Option<Command>) {
        match (command, self.doing.get(&number).cloned()) {
            (None, _) => self.say("it may have been sent: it cannot be taken back"),
            (Some(_), Some(Doing::Post { room, nth })) => {
                self.doing.remove(&number);
                let text = self.pending(room, nth).map(|pending| pending.text.clone()).unwrap_or_default();
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.pending.retain(|pending| pending.nth != nth);
                    if room.editor.is_empty() {
                        room.editor.set(&text);
                    }
                }
                self.say("taken back: it was not sent");
            }
            (Some(_), _) => drop(self.doing.remove(&number)),
        }
    }

    pub(super) fn pending(&mut self, room: RoomId, nth: u64) -> Option<&mut super::room::Pending> {
        self.rooms.get_mut(&room)?.pending.iter_mut().find(|pending| pending.nth == nth)
    }

    fn settled(&mut self, number: u64, result: Result<Done, Refusal>) {
        self.from_before.retain(|(before, ..)| *before != number);
        match self.doing.remove(&number) {
            Some(Doing::Post { room, nth }) => self.post_settled(room, nth, result),
            Some(Doing::Read { room, seq }) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.telling_read = None;
                    room.view.read = room.view.read.max(if result.is_ok() { seq } else { 0 });
                }
            }
            Some(Doing::Line(line)) => self.line_settled(line, result),
            None => {}
        }
    }

    fn post_settled(&mut self, id: RoomId, nth: u64, result: Result<Done, Refusal>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        match result {
            Ok(Done::Posted { seq, id, .. }) => {
                let there = !room.window.live || room.window.has_lately(id) || room.window.get(seq).is_some();
                if there {
                    room.pending.retain(|pending| pending.nth != nth);
                } else if let Some(pending) = room.pending.iter_mut().find(|pending| pending.nth == nth) {
                    (pending.id, pending.progress, pending.seen_as) = (Some(id), Progress::Placed { seq }, None);
                }
            }
            Ok(_) => room.pending.retain(|pending| pending.nth != nth),
            Err(refusal) => {
                if let Some(pending) = room.pending.iter_mut().find(|pending| pending.nth == nth) {
                    (pending.id, pending.seen_as) = (None, None);
                    pending.progress = Progress::Refused { why: refusal.to_string() };
                }
            }
        }
    }

    fn line_settled(&mut self, line: Line, result: Result<Done, Refusal>) {
        let done = match result {
            Ok(done) => done,
            Err(refusal) => return self.tell(format!("not done: {refusal} ({})", line.line)),
        };
        match done {
            Done::Room { room, .. } | Done::Joined { room, .. } if line.enter => self.enter(room, line.say),
            Done::Left { room } => self.leave(room),
            Done::Friend { user, friendship } => {
                let name = one_line(&self.person(user));
                self.say(friendship_told(&name, friendship));
            }
            _ => {}
        }
        if let Some(done) = line.done {
            self.say(done);
        }
    }

    fn unclear(&mut self, number: u64) {
        match self.doing.remove(&number) {
            Some(Doing::Post { room, nth }) => {
                if let Some(pending) = self.pending(room, nth) {
                    pending.progress = Progress::Unclear;
                }
            }
            Some(Doing::Line(line)) => self.tell(format!("may have been done or not: {}", line.line)),
            Some(Doing::Read { .. }) | None => {}
        }
    }

    fn accepted(&mut self, number: u64, id: MessageId, copies: u32) {
        match self.doing.get(&number).cloned() {
            Some(Doing::Post { room, nth }) => {
                if let Some(pending) = self.pending(room, nth) {
                    (pending.id, pending.progress) = (Some(id), Progress::Accepted { copies });
                }
            }
            Some(Doing::Line(line)) => self.say(format!("kept on {} until there is a majority: {}", nodes(copies), line.line)),
            Some(Doing::Read { .. }) | None => {}
        }
    }

    fn tail(&mut self, id: RoomId, posts: Vec<TentativePost>) {
        let room = self.room_or_ask(id);
        room.tail = posts;
        for name in room.tail.iter().map(|post| post.author_name.clone()).collect::<Vec<_>>() {
            room.spoke(&name);
        }
        self.load_quotes(id);
    }

    fn withdrawn(&mut self, id: RoomId, post: &TentativePost, refusal: &Refusal) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let own = room
            .pending
            .iter()
            .any(|pending| pending.id == Some(post.id) || matches!(pending.progress, Progress::Refused { .. }));
        if own && Some(post.author) == self.user {
            return;
        }
        let (nth, now) = (self.count(), self.now);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.note(nth, now, format!("not posted: {refusal} ({}: {})", post.author_name, post.text));
        }
    }

    // ---- what happens in rooms

    /// The room; one that was never heard of is asked about.
    fn room_or_ask(&mut self, id: RoomId) -> &mut Room {
        let is_known = self.rooms.contains_key(&id);
        if !is_known {
            let mut room = Room::new(super::answers::unknown_room(id));
            room.known = false;
            self.rooms.insert(id, room);
            self.ask(Ask::Room { room: RoomRef::Id(id) }, Question::Room(id));
        }
        self.rooms.entry(id).or_insert_with(|| Room::new(super::answers::unknown_room(id)))
    }

    fn deliver(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Posted(post) => self.posted(event.room, post),
            EventKind::Changed(changed) => self.changed(event.room, changed),
            EventKind::Skipped { .. } => {
                if self.rooms.get(&event.room).is_some_and(|room| room.window.live && room.window.filled) {
                    self.load_newest(event.room);
                }
            }
            EventKind::Typing { user, name } => {
                let (now, own) = (self.now, self.user);
                if let Some(room) = self.rooms.get_mut(&event.room).filter(|_| Some(*user) != own)
                    && (room.typing.len() < 20 || room.typing.contains_key(user))
                {
                    room.typing.insert(*user, (name.clone(), now));
                }
            }
            EventKind::Presence { user, online } => {
                for member in self.rooms.values_mut().filter_map(|room| room.members.get_mut(user)) {
                    member.user.online = *online;
                }
            }
            EventKind::Notice(notice) => self.notice(notice),
            // The client machine tells these as a room's tail.
            EventKind::Tentative(_) | EventKind::Withdrawn { .. } | EventKind::Tail(_) => {}
        }
    }

    fn posted(&mut self, id: RoomId, post: &Post) {
        let own = Some(post.author) == self.user;
        self.people.insert(post.author, post.author_name.clone());
        self.activity += 1;
        let activity = self.activity;
        let looked_at = self.is_looked_at(id);
        let name = self.name.clone();
        let mentions = !own && (self.user.is_some_and(|user| post.more.mentions.contains(&user)) || addresses(&post.text, &name));
        let room = self.room_or_ask(id);
        room.spoke(&post.author_name);
        room.typing.remove(&post.author);
        let counts = post.seq > room.counted && room.known;
        room.counted = room.counted.max(post.seq);
        room.view.last = room.view.last.max(post.seq);
        room.active = activity;
        let is_first_unread = counts && !own && !looked_at && room.view.unread == 0;
        if counts && !own {
            // Whoever looks at it has it before the eyes; that it is read is told in a moment.
            room.view.unread += u64::from(!looked_at);
            room.view.mentions += u32::from(mentions && !looked_at);
        }
        if is_first_unread && room.marker.is_none() {
            room.marker = Some(post.seq - 1);
        }
        if own {
            room.marker = None;
            settle_own(room, post);
        }
        room.window.posted(post.clone());
        if room.anchor.is_some_and(|(key, _)| key == Key::Tail(post.id)) {
            room.anchor = room.anchor.map(|(_, skip)| (Key::Post(post.seq), skip));
        }
        if let Mode::Select(selecting) = &mut self.mode
            && self.current == Some(id)
            && selecting.key == Key::Tail(post.id)
        {
            selecting.key = Key::Post(post.seq);
        }
        if counts && mentions && self.options.bell {
            self.wants.push_back(Want::Bell);
        }
        self.load_quotes(id);
    }

    fn changed(&mut self, id: RoomId, changed: &Changed) {
        let (own, now, began) = (changed.change.user() == self.user && self.user.is_some(), self.now, self.link.began);
        let room = self.room_or_ask(id);
        if let Some(post) = &changed.post {
            if room.quotes.contains_key(&post.seq) {
                room.quotes.insert(post.seq, Some((post.author_name.clone(), post.text.clone())));
            }
            room.window.changed(post.clone());
        }
        let view = &mut room.view;
        match &changed.change {
            Change::Topic { topic } => view.topic.clone_from(topic),
            Change::Renamed { name } => view.name.clone_from(name),
            Change::Archived { on } => view.archived = *on,
            Change::Rules { rules } => view.rules = *rules,
            Change::Pinned { seq, on } => {
                view.pins.retain(|pin| pin != seq);
                view.pins.extend(on.then_some(*seq));
            }
            Change::Role { role, .. } if own => view.role = *role,
            _ => {}
        }
        let left = matches!(changed.change, Change::Left { .. } | Change::Kicked { .. } | Change::Banned { on: true, .. });
        let members = left || matches!(changed.change, Change::Joined { .. } | Change::Role { .. });
        let is_about_message = changed.change.message().is_some() && !matches!(changed.change, Change::Pinned { .. });
        let lately = changed.at.0 + LATELY > began.0 && changed.at.0 + LATELY > now.0;
        let begins = room.is_direct() && matches!(changed.change, Change::Joined { .. });
        let is_news = !is_about_message && !begins;
        if is_news && lately {
            let nth = self.count();
            let told = crate::terminal::lines::change(changed);
            if let Some(room) = self.rooms.get_mut(&id) {
                room.note(nth, changed.at, told);
            }
        }
        match (own && left && lately, own && matches!(changed.change, Change::Joined { .. })) {
            (true, _) => self.ask(Ask::Room { room: RoomRef::Id(id) }, Question::Room(id)),
            (_, true) => self.ask(Ask::Room { room: RoomRef::Id(id) }, Question::Room(id)),
            _ if members && self.rooms.get(&id).is_some_and(|room| room.members_asked) => self.ask_members(id, false),
            _ => {}
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Read { room, seq, unread } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.view.read = room.view.read.max(*seq);
                    room.view.unread = *unread;
                    if *unread == 0 {
                        room.view.mentions = 0;
                    }
                }
            }
            Notice::Invited { room, name, by } => {
                let by = one_line(&self.person(*by));
                self.say(format!("{by} invites you to {}: /join {}", one_line(name), one_line(name)));
                self.ask(Ask::Room { room: RoomRef::Id(*room) }, Question::Room(*room));
            }
            Notice::Friendship { other, name, friendship } => {
                self.people.insert(*other, name.clone());
                self.say(friendship_told(&one_line(name), *friendship));
            }
            // The message itself says so.
            Notice::Mentioned { .. } => {}
        }
    }
}

/// An own message has its place: what was shown of it before is taken for it, at once if it is known to be it.
fn settle_own(room: &mut Room, post: &Post) {
    if let Some(nth) = room.pending.iter().find(|pending| pending.id == Some(post.id)).map(|pending| pending.nth) {
        let placed = |pending: &super::room::Pending| matches!(pending.progress, Progress::Placed { .. });
        room.pending.retain(|pending| pending.nth != nth || !placed(pending));
        return;
    }
    let open = |pending: &&mut super::room::Pending| {
        pending.id.is_none()
            && pending.seen_as.is_none()
            && pending.progress == Progress::Waiting
            && pending.reply_to == post.more.reply_to
            && is_same_text(&pending.text, &post.text)
    };
    if let Some(pending) = room.pending.iter_mut().find(open) {
        pending.seen_as = Some(post.id);
    }
}

/// The server ends what turns the direction of writing: that is no other text.
fn is_same_text(a: &str, b: &str) -> bool {
    let plain =
        |text: &str| text.chars().filter(|c| !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')).collect::<String>();
    a == b || plain(a) == plain(b)
}

/// `ana: …` and `ana, …` speak to somebody, as does `@ana`.
pub(super) fn addresses(text: &str, name: &str) -> bool {
    let begins = text.get(..name.len()).is_some_and(|begin| begin.to_lowercase() == name.to_lowercase());
    begins && !name.is_empty() && text[name.len()..].starts_with([':', ','])
}

pub(super) fn nodes(count: u32) -> String {
    if count == 1 { "1 node".into() } else { format!("{count} nodes") }
}

fn friendship_told(name: &str, friendship: Friendship) -> String {
    match friendship {
        Friendship::None => format!("{name} and you are not friends"),
        Friendship::Requested => format!("{name} was asked"),
        Friendship::Asked => format!("{name} asks for your friendship: /friend {name}, or /unfriend {name}"),
        Friendship::Friends => format!("{name} and you are friends"),
    }
}
