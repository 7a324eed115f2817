//! Bugs of reads, pages and followers, each as a small story that goes otherwise with the bug than without.
#![cfg(feature = "zoo")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod common;
#[path = "zoo_scene/mod.rs"]
mod scene;

use scene::*;
use tertulia_protocol::chat::{Command, Refusal, RoomRef};
use tertulia_protocol::gateway::*;
use tertulia_protocol::ids::{NodeId, Seq};
use tertulia_protocol::node::Output;
use tertulia_protocol::zoo::Bug;

/// Posts behind the back of a follower that is cut off, and what that one says when it is asked for a page.
fn page_of_a_node_that_is_behind(bug: Option<Bug>, at_least: bool) -> Result<Answer, Refusal> {
    let mut scene = Scene::new(bug);
    let behind = scene.follower();
    scene.world.cut = Some(behind);
    scene.number(2, "hello").unwrap();
    let index = scene.world.nodes[&scene.leader].status().applied;
    scene.at(behind);
    scene.ask(page(None, None, at_least.then_some(index)))
}

fn says_current(answer: &Result<Answer, Refusal>) -> bool {
    matches!(answer, Ok(Answer::History { current: true, .. }))
}

#[test]
fn a_node_calls_its_own_state_current() {
    let page = |bug| page_of_a_node_that_is_behind(bug, false);
    assert!(says_current(&page(Some(Bug::ReadLocal))));
    assert!(!says_current(&page(None)));
}

#[test]
fn a_page_that_nobody_confirmed_is_called_current() {
    let page = |bug| page_of_a_node_that_is_behind(bug, false);
    assert!(says_current(&page(Some(Bug::UnconfirmedIsCurrent))));
    assert!(!says_current(&page(None)));
}

#[test]
fn a_node_ignores_what_the_asker_has_seen() {
    let page = |bug| page_of_a_node_that_is_behind(bug, true);
    assert_eq!(seqs(&page(Some(Bug::IgnoreAtLeast))), []);
    assert!(matches!(page(None), Err(Refusal::NoLeader { .. })));
}

#[test]
fn a_read_does_not_wait_for_its_index() {
    let shown = |bug| {
        let mut scene = Scene::new(bug);
        let behind = scene.follower();
        scene.world.cut = Some(behind);
        scene.number(2, "hello").unwrap();
        scene.at(behind);
        scene.world.cut = None;
        let page = scene.ask(page(None, None, None));
        (says_current(&page), seqs(&page).len())
    };
    assert_eq!(shown(Some(Bug::ReadBeforeApplied)), (true, 0));
    assert_eq!(shown(None), (true, 1));
}

fn three_posts(bug: Option<Bug>) -> Scene {
    let mut scene = Scene::new(bug);
    for number in 2..5 {
        scene.number(number, "text").unwrap();
    }
    scene
}

#[test]
fn a_page_begins_at_its_bound_or_beyond_what_comes_next() {
    let after_one = |bug| seqs(&three_posts(bug).ask(page(Some(1), None, None)));
    assert_eq!(after_one(Some(Bug::PageInclusive)), [1, 2, 3]);
    assert_eq!(after_one(Some(Bug::PageSkips)), [3]);
    assert_eq!(after_one(None), [2, 3]);
}

#[test]
fn a_page_that_is_read_backwards_is_not_turned_round() {
    let before_three = |bug| seqs(&three_posts(bug).ask(page(None, Some(3), None)));
    assert_eq!(before_three(Some(Bug::PageBackwards)), [2, 1]);
    assert_eq!(before_three(None), [1, 2]);
}

fn following_the_last(mut scene: Scene) -> Result<Answer, Refusal> {
    scene.world.slow = Some(MINE);
    scene.ask(Ask::Follow { room: lobby(), from: From::Last(1) })
}

#[test]
fn who_asks_for_the_last_one_gets_two() {
    let begins_after = |bug| match following_the_last(three_posts(bug)) {
        Ok(Answer::Following { cursor, .. }) => cursor,
        other => panic!("{other:?}"),
    };
    assert_eq!((begins_after(Some(Bug::LastTooMany)), begins_after(None)), (2, 3), "events: the first is that the writer joined");
}

#[test]
fn a_node_that_is_behind_says_that_there_is_no_such_room() {
    let refusal = |bug| {
        let mut scene = Scene::new(bug);
        let behind = scene.follower();
        scene.world.cut = Some(behind);
        scene.world.clients[0].submit(scene.world.now, Command::CreateRoom { name: "den".into() }).unwrap();
        scene.pause(100);
        scene.at(behind);
        scene.ask(Ask::Follow { room: RoomRef::Name("den".into()), from: From::After(0) }).unwrap_err()
    };
    assert!(matches!(refusal(Some(Bug::DenyWhenBehind)), Refusal::UnknownRoom { .. }));
    assert!(matches!(refusal(None), Refusal::NoLeader { .. }));
}

/// The posts that a follower on the test's connection is handed, who reads them at once.
fn handed(scene: &mut Scene, node: NodeId) -> Vec<Seq> {
    let mut posts = Vec::new();
    for _ in 0..10 {
        scene.pause(100);
        let now = scene.world.now;
        for event in std::mem::take(&mut scene.world.slow_events) {
            if let EventKind::Posted(post) = &event.kind {
                posts.push(post.seq);
            }
            scene.world.nodes.get_mut(&node).unwrap().handle_drained(now, MINE, event.cost());
        }
    }
    posts
}

fn follow(scene: &mut Scene, node: NodeId) {
    scene.at(node);
    scene.world.slow = Some(MINE);
    scene.ask(Ask::Follow { room: lobby(), from: From::After(0) }).unwrap();
}

/// Posts by key, from a connection at the leader that is closed again; the follower's stays.
fn post(scene: &mut Scene, text: &str) {
    scene.world.clients[0].submit(scene.world.now, Command::Post { room: lobby(), text: text.into() }).unwrap();
    scene.world.run_until(SOON, |world| world.clients[0].unsettled() == 0);
}

#[test]
fn a_slow_reader_is_not_told_what_it_misses() {
    let read = |bug| {
        let mut scene = Scene::with(bug, |limits| limits.reader_bytes = 500);
        let leader = scene.leader;
        follow(&mut scene, leader);
        for _ in 0..5 {
            post(&mut scene, "what one has to read");
        }
        handed(&mut scene, leader)
    };
    assert!(read(Some(Bug::DropForSlowReader)).len() < 5);
    assert_eq!(read(None), [1, 2, 3, 4, 5]);
}

#[test]
fn what_is_applied_while_the_last_page_is_read_is_missed() {
    let read = |bug| {
        let mut scene = Scene::new(bug);
        let leader = scene.leader;
        post(&mut scene, "one");
        scene.world.slow = Some(MINE);
        // Behind the writer's joining.
        scene.ask_only(1, Ask::Follow { room: lobby(), from: From::After(1) });
        let node = scene.world.nodes.get_mut(&leader).unwrap();
        let load = std::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
            Output::Load { id, query } => Some((id, query)),
            _ => None,
        });
        let (id, query) = load.unwrap();
        let rows = scene.world.disks.get_mut(&leader).unwrap().read(&query);
        post(&mut scene, "two");
        let now = scene.world.now;
        scene.world.nodes.get_mut(&leader).unwrap().handle_loaded(now, id, Ok(rows));
        handed(&mut scene, leader)
    };
    assert_eq!(read(Some(Bug::LiveTooEarly)), [1]);
    assert_eq!(read(None), [1, 2]);
}

#[test]
fn what_a_snapshot_brings_is_not_told_to_who_is_live() {
    let read = |bug| {
        let mut scene = Scene::with_short_logs(bug);
        let away = scene.follower();
        follow(&mut scene, away);
        scene.world.cut = Some(away);
        for nth in 0..150 {
            post(&mut scene, &format!("{nth} {}", "x".repeat(400)));
        }
        scene.world.cut = None;
        scene.world.run_until(SOON, |world| world.reached.contains(&(away, "snapshot.installed")));
        handed(&mut scene, away)
    };
    assert!(read(Some(Bug::LiveOverJump)).len() < 150);
    assert_eq!(read(None), (1..=150).collect::<Vec<_>>());
}

#[test]
fn followers_hear_nothing_after_an_election() {
    let read = |bug| {
        let mut scene = Scene::new(bug);
        let stays = scene.follower();
        follow(&mut scene, stays);
        scene.world.kill(scene.leader);
        scene.pause(2_000);
        post(&mut scene, "hello");
        handed(&mut scene, stays)
    };
    assert_eq!(read(Some(Bug::ForgetFollowers)), []);
    assert_eq!(read(None), [1]);
}
