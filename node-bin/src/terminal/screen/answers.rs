//! What questions are answered: rooms, pages of history, members, people, the cluster.

use super::overlay::{Found as FoundList, Overlay};
use super::room::Room;
use super::{Key, Mode, Question, Screen, Want};
use crate::terminal::entering;
use crate::terminal::harmless::one_line;
use tertulia_protocol::chat::{Me, MemberView, Post, Refusal, RoomKind, RoomRef, RoomView, Rules, UserRef, UserView};
use tertulia_protocol::gateway::{Answer, Ask, Status};
use tertulia_protocol::ids::{RoomId, Seq, UserId};
use tertulia_protocol::time::Timestamp;

/// Members and messages of one answer.
pub const PAGE: u32 = 200;
/// Messages of a page of history.
pub const HISTORY: u32 = 100;

impl Screen {
    pub(super) fn answered(&mut self, question: Question, result: Result<Answer, Refusal>) {
        let answer = match result {
            Ok(answer) => answer,
            Err(refusal) => return self.refused(&question, &refusal),
        };
        match (question, answer) {
            (Question::Rooms, Answer::Rooms(rooms)) => self.list(rooms),
            (Question::Room(_), Answer::Room(view)) => self.know(*view),
            (Question::Me { tell }, Answer::Me(me)) => self.me(&me, tell),
            (Question::Cluster { sent }, Answer::Cluster(status)) => self.cluster(sent, status),
            (Question::Newest(room), Answer::History { posts, .. }) => self.newest(room, posts),
            (Question::Older { room, before }, Answer::History { posts, .. }) => {
                self.page(room, posts, |room, posts| room.window.older(posts, HISTORY as usize, before));
            }
            (Question::Newer { room, after }, Answer::History { posts, .. }) => {
                self.page(room, posts, |room, posts| room.window.newer(posts, HISTORY as usize, after));
            }
            (Question::Around { room, seq }, Answer::History { posts, .. }) => self.around(room, seq, posts),
            (Question::Members { room, tell }, Answer::Members { members, .. }) => self.members(room, members, tell),
            (Question::Quotes { room }, Answer::Messages { posts, .. }) => self.quotes(room, posts),
            (Question::Person, Answer::User(user)) => drop(self.people.insert(user.id, user.name)),
            (Question::Whois, Answer::User(user)) => self.whois(&user),
            (Question::Search { words, room, before }, Answer::Found { posts, more }) => {
                for (_, post) in &posts {
                    self.people.insert(post.author, post.author_name.clone());
                }
                match &mut self.mode {
                    Mode::Over(Overlay::Found(found)) if before.is_some() && found.words == words => found.add(posts, more),
                    _ => self.mode = Mode::Over(Overlay::Found(FoundList::new(words, room, posts, more))),
                }
            }
            _ => {}
        }
    }

    fn refused(&mut self, question: &Question, refusal: &Refusal) {
        match question {
            Question::Room(room) => self.leave(*room),
            Question::Newest(room)
            | Question::Older { room, .. }
            | Question::Newer { room, .. }
            | Question::Around { room, .. } => {
                if let Some(room) = self.rooms.get_mut(room) {
                    room.loading = false;
                }
                self.say(refusal.to_string());
            }
            Question::Whois | Question::Search { .. } | Question::Members { tell: true, .. } | Question::Me { tell: true } => {
                self.tell(format!("{refusal}"));
            }
            _ => {}
        }
    }

    // ---- rooms

    fn list(&mut self, mut views: Vec<RoomView>) {
        views
            .sort_by_key(|view| (view.kind == RoomKind::Direct, view.kind == RoomKind::Group, view.name.to_lowercase(), view.id));
        let gone: Vec<RoomId> =
            (self.order.iter().copied()).filter(|id| !views.iter().any(|view| view.id == *id && view.member)).collect();
        gone.into_iter().for_each(|id| self.leave(id));
        self.others.clear();
        for view in views {
            self.know(view);
        }
        let first = !std::mem::replace(&mut self.listed, true);
        for (number, room, pending) in std::mem::take(&mut self.from_before) {
            let id = match &room {
                RoomRef::Id(id) => Some(*id),
                RoomRef::Name(name) => self.rooms.values().find(|room| room.view.name == *name).map(Room::id),
            };
            let Some(id) = id.filter(|id| self.rooms.contains_key(id)) else { continue };
            let nth = pending.nth;
            if let Some(room) = self.rooms.get_mut(&id) {
                room.pending.push(pending);
            }
            self.doing.insert(number, super::Doing::Post { room: id, nth });
        }
        if first {
            self.begin();
        }
    }

    /// The room to begin with: the one that was asked for, or one that somebody was named in, or has unread messages, or the first.
    fn begin(&mut self) {
        if let Some(name) = self.options.room.clone() {
            let wanted = crate::terminal::room_ref(&name);
            let is_it = |room: &&Room| match &wanted {
                RoomRef::Id(id) => room.id() == *id,
                RoomRef::Name(name) => room.view.name.to_lowercase() == name.to_lowercase(),
            };
            let there = self.order.iter().filter_map(|id| self.rooms.get(id)).find(is_it).map(Room::id);
            return match there {
                Some(id) => self.show(id),
                None => {
                    let line = super::Line { line: format!("/join {name}"), enter: true, ..super::Line::default() };
                    self.wants.push_back(Want::Submit { command: entering(wanted, true), doing: super::Doing::Line(line) });
                }
            };
        }
        if self.current.is_none()
            && let Some(id) = self.next_active().or_else(|| self.order.first().copied())
        {
            self.show(id);
        }
    }

    /// What is known of a room has come.
    fn know(&mut self, view: RoomView) {
        let id = view.id;
        self.others.retain(|other| other.id != id);
        if !view.member {
            self.leave(id);
            self.others.push(view);
            return;
        }
        if let Some(other) = view.with.filter(|other| !self.people.contains_key(other)) {
            self.ask(Ask::User { user: UserRef::Id(other) }, Question::Person);
        }
        let needs_members = view.name.is_empty() && view.kind == RoomKind::Group;
        let looked_at = self.is_looked_at(id);
        let room = self.rooms.entry(id).or_insert_with(|| Room::new(view.clone()));
        room.counted = room.counted.max(view.last);
        let (read, unread) = (room.view.read.max(view.read), if looked_at { 0 } else { view.unread });
        room.view = RoomView { read, unread, ..view };
        room.known = true;
        let ask = needs_members && !std::mem::replace(&mut room.members_asked, true);
        if !self.order.contains(&id) {
            self.order.push(id);
        }
        if ask {
            self.ask_members(id, false);
        }
    }

    /// A room is there to be shown, now or as soon as it is known.
    pub(super) fn enter(&mut self, id: RoomId, say: Option<String>) {
        self.rooms.entry(id).or_insert_with(|| Room::new(unknown_room(id)));
        if !self.order.contains(&id) {
            self.order.push(id);
        }
        self.ask(Ask::Room { room: RoomRef::Id(id) }, Question::Room(id));
        self.show(id);
        if let Some(text) = say {
            self.post(id, text, None);
        }
    }

    /// The user is not in the room any more.
    pub(super) fn leave(&mut self, id: RoomId) {
        self.rooms.remove(&id);
        self.order.retain(|room| *room != id);
        if self.previous == Some(id) {
            self.previous = None;
        }
        if self.current == Some(id) {
            self.current = None;
            if !matches!(self.mode, Mode::Over(_)) {
                self.mode = Mode::Write;
            }
            if let Some(next) = self.previous.or_else(|| self.order.first().copied()) {
                self.show(next);
            }
        }
    }

    // ---- messages

    pub(super) fn load_newest(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.loading = true;
        // What comes meanwhile is added behind the page.
        room.window.live = true;
        let ask = Ask::History { room: RoomRef::Id(id), after: None, before: Some(Seq::MAX), limit: HISTORY, at_least: None };
        self.ask(ask, Question::Newest(id));
    }

    pub(super) fn load_older(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| !room.loading && !room.window.from_first) else { return };
        let Some(before) = room.window.first() else { return };
        room.loading = true;
        let ask = Ask::History { room: RoomRef::Id(id), after: None, before: Some(before), limit: HISTORY, at_least: None };
        self.ask(ask, Question::Older { room: id, before });
    }

    pub(super) fn load_newer(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| !room.loading && !room.window.live) else { return };
        let Some(after) = room.window.last() else { return };
        room.loading = true;
        let ask = Ask::History { room: RoomRef::Id(id), after: Some(after), before: None, limit: HISTORY, at_least: None };
        self.ask(ask, Question::Newer { room: id, after });
    }

    /// Shows a message of a room, with what is around it.
    pub(super) fn go_to(&mut self, id: RoomId, seq: Seq) {
        self.show(id);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if room.window.get(seq).is_some() {
            return self.put_in_view(id, Key::Post(seq));
        }
        room.loading = true;
        let ask = Ask::Around { room: RoomRef::Id(id), seq, limit: HISTORY, at_least: None };
        self.ask(ask, Question::Around { room: id, seq });
    }

    fn newest(&mut self, id: RoomId, posts: Vec<Post>) {
        let is_all = posts.len() < HISTORY as usize;
        self.page(id, posts, |room, posts| room.window.fill(posts, true, is_all));
        if let Some(room) = self.rooms.get_mut(&id) {
            room.anchor = None;
        }
    }

    fn around(&mut self, id: RoomId, seq: Seq, posts: Vec<Post>) {
        if posts.is_empty() {
            if let Some(room) = self.rooms.get_mut(&id) {
                room.loading = false;
            }
            return self.say(format!("there is no message {seq} here that you may see"));
        }
        let nearest = posts.iter().map(|post| post.seq).min_by_key(|there| there.abs_diff(seq)).unwrap_or(seq);
        self.page(id, posts, |room, posts| {
            let live = posts.last().is_some_and(|post| post.seq >= room.counted);
            let from_first = posts.first().is_some_and(|post| post.seq <= room.view.first.max(1));
            room.window.live = false;
            room.window.fill(posts, live, from_first);
        });
        self.put_in_view(id, Key::Post(nearest));
    }

    fn page(&mut self, id: RoomId, posts: Vec<Post>, put: impl FnOnce(&mut Room, Vec<Post>)) {
        self.people.extend(posts.iter().map(|post| (post.author, post.author_name.clone())));
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.loading = false;
        let mut speakers: Vec<String> = Vec::new();
        for post in posts.iter().rev() {
            if !speakers.contains(&post.author_name) && !room.speakers.contains(&post.author_name) {
                speakers.push(post.author_name.clone());
            }
        }
        room.speakers.extend(speakers);
        put(room, posts);
        self.load_quotes(id);
    }

    pub(super) fn load_quotes(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.window.filled) else { return };
        let seqs = room.wanted_quotes();
        if !seqs.is_empty() {
            self.ask(Ask::Messages { room: RoomRef::Id(id), seqs }, Question::Quotes { room: id });
        }
    }

    fn quotes(&mut self, id: RoomId, posts: Vec<Post>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        for post in posts {
            let text = if post.more.deleted.is_some() { "(deleted)".into() } else { post.text };
            room.quotes.insert(post.seq, Some((post.author_name, text)));
        }
    }

    // ---- people and the cluster

    fn members(&mut self, id: RoomId, members: Vec<MemberView>, tell: bool) {
        let full = members.len() >= PAGE as usize;
        self.people.extend(members.iter().map(|member| (member.user.id, member.user.name.clone())));
        if let Some(room) = self.rooms.get_mut(&id) {
            room.members = members.iter().map(|member| (member.user.id, member.clone())).collect();
        }
        if tell {
            let more = if full { " and more" } else { "" };
            self.tell(format!("{}{more}", crate::terminal::lines::who(&members).trim_start_matches("-- ")));
        }
    }

    fn me(&mut self, me: &Me, tell: bool) {
        self.people.extend(me.friends.iter().map(|(user, _)| (user.id, user.name.clone())));
        if tell {
            let friend = |(user, friendship): &(UserView, _)| {
                let here = if user.online { ", here" } else { "" };
                format!("{} ({}{here})", one_line(&user.name), format!("{friendship:?}").to_lowercase())
            };
            let friends: Vec<String> = me.friends.iter().map(friend).collect();
            let blocked: Vec<String> = me.blocked.iter().map(|user| one_line(&user.name)).collect();
            let friends = if friends.is_empty() { "no friends yet: /friend USER asks".into() } else { friends.join(", ") };
            let blocked = if blocked.is_empty() { String::new() } else { format!("; blocked: {}", blocked.join(", ")) };
            self.tell(format!("{friends}{blocked}"));
        }
    }

    fn whois(&mut self, user: &UserView) {
        self.people.insert(user.id, user.name.clone());
        let shown = if user.shown == user.name { String::new() } else { format!(", shown as {}", one_line(&user.shown)) };
        let here = if user.online { "here" } else { "away" };
        let rooms: Vec<String> = (self.rooms.values())
            .filter(|room| room.members.contains_key(&user.id))
            .map(|room| one_line(&room.label(&self.people)))
            .collect();
        let rooms = if rooms.is_empty() { String::new() } else { format!(", seen in {}", rooms.join(" ")) };
        self.tell(format!("{}{shown}: user {}, {here}{rooms}", one_line(&user.name), user.id.0));
    }

    fn cluster(&mut self, sent: Timestamp, status: Box<Status>) {
        let lag = self.now.0.saturating_sub(sent.0);
        // A figure that dances says nothing, and costs a write each time.
        let near = |before: u64| lag.abs_diff(before) < 5_000.max(before / 3);
        if !self.link.lag_us.is_some_and(near) {
            self.link.lag_us = Some(lag);
        }
        self.link.alone_since = match status.leader {
            Some(_) => None,
            None => Some(self.link.alone_since.unwrap_or(self.now)),
        };
        self.link.status = Some(status);
    }
}

/// A room of which nothing but its id is known.
pub fn unknown_room(id: RoomId) -> RoomView {
    RoomView {
        id,
        name: String::new(),
        member: true,
        members: 0,
        last: 0,
        kind: RoomKind::Group,
        topic: String::new(),
        archived: false,
        rules: Rules::default(),
        role: Default::default(),
        cursor: 0,
        read: 0,
        unread: 0,
        mentions: 0,
        invited: false,
        with: None,
        pins: Vec::new(),
        first: 1,
    }
}

/// Those who are there first, then by name.
pub fn by_presence(members: &std::collections::BTreeMap<UserId, MemberView>) -> Vec<&MemberView> {
    let mut sorted: Vec<&MemberView> = members.values().collect();
    sorted.sort_by_key(|member| (!member.user.online, std::cmp::Reverse(member.role), member.user.name.to_lowercase()));
    sorted
}
