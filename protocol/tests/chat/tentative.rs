//! What a node accepts while it reaches no leader, and as what that is shown.

use super::script::{rules, user};
use super::stage::{START, Stage};
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::gateway::TentativePost;
use tertulia_protocol::ids::*;
use tertulia_protocol::time::Timestamp;
use tertulia_protocol::wire::{Kind, open, seal};

const ONE: Carry = Carry::Accept { copies: 1 };

pub fn is_about_messages(command: &Command) -> bool {
    use Command::*;
    matches!(command, Post { .. } | Respond { .. } | Edit { .. } | Delete { .. } | React { .. } | Pin { .. } | Read { .. })
}

/// What a leader says at the same moment is what a node without one has foreseen, but for what stands in the message's own row.
pub fn hold(carry: Carry, command: &Command, done: &Result<Done, Refusal>) -> Result<(), String> {
    if !is_about_messages(command) {
        return if carry == Carry::Wait { Ok(()) } else { Err(format!("{command:?} is carried")) };
    }
    let needs_row = match done {
        Err(Refusal::UnknownMessage { .. } | Refusal::Full { .. } | Refusal::NotAllowed { needs: Needs::Author }) => true,
        Err(Refusal::NotAllowed { needs: Needs::Moderator }) => matches!(command, Command::Delete { .. }),
        _ => false,
    };
    if needs_row || done.is_ok() == (carry != Carry::Wait) {
        return Ok(());
    }
    Err(format!("{command:?} came to {done:?}, and without a leader to {carry:?}"))
}

transcript!(
    what_a_node_accepted_without_a_leader_is_done_when_it_comes,
    "house founds idle=1000
    ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    ada posts lobby hello
    bob carried 900 posts lobby @ada, are you there?
    the answer is lost
    bob carried 900 answers lobby 1 hello
    bob carried 800 edits lobby 2 here I am
    bob carried 800 reacts lobby 1 +1
    bob carried 700 reads lobby 3
    bob carried 700 deletes lobby 1
    ada sees messages lobby
    "
);

transcript!(
    a_session_that_expired_meanwhile_still_says_what_it_had_to_say,
    "house founds idle=1000
    ada signs-in
    bob signs-in
    ada creates lobby
    bob joins lobby
    wait 900
    house hears ada
    wait 200
    house does-what-is-due
    bob posts lobby hello
    bob carried 500 posts lobby hello @ada
    bob carried 400 posts lobby
    bob carried 300 answers lobby 1 and again
    restart
    bob carried 300 pins lobby 1
    bob carried 300 reads lobby 1
    # What is about more than messages is for who is signed in.
    bob carried 300 leaves lobby
    bob carried 300 logs-out all
    bob sees rooms
    ada sees messages lobby
    ada bans lobby bob
    bob carried 200 posts lobby let me in
    ada unbans lobby bob
    bob carried 200 posts lobby let me in
    bob signs-in
    bob joins lobby
    bob posts lobby here I am
    "
);

transcript!(
    a_late_author_may_have_deleted_the_account,
    "house founds idle=1000
    ada signs-in
    bob signs-in
    bob/phone signs-in
    ada creates lobby
    bob joins lobby
    house expires bob
    bob carried 10 posts lobby hello
    bob/phone deletes-account
    bob carried 10 posts lobby farewell
    ada sees messages lobby
    "
);

transcript!(
    whoever_logs_out_wants_nothing_more_to_be_said,
    "ada signs-in
    bob signs-in
    bob/phone signs-in
    ada creates lobby
    bob joins lobby
    bob/phone posts lobby hello
    bob logs-out others
    bob/phone carried 100 posts lobby hello again
    bob/phone carried 100 reads lobby 1
    restart
    bob/phone carried 100 posts lobby hello again
    nobody carried 100 posts lobby hello
    ada sees messages lobby
    "
);

struct Scene {
    stage: Stage,
    ada: SessionId,
    bob: SessionId,
}

/// Ada owns a lobby in which Bob is, and there is one message of hers.
fn scene() -> Scene {
    let mut stage = Stage::with(Limits::default(), BTreeMap::new());
    let named = |name: &str| Opening::Name { name: name.into(), device: String::new() };
    let (ada, bob) = (stage.open(&named("ada")).unwrap(), stage.open(&named("bob")).unwrap());
    let mut scene = Scene { stage, ada, bob };
    scene.ask(ada, Command::CreateRoom { name: "lobby".into() });
    scene.ask(bob, Command::Join { room: lobby() });
    scene.ask(ada, post("hello"));
    scene
}

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn post(text: &str) -> Command {
    Command::Post { room: lobby(), text: text.into() }
}

fn about(seq: Seq) -> Vec<Command> {
    let (room, text, emoji) = (lobby, || String::from("hello"), String::from("+1"));
    vec![
        Command::Respond { room: room(), to: seq, text: text() },
        Command::Edit { room: room(), seq, text: text() },
        Command::Delete { room: room(), seq },
        Command::React { room: room(), seq, emoji, on: true },
        Command::Pin { room: room(), seq, on: true },
    ]
}

impl Scene {
    fn ask(&mut self, session: SessionId, command: Command) -> Done {
        self.stage.ask(session, &command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"))
    }

    fn carry(&self, session: SessionId, command: &Command) -> Carry {
        self.stage.chat().carry(session, command, self.stage.stamp_of_next())
    }

    fn set(&mut self, words: &[&str]) {
        let (room, rules) = (lobby(), rules(words));
        self.ask(self.ada, Command::SetRules { room, rules });
    }

    fn shown(&self, session: SessionId, command: &Command) -> Option<(RoomId, TentativePost)> {
        self.stage.chat().tentative_post(session, MessageId(7), command)
    }
}

#[test]
fn requests_about_messages_are_carried_and_nothing_else_is() {
    let scene = scene();
    for command in about(1).iter().chain(&[post("hello"), Command::Read { room: lobby(), seq: 9 }]) {
        assert_eq!(scene.carry(scene.ada, command), ONE, "{command:?}");
    }
    let bob = || UserRef::Name("bob".into());
    for command in [
        Command::CreateRoom { name: "attic".into() },
        Command::Join { room: lobby() },
        Command::Leave { room: lobby() },
        Command::SetTopic { room: lobby(), topic: "all".into() },
        Command::SetRules { room: lobby(), rules: Rules::default() },
        Command::Ban { room: lobby(), user: bob(), on: true },
        Command::Befriend { user: bob() },
        Command::LogOut { devices: Devices::This },
        Command::DeleteAccount { proof: None },
    ] {
        assert_eq!(scene.carry(scene.ada, &command), Carry::Wait, "{command:?}");
        assert_eq!(scene.shown(scene.ada, &command), None);
    }
}

#[test]
fn what_would_be_refused_here_waits_for_a_leader() {
    let mut scene = scene();
    let (ada, bob, nobody) = (scene.ada, scene.bob, SessionId(99));
    let waits = |scene: &Scene, session: SessionId, command: &Command| {
        assert_eq!(scene.carry(session, command), Carry::Wait, "{command:?}");
    };
    let attic = Command::Post { room: RoomRef::Name("attic".into()), text: "hello".into() };
    for (session, command) in [(nobody, post("hello")), (ada, attic), (ada, post("")), (ada, post(&"x".repeat(4_097)))] {
        waits(&scene, session, &command);
        assert_eq!(scene.shown(session, &command), None);
    }
    for command in about(2).iter().chain(&about(0)) {
        waits(&scene, ada, command);
        assert_eq!(scene.shown(ada, command), None, "the message that is answered is not known here");
    }
    waits(&scene, bob, &about(1)[4]);
    scene.set(&["edits=no", "post=moderators"]);
    waits(&scene, ada, &about(1)[1]);
    for command in [post("hello"), about(1)[0].clone(), about(1)[1].clone(), about(1)[2].clone()] {
        waits(&scene, bob, &command);
    }
    assert_eq!(scene.carry(ada, &about(1)[2]), ONE, "moderators may always delete");
    assert_eq!(scene.carry(bob, &about(1)[3]), ONE);
    scene.set(&[]);
    scene.ask(ada, Command::Archive { room: lobby(), on: true });
    waits(&scene, ada, &post("hello"));
    assert_eq!(scene.carry(ada, &Command::Read { room: lobby(), seq: 1 }), ONE, "an archived room is read");
    scene.ask(ada, Command::Archive { room: lobby(), on: false });
    scene.ask(ada, Command::Ban { room: lobby(), user: user("bob"), on: true });
    for command in about(1).iter().chain(&[post("hello"), Command::Read { room: lobby(), seq: 1 }]) {
        waits(&scene, bob, command);
        assert_eq!(scene.shown(bob, command), None);
    }
}

#[test]
fn who_is_muted_waits_until_that_is_over() {
    let mut scene = scene();
    scene.ask(scene.ada, Command::Mute { room: lobby(), user: user("bob"), for_ms: 1_000 });
    let chat = scene.stage.chat();
    let carry = |at: Timestamp| chat.carry(scene.bob, &post("hello"), at);
    assert_eq!((carry(START.after_ms(500)), carry(START.after_ms(2_000))), (Carry::Wait, ONE));
    let shown = |at: Timestamp| chat.tentative_post_of(UserId(2), MessageId(7), &post("hello"), at);
    assert!(shown(START.after_ms(500)).is_none() && shown(START.after_ms(2_000)).is_some());
    assert!(scene.shown(scene.bob, &post("hello")).is_some(), "without a time nobody is");
}

#[test]
fn in_a_direct_room_nothing_is_carried_between_two_who_are_apart() {
    let mut scene = scene();
    scene.ask(scene.ada, Command::OpenDirect { user: user("bob") });
    let room = || RoomRef::Id(RoomId(2));
    let direct = Command::Post { room: room(), text: "hello".into() };
    scene.ask(scene.ada, direct.clone());
    let react = Command::React { room: room(), seq: 1, emoji: "+1".into(), on: true };
    let pin = Command::Pin { room: room(), seq: 1, on: true };
    for command in [&direct, &react, &pin] {
        assert_eq!(scene.carry(scene.bob, command), ONE);
    }
    scene.ask(scene.ada, Command::Block { user: user("bob"), on: true });
    for session in [scene.ada, scene.bob] {
        assert_eq!(scene.carry(session, &direct), Carry::Wait);
        assert_eq!(scene.carry(session, &react), Carry::Wait);
        assert_eq!(scene.shown(session, &direct), None);
    }
}

#[test]
fn a_room_says_on_how_many_nodes_it_wants_what_is_accepted() {
    let mut scene = scene();
    for (rule, wanted) in [
        ("tentative=refuse", Carry::Wait),
        ("tentative=accept", ONE),
        ("tentative=1", ONE),
        ("tentative=3", Carry::Accept { copies: 3 }),
        ("tentative=9", Carry::Accept { copies: 9 }),
    ] {
        scene.set(&[rule]);
        for command in about(1).iter().chain(&[post("hello"), Command::Read { room: lobby(), seq: 1 }]) {
            assert_eq!(scene.carry(scene.ada, command), wanted, "{rule}, {command:?}");
        }
    }
    let set = |rules: Rules| Command::SetRules { room: lobby(), rules };
    for copies in [0, 10, 255] {
        let rules = Rules { tentative: Tentative::Copies(copies), ..Rules::default() };
        let refused = scene.stage.ask(scene.ada, &set(rules));
        assert!(matches!(refused, Err(Refusal::BadRequest { .. })), "{copies}: {refused:?}");
        let settings = Settings { rules, ..Settings::default() };
        assert!(scene.stage.chat().check_settings(&settings).is_err(), "{copies}");
    }
}

#[test]
fn a_tentative_post_is_shown_as_it_will_be_kept() {
    let scene = scene();
    let (room, shown) = scene.shown(scene.bob, &post("a\r\nb\u{7} \u{202e}turned")).unwrap();
    assert_eq!((room, shown.id, shown.author, &shown.author_name[..]), (RoomId(1), MessageId(7), UserId(2), "bob"));
    assert_eq!((&shown.text[..], shown.reply_to), ("a\nb \u{202e}turned\u{202c}", None));
    let (_, answer) = scene.shown(scene.bob, &about(1)[0]).unwrap();
    assert_eq!(answer.reply_to, Some(1));
    assert!(about(1)[1..].iter().all(|command| scene.shown(scene.ada, command).is_none()), "what is no post is not shown");
}

/// Rooms were made with a switch before there was a number.
#[test]
fn the_rule_is_written_as_the_switch_that_it_was() {
    type Before = (History, Who, Who, bool, u32, bool);
    for (tentative, on) in [(Tentative::Refuse, false), (Tentative::Accept, true)] {
        let now = Rules { tentative, ..Rules::default() };
        let before: Before = (now.history, now.post, now.invite, now.edits, now.text_bytes, on);
        assert_eq!(seal(Kind::Other, &now), seal(Kind::Other, &before));
        assert_eq!(open::<Rules>(Kind::Other, &seal(Kind::Other, &before)), Ok(now));
    }
    for (json, tentative) in
        [("\"refuse\"", Tentative::Refuse), ("\"accept\"", Tentative::Accept), ("{\"copies\":2}", Tentative::Copies(2))]
    {
        assert_eq!(serde_json::from_str::<Tentative>(json).unwrap(), tentative);
        assert_eq!(serde_json::to_string(&tentative).unwrap(), json);
    }
    let copies = Rules { tentative: Tentative::Copies(3), ..Rules::default() };
    assert_eq!(open::<Rules>(Kind::Other, &seal(Kind::Other, &copies)), Ok(copies));
}
