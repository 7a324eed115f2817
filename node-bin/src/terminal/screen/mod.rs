//! `node chat` on a whole screen: rooms, messages, members, what is being written.
//!
//! [`Screen`] is a machine without I/O. Events go in (keys, what the client machine tells, the time), wishes come out ([`Want`]), and what there is to see is drawn into a
//! buffer at any moment. `run.rs` is its host: it reads the terminal, carries the wishes out, and draws when something has changed.
//!
//! ```text
//! keys.rs select.rs overlay.rs   what a key does                doing.rs   what a command does
//! client.rs answers.rs           what the cluster tells         room.rs window.rs   a room, and the part of its history that is held
//! draw.rs panes.rs rows.rs       what is to be seen             editor.rs complete.rs commands.rs   what is written
//! ```
//!
//! Rules: nothing that a stranger wrote reaches the buffer but through `harmless.rs`. A message stays the same item from the moment it is written to the moment it has
//! its place (docs/CLIENT.md, "How to show it"). Nothing moves by itself but what has to: no clock, no animation.

mod answers;
mod client;
mod commands;
mod complete;
mod doing;
mod draw;
mod editor;
mod emoji;
mod fuzzy;
mod keys;
mod overlay;
mod panes;
mod room;
mod rows;
mod run;
mod select;
mod style;
#[cfg(test)]
mod tests;
mod tty;
mod window;

pub use run::{Ended, run};

use complete::Completion;
use editor::Editor;
use jiff::tz::TimeZone;
use overlay::Overlay;
use room::{Key, Pending, Progress, Room};
use select::Selecting;
use std::collections::{BTreeMap, VecDeque};
use tertulia_driver::OpenCommand;
use tertulia_protocol::chat::{Command, RoomRef, RoomView};
use tertulia_protocol::gateway::{Ask, Found, Status};
use tertulia_protocol::ids::{RoomId, Seq, UserId};
use tertulia_protocol::time::Timestamp;

/// A second, in µs.
const SECOND: u64 = 1_000_000;
/// How often the cluster is asked how it is.
const LOOK_AT_CLUSTER: u64 = 5 * SECOND;
/// For how long a line is shown that answers a command.
const FLASH: u64 = 8 * SECOND;
/// A message that has no answer for so long is said to be on its way; before that it is only dim.
const SOON: u64 = SECOND / 3;
/// What is read is told when it has been looked at for so long.
const READ_AFTER: u64 = SECOND / 2;
/// Others are told that somebody types this often at most.
const TELL_TYPING: u64 = 3 * SECOND;

/// What the screen wants of whoever runs it.
#[derive(Clone, PartialEq, Debug)]
pub enum Want {
    /// Then [`Screen::submitted`].
    Submit {
        command: Command,
        doing: Doing,
    },
    /// Then [`Screen::asked`].
    Ask {
        ask: Ask,
        question: Question,
    },
    Withdraw(u64),
    Bell,
    Suspend,
    /// Draw all of it anew: something else may have written on the terminal.
    Repaint,
    Quit,
}

/// What a command is about, for when it settles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doing {
    Post { room: RoomId, nth: u64 },
    Read { room: RoomId, seq: Seq },
    Line(Line),
}

/// A command that was written: how it is told of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    pub line: String,
    /// What to say when it is done.
    pub done: Option<String>,
    /// The room that it leads to is shown.
    pub enter: bool,
    /// What is posted there then.
    pub say: Option<String>,
}

/// What a question is about, for when it is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    Rooms,
    Room(RoomId),
    Me { tell: bool },
    Cluster { sent: Timestamp },
    Newest(RoomId),
    Older { room: RoomId, before: Seq },
    Newer { room: RoomId, after: Seq },
    Around { room: RoomId, seq: Seq },
    Members { room: RoomId, tell: bool },
    Quotes { room: RoomId },
    Person,
    Whois,
    Search { words: String, room: Option<RoomId>, before: Option<Found> },
    Hint,
}

/// How the screen is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub name: String,
    /// The room to begin with; it is made if there is none.
    pub room: Option<String>,
    pub colours: bool,
    /// Ring when somebody names the user.
    pub bell: bool,
    pub zone: TimeZone,
}

/// How the servers are reached.
#[derive(Clone, Debug, Default)]
struct Link {
    /// The server that is used, or tried: `127.0.0.1:8081`.
    server: String,
    signed_in: bool,
    was_signed_in: bool,
    failure: Option<String>,
    /// The cluster as that server sees it.
    status: Option<Box<Status>>,
    lag_us: Option<u64>,
    asked_at: Option<Timestamp>,
    /// Since when the server has known no leader.
    alone_since: Option<Timestamp>,
    began: Timestamp,
}

#[derive(Clone, Debug, Default)]
enum Mode {
    #[default]
    Write,
    Select(Selecting),
    Over(Overlay),
}

pub struct Screen {
    options: Options,
    name: String,
    user: Option<UserId>,
    now: Timestamp,
    size: (u16, u16),
    focused: bool,
    rooms: BTreeMap<RoomId, Room>,
    /// Rooms in the order of their numbers: those that the user is in.
    order: Vec<RoomId>,
    /// Rooms that it could go into.
    others: Vec<RoomView>,
    /// All rooms have been listed once.
    listed: bool,
    current: Option<RoomId>,
    previous: Option<RoomId>,
    people: BTreeMap<UserId, String>,
    mode: Mode,
    link: Link,
    wants: VecDeque<Want>,
    doing: BTreeMap<u64, Doing>,
    asked: BTreeMap<u64, Question>,
    /// Posts of earlier runs, until their rooms are known.
    from_before: Vec<(u64, RoomRef, Pending)>,
    /// Counts notes and pending messages.
    nth: u64,
    /// Counts what was posted, for the order of activity.
    activity: u64,
    flash: Option<(String, Timestamp)>,
    members_shown: bool,
    numbers_shown: bool,
    /// What is written while there is no room.
    draft: Editor,
    completion: Option<Completion>,
    typing_told: Timestamp,
    /// Since when the newest message has been looked at.
    looking_since: Option<Timestamp>,
    /// Ctrl-C was pressed once.
    ending: bool,
    /// It was told to end: whatever is typed from now on is meant for somebody else.
    ended: bool,
}

impl Screen {
    pub fn new(options: Options, now: Timestamp, size: (u16, u16)) -> Screen {
        Screen {
            name: options.name.clone(),
            options,
            user: None,
            now,
            size,
            focused: true,
            rooms: BTreeMap::new(),
            order: Vec::new(),
            others: Vec::new(),
            listed: false,
            current: None,
            previous: None,
            people: BTreeMap::new(),
            mode: Mode::Write,
            link: Link { began: now, ..Link::default() },
            wants: VecDeque::new(),
            doing: BTreeMap::new(),
            asked: BTreeMap::new(),
            from_before: Vec::new(),
            nth: 0,
            activity: 0,
            flash: None,
            members_shown: true,
            numbers_shown: false,
            draft: Editor::default(),
            completion: None,
            typing_told: Timestamp(0),
            looking_since: None,
            ending: false,
            ended: false,
        }
    }

    /// What an earlier run has left unsettled, to be shown where it will stand.
    pub fn begin_with(&mut self, open: Vec<OpenCommand>) {
        for (number, command, _) in open {
            let (room, text, reply_to) = match command {
                Command::Post { room, text } => (room, text, None),
                Command::Respond { room, to, text } => (room, text, Some(to)),
                _ => continue,
            };
            let nth = self.count();
            let (at, progress) = (self.now, Progress::Waiting);
            let pending = Pending { nth, number: Some(number), id: None, text, reply_to, at, progress, seen_as: None };
            self.from_before.push((number, room, pending));
        }
    }

    /// Where the client tries to be.
    pub fn at_server(&mut self, server: &str) {
        self.link.server = server.trim_start_matches("http://").to_owned();
    }

    pub fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    pub fn resized(&mut self, width: u16, height: u16) {
        self.size = (width, height);
    }

    /// The terminal has, or has not, what is typed.
    pub fn focused(&mut self, focused: bool) {
        self.focused = focused;
        if !focused && let Some(room) = self.current_room_mut() {
            room.marker = Some(room.last());
        }
        self.look();
    }

    /// Ends it, at once: what was wanted before is still carried out.
    fn quit(&mut self) {
        self.ended = true;
        self.wants.push_back(Want::Quit);
    }

    /// The time has come that [`Screen::timeout`] named, or it is simply later.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = now;
        if self.flash.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.flash = None;
        }
        if self.link.signed_in && self.link.asked_at.is_none_or(|at| now.0 >= at.0 + LOOK_AT_CLUSTER) {
            self.ask_cluster();
        }
        for room in self.rooms.values_mut() {
            room.typing.retain(|_, (_, since)| now.0 < since.0 + room::TYPING);
        }
        self.tell_read();
    }

    /// When something changes by itself.
    pub fn timeout(&self) -> Option<Timestamp> {
        let flash = self.flash.as_ref().map(|(_, until)| until.0);
        let cluster = self.link.signed_in.then(|| self.link.asked_at.map_or(0, |at| at.0 + LOOK_AT_CLUSTER));
        let typing = self.current_room().and_then(|room| room.typing.values().map(|(_, since)| since.0 + room::TYPING).min());
        let soon = self.current_room().into_iter().flat_map(|room| &room.pending);
        let soon = soon.map(|pending| pending.at.0 + SOON).filter(|at| *at > self.now.0).min();
        let read = self.looking_since.filter(|_| self.unread_here().is_some()).map(|since| since.0 + READ_AFTER);
        let all = [flash, cluster, typing, soon, read];
        all.into_iter().flatten().min().map(Timestamp)
    }

    /// There is nobody to suspend it for.
    pub fn cannot_suspend(&mut self) {
        self.say("there is no shell to go back to");
    }

    // ---- inside

    fn count(&mut self) -> u64 {
        self.nth += 1;
        self.nth
    }

    fn current_room(&self) -> Option<&Room> {
        self.rooms.get(&self.current?)
    }

    fn current_room_mut(&mut self) -> Option<&mut Room> {
        self.rooms.get_mut(&self.current?)
    }

    fn editor(&mut self) -> &mut Editor {
        match self.current.and_then(|id| self.rooms.get_mut(&id)) {
            Some(room) => &mut room.editor,
            None => &mut self.draft,
        }
    }

    fn editor_here(&self) -> &Editor {
        self.current_room().map_or(&self.draft, |room| &room.editor)
    }

    fn ask(&mut self, ask: Ask, question: Question) {
        self.wants.push_back(Want::Ask { ask, question });
    }

    /// Says something to the user for a moment, in the line above what is written.
    fn say(&mut self, what: impl Into<String>) {
        self.flash = Some((what.into(), Timestamp(self.now.0 + FLASH)));
    }

    /// Says something that stays, in the room that is shown.
    fn tell(&mut self, what: String) {
        let (nth, now) = (self.count(), self.now);
        match self.current_room_mut() {
            Some(room) => {
                room.note(nth, now, what);
                room.anchor = None;
            }
            None => self.say(what),
        }
    }

    fn ask_cluster(&mut self) {
        self.link.asked_at = Some(self.now);
        self.ask(Ask::Cluster, Question::Cluster { sent: self.now });
    }

    /// The number of the ask that was wanted.
    pub fn asked(&mut self, question: Question, number: u64) {
        self.asked.insert(number, question);
    }

    /// Whether the room's newest messages are before the user's eyes.
    fn is_looked_at(&self, id: RoomId) -> bool {
        let at_end = |room: &Room| room.anchor.is_none() && room.window.live && room.window.filled;
        self.focused && self.current == Some(id) && self.rooms.get(&id).is_some_and(at_end)
    }

    /// The newest message of the room that is shown, if it is not read.
    fn unread_here(&self) -> Option<(RoomId, Seq)> {
        let room = self.current_room()?;
        let last = room.last();
        (self.is_looked_at(room.id()) && last > room.view.read && room.telling_read.is_none()).then_some((room.id(), last))
    }

    /// What is looked at may have changed.
    fn look(&mut self) {
        self.looking_since = self.unread_here().map(|_| self.looking_since.unwrap_or(self.now));
    }

    fn tell_read(&mut self) {
        let Some((room, seq)) = self.unread_here() else { return self.looking_since = None };
        let since = *self.looking_since.get_or_insert(self.now);
        if self.now.0 < since.0 + READ_AFTER {
            return;
        }
        self.looking_since = None;
        self.mark_read(room, seq);
    }

    fn mark_read(&mut self, id: RoomId, seq: Seq) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.telling_read = Some(seq);
        (room.view.unread, room.view.mentions) = (0, 0);
        let command = Command::Read { room: RoomRef::Id(id), seq };
        self.wants.push_back(Want::Submit { command, doing: Doing::Read { room: id, seq } });
    }

    /// Shows a room.
    fn show(&mut self, id: RoomId) {
        if !self.rooms.contains_key(&id) {
            return;
        }
        if self.current != Some(id) {
            if let Some(left) = self.current_room_mut() {
                left.marker = None;
            }
            self.previous = self.current.replace(id);
        }
        self.mode = Mode::Write;
        self.completion = None;
        self.looking_since = None;
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.marker = (room.view.unread > 0).then_some(room.view.read);
        let (fill, members) = (!room.window.filled && !room.loading, !std::mem::replace(&mut room.members_asked, true));
        if fill {
            self.load_newest(id);
        }
        if members {
            self.ask_members(id, false);
        }
        self.look();
    }

    fn ask_members(&mut self, id: RoomId, tell: bool) {
        let ask = Ask::Members { room: RoomRef::Id(id), after: UserId(0), limit: answers::PAGE };
        self.ask(ask, Question::Members { room: id, tell });
    }

    /// What is known as this person's name.
    fn person(&self, user: UserId) -> String {
        self.people.get(&user).cloned().unwrap_or_else(|| format!("user {}", user.0))
    }

    fn label(&self, id: RoomId) -> String {
        self.rooms.get(&id).map_or_else(|| format!("room {}", id.0), |room| room.label(&self.people))
    }

    /// A moment as the user's own clock shows it.
    fn local(&self, at: Timestamp) -> jiff::civil::DateTime {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(at.0).unwrap_or(i64::MAX)).unwrap_or_default();
        self.options.zone.to_datetime(at)
    }

    fn day(&self, at: Timestamp) -> i64 {
        let date = self.local(at).date();
        i64::from(date.year()) * 400 + i64::from(date.day_of_year())
    }

    fn items(&self, room: &Room) -> Vec<Key> {
        room.items(|at| self.day(at))
    }
}
