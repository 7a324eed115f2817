//! Nodes compare their states and say where they part: the bugs of the zoo that make states differ are reported by the nodes themselves, and nothing else ever is.
#![cfg(feature = "zoo")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;
#[path = "zoo_scene/mod.rs"]
mod scene;

use scene::*;
use std::collections::BTreeSet;
use tertulia_protocol::contract::Limits;
use tertulia_protocol::ids::*;
use tertulia_protocol::replica::Divergence;
use tertulia_protocol::zoo::Bug;

/// Longer than it takes until the last entries are told to others, compared and asked about.
const COMPARED: u64 = 4_000;

fn often(limits: &mut Limits) {
    limits.compare_every = 4;
}

/// The log place that the node which the test talks to has come to.
fn place(scene: &Scene) -> Index {
    scene.world.nodes[&scene.leader].status().applied
}

/// By whom, about whom.
fn pairs(scene: &Scene) -> BTreeSet<(u64, u64)> {
    scene.world.diverged.iter().map(|(of, said)| (of.0, said.peer.0)).collect()
}

fn rows(said: &Divergence) -> Vec<&str> {
    said.rows.iter().map(|row| row.row.as_str()).collect()
}

#[test]
fn an_outcome_that_the_leader_alone_drops_is_named() {
    let mut scene = Scene::new(Some(Bug::EvictOnLeader));
    let before = place(&scene);
    scene.number(2, "two").unwrap();
    let entry = place(&scene);
    assert_eq!(entry, before + 1);
    scene.number(3, "three").unwrap();
    scene.pause(COMPARED);
    let leader = scene.leader.0;
    let [one, other] = [leader % 3 + 1, (leader + 1) % 3 + 1];
    assert_eq!(pairs(&scene), BTreeSet::from([(leader, one), (leader, other), (one, leader), (other, leader)]));
    assert_eq!(scene.world.diverged.len(), 4, "each says it once");
    for (of, said) in &scene.world.diverged {
        assert_eq!((said.first, said.earlier, said.more_rows), (entry, false, 0));
        let [row] = &said.rows[..] else { panic!("{said}") };
        assert!(row.row.starts_with("outcome of number 1 of session s"), "{said}");
        let (dropped, kept) = if of.0 == leader { (row.here, row.there) } else { (row.there, row.here) };
        assert_eq!((dropped.unwrap().new, kept), (None, None), "the leader deletes what the others do not touch");
        let ids = |nodes: &[NodeId]| nodes.iter().map(|id| id.0).collect::<BTreeSet<_>>();
        let agree = if of.0 == leader { &said.with_peer } else { &said.with_this };
        let third = 6 - of.0 - said.peer.0;
        assert_eq!(ids(agree), BTreeSet::from([third]), "two of three agree: {said}");
    }
    // It stands in the state of each node until they agree again, and the cluster goes on serving.
    assert_eq!(scene.world.nodes[&NodeId(leader)].status().diverged.len(), 2);
    assert_eq!(scene.world.nodes[&NodeId(one)].status().diverged.len(), 1);
    scene.number(4, "four").unwrap();
    scene.pause(COMPARED);
    assert_eq!(scene.world.diverged.len(), 4);
}

#[test]
fn a_message_that_is_stamped_by_whoever_applies_it_is_named() {
    let mut scene = Scene::with(Some(Bug::ApplyByOwnClock), often);
    let late = scene.follower();
    scene.world.cut = Some(late);
    scene.number(2, "hello").unwrap();
    let entry = place(&scene);
    scene.pause(100);
    scene.world.cut = None;
    scene.pause(COMPARED);
    assert!(scene.world.diverged.iter().all(|(of, said)| (*of == late) != (said.peer == late)));
    assert_eq!(scene.world.diverged.len(), 4, "the other two have applied it at the same moment");
    for (_, said) in &scene.world.diverged {
        assert_eq!((said.first, said.earlier), (entry, false), "{said}");
        let names = rows(said);
        assert!(names[0].starts_with("outcome of number 2 of session s"), "{said}");
        assert_eq!(names[1..], ["message 1 of room 1"], "the first message of the first room: {said}");
        assert!(said.rows.iter().all(|row| row.here.unwrap().new != row.there.unwrap().new));
    }
}

#[test]
fn a_room_that_counts_from_one_again_on_one_node_is_named() {
    let mut scene = Scene::with(Some(Bug::RoomRestarts), often);
    scene.number(2, "two").unwrap();
    scene.pause(COMPARED);
    let follower = scene.follower();
    scene.world.kill(follower);
    scene.world.start(follower);
    scene.pause(500);
    scene.number(3, "three").unwrap();
    let entry = place(&scene);
    scene.pause(COMPARED);
    assert!(scene.world.diverged.iter().all(|(of, said)| (*of == follower) != (said.peer == follower)));
    assert_eq!(scene.world.diverged.len(), 4);
    for (of, said) in &scene.world.diverged {
        assert_eq!((said.first, said.earlier), (entry, false), "{said}");
        assert!(rows(said).contains(&"end of room 1"), "the room: {said}");
        let written =
            |name: &str| said.rows.iter().find(|row| row.row == name).map(|row| (row.here.is_some(), row.there.is_some()));
        let here_is_right = *of != follower;
        assert_eq!(written("message 2 of room 1"), Some((here_is_right, !here_is_right)), "{said}");
        assert_eq!(written("message 1 of room 1"), Some((!here_is_right, here_is_right)), "{said}");
    }
}

#[test]
fn a_snapshot_without_its_sessions_is_found_out_by_what_follows_it() {
    let mut scene = Scene::with(Some(Bug::SnapshotWithoutSessions), |limits| {
        limits.log_bytes = 16 << 10;
        limits.snapshot_part_bytes = 4 << 10;
    });
    let away = scene.give_a_snapshot();
    assert_eq!(scene.world.diverged, [], "the hash that came with it is that of the sender");
    scene.number(2, "two").unwrap();
    let entry = place(&scene);
    scene.pause(COMPARED);
    assert_eq!(scene.world.diverged.len(), 4);
    for (of, said) in &scene.world.diverged {
        assert_eq!((said.first, said.earlier, *of == away || said.peer == away), (entry, false, true), "{said}");
        assert!(rows(said).iter().any(|row| row.starts_with("session s")), "{said}");
    }
}

#[test]
fn nothing_is_reported_while_all_is_well() {
    // The world of these tests stops at any report where there is no bug.
    let mut scene = Scene::with(None, |limits| {
        often(limits);
        limits.log_bytes = 16 << 10;
        limits.snapshot_part_bytes = 4 << 10;
    });
    scene.give_a_snapshot();
    for node in [2, 3, 1] {
        scene.lead_again(NodeId(node));
    }
    scene.restart();
    scene.give_a_snapshot();
    for number in 2..40 {
        scene.number(number, "text").unwrap();
    }
    scene.pause(COMPARED);
    assert_eq!(scene.states().len(), 1);
    assert!(scene.world.nodes.values().all(|node| node.status().diverged.is_empty()));
}
