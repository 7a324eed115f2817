//! What is done with what is written: posts, answers, edits, and commands.

use super::client::nodes;
use super::commands::{Run, Said, said};
use super::overlay::{Overlay, Switcher};
use super::room::{Intent, Pending, Progress};
use super::{Doing, Line, Mode, Question, Screen, Want};
use crate::terminal::harmless::one_line;
use tertulia_protocol::chat::{Command, Post, RoomKind, RoomRef, UserRef};
use tertulia_protocol::gateway::Ask;
use tertulia_protocol::ids::{RoomId, Seq};

/// Messages that one search shows at a time.
pub const FOUND: u32 = 50;

impl Screen {
    /// Enter: what is written is sent, or done.
    pub(super) fn enter_pressed(&mut self) {
        if self.editor_here().text().trim().is_empty() {
            return self.cancel_intent();
        }
        let intent = self.current_room().map_or(Intent::Post, |room| room.intent);
        let text = self.editor().take();
        if let Some(room) = self.current_room_mut() {
            (room.intent, room.anchor) = (Intent::Post, None);
        }
        match (said(&text), intent) {
            (Said::Run(run), Intent::Post) => self.run(run, text.trim_end()),
            (Said::Wrong(why), Intent::Post) => {
                self.tell(why);
                self.editor().set(&text);
            }
            (Said::Post(text), Intent::Post) => match self.current {
                Some(id) => self.post(id, text, None),
                None => {
                    self.editor().set(&text);
                    self.say("you are in no room: /join NAME, or Ctrl-K");
                }
            },
            // Whoever answers or edits writes a text, whatever it begins with.
            (_, Intent::Reply(seq)) => self.in_room(|screen, id| screen.post(id, text, Some(seq))),
            (_, Intent::Edit(seq)) => self.in_room(|screen, id| screen.edit(id, seq, text)),
        }
        self.back_to_end();
    }

    fn back_to_end(&mut self) {
        if let Some(id) = self.current
            && self.current_room().is_some_and(|room| !room.window.live)
        {
            self.load_newest(id);
        }
    }

    fn in_room(&mut self, does: impl FnOnce(&mut Screen, RoomId)) {
        match self.current {
            Some(id) => does(self, id),
            None => self.say("you are in no room: /join NAME, or Ctrl-K"),
        }
    }

    pub(super) fn cancel_intent(&mut self) {
        if let Some(room) = self.current_room_mut()
            && std::mem::take(&mut room.intent) != Intent::Post
        {
            room.editor.set("");
        }
    }

    /// A message is written; it is shown from now on.
    pub(super) fn post(&mut self, id: RoomId, text: String, reply_to: Option<Seq>) {
        let nth = self.count();
        let at = self.now;
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let pending =
            Pending { nth, number: None, id: None, text: text.clone(), reply_to, at, progress: Progress::Waiting, seen_as: None };
        room.pending.push(pending);
        let room = RoomRef::Id(id);
        let command = match reply_to {
            Some(to) => Command::Respond { room, to, text },
            None => Command::Post { room, text },
        };
        self.wants.push_back(Want::Submit { command, doing: Doing::Post { room: id, nth } });
    }

    fn edit(&mut self, id: RoomId, seq: Seq, text: String) {
        if self.rooms.get(&id).and_then(|room| room.window.get(seq)).is_some_and(|post| post.text == text) {
            return self.say("nothing has changed");
        }
        let line = format!("/edit {seq} {}", one_line(&text));
        self.submit(Command::Edit { room: RoomRef::Id(id), seq, text }, line);
    }

    /// Does something; if it is refused, that is told with the line.
    pub(super) fn submit(&mut self, command: Command, line: impl Into<String>) {
        let line = Line { line: line.into(), ..Line::default() };
        self.wants.push_back(Want::Submit { command, doing: Doing::Line(line) });
    }

    fn submit_told(&mut self, command: Command, line: &str, done: String) {
        let line = Line { line: line.into(), done: Some(done), ..Line::default() };
        self.wants.push_back(Want::Submit { command, doing: Doing::Line(line) });
    }

    fn submit_entering(&mut self, command: Command, line: &str, say: Option<String>) {
        let line = Line { line: line.into(), enter: true, say, ..Line::default() };
        self.wants.push_back(Want::Submit { command, doing: Doing::Line(line) });
    }

    /// The last message that somebody else, or the user, has written here.
    pub(super) fn last_post(&self, own: bool) -> Option<&Post> {
        let posts = self.current_room()?.window.posts().rev();
        posts.filter(|post| post.more.deleted.is_none()).find(|post| (Some(post.author) == self.user) == own)
    }

    fn run(&mut self, run: Run, line: &str) {
        match run {
            Run::Join(name) => self.join(&name, line),
            Run::Message { user, text } => {
                let say = Some(text).filter(|text| !text.is_empty());
                self.submit_entering(Command::OpenDirect { user: UserRef::Name(user) }, line, say);
            }
            Run::NewPrivate { name, users } => self.make(RoomKind::Private, name, users, line),
            Run::NewGroup(users) => self.make(RoomKind::Group, String::new(), users, line),
            Run::Part(Some(name)) => match self.find_room(&name) {
                Some(id) => self.submit(Command::Leave { room: RoomRef::Id(id) }, line),
                None => self.say(format!("you are in no room called {}", one_line(&name))),
            },
            Run::Rooms => self.mode = Mode::Over(Overlay::Switch(Switcher::new(self, true))),
            Run::Decline(name) => {
                let by_name = self.others.iter().find(|view| view.name == name).map(|view| RoomRef::Id(view.id));
                let room = by_name.unwrap_or(RoomRef::Name(name));
                self.submit_told(Command::Decline { room }, line, "declined".into());
            }
            Run::Search { words, here } => self.search(words, here),
            Run::Friend(user) => self.submit(Command::Befriend { user: UserRef::Name(user) }, line),
            Run::Unfriend(user) => self.submit(Command::Unfriend { user: UserRef::Name(user) }, line),
            Run::Friends => self.ask(Ask::Me, Question::Me { tell: true }),
            Run::Block(user, on) => {
                let done =
                    if on { format!("{} is blocked", one_line(&user)) } else { format!("{} is not blocked", one_line(&user)) };
                self.submit_told(Command::Block { user: UserRef::Name(user), on }, line, done);
            }
            Run::Whois(user) => self.ask(Ask::User { user: UserRef::Name(user) }, Question::Whois),
            Run::Read { all: true } => self.read_all(),
            Run::Members => self.members_shown = !self.members_shown,
            Run::Status => self.tell_status(),
            Run::Help => self.mode = Mode::Over(Overlay::help()),
            Run::Quit => self.quit(),
            here => self.in_room(|screen, id| screen.run_here(id, here, line)),
        }
    }

    /// What is about the room that is shown.
    fn run_here(&mut self, id: RoomId, run: Run, line: &str) {
        let room = || RoomRef::Id(id);
        let latest = |screen: &Screen, own: bool| screen.last_post(own).map(|post| post.seq);
        let command = match run {
            Run::Part(_) => Command::Leave { room: room() },
            Run::Invite(user) => {
                let done = format!("{} is invited", one_line(&user));
                return self.submit_told(Command::Invite { room: room(), user: UserRef::Name(user) }, line, done);
            }
            Run::Topic(None) => return self.tell_topic(),
            Run::Topic(Some(topic)) => Command::SetTopic { room: room(), topic },
            Run::Names => return self.ask_members(id, true),
            Run::Reply(seq, text) => match seq.or_else(|| latest(self, false)) {
                Some(seq) => return self.post(id, text, Some(seq)),
                None => return self.say("there is nothing to answer here"),
            },
            Run::Edit(seq, text) => match seq.or_else(|| latest(self, true)) {
                Some(seq) => return self.edit(id, seq, text),
                None => return self.say("there is no message of yours here"),
            },
            Run::Delete(seq) => match seq.or_else(|| latest(self, true)) {
                Some(seq) => Command::Delete { room: room(), seq },
                None => return self.say("there is no message of yours here"),
            },
            Run::React { seq, emoji, on } => {
                let last = || self.current_room()?.window.last();
                match seq.or_else(last) {
                    Some(seq) => Command::React { room: room(), seq, emoji, on },
                    None => return self.say("there is no message here"),
                }
            }
            Run::Pin(seq, on) => Command::Pin { room: room(), seq, on },
            Run::Goto(seq) => return self.go_to(id, seq),
            Run::Read { .. } => return self.read_here(),
            Run::Withdraw => return self.withdraw_all(),
            Run::Kick(user) => Command::Kick { room: room(), user: UserRef::Name(user) },
            Run::Ban(user, on) => Command::Ban { room: room(), user: UserRef::Name(user), on },
            Run::Mute { user, minutes } => {
                Command::Mute { room: room(), user: UserRef::Name(user), for_ms: minutes.saturating_mul(60_000) }
            }
            Run::Role(user, role) => Command::SetRole { room: room(), user: UserRef::Name(user), role },
            Run::Rename(name) => Command::Rename { room: room(), name },
            Run::Archive(on) => Command::Archive { room: room(), on },
            _ => return,
        };
        self.submit(command, line);
    }

    fn make(&mut self, kind: RoomKind, name: String, users: Vec<String>, line: &str) {
        let members = users.into_iter().map(UserRef::Name).collect();
        let command = Command::MakeRoom { name, kind, topic: String::new(), rules: None, members };
        self.submit_entering(command, line, None);
    }

    pub(super) fn find_room(&self, name: &str) -> Option<RoomId> {
        let wanted = name.to_lowercase();
        let is_it = |id: &&RoomId| self.rooms.get(id).is_some_and(|room| room.name(&self.people).to_lowercase() == wanted);
        self.order.iter().find(is_it).copied()
    }

    fn join(&mut self, name: &str, line: &str) {
        if let Some(id) = self.find_room(name) {
            return self.show(id);
        }
        // Rooms that are not public have names that somebody else's may have, too: their id says which is meant.
        let known = self.others.iter().find(|view| view.name.to_lowercase() == name.to_lowercase()).map(|view| view.id);
        let room = known.map_or_else(|| crate::terminal::room_ref(name), RoomRef::Id);
        self.submit_entering(crate::terminal::entering(room, true), line, None);
    }

    pub(super) fn join_known(&mut self, id: RoomId, name: &str) {
        let line = format!("/join {}", one_line(name));
        self.submit_entering(Command::Join { room: RoomRef::Id(id) }, &line, None);
    }

    fn search(&mut self, words: String, here: bool) {
        let room = self.current.filter(|_| here);
        let ask = Ask::Search { words: words.clone(), room: room.map(RoomRef::Id), before: None, limit: FOUND };
        self.ask(ask, Question::Search { words, room, before: None });
    }

    fn read_here(&mut self) {
        let Some(room) = self.current_room_mut() else { return };
        room.marker = None;
        let (id, last) = (room.id(), room.last());
        self.mark_read(id, last);
    }

    fn read_all(&mut self) {
        let unread = self.rooms.values().filter(|room| room.known && room.view.unread > 0).map(|room| (room.id(), room.last()));
        for (id, last) in unread.collect::<Vec<_>>() {
            self.mark_read(id, last);
        }
        if let Some(room) = self.current_room_mut() {
            room.marker = None;
        }
    }

    /// What waits here and was not sent comes back, the last one into what is being written.
    fn withdraw_all(&mut self) {
        let Some(room) = self.current_room() else { return };
        let waiting = room.pending.iter().filter(|pending| pending.progress == Progress::Waiting);
        let numbers: Vec<u64> = waiting.filter_map(|pending| pending.number).collect();
        if numbers.is_empty() {
            return self.say("nothing waits here");
        }
        self.wants.extend(numbers.into_iter().rev().map(Want::Withdraw));
    }

    fn tell_topic(&mut self) {
        let topic = self.current_room().map(|room| room.view.topic.clone()).unwrap_or_default();
        match topic.is_empty() {
            true => self.tell("no topic is set: /topic TEXT sets one".into()),
            false => self.tell(format!("topic: {topic}")),
        }
    }

    fn tell_status(&mut self) {
        let Some(status) = &self.link.status else { return self.say("no server has answered yet") };
        let leader = status.leader.map_or("no leader is known".into(), |leader| format!("node {} leads", leader.0));
        let voters = status.members.len();
        let lag = self.link.lag_us.map_or(String::new(), |lag| format!(", answers in {}", milliseconds(lag)));
        let tentative = match status.tentative {
            0 => String::new(),
            waiting => format!("; {waiting} wait for a majority there"),
        };
        let told = format!(
            "{} at {} (node {}{lag}); {leader}, term {}, {}{tentative}",
            one_line(&self.name),
            self.link.server,
            status.node.0,
            status.term,
            nodes(voters as u32)
        );
        self.tell(told);
    }
}

/// `3 ms`, `1.2 s`.
pub fn milliseconds(us: u64) -> String {
    match us {
        0..1_000 => "1 ms".into(),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}
