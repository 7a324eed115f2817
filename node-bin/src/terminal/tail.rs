//! `node tail`: a room's messages, line by line, for ever.

use super::remote::Remote;
use super::{by_file, enter, line};
use crate::cli::Tail;
use crate::{rfc3339, show};
use serde_json::json;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::{Post, RoomRef};
use tertulia_protocol::gateway::{EventKind, From};
use tertulia_protocol::ids::RoomId;

pub async fn tail(args: &Tail) -> Result<(), String> {
    let mut remote = Remote::signing_in(&args.name, by_file(args.password_file.as_deref())?, &args.servers.urls);
    let following = async {
        let room = enter(&mut remote, &args.room, false, None).await?;
        remote.learn_servers().await;
        remote.follow(RoomRef::Id(room), From::Last(args.last)).await;
        loop {
            match remote.next().await? {
                ClientEvent::Deliver(event) => {
                    if let EventKind::Posted(post) = &event.kind {
                        show(&if args.json { json_line(event.room, post) } else { line(post) });
                    }
                }
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
    json!({
        "room": room,
        "seq": post.seq,
        "id": post.id.to_string(),
        "author": post.author_name,
        "text": post.text,
        "at": rfc3339::format(post.at),
    })
    .to_string()
}
