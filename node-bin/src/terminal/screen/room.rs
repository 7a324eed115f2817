//! One room as the screen knows it: its messages, what waits behind them, who is there, what is unread, and what is being written in it.

use super::editor::Editor;
use super::window::Window;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tertulia_protocol::chat::{MemberView, Post, RoomKind, RoomView};
use tertulia_protocol::gateway::TentativePost;
use tertulia_protocol::ids::{MessageId, RoomId, Seq, UserId};
use tertulia_protocol::time::Timestamp;

/// Lines about what has happened in a room that are kept.
const NOTES: usize = 200;
/// Quotes kept for answers whose message is not in the window.
const QUOTES: usize = 500;
/// For how long somebody who was said to be typing is shown, in µs.
pub const TYPING: u64 = 6_000_000;

/// Something that has happened, or that is said to the user, in its place among the messages.
#[derive(Clone, Debug)]
pub struct Note {
    pub nth: u64,
    /// The message behind which it stands.
    pub after: Seq,
    pub at: Timestamp,
    pub text: String,
}

/// How far an own message is that has no place yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Kept here. Whether it was sent is not known.
    Waiting,
    /// Nodes without a leader have it, so many as are known.
    Accepted {
        copies: u32,
    },
    /// It has its place, and the room's event that says so is on its way.
    Placed {
        seq: Seq,
    },
    Refused {
        why: String,
    },
    /// Whether it was posted is not known, and will not be.
    Unclear,
}

/// An own message that is not among the room's.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Of this run.
    pub nth: u64,
    /// The client machine's, once it has taken the command.
    pub number: Option<u64>,
    pub id: Option<MessageId>,
    pub text: String,
    pub reply_to: Option<Seq>,
    pub at: Timestamp,
    pub progress: Progress,
    /// It is very likely the message that has just come: to be known for certain when it settles.
    pub seen_as: Option<MessageId>,
}

/// A message, or a line between messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    Post(Seq),
    Note(u64),
    /// The first message of a day.
    Day(Seq),
    /// What lies behind is unread.
    Unread,
    Tail(MessageId),
    Pending(u64),
}

/// What is done with what is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Intent {
    #[default]
    Post,
    Reply(Seq),
    Edit(Seq),
}

#[derive(Clone, Debug)]
pub struct Room {
    pub view: RoomView,
    /// Of another one that was heard of, and not asked about yet.
    pub known: bool,
    pub window: Window,
    pub tail: Vec<TentativePost>,
    pub pending: Vec<Pending>,
    notes: VecDeque<Note>,
    /// Messages that answers in the window refer to; `None`: it is not there.
    pub quotes: BTreeMap<Seq, Option<(String, String)>>,
    pub members: BTreeMap<UserId, MemberView>,
    pub members_asked: bool,
    /// Who spoke last, the last one first.
    pub speakers: Vec<String>,
    pub typing: BTreeMap<UserId, (String, Timestamp)>,
    /// The newest message that is counted in `view.unread`.
    pub counted: Seq,
    /// Where the line of what is unread stands.
    pub marker: Option<Seq>,
    /// A page of history is on its way.
    pub loading: bool,
    /// What is read is being told.
    pub telling_read: Option<Seq>,
    pub editor: Editor,
    pub intent: Intent,
    /// When something was last posted in it, by order of arrival.
    pub active: u64,
    /// The bottom of the view, and how many of its lines are hidden below; `None`: the end.
    pub anchor: Option<(Key, usize)>,
}

impl Room {
    pub fn new(view: RoomView) -> Room {
        Room {
            counted: view.last,
            view,
            known: true,
            window: Window::live(),
            tail: Vec::new(),
            pending: Vec::new(),
            notes: VecDeque::new(),
            quotes: BTreeMap::new(),
            members: BTreeMap::new(),
            members_asked: false,
            speakers: Vec::new(),
            typing: BTreeMap::new(),
            marker: None,
            loading: false,
            telling_read: None,
            editor: Editor::default(),
            intent: Intent::Post,
            active: 0,
            anchor: None,
        }
    }

    pub fn id(&self) -> RoomId {
        self.view.id
    }

    /// The newest message that is known.
    pub fn last(&self) -> Seq {
        self.view.last.max(self.window.last().unwrap_or(0)).max(self.counted)
    }

    pub fn note(&mut self, nth: u64, at: Timestamp, text: String) {
        let after = if self.window.live { self.window.last().unwrap_or(0) } else { self.last() };
        self.notes.push_back(Note { nth, after, at, text });
        if self.notes.len() > NOTES {
            self.notes.pop_front();
        }
    }

    pub fn note_of(&self, nth: u64) -> Option<&Note> {
        self.notes.iter().find(|note| note.nth == nth)
    }

    /// Everything that is shown, in its order; `day` tells the day of a moment.
    pub fn items(&self, day: impl Fn(Timestamp) -> i64) -> Vec<Key> {
        let mut items = Vec::with_capacity(self.window.posts().size_hint().0 + 16);
        let mut notes = self.notes.iter().peekable();
        let mut before: Option<&Post> = None;
        for post in self.window.posts() {
            while let Some(note) = notes.next_if(|note| note.after < post.seq) {
                // What happened before the first message held is not shown without what it stood between.
                if before.is_some() || self.window.from_first {
                    items.push(Key::Note(note.nth));
                }
            }
            if before.map_or(self.window.from_first, |before| day(before.at) != day(post.at)) {
                // What happened that day before its first message stands under its heading.
                let same_day = |key: &Key| matches!(key, Key::Note(nth) if self.note_of(*nth).is_some_and(|note| day(note.at) == day(post.at)));
                let at = items.iter().rposition(|key| !same_day(key)).map_or(0, |last| last + 1);
                items.insert(at, Key::Day(post.seq));
            }
            if self.marker.is_some_and(|marker| post.seq > marker && before.is_none_or(|before| before.seq <= marker)) {
                items.push(Key::Unread);
            }
            items.push(Key::Post(post.seq));
            before = Some(post);
        }
        if self.window.live {
            items.extend(notes.map(|note| Key::Note(note.nth)));
            items.extend(self.shown_tail().map(|post| Key::Tail(post.id)));
            items.extend(self.shown_pending().map(|pending| Key::Pending(pending.nth)));
        }
        items
    }

    /// Messages without a place that are not among those with one.
    pub fn shown_tail(&self) -> impl Iterator<Item = &TentativePost> {
        self.tail.iter().filter(|post| !self.window.has_lately(post.id))
    }

    /// Own messages that stand neither among the committed ones nor among those that wait for a majority.
    pub fn shown_pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().filter(|pending| {
            let in_tail = |id| self.tail.iter().any(|post| post.id == id);
            let is = |id: Option<MessageId>| id.is_some_and(|id| self.window.has_lately(id) || in_tail(id));
            !is(pending.id) && !is(pending.seen_as)
        })
    }

    /// Who wrote something goes to the front.
    pub fn spoke(&mut self, name: &str) {
        self.speakers.retain(|speaker| speaker != name);
        self.speakers.insert(0, name.to_owned());
        self.speakers.truncate(200);
    }

    /// Messages of the window's answers that are not known; they are asked for once.
    pub fn wanted_quotes(&mut self) -> Vec<Seq> {
        let wanted: BTreeSet<Seq> = (self.window.posts())
            .filter_map(|post| post.more.reply_to)
            .chain(self.tail.iter().filter_map(|post| post.reply_to))
            .filter(|seq| self.window.get(*seq).is_none() && !self.quotes.contains_key(seq))
            .collect();
        let wanted: Vec<Seq> = wanted.into_iter().rev().take(100).collect();
        if self.quotes.len() > QUOTES {
            self.quotes.clear();
        }
        self.quotes.extend(wanted.iter().map(|seq| (*seq, None)));
        wanted
    }

    /// Author and text of a message that is quoted.
    pub fn quote(&self, seq: Seq) -> Option<(&str, &str)> {
        let held = self.window.get(seq).map(|post| {
            let text = if post.more.deleted.is_some() { "(deleted)" } else { &post.text };
            (post.author_name.as_str(), text)
        });
        held.or_else(|| self.quotes.get(&seq)?.as_ref().map(|(author, text)| (author.as_str(), text.as_str())))
    }

    /// Who is typing now.
    pub fn typists(&self, now: Timestamp) -> Vec<&str> {
        let lately = self.typing.values().filter(|(_, since)| now.0 < since.0 + TYPING);
        lately.map(|(name, _)| name.as_str()).collect()
    }

    /// What the room is called: with a sign that says of what kind it is.
    pub fn label(&self, people: &BTreeMap<UserId, String>) -> String {
        let name = self.name(people);
        match self.view.kind {
            RoomKind::Public => format!("#{name}"),
            RoomKind::Private => format!("+{name}"),
            RoomKind::Group => format!("&{name}"),
            RoomKind::Direct => format!("@{name}"),
        }
    }

    pub fn name(&self, people: &BTreeMap<UserId, String>) -> String {
        let of = |user: UserId| people.get(&user).cloned().unwrap_or_else(|| format!("user {}", user.0));
        match (self.view.with, self.view.name.is_empty()) {
            (Some(other), _) => of(other),
            (None, false) => self.view.name.clone(),
            (None, true) if self.members.is_empty() => format!("group {}", self.view.id.0),
            (None, true) => self.members.values().take(4).map(|member| member.user.name.as_str()).collect::<Vec<_>>().join(","),
        }
    }

    pub fn is_direct(&self) -> bool {
        self.view.kind == RoomKind::Direct
    }
}
