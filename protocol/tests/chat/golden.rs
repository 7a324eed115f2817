//! Bytes of this release, which every later one must read: commands as they stand in logs, rows as they stand in stores. And the first release's rows, read and rewritten.

use super::script::{code, hash, key};
use super::stage::{Rows, Stage};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt::Write;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::{Event, EventKind};
use tertulia_protocol::ids::*;
use tertulia_protocol::time::Timestamp;
use tertulia_protocol::wire::{Kind, seal};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn bytes(hex: &str) -> Bytes {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect::<Vec<u8>>().into()
}

/// Each command once, by id and by name.
fn commands() -> Vec<Command> {
    let room = || RoomRef::Id(RoomId(300));
    let user = || UserRef::Name("bob".into());
    let text = || String::from("hello");
    let rules = Rules { history: History::Last(7), post: Who::Moderators, ..Rules::default() };
    let settings =
        Settings { sign_in: SignIn::Invite, devices: 3, idle_ms: 60_000, direct: Direct::Friends, rules, ..Settings::default() };
    let (name, kind, topic, members) = (text(), RoomKind::Private, text(), vec![user(), UserRef::Id(UserId(9))]);
    vec![
        Command::CreateRoom { name: text() },
        Command::Join { room: RoomRef::Name("lobby".into()) },
        Command::Leave { room: room() },
        Command::Post { room: room(), text: text() },
        Command::Respond { room: room(), to: 5, text: text() },
        Command::Edit { room: room(), seq: 5, text: text() },
        Command::Delete { room: room(), seq: 5 },
        Command::React { room: room(), seq: 5, emoji: "+1".into(), on: true },
        Command::Pin { room: room(), seq: 5, on: false },
        Command::Read { room: room(), seq: 128 },
        Command::MakeRoom { name, kind, topic, rules: Some(rules), members },
        Command::OpenDirect { user: user() },
        Command::Invite { room: room(), user: user() },
        Command::Decline { room: room() },
        Command::SetTopic { room: room(), topic: text() },
        Command::Rename { room: room(), name: text() },
        Command::Archive { room: room(), on: true },
        Command::DeleteRoom { room: room() },
        Command::SetRules { room: room(), rules },
        Command::SetRole { room: room(), user: user(), role: MemberRole::Owner },
        Command::Kick { room: room(), user: user() },
        Command::Ban { room: room(), user: user(), on: true },
        Command::Mute { room: room(), user: user(), for_ms: u64::MAX },
        Command::Befriend { user: user() },
        Command::Unfriend { user: user() },
        Command::Block { user: user(), on: true },
        Command::SetDisplayName { name: text() },
        Command::NameDevice { name: text() },
        Command::LogOut { devices: Devices::One(SessionId(4)) },
        Command::ChangePassword { old: key("old"), new: hash("new") },
        Command::DeleteAccount { proof: Some(key("old")) },
        Command::MakeInvite { code: code("sesame"), for_ms: 1_000 },
        Command::RevokeInvite { code: code("sesame") },
        Command::SetAdmin { user: user(), on: true },
        Command::Configure { settings },
    ]
}

#[test]
fn commands_are_written_as_this_release_writes_them() {
    let mut written = String::new();
    for command in commands() {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).as_ref(), Ok(&command));
        let name = format!("{command:?}");
        writeln!(written, "{} {}", name.split([' ', '{']).next().unwrap(), hex(&bytes)).unwrap();
    }
    let device = || String::from("phone");
    for opening in [
        Opening::Name { name: "ada".into(), device: String::new() },
        Opening::Name { name: "ada".into(), device: device() },
        Opening::Register { name: "ada".into(), password: hash("secret"), invite: Some(code("sesame")), device: device() },
        Opening::LogIn { name: "ada".into(), proof: key("secret"), device: device() },
    ] {
        writeln!(written, "opening {}", hex(&opening.encode())).unwrap();
    }
    for house in [
        Housekeeping::Configure { settings: Settings::default(), founding: true },
        Housekeeping::Seen { sessions: vec![SessionId(3), SessionId(300)] },
        Housekeeping::Expire { sessions: vec![(SessionId(3), Timestamp(1_700_000_000_000_000))] },
        Housekeeping::SweepRoom { room: RoomId(300), from: 257 },
        Housekeeping::SweepUser { user: UserId(2), room: RoomId(300), from: 257 },
        Housekeeping::Seal { node: NodeId(4), outboxes: vec![(Boot(7), 300), (Boot(8), 0)] },
    ] {
        writeln!(written, "house {}", hex(&house.encode())).unwrap();
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("commands_are_written_as_this_release_writes_them", written);
    });
}

/// A chat in which every kind of row stands.
fn everything() -> Stage {
    let mut stage = Stage::with(Limits::default(), Rows::new());
    let settings = Settings { sign_in: SignIn::Accounts, erase: true, ..Settings::default() };
    stage.house(Housekeeping::Configure { settings, founding: true }.encode());
    let register =
        |name: &str| Opening::Register { name: name.into(), password: hash("secret"), invite: None, device: "phone".into() };
    let (ada, bob) = (stage.open(&register("ada")).unwrap(), stage.open(&register("bob")).unwrap());
    let room = || RoomRef::Id(RoomId(2));
    let bob_ref = || UserRef::Name("bob".into());
    for (session, command) in [
        (ada, Command::CreateRoom { name: "gone".into() }),
        (ada, Command::CreateRoom { name: "lobby".into() }),
        (bob, Command::Join { room: room() }),
        (ada, Command::Post { room: room(), text: "hello @bob".into() }),
        (bob, Command::Respond { room: room(), to: 1, text: "hello".into() }),
        (ada, Command::React { room: room(), seq: 1, emoji: "+1".into(), on: true }),
        (ada, Command::Pin { room: room(), seq: 1, on: true }),
        (ada, Command::Edit { room: room(), seq: 1, text: "hello, @bob".into() }),
        (bob, Command::Delete { room: room(), seq: 2 }),
        (ada, Command::Mute { room: room(), user: bob_ref(), for_ms: 1_000 }),
        (ada, Command::SetTopic { room: room(), topic: "all".into() }),
        (ada, Command::OpenDirect { user: bob_ref() }),
        (ada, Command::Befriend { user: bob_ref() }),
        (ada, Command::MakeInvite { code: code("sesame"), for_ms: 1_000 }),
        (ada, Command::DeleteRoom { room: RoomRef::Id(RoomId(1)) }),
    ] {
        stage.ask(session, &command).unwrap();
    }
    stage.house(Housekeeping::Seal { node: NodeId(4), outboxes: vec![(Boot(8), 0), (Boot(7), 300)] }.encode());
    stage
}

#[test]
fn rows_are_written_as_this_release_writes_them() {
    let stage = everything();
    let mut written = String::new();
    let mut tables = std::collections::BTreeSet::new();
    for (key, row) in stage.rows.range(Bytes::from_static(&[0x0e])..) {
        writeln!(written, "{} {}", hex(key), hex(row)).unwrap();
        tables.insert(key[0]);
    }
    let all: Vec<u8> = (0x0e..=0x19).chain(0x80..=0x82).collect();
    assert_eq!(tables.into_iter().collect::<Vec<_>>(), all, "every table has a row");
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("rows_are_written_as_this_release_writes_them", written);
    });
}

/// A message that came straight to a leader, as the releases before outboxes wrote it, and one that an outbox has carried.
const MESSAGES: [&str; 2] = [
    "810301efe79ff793bbc1efe1c780d9de8ac0bae9bc0201036e6f77b8c992c1c1c482030000000000000000",
    "840301f1b58aa5d8f8b3d0c8e5fea0cce0b48df4f80201066265666f7265a0d192c1c1c482030101010100000000000080c48cc1c1c48203",
];

#[test]
fn a_message_that_an_outbox_has_carried_says_when_it_was_written_and_others_are_as_they_were() {
    let mut stage = everything();
    let ada = SessionId(3);
    let room = || RoomRef::Id(RoomId(2));
    stage.ask(ada, &Command::Post { room: room(), text: "now".into() }).unwrap();
    let (posted, _) = stage.carried(ada, &Command::Respond { room: room(), to: 1, text: "before".into() }, 100);
    let Ok(Done::Posted { seq: 4, at, .. }) = posted else { panic!("{posted:?}") };
    let row = |stage: &Stage, seq: Seq| stage.read(&Chat::messages_at([(RoomId(2), seq)])).remove(0);
    let rows = [row(&stage, 3), row(&stage, 4)];
    assert_eq!(rows.each_ref().map(|(_, row)| hex(row)), MESSAGES);
    let post = |stage: &Stage, (key, row): &(Bytes, Bytes)| stage.chat().post_in(key, row).unwrap().1;
    assert_eq!(post(&stage, &rows[0]).more.written, None);
    let written = post(&stage, &rows[1]).more.written.unwrap();
    assert!(written < at && written.after_ms(200) > at, "{written:?}, {at:?}");
    let told = stage.events.iter().rev().find_map(|event| match event {
        ChatEvent::Room { event: Event { kind: EventKind::Posted(post), .. }, .. } => Some(post.more.written),
        _ => None,
    });
    assert_eq!(told, Some(Some(written)), "whoever follows is told, too");
    // What changes it leaves that as it is.
    let (key, _) = &rows[1];
    for command in [
        Command::React { room: room(), seq: 4, emoji: "+1".into(), on: true },
        Command::Edit { room: room(), seq: 4, text: "then".into() },
        Command::Delete { room: room(), seq: 4 },
    ] {
        stage.ask(ada, &command).unwrap();
        assert_eq!(post(&stage, &(key.clone(), stage.rows[key].clone())).more.written, Some(written), "{command:?}");
    }
}

/// The first release's rows: its users "ada" and "bob", the device 300 of ada, the room "lobby" with two messages, both in it.
const FIRST_RELEASE: [(&str, &str); 8] = [
    ("100000000000000001", "10030103616461"),
    ("100000000000000002", "10030103626f62"),
    ("11000000000000012c", "11030101"),
    ("120000000000000001", "120301056c6f62627902"),
    ("1300000000000000010000000000000001", "13030100"),
    ("1300000000000000010000000000000002", "13030101"),
    ("8000000000000000010000000000000001", "8003010101036f6e658080f9c0c1c48203"),
    ("8000000000000000010000000000000002", "80030102020374776f8180f9c0c1c48203"),
];

fn first_release() -> Rows {
    FIRST_RELEASE.iter().map(|(key, row)| (bytes(key), bytes(row))).collect()
}

#[test]
fn the_first_releases_rows_are_what_it_wrote() {
    let at = |number: u64| Timestamp(1_700_000_000_000_000 + number);
    let rows = first_release().into_values().collect::<Vec<_>>();
    let message =
        |id: u128, author: u64, text: &str, stamp: u64| seal(Kind::Message, &(MessageId(id), UserId(author), text, at(stamp)));
    let expected = [
        seal(Kind::User, &"ada"),
        seal(Kind::User, &"bob"),
        seal(Kind::Device, &UserId(1)),
        seal(Kind::Room, &("lobby", 2u64)),
        seal(Kind::Member, &0u64),
        seal(Kind::Member, &1u64),
        message(1, 1, "one", 0),
        message(2, 2, "two", 1),
    ];
    assert_eq!(rows.iter().map(|row| hex(row)).collect::<Vec<_>>(), expected.map(|row| hex(&row)));
}

/// The stage looks at the hash, and at a chat from the rows, after each command: a row that is rewritten takes its old bytes out of the sum.
#[test]
fn the_first_releases_rows_are_read_and_rewritten_one_by_one() {
    let mut stage = Stage::with(Limits::default(), first_release());
    stage.look();
    let user = stage.chat().user_of(SessionId(300));
    assert_eq!(user, Some(UserId(1)), "its devices are signed in");
    let device = |name: &str| Opening::Name { name: name.into(), device: String::new() };
    let (ada, bob) = (stage.open(&device("Ada")).unwrap(), stage.open(&device("bob")).unwrap());
    let room = || RoomRef::Name("lobby".into());
    let view = stage.chat().room_view(RoomId(1), UserId(2)).unwrap();
    assert_eq!((view.last, view.cursor, view.read, view.unread), (2, 2, 1, 1));
    let text = || String::from("new");
    for (session, command) in [
        (ada, Command::Edit { room: room(), seq: 1, text: text() }),
        (bob, Command::Respond { room: room(), to: 2, text: text() }),
        (ada, Command::Post { room: room(), text: text() }),
        (ada, Command::Read { room: room(), seq: 4 }),
        (bob, Command::Delete { room: room(), seq: 2 }),
        (ada, Command::SetDisplayName { name: text() }),
        (bob, Command::Leave { room: room() }),
        (bob, Command::DeleteAccount { proof: None }),
        (ada, Command::LogOut { devices: Devices::Others }),
        (ada, Command::Leave { room: room() }),
        (ada, Command::Join { room: room() }),
        (ada, Command::SetRules { room: room(), rules: Rules::default() }),
        (ada, Command::DeleteRoom { room: room() }),
    ] {
        stage.ask(session, &command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        if matches!(command, Command::Post { .. }) {
            stage.restart();
        }
    }
    stage.keep_house();
    let left: BTreeMap<u8, usize> = stage.rows.keys().filter(|key| key[0] >= 0x0e).fold(BTreeMap::new(), |mut left, key| {
        *left.entry(key[0]).or_default() += 1;
        left
    });
    assert_eq!(left, BTreeMap::from([(0x0e, 1), (0x10, 2), (0x11, 1)]), "the counters, two users, one device");
}
