//! `node send`: posts, and says of each message where it stands for good.

use super::remote::Remote;
use super::{enter, lines};
use crate::cli::Send;
use crate::show;
use std::collections::BTreeMap;
use tertulia_driver::{ClientEvent, SubmitError};
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::ids::RoomId;
use tokio::io::{BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until};

pub async fn send(args: &Send) -> Result<(), String> {
    let mut remote = Remote::new(&args.name, &args.servers.urls);
    let room = enter(&mut remote, &args.room, true, Some(args.patience)).await?;
    let input = if args.text.is_some() { None } else { Some(lines()) };
    let mut sending =
        Sending { args, remote, room, input, waiting: args.text.clone(), line: 0, under_way: BTreeMap::new(), refused: 0 };
    sending.run().await?;
    match sending.refused {
        0 => Ok(()),
        1 => Err("1 message was refused".into()),
        refused => Err(format!("{refused} messages were refused")),
    }
}

struct Sending<'a> {
    args: &'a Send,
    remote: Remote,
    room: RoomId,
    /// `None` once it has ended.
    input: Option<Lines<BufReader<Stdin>>>,
    /// A message that waits for its turn: too many are under way.
    waiting: Option<String>,
    /// Lines read.
    line: u64,
    /// Lines by the number of their command.
    under_way: BTreeMap<u64, u64>,
    refused: u64,
}

impl Sending<'_> {
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
        let Some(text) = self.waiting.take() else { return Ok(()) };
        match self.remote.submit(Command::Post { room: RoomRef::Id(self.room), text: text.clone() }).await {
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
            ClientEvent::Settled { number, result } => {
                let Some(line) = self.under_way.remove(&number) else { return Ok(false) };
                self.settled(line, result);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn settled(&mut self, line: u64, result: Result<Done, Refusal>) {
        match result {
            Ok(Done::Posted { seq, id, .. }) => show(&format!("{} {seq} {id}", self.args.room)),
            Ok(_) => {}
            Err(refusal) => {
                self.refused += 1;
                eprintln!("message {line} was refused: {refusal}");
            }
        }
    }

    fn gave_up(&self) -> String {
        format!(
            "nothing was acknowledged for {}{}: {} messages are not confirmed, they may or may not be in the room",
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
