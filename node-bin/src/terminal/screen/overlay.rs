//! What is laid over the screen for a moment: the help, the switcher, what a search has found, a message in full.

use super::commands::COMMANDS;
use super::doing::FOUND;
use super::editor::{Editor, To};
use super::{Mode, Question, Screen, fuzzy};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tertulia_protocol::chat::{Post, RoomKind, RoomRef};
use tertulia_protocol::gateway::{Ask, Found as Place};
use tertulia_protocol::ids::RoomId;

#[derive(Clone, Debug)]
pub enum Overlay {
    /// A page to read.
    Lines {
        title: String,
        lines: Vec<String>,
        top: usize,
        /// By so much what is broken off a line stands further in.
        indent: usize,
    },
    Switch(Switcher),
    Found(Found),
}

/// Rooms by a few letters of their names.
#[derive(Clone, Debug, Default)]
pub struct Switcher {
    pub typed: Editor,
    /// Also rooms that the user is not in, though nothing is typed.
    pub all: bool,
    pub choices: Vec<Choice>,
    pub at: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    pub room: RoomId,
    pub label: String,
    pub member: bool,
    pub invited: bool,
    pub unread: u64,
    pub mentions: u32,
    pub about: String,
}

#[derive(Clone, Debug)]
pub struct Found {
    pub words: String,
    pub room: Option<RoomId>,
    pub posts: Vec<(RoomId, Post)>,
    pub more: Option<Place>,
    pub at: usize,
}

impl Found {
    pub fn new(words: String, room: Option<RoomId>, posts: Vec<(RoomId, Post)>, more: Option<Place>) -> Found {
        Found { words, room, posts, more, at: 0 }
    }

    pub fn add(&mut self, posts: Vec<(RoomId, Post)>, more: Option<Place>) {
        self.posts.extend(posts);
        self.more = more;
    }
}

const KEYS: &[(&str, &str)] = &[
    ("Enter", "send; Alt-Enter or Ctrl-J begins a new line"),
    ("Tab", "complete a name, /command, #room or :emoji; again for the next one"),
    ("Up Down", "what you wrote before in this room"),
    ("PgUp PgDn", "scroll; End (nothing written) or Ctrl-End back to the newest, Ctrl-Home to the first held"),
    ("Alt-U", "scroll to the first unread message"),
    (
        "Esc, Ctrl-Up",
        "select messages: then R answers, E edits, + reacts, D deletes, P pins, Enter shows all of it, G goes to what it answers",
    ),
    ("Alt-E, Alt-R", "edit your last message; answer the last one of somebody else"),
    ("Alt-1 … Alt-9", "the room of that number"),
    ("Ctrl-N Ctrl-P", "the next room, the one before (also Alt with an arrow)"),
    ("Alt-A", "the next room with something unread: first where you were named, then direct ones"),
    ("Alt-/", "the room that was shown before"),
    ("Ctrl-K", "find a room by a few letters, also one to go into"),
    ("Alt-M, Alt-N", "show or hide the members; the numbers of messages"),
    ("Ctrl-W Ctrl-U", "cut a word, cut to the beginning of the line; Ctrl-Y brings it back"),
    ("Ctrl-A Ctrl-E", "to the beginning, to the end of the line; Alt-B and Alt-F by words"),
    ("Ctrl-L Ctrl-Z", "draw anew; suspend (fg comes back)"),
    ("Ctrl-D, Ctrl-C", "end (nothing written); Ctrl-C throws away what is written, twice ends"),
];

const MARKS: &[(&str, &str)] = &[
    ("✓", "yours, and it has its place: a majority of the nodes holds it for good"),
    ("·", "yours, on its way or waiting here"),
    ("~", "accepted without a majority: on so many nodes, and it gets its place when there is one again"),
    ("✗", "yours, and refused: select it, E writes it anew, D puts it away"),
];

impl Overlay {
    pub fn help() -> Overlay {
        let mut lines = Vec::new();
        let mut table = |rows: &mut dyn Iterator<Item = (String, &str)>| {
            lines.extend(rows.map(|(key, about)| format!("{key:<15} {about}")));
        };
        table(&mut KEYS.iter().map(|(key, about)| ((*key).to_owned(), *about)));
        table(&mut [(String::new(), "")].into_iter());
        table(&mut MARKS.iter().map(|(mark, about)| ((*mark).to_owned(), *about)));
        table(&mut [(String::new(), "")].into_iter());
        table(&mut COMMANDS.iter().map(|known| {
            let command =
                if known.wants.len() > 12 { format!("/{} …", known.name) } else { format!("/{} {}", known.name, known.wants) };
            (command, known.about)
        }));
        lines.push("//text          a message that begins with one /".into());
        Overlay::Lines { title: "Keys and commands".into(), lines, top: 0, indent: 16 }
    }
}

impl Switcher {
    pub fn new(screen: &Screen, all: bool) -> Switcher {
        let mut switcher = Switcher { all, ..Switcher::default() };
        switcher.refresh(screen);
        switcher
    }

    fn refresh(&mut self, screen: &Screen) {
        let typed = self.typed.text().trim().to_owned();
        let hot = screen.hotlist();
        let heat = |id: RoomId| hot.iter().position(|room| *room == id).unwrap_or(usize::MAX);
        let own = screen.order.iter().filter_map(|id| screen.rooms.get(id)).map(|room| Choice {
            room: room.id(),
            label: room.label(&screen.people),
            member: true,
            invited: false,
            unread: room.view.unread,
            mentions: room.view.mentions,
            about: room.view.topic.clone(),
        });
        let others = screen.others.iter().filter(|_| self.all || !typed.is_empty()).map(|view| Choice {
            room: view.id,
            label: format!("{}{}", if view.kind == RoomKind::Public { "#" } else { "+" }, view.name),
            member: false,
            invited: view.invited,
            unread: 0,
            mentions: 0,
            about: view.topic.clone(),
        });
        let mut choices: Vec<(i64, usize, usize, Choice)> = (own.chain(others).enumerate())
            .filter_map(|(nth, choice)| {
                let score = fuzzy::score(&typed, &choice.label)? + if choice.member { 3 } else { 0 };
                Some((-score, heat(choice.room), nth, choice))
            })
            .collect();
        choices.sort_by_key(|(score, heat, nth, _)| (if typed.is_empty() { 0 } else { *score }, *heat, *nth));
        self.choices = choices.into_iter().map(|(.., choice)| choice).collect();
        self.at = self.at.min(self.choices.len().saturating_sub(1));
    }
}

impl Screen {
    pub(super) fn refresh_switcher(&mut self) {
        if let Mode::Over(Overlay::Switch(mut switcher)) = std::mem::take(&mut self.mode) {
            switcher.at = 0;
            switcher.refresh(self);
            self.mode = Mode::Over(Overlay::Switch(switcher));
        }
    }

    pub(super) fn overlay_key(&mut self, overlay: Overlay, key: KeyEvent) {
        if key.code == KeyCode::Esc {
            return;
        }
        match overlay {
            Overlay::Lines { title, lines, top, indent } => self.read_key((title, lines, indent), top, key),
            Overlay::Switch(switcher) => self.switch_key(switcher, key),
            Overlay::Found(found) => self.found_key(found, key),
        }
    }

    fn read_key(&mut self, (title, lines, indent): (String, Vec<String>, usize), top: usize, key: KeyEvent) {
        let page = usize::from(self.size.1).saturating_sub(4).max(1);
        let last = self.overlay_rows(&lines, indent).saturating_sub(page);
        let top = match key.code {
            KeyCode::Up | KeyCode::Char('k') => top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => top + 1,
            KeyCode::PageUp => top.saturating_sub(page),
            KeyCode::PageDown | KeyCode::Char(' ') => top + page,
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            KeyCode::Char('q') | KeyCode::Enter => return,
            _ => top,
        };
        self.mode = Mode::Over(Overlay::Lines { title, lines, top: top.min(last), indent });
    }

    fn switch_key(&mut self, mut switcher: Switcher, key: KeyEvent) {
        let last = switcher.choices.len().saturating_sub(1);
        let control = key.modifiers == KeyModifiers::CONTROL;
        match key.code {
            KeyCode::Enter => {
                if let Some(choice) = switcher.choices.get(switcher.at).cloned() {
                    match choice.member {
                        true => self.show(choice.room),
                        false => self.join_known(choice.room, &choice.label),
                    }
                }
                return;
            }
            KeyCode::Up => switcher.at = switcher.at.saturating_sub(1),
            KeyCode::Char('p') if control => switcher.at = switcher.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Tab => switcher.at = (switcher.at + 1).min(last),
            KeyCode::Char('n') if control => switcher.at = (switcher.at + 1).min(last),
            code => {
                match code {
                    KeyCode::Backspace => switcher.typed.remove(To::Left),
                    KeyCode::Char('u' | 'w') if control => switcher.typed.remove(To::Start),
                    KeyCode::Char(letter) if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() => {
                        _ = switcher.typed.insert(letter.encode_utf8(&mut [0; 4]));
                    }
                    _ => {}
                }
                switcher.at = 0;
                switcher.refresh(self);
            }
        }
        self.mode = Mode::Over(Overlay::Switch(switcher));
    }

    fn found_key(&mut self, mut found: Found, key: KeyEvent) {
        let last = found.posts.len().saturating_sub(1);
        match key.code {
            KeyCode::Enter => {
                if let Some((room, post)) = found.posts.get(found.at) {
                    match self.rooms.contains_key(room) {
                        true => self.go_to(*room, post.seq),
                        false => self.say("you are not in that room: go into it first"),
                    }
                }
                return;
            }
            KeyCode::Up | KeyCode::Char('k') => found.at = found.at.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => found.at = (found.at + 1).min(last),
            KeyCode::PageUp => found.at = found.at.saturating_sub(10),
            KeyCode::PageDown => found.at = (found.at + 10).min(last),
            KeyCode::Char('q') => return,
            _ => {}
        }
        if found.at + 5 > last
            && let Some(before) = found.more.take()
        {
            let (words, room) = (found.words.clone(), found.room);
            let ask = Ask::Search { words: words.clone(), room: room.map(RoomRef::Id), before: Some(before), limit: FOUND };
            self.ask(ask, Question::Search { words, room, before: Some(before) });
        }
        self.mode = Mode::Over(Overlay::Found(found));
    }
}
