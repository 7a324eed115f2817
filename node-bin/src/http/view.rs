//! What users, rooms, messages and events look like as JSON: each in one place, for all routes and the stream.
//!
//! What is empty or false is left out of messages and events, so that a reader who knows only the old fields goes on. Numbers are ids and places, times are RFC 3339.

use super::Problem;
use crate::rfc3339;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tertulia_protocol::chat::{
    Change, Changed, DeviceView, Done, Me, MemberView, Notice, Post, Reaction, RoomView, Settings, UserView,
};
use tertulia_protocol::gateway::{Event, EventKind, Found, TentativePost};
use tertulia_protocol::ids::{Cursor, MessageId, RoomId};
use tertulia_protocol::time::Timestamp;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// For good is no time that a calendar has.
fn until(at: Timestamp) -> Value {
    if at.0 == u64::MAX { json!("forever") } else { json!(rfc3339::format(at)) }
}

pub fn message(post: &Post) -> Value {
    let mut fields = object(json!({
        "seq": post.seq,
        "id": post.id.to_string(),
        "author": post.author_name,
        "author_id": post.author,
        "text": post.text,
        "at": rfc3339::format(post.at),
    }));
    let more = &post.more;
    let mut add = |name: &str, there: bool, value: Value| {
        if there {
            fields.insert(name.into(), value);
        }
    };
    add("reply_to", more.reply_to.is_some(), json!(more.reply_to));
    add("thread", more.thread.is_some(), json!(more.thread));
    add("replies", more.replies > 0, json!(more.replies));
    add("written_at", more.written.is_some(), json!(more.written.map(rfc3339::format)));
    add("edited", more.edited.is_some(), json!(more.edited.map(rfc3339::format)));
    let deleted = more.deleted.map(|deleted| json!({"by": deleted.by, "at": rfc3339::format(deleted.at)}));
    add("deleted", deleted.is_some(), json!(deleted));
    add("pinned", more.pinned, json!(true));
    add("mentions", !more.mentions.is_empty(), json!(more.mentions));
    add("reactions", !more.reactions.is_empty(), more.reactions.iter().map(reaction).collect());
    Value::Object(fields)
}

/// A message without a place. `order` sorts as text: the messages of a room stand by it, behind the committed ones.
pub fn tentative(post: &TentativePost) -> Value {
    let (at, outbox, n) = post.order;
    let mut fields = object(json!({
        "id": post.id.to_string(),
        "author": post.author_name,
        "author_id": post.author,
        "text": post.text,
        "written_at": rfc3339::format(post.written_at),
        "copies": post.copies,
        "order": format!("{:016x}-{:016x}-{:016x}-{n:016x}", at.0, outbox.node.0, outbox.boot.0),
    }));
    if let Some(to) = post.reply_to {
        fields.insert("reply_to".into(), json!(to));
    }
    Value::Object(fields)
}

/// A node without a leader has it, and so do others, `copies` in all. `id`: a message's.
pub fn accepted(id: Option<MessageId>, copies: u32) -> Value {
    let mut fields = object(json!({"state": "accepted", "copies": copies}));
    if let Some(id) = id {
        fields.insert("id".into(), json!(id.to_string()));
    }
    Value::Object(fields)
}

fn reaction(reaction: &Reaction) -> Value {
    json!({"emoji": reaction.emoji, "users": reaction.users})
}

/// A message of a list that is of several rooms.
pub fn message_in((room, post): &(RoomId, Post)) -> Value {
    let mut fields = object(message(post));
    fields.insert("room".into(), json!(room));
    Value::Object(fields)
}

pub fn messages(posts: &[Post]) -> Vec<Value> {
    posts.iter().map(message).collect()
}

pub fn room(room: &RoomView) -> Value {
    json!({
        "id": room.id,
        "name": room.name,
        "kind": room.kind,
        "topic": room.topic,
        "archived": room.archived,
        "member": room.member,
        "members": room.members,
        "role": room.member.then_some(room.role),
        "invited": room.invited,
        "with": room.with,
        "last": room.last,
        "first": room.first,
        "cursor": room.cursor,
        "read": room.read,
        "unread": room.unread,
        "mentions": room.mentions,
        "pins": room.pins,
        "rules": room.rules,
    })
}

/// `shown` is what people see; where somebody else is shown in the same way (`ambiguous`), show the id as well.
pub fn user(user: &UserView) -> Value {
    json!({
        "id": user.id,
        "name": user.name,
        "shown": user.shown,
        "ambiguous": user.ambiguous,
        "deleted": user.deleted,
        "online": user.online,
    })
}

pub fn member(member: &MemberView) -> Value {
    let mut fields = object(user(&member.user));
    fields.insert("role".into(), json!(member.role));
    fields.insert("read".into(), json!(member.read));
    if let Some(at) = member.muted_until {
        fields.insert("muted_until".into(), until(at));
    }
    Value::Object(fields)
}

pub fn device(device: &DeviceView) -> Value {
    let (opened, seen) = (rfc3339::format(device.opened), rfc3339::format(device.seen));
    json!({"session": device.session, "name": device.name, "opened": opened, "seen": seen})
}

pub fn devices(me: &Me) -> Vec<Value> {
    let mark = |known: &DeviceView| {
        let mut fields = object(device(known));
        fields.insert("current".into(), json!(known.session == me.session));
        Value::Object(fields)
    };
    me.devices.iter().map(mark).collect()
}

pub fn friends(me: &Me) -> Vec<Value> {
    let friend = |(view, friendship): &(UserView, _)| {
        let mut fields = object(user(view));
        fields.insert("friendship".into(), json!(friendship));
        Value::Object(fields)
    };
    me.friends.iter().map(friend).collect()
}

pub fn me(me: &Me) -> Value {
    let invitations = me.invitations.iter().map(|(room, name, by)| json!({"room": room, "name": name, "by": by}));
    json!({
        "user": user(&me.user),
        "session": me.session,
        "admin": me.admin,
        "has_password": me.has_password,
        "devices": devices(me),
        "friends": friends(me),
        "blocked": me.blocked.iter().map(user).collect::<Vec<_>>(),
        "invitations": invitations.collect::<Vec<_>>(),
    })
}

pub fn settings(settings: &Settings) -> Value {
    json!(settings)
}

/// Where a search goes on, in one word.
pub fn place(found: Found) -> String {
    format!("{}.{}.{}", found.at.0, found.room.0, found.seq)
}

/// The place that [`place`] wrote.
pub fn read_place(text: &str) -> Option<Found> {
    let mut parts = text.split('.').map(str::parse);
    let (Some(Ok(at)), Some(Ok(room)), Some(Ok(seq)), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    Some(Found { at: Timestamp(at), room: RoomId(room), seq })
}

/// What became of a command, as far as its route says nothing of its own.
pub fn done(done: &Done) -> Value {
    match done {
        Done::Room { room, name, .. } => json!({"id": room, "name": name}),
        Done::Joined { room, name, last, .. } => json!({"id": room, "name": name, "member": true, "last": last}),
        Done::Left { room } => json!({"id": room, "member": false}),
        Done::Posted { room, seq, id, at } => {
            let at = rfc3339::format(*at);
            json!({"id": id.to_string(), "seq": seq, "at": at, "state": "committed", "room": room})
        }
        Done::Changed { room, cursor } => json!({"room": room, "cursor": cursor}),
        Done::Read { room, unread } => json!({"room": room, "unread": unread}),
        Done::Friend { user, friendship } => json!({"user": user, "friendship": friendship}),
        Done::Ok => json!({}),
    }
}

/// A frame of the stream.
pub fn event(event: &Event) -> Value {
    let (kind, what) = match &event.kind {
        EventKind::Posted(post) => ("message", json!({"message": message(post)})),
        EventKind::Changed(change) => changed(change),
        EventKind::Skipped { from } => ("skipped", json!({"from": from})),
        // Of this moment: without a place.
        EventKind::Typing { user, name } => {
            return json!({"type": "typing", "room": event.room, "user": user, "user_name": name});
        }
        EventKind::Presence { user, online } => {
            let mut fields = object(json!({"type": "presence", "user": user, "online": online}));
            if event.room != RoomId(0) {
                fields.insert("room".into(), json!(event.room));
            }
            return Value::Object(fields);
        }
        EventKind::Notice(told) => return notice(told),
        // Of messages without a place, so they have none either.
        EventKind::Tentative(post) => return json!({"type": "tentative", "room": event.room, "message": tentative(post)}),
        EventKind::Withdrawn { id, refusal } => {
            let why = Problem::from((**refusal).clone()).body();
            return json!({"type": "withdrawn", "room": event.room, "id": id.to_string(), "why": why});
        }
        EventKind::Tail(posts) => {
            let messages: Vec<Value> = posts.iter().map(tentative).collect();
            return json!({"type": "tail", "room": event.room, "messages": messages});
        }
    };
    let mut fields = object(json!({"type": kind, "room": event.room, "cursor": event.cursor}));
    fields.extend(object(what));
    Value::Object(fields)
}

fn changed(changed: &Changed) -> (&'static str, Value) {
    let (kind, what) = match &changed.change {
        Change::Edited { seq } => ("edited", json!({"seq": seq})),
        Change::Deleted { seq } => ("deleted", json!({"seq": seq})),
        Change::Reacted { seq, emoji, on } => ("reacted", json!({"seq": seq, "emoji": emoji, "on": on})),
        Change::Pinned { seq, on } => ("pinned", json!({"seq": seq, "on": on})),
        Change::Joined { .. } => ("joined", json!({})),
        Change::Left { .. } => ("left", json!({})),
        Change::Kicked { .. } => ("kicked", json!({})),
        Change::Banned { on, .. } => ("banned", json!({"on": on})),
        Change::Muted { until: at, .. } => ("muted", json!({"until": at.map(until)})),
        Change::Role { role, .. } => ("role", json!({"role": role})),
        Change::Topic { topic } => ("topic", json!({"topic": topic})),
        Change::Renamed { name } => ("renamed", json!({"name": name})),
        Change::Archived { on } => ("archived", json!({"on": on})),
        Change::Rules { rules } => ("rules", json!({"rules": rules})),
    };
    let mut fields = object(what);
    fields.insert("at".into(), json!(rfc3339::format(changed.at)));
    fields.insert("by".into(), json!(changed.by));
    fields.insert("by_name".into(), json!(changed.by_name));
    if let Some(user) = changed.change.user() {
        fields.insert("user".into(), json!(user));
        fields.insert("user_name".into(), json!(changed.user_name));
    }
    if let Some(post) = &changed.post {
        fields.insert("message".into(), message(post));
    }
    (kind, Value::Object(fields))
}

fn notice(notice: &Notice) -> Value {
    match notice {
        Notice::Friendship { other, name, friendship } => {
            json!({"type": "notice", "notice": "friendship", "user": other, "user_name": name, "friendship": friendship})
        }
        Notice::Invited { room, name, by } => {
            json!({"type": "notice", "notice": "invited", "room": room, "name": name, "by": by})
        }
        Notice::Read { room, seq, unread } => {
            json!({"type": "notice", "notice": "read", "room": room, "seq": seq, "unread": unread})
        }
        Notice::Mentioned { room, seq, by } => {
            json!({"type": "notice", "notice": "mentioned", "room": room, "seq": seq, "by": by})
        }
    }
}

/// The stream's first frame.
pub fn following(cursors: &[(RoomId, Cursor)]) -> Value {
    let cursors: BTreeMap<String, Cursor> = cursors.iter().map(|(room, cursor)| (room.0.to_string(), *cursor)).collect();
    json!({"type": "following", "cursors": cursors})
}

/// A place in a room, and what stands there.
pub fn page(room: RoomId, posts: &[Post]) -> Value {
    json!({"room": room, "messages": messages(posts)})
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::{Deleted, More, Refusal};
    use tertulia_protocol::ids::{Boot, NodeId, OutboxId, UserId};

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
}
