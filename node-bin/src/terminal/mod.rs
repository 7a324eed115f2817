//! The terminal's clients: for people (`chat`), for scripts and pipes (`send`, `tail`), for operators (`status`).

mod chat;
mod harmless;
mod lines;
mod operate;
mod plain;
mod remote;
mod screen;
mod send;
mod send_keyed;
mod status;
mod tail;
mod waiting;

pub use chat::chat;
pub use operate::{add, remove, settings, succession, transfer};
pub use remote::ask_once;
pub use send::send;
pub use status::status;
pub use tail::tail;

use harmless::harmless;
use remote::Remote;
use std::path::Path;
use std::time::Duration;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Done, Post, Refusal, RoomRef, SignIn, bad_letter};
use tertulia_protocol::gateway::{Answer, Ask, How};
use tertulia_protocol::ids::RoomId;
use tertulia_protocol::time::Timestamp;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

/// Why a command did not do what it should, and the exit status that says so.
#[derive(Debug)]
pub struct Failed {
    pub status: u8,
    pub message: String,
}

impl Failed {
    /// The cluster said no.
    pub fn refused(message: impl Into<String>) -> Failed {
        Failed { status: 3, message: message.into() }
    }

    /// It is not known to be done: no server was reached, or no majority.
    pub fn unconfirmed(message: impl Into<String>) -> Failed {
        Failed { status: 4, message: message.into() }
    }
}

/// `1 message`, `7 messages`.
fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn is_post(command: &Command) -> bool {
    matches!(command, Command::Post { .. } | Command::Respond { .. })
}

/// What the cluster says to a sign-in under this name that it refuses, and what to do here about it.
fn advice(refusal: &Refusal, name: &str) -> String {
    let where_to = "`node chat` asks for it, `node send` and `node tail` take it from a file, --password-file FILE";
    let anew = "`node chat --register` makes a new account";
    match refusal {
        Refusal::BadName => match bad_letter(name) {
            Some(letter) => format!("{:?} has {letter:?} where it may not be: {refusal}", name),
            None => refusal.to_string(),
        },
        Refusal::WrongSignIn { wanted: SignIn::Accounts } => format!("this cluster wants a password: {where_to}; {anew}"),
        Refusal::WrongSignIn { wanted: SignIn::Invite } => {
            format!("this cluster wants a password: {where_to}; {anew}, with the code of an invitation: --invite CODE")
        }
        Refusal::WrongPassword => format!("{refusal}: {where_to}; {anew}"),
        Refusal::TooManyDevices { .. } => format!(
            "{refusal}. One that is signed in does that (in the web page: Settings, Devices); \
             an operator may allow more: node settings devices=N --secret-file FILE"
        ),
        _ => refusal.to_string(),
    }
}

/// Waits for Ctrl-C or SIGTERM: what to say, and the exit status that a shell gives to it.
async fn interrupted() -> (&'static str, u8) {
    let caught = |kind| signal(kind).map_err(drop);
    let (Ok(mut interrupt), Ok(mut terminate)) = (caught(SignalKind::interrupt()), caught(SignalKind::terminate())) else {
        // Then they end the process as they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => ("ended by SIGINT", 130),
        _ = terminate.recv() => ("ended by SIGTERM", 143),
    }
}

/// Whatever else: it could not begin, or could not go on.
impl From<String> for Failed {
    fn from(message: String) -> Failed {
        Failed { status: 1, message }
    }
}

type Input = Lines<BufReader<Stdin>>;

/// When nothing has been reached for so long, a person is told why nothing happens.
const TELL_AFTER: Duration = Duration::from_secs(3);

const UNCLEAR: &str = "a message of an earlier run may have been posted or not: the outbox is an older copy. Look into the room";

/// A room as users write it: its id, or its name. A name is never all digits.
fn room_ref(text: &str) -> RoomRef {
    match text.parse() {
        Ok(id) if text.bytes().all(|byte| byte.is_ascii_digit()) => RoomRef::Id(RoomId(id)),
        _ => RoomRef::Name(text.into()),
    }
}

fn entering(room: RoomRef, make: bool) -> Command {
    match room {
        RoomRef::Name(name) if make => Command::CreateRoom { name },
        room => Command::Join { room },
    }
}

/// Enters a room. With `make` a room of that name is made if there is none. Who is in it already needs no leader for that.
async fn enter(remote: &mut Remote, room: &str, make: bool, patience: Option<Duration>) -> Result<RoomId, Failed> {
    let asked = remote.ask(Ask::Room { room: room_ref(room) }).await;
    let mut number = None;
    let entered = async {
        let (mut silent, tell_at) = (true, Instant::now() + TELL_AFTER);
        loop {
            let event = tokio::select! {
                biased;
                () = sleep_until(tell_at), if silent => {
                    silent = false;
                    eprintln!("no answer yet{}; still trying {}", remote.failure(), remote.servers().join(", "));
                    continue;
                }
                event = remote.next() => event?,
            };
            match event {
                ClientEvent::Rejected(refusal) => return Err(Failed::refused(advice(&refusal, &remote.name))),
                ClientEvent::Answered { ask, result } if Some(ask) == asked => match result {
                    Ok(Answer::Room(view)) if view.member => return Ok(view.id),
                    _ => number = Some(remote.submit(entering(room_ref(room), make)).await.map_err(|error| error.to_string())?),
                },
                ClientEvent::Settled { number: settled, result } if Some(settled) == number => {
                    return match result {
                        Ok(Done::Room { room, .. } | Done::Joined { room, .. }) => Ok(room),
                        Ok(_) => Err("the node answered another question: please report this".to_owned().into()),
                        Err(refusal) => Err(Failed::refused(refusal.to_string())),
                    };
                }
                ClientEvent::Settled { result: Err(refusal), .. } => {
                    eprintln!("a message of an earlier run was refused: {refusal}")
                }
                ClientEvent::Unclear { .. } => eprintln!("{UNCLEAR}"),
                _ => {}
            }
        }
    };
    match patience {
        None => entered.await,
        Some(patience) => match timeout(patience, entered).await {
            Ok(entered) => entered,
            Err(_) => {
                let patience = humantime::format_duration(patience);
                Err(Failed::unconfirmed(format!("no server let us in within {patience}{}: check --server", remote.failure())))
            }
        },
    }
}

/// How a script signs in: with the password in a file, or with a name alone.
fn by_file(file: Option<&Path>) -> Result<How, String> {
    let Some(file) = file else { return Ok(How::Name) };
    let cannot = |error| format!("cannot read the password from {}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(cannot)?;
    Ok(How::LogIn { password: Password(text.lines().next().unwrap_or_default().to_owned()) })
}

/// Lines of standard input; at a byte that is no UTF-8 they end with an error.
fn lines() -> Lines<BufReader<Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}

/// A message for people: `12:03 ana: hello`. The time is when it was written, as far as that is known.
fn line(post: &Post) -> String {
    line_of(post.more.written.unwrap_or(post.at), &post.author_name, &post.text)
}

fn line_of(at: Timestamp, author: &str, text: &str) -> String {
    let at = crate::rfc3339::format(at);
    let text = text.lines().map(harmless).collect::<Vec<_>>().join("\n      ");
    format!("{} {}: {text}", at.get(11..16).unwrap_or(&at), harmless(author))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_its_id_or_its_name() {
        assert_eq!(room_ref("7"), RoomRef::Id(RoomId(7)));
        assert_eq!(room_ref("+7"), RoomRef::Name("+7".into()));
        assert_eq!(room_ref("lobby"), RoomRef::Name("lobby".into()));
    }
}
