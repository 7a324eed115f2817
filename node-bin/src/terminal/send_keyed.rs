//! `node send --key`: each message is posted once, however often the command is given.
//!
//! Its identity is the session of the outbox and a key, as an `Idempotency-Key` is over HTTP: a message that was posted before is answered from the cluster's memory, for
//! 24 hours of its time. Lines of standard input have the keys `KEY/1`, `KEY/2` and so on, by their number; they are posted one after the other.

use super::remote::Remote;
use super::send::{all_taken, next_line, posting, tell, tell_accepted, tell_unreadable};
use super::{Failed, advice, enter, lines};
use crate::cli::Send;
use crate::clock;
use std::io::ErrorKind;
use std::time::Duration;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::MessageId;
use tertulia_protocol::replica::Identity;
use tokio::time::{sleep, timeout};
use xxhash_rust::xxh3::xxh3_128;

/// Between two questions whether an accepted message is committed.
const AGAIN: Duration = Duration::from_secs(1);

enum Outcome {
    Settled(Result<Done, Refusal>),
    Accepted { id: MessageId, copies: u32 },
}

pub async fn send(args: &Send, mut remote: Remote, key: &str) -> Result<(), Failed> {
    let sent = send_all(args, &mut remote, key).await;
    remote.end().await;
    let (refused, unreadable) = sent?;
    all_taken(refused, unreadable)
}

/// How many were refused, and how many lines were no text.
async fn send_all(args: &Send, remote: &mut Remote, key: &str) -> Result<(u64, u64), Failed> {
    let room = RoomRef::Id(enter(remote, &args.room, true, Some(args.patience)).await?);
    let (mut refused, mut unreadable) = (0, 0);
    if let Some(text) = &args.text {
        refused += u64::from(!send_one(args, remote, 1, key, posting(args, room, text.clone())).await?);
        return Ok((refused, 0));
    }
    let mut input = Some(lines());
    for line in 1.. {
        match next_line(&mut input).await {
            Ok(Some(text)) if text.trim().is_empty() => {}
            Ok(Some(text)) => {
                let (key, command) = (format!("{key}/{line}"), posting(args, room.clone(), text));
                refused += u64::from(!send_one(args, remote, line, &key, command).await?);
            }
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tell_unreadable(args, line);
                unreadable += 1;
            }
            Err(error) => return Err(format!("cannot read line {line} of standard input: {error}").into()),
        }
    }
    Ok((refused, unreadable))
}

/// False if it was refused.
async fn send_one(args: &Send, remote: &mut Remote, line: u64, key: &str, command: Command) -> Result<bool, Failed> {
    let identity = Identity::Key { key: xxh3_128(key.as_bytes()), stamp: clock::now().wall };
    let ask = Ask::Submit { identity, first_unacked: 0, command };
    match timeout(args.patience, outcome(args, remote, &ask)).await {
        Ok(Ok(Outcome::Settled(result))) => Ok(tell(args, line, result)),
        Ok(Ok(Outcome::Accepted { id, copies })) => {
            tell_accepted(args, line, id, copies);
            Ok(true)
        }
        Ok(Err(failed)) => Err(failed),
        Err(_) => Err(Failed::unconfirmed(format!(
            "message {line} is not confirmed after {}{}: send it again with the same --key and --outbox, it is posted once",
            humantime::format_duration(args.patience),
            remote.failure()
        ))),
    }
}

async fn outcome(args: &Send, remote: &mut Remote, ask: &Ask) -> Result<Outcome, Failed> {
    loop {
        let number = remote.ask(ask.clone()).await;
        let result = loop {
            match remote.next().await? {
                ClientEvent::Rejected(refusal) => return Err(Failed::refused(advice(&refusal, &remote.name))),
                ClientEvent::Answered { ask, result } if Some(ask) == number => break result,
                _ => {}
            }
        };
        match result {
            Ok(Answer::Done(done)) => return Ok(Outcome::Settled(Ok(done))),
            Ok(Answer::Accepted { id, copies }) if args.accepted => return Ok(Outcome::Accepted { id, copies }),
            Ok(_) => sleep(AGAIN).await,
            Err(refusal) => return Ok(Outcome::Settled(Err(refusal))),
        }
    }
}
