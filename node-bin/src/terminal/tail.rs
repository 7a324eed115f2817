//! `node tail`: a room's messages, line by line, for ever.

use super::remote::Remote;
use super::waiting::tentative;
use super::{by_file, enter, harmless, line};
use crate::cli::Tail;
use crate::{rfc3339, show};
use serde_json::json;
use std::collections::BTreeSet;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::{Post, RoomRef};
use tertulia_protocol::gateway::{EventKind, From, TentativePost};
use tertulia_protocol::ids::RoomId;

pub async fn tail(args: &Tail) -> Result<(), String> {
    let mut remote = Remote::signing_in(&args.name, by_file(args.password_file.as_deref())?, &args.servers.urls);
    let following = async {
        let room = enter(&mut remote, &args.room, false, None).await?;
        remote.learn_servers().await;
        remote.follow(RoomRef::Id(room), From::Last(args.last)).await;
        // Each is printed once as it waits, and once when it has its place.
        let mut shown = BTreeSet::new();
        loop {
            match remote.next().await? {
                ClientEvent::Deliver(event) => {
                    if let EventKind::Posted(post) = &event.kind {
                        shown.remove(&post.id);
                        show(&if args.json { json_line(event.room, post) } else { line(post) });
                    }
                }
                ClientEvent::Tail { room, posts } if args.tentative => {
                    let fresh = posts.into_iter().filter(|post| shown.insert(post.id)).collect::<Vec<_>>();
                    for post in fresh {
                        show(&if args.json { json_tentative(room, &post) } else { tentative(&post) });
                    }
                }
                ClientEvent::Withdrawn { room, post, refusal } if args.tentative => show(&match args.json {
                    true => json!({"room": room, "id": post.id.to_string(), "state": "refused", "why": refusal.to_string()})
                        .to_string(),
                    false => format!("~ not posted: {refusal} ({}: {})", harmless(&post.author_name), harmless(&post.text)),
                }),
                ClientEvent::Unfollowed { refusal, .. } | ClientEvent::Rejected(refusal) => return Err(refusal.to_string()),
                _ => {}
            }
        }
    };
    tokio::select! {
        ended = following => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// The same shape as over HTTP, and the room.
fn json_line(room: RoomId, post: &Post) -> String {
    let mut line = json!({
        "room": room,
        "seq": post.seq,
        "id": post.id.to_string(),
        "author": post.author_name,
        "text": post.text,
        "at": rfc3339::format(post.at),
    });
    if let Some(written) = post.more.written {
        line["written_at"] = json!(rfc3339::format(written));
    }
    line.to_string()
}

/// A message without a place: no `seq` and no `at`.
fn json_tentative(room: RoomId, post: &TentativePost) -> String {
    json!({
        "room": room,
        "id": post.id.to_string(),
        "author": post.author_name,
        "text": post.text,
        "written_at": rfc3339::format(post.written_at),
        "copies": post.copies,
        "state": "tentative",
    })
    .to_string()
}
