//! `node chat`: the last messages, then live ones; each line that is written is posted. A server that dies is a quiet line, nothing more.

use super::remote::Remote;
use super::{enter, harmless, line, lines};
use crate::cli::Chat;
use crate::show;
use std::collections::BTreeMap;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::gateway::{EventKind, From};
use tertulia_protocol::ids::RoomId;

const EARLIER: u32 = 10;

pub async fn chat(args: &Chat) -> Result<(), String> {
    let mut remote = Remote::new(&args.user, &args.servers.urls);
    let chatting = async {
        let room = enter(&mut remote, &args.room, true, None).await?;
        remote.follow(RoomRef::Id(room), From::Last(EARLIER)).await;
        show(&format!("-- {}, as {}; write a line and press Enter, end with Ctrl-D", harmless(&args.room), harmless(&args.user)));
        talk(&mut remote, room).await
    };
    tokio::select! {
        ended = chatting => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn talk(remote: &mut Remote, room: RoomId) -> Result<(), String> {
    let mut input = lines();
    let (mut open, mut waiting) = (true, None::<String>);
    let mut written = BTreeMap::new();
    loop {
        if let Some(text) = waiting.take() {
            match remote.submit(Command::Post { room: RoomRef::Id(room), text: text.clone() }).await {
                Ok(number) => drop(written.insert(number, text)),
                Err(SubmitError::WindowFull) => waiting = Some(text),
                Err(error) => return Err(error.to_string()),
            }
        }
        if !open && waiting.is_none() && written.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            event = remote.next() => match event? {
                ClientEvent::Deliver(event) => {
                    if let EventKind::Posted(post) = &event.kind {
                        show(&line(post));
                    }
                }
                ClientEvent::SignedIn { server, .. } => show(&format!("-- now on {}", remote.server(server))),
                ClientEvent::Settled { number, result } => {
                    let text = written.remove(&number).unwrap_or_default();
                    if let Err(refusal) = result {
                        show(&format!("-- not posted: {refusal} ({})", harmless(&text)));
                    }
                }
                ClientEvent::Unfollowed { refusal, .. } | ClientEvent::Rejected(refusal) => return Err(refusal.to_string()),
                _ => {}
            },
            read = input.next_line(), if open && waiting.is_none() => match read {
                Ok(Some(text)) if text.trim().is_empty() => {}
                Ok(Some(text)) => waiting = Some(text),
                Ok(None) => open = false,
                Err(error) => return Err(format!("cannot read what you write: {error}")),
            },
        }
    }
}
