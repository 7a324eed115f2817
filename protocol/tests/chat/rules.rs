//! What holds of every chat, whatever was asked, as far as users can see it.

use super::stage::Stage;
use std::collections::BTreeMap;
use tertulia_protocol::chat::*;
use tertulia_protocol::gateway::EventKind;
use tertulia_protocol::ids::*;
use tertulia_protocol::time::Timestamp;

/// Every room that anybody may know of, with somebody who may.
fn rooms(stage: &Stage) -> BTreeMap<RoomId, (UserId, RoomView)> {
    let mut rooms = BTreeMap::new();
    for user in 1..=64 {
        let rooms_of = stage.chat().rooms(UserId(user)).into_iter();
        for room in rooms_of.filter(|room| stage.chat().may_look_into(room.id, UserId(user))) {
            rooms.entry(room.id).or_insert((UserId(user), room));
        }
    }
    rooms
}

pub fn hold(stage: &Stage) {
    let chat = stage.chat();
    for (id, (_, room)) in rooms(stage) {
        let members = chat.members(id, UserId(0), u32::MAX);
        assert_eq!(members.len() as u32, room.members);
        let owners = members.iter().filter(|member| member.role == MemberRole::Owner).count();
        match room.kind {
            RoomKind::Direct => {
                let gone = room.with.is_some_and(|with| chat.user_view(with).deleted);
                assert!(members.len() == 2 || gone && members.len() == 1, "a direct room has two members: {members:?}");
                assert_eq!(owners, 0);
            }
            RoomKind::Public => assert!(owners > 0 || members.is_empty() || stage.old, "a room with members has an owner"),
            _ => assert!(owners > 0, "a room with members has an owner"),
        }
        for member in &members {
            assert!(member.read <= room.last, "nobody has read further than the room goes");
            let view = chat.room_view(id, member.user.id).unwrap();
            assert!(view.member && view.unread <= room.last && u64::from(view.mentions) <= view.unread, "{view:?}");
        }
    }
    for user in (1..=64).map(UserId) {
        let me = chat.me(user, SessionId(0));
        for (friend, friendship) in &me.friends {
            let theirs = chat.me(friend.id, SessionId(0)).friends;
            let theirs = theirs.iter().find(|(view, _)| view.id == user).map(|(_, friendship)| *friendship);
            let wanted = match friendship {
                Friendship::Requested => Friendship::Asked,
                Friendship::Asked => Friendship::Requested,
                other => *other,
            };
            assert_eq!(theirs, Some(wanted), "two users say the same of their friendship");
        }
    }
    places(stage);
}

/// Events and messages of a room are dense, and their stamps never decrease.
fn places(stage: &Stage) {
    let mut ends: BTreeMap<RoomId, (Cursor, Seq, Timestamp)> = BTreeMap::new();
    for event in &stage.events {
        let ChatEvent::Room { event, .. } = event else { continue };
        let (cursor, seq, at) = ends.entry(event.room).or_insert((event.cursor - 1, 0, Timestamp(0)));
        assert_eq!(event.cursor, *cursor + 1, "a room's events are dense");
        *cursor = event.cursor;
        let stamp = match &event.kind {
            EventKind::Posted(post) => {
                assert!(*seq == 0 || post.seq == *seq + 1, "a room's messages are dense");
                *seq = post.seq;
                post.at
            }
            EventKind::Changed(changed) => changed.at,
            other => panic!("the chat does not tell {other:?}"),
        };
        assert!(stamp >= *at, "stamps never decrease");
        *at = stamp;
    }
}
