//! The bounds of a room's tail, and that a client is a value: a copy of it does the same.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client_scene;

use client_scene::tentative::post;
use client_scene::{Scene, requests};
use std::sync::Arc;
use tertulia_protocol::client::{Client, Output};
use tertulia_protocol::gateway::{Answer, Event, EventKind, TentativePost};
use tertulia_protocol::ids::{MessageId, RoomId};

const ROOM: RoomId = RoomId(1);

fn following() -> Scene {
    let mut scene = Scene::new();
    scene.sign_in(1);
    let ask = requests(&scene.follow(1, 0)).remove(0);
    scene.reply(ask.id, Ok(Answer::Following { room: ROOM, cursor: 0 }));
    scene
}

fn told(client: &mut Client, scene: &Scene, kind: EventKind) -> Vec<Output> {
    client.handle_event(scene.now, Arc::new(Event { room: ROOM, cursor: 0, kind }));
    std::iter::from_fn(|| client.poll_output()).collect()
}

fn tentative(post: TentativePost) -> EventKind {
    EventKind::Tentative(Box::new(post))
}

#[test]
fn a_tail_holds_the_oldest_two_thousand() {
    let mut scene = following();
    let mut client = scene.client.clone();
    for nth in 1..=2_000 {
        assert_eq!(told(&mut client, &scene, tentative(post(nth.into(), nth + 10))), [Output::Tail { room: ROOM }]);
    }
    assert!(told(&mut client, &scene, tentative(post(2_001, 3_000))).is_empty(), "newer than all that are shown");
    // An older one comes late: the newest gives way.
    assert_eq!(told(&mut client, &scene, tentative(post(2_002, 1))), [Output::Tail { room: ROOM }]);
    let ids: Vec<u128> = client.tail(ROOM).map(|post| post.id.0).collect();
    assert_eq!((ids.len(), ids[0], ids[1_999]), (2_000, 2_002, 1_999));
    // One is committed: there is room.
    scene.client = client;
    assert!(matches!(&scene.event(1, 1)[..], [Output::Deliver(_), Output::Tail { .. }]));
    assert_eq!(scene.client.tail(ROOM).count(), 1_999);
    scene.hint(1, tentative(post(2_001, 3_000)));
    assert_eq!(scene.client.tail(ROOM).last().unwrap().id, MessageId(2_001));
    // A node tells of more than that at once.
    let all: Box<[TentativePost]> = (3_000..6_000).rev().map(|nth| post(u128::from(nth), nth)).collect();
    assert_eq!(scene.hint(1, EventKind::Tail(all)), [Output::Tail { room: ROOM }]);
    let ids: Vec<u128> = scene.client.tail(ROOM).map(|post| post.id.0).collect();
    assert_eq!((ids.len(), ids[0], ids[1_999]), (2_000, 3_000, 4_999));
}

#[test]
fn a_copy_of_a_client_does_the_same() {
    let mut scene = following();
    let request = requests(&scene.submit("one").1).remove(0);
    scene.reply(request.id, Ok(Answer::Accepted { id: MessageId(5), copies: 1 }));
    for id in [7, 5, 6] {
        scene.hint(1, tentative(post(id, id as u64)));
    }
    let copy = scene.client.clone();
    // A gap, then the next connection: draws and all.
    let mut lives = Vec::new();
    for client in [scene.client.clone(), copy.clone()] {
        scene.client = client;
        let mut outputs = scene.event(1, 2);
        outputs.extend(scene.disconnected());
        let at = scene.client.poll_timeout();
        outputs.extend(scene.sign_in(1));
        lives.push((at.is_some(), outputs, scene.tail(1)));
    }
    assert_eq!(lives[0], lives[1]);
    assert_eq!(copy.tail(ROOM).count(), 3, "what the one does, the other does not see");
}
