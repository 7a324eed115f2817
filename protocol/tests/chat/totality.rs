//! Whatever bytes come as a command, the chat refuses or does something bounded: it does not panic, and rows, memory and hash stay one.

use super::model::ROOMS;
use super::random::{cases, command_of, runner, steps};
use super::stage::Stage;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::Credential;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::{Identity, Submission};
use tertulia_protocol::time::Timestamp;

/// Rows and bytes that one command may add.
const ROWS: usize = 400;
const BYTES: usize = 64 << 10;

/// A chat with something in it, and one who asks.
fn stage() -> (Stage, SessionId, SessionId) {
    let limits = Limits { rooms: ROOMS as u32, ..Limits::default() };
    let mut stage = Stage::with(limits, BTreeMap::new());
    let session = stage.open(&Opening::Name { name: "ada".into(), device: String::new() }).unwrap();
    stage.open(&Opening::Name { name: "bob".into(), device: String::new() }).unwrap();
    // A device of hers that has expired.
    let expired = stage.open(&Opening::Name { name: "ada".into(), device: String::new() }).unwrap();
    let seen = stage.chat().seen(expired).unwrap();
    stage.house(Housekeeping::Expire { sessions: vec![(expired, seen)] }.encode());
    let rules = Rules { history: History::None, ..Rules::default() };
    let (kind, members) = (RoomKind::Group, vec![UserRef::Id(UserId(2))]);
    stage.ask(session, &Command::CreateRoom { name: "lobby".into() }).unwrap();
    stage
        .ask(session, &Command::MakeRoom { name: String::new(), kind, topic: String::new(), rules: Some(rules), members })
        .unwrap();
    for room in [1, 2] {
        stage.ask(session, &Command::Post { room: RoomRef::Id(RoomId(room)), text: "@bob".into() }).unwrap();
    }
    (stage, session, expired)
}

fn size(stage: &Stage) -> (usize, usize) {
    (stage.rows.len(), stage.rows.iter().map(|(key, row)| key.len() + row.len()).sum())
}

/// An envelope of one of the chat's kinds, or of one beside them, around any body.
fn envelope() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![0x0200u16..0x0224, 0x0240u16..0x0243, 0x0260u16..0x0266, any::<u16>()];
    // Small numbers are what enums, lengths and options are made of; large ones are varints without end.
    let byte = prop_oneof![4 => 0u8..4, 2 => any::<u8>(), 1 => Just(0xff)];
    let body = prop::collection::vec(byte, 0..40);
    (kind, prop_oneof![9 => Just(1u8), 1 => any::<u8>()], body)
        .prop_map(|(kind, version, body)| [&kind.to_le_bytes()[..], &[version], &body].concat())
}

#[test]
fn no_bytes_break_the_chat() {
    let mut taken = 0;
    let rounds = prop::collection::vec((envelope(), 0u8..4), 1..40);
    let known = std::cell::RefCell::new(0u64);
    let result = runner(cases(300)).run(&rounds, |rounds| {
        let (mut stage, session, expired) = stage();
        let mut number = 5;
        for (nth, (bytes, how)) in rounds.into_iter().enumerate() {
            stage.looks = nth % 16 == 15;
            let (rows, sized) = size(&stage);
            let command = Bytes::from(bytes);
            let mut credential = [9; 32];
            credential[0] = nth as u8;
            let is_taken = stage.raw(match how {
                0 => Submission::House { command },
                1 => Submission::Open { credential: Credential(credential), command },
                2 => Submission::Execute { session, identity: Identity::Number(number), first_unacked: u64::MAX, command },
                _ => {
                    let (identity, written_at) =
                        (Identity::Key { key: nth as u128, stamp: Timestamp(u64::MAX) }, Timestamp(nth as u64));
                    Submission::Carried { session: expired, identity, first_unacked: u64::MAX, command, written_at }
                }
            });
            number += u64::from(is_taken && how == 2);
            *known.borrow_mut() += u64::from(is_taken);
            let (rows_after, sized_after) = size(&stage);
            if rows_after > rows + ROWS || sized_after > sized + BYTES {
                return Err(TestCaseError::fail(format!("{rows} rows, then {rows_after}; {sized} bytes, then {sized_after}")));
            }
        }
        stage.looks = true;
        stage.look();
        Ok(())
    });
    taken += known.into_inner();
    if let Err(broken) = result {
        panic!("{broken}");
    }
    assert!(taken > 1_000, "bytes that are never taken for commands prove nothing");
}

/// Every command with numbers and texts that nobody means well.
fn absurd() -> Vec<Command> {
    let most = u64::MAX;
    let long = "\u{fdfa}".repeat(40_000);
    let refs = [
        RoomRef::Id(RoomId(most)),
        RoomRef::Id(RoomId(0)),
        RoomRef::Id(RoomId(1)),
        RoomRef::Id(RoomId(2)),
        RoomRef::Name(long.clone()),
    ];
    let users = [UserRef::Id(UserId(most)), UserRef::Id(UserId(0)), UserRef::Name(long.clone()), UserRef::Name(String::new())];
    let mut commands = vec![
        Command::CreateRoom { name: long.clone() },
        Command::SetDisplayName { name: long.clone() },
        Command::NameDevice { name: long.clone() },
        Command::LogOut { devices: Devices::One(SessionId(most)) },
        Command::MakeInvite { code: [0xff; 32], for_ms: most },
        Command::RevokeInvite { code: [0; 32] },
        Command::Configure { settings: Settings { devices: u32::MAX, idle_ms: most, ..Settings::default() } },
    ];
    for room in refs {
        for seq in [0, 1, 2, most - 1, most] {
            commands.push(Command::Read { room: room.clone(), seq });
            commands.push(Command::Edit { room: room.clone(), seq, text: "x".into() });
            commands.push(Command::Respond { room: room.clone(), to: seq, text: "x".into() });
            commands.push(Command::Delete { room: room.clone(), seq });
            commands.push(Command::React { room: room.clone(), seq, emoji: long.clone(), on: true });
            commands.push(Command::React { room: room.clone(), seq, emoji: "x".into(), on: true });
            commands.push(Command::Pin { room: room.clone(), seq, on: true });
        }
        for user in &users {
            let (room, user) = (room.clone(), user.clone());
            commands.push(Command::Mute { room: room.clone(), user: user.clone(), for_ms: most });
            commands.push(Command::Ban { room: room.clone(), user: user.clone(), on: true });
            commands.push(Command::Invite { room, user });
        }
        commands.push(Command::Mute { room: room.clone(), user: UserRef::Id(UserId(1)), for_ms: most });
        commands.push(Command::Post { room: room.clone(), text: long.clone() });
        commands.push(Command::Post { room: room.clone(), text: "@bob ".repeat(800) });
        commands.push(Command::SetTopic { room: room.clone(), topic: long.clone() });
        let rules = Rules { history: History::Last(u32::MAX), text_bytes: u32::MAX, ..Rules::default() };
        commands.push(Command::SetRules { room: room.clone(), rules });
        commands.push(Command::Rename { room, name: "\u{202e}".into() });
    }
    for user in users {
        commands.push(Command::OpenDirect { user: user.clone() });
        commands.push(Command::Befriend { user: user.clone() });
        commands.push(Command::SetAdmin { user, on: true });
    }
    let members = vec![UserRef::Id(UserId(2)); 50_000];
    let (name, kind, topic) = (String::new(), RoomKind::Group, String::new());
    commands.push(Command::MakeRoom { name, kind, topic, rules: None, members });
    commands
}

#[test]
fn commands_with_absurd_numbers_and_texts_are_refused_or_bounded() {
    let (mut stage, session, expired) = stage();
    for (command, late) in absurd().into_iter().flat_map(|command| [(command.clone(), false), (command, true)]) {
        let (rows, sized) = size(&stage);
        if late {
            _ = stage.carried(expired, &command, 1);
        } else {
            _ = stage.ask(session, &command);
        }
        let (rows_after, sized_after) = size(&stage);
        let grown = sized_after.saturating_sub(sized);
        assert!(rows_after <= rows + ROWS && grown <= BYTES, "{command:.80?}: {grown} bytes more");
    }
    let most = u64::MAX;
    for command in [
        Housekeeping::Seen { sessions: (0..10_000).map(SessionId).collect() },
        Housekeeping::Expire { sessions: vec![(SessionId(most), Timestamp(most)); 10_000] },
        Housekeeping::SweepRoom { room: RoomId(1), from: most },
        Housekeeping::SweepRoom { room: RoomId(most), from: most },
        Housekeeping::SweepUser { user: UserId(most), room: RoomId(most), from: most },
        Housekeeping::Seal { node: NodeId(most), outboxes: vec![(Boot(most), most); 10_000] },
        Housekeeping::Configure { settings: Settings { idle_ms: 1, ..Settings::default() }, founding: false },
    ] {
        stage.house(command.encode());
    }
    // Reads from places that no room has.
    let chat = stage.chat();
    for room in [RoomId(0), RoomId(1), RoomId(2), RoomId(most)] {
        for place in [0, 1, 5, most - 1, most] {
            if let Events::Changes { query } = chat.events(room, place) {
                let rows = stage.read(&query);
                let (planned, query) = chat.planned(room, place, &rows).unwrap();
                chat.events_of(room, planned, &stage.read(&query)).unwrap();
            }
            let last = chat.last_messages(room, place as u32);
            last.begin(&last.query.as_ref().map(|query| stage.read(query)).unwrap_or_default()).unwrap();
            _ = stage.read(&Chat::thread(room, place, place, 10));
            _ = (
                chat.first_visible(room, UserId(place)),
                chat.visible_after(room, UserId(place)),
                chat.room_view(room, UserId(place)),
            );
            _ = (chat.members(room, UserId(place), 10), chat.user_view(UserId(place)), chat.me(UserId(place), SessionId(place)));
        }
    }
}

#[test]
fn a_command_that_lost_its_end_is_no_command() {
    let drawn = runner(cases(300)).run(&steps(10), |steps| {
        for command in steps.into_iter().filter_map(|step| command_of(step, &[None; 12], &[])) {
            let bytes = command.encode();
            if Command::decode(&bytes).as_ref() != Ok(&command) {
                return Err(TestCaseError::fail(format!("{command:?} is another one when it is read")));
            }
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            for wrong in (0..bytes.len()).map(|end| bytes.slice(..end)).chain([longer]) {
                if let Ok(read) = Command::decode(&wrong) {
                    return Err(TestCaseError::fail(format!("{read:?} from a part of {command:?}")));
                }
            }
        }
        Ok(())
    });
    if let Err(broken) = drawn {
        panic!("{broken}");
    }
}

/// Whoever tries a password of this account would pay for it, again and again.
#[test]
fn a_password_that_costs_too_much_to_derive_is_refused() {
    use super::script::{hash, key};
    use tertulia_protocol::chat::password::{PasswordHash, PasswordParams};
    let mut stage = Stage::with(Limits::default(), BTreeMap::new());
    stage.house(
        Housekeeping::Configure { settings: Settings { sign_in: SignIn::Accounts, ..Settings::default() }, founding: true }
            .encode(),
    );
    let (name, device) = (String::from("ada"), String::new());
    let session = stage.open(&Opening::Register { name, password: hash("old"), invite: None, device }).unwrap();
    let PasswordHash { mut recipe, key: new } = hash("new");
    recipe.params = PasswordParams { memory_kib: 1 << 20, passes: 64, lanes: 1 };
    let costly = Command::ChangePassword { old: key("old"), new: PasswordHash { recipe, key: new } };
    assert!(matches!(stage.ask(session, &costly), Err(Refusal::BadRequest { .. })));
    assert_eq!(stage.ask(session, &Command::ChangePassword { old: key("old"), new: hash("new") }), Ok(Done::Ok));
}

/// The rows of all rooms of a name are read before it is known who asks: that must stay few.
#[test]
fn among_many_rooms_of_one_name_the_id_says_which() {
    let mut stage = Stage::with(Limits::default(), BTreeMap::new());
    let ada = stage.open(&Opening::Name { name: "ada".into(), device: String::new() }).unwrap();
    let make = |stage: &mut Stage, kind: RoomKind| {
        let (name, topic) = (String::from("attic"), String::new());
        stage.ask(ada, &Command::MakeRoom { name, kind, topic, rules: None, members: Vec::new() }).unwrap();
    };
    let post = |stage: &mut Stage, room: RoomRef| stage.ask(ada, &Command::Post { room, text: "hello".into() });
    for _ in 0..16 {
        make(&mut stage, RoomKind::Private);
    }
    let attic = || RoomRef::Name("attic".into());
    assert!(matches!(post(&mut stage, attic()), Ok(Done::Posted { room: RoomId(1), .. })), "the oldest of one's own");
    make(&mut stage, RoomKind::Group);
    assert!(matches!(post(&mut stage, attic()), Err(Refusal::BadRequest { .. })));
    assert!(post(&mut stage, RoomRef::Id(RoomId(17))).is_ok());
    make(&mut stage, RoomKind::Public);
    assert!(matches!(post(&mut stage, attic()), Ok(Done::Posted { room: RoomId(18), .. })), "a public name is one room's");
}
