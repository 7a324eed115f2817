//! Scripts for the stage: one command a line, and below it what came of it and what was told to whom.
//!
//! `ada` and `ada/phone` are devices of the user "ada". See [`command`] for the words; texts go to the end of the line.

use super::stage::{START, Stage};
use std::collections::BTreeMap;
use std::fmt::Write;
use tertulia_protocol::chat::password::{Key, PasswordHash, PasswordParams, Recipe};
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::EventKind;
use tertulia_protocol::ids::*;
use tertulia_protocol::time::Timestamp;

struct Play {
    stage: Stage,
    devices: BTreeMap<String, SessionId>,
    names: BTreeMap<SessionId, String>,
    told: usize,
}

/// Plays a script and writes it down.
pub fn play_with(limits: Limits, script: &str) -> String {
    let stage = Stage::with(limits, BTreeMap::new());
    let mut play = Play { stage, devices: BTreeMap::new(), names: BTreeMap::new(), told: 0 };
    let mut written = String::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        writeln!(written, "{line}").unwrap();
        if line.starts_with('#') {
            continue;
        }
        for came in play.line(line) {
            writeln!(written, "    {came}").unwrap();
        }
    }
    written
}

pub fn key(password: &str) -> Key {
    let mut key = [0; 32];
    key[..password.len()].copy_from_slice(password.as_bytes());
    Key(key)
}

pub fn hash(password: &str) -> PasswordHash {
    PasswordHash { recipe: Recipe { params: PasswordParams::LEAST, salt: [1; 16] }, key: key(password) }
}

pub fn code(code: &str) -> [u8; 32] {
    key(code).0
}

pub fn room(word: &str) -> RoomRef {
    word.parse().map_or_else(|_| RoomRef::Name(word.trim_matches('"').into()), |id| RoomRef::Id(RoomId(id)))
}

pub fn user(word: &str) -> UserRef {
    word.parse().map_or_else(|_| UserRef::Name(word.into()), |id| UserRef::Id(UserId(id)))
}

pub fn rules(words: &[&str]) -> Rules {
    let mut rules = Rules::default();
    for word in words {
        let (what, how) = word.split_once('=').expect("a rule is name=value");
        let who = || match how {
            "members" => Who::Members,
            "moderators" => Who::Moderators,
            _ => Who::Nobody,
        };
        match what {
            "history" => {
                rules.history = match how {
                    "all" => History::All,
                    "since-join" => History::SinceJoin,
                    "none" => History::None,
                    last => History::Last(last.parse().unwrap()),
                }
            }
            "post" => rules.post = who(),
            "invite" => rules.invite = who(),
            "edits" => rules.edits = how == "yes",
            "bytes" => rules.text_bytes = how.parse().unwrap(),
            "tentative" => {
                rules.tentative = match how {
                    "refuse" => Tentative::Refuse,
                    "accept" => Tentative::Accept,
                    copies => Tentative::Copies(copies.parse().unwrap()),
                }
            }
            other => panic!("no rule is called {other}"),
        }
    }
    rules
}

fn settings(words: &[&str]) -> Settings {
    let mut settings = Settings::default();
    for word in words {
        let (what, how) = word.split_once('=').expect("a setting is name=value");
        match what {
            "sign-in" => {
                settings.sign_in = match how {
                    "open" => SignIn::Open,
                    "guests" => SignIn::Guests,
                    "accounts" => SignIn::Accounts,
                    _ => SignIn::Invite,
                }
            }
            "devices" => settings.devices = how.parse().unwrap(),
            "idle" => settings.idle_ms = how.parse().unwrap(),
            "direct" => settings.direct = if how == "friends" { Direct::Friends } else { Direct::Anybody },
            "erase" => settings.erase = how == "yes",
            "admins-make-rooms" => settings.admins_make_rooms = how == "yes",
            _ => settings.rules = rules(&[word]),
        }
    }
    settings
}

/// The words of a command: what, where, whom.
pub fn command(words: &[&str], devices: &BTreeMap<String, SessionId>) -> Command {
    let text = |from: usize| words[from..].join(" ");
    let seq = |nth: usize| words[nth].parse::<Seq>().unwrap();
    let number = |nth: usize| words[nth].parse::<u64>().unwrap();
    let make = |kind: RoomKind| {
        let name = if words[1] == "-" { String::new() } else { words[1].into() };
        let (given, members): (Vec<&str>, Vec<&str>) = words[2..].iter().partition(|word| word.contains('='));
        let members = members.iter().map(|word| user(word)).collect();
        let rules = (!given.is_empty()).then(|| rules(&given));
        Command::MakeRoom { name, kind, topic: String::new(), rules, members }
    };
    match words[0] {
        "creates" => Command::CreateRoom { name: text(1) },
        "joins" => Command::Join { room: room(words[1]) },
        "leaves" => Command::Leave { room: room(words[1]) },
        "posts" => Command::Post { room: room(words[1]), text: text(2) },
        "answers" => Command::Respond { room: room(words[1]), to: seq(2), text: text(3) },
        "edits" => Command::Edit { room: room(words[1]), seq: seq(2), text: text(3) },
        "deletes" => Command::Delete { room: room(words[1]), seq: seq(2) },
        "reacts" => Command::React { room: room(words[1]), seq: seq(2), emoji: text(3), on: true },
        "unreacts" => Command::React { room: room(words[1]), seq: seq(2), emoji: text(3), on: false },
        "pins" => Command::Pin { room: room(words[1]), seq: seq(2), on: true },
        "unpins" => Command::Pin { room: room(words[1]), seq: seq(2), on: false },
        "reads" => Command::Read { room: room(words[1]), seq: seq(2) },
        "makes-public" => make(RoomKind::Public),
        "makes-private" => make(RoomKind::Private),
        "makes-group" => make(RoomKind::Group),
        "makes-direct" => make(RoomKind::Direct),
        "opens-direct" => Command::OpenDirect { user: user(words[1]) },
        "invites" => Command::Invite { room: room(words[1]), user: user(words[2]) },
        "declines" => Command::Decline { room: room(words[1]) },
        "sets-topic" => Command::SetTopic { room: room(words[1]), topic: text(2) },
        "renames" => Command::Rename { room: room(words[1]), name: text(2) },
        "archives" => Command::Archive { room: room(words[1]), on: true },
        "unarchives" => Command::Archive { room: room(words[1]), on: false },
        "removes-room" => Command::DeleteRoom { room: room(words[1]) },
        "sets-rules" => Command::SetRules { room: room(words[1]), rules: rules(&words[2..]) },
        "gives-role" => {
            let role = match words[3] {
                "owner" => MemberRole::Owner,
                "moderator" => MemberRole::Moderator,
                _ => MemberRole::Member,
            };
            Command::SetRole { room: room(words[1]), user: user(words[2]), role }
        }
        "kicks" => Command::Kick { room: room(words[1]), user: user(words[2]) },
        "bans" => Command::Ban { room: room(words[1]), user: user(words[2]), on: true },
        "unbans" => Command::Ban { room: room(words[1]), user: user(words[2]), on: false },
        "mutes" => {
            let for_ms = if words[3] == "ever" { u64::MAX } else { number(3) };
            Command::Mute { room: room(words[1]), user: user(words[2]), for_ms }
        }
        "befriends" => Command::Befriend { user: user(words[1]) },
        "unfriends" => Command::Unfriend { user: user(words[1]) },
        "blocks" => Command::Block { user: user(words[1]), on: true },
        "unblocks" => Command::Block { user: user(words[1]), on: false },
        "is-shown-as" => Command::SetDisplayName { name: text(1) },
        "names-device" => Command::NameDevice { name: text(1) },
        "logs-out" => {
            let which = match words[1] {
                "this" => Devices::This,
                "others" => Devices::Others,
                "all" => Devices::All,
                device => Devices::One(devices.get(device).copied().unwrap_or(SessionId(u64::MAX))),
            };
            Command::LogOut { devices: which }
        }
        "changes-password" => Command::ChangePassword { old: key(words[1]), new: hash(words[2]) },
        "deletes-account" => Command::DeleteAccount { proof: words.get(1).map(|word| key(word)) },
        "makes-code" => Command::MakeInvite { code: code(words[1]), for_ms: number(2) },
        "revokes-code" => Command::RevokeInvite { code: code(words[1]) },
        "makes-admin" => Command::SetAdmin { user: user(words[1]), on: true },
        "unmakes-admin" => Command::SetAdmin { user: user(words[1]), on: false },
        "configures" => Command::Configure { settings: settings(&words[1..]) },
        other => panic!("no command is called {other}"),
    }
}

/// A stamp as milliseconds since the stage began.
fn stamp(at: Timestamp) -> String {
    if at.0 == u64::MAX { "for ever".into() } else { format!("{} ms", at.since(START).as_millis()) }
}

impl Play {
    fn line(&mut self, line: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["the", "answer", "is", "lost"] {
            let again = self.stage.ask_again();
            return vec![format!("again: {}", self.done(again))];
        }
        match words[0] {
            "wait" => {
                self.stage.wait(words[1].parse().unwrap());
                return Vec::new();
            }
            "restart" => {
                self.stage.restart();
                return Vec::new();
            }
            "house" => return self.house(&words[1..]),
            _ => {}
        }
        let who = words[0];
        let came = match words[1] {
            "signs-in" | "registers" | "logs-in" => self.sign_in(who, &words[1..]),
            "sees" => return self.sees(who, &words[2..]),
            // Its node reached no leader so many milliseconds ago.
            "carried" => {
                let session = *self.devices.get(who).unwrap_or(&SessionId(u64::MAX));
                let command = command(&words[3..], &self.devices);
                let (done, withdrawn) = self.stage.carried(session, &command, words[2].parse().unwrap());
                let done = self.done(done);
                if withdrawn { format!("withdrawn, {done}") } else { done }
            }
            _ => {
                let session = *self.devices.get(who).unwrap_or(&SessionId(u64::MAX));
                let done = self.stage.ask(session, &command(&words[1..], &self.devices));
                self.done(done)
            }
        };
        let mut lines = vec![came];
        lines.extend(self.tell());
        lines
    }

    fn sign_in(&mut self, who: &str, words: &[&str]) -> String {
        let (name, device) = who.split_once('/').unwrap_or((who, ""));
        let (name, device) = (name.replace('_', " "), device.to_string());
        let opening = match words[0] {
            "signs-in" => Opening::Name { name: words.get(1).map_or(name, |_| words[1..].join(" ")), device },
            "registers" => {
                let invite = words.get(2).map(|word| code(word));
                Opening::Register { name, password: hash(words[1]), invite, device }
            }
            _ => Opening::LogIn { name, proof: key(words[1]), device },
        };
        match self.stage.open(&opening) {
            Ok(session) => {
                self.devices.insert(who.into(), session);
                self.names.insert(session, who.into());
                let user = self.stage.chat().user_of(session).unwrap();
                let admin = if self.stage.chat().me(user, session).admin { ", an administrator" } else { "" };
                format!("is user {}, \"{}\"{admin}", user.0, self.stage.chat().user_name(user))
            }
            Err(refusal) => self.refused(&refusal),
        }
    }

    fn refused(&self, refusal: &Refusal) -> String {
        match refusal {
            Refusal::Muted { until } => format!("refused: you are muted, {}", stamp(*until)),
            Refusal::TooManyDevices { limit, devices } => {
                let names: Vec<_> = devices.iter().map(|device| self.names[&device.session].clone()).collect();
                format!("refused: signed in from {} already, the limit is {limit}", names.join(" and "))
            }
            other => format!("refused: {other}"),
        }
    }

    fn done(&self, done: Result<Done, Refusal>) -> String {
        match done {
            Ok(Done::Room { room, name, created }) => {
                format!("room {} \"{name}\"{}", room.0, if created { ", made now" } else { ", there before" })
            }
            Ok(Done::Joined { room, name, last, .. }) => format!("in room {} \"{name}\", whose last message is {last}", room.0),
            Ok(Done::Left { room }) => format!("left room {}", room.0),
            Ok(Done::Posted { room, seq, .. }) => format!("message {seq} of room {}", room.0),
            Ok(Done::Changed { room, cursor }) => format!("event {cursor} of room {}", room.0),
            Ok(Done::Read { room, unread }) => format!("{unread} unread in room {}", room.0),
            Ok(Done::Friend { user, friendship }) => format!("to user {}: {friendship:?}", user.0),
            Ok(Done::Ok) => "done".into(),
            Err(refusal) => self.refused(&refusal),
        }
    }

    /// What was told since the last line.
    fn tell(&mut self) -> Vec<String> {
        let told = self.stage.events[self.told..].iter().map(|event| self.event(event)).collect();
        self.told = self.stage.events.len();
        told
    }

    fn name(&self, user: UserId) -> &str {
        self.stage.chat().user_name(user)
    }

    fn event(&self, event: &ChatEvent) -> String {
        match event {
            ChatEvent::Room { event, .. } => {
                let what = match &event.kind {
                    EventKind::Posted(post) => format!("message {}, {}", post.seq, describe(post)),
                    EventKind::Changed(changed) => self.change(changed),
                    other => format!("{other:?}"),
                };
                format!("| room {} event {}: {what}", event.room.0, event.cursor)
            }
            ChatEvent::Joined { user, room, last } => format!("| {} follows room {} after {last}", self.name(*user), room.0),
            ChatEvent::Left { user, room } => format!("| {} follows room {} no more", self.name(*user), room.0),
            ChatEvent::Closed { session, .. } => format!("| {} is closed", self.names[session]),
            ChatEvent::Notice { user, notice } => {
                let notice = match notice {
                    Notice::Friendship { name, friendship, .. } => format!("{name}: {friendship:?}"),
                    Notice::Invited { room, name, by } => format!("{} invites to room {} \"{name}\"", self.name(*by), room.0),
                    Notice::Read { room, seq, unread } => format!("room {} is read through {seq}, {unread} unread", room.0),
                    Notice::Mentioned { room, seq, by } => {
                        format!("message {seq} of room {} by {} names you", room.0, self.name(*by))
                    }
                };
                format!("| to {}: {notice}", self.name(*user))
            }
        }
    }

    fn change(&self, changed: &Changed) -> String {
        let post = changed.post.as_ref().map(|post| format!("; now {}", describe(post))).unwrap_or_default();
        let who = &changed.by_name;
        let user = &changed.user_name;
        let what = match &changed.change {
            Change::Edited { seq } => format!("edits {seq}"),
            Change::Deleted { seq } => format!("deletes {seq}"),
            Change::Reacted { seq, emoji, on } => format!("{} {emoji} to {seq}", if *on { "reacts" } else { "takes back" }),
            Change::Pinned { seq, on } => format!("{} {seq}", if *on { "pins" } else { "unpins" }),
            Change::Joined { .. } => "joins".into(),
            Change::Left { .. } => "leaves".into(),
            Change::Kicked { .. } => format!("kicks {user}"),
            Change::Banned { on, .. } => format!("{} {user}", if *on { "bans" } else { "unbans" }),
            Change::Muted { until, .. } => format!("mutes {user}, {}", until.map_or("no more".into(), stamp)),
            Change::Role { role, .. } => format!("makes {user} {role:?}"),
            Change::Topic { topic } => format!("sets the topic {topic:?}"),
            Change::Renamed { name } => format!("renames it {name:?}"),
            Change::Archived { on } => if *on { "archives it" } else { "takes it out of the archive" }.into(),
            Change::Rules { rules } => format!("sets the rules: {}", describe_rules(rules)),
        };
        format!("{who} {what}{post}")
    }

    fn house(&mut self, words: &[&str]) -> Vec<String> {
        let seen = |play: &Play, device: &str| {
            let session = play.devices[device];
            (session, play.stage.chat().seen(session).unwrap_or(Timestamp(0)))
        };
        let command = match words[0] {
            "configures" => Housekeeping::Configure { settings: settings(&words[1..]), founding: false },
            "founds" => Housekeeping::Configure { settings: settings(&words[1..]), founding: true },
            "hears" => Housekeeping::Seen { sessions: words[1..].iter().map(|device| seen(self, device).0).collect() },
            "expires" => Housekeeping::Expire { sessions: words[1..].iter().map(|device| seen(self, device)).collect() },
            "expires-late" => {
                let sessions = words[1..].iter().map(|device| (seen(self, device).0, START)).collect();
                Housekeeping::Expire { sessions }
            }
            "sweeps-room" => Housekeeping::SweepRoom { room: RoomId(words[1].parse().unwrap()), from: words[2].parse().unwrap() },
            "sweeps-user" => {
                let (user, room) = (UserId(words[1].parse().unwrap()), RoomId(words[2].parse().unwrap()));
                Housekeeping::SweepUser { user, room, from: words[3].parse().unwrap() }
            }
            "seals" => {
                let outbox = |word: &&str| {
                    let (boot, n) = word.split_once(':').expect("boot:place");
                    (Boot(boot.parse().unwrap()), n.parse().unwrap())
                };
                let node = NodeId(words[1].parse().unwrap());
                self.stage.house(Housekeeping::Seal { node, outboxes: words[2..].iter().map(outbox).collect() }.encode());
                let Some(sealed) = self.stage.chat().sealed(node) else { return vec!["not sealed".into()] };
                return vec![format!("{:?}, {}", sealed.outboxes, stamp(sealed.at))];
            }
            "does-what-is-due" => {
                let mut lines = vec![format!("{} commands", self.stage.keep_house())];
                lines.extend(self.tell());
                return lines;
            }
            "counts-rows" => return vec![self.count()],
            other => panic!("the house does not know {other}"),
        };
        self.stage.house(command.encode());
        self.tell()
    }

    /// The chat's rows by their tables.
    fn count(&self) -> String {
        let mut tables: BTreeMap<&str, u32> = BTreeMap::new();
        for (key, _) in self.stage.rows.range(bytes::Bytes::from_static(&[0x0e])..) {
            let table = match key[0] {
                0x0e => "counters",
                0x0f => "settings",
                0x10 => "users",
                0x11 => "devices",
                0x12 => "rooms",
                0x13 => "members",
                0x14 => "ends",
                0x15 => "standings",
                0x16 => "relations",
                0x17 => "invitations",
                0x18 => "sweeps",
                0x19 => "seals",
                0x80 => "messages",
                0x81 => "changes",
                0x82 => "threads",
                other => panic!("no table {other:#x}"),
            };
            *tables.entry(table).or_default() += 1;
        }
        tables.iter().map(|(table, count)| format!("{count} {table}")).collect::<Vec<_>>().join(", ")
    }

    fn sees(&self, who: &str, words: &[&str]) -> Vec<String> {
        let session = self.devices.get(who).copied();
        let chat = self.stage.chat();
        let user = session.and_then(|session| chat.user_of(session));
        let Some((session, user)) = session.zip(user) else { return vec!["nothing: it is signed in no more".into()] };
        match words {
            ["rooms"] => chat.rooms(user).iter().map(|view| self.room_line(view)).collect(),
            ["members", name] => {
                let id = chat.find_room_for(user, &room(name)).unwrap();
                let member = |member: &MemberView| {
                    let muted = member.muted_until.map(|until| format!(", muted {}", stamp(until))).unwrap_or_default();
                    format!("{} {:?}, has read {}{muted}", member.user.name, member.role, member.read)
                };
                chat.members(id, UserId(0), 100).iter().map(member).collect()
            }
            ["messages", name] => self.messages(user, name),
            ["itself"] => self.me(&chat.me(user, session)),
            ["user", other] => {
                let view = chat.user_view(chat.find_user(&super::script::user(other)).unwrap());
                vec![format!(
                    "{:?} shown as {:?}{}{}",
                    view.name,
                    view.shown,
                    if view.ambiguous { ", as somebody else is" } else { "" },
                    if view.deleted { ", deleted" } else { "" }
                )]
            }
            other => panic!("nobody sees {other:?}"),
        }
    }

    fn room_line(&self, view: &RoomView) -> String {
        let mut line = format!(
            "room {} \"{}\" {:?}, {} members, messages {}..={}",
            view.id.0, view.name, view.kind, view.members, view.first, view.last
        );
        if view.member {
            let mentions = view.mentions;
            write!(line, ", {:?}, read {}, {} unread, {mentions} mentions", view.role, view.read, view.unread).unwrap();
        }
        for (there, what) in [(view.invited, "invited"), (view.archived, "archived")] {
            if there {
                write!(line, ", {what}").unwrap();
            }
        }
        if let Some(with) = view.with {
            write!(line, ", with {}", self.name(with)).unwrap();
        }
        if !view.pins.is_empty() {
            write!(line, ", pinned {:?}", view.pins).unwrap();
        }
        if !view.topic.is_empty() {
            write!(line, ", about {:?}", view.topic).unwrap();
        }
        line
    }

    /// A page of history as the gateway reads it.
    fn messages(&self, user: UserId, name: &str) -> Vec<String> {
        let chat = self.stage.chat();
        let Some(id) = chat.find_room_for(user, &room(name)) else { return vec!["there is no such room".into()] };
        let Some(first) = chat.first_visible(id, user) else { return vec!["nothing may be seen".into()] };
        let rows = self.stage.read(&Chat::messages(id, first - 1, Seq::MAX, 1_000, false));
        let posts = rows.iter().map(|(key, row)| chat.post_in(key, row).unwrap().1);
        posts.map(|post| format!("{}: {}", post.seq, describe(&post))).collect()
    }

    fn me(&self, me: &Me) -> Vec<String> {
        let mut lines = Vec::new();
        let words = [(me.admin, "administrator"), (me.has_password, "with a password")];
        let words: Vec<&str> = words.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        lines.push(format!("user {} {:?} {}", me.user.id.0, me.user.shown, words.join(", ")).trim_end().to_string());
        for device in &me.devices {
            lines.push(format!("device {} named {:?}, seen at {}", self.names[&device.session], device.name, stamp(device.seen)));
        }
        lines.extend(me.friends.iter().map(|(view, friendship)| format!("{}: {friendship:?}", view.name)));
        lines.extend(me.blocked.iter().map(|view| format!("{}: blocked", view.name)));
        lines.extend(
            me.invitations.iter().map(|(id, name, by)| format!("invited to room {} {name:?} by {}", id.0, self.name(*by))),
        );
        lines
    }
}

fn describe(post: &Post) -> String {
    let mut text = format!("{} {:?}", post.author_name, post.text);
    let more = &post.more;
    if let Some(to) = more.reply_to {
        write!(text, " to {to} in thread {}", more.thread.unwrap_or_default()).unwrap();
    }
    if more.replies > 0 {
        write!(text, ", {} answers", more.replies).unwrap();
    }
    if more.edited.is_some() {
        text.push_str(", edited");
    }
    if more.written.is_some() {
        text.push_str(", written before");
    }
    if let Some(deleted) = more.deleted {
        write!(text, ", deleted by user {}", deleted.by.0).unwrap();
    }
    if more.pinned {
        text.push_str(", pinned");
    }
    if !more.mentions.is_empty() {
        write!(text, ", names {:?}", more.mentions).unwrap();
    }
    for reaction in &more.reactions {
        write!(text, ", {} by {:?}", reaction.emoji, reaction.users).unwrap();
    }
    text
}

fn describe_rules(rules: &Rules) -> String {
    format!(
        "history {:?}, {:?} post, {:?} invite, edits {}, {} bytes",
        rules.history,
        rules.post,
        rules.invite,
        if rules.edits { "allowed" } else { "not allowed" },
        rules.text_bytes
    )
}
