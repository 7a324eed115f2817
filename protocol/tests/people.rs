//! Who is who: passwords, devices, invitations, who is here and who is typing, through whole nodes.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::World;
use std::collections::BTreeSet;
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{
    Command, Devices, Direct, Done, Friendship, Me, Rate, Rates, Refusal, RoomRef, Settings, SignIn, UserRef,
};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Body, Message, Node};
use tertulia_protocol::replica::{Identity, Submission};
use tertulia_protocol::time::{Duration, Timestamp};

const SOON: Duration = Duration::from_secs(20);

/// A device of somebody: its connection to one node, and its secret.
#[derive(Clone, Copy)]
struct Device {
    connection: ConnectionId,
    node: NodeId,
    token: Token,
}

struct Town {
    world: World,
    devices: u64,
    asked: u64,
}

impl Town {
    fn new(settings: Settings) -> Town {
        let mut world = World::with_settings(3, settings);
        world.run_until(SOON, |world| world.leader().is_some());
        Town { world, devices: 0, asked: 0 }
    }

    /// A connection of the test's own: the world knows them by their numbers.
    fn device(&mut self, node: u64) -> Device {
        self.devices += 1;
        let device = Device {
            connection: ConnectionId(self.devices * 1_000 + 900),
            node: NodeId(node),
            token: Token([self.devices as u8; 32]),
        };
        let hello = ClientHello { token: Some(device.token) };
        self.world.nodes.get_mut(&device.node).unwrap().handle_connected(self.world.now, device.connection, hello);
        device
    }

    fn send(&mut self, device: Device, ask: Ask) -> u64 {
        self.asked += 1;
        let request = Request { id: self.asked, ask };
        self.world.nodes.get_mut(&device.node).unwrap().handle_request(self.world.now, device.connection, request);
        self.asked
    }

    fn wait(&mut self, device: Device, id: u64) -> Result<Answer, Refusal> {
        let is = |(to, reply): &&(ConnectionId, Reply)| *to == device.connection && reply.id == id;
        self.world.run_until(SOON, |world| world.replies.iter().any(|reply| is(&reply)));
        self.world.replies.iter().find(is).unwrap().1.result.clone()
    }

    fn ask(&mut self, device: Device, ask: Ask) -> Result<Answer, Refusal> {
        let id = self.send(device, ask);
        self.wait(device, id)
    }

    fn sign_in_ask(device: Device, name: &str, how: How) -> Ask {
        Ask::SignInAs { name: name.into(), token: device.token, device: String::new(), how }
    }

    fn sign_in(&mut self, device: Device, name: &str, how: How) -> Result<UserId, Refusal> {
        match self.ask(device, Town::sign_in_ask(device, name, how))? {
            Answer::SignedIn { user, .. } => Ok(user),
            other => panic!("{other:?}"),
        }
    }

    fn user(&mut self, node: u64, name: &str) -> (Device, UserId) {
        let device = self.device(node);
        let user = self.sign_in(device, name, How::Name).unwrap();
        (device, user)
    }

    fn run(&mut self, device: Device, command: Command) -> Result<Done, Refusal> {
        let ask = Ask::Submit { identity: self.key(), first_unacked: 0, command };
        match self.ask(device, ask)? {
            Answer::Done(done) => Ok(done),
            other => panic!("{other:?}"),
        }
    }

    fn key(&self) -> Identity {
        Identity::Key { key: u128::from(self.asked) + 1, stamp: self.world.now.wall }
    }

    fn me(&mut self, device: Device) -> Me {
        let Ok(Answer::Me(me)) = self.ask(device, Ask::Me) else { panic!("nobody") };
        *me
    }

    fn pass(&mut self, time: Duration) {
        let until = self.world.now.instant + time;
        self.world.run_until(time + SOON, |world| world.now.instant >= until);
    }

    /// All nodes start again, and these devices come back to them.
    fn restart_all(&mut self, devices: &[Device]) {
        for id in (1..=3).map(NodeId) {
            self.world.kill(id);
        }
        for id in (1..=3).map(NodeId) {
            self.world.start(id);
        }
        self.world.run_until(SOON, |world| world.leader().is_some());
        for device in devices {
            let hello = ClientHello { token: Some(device.token) };
            self.world.nodes.get_mut(&device.node).unwrap().handle_connected(self.world.now, device.connection, hello);
        }
    }

    /// An outbox brings this to the leader.
    fn bring(&mut self, session: SessionId, identity: Identity, text: &str) {
        let command = Command::Post { room: lobby(), text: text.into() }.encode();
        let written_at = Timestamp(self.world.now.wall.0 - 1_000_000);
        let submission = Submission::Carried { session, identity, first_unacked: 0, command, written_at };
        let (leader, now) = (self.world.leader().unwrap(), self.world.now);
        let message = Message { group: GROUP, body: Body::Forward(submission) };
        self.world.nodes.get_mut(&leader).unwrap().handle_message(now, NodeId(leader.0 % 3 + 1), message);
    }

    /// All that was said in the lobby, once all nodes have the same state.
    fn said(&mut self, device: Device) -> Vec<String> {
        self.pass(Duration::from_secs(1));
        let state = |node: &Node| (node.status().applied, node.status().state_hash);
        self.world.run_until(SOON, |world| {
            let states: BTreeSet<_> = world.nodes.values().map(state).collect();
            states.len() == 1
        });
        let page = Ask::History { room: lobby(), after: None, before: None, limit: 1_000, at_least: None };
        let Ok(Answer::History { posts, .. }) = self.ask(device, page) else { panic!("no page") };
        posts.into_iter().map(|post| post.text).filter(|text| !text.starts_with("xxx")).collect()
    }

    /// Requests that outboxes have carried and that nodes refused without executing them.
    fn withdrawn(&self) -> BTreeSet<(NodeId, SessionId, Identity)> {
        let withdrawn = |(node, fact): &(NodeId, Fact)| match fact {
            Fact::TentativeRefused { session, identity, .. } => Some((*node, *session, *identity)),
            _ => None,
        };
        self.world.told.iter().filter_map(withdrawn).collect()
    }

    /// Time passes in which nothing is heard but of one device.
    fn hear_only(&mut self, device: Device, seconds: u64) {
        for _ in 0..seconds / 2 {
            self.pass(Duration::from_secs(2));
            self.ask(device, Ask::Ping).unwrap();
        }
    }

    fn heard(&self, device: Device) -> Vec<EventKind> {
        let mine = self.world.events.iter().filter(|(to, _)| *to == device.connection);
        mine.map(|(_, event)| event.kind.clone()).collect()
    }
}

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn password(text: &str) -> Password {
    Password(text.into())
}

fn log_in(text: &str) -> How {
    How::LogIn { password: password(text) }
}

fn register(text: &str) -> How {
    How::Register { password: password(text), invite: None }
}

fn with_accounts() -> Settings {
    Settings { sign_in: SignIn::Accounts, ..Settings::default() }
}

#[test]
fn whoever_registers_logs_in_with_the_password_on_any_node() {
    let mut town = Town::new(with_accounts());
    let first = town.device(1);
    assert_eq!(town.sign_in(first, "ada", How::Name), Err(Refusal::WrongSignIn { wanted: SignIn::Accounts }));
    assert!(matches!(town.sign_in(first, "ada", register("short")), Err(Refusal::BadRequest { .. })));
    let ada = town.sign_in(first, "ada", register("correct horse")).unwrap();
    assert_eq!(town.sign_in(first, "ada", register("correct horse")), Ok(ada), "the same token is the same session");
    for node in 1..=3 {
        let device = town.device(node);
        assert_eq!(town.sign_in(device, "ada", log_in("wrong horse")), Err(Refusal::WrongPassword));
        assert_eq!(town.sign_in(device, "bob", log_in("correct horse")), Err(Refusal::WrongPassword), "nobody of that name");
        assert_eq!(town.sign_in(device, "Ada", log_in("correct horse")), Ok(ada));
    }
    let other = town.device(2);
    assert_eq!(town.sign_in(other, "ADA", register("another one")), Err(Refusal::NameTaken { name: "ADA".into() }));
    let cyrillic = town.sign_in(other, "\u{430}d\u{430}", register("another one"));
    assert_eq!(cyrillic, Err(Refusal::LooksLike { name: "ada".into() }));
    assert!(town.me(first).admin, "the first account administers");
}

#[test]
fn a_new_password_logs_the_other_devices_out_and_the_old_one_is_worth_nothing() {
    let mut town = Town::new(with_accounts());
    let (laptop, phone) = (town.device(1), town.device(2));
    town.sign_in(laptop, "ada", register("correct horse")).unwrap();
    town.sign_in(phone, "ada", log_in("correct horse")).unwrap();
    let change = |town: &Town, old: &str| Ask::ChangePassword {
        identity: town.key(),
        first_unacked: 0,
        old: password(old),
        new: password("battery staple"),
    };
    let wrong = change(&town, "wrong horse");
    assert_eq!(town.ask(laptop, wrong), Err(Refusal::WrongPassword));
    let right = change(&town, "correct horse");
    assert_eq!(town.ask(laptop, right.clone()), Ok(Answer::Done(Done::Ok)));
    assert_eq!(town.ask(laptop, right), Ok(Answer::Done(Done::Ok)), "the same request again");
    town.world.run_until(SOON, |world| world.closed.contains(&(phone.connection, CloseReason::LoggedOut)));
    let again = town.device(3);
    assert_eq!(town.sign_in(again, "ada", log_in("correct horse")), Err(Refusal::WrongPassword));
    town.sign_in(again, "ada", log_in("battery staple")).unwrap();
    assert_eq!(town.me(laptop).devices.len(), 2);
}

#[test]
fn an_invitation_lets_one_in_once() {
    let mut town = Town::new(Settings { sign_in: SignIn::Invite, ..Settings::default() });
    let (first, second, third) = (town.device(1), town.device(2), town.device(3));
    town.sign_in(first, "ada", register("correct horse")).unwrap();
    let with = |code: Option<&str>| How::Register { password: password("battery staple"), invite: code.map(String::from) };
    assert_eq!(town.sign_in(second, "bob", with(None)), Err(Refusal::WrongInvite));
    town.run(first, Command::MakeInvite { code: invite_hash("come in"), for_ms: 60_000 }).unwrap();
    assert_eq!(town.sign_in(second, "bob", with(Some("come on"))), Err(Refusal::WrongInvite));
    town.sign_in(second, "bob", with(Some("come in"))).unwrap();
    assert_eq!(town.sign_in(third, "carl", with(Some("come in"))), Err(Refusal::WrongInvite));
    town.run(first, Command::MakeInvite { code: invite_hash("soon over"), for_ms: 1_000 }).unwrap();
    town.pass(Duration::from_secs(2));
    assert_eq!(town.sign_in(third, "carl", with(Some("soon over"))), Err(Refusal::WrongInvite));
}

#[test]
fn the_limit_of_devices_holds_when_all_nodes_are_asked_at_once_and_a_place_that_is_left_is_free() {
    let mut town = Town::new(Settings { devices: 2, ..Settings::default() });
    let devices: Vec<Device> = (1..=3).map(|node| town.device(node)).collect();
    let asked: Vec<u64> = devices.iter().map(|device| town.send(*device, Town::sign_in_ask(*device, "ada", How::Name))).collect();
    let answers: Vec<_> = devices.iter().zip(asked).map(|(device, id)| town.wait(*device, id)).collect();
    let refused: Vec<&Refusal> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    let [Refusal::TooManyDevices { limit: 2, devices: on }] = &refused[..] else { panic!("{answers:?}") };
    assert_eq!(on.len(), 2, "the refused one is told which devices are on");
    let turned_away = answers.iter().position(Result::is_err).unwrap();
    let signed_in = (turned_away + 1) % 3;
    town.run(devices[signed_in], Command::LogOut { devices: Devices::This }).unwrap();
    let late = town.device(turned_away as u64 + 1);
    assert!(town.sign_in(late, "ada", How::Name).is_ok());
}

#[test]
fn a_silent_device_is_let_go_and_one_that_is_heard_of_stays() {
    let mut town = Town::new(Settings { idle_ms: 10_000, devices: 2, ..Settings::default() });
    let ((laptop, _), (phone, _)) = (town.user(1, "ada"), town.user(2, "ada"));
    for _ in 0..10 {
        town.pass(Duration::from_secs(2));
        town.ask(laptop, Ask::Ping).unwrap();
    }
    assert!(town.world.closed.contains(&(phone.connection, CloseReason::LoggedOut)), "20 s without a word");
    assert_eq!(town.me(laptop).devices.len(), 1);
    let again = ClientHello { token: Some(phone.token) };
    let node = town.world.nodes.get_mut(&phone.node).unwrap();
    node.handle_connected(town.world.now, phone.connection, again);
    assert_eq!(town.ask(phone, Ask::Me), Err(Refusal::LoggedOut));
    let (_, ada) = town.user(3, "ada");
    assert_eq!(town.me(laptop).user.id, ada);
}

#[test]
fn a_new_leader_gives_every_session_its_whole_time_again() {
    let mut town = Town::new(Settings { idle_ms: 10_000, ..Settings::default() });
    let leader = town.world.leader().unwrap().0;
    let (device, _) = town.user(leader % 3 + 1, "ada");
    town.pass(Duration::from_secs(7));
    town.world.kill(NodeId(leader));
    town.pass(Duration::from_secs(7));
    assert_eq!(town.world.closed, [], "14 s without a word, but at most 7 under this leader");
    town.pass(Duration::from_secs(7));
    assert_eq!(town.world.closed, [(device.connection, CloseReason::LoggedOut)]);
}

#[test]
fn who_comes_goes_and_types_is_told_to_company_on_all_nodes_and_to_nobody_that_is_blocked() {
    let mut town = Town::new(Settings::default());
    let (ada, ada_id) = town.user(1, "ada");
    let (carl, carl_id) = town.user(2, "carl");
    for device in [ada, carl] {
        town.run(device, Command::CreateRoom { name: "lobby".into() }).unwrap();
        town.ask(device, Ask::FollowAll { after: Vec::new() }).unwrap();
    }
    let (bob, bob_id) = town.user(3, "bob");
    town.run(bob, Command::Join { room: RoomRef::Name("lobby".into()) }).unwrap();
    town.run(carl, Command::Block { user: UserRef::Id(bob_id), on: true }).unwrap();
    town.world.events.clear();
    let room = RoomId(1);
    assert_eq!(town.ask(bob, Ask::Typing { room }), Ok(Answer::Noted));
    assert_eq!(town.ask(bob, Ask::Typing { room }), Ok(Answer::Noted), "within a second it is passed on once");
    town.pass(Duration::from_secs(1));
    assert_eq!(town.heard(ada), [EventKind::Typing { user: bob_id, name: "bob".into() }]);
    assert_eq!(town.heard(carl), []);
    let online = |town: &mut Town, device: Device| {
        let ask = Ask::Members { room: RoomRef::Id(room), after: UserId(0), limit: 10 };
        let Ok(Answer::Members { members, .. }) = town.ask(device, ask) else { panic!("no members") };
        members.into_iter().filter(|member| member.user.online).map(|member| member.user.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(online(&mut town, ada), BTreeSet::from([ada_id, bob_id, carl_id]));
    assert_eq!(online(&mut town, carl), BTreeSet::from([ada_id, carl_id]), "he has blocked bob");
    assert_eq!(online(&mut town, bob), BTreeSet::from([ada_id, bob_id]));
    town.world.events.clear();
    let node = town.world.nodes.get_mut(&bob.node).unwrap();
    node.handle_disconnected(town.world.now, bob.connection);
    town.pass(Duration::from_secs(3));
    assert_eq!(town.heard(ada), [], "he may only be changing servers");
    town.pass(Duration::from_secs(3));
    assert_eq!(town.heard(ada), [EventKind::Presence { user: bob_id, online: false }]);
    assert_eq!(town.heard(carl), []);
    assert_eq!(online(&mut town, ada), BTreeSet::from([ada_id, carl_id]));
}

#[test]
fn friends_find_each_other_and_direct_rooms_can_be_for_friends_alone() {
    let mut town = Town::new(Settings { direct: Direct::Friends, ..Settings::default() });
    let ((ada, ada_id), (bob, bob_id)) = (town.user(1, "ada"), town.user(2, "bob"));
    let open = |to: &str| Command::OpenDirect { user: UserRef::Name(to.into()) };
    assert_eq!(town.run(ada, open("bob")), Err(Refusal::NotFriends));
    town.run(ada, Command::Befriend { user: UserRef::Id(bob_id) }).unwrap();
    assert_eq!(town.me(bob).friends[0].1, Friendship::Asked);
    let accepted = town.run(bob, Command::Befriend { user: UserRef::Id(ada_id) });
    assert_eq!(accepted, Ok(Done::Friend { user: ada_id, friendship: Friendship::Friends }));
    let Ok(Done::Room { room, created: true, .. }) = town.run(ada, open("bob")) else { panic!("no room") };
    let Ok(Done::Room { room: same, created: false, .. }) = town.run(bob, open("ada")) else { panic!("another room") };
    assert_eq!(room, same);
    town.run(bob, Command::Post { room: RoomRef::Id(room), text: "hello".into() }).unwrap();
    town.run(ada, Command::Block { user: UserRef::Id(bob_id), on: true }).unwrap();
    let post = Command::Post { room: RoomRef::Id(room), text: "are you there?".into() };
    assert_eq!(town.run(bob, post), Err(Refusal::Blocked));
    let (carl, _) = town.user(3, "carl");
    let page = Ask::History { room: RoomRef::Id(room), after: None, before: None, limit: 10, at_least: None };
    assert_eq!(town.ask(carl, page), Err(Refusal::UnknownRoom { room: RoomRef::Id(room) }), "others do not know of it");
}

#[test]
fn too_many_requests_are_told_how_long_to_wait() {
    let rates = Rates { session: Rate { per_second: 1, burst: 3 }, ..Rates::default() };
    let mut town = Town::new(Settings { rates, ..Settings::default() });
    let (ada, _) = town.user(1, "ada");
    town.run(ada, Command::CreateRoom { name: "lobby".into() }).unwrap();
    let post = || Command::Post { room: RoomRef::Name("lobby".into()), text: "hello".into() };
    let answers: Vec<_> = (0..6).map(|_| town.run(ada, post())).collect();
    let Some(Err(Refusal::TooOften { retry_after_ms })) = answers.iter().find(|answer| answer.is_err()) else {
        panic!("{answers:?}")
    };
    assert!((1..=1_000).contains(retry_after_ms));
    town.pass(Duration::from_millis(u64::from(*retry_after_ms) + 1));
    assert!(town.run(ada, post()).is_ok());
    // By address, whoever asks; a connection without an address is nobody's.
    let rates = Rates { address: Rate { per_second: 1, burst: 2 }, ..Rates::default() };
    let mut town = Town::new(Settings { rates, ..Settings::default() });
    let signed_in: Vec<_> = (0..4)
        .map(|nth| {
            let device = town.device(1);
            town.world.nodes.get_mut(&NodeId(1)).unwrap().handle_address(town.world.now, device.connection, 7);
            town.sign_in(device, &format!("user {nth}"), How::Name)
        })
        .collect();
    assert!(signed_in[..2].iter().all(Result::is_ok), "{signed_in:?}");
    assert!(matches!(signed_in[3], Err(Refusal::TooOften { .. })), "{signed_in:?}");
}

#[test]
fn a_deleted_account_leaves_no_text_behind_where_the_cluster_says_so() {
    let mut town = Town::new(Settings { erase: true, ..Settings::default() });
    let ((ada, _), (bob, _)) = (town.user(1, "ada"), town.user(2, "bob"));
    let lobby = || RoomRef::Name("lobby".into());
    for device in [ada, bob] {
        town.run(device, Command::CreateRoom { name: "lobby".into() }).unwrap();
    }
    for nth in 0..300 {
        let device = if nth % 3 == 0 { bob } else { ada };
        town.run(device, Command::Post { room: lobby(), text: format!("secret {nth}") }).unwrap();
    }
    town.run(ada, Command::DeleteAccount { proof: None }).unwrap();
    let page = || Ask::History { room: lobby(), after: None, before: None, limit: 1_000, at_least: None };
    let Ok(Answer::History { posts, .. }) = town.ask(bob, page()) else { panic!("no page") };
    let texts: Vec<&str> = posts.iter().map(|post| post.text.as_str()).filter(|text| !text.is_empty()).collect();
    assert_eq!(texts.len(), 100, "at once nobody is shown what she wrote");
    assert_eq!(posts[1].author_name, "deleted user");
    town.pass(Duration::from_secs(5));
    for disk in town.world.disks.values() {
        let holds = |value: &[u8]| value.windows(7).any(|part| part == b"secret ");
        let left = disk.rows.values().filter(|value| holds(value)).count();
        assert_eq!(left, 100, "what is left is bob's");
    }
    let (_, again) = town.user(3, "ada");
    assert_ne!(again, posts[1].author, "the name is free, and somebody else's");
}

/// Ada on one node, Bob's phone on another, both in the lobby; Bob has said "hello" as his number 2. And his session.
fn lobby_of_two(settings: Settings) -> (Town, Device, Device, SessionId) {
    let mut town = Town::new(settings);
    let leader = town.world.leader().unwrap().0;
    let ((ada, _), (bob, _)) = (town.user(leader, "ada"), town.user(leader % 3 + 1, "bob"));
    town.run(ada, Command::CreateRoom { name: "lobby".into() }).unwrap();
    for (number, command) in [(1, Command::Join { room: lobby() }), (2, Command::Post { room: lobby(), text: "hello".into() })] {
        let ask = Ask::Submit { identity: Identity::Number(number), first_unacked: 0, command };
        town.ask(bob, ask).unwrap();
    }
    let session = town.me(bob).session;
    (town, ada, bob, session)
}

#[test]
fn what_a_silent_device_had_said_is_heard_after_it_has_expired() {
    let (mut town, ada, bob, session) = lobby_of_two(Settings { idle_ms: 10_000, ..Settings::default() });
    town.hear_only(ada, 20);
    assert!(town.world.closed.contains(&(bob.connection, CloseReason::LoggedOut)));
    // The later one comes first, and waits for the one before it.
    town.bring(session, Identity::Number(4), "fourth");
    assert_eq!(town.said(ada), ["hello"]);
    town.bring(session, Identity::Number(3), "third");
    assert_eq!(town.said(ada), ["hello", "third", "fourth"]);
    for (number, text) in [(2, "hello"), (3, "third"), (4, "fourth")] {
        town.bring(session, Identity::Number(number), text);
    }
    assert_eq!(town.said(ada), ["hello", "third", "fourth"], "each once, whoever brings it again");
    town.restart_all(&[ada, bob]);
    for (number, text) in [(4, "fourth"), (5, "fifth")] {
        town.bring(session, Identity::Number(number), text);
    }
    assert_eq!(town.said(ada), ["hello", "third", "fourth", "fifth"]);
    assert_eq!(town.withdrawn(), BTreeSet::new());
    assert_eq!(town.ask(bob, Ask::Me), Err(Refusal::LoggedOut), "it is signed in no more all the same");
}

#[test]
fn what_a_device_had_said_that_was_logged_out_is_withdrawn() {
    let (mut town, ada, bob, session) = lobby_of_two(Settings::default());
    let (laptop, _) = town.user(1, "bob");
    town.run(laptop, Command::LogOut { devices: Devices::Others }).unwrap();
    town.world.run_until(SOON, |world| world.closed.contains(&(bob.connection, CloseReason::LoggedOut)));
    let key = town.key();
    town.bring(session, Identity::Number(3), "third");
    town.bring(session, key, "by key");
    town.bring(session, Identity::Number(2), "hello");
    assert_eq!(town.said(ada), ["hello"]);
    let on_all = |identity| (1..=3).map(move |node| (NodeId(node), session, identity));
    assert_eq!(town.withdrawn(), on_all(Identity::Number(3)).chain(on_all(key)).collect(), "what was executed before is not");
}

#[test]
fn what_was_carried_to_a_room_that_has_banned_its_author_meanwhile_is_refused_as_banned() {
    let (mut town, ada, bob, session) = lobby_of_two(Settings::default());
    let ban = |on| Command::Ban { room: lobby(), user: UserRef::Name("bob".into()), on };
    town.run(ada, ban(true)).unwrap();
    town.bring(session, Identity::Number(3), "third");
    assert_eq!(town.said(ada), ["hello"]);
    let command = Command::Post { room: lobby(), text: "third".into() };
    let again = Ask::Submit { identity: Identity::Number(3), first_unacked: 0, command };
    assert_eq!(town.ask(bob, again.clone()), Err(Refusal::Banned { room: RoomId(1) }));
    town.run(ada, ban(false)).unwrap();
    town.run(bob, Command::Join { room: lobby() }).unwrap();
    assert_eq!(town.ask(bob, again), Err(Refusal::Banned { room: RoomId(1) }), "it was its turn, once");
    assert_eq!(town.withdrawn(), BTreeSet::new(), "the room refused it, not the session");
}

#[test]
fn what_was_executed_before_the_session_expired_is_not_executed_again_whoever_got_a_snapshot_in_between() {
    let (mut town, ada, bob, session) = lobby_of_two(Settings { idle_ms: 10_000, ..Settings::default() });
    (town.world.limits.log_bytes, town.world.limits.snapshot_part_bytes) = (16 << 10, 4 << 10);
    town.restart_all(&[ada, bob]);
    let (before, late) = (town.key(), Identity::Key { key: 1_000, stamp: town.world.now.wall });
    let command = Command::Post { room: lobby(), text: "by key".into() };
    town.ask(bob, Ask::Submit { identity: before, first_unacked: 0, command }).unwrap();
    town.hear_only(ada, 20);
    assert!(town.world.closed.contains(&(bob.connection, CloseReason::LoggedOut)));
    town.bring(session, late, "late");
    town.bring(session, Identity::Number(3), "third");
    assert_eq!(town.said(ada), ["hello", "by key", "late", "third"]);
    // A node sleeps until the log does not reach back to it.
    let sleeper = (1..=3).map(NodeId).find(|node| *node != ada.node && Some(*node) != town.world.leader()).unwrap();
    town.world.kill(sleeper);
    for nth in 0..150 {
        town.run(ada, Command::Post { room: lobby(), text: format!("xxx {nth} {}", "x".repeat(400)) }).unwrap();
    }
    town.world.start(sleeper);
    let has_jumped = |world: &World| world.reached.contains(&(sleeper, "snapshot.installed"));
    town.world.run_until(SOON, has_jumped);
    // Then it leads: its table is that of the snapshot.
    for _ in 0..50 {
        if town.world.leader() == Some(sleeper) {
            break;
        }
        let leader = town.world.leader().unwrap();
        town.world.cut = Some(leader);
        town.pass(Duration::from_secs(5));
        town.world.cut = None;
        town.pass(Duration::from_secs(5));
    }
    assert_eq!(town.world.leader(), Some(sleeper));
    let (ada, _) = town.user(sleeper.0, "ada");
    for (identity, text) in [(before, "by key"), (late, "late"), (Identity::Number(3), "third"), (Identity::Number(4), "fourth")]
    {
        town.bring(session, identity, text);
    }
    assert_eq!(town.said(ada), ["hello", "by key", "late", "third", "fourth"]);
    assert_eq!(town.withdrawn(), BTreeSet::new());
}
