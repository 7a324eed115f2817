//! The screen played by hand: keys and what a cluster would tell go in, what is to be seen is compared with snapshots.

mod hostile;
mod play;
mod sights;

use super::{Doing, Options, Question, Screen, Want};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;
use std::sync::Arc;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::{
    Change, Changed, Command, Done, MemberRole, MemberView, More, Post, Refusal, RoomKind, RoomRef, RoomView, UserRef, UserView,
};
use tertulia_protocol::gateway::{Answer, Ask, Event, EventKind, TentativePost};
use tertulia_protocol::ids::{Boot, MessageId, NodeId, OutboxId, RoomId, Seq, UserId};
use tertulia_protocol::time::Timestamp;
use unicode_width::UnicodeWidthStr;

/// 2026-03-14 12:00:00 UTC.
const NOON: u64 = 1_773_489_600_000_000;
const MINUTE: u64 = 60_000_000;
const LOBBY: RoomId = RoomId(1);
const DEV: RoomId = RoomId(2);
const CLEO: RoomId = RoomId(3);
const NAMES: [&str; 4] = ["ana", "ben", "cleo", "dora"];

/// A screen, and a cluster that answers it.
struct Stage {
    screen: Screen,
    now: u64,
    rooms: BTreeMap<RoomId, (RoomView, Vec<Post>)>,
    /// Commands that were submitted and are not settled, by their numbers.
    open: BTreeMap<u64, Command>,
    submitted: Vec<Command>,
    next: u64,
    /// Nothing is taken any more.
    full: bool,
    rings: u32,
    quit: bool,
    events: u64,
}

fn user(name: &str) -> UserId {
    UserId(NAMES.iter().position(|known| *known == name).map_or(99, |at| at as u64 + 1))
}

fn user_view(name: &str) -> UserView {
    UserView { id: user(name), name: name.into(), shown: name.into(), ambiguous: false, deleted: false, online: name != "dora" }
}

fn post(seq: Seq, author: &str, text: &str, minute: u64) -> Post {
    let at = Timestamp(NOON - 60 * MINUTE + minute * MINUTE);
    let mut more = More::default();
    if text.contains("@ana") {
        more.mentions.push(user("ana"));
    }
    Post { seq, id: MessageId(u128::from(seq)), author: user(author), author_name: author.into(), text: text.into(), at, more }
}

impl Stage {
    fn new(width: u16, height: u16) -> Stage {
        let options = Options { name: "ana".into(), room: None, colours: true, bell: true, zone: TimeZone::UTC };
        let screen = Screen::new(options, Timestamp(NOON), (width, height));
        let (rooms, open) = (BTreeMap::new(), BTreeMap::new());
        Stage { screen, now: NOON, rooms, open, submitted: Vec::new(), next: 1, full: false, rings: 0, quit: false, events: 0 }
    }

    /// Three rooms, a conversation, somebody unread.
    fn usual(width: u16, height: u16) -> Stage {
        let mut stage = Stage::new(width, height);
        let mut build =
            post(3, "ben", "Wonderful. I will have a look at the shrinker, it still takes a minute for the longest stories.", 4);
        build.more.reply_to = Some(2);
        build.more.reactions =
            vec![tertulia_protocol::chat::Reaction { emoji: "🎉".into(), users: vec![user("ana"), user("cleo")] }];
        let mut changed = post(4, "ana", "Take your time.\nThe release is on Monday.", 6);
        changed.more.edited = Some(Timestamp(NOON));
        stage.room(
            LOBBY,
            "lobby",
            RoomKind::Public,
            "What is going on",
            vec![
                post(1, "cleo", "Good morning, everybody", 0),
                post(2, "ana", "Good morning! The build is green again.", 1),
                build,
                changed,
                post(5, "cleo", "/me makes coffee ☕", 9),
            ],
        );
        stage.room(DEV, "seeds", RoomKind::Public, "", vec![post(1, "ben", "@ana, which seed was it?", 20)]);
        stage.room(CLEO, "", RoomKind::Direct, "", vec![post(1, "ana", "Lunch?", 30)]);
        stage.sign_in();
        stage
    }

    fn room(&mut self, id: RoomId, name: &str, kind: RoomKind, topic: &str, posts: Vec<Post>) {
        let last = posts.last().map_or(0, |post| post.seq);
        let unread = if id == DEV { 1 } else { 0 };
        let mut view = super::answers::unknown_room(id);
        view = RoomView { name: name.into(), kind, topic: topic.into(), last, members: 4, read: last - unread, unread, ..view };
        view.mentions = unread as u32;
        view.with = (kind == RoomKind::Direct).then(|| user("cleo"));
        self.rooms.insert(id, (view, posts));
    }

    fn sign_in(&mut self) {
        self.screen.at_server("http://127.0.0.1:8081");
        self.tell(ClientEvent::SignedIn { server: 0, user: user("ana"), name: "ana".into() });
        self.key(KeyModifiers::ALT, KeyCode::Char('1'));
    }

    fn tell(&mut self, event: ClientEvent) {
        self.now += 1_000;
        self.screen.handle_client(Timestamp(self.now), event, "http://127.0.0.1:8081");
        self.answer();
    }

    /// Carries out what the screen wants, as a cluster would that answers at once; commands are not settled.
    fn answer(&mut self) {
        while let Some(want) = self.screen.want() {
            match want {
                Want::Submit { doing, .. } if self.full => {
                    self.screen.submitted(doing, Err(tertulia_driver::SubmitError::WindowFull));
                }
                Want::Submit { command, doing } => {
                    let number = self.next;
                    self.next += 1;
                    let read = matches!(doing, Doing::Read { .. });
                    self.screen.submitted(doing, Ok(number));
                    if read {
                        let done = Done::Read { room: LOBBY, unread: 0 };
                        let settled = ClientEvent::Settled { number, result: Ok(done) };
                        self.screen.handle_client(Timestamp(self.now), settled, "");
                    } else {
                        self.submitted.push(command.clone());
                        self.open.insert(number, command);
                    }
                }
                Want::Ask { question: Question::Hint, .. } => {}
                Want::Ask { ask, question } => {
                    let number = self.next;
                    self.next += 1;
                    self.screen.asked(question, number);
                    if let Some(result) = self.reply(&ask) {
                        self.screen.handle_client(Timestamp(self.now), ClientEvent::Answered { ask: number, result }, "");
                    }
                }
                Want::Withdraw(number) => {
                    let command = self.open.remove(&number);
                    self.screen.taken_back(number, command);
                }
                Want::Bell => self.rings += 1,
                Want::Quit => self.quit = true,
                Want::Suspend | Want::Repaint => {}
            }
        }
    }

    fn reply(&self, ask: &Ask) -> Option<Result<Answer, Refusal>> {
        let of = |room: &RoomRef| match room {
            RoomRef::Id(id) => self.rooms.get(id),
            RoomRef::Name(_) => None,
        };
        Some(match ask {
            Ask::Rooms => Ok(Answer::Rooms(self.rooms.values().map(|(view, _)| view.clone()).collect())),
            Ask::Room { room } => match of(room) {
                Some((view, _)) => Ok(Answer::Room(Box::new(view.clone()))),
                None => Err(Refusal::UnknownRoom { room: room.clone() }),
            },
            Ask::History { room, after, before, limit, .. } => {
                let (view, posts) = of(room)?;
                let (low, high) = (after.unwrap_or(0), before.unwrap_or(Seq::MAX));
                let fit: Vec<Post> = posts.iter().filter(|post| post.seq > low && post.seq < high).cloned().collect();
                let skip = if after.is_some() { 0 } else { fit.len().saturating_sub(*limit as usize) };
                let posts = fit.into_iter().skip(skip).take(*limit as usize).collect();
                Ok(Answer::History { room: view.id, posts, current: true })
            }
            Ask::Around { room, seq, limit, .. } => {
                let (view, posts) = of(room)?;
                let from = seq.saturating_sub(u64::from(*limit) / 2);
                let posts = posts.iter().filter(|post| post.seq > from).take(*limit as usize).cloned().collect();
                Ok(Answer::History { room: view.id, posts, current: true })
            }
            Ask::Messages { room, seqs } => {
                let (view, posts) = of(room)?;
                let posts = posts.iter().filter(|post| seqs.contains(&post.seq)).cloned().collect();
                Ok(Answer::Messages { room: view.id, posts })
            }
            Ask::Members { room, .. } => {
                let (view, _) = of(room)?;
                let role = |name: &str| if name == "ana" { MemberRole::Owner } else { MemberRole::Member };
                let member = |name: &&str| MemberView { user: user_view(name), role: role(name), muted_until: None, read: 0 };
                Ok(Answer::Members { room: view.id, members: NAMES.iter().map(member).collect() })
            }
            Ask::User { user: UserRef::Id(id) } => Ok(Answer::User(user_view(NAMES[id.0 as usize - 1]))),
            _ => return None,
        })
    }

    fn key(&mut self, modifiers: KeyModifiers, code: KeyCode) {
        self.now += 1_000;
        self.screen.handle_key(Timestamp(self.now), KeyEvent::new(code, modifiers));
        self.answer();
    }

    fn press(&mut self, code: KeyCode) {
        self.key(KeyModifiers::NONE, code);
    }

    fn alt(&mut self, letter: char) {
        self.key(KeyModifiers::ALT, KeyCode::Char(letter));
    }

    fn control(&mut self, letter: char) {
        self.key(KeyModifiers::CONTROL, KeyCode::Char(letter));
    }

    fn write(&mut self, text: &str) {
        text.chars().for_each(|letter| self.press(KeyCode::Char(letter)));
    }

    /// Writes a line and sends it.
    fn line(&mut self, text: &str) {
        self.write(text);
        self.press(KeyCode::Enter);
    }

    fn later(&mut self, us: u64) {
        self.now += us;
        self.screen.handle_time(Timestamp(self.now));
        self.answer();
    }

    /// Somebody posts, and all are told.
    fn posted(&mut self, room: RoomId, author: &str, text: &str) -> Post {
        let seq = self.rooms[&room].1.last().map_or(0, |post| post.seq) + 1;
        let mut post = post(seq, author, text, 0);
        post.at = Timestamp(self.now);
        post.id = MessageId(u128::from(room.0) << 32 | u128::from(seq));
        self.deliver_post(room, post.clone());
        post
    }

    fn deliver_post(&mut self, room: RoomId, post: Post) {
        if let Some((view, posts)) = self.rooms.get_mut(&room) {
            view.last = post.seq;
            posts.push(post.clone());
        }
        self.events += 1;
        let event = Event { room, cursor: self.events, kind: EventKind::Posted(post) };
        self.tell(ClientEvent::Deliver(Arc::new(event)));
    }

    fn changed(&mut self, room: RoomId, by: &str, change: Change, post: Option<Post>) {
        self.events += 1;
        let user_name = change.user().map_or(String::new(), |user| NAMES[user.0 as usize - 1].into());
        let changed = Changed { at: Timestamp(self.now), by: user(by), by_name: by.into(), change, post, user_name };
        let event = Event { room, cursor: self.events, kind: EventKind::Changed(Box::new(changed)) };
        self.tell(ClientEvent::Deliver(Arc::new(event)));
    }

    fn tail(&mut self, room: RoomId, posts: &[(u128, &str, &str)]) {
        let at = Timestamp(self.now);
        let tentative = |(n, (id, author, text)): (usize, &(u128, &str, &str))| TentativePost {
            id: MessageId(*id),
            author: user(author),
            author_name: (*author).into(),
            text: (*text).into(),
            reply_to: None,
            written_at: at,
            order: (at, OutboxId { node: NodeId(1), boot: Boot(1) }, n as u64),
            copies: 2,
        };
        let posts = posts.iter().enumerate().map(tentative).collect();
        self.tell(ClientEvent::Tail { room, posts });
    }

    /// The number of the command that was submitted last.
    fn last_number(&self) -> u64 {
        *self.open.keys().next_back().unwrap()
    }

    /// All that is to be seen.
    fn see(&mut self) -> String {
        let (width, height) = self.screen.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let screen = &self.screen;
        terminal.draw(|frame| _ = screen.draw(frame.buffer_mut())).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y: u16| {
            // What a wide character covers has no character of its own.
            let mut shown = String::new();
            let mut x = 0;
            while x < width {
                let symbol = buffer[(x, y)].symbol();
                shown.push_str(symbol);
                x += (symbol.width() as u16).max(1);
            }
            shown.trim_end().to_owned()
        };
        (0..height).map(row).collect::<Vec<_>>().join("\n")
    }

    fn sees(&mut self, what: &str) {
        let seen = self.see();
        assert!(seen.contains(what), "\"{what}\" is not to be seen:\n{seen}");
    }

    fn misses(&mut self, what: &str) {
        let seen = self.see();
        assert!(!seen.contains(what), "\"{what}\" is to be seen:\n{seen}");
    }
}
