//! Shapes that readers count on.

use super::*;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Change, Changed, Deleted, More, Post, Reaction, Refusal};
use tertulia_protocol::gateway::{Event, EventKind, Found, TentativePost};
use tertulia_protocol::ids::{Boot, MessageId, NodeId, OutboxId, RoomId, UserId};

fn message(post: &Post) -> Value {
    json!(super::message(post))
}

fn tentative(post: &TentativePost) -> Value {
    json!(super::tentative(post))
}

fn post(more: More) -> Post {
    let (author, author_name, at) = (UserId(3), "ana".into(), Timestamp(1_500_000));
    Post { seq: 7, id: MessageId(1), author, author_name, text: "hello".into(), at, more }
}

#[test]
fn a_plain_message_has_no_empty_fields() {
    let plain = message(&post(More::default()));
    let names: Vec<&String> = plain.as_object().unwrap().keys().collect();
    assert_eq!(names, ["at", "author", "author_id", "id", "seq", "text"]);
    let deleted = Some(Deleted { by: UserId(4), at: Timestamp(2_000_000) });
    let reactions = vec![Reaction { emoji: "👍".into(), users: vec![UserId(3)] }];
    let more = More { reply_to: Some(2), thread: Some(1), replies: 0, deleted, pinned: true, reactions, ..More::default() };
    let full = message(&post(more));
    assert_eq!(full["reply_to"], 2);
    assert_eq!(full["deleted"], json!({"by": 4, "at": "1970-01-01T00:00:02.000Z"}));
    assert_eq!(full["reactions"], json!([{"emoji": "👍", "users": [3]}]));
    assert!(full.get("replies").is_none() && full.get("edited").is_none());
}

#[test]
fn a_change_tells_who_did_what_to_whom() {
    let change = Change::Muted { user: UserId(5), until: Some(Timestamp(u64::MAX)) };
    let (by, by_name) = (UserId(3), "ana".into());
    let changed = Changed { at: Timestamp(0), by, by_name, change, post: None, user_name: "ben".into() };
    let told = event(&Event { room: RoomId(1), cursor: 9, kind: EventKind::Changed(Box::new(changed)) });
    assert_eq!(
        told,
        json!({"type": "muted", "room": 1, "cursor": 9, "at": "1970-01-01T00:00:00.000Z", "by": 3, "by_name": "ana", "user": 5, "user_name": "ben", "until": "forever"})
    );
    let typing = Event { room: RoomId(1), cursor: 0, kind: EventKind::Typing { user: UserId(3), name: "ana".into() } };
    assert!(event(&typing).get("cursor").is_none());
}

fn waiting(at: u64, node: u64, boot: u64, n: u64) -> TentativePost {
    let order = (Timestamp(at), OutboxId { node: NodeId(node), boot: Boot(boot) }, n);
    let (author, author_name, text) = (UserId(3), "ana".into(), "hello".into());
    TentativePost { id: MessageId(7), author, author_name, text, reply_to: None, written_at: Timestamp(at), order, copies: 2 }
}

#[test]
fn the_order_of_tentative_messages_sorts_as_text() {
    let numbers = [1, 9, 10, 0xabc, u64::MAX];
    let mut posts = Vec::new();
    for at in numbers {
        posts.extend(numbers.iter().map(|node| waiting(at, *node, 5, 5)));
        posts.extend(numbers.iter().map(|boot| waiting(at, 5, *boot, 5)));
        posts.extend(numbers.iter().map(|n| waiting(at, 5, 5, *n)));
    }
    let text = |post: &TentativePost| tentative(post)["order"].as_str().unwrap().to_owned();
    for a in &posts {
        assert!(posts.iter().all(|b| a.order.cmp(&b.order) == text(a).cmp(&text(b))));
    }
}

#[test]
fn what_has_no_place_yet_is_told_without_one() {
    let told = |kind| event(&Event { room: RoomId(1), cursor: 0, kind });
    let message = tentative(&waiting(1_500_000, 2, 3, 4));
    assert_eq!((&message["written_at"], &message["copies"]), (&json!("1970-01-01T00:00:01.500Z"), &json!(2)));
    assert!(message.get("seq").is_none() && message.get("reply_to").is_none());
    let post = || waiting(1_500_000, 2, 3, 4);
    assert_eq!(told(EventKind::Tentative(Box::new(post()))), json!({"type": "tentative", "room": 1, "message": message}));
    assert_eq!(told(EventKind::Tail([post()].into())), json!({"type": "tail", "room": 1, "messages": [message]}));
    let withdrawn = told(EventKind::Withdrawn { id: MessageId(7), refusal: Box::new(Refusal::LoggedOut) });
    assert_eq!((&withdrawn["type"], &withdrawn["why"]["type"]), (&json!("withdrawn"), &json!("urn:tertulia:logged-out")));
    assert_eq!(withdrawn["id"], message["id"]);
}

#[test]
fn a_place_among_the_found_is_read_as_it_was_written() {
    let found = Found { at: Timestamp(17), room: RoomId(2), seq: 9 };
    assert_eq!(read_place(&place(found)), Some(found));
    for bad in ["", "1.2", "1.2.3.4", "a.b.c"] {
        assert_eq!(read_place(bad), None, "{bad}");
    }
}
