//! `node send`: posts, and says of each message where it stands for good. With `--outbox` a message that was read is posted, once, even if this process ends before.
//!
//! Exit statuses: 0 all are where they were wanted; 1 it could not begin, or its input could not be read; 2 wrong arguments; 3 something was refused; 4 something is not
//! known to be done, because no server or no majority was reached in time.

use super::remote::Remote;
use super::{Failed, by_file, enter, entering, lines, room_ref, send_keyed};
use crate::cli::Send;
use crate::{rfc3339, show};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::ids::MessageId;
use tokio::io::{BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until};

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
    };
    let done = sending.send().await;
    sending.remote.end().await;
    done?;
    all_taken(sending.refused)
}

/// What is said at the end of those that were refused.
pub fn all_taken(refused: u64) -> Result<(), Failed> {
    match refused {
        0 => Ok(()),
        1 => Err(Failed::refused("1 message was refused")),
        refused => Err(Failed::refused(format!("{refused} messages were refused"))),
    }
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
}

impl Sending<'_> {
    async fn send(&mut self) -> Result<(), Failed> {
        let is_post = |command: &Command| matches!(command, Command::Post { .. } | Command::Respond { .. });
        let earlier = self.remote.open().await.into_iter().filter(|(_, command, _)| is_post(command));
        self.under_way = earlier.map(|(number, ..)| (number, 0)).collect();
        if self.args.outbox.is_some() {
            // What is written is kept whether a server is reached or not: commands are done in their order, so the posts come after the room is entered.
            if !self.under_way.is_empty() {
                eprintln!("{} messages of an earlier run come first", self.under_way.len());
            }
            let room = room_ref(&self.args.room);
            while let Err(error) = self.remote.submit(entering(room.clone(), true)).await {
                match error {
                    SubmitError::WindowFull => self.run().await?,
                    SubmitError::Ended => return Err(error.to_string().into()),
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
            ClientEvent::Rejected(refusal) => Err(Failed::refused(refusal.to_string())),
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
            eprintln!("no majority: what is sent is accepted, on {copies} node(s) so far, and waits to be committed");
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
            None if waits => "they are accepted, and are committed or refused once there is a majority again".into(),
            None => "they may or may not be in the room".into(),
            Some(path) => format!("they are kept: the next send with --outbox {} posts them, once", path.display()),
        };
        Failed::unconfirmed(format!(
            "nothing was acknowledged for {}{}: {} messages are not confirmed, {what}",
            humantime::format_duration(self.args.patience),
            self.remote.failure(),
            self.under_way.len()
        ))
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
