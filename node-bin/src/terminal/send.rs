//! `node send`: posts, and says of each message where it stands for good. With `--outbox` a message that was read is posted, once, even if this process ends before.
//!
//! Exit statuses: 0 all are where they were wanted; 1 it could not begin, or its input could not be read, or a line of it was no text; 2 wrong arguments; 3 something was refused; 4 something is not
//! known to be done, because no server or no majority was reached in time.

use super::remote::Remote;
use super::{Failed, advice, by_file, count, enter, entering, interrupted, lines, room_ref, send_keyed};
use crate::cli::Send;
use crate::{rfc3339, show};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::MessageId;
use tokio::io::{BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until};

/// For how long a server is asked about the room before what is written is kept for later.
const SOON: Duration = Duration::from_secs(2);

pub async fn send(args: &Send) -> Result<(), Failed> {
    let how = by_file(args.password_file.as_deref())?;
    let remote = Remote::with(&args.name, how, &args.servers.urls, args.outbox.as_deref())?;
    if let Some(key) = &args.key {
        return send_keyed::send(args, remote, key).await;
    }
    let mut sending = Sending {
        args,
        remote,
        room: None,
        input: None,
        waiting: None,
        line: 0,
        under_way: BTreeMap::new(),
        accepted: BTreeSet::new(),
        refused: 0,
        unreadable: 0,
    };
    // What is in an outbox may be cut off at any moment, and its session goes on.
    let done = match args.outbox {
        Some(_) => sending.send().await,
        None => tokio::select! {
            done = sending.send() => done,
            (why, status) = interrupted() => Err(sending.cut_off(why, status)),
        },
    };
    sending.remote.log_out().await;
    sending.remote.end().await;
    done?;
    all_taken(sending.refused, sending.unreadable)
}

/// What is said at the end of those that were refused, and of lines that could not be sent.
pub fn all_taken(refused: u64, unreadable: u64) -> Result<(), Failed> {
    match (refused, unreadable) {
        (0, 0) => Ok(()),
        (0, 1) => Err("1 line was no text (UTF-8) and was not sent".to_owned().into()),
        (0, lines) => Err(format!("{lines} lines were no text (UTF-8) and were not sent").into()),
        (1, _) => Err(Failed::refused("1 message was refused")),
        (refused, _) => Err(Failed::refused(format!("{refused} messages were refused"))),
    }
}

/// Says that a line of the input cannot be sent: whoever writes messages is told by this line, and the others are sent.
pub fn tell_unreadable(args: &Send, line: u64) {
    let why = "no text (UTF-8)";
    if args.json {
        show(&of_line(line, &args.room, json!({"state": "unreadable", "why": why})));
    }
    eprintln!("line {line} of standard input is {why} and was not sent");
}

/// The command that posts a line.
pub fn posting(args: &Send, room: RoomRef, text: String) -> Command {
    match args.reply_to {
        Some(to) => Command::Respond { room, to, text },
        None => Command::Post { room, text },
    }
}

struct Sending<'a> {
    args: &'a Send,
    remote: Remote,
    /// The room, once it is entered.
    room: Option<RoomRef>,
    /// `None` once it has ended.
    input: Option<Lines<BufReader<Stdin>>>,
    /// A message that waits for its turn: too many are under way.
    waiting: Option<String>,
    /// Lines read.
    line: u64,
    /// Lines by the number of their command; 0 for those of an earlier run.
    under_way: BTreeMap<u64, u64>,
    /// Numbers of those that nodes without a majority have accepted.
    accepted: BTreeSet<u64>,
    refused: u64,
    /// Lines that are no text.
    unreadable: u64,
}

impl Sending<'_> {
    async fn send(&mut self) -> Result<(), Failed> {
        let is_post = |command: &Command| matches!(command, Command::Post { .. } | Command::Respond { .. });
        let earlier = self.remote.open().await.into_iter().filter(|(_, command, _)| is_post(command));
        self.under_way = earlier.map(|(number, ..)| (number, 0)).collect();
        if self.args.outbox.is_some() {
            // What is written is kept whether a server is reached or not: commands are done in their order, so the posts come after the room is entered.
            if !self.under_way.is_empty() {
                let messages =
                    if self.under_way.len() == 1 { "1 message".into() } else { format!("{} messages", self.under_way.len()) };
                eprintln!("first {messages} of an earlier run");
            }
            let room = room_ref(&self.args.room);
            let mut enters = !self.is_in(&room).await?;
            while enters {
                match self.remote.submit(entering(room.clone(), true)).await {
                    Ok(_) => enters = false,
                    Err(SubmitError::WindowFull) => self.run().await?,
                    Err(SubmitError::Ended) => return Err(SubmitError::Ended.to_string().into()),
                }
            }
            self.room = Some(room);
        } else {
            self.room = Some(RoomRef::Id(enter(&mut self.remote, &self.args.room, true, Some(self.args.patience)).await?));
        }
        self.input = if self.args.text.is_some() { None } else { Some(lines()) };
        self.waiting.clone_from(&self.args.text);
        self.run().await
    }

    /// Whether a server says, soon, that the user is in the room. Then it need not be entered: that is a command which no side without a majority accepts, and what is
    /// posted behind it would have its place only after this outbox has come back with it.
    async fn is_in(&mut self, room: &RoomRef) -> Result<bool, Failed> {
        let asked = self.remote.ask(Ask::Room { room: room.clone() }).await;
        let (until, mut servers) = (Instant::now() + SOON, self.remote.servers().len());
        while servers > 0 {
            tokio::select! {
                biased;
                event = self.remote.next() => match event? {
                    ClientEvent::Answered { ask, result } if Some(ask) == asked => {
                        return Ok(matches!(result, Ok(Answer::Room(view)) if view.member));
                    }
                    ClientEvent::Disconnected { .. } => servers -= 1,
                    event => drop(self.happened(event)?),
                },
                () = sleep_until(until) => break,
            }
        }
        Ok(false)
    }

    async fn run(&mut self) -> Result<(), Failed> {
        let mut deadline = Instant::now() + self.args.patience;
        loop {
            self.submit().await?;
            if self.input.is_none() && self.waiting.is_none() && self.under_way.is_empty() {
                return Ok(());
            }
            let idle = self.under_way.is_empty();
            tokio::select! {
                biased;
                event = self.remote.next() => if self.happened(event?)? {
                    deadline = Instant::now() + self.args.patience;
                },
                line = next_line(&mut self.input), if self.waiting.is_none() => {
                    self.read(line)?;
                    if idle {
                        deadline = Instant::now() + self.args.patience;
                    }
                }
                () = sleep_until(deadline), if !idle => return Err(self.gave_up()),
            }
        }
    }

    fn read(&mut self, line: std::io::Result<Option<String>>) -> Result<(), Failed> {
        self.line += 1;
        match line {
            Ok(Some(line)) if line.trim().is_empty() => {}
            Ok(Some(line)) => self.waiting = Some(line),
            Ok(None) => self.input = None,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tell_unreadable(self.args, self.line);
                self.unreadable += 1;
            }
            Err(error) => return Err(format!("cannot read line {} of standard input: {error}", self.line).into()),
        }
        Ok(())
    }

    async fn submit(&mut self) -> Result<(), Failed> {
        let Some((room, text)) = self.room.clone().zip(self.waiting.take()) else { return Ok(()) };
        match self.remote.submit(posting(self.args, room, text.clone())).await {
            Ok(number) => drop(self.under_way.insert(number, self.line.max(1))),
            Err(SubmitError::WindowFull) => self.waiting = Some(text),
            Err(error) => return Err(error.to_string().into()),
        }
        Ok(())
    }

    /// Whether a message was settled.
    fn happened(&mut self, event: ClientEvent) -> Result<bool, Failed> {
        match event {
            ClientEvent::Rejected(refusal) => Err(Failed::refused(advice(&refusal, &self.remote.name))),
            ClientEvent::Accepted { number, id, copies } => Ok(self.is_accepted(number, id, copies)),
            ClientEvent::Settled { number, result } => {
                self.accepted.remove(&number);
                let Some(line) = self.under_way.remove(&number) else { return Ok(false) };
                self.refused += u64::from(!tell(self.args, line, result));
                Ok(true)
            }
            ClientEvent::Unclear { number } => {
                self.under_way.remove(&number);
                self.refused += 1;
                if self.args.json {
                    show(&of_line(0, &self.args.room, json!({"state": "unclear", "why": super::UNCLEAR})));
                }
                eprintln!("{}", super::UNCLEAR);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether it is news. With `--accepted` that is all that is wanted of it.
    fn is_accepted(&mut self, number: u64, id: MessageId, copies: u32) -> bool {
        let Some(line) = self.under_way.get(&number).copied() else { return false };
        let (first, news) = (self.accepted.is_empty(), self.accepted.insert(number));
        if self.args.accepted {
            self.under_way.remove(&number);
            tell_accepted(self.args, line, id, copies);
        } else if first && news {
            eprintln!(
                "no majority: what is sent is accepted, on {} so far, and waits to be committed",
                count(copies as usize, "node")
            );
        }
        news
    }

    fn gave_up(&self) -> Failed {
        let waits = self.under_way.keys().all(|number| self.accepted.contains(number));
        if self.args.json {
            for line in self.under_way.values() {
                show(&of_line(*line, &self.args.room, json!({"state": "unconfirmed"})));
            }
        }
        let what = match &self.args.outbox {
            None if waits => "accepted, and committed or refused once there is a majority again".into(),
            None => "and may or may not be in the room".into(),
            Some(path) => format!("and kept: the next send with --outbox {} posts what is kept, once", path.display()),
        };
        Failed::unconfirmed(format!(
            "nothing was acknowledged for {}{}: {}, {what}",
            humantime::format_duration(self.args.patience),
            self.remote.failure(),
            self.not_confirmed()
        ))
    }

    fn cut_off(&self, why: &str, status: u8) -> Failed {
        let message = match self.under_way.len() {
            0 => why.into(),
            _ => format!("{why}: {}, and may or may not be in the room", self.not_confirmed()),
        };
        Failed { status, message }
    }

    fn not_confirmed(&self) -> String {
        let not = if self.under_way.len() == 1 { "is not" } else { "are not" };
        format!("{} {not} confirmed", count(self.under_way.len(), "message"))
    }
}

/// Says what became of a message; false if it was refused. `line`: 0 for one of an earlier run.
pub fn tell(args: &Send, line: u64, result: Result<Done, Refusal>) -> bool {
    match result {
        Ok(Done::Posted { room, seq, id, at }) => {
            let (id, name) = (id.to_string(), &args.room);
            match args.json {
                true => {
                    let at = rfc3339::format(at);
                    show(&of_line(line, name, json!({"state": "committed", "room_id": room, "seq": seq, "id": id, "at": at})));
                }
                false if line == 0 => show(&format!("{} {seq} {id}", room.0)),
                false => show(&format!("{name} {seq} {id}")),
            }
            true
        }
        Ok(_) => true,
        Err(refusal) => {
            if args.json {
                show(&of_line(line, &args.room, json!({"state": "refused", "why": refusal.to_string()})));
            }
            match line {
                0 => eprintln!("a message of an earlier run was refused: {refusal}"),
                line => eprintln!("message {line} was refused: {refusal}"),
            }
            false
        }
    }
}

/// Says that a message is accepted, where that is all that is wanted.
pub fn tell_accepted(args: &Send, line: u64, id: MessageId, copies: u32) {
    match (args.json, line) {
        (true, _) => show(&of_line(line, &args.room, json!({"state": "accepted", "id": id.to_string(), "copies": copies}))),
        (false, 0) => show(&format!("- ~ {id}")),
        (false, _) => show(&format!("{} ~ {id}", args.room)),
    }
}

/// One object a line; `room` is what was written on the command line, and is left out with the line for messages of an earlier run, whose room may be another.
fn of_line(line: u64, room: &str, mut what: Value) -> String {
    if line > 0 {
        (what["line"], what["room"]) = (json!(line), json!(room));
    }
    what.to_string()
}

pub async fn next_line(input: &mut Option<Lines<BufReader<Stdin>>>) -> std::io::Result<Option<String>> {
    match input {
        Some(input) => input.next_line().await,
        None => std::future::pending().await,
    }
}
