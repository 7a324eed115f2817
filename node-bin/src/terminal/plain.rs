//! `node chat --plain`, and wherever there is no terminal: the last messages, then live ones; each line that is written is posted. A server that dies is a quiet line, nothing more.

use super::lines::{HELP, Said, said, told, who};
use super::remote::Remote;
use super::waiting::Waiting;
use super::{Failed, Input, advice, count, enter, harmless};
use crate::cli::Chat;
use crate::show;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask, EventKind, From};
use tertulia_protocol::ids::{MessageId, RoomId, UserId};

const EARLIER: u32 = 10;
/// Members that /who names.
const MEMBERS: u32 = 100;
/// The room of those who name none.
const ROOM: &str = "lobby";

/// Chats by lines until the input ends.
pub async fn run(args: &Chat, remote: &mut Remote, input: &mut Input, user: &str) -> Result<(), Failed> {
    let name = args.room.as_deref().unwrap_or(ROOM);
    let room = enter(remote, name, true, None).await?;
    remote.learn_servers().await;
    remote.follow(RoomRef::Id(room), From::Last(EARLIER)).await;
    let (room_name, user) = (harmless(name), harmless(user));
    show(&format!("-- {room_name}, as {user}; write a line and press Enter, end with Ctrl-D; /help for more"));
    Ok(talk(remote, room, input).await?)
}

async fn talk(remote: &mut Remote, room: RoomId, input: &mut Input) -> Result<(), String> {
    let (mut open, mut next, mut full) = (true, None::<(Command, String)>, false);
    let mut screen = Screen { name: remote.name.clone(), ..Screen::default() };
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
    /// The user's.
    name: String,
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
            ClientEvent::Rejected(refusal) => return Err(advice(&refusal, &self.name)),
            ClientEvent::Unfollowed { refusal, .. } => return Err(refusal.to_string()),
            _ => {}
        }
        Ok(())
    }

    /// A message is shown as it waits; of anything else it is said here, once.
    fn accepted(&mut self, number: u64, id: MessageId, copies: u32) {
        let Some(written) = self.written.get_mut(&number).filter(|written| written.id.is_none()) else { return };
        written.id = Some(id);
        if !written.is_post {
            let line =
                format!("-- kept on {} until there is a majority: {}", count(copies as usize, "node"), harmless(&written.text));
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
