//! `node send`: posts, and says of each message where it stands for good. With `--outbox` a message that was read is posted, once, even if this process ends before.

use super::remote::Remote;
use super::{by_file, enter, entering, lines, room_ref};
use crate::cli::Send;
use crate::show;
use std::collections::{BTreeMap, BTreeSet};
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::ids::MessageId;
use tokio::io::{BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until};

pub async fn send(args: &Send) -> Result<(), String> {
    let how = by_file(args.password_file.as_deref())?;
    let remote = Remote::with(&args.name, how, &args.servers.urls, args.outbox.as_deref())?;
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
    match sending.refused {
        0 => Ok(()),
        1 => Err("1 message was refused".into()),
        refused => Err(format!("{refused} messages were refused")),
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
    async fn send(&mut self) -> Result<(), String> {
        let is_post = |command: &Command| matches!(command, Command::Post { .. });
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
                    SubmitError::Ended => return Err(error.to_string()),
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

    async fn run(&mut self) -> Result<(), String> {
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

    fn read(&mut self, line: std::io::Result<Option<String>>) -> Result<(), String> {
        self.line += 1;
        match line {
            Ok(Some(line)) if line.trim().is_empty() => {}
            Ok(Some(line)) => self.waiting = Some(line),
            Ok(None) => self.input = None,
            Err(error) => return Err(format!("cannot read line {} of standard input: {error}", self.line)),
        }
        Ok(())
    }

    async fn submit(&mut self) -> Result<(), String> {
        let Some((room, text)) = self.room.clone().zip(self.waiting.take()) else { return Ok(()) };
        match self.remote.submit(Command::Post { room, text: text.clone() }).await {
            Ok(number) => drop(self.under_way.insert(number, self.line.max(1))),
            Err(SubmitError::WindowFull) => self.waiting = Some(text),
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    /// Whether a message was settled.
    fn happened(&mut self, event: ClientEvent) -> Result<bool, String> {
        match event {
            ClientEvent::Rejected(refusal) => Err(refusal.to_string()),
            ClientEvent::Accepted { number, id, copies } => Ok(self.is_accepted(number, id, copies)),
            ClientEvent::Settled { number, result } => {
                self.accepted.remove(&number);
                let Some(line) = self.under_way.remove(&number) else { return Ok(false) };
                self.settled(line, result);
                Ok(true)
            }
            ClientEvent::Unclear { number } => {
                self.under_way.remove(&number);
                self.refused += 1;
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
            match line {
                0 => show(&format!("- ~ {id}")),
                _ => show(&format!("{} ~ {id}", self.args.room)),
            }
        } else if first && news {
            eprintln!("no majority: what is sent is accepted, on {copies} node(s) so far, and waits to be committed");
        }
        news
    }

    fn settled(&mut self, line: u64, result: Result<Done, Refusal>) {
        match result {
            Ok(Done::Posted { room, seq, id, .. }) if line == 0 => show(&format!("{} {seq} {id}", room.0)),
            Ok(Done::Posted { seq, id, .. }) => show(&format!("{} {seq} {id}", self.args.room)),
            Ok(_) => {}
            Err(refusal) => {
                self.refused += 1;
                match line {
                    0 => eprintln!("a message of an earlier run was refused: {refusal}"),
                    line => eprintln!("message {line} was refused: {refusal}"),
                }
            }
        }
    }

    fn gave_up(&self) -> String {
        let waits = self.under_way.keys().all(|number| self.accepted.contains(number));
        let what = match &self.args.outbox {
            None if waits => "they are accepted, and are committed or refused once there is a majority again".into(),
            None => "they may or may not be in the room".into(),
            Some(path) => format!("they are kept: the next send with --outbox {} posts them, once", path.display()),
        };
        format!(
            "nothing was acknowledged for {}{}: {} messages are not confirmed, {what}",
            humantime::format_duration(self.args.patience),
            self.remote.failure(),
            self.under_way.len()
        )
    }
}

async fn next_line(input: &mut Option<Lines<BufReader<Stdin>>>) -> std::io::Result<Option<String>> {
    match input {
        Some(input) => input.next_line().await,
        None => std::future::pending().await,
    }
}
