//! What a node's clients may rely on: keys, slow readers, folders, and what they are told when there is no leader.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use common::{CLUSTER, World};
use std::collections::VecDeque;
use std::sync::Arc;
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::client;
use tertulia_protocol::contract::Now;
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Output;
use tertulia_protocol::replica::Identity;
use tertulia_protocol::time::{Duration, Timestamp};
use tertulia_protocol::wire::handshake::{HelloRefusal, PeerIdentity};

const SOON: Duration = Duration::from_secs(5);
const TOKEN: Token = Token([1; 32]);
/// A connection of the test's own; the world's clients have others.
const MINE: ConnectionId = ConnectionId(77_000_777);

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn world_with_lobby() -> World {
    let mut world = World::new(3);
    let ada = world.add_client("ada", 0);
    world.clients[ada].submit(world.now, Command::CreateRoom { name: "lobby".into() }).unwrap();
    world.run_until(SOON, |world| world.heard[ada].iter().any(|output| matches!(output, client::Output::Settled { .. })));
    world
}

/// Asks a node on a connection of the test's own and returns the answer, playing the rest of the cluster meanwhile.
fn ask(world: &mut World, node: NodeId, ask: Ask) -> Result<Answer, Refusal> {
    let hello = ClientHello { token: Some(TOKEN) };
    let now = world.now;
    let asked = world.nodes.get_mut(&node).unwrap();
    asked.handle_disconnected(now, MINE);
    asked.handle_connected(now, MINE, hello);
    asked.handle_request(now, MINE, Request { id: 9, ask });
    world.replies.clear();
    world.run_until(Duration::from_secs(20), |world| world.replies.iter().any(|(to, _)| *to == MINE));
    world.replies.iter().find(|(to, _)| *to == MINE).unwrap().1.result.clone()
}

fn keyed(now: Now, key: u128, text: &str) -> Ask {
    let identity = Identity::Key { key, stamp: now.wall };
    Ask::Submit { identity, first_unacked: 0, command: Command::Post { room: lobby(), text: text.into() } }
}

#[test]
fn a_key_finds_its_outcome_again_at_any_node() {
    let mut world = world_with_lobby();
    let now = world.now;
    let first = ask(&mut world, NodeId(1), keyed(now, 5, "hello")).unwrap();
    for node in 1..=3 {
        assert_eq!(ask(&mut world, NodeId(node), keyed(now, 5, "hello")).unwrap(), first);
    }
    assert!(matches!(first, Answer::Done(Done::Posted { seq: 1, .. })));
    let next = ask(&mut world, NodeId(2), keyed(now, 6, "again")).unwrap();
    assert!(matches!(next, Answer::Done(Done::Posted { seq: 2, .. })));
}

#[test]
fn a_key_for_another_request_is_refused_and_an_old_stamp_is_never_executed() {
    let mut world = world_with_lobby();
    let now = world.now;
    ask(&mut world, NodeId(1), keyed(now, 5, "hello")).unwrap();
    for node in 1..=3 {
        assert_eq!(ask(&mut world, NodeId(node), keyed(now, 5, "other")), Err(Refusal::KeyReused));
    }
    let old = Now { wall: Timestamp(now.wall.0 - 25 * 3600 * 1_000_000), ..now };
    assert_eq!(ask(&mut world, NodeId(3), keyed(old, 7, "late")), Err(Refusal::KeyExpired));
}

#[test]
fn without_a_leader_a_request_is_held_and_then_refused_for_the_moment() {
    let mut world = world_with_lobby();
    world.kill(NodeId(2));
    world.kill(NodeId(3));
    let now = world.now;
    let join = |key| Ask::Submit {
        identity: Identity::Key { key, stamp: now.wall },
        first_unacked: 0,
        command: Command::CreateRoom { name: "other".into() },
    };
    let refused = ask(&mut world, NodeId(1), join(5));
    assert!(refused.as_ref().is_err_and(Refusal::is_temporary), "{refused:?}");
    let waited = world.now.instant.since(now.instant);
    let started = world.now;
    let refused = ask(&mut world, NodeId(1), join(6));
    assert!(matches!(refused, Err(Refusal::NoLeader { .. })), "{refused:?} after {waited:?}");
    assert!(world.now.instant.since(started.instant) <= Duration::from_millis(510));
    // "There is no such room" would be more than it knows.
    let ghost = Ask::History { room: RoomRef::Name("ghost".into()), after: None, before: None, limit: 10, at_least: None };
    let refused = ask(&mut world, NodeId(1), ghost);
    assert!(matches!(refused, Err(Refusal::NoLeader { .. })), "{refused:?}");
    // A page of history is shown all the same, and says that it may be behind.
    let page = ask(&mut world, NodeId(1), Ask::History { room: lobby(), after: None, before: None, limit: 10, at_least: None });
    assert!(matches!(page, Ok(Answer::History { current: false, .. })), "{page:?}");
}

/// Read your writes and monotonic reads for a client that moves between nodes: a node that has not come so far does not answer with an older state, also without a leader.
#[test]
fn a_page_that_must_show_the_readers_past_waits_for_it_and_asks_no_leader() {
    let mut world = world_with_lobby();
    let behind = NodeId(3);
    world.cut = Some(behind);
    let now = world.now;
    ask(&mut world, NodeId(1), keyed(now, 5, "hello")).unwrap();
    let index = world.replies.last().unwrap().1.index;
    let page = Ask::History { room: lobby(), after: None, before: None, limit: 10, at_least: Some(index) };
    let refused = ask(&mut world, behind, page.clone());
    assert!(matches!(refused, Err(Refusal::NoLeader { .. })), "{refused:?}");
    world.cut = None;
    world.run_until(SOON, |world| world.nodes[&behind].status().applied >= index);
    // It is there by now: no leader is needed to say so.
    world.cut = Some(behind);
    let shown = ask(&mut world, behind, page).unwrap();
    assert!(matches!(&shown, Answer::History { posts, current: false, .. } if posts.len() == 1), "{shown:?}");
}

#[test]
fn a_token_that_nobody_knows_is_refused_only_by_a_node_that_is_up_to_date() {
    let mut world = world_with_lobby();
    let now = world.now;
    let node = world.nodes.get_mut(&NodeId(3)).unwrap();
    node.handle_connected(now, MINE, ClientHello { token: Some(Token([99; 32])) });
    node.handle_request(now, MINE, Request { id: 1, ask: Ask::Rooms });
    world.run_until(SOON, |world| !world.replies.is_empty());
    assert_eq!(world.replies[0].1.result, Err(Refusal::UnknownSession));
}

#[test]
fn a_slow_reader_catches_up_from_the_store_and_misses_nothing() {
    let mut world = world_with_lobby();
    let now = world.now;
    let node = world.nodes.get_mut(&NodeId(2)).unwrap();
    node.handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
    node.handle_request(now, MINE, Request { id: 1, ask: Ask::Follow { room: lobby(), from: From::After(0) } });
    world.slow = Some(MINE);
    // Far more than a reader may be owed: 100 posts of 4,000 bytes.
    for nth in 0..100 {
        let text = format!("{nth} {}", "x".repeat(4_000));
        world.run_until(SOON, |world| world.clients[0].unsettled() < 32);
        world.clients[0].submit(world.now, Command::Post { room: lobby(), text }).unwrap();
    }
    world.run_until(SOON, |world| world.clients[0].unsettled() == 0);
    let owed: u32 = world.slow_events.iter().map(|event| event.cost()).sum();
    assert!(owed <= world.limits.reader_bytes + 5_000, "{owed} bytes were handed to a reader who reads nothing");
    // It begins to read.
    let mut read: Vec<Cursor> = Vec::new();
    world.run_until(SOON, |world| world.slow_events.len() > 10);
    // The first event is that the writer joined.
    while read.len() < 101 {
        let events: Vec<Arc<Event>> = world.slow_events.drain(..).collect();
        assert!(!events.is_empty(), "nothing more comes after {} events", read.len());
        let now = world.now;
        for event in events {
            read.push(event.cursor);
            world.nodes.get_mut(&NodeId(2)).unwrap().handle_drained(now, MINE, event.cost());
        }
        let pause = world.now.instant + Duration::from_millis(60);
        world.run_until(SOON, |world| world.now.instant >= pause);
    }
    assert_eq!(read, (1..=101).collect::<Vec<_>>());
}

#[test]
fn a_new_folder_under_an_old_id_is_refused_and_stops() {
    let mut world = world_with_lobby();
    let wiped = PeerIdentity { cluster: CLUSTER, node: NodeId(2), incarnation: Incarnation(999), boot: Boot(1) };
    let refusal = world.nodes[&NodeId(1)].admit(&wiped, true).unwrap_err();
    assert_eq!(refusal, HelloRefusal::NewFolder { node: NodeId(2) });
    assert_eq!(world.nodes[&NodeId(1)].admit(&PeerIdentity { incarnation: Incarnation(2), ..wiped }, true), Ok(()));
    let stranger = PeerIdentity { node: NodeId(9), ..wiped };
    assert_eq!(world.nodes[&NodeId(1)].admit(&stranger, false), Err(HelloRefusal::Stranger { node: NodeId(9) }));
    assert_eq!(world.nodes[&NodeId(1)].admit(&stranger, true), Ok(()), "it may have joined while this node was away");
    let now = world.now;
    let node = world.nodes.get_mut(&NodeId(2)).unwrap();
    node.handle_refused(now, NodeId(1), refusal);
    let halted = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Halt { reason } => Some(reason.to_string()),
        _ => None,
    });
    assert!(halted.unwrap().contains("start the node on its own folder"));
}

/// Hands a request to a node on a connection of the test's own, and waits for the answer to it.
fn answer(world: &mut World, node: NodeId, id: u64, ask: Ask) -> Result<Answer, Refusal> {
    let now = world.now;
    world.nodes.get_mut(&node).unwrap().handle_request(now, MINE, Request { id, ask });
    world.run_until(SOON, |world| world.replies.iter().any(|(to, reply)| *to == MINE && reply.id == id));
    world.replies.iter().find(|(_, reply)| reply.id == id).unwrap().1.result.clone()
}

#[test]
fn a_connection_that_signs_in_as_somebody_else_sees_nothing_more_of_the_first_one() {
    let mut world = world_with_lobby();
    let (now, node) = (world.now, NodeId(2));
    world.nodes.get_mut(&node).unwrap().handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
    world.slow = Some(MINE);
    answer(&mut world, node, 1, Ask::FollowAll { after: Vec::new() }).unwrap();
    let bob = Ask::SignIn { name: "bob".into(), token: Token([55; 32]) };
    assert!(matches!(answer(&mut world, node, 2, bob), Ok(Answer::SignedIn { .. })));
    // Ada posts to a room that bob is not in, and joins another one.
    for command in [
        Command::Post { room: lobby(), text: "between us".into() },
        Command::CreateRoom { name: "den".into() },
        Command::Post { room: RoomRef::Name("den".into()), text: "here as well".into() },
    ] {
        world.clients[0].submit(world.now, command).unwrap();
    }
    world.run_until(SOON, |world| world.clients[0].unsettled() == 0);
    let later = world.now.instant + Duration::from_millis(500);
    world.run_until(SOON, |world| world.now.instant > later);
    assert_eq!(world.slow_events, []);
}

#[test]
fn every_request_is_answered_also_one_that_is_asked_twice_on_one_connection() {
    let mut world = world_with_lobby();
    let (now, node) = (world.now, NodeId(2));
    let asked = world.nodes.get_mut(&node).unwrap();
    asked.handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
    for id in 1..=3 {
        asked.handle_request(now, MINE, Request { id, ask: keyed(now, 5, "hello") });
    }
    let answered = |world: &World| world.replies.iter().filter(|(to, _)| *to == MINE).count();
    world.run_until(SOON, |world| answered(world) == 3);
    let done = world.replies.iter().filter(|(_, reply)| matches!(reply.result, Ok(Answer::Done(Done::Posted { seq: 1, .. }))));
    assert_eq!(done.count(), 1);
    assert!(world.replies.iter().all(|(_, reply)| reply.result.as_ref().err().is_none_or(Refusal::is_temporary)));
}

#[test]
fn a_user_at_its_limit_of_rooms_makes_none() {
    let mut world = World::new(3);
    world.limits.rooms_of_user = 1;
    for id in 1..=3 {
        world.kill(NodeId(id));
        world.start(NodeId(id));
    }
    let ada = world.add_client("ada", 0);
    for name in ["lobby", "den"] {
        world.clients[ada].submit(world.now, Command::CreateRoom { name: name.into() }).unwrap();
    }
    world.run_until(SOON, |world| world.clients[ada].unsettled() == 0);
    let Ok(Answer::Rooms(rooms)) = ask(&mut world, NodeId(1), Ask::Rooms) else { panic!("no rooms") };
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["lobby"], "what is refused changes nothing");
}

#[test]
fn a_reader_who_begins_anew_is_read_for_once() {
    let mut world = world_with_lobby();
    for nth in 0..300 {
        world.run_until(SOON, |world| world.clients[0].unsettled() < 16);
        world.clients[0].submit(world.now, Command::Post { room: lobby(), text: nth.to_string() }).unwrap();
    }
    world.run_until(SOON, |world| world.clients[0].unsettled() == 0);
    let later = world.now.instant + Duration::from_millis(500);
    world.run_until(SOON, |world| world.now.instant > later);
    let now = world.now;
    let (node, disk) = (world.nodes.get_mut(&NodeId(2)).unwrap(), world.disks.get_mut(&NodeId(2)).unwrap());
    node.handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
    for id in 1..=2 {
        node.handle_request(now, MINE, Request { id, ask: Ask::Follow { room: lobby(), from: From::After(0) } });
    }
    let (mut loads, mut asked, mut read) = (VecDeque::new(), 0, Vec::new());
    loop {
        while let Some(output) = node.poll_output() {
            match output {
                Output::Load { id, query } => {
                    asked += 1;
                    loads.push_back((id, query));
                }
                Output::Publish { event, .. } => {
                    read.push(event.cursor);
                    node.handle_drained(now, MINE, event.cost());
                }
                _ => {}
            }
        }
        let Some((id, query)) = loads.pop_front() else { break };
        node.handle_loaded(now, id, Ok(disk.read(&query)));
    }
    assert_eq!(read, (1..=301).collect::<Vec<_>>());
    assert_eq!(asked, 4, "the first one, which is void, the changes, the events around them, and a page");
}

/// A place that the state never comes to is refused after a while, and then nothing is kept of it.
#[test]
fn pages_of_places_that_never_come_take_no_memory_once_they_are_refused() {
    let mut world = world_with_lobby();
    let page = |index| Ask::History { room: lobby(), after: None, before: None, limit: 1, at_least: Some(index) };
    let mut ask_for = |times: u64| {
        for nth in 0..times {
            let now = world.now;
            let node = world.nodes.get_mut(&NodeId(1)).unwrap();
            node.handle_connected(now, MINE, ClientHello { token: Some(TOKEN) });
            node.handle_request(now, MINE, Request { id: nth, ask: page(Index::MAX - nth) });
        }
        world.replies.clear();
        world.run_until(SOON, |world| world.replies.len() as u64 == times);
        assert!(world.replies.iter().all(|(_, reply)| matches!(reply.result, Err(Refusal::NoLeader { .. }))));
        format!("{:?}", world.nodes[&NodeId(1)]).len()
    };
    let before = ask_for(10);
    let after = ask_for(1_000);
    assert!(after < before + 10_000, "{before} bytes of text that describes it have become {after}");
}

/// Whoever forwarded it sends it again. What is kept for a leader that is about to begin would wait for the next one here.
#[test]
fn what_is_forwarded_during_a_hand_over_that_fails_is_done_afterwards_and_not_kept() {
    let mut world = world_with_lobby();
    let leader = world.leader().unwrap();
    let (successor, other) = (NodeId(leader.0 % 3 + 1), NodeId((leader.0 + 1) % 3 + 1));
    let settled = world.now.instant + Duration::from_millis(500);
    world.run_until(SOON, |world| world.now.instant > settled);
    let now = world.now;
    assert!(world.nodes.get_mut(&leader).unwrap().handle_stop(now));
    world.cut = Some(successor);
    ask(&mut world, other, keyed(now, 5, "hello")).unwrap();
    assert!(world.reached.contains(&(leader, "transfer.failed")), "it was done without waiting");
    let inside = format!("{:?}", world.nodes[&leader]);
    assert!(inside.contains("early: []"), "{inside}");
}
