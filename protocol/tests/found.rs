//! A cluster that is founded from the rows of another one: people go on as if nothing had been.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;

use bytes::Bytes;
use common::{Disk, World};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::client::Output;
use tertulia_protocol::contract::*;
use tertulia_protocol::gateway::{EventKind, From};
use tertulia_protocol::ids::*;
use tertulia_protocol::raft::Member;
use tertulia_protocol::replica::{found, is_of_members};
use tertulia_protocol::time::Duration;
use tertulia_protocol::wire::{Kind, open};

const SOON: Duration = Duration::from_secs(60);
const FOUNDER: NodeId = NodeId(2);

fn lobby() -> RoomRef {
    RoomRef::Name("lobby".into())
}

fn settled(world: &World, client: usize) -> usize {
    world.heard[client].iter().filter(|output| matches!(output, Output::Settled { result: Ok(_), .. })).count()
}

fn texts(world: &World, client: usize) -> Vec<String> {
    let posts = world.heard[client].iter().filter_map(|output| match output {
        Output::Deliver(event) => {
            let EventKind::Posted(post) = &event.kind else { return None };
            Some(post.text.clone())
        }
        _ => None,
    });
    posts.collect()
}

fn post(world: &mut World, client: usize, text: &str) {
    let now = world.now;
    world.clients[client].submit(now, Command::Post { room: lobby(), text: text.into() }).unwrap();
}

/// Three nodes, a room, and one who posts.
fn three_with_a_room() -> (World, usize) {
    let mut world = World::new(3);
    world.run_until(SOON, |world| world.leader().is_some());
    let ada = world.add_client("ada", 0);
    let now = world.now;
    world.clients[ada].submit(now, Command::CreateRoom { name: "lobby".into() }).unwrap();
    world.run_until(SOON, |world| settled(world, ada) == 1);
    (world, ada)
}

/// All nodes are gone, and one comes back with what was in the rows of `of`, in a cluster of its own.
fn restore_from(world: &mut World, rows: &Disk) {
    (1..=3).for_each(|id| world.kill(NodeId(id)));
    world.disks.clear();
    let mut rows = rows.rows.clone();
    let backup: AppliedRow = open(Kind::Applied, &rows[APPLIED_KEY]).unwrap();
    let of_members: Vec<(Bytes, Bytes)> =
        rows.iter().filter(|(key, _)| is_of_members(key)).map(|(key, row)| (key.clone(), row.clone())).collect();
    let founder = Member {
        id: FOUNDER,
        peer_address: "n2:1".into(),
        client_address: "http://n2".into(),
        incarnation: Some(Incarnation(FOUNDER.0.into())),
    };
    let founding = found(&backup, &of_members, founder).unwrap();
    for (key, row) in founding.rows.rows {
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
    }
    let disk = Disk { vote: founding.vote, start: founding.applied.position, rows, ..Disk::default() };
    world.disks.insert(FOUNDER, disk);
    world.start(FOUNDER);
    world.run_until(SOON, |world| world.leader() == Some(FOUNDER));
}

/// That the hash which the node goes on with is that of its rows.
fn hash_is_right(world: &World) {
    let rows = world.disks[&FOUNDER].rows.iter().filter(|(key, _)| *key != APPLIED_KEY);
    let sum = rows.fold(StateHash(0), |sum, (key, row)| sum.changed(key, None, Some(row)));
    assert_eq!(world.nodes[&FOUNDER].status().state_hash, sum.0);
}

#[test]
fn a_writer_goes_on_with_its_session_and_nothing_is_twice_or_missing() {
    let (mut world, ada) = three_with_a_room();
    for n in 0..20 {
        post(&mut world, ada, &n.to_string());
    }
    // Executed and, for all that its client knows, perhaps not.
    world.run_until(SOON, |world| world.nodes[&NodeId(3)].status().applied > 15);
    let backup = world.disks[&NodeId(3)].clone();
    restore_from(&mut world, &backup);
    post(&mut world, ada, "after");
    world.run_until(SOON, |world| settled(world, ada) == 22);
    let bob = world.add_client("bob", 1);
    let now = world.now;
    world.clients[bob].submit(now, Command::Join { room: lobby() }).unwrap();
    world.clients[bob].follow(now, lobby(), From::After(0));
    world.run_until(SOON, |world| texts(world, bob).len() == 21);
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).chain(["after".into()]).collect();
    assert_eq!(texts(&world, bob), expected);
    let status = world.nodes[&FOUNDER].status();
    assert_eq!(status.members.iter().map(|member| member.id).collect::<Vec<_>>(), [FOUNDER]);
    assert_eq!(status.succession, [FOUNDER]);
    hash_is_right(&world);
}

#[test]
fn a_restart_and_a_second_life_of_the_same_backup_find_what_was_written() {
    let (mut world, ada) = three_with_a_room();
    post(&mut world, ada, "before");
    world.run_until(SOON, |world| settled(world, ada) == 2);
    let backup = world.disks[&NodeId(1)].clone();
    restore_from(&mut world, &backup);
    let first = world.nodes[&FOUNDER].status();
    world.kill(FOUNDER);
    world.start(FOUNDER);
    world.run_until(SOON, |world| world.leader() == Some(FOUNDER));
    let second = world.nodes[&FOUNDER].status();
    assert!(second.term > first.term && second.applied >= first.applied, "{first:?} {second:?}");
    let again = world.disks[&FOUNDER].clone();
    restore_from(&mut world, &again);
    assert!(world.nodes[&FOUNDER].status().term > second.term);
    post(&mut world, ada, "after");
    world.run_until(SOON, |world| settled(world, ada) == 3);
    hash_is_right(&world);
}
