//! `node chat`: the last messages, then live ones; each line that is written is posted. A server that dies is a quiet line, nothing more.
//!
//! What is written is kept in a file of the state folder until it is acknowledged: a chat that ends before goes on with it the next time.

use super::lines::{HELP, Said, said, told, who};
use super::remote::{Remote, ask_once};
use super::waiting::Waiting;
use super::{enter, harmless, lines};
use crate::cli::Chat;
use crate::show;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, IsTerminal};
use std::path::PathBuf;
use tertulia_driver::{ClientEvent, Outbox, OutboxError, SubmitError};
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, RoomRef, Settings, SignIn};
use tertulia_protocol::gateway::{Answer, Ask, EventKind, From, How};
use tertulia_protocol::ids::{MessageId, RoomId, UserId};
use tokio::io::{BufReader, Lines, Stdin};
use xxhash_rust::xxh3::xxh3_64;

const EARLIER: u32 = 10;
/// Members that /who names.
const MEMBERS: u32 = 100;

type Input = Lines<BufReader<Stdin>>;

pub async fn chat(args: &Chat) -> Result<(), String> {
    let mut input = lines();
    let mut remote = open(args, &mut input).await?;
    let chatting = async {
        let room = enter(&mut remote, &args.room, true, None).await?;
        remote.learn_servers().await;
        remote.follow(RoomRef::Id(room), From::Last(EARLIER)).await;
        let (room_name, user) = (harmless(&args.room), harmless(&args.user));
        show(&format!("-- {room_name}, as {user}; write a line and press Enter, end with Ctrl-D; /help for more"));
        talk(&mut remote, room, &mut input).await
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

/// With the outbox of this user and these servers, unless another chat has it. A session that goes on needs no password.
async fn open(args: &Chat, input: &mut Input) -> Result<Remote, String> {
    let servers = &args.servers.urls;
    let folder = args.state.clone().or_else(state_folder).filter(|_| !args.forget);
    let outbox = match folder.map(|folder| Outbox::open(&folder.join(file_name(&args.user, servers)))) {
        None => None,
        Some(Ok(outbox)) => Some(outbox),
        Some(Err(OutboxError::InUse { .. })) => {
            show("-- you chat here in another window, too: what this one has not sent at its end is lost");
            None
        }
        Some(Err(error)) => return Err(format!("{error}, or chat with --forget")),
    };
    let goes_on = outbox.as_ref().is_some_and(|outbox| !outbox.records().is_empty());
    let with_password = args.password_stdin || args.register;
    let how = if goes_on && !with_password { How::Name } else { how(args, input).await? };
    // Whoever gives a password wants it looked at, which a session that is open does not do.
    let outbox = outbox.filter(|_| !(goes_on && with_password));
    match outbox {
        Some(outbox) => Remote::kept(&args.user, how, servers, outbox),
        None => Ok(Remote::signing_in(&args.user, how, servers)),
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

/// With a password, where the cluster wants one or one is given.
async fn how(args: &Chat, input: &mut Input) -> Result<How, String> {
    let asked = args.password_stdin || args.register;
    let wanted = match settings(args).await {
        Some(settings) => matches!(settings.sign_in, SignIn::Accounts | SignIn::Invite),
        None => false,
    };
    if !asked && !wanted {
        return Ok(How::Name);
    }
    let password = Password(password(args, input).await?);
    Ok(match args.register {
        true => How::Register { password, invite: args.invite.clone() },
        false => How::LogIn { password },
    })
}

/// The cluster's settings, from the first server that answers.
async fn settings(args: &Chat) -> Option<Settings> {
    for url in &args.servers.urls {
        if let Ok(Ok(Answer::Settings(settings))) = ask_once(url, Ask::Settings).await.map(|reply| reply.result) {
            return Some(*settings);
        }
    }
    None
}

async fn password(args: &Chat, input: &mut Input) -> Result<String, String> {
    let stdin = std::io::stdin();
    let typed = !args.password_stdin && stdin.is_terminal();
    if !typed && !args.password_stdin {
        return Err("this cluster wants a password: give it as the first line of standard input, with --password-stdin".into());
    }
    let before = if typed { tcgetattr(&stdin).ok() } else { None };
    if let Some(before) = &before {
        eprint!("password of {}: ", harmless(&args.user));
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|error| format!("cannot hide what you type: {error}"))?;
    }
    let read = tokio::select! {
        read = input.next_line() => read,
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    if let Some(before) = before {
        let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
        eprintln!();
    }
    match read {
        Ok(Some(line)) => Ok(line),
        Ok(None) => Err("no password was given".into()),
        Err(error) => Err(format!("cannot read the password: {error}")),
    }
}

async fn talk(remote: &mut Remote, room: RoomId, input: &mut Input) -> Result<(), String> {
    let (mut open, mut next, mut full) = (true, None::<(Command, String)>, false);
    let mut screen = Screen::default();
    let mut at = remote.at().map(str::to_owned);
    for (number, command, _) in remote.open().await {
        if let Command::Post { text, .. } = &command {
            screen.show(format!("-- from before, being sent: {}", harmless(text)));
            screen.written.insert(number, Written { text: text.clone(), is_post: true, id: None });
        }
    }
    loop {
        if let Some((command, text)) = next.take() {
            let is_post = matches!(command, Command::Post { .. } | Command::Respond { .. });
            match remote.submit(command.clone()).await {
                Ok(number) => {
                    full = false;
                    screen.written.insert(number, Written { text, is_post, id: None });
                }
                Err(SubmitError::WindowFull) => {
                    if !std::mem::replace(&mut full, true) {
                        screen.show("-- so much of yours waits that this is kept back until some of it has its place".into());
                    }
                    next = Some((command, text));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        if !open && next.is_none() && screen.written.is_empty() {
            return Ok(());
        }
        tokio::select! {
            biased;
            event = remote.next() => match event? {
                // Who looks for a leader elsewhere and comes back has not moved.
                ClientEvent::SignedIn { .. } if remote.at() == at.as_deref() => {}
                ClientEvent::SignedIn { server, .. } => {
                    // What waits stands as it stood: this does not come between.
                    show(&format!("-- now on {}", remote.server(server)));
                    at = remote.at().map(str::to_owned);
                }
                event => screen.happened(event)?,
            },
            read = input.next_line(), if open && next.is_none() => match read {
                Ok(Some(text)) if text.trim().is_empty() => {}
                Ok(Some(text)) => match said(room, &text) {
                    Said::Do(command) => next = Some((command, text)),
                    Said::Who => drop(remote.ask(Ask::Members { room: RoomRef::Id(room), after: UserId(0), limit: MEMBERS }).await),
                    Said::Quit => open = screen.ends(),
                    Said::Help => screen.show(HELP.into()),
                    Said::Wrong(why) => screen.show(format!("-- {why}")),
                },
                Ok(None) => open = screen.ends(),
                Err(error) if error.kind() == ErrorKind::InvalidData => screen.show("-- that line is no text (UTF-8) and was not sent".into()),
                Err(error) => return Err(format!("cannot read what you write: {error}")),
            },
        }
    }
}

/// A command that is not settled.
struct Written {
    /// The line.
    text: String,
    is_post: bool,
    /// Once it is accepted and waits for a majority.
    id: Option<MessageId>,
}

/// What is printed, and what still has to be said of what is on it.
#[derive(Default)]
struct Screen {
    waiting: Waiting,
    /// By the number of the command.
    written: BTreeMap<u64, Written>,
    /// Messages of one's own of which it was said that they were refused, and that may still be withdrawn from the screen.
    refused: BTreeSet<MessageId>,
}

impl Screen {
    fn show(&mut self, line: String) {
        print(self.waiting.other(line));
    }

    /// Whether to go on reading: no more. What is not settled is waited for.
    fn ends(&mut self) -> bool {
        let waiting = self.written.values().filter(|written| written.id.is_some()).count();
        if waiting > 0 {
            self.show(format!("-- {waiting} of yours wait for a majority; Ctrl-C ends at once"));
        }
        false
    }

    fn happened(&mut self, event: ClientEvent) -> Result<(), String> {
        match event {
            ClientEvent::Deliver(event) => {
                let line = told(&event);
                match (&event.kind, line) {
                    (EventKind::Posted(post), Some(line)) => print(self.waiting.posted(post, line)),
                    (_, Some(line)) => self.show(line),
                    (_, None) => {}
                }
            }
            ClientEvent::Tail { posts, .. } => print(self.waiting.tail(&posts)),
            ClientEvent::Withdrawn { post, refusal, .. } => {
                // Of one's own it is said when the command settles.
                let mine = self.refused.remove(&post.id) || self.written.values().any(|written| written.id == Some(post.id));
                if mine {
                    self.waiting.forget(post.id);
                } else {
                    print(self.waiting.withdrawn(&post, &refusal));
                }
            }
            ClientEvent::Accepted { number, id, copies } => self.accepted(number, id, copies),
            ClientEvent::Answered { result: Ok(Answer::Members { members, .. }), .. } => self.show(who(&members)),
            ClientEvent::Answered { result: Err(refusal), .. } => self.show(format!("-- {refusal}")),
            ClientEvent::Settled { number, result } => {
                let written = self.written.remove(&number);
                if let Err(refusal) = result {
                    self.refused.extend(written.as_ref().and_then(|written| written.id));
                    self.show(format!("-- not done: {refusal} ({})", text_of(written)));
                }
            }
            ClientEvent::Unclear { number } => {
                let written = self.written.remove(&number);
                self.show(format!("-- may have been done or not, look into the room: {}", text_of(written)));
            }
            ClientEvent::Unfollowed { refusal, .. } | ClientEvent::Rejected(refusal) => return Err(refusal.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// A message is shown as it waits; of anything else it is said here, once.
    fn accepted(&mut self, number: u64, id: MessageId, copies: u32) {
        let Some(written) = self.written.get_mut(&number).filter(|written| written.id.is_none()) else { return };
        written.id = Some(id);
        if !written.is_post {
            let line = format!("-- kept on {copies} node(s) until there is a majority: {}", harmless(&written.text));
            self.show(line);
        }
    }
}

fn text_of(written: Option<Written>) -> String {
    harmless(&written.map(|written| written.text).unwrap_or_default())
}

fn print(lines: Vec<String>) {
    lines.iter().for_each(|line| show(line));
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
