//! Three nodes and their clients together, without faults but for a killed leader.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::World;
use std::collections::BTreeMap;
use tertulia_protocol::chat::{Change, Command, Done, History, RoomKind, RoomRef, Rules};
use tertulia_protocol::client::{self, Client, Output};
use tertulia_protocol::contract::Now;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Answer, Ask, EventKind, From, Reply, Request, Token};
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(5);

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn post(text: &str) -> Command {
    Command::Post { room: lobby(), text: text.into() }
}

/// The texts that a client was delivered, in order.
fn delivered(world: &World, client: usize) -> Vec<String> {
    let text = |output: &Output| match output {
        Output::Deliver(event) => {
            let EventKind::Posted(post) = &event.kind else { return None };
            Some(post.text.clone())
        }
        _ => None,
    };
    world.heard[client].iter().filter_map(text).collect()
}

fn settled(world: &World, client: usize) -> usize {
    world.heard[client].iter().filter(|output| matches!(output, Output::Settled { result: Ok(_), .. })).count()
}

/// All three nodes have come to the same state.
fn all_equal(world: &World) -> bool {
    let states: Vec<_> = world.nodes.values().map(|node| (node.status().applied, node.status().state_hash)).collect();
    states.len() == 3 && states.iter().all(|state| *state == states[0])
}

fn world_with_lobby() -> (World, usize, usize) {
    let mut world = World::new(3);
    let (ada, bob) = (world.add_client("ada", 0), world.add_client("bob", 1));
    let now = world.now;
    for client in [ada, bob] {
        world.clients[client].submit(now, Command::CreateRoom { name: "lobby".into() }).unwrap();
    }
    world.run_until(SOON, |world| settled(world, ada) == 1 && settled(world, bob) == 1);
    let now = world.now;
    for client in [ada, bob] {
        world.clients[client].follow(now, lobby(), From::After(0));
    }
    (world, ada, bob)
}

#[test]
fn what_is_posted_at_one_node_is_seen_at_another_in_one_order() {
    let (mut world, ada, bob) = world_with_lobby();
    for nth in 0..10 {
        let now = world.now;
        world.clients[if nth % 3 == 0 { ada } else { bob }].submit(now, post(&format!("message {nth}"))).unwrap();
    }
    world.run_until(SOON, |world| [ada, bob].iter().all(|client| delivered(world, *client).len() == 10));
    assert_eq!(delivered(&world, ada), delivered(&world, bob));
    world.run_until(SOON, all_equal);
}

#[test]
fn clients_of_a_killed_leader_move_on_and_nothing_is_lost_or_doubled() {
    let (mut world, ada, bob) = world_with_lobby();
    let leader = world.leader().unwrap();
    let now = world.now;
    for nth in 0..5 {
        world.clients[ada].submit(now, post(&format!("before {nth}"))).unwrap();
    }
    world.kill(leader);
    for nth in 0..5 {
        world.clients[ada].submit(now, post(&format!("after {nth}"))).unwrap();
    }
    world.run_until(SOON, |world| settled(world, ada) == 11);
    world.start(leader);
    world.run_until(SOON, |world| delivered(world, bob).len() == 10);
    let expected: Vec<String> =
        (0..5).map(|nth| format!("before {nth}")).chain((0..5).map(|nth| format!("after {nth}"))).collect();
    assert_eq!(delivered(&world, bob), expected);
    world.run_until(SOON, all_equal);
}

#[test]
fn a_node_that_was_down_reads_what_it_missed_from_the_leaders_disk() {
    let mut world = World::new(3);
    world.limits.tail_bytes = 1;
    for id in 1..=3 {
        world.kill(NodeId(id));
    }
    for id in 1..=3 {
        world.start(NodeId(id));
    }
    let ada = world.add_client("ada", 0);
    let now = world.now;
    world.clients[ada].submit(now, Command::CreateRoom { name: "lobby".into() }).unwrap();
    world.run_until(SOON, |world| settled(world, ada) == 1);
    let leader = world.leader().unwrap();
    let sleeper = NodeId(leader.0 % 3 + 1);
    world.kill(sleeper);
    for nth in 0..30 {
        let now = world.now;
        world.clients[ada].submit(now, post(&format!("message {nth}"))).unwrap();
    }
    world.run_until(SOON, |world| settled(world, ada) == 31);
    world.start(sleeper);
    world.run_until(SOON, all_equal);
}

#[test]
fn history_is_paged_from_both_ends() {
    let (mut world, ada, _) = world_with_lobby();
    for nth in 1..=20 {
        let now = world.now;
        world.clients[ada].submit(now, post(&format!("message {nth}"))).unwrap();
    }
    world.run_until(SOON, |world| settled(world, ada) == 21);
    let now = world.now;
    let pages = [
        (None, None, 5),
        (Some(18), None, 5),
        (None, Some(11), 3),
        (Some(4), Some(8), 100),
        (Some(20), None, 5),
        (None, Some(1), 5),
    ];
    let expected: [&[u64]; 6] = [&[1, 2, 3, 4, 5], &[19, 20], &[8, 9, 10], &[5, 6, 7], &[], &[]];
    for (after, before, limit) in pages {
        world.clients[ada].ask(now, Ask::History { room: lobby(), after, before, limit, at_least: None });
    }
    let pages = |world: &World| -> Vec<Vec<u64>> {
        let page = |output: &Output| match output {
            Output::Answered { result: Ok(Answer::History { posts, current: true, .. }), .. } => {
                Some(posts.iter().map(|post| post.seq).collect())
            }
            _ => None,
        };
        world.heard[ada].iter().filter_map(page).collect()
    };
    world.run_until(SOON, |world| pages(world).len() == expected.len());
    assert_eq!(pages(&world), expected);
}

#[test]
fn a_reader_who_follows_late_gets_the_last_ten_and_then_what_comes() {
    let (mut world, ada, _) = world_with_lobby();
    for nth in 1..=25 {
        let now = world.now;
        world.clients[ada].submit(now, post(&format!("{nth}"))).unwrap();
    }
    world.run_until(SOON, |world| settled(world, ada) == 26);
    let late = world.add_client("late", 2);
    let now = world.now;
    world.clients[late].submit(now, Command::Join { room: lobby() }).unwrap();
    world.run_until(SOON, |world| settled(world, late) == 1);
    let now = world.now;
    world.clients[late].follow(now, lobby(), From::Last(10));
    world.clients[ada].submit(now, post("26")).unwrap();
    world.run_until(SOON, |world| delivered(world, late).last().map(String::as_str) == Some("26"));
    assert_eq!(
        delivered(&world, late).iter().map(|text| text.parse().unwrap()).collect::<Vec<u32>>(),
        (16..=26).collect::<Vec<_>>()
    );
}

/// Live and from the store: an old message that is edited is edited for everybody, and shown to those who were there.
#[test]
fn who_joined_later_is_not_shown_an_old_message_because_it_is_edited() {
    let mut world = World::new(3);
    let (ada, bob) = (world.add_client("ada", 0), world.add_client("bob", 1));
    let since_join = Rules { history: History::SinceJoin, ..Rules::default() };
    let (name, kind, topic, members) = ("hall".into(), RoomKind::Public, String::new(), Vec::new());
    let hall = || RoomRef::Name("hall".into());
    let submit = |world: &mut World, client: usize, command: Command, count: usize| {
        let now = world.now;
        world.clients[client].submit(now, command).unwrap();
        world.run_until(SOON, |world| settled(world, client) == count);
    };
    submit(&mut world, ada, Command::MakeRoom { name, kind, topic, rules: Some(since_join), members }, 1);
    submit(&mut world, ada, Command::Post { room: hall(), text: "secret".into() }, 2);
    submit(&mut world, bob, Command::Join { room: hall() }, 1);
    let now = world.now;
    world.clients[ada].follow(now, hall(), From::After(0));
    world.clients[bob].follow(now, hall(), From::After(0));
    submit(&mut world, ada, Command::Edit { room: hall(), seq: 1, text: "secret still".into() }, 3);
    submit(&mut world, ada, Command::Post { room: hall(), text: "for all".into() }, 4);
    let late = world.add_client("bob", 2);
    world.run_until(SOON, |world| delivered(world, bob).len() == 1);
    // Another device of bob's comes later and reads what happened.
    let now = world.now;
    world.clients[late].follow(now, hall(), From::After(0));
    world.run_until(SOON, |world| delivered(world, late).len() == 1);
    let edits = |world: &World, client: usize| -> Vec<Option<String>> {
        let changed = world.heard[client].iter().filter_map(|output| match output {
            Output::Deliver(event) => match &event.kind {
                EventKind::Changed(changed) if changed.change == (Change::Edited { seq: 1 }) => Some(changed.post.clone()),
                _ => None,
            },
            _ => None,
        });
        changed.map(|post| post.map(|post| post.text)).collect()
    };
    assert_eq!(edits(&world, ada), [Some("secret still".to_string())]);
    assert_eq!((edits(&world, bob), edits(&world, late)), (vec![None], vec![None]));
}

#[test]
fn a_bad_command_settles_its_number_and_harms_nothing() {
    let (mut world, ada, _) = world_with_lobby();
    let now = world.now;
    let long = "x".repeat(5000);
    for command in [
        post(""),
        post(&long),
        Command::Join { room: RoomRef::Name("nowhere".into()) },
        Command::CreateRoom { name: "42".into() },
        Command::CreateRoom { name: "lob\u{200b}by".into() },
        post("\u{200b} \u{feff}"),
        post("fine"),
    ] {
        world.clients[ada].submit(now, command).unwrap();
    }
    world.run_until(SOON, |world| world.clients[ada].unsettled() == 0);
    let results: Vec<String> = (world.heard[ada].iter())
        .filter_map(|output| match output {
            Output::Settled { number, result } if *number > 1 => Some(match result {
                Ok(Done::Posted { seq, .. }) => format!("posted {seq}"),
                Ok(other) => format!("{other:?}"),
                Err(refusal) => refusal.to_string(),
            }),
            _ => None,
        })
        .collect();
    assert_eq!(
        results,
        [
            "the message is empty: write something",
            "the text has 5000 bytes, the limit is 4096: shorten it, or send a message in parts",
            "there is no room \"nowhere\": list the rooms, or create it first",
            "a name may not begin with @ or with an accent alone, nor hold control or invisible characters or two spaces in a row, nor begin or end with a space, and a room's may not be a number: choose another one",
            "a name may not begin with @ or with an accent alone, nor hold control or invisible characters or two spaces in a row, nor begin or end with a space, and a room's may not be a number: choose another one",
            "the message is empty: write something",
            "posted 1",
        ]
    );
}

#[test]
fn a_client_of_a_node_that_knows_no_leader_moves_to_one_that_does() {
    let (mut world, ada, _) = world_with_lobby();
    let cut = world.lines[ada].unwrap();
    world.cut = Some(cut);
    world.run_until(SOON, |world| world.nodes[&cut].status().leader.is_none());
    let now = world.now;
    world.clients[ada].submit(now, post("from the other side")).unwrap();
    world.run_until(SOON, |world| world.clients[ada].unsettled() == 0);
    assert_ne!(world.lines[ada], Some(cut));
}

/// The cluster keeps the outcomes of a session's last numbers. Whoever goes on while an early one is open must not go so far that its outcome is dropped.
#[test]
fn a_client_does_not_run_ahead_of_its_first_unsettled_number() {
    let now = Now::default();
    let config = client::Config {
        name: "ada".into(),
        how: Default::default(),
        device: String::new(),
        token: Token([1; 32]),
        servers: 1,
        first: 0,
        seed: Seed(1),
        timing: client::Timing::default(),
        window: 4,
    };
    let mut client = Client::new(config, now);
    let mut sent: BTreeMap<u64, u64> = BTreeMap::new();
    client.submit(now, post("1")).unwrap();
    client.poll_output();
    client.handle_connected(now);
    client.poll_output();
    let signed_in = Answer::SignedIn { user: UserId(1), session: SessionId(1), name: "ada".into(), next_number: 1 };
    client.handle_reply(now, Reply { id: 1, index: 1, result: Ok(signed_in) });
    for text in ["2", "3", "4"] {
        client.submit(now, post(text)).unwrap();
    }
    while let Some(output) = client.poll_output() {
        if let Output::Send(Request { id, ask: Ask::Submit { identity: Identity::Number(number), .. } }) = output {
            sent.insert(number, id);
        }
    }
    // All but the first one are answered.
    for number in 2..=4 {
        client.handle_reply(now, Reply { id: sent[&number], index: 1, result: Ok(Answer::Done(Done::Left { room: RoomId(1) })) });
    }
    assert_eq!(client.submit(now, post("5")), Err(client::WindowFull));
    client.handle_reply(now, Reply { id: sent[&1], index: 1, result: Ok(Answer::Done(Done::Left { room: RoomId(1) })) });
    assert_eq!(client.submit(now, post("5")), Ok(5));
}

/// A process that is stopped keeps its connections open: only silence tells.
#[test]
fn a_leader_that_has_not_applied_a_session_yet_proposes_its_numbers_in_order_all_the_same() {
    let (mut world, ..) = world_with_lobby();
    let leader = world.leader().unwrap();
    // A leader needs no disk of its own for a commit. Its applied state stays behind, and the session is opened without its knowing.
    world.stalled = Some(leader);
    let cyd = world.add_client("cyd", leader.0 as u32 % 3);
    world.backwards = true;
    for nth in 0..4 {
        let now = world.now;
        world.clients[cyd].submit(now, Command::CreateRoom { name: format!("room {nth}") }).unwrap();
    }
    world.run_until(SOON, |world| world.heard[cyd].iter().filter(|output| matches!(output, Output::Settled { .. })).count() == 4);
    assert_eq!(settled(&world, cyd), 4, "{:?}", world.heard[cyd]);
    assert!(world.reached.contains(&(leader, "session.number_held")), "nothing overtook anything");
}

#[test]
fn a_server_that_falls_silent_is_asked_for_a_sign_of_life_and_given_up() {
    let at = |ms: u64| Now { instant: Instant(ms * 1_000), ..Now::default() };
    let timing = client::Timing::default();
    let config = client::Config {
        name: "ada".into(),
        how: Default::default(),
        device: String::new(),
        token: Token([1; 32]),
        servers: 2,
        first: 0,
        seed: Seed(1),
        timing,
        window: 4,
    };
    let mut client = Client::new(config, at(0));
    client.poll_output();
    client.handle_connected(at(0));
    client.poll_output();
    let signed_in = Answer::SignedIn { user: UserId(1), session: SessionId(1), name: "ada".into(), next_number: 1 };
    client.handle_reply(at(1), Reply { id: 1, index: 1, result: Ok(signed_in) });
    client.submit(at(1), post("hello")).unwrap();
    while client.poll_output().is_some() {}
    // A slow cluster behind a server that lives: it says so when it is asked, and is not given up.
    client.handle_timeout(at(301));
    let Some(Output::Send(Request { id, ask: Ask::Ping })) = client.poll_output() else { panic!("a ping") };
    client.handle_reply(at(900), Reply { id, index: 1, result: Ok(Answer::Pong) });
    client.handle_timeout(at(1_001));
    assert_eq!(client.poll_output(), None);
    // Now it is silent.
    client.handle_timeout(at(1_200));
    assert!(matches!(client.poll_output(), Some(Output::Send(Request { ask: Ask::Ping, .. }))));
    assert_eq!(client.poll_timeout(), Some(at(1_900).instant));
    client.handle_timeout(at(1_900));
    assert_eq!(client.poll_output(), Some(Output::Disconnect));
    client.handle_timeout(at(2_000));
    assert!(matches!(client.poll_output(), Some(Output::Connect { server: 1, .. })));
}
