//! `node chat`: the last messages, then live ones; each line that is written is posted. A server that dies is a quiet line, nothing more.
//!
//! What is written is kept in a file of the state folder until it is acknowledged: a chat that ends before goes on with it the next time.

use super::remote::Remote;
use super::{enter, harmless, line, lines};
use crate::cli::Chat;
use crate::show;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tertulia_driver::{ClientEvent, Outbox, OutboxError, SubmitError};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::gateway::{EventKind, From};
use tertulia_protocol::ids::RoomId;
use xxhash_rust::xxh3::xxh3_64;

const EARLIER: u32 = 10;

pub async fn chat(args: &Chat) -> Result<(), String> {
    let mut remote = open(args)?;
    let chatting = async {
        let room = enter(&mut remote, &args.room, true, None).await?;
        remote.learn_servers().await;
        remote.follow(RoomRef::Id(room), From::Last(EARLIER)).await;
        show(&format!("-- {}, as {}; write a line and press Enter, end with Ctrl-D", harmless(&args.room), harmless(&args.user)));
        talk(&mut remote, room).await
    };
    let ended = tokio::select! {
        ended = chatting => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    let open = remote.open().await.iter().filter(|(_, command, _)| matches!(command, Command::Post { .. })).count();
    if open > 0 && remote.keeps {
        show(&format!("-- {open} not acknowledged yet: kept, and sent when you chat here again"));
    }
    remote.end().await;
    ended
}

/// With the outbox of this user and these servers, unless another chat has it.
fn open(args: &Chat) -> Result<Remote, String> {
    let servers = &args.servers.urls;
    let Some(folder) = args.state.clone().or_else(state_folder).filter(|_| !args.forget) else {
        return Ok(Remote::new(&args.user, servers));
    };
    match Outbox::open(&folder.join(file_name(&args.user, servers))) {
        Ok(outbox) => Remote::kept(&args.user, servers, outbox),
        Err(OutboxError::InUse { .. }) => {
            show("-- you chat here in another window, too: what this one has not sent at its end is lost");
            Ok(Remote::new(&args.user, servers))
        }
        Err(error) => Err(format!("{error}, or chat with --forget")),
    }
}

/// Where programs keep what is worth more than a cache and less than a document (XDG base directories).
fn state_folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    Some(named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?.join("tertulia"))
}

/// A session belongs to one user of one cluster.
fn file_name(user: &str, servers: &[String]) -> String {
    let mut servers = servers.to_vec();
    servers.sort();
    let shown: String = user.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{shown}-{:016x}.outbox", xxh3_64(format!("{user}\n{}", servers.join("\n")).as_bytes()))
}

async fn talk(remote: &mut Remote, room: RoomId) -> Result<(), String> {
    let mut input = lines();
    let (mut open, mut waiting) = (true, None::<String>);
    let mut written = BTreeMap::new();
    for (number, command, _) in remote.open().await {
        if let Command::Post { text, .. } = command {
            show(&format!("-- from before, being sent: {}", harmless(&text)));
            written.insert(number, text);
        }
    }
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
                ClientEvent::Unclear { number } => {
                    let text = written.remove(&number).unwrap_or_default();
                    show(&format!("-- may have been posted or not, look into the room: {}", harmless(&text)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_of_each_cluster_has_a_file_of_their_own() {
        let name = |user: &str, servers: &[&str]| file_name(user, &servers.iter().map(|url| (*url).into()).collect::<Vec<_>>());
        assert_eq!(name("ana", &["http://a:1", "http://b:1"]), name("ana", &["http://b:1", "http://a:1"]));
        assert_ne!(name("ana", &["http://a:1"]), name("ana", &["http://b:1"]));
        assert_ne!(name("a/na", &["http://a:1"]), name("ana", &["http://a:1"]));
        assert!(name("../../etc", &[]).starts_with("etc-"));
    }
}
