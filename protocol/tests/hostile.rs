//! What no honest node of this version writes or says, and still may stand in a log or come over a link: it stops this node at most, and never spreads.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use bytes::Bytes;
use common::{CLUSTER, Disk, World};
use std::collections::BTreeSet;
use tertulia_protocol::chat::{Command, Refusal};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::gateway::{Ask, ClientHello, Credential, Request, Token};
use tertulia_protocol::ids::*;
use tertulia_protocol::node::*;
use tertulia_protocol::raft::{Answer, Entry, Member, RaftMessage};
use tertulia_protocol::replica::{Identity, Submission};
use tertulia_protocol::time::{Duration, Instant, Timestamp};
use tertulia_protocol::wire::{Kind, seal};

const SOON: Duration = Duration::from_secs(5);

fn sign_in(who: u8) -> Submission {
    Submission::Open { credential: Credential([who; 32]), command: seal(Kind::SignIn, &"ada") }
}

/// A command of a kind that the chat does not know.
fn unknown() -> Submission {
    Submission::Open { credential: Credential([9; 32]), command: seal(Kind::Other, &"from a newer version") }
}

fn voter(id: u64) -> Member {
    Member {
        id: NodeId(id),
        peer_address: String::new(),
        client_address: String::new(),
        incarnation: Some(Incarnation(id.into())),
    }
}

fn log(payloads: impl IntoIterator<Item = Bytes>) -> Vec<Entry> {
    let mut last = Position::default();
    let mut entries = Vec::new();
    for (nth, payload) in payloads.into_iter().enumerate() {
        let entry = Entry::after(last, 1, Timestamp(1 + nth as u64), payload);
        last = entry.position();
        entries.push(entry);
    }
    entries
}

#[test]
fn what_follows_an_entry_that_this_version_does_not_know_is_not_applied() {
    let payloads = [
        seal(Kind::Configuration, &vec![voter(1)]),
        seal(Kind::Submission, &sign_in(1)),
        seal(Kind::Submission, &unknown()),
        seal(Kind::Submission, &sign_in(2)),
    ];
    let mut disk = Disk { log: log(payloads), vote: Vote { term: 1, voted_for: None }, ..Disk::default() };
    let config = Config::new(NodeId(1), CLUSTER, vec![voter(1)], Seed(1));
    let mut now = Now { instant: Instant(1), wall: Timestamp(1_700_000_000_000_000) };
    let mut node = Node::restore(config, disk.restored(NodeId(1)), now).unwrap();
    now.instant += SOON;
    node.handle_timeout(now);
    let mut halted = None;
    while let Some(output) = node.poll_output() {
        match output {
            Output::Store { id, batch } => {
                disk.write(batch);
                node.handle_stored(now, id);
            }
            // A newer release that starts on this folder must find the entry still to be applied, and the rows of all before it.
            Output::Apply { through, rows } => {
                assert!(through < 3, "rows through {through}");
                disk.apply(rows);
            }
            Output::Halt { reason } => halted = Some(reason),
            _ => {}
        }
    }
    assert!(matches!(halted, Some(HaltReason::UnknownEntry { index: 3, .. })), "{halted:?}");
    assert_eq!(disk.restored(NodeId(1)).applied.index, 2);
    let session = [&[0x02][..], &2u64.to_be_bytes()].concat();
    assert!(disk.rows.contains_key(&session[..]), "the rows of entry 2 are there");
}

#[test]
fn a_leader_does_not_propose_what_it_does_not_know() {
    let mut world = World::new(3);
    world.run_until(SOON, |world| world.leader().is_some());
    let leader = world.leader().unwrap();
    let from = NodeId(leader.0 % 3 + 1);
    let settled = world.now.instant + Duration::from_secs(1);
    world.run_until(SOON, |world| world.now.instant > settled);
    let (now, before) = (world.now, world.nodes[&leader].status().commit);
    let message = Message { group: GROUP, body: Body::Forward(unknown()) };
    world.nodes.get_mut(&leader).unwrap().handle_message(now, from, message);
    let settled = world.now.instant + Duration::from_secs(1);
    world.run_until(SOON, |world| world.now.instant > settled);
    assert_eq!(world.nodes[&leader].status().commit, before, "once it is in the log, every node stops at it");
}

/// Lets the cluster go on for a second.
fn settle(world: &mut World) {
    let end = world.now.instant + Duration::from_secs(1);
    world.run_until(SOON, |world| world.now.instant >= end);
}

fn tell(world: &mut World, to: NodeId, body: Body) {
    let (now, from) = (world.now, NodeId(to.0 % 3 + 1));
    world.nodes.get_mut(&to).unwrap().handle_message(now, from, Message { group: GROUP, body });
}

#[test]
fn numbers_that_nobody_can_have_reached_do_no_harm() {
    let mut world = World::new(3);
    world.run_until(SOON, |world| world.leader().is_some());
    settle(&mut world);
    let leader = world.leader().unwrap();
    let term = world.nodes[&leader].status().term;
    let (end, boot, incarnation) = (Position { index: u64::MAX, term, chain: 1 }, Boot(1), Incarnation(1));
    let far = Entry { index: u64::MAX, term, at: Timestamp(u64::MAX), chain: 1, payload: Bytes::new() };
    let (most, from) = (u64::MAX, Position::default());
    let answer = Answer { round: most, boot, repairing: false };
    let told = [
        RaftMessage::AskVote { term: most, pre: true, forced: false, last: end },
        RaftMessage::AskVote { term: most, pre: false, forced: true, last: end },
        RaftMessage::Voted { term: most, pre: false, granted: false, boot, incarnation },
        RaftMessage::Voted { term: most, pre: true, granted: true, boot, incarnation },
        RaftMessage::Append { term, previous: end, entries: vec![far.clone()], commit: most, round: most },
        RaftMessage::Append { term, previous: from, entries: vec![far], commit: most, round: most },
        RaftMessage::Append { term: most, previous: from, entries: Vec::new(), commit: most, round: most },
        RaftMessage::Appended { term, matched: most, answer },
        RaftMessage::Appended { term, matched: 1_000, answer },
        RaftMessage::Appended { term: most, matched: 0, answer },
        RaftMessage::Refused { term, previous: most, hint: end, answer },
        RaftMessage::Refused { term, previous: 0, hint: end, answer },
        RaftMessage::AskRead { term: most, id: most, boot, repair: true },
        RaftMessage::AskRead { term: most, id: 1, boot, repair: false },
        RaftMessage::Read { term: most, id: most, boot, index: most },
        RaftMessage::TimeoutNow { term: most },
    ];
    for message in told {
        for to in [1, 2, 3] {
            tell(&mut world, NodeId(to), Body::Raft(message.clone()));
            settle(&mut world);
        }
    }
    let ada = world.add_client("ada", 0);
    world.clients[ada].submit(world.now, Command::CreateRoom { name: "lobby".into() }).unwrap();
    world.run_until(SOON, |world| world.clients[ada].unsettled() == 0);
    assert!(world.nodes[&leader].status().term < 100);
    let states = |world: &World| world.nodes.values().map(|node| node.status().state_hash).collect::<BTreeSet<_>>();
    world.run_until(SOON, |world| states(world).len() == 1);
}

#[test]
fn requests_of_a_session_that_does_not_exist_are_refused_by_the_log_each_time() {
    let mut world = World::new(3);
    world.run_until(SOON, |world| world.leader().is_some());
    settle(&mut world);
    let leader = world.leader().unwrap();
    let command = seal(Kind::CreateRoom, &"lobby");
    for number in [1, 1, 2, 0, u64::MAX, u64::MAX - 1] {
        let before = world.nodes[&leader].status().commit;
        let identity = Identity::Number(number);
        let (session, command) = (SessionId(77), command.clone());
        tell(&mut world, leader, Body::Forward(Submission::Execute { session, identity, first_unacked: u64::MAX, command }));
        settle(&mut world);
        assert_eq!(world.nodes[&leader].status().commit, before + 1, "number {number} waits for ever");
    }
}

#[test]
fn answers_to_what_was_never_asked_take_no_place() {
    let mut world = World::new(3);
    world.limits.pending_requests = 8;
    for id in 1..=3 {
        world.kill(NodeId(id));
        world.start(NodeId(id));
    }
    world.run_until(SOON, |world| world.leader().is_some());
    settle(&mut world);
    for who in 0..10 {
        let request = RequestKey::Open(Credential([who; 32]));
        tell(&mut world, NodeId(1), Body::Forwarded { request, answer: ForwardAnswer::Executed { by: u64::MAX } });
    }
    let (now, connection) = (world.now, ConnectionId(77_000_777));
    let node = world.nodes.get_mut(&NodeId(1)).unwrap();
    node.handle_connected(now, connection, ClientHello { token: Some(Token([5; 32])) });
    node.handle_request(now, connection, Request { id: 1, ask: Ask::Rooms });
    world.run_until(SOON, |world| !world.replies.is_empty());
    assert_eq!(world.replies[0].1.result, Err(Refusal::UnknownSession));
}
