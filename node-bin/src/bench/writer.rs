//! One writer: a session that posts, one message after the other, each under one identity however often it must be sent.

use super::{Line, Tally};
use crate::cli::Bench;
use crate::hex;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask, Token};
use tertulia_protocol::ids::RoomId;
use tertulia_protocol::replica::Identity;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// Between two rounds over all servers none of which was of use, in milliseconds: at least the first, less than the second.
const PAUSE_MS: (u64, u64) = (20, 80);
/// After a refusal for good.
const REFUSED: Duration = Duration::from_millis(50);

pub struct Writer {
    number: u32,
    servers: Vec<String>,
    /// The server of the present connection or attempt.
    server: usize,
    /// Servers left since the last answer that was of use.
    left: usize,
    line: Option<Line>,
    name: String,
    room: String,
    token: Token,
    size: usize,
    /// The number of the session's next request.
    next: u64,
    tally: Arc<Tally>,
}

impl Writer {
    /// `number`: from 1.
    pub fn new(args: &Bench, number: u32, tally: Arc<Tally>) -> Writer {
        let nth = number as usize - 1;
        Writer {
            number,
            servers: args.connect.clone(),
            server: nth % args.connect.len(),
            left: 0,
            line: None,
            name: format!("bench-{number}"),
            room: format!("bench-{}", nth % args.rooms as usize + 1),
            token: hex::draw_token(),
            size: args.size as usize,
            next: 1,
            tally,
        }
    }

    /// Enters its room, says so, and posts until it is aborted.
    pub async fn run(mut self, ready: mpsc::Sender<Result<(), String>>) {
        let entered = match self.execute(Command::CreateRoom { name: self.room.clone() }).await {
            Ok(Done::Room { room, .. }) => Ok(room),
            Ok(_) => Err("a server answered another question: please report this".into()),
            Err(refusal) => Err(format!("writer {} may not begin: {refusal}", self.number)),
        };
        let room = entered.as_ref().ok().copied();
        // Nobody waits only when the bench has ended.
        let _ = ready.send(entered.map(|_| ())).await;
        let Some(room) = room else { return };
        loop {
            self.post(room).await;
        }
    }

    async fn post(&mut self, room: RoomId) {
        let begun = Instant::now();
        let text = self.text();
        match self.execute(Command::Post { room: RoomRef::Id(room), text }).await {
            Ok(_) => self.tally.acknowledged(begun, Instant::now()),
            Err(refusal) => {
                self.tally.failed(&refusal.to_string());
                sleep(REFUSED).await;
            }
        }
    }

    /// Letters that say whose and which one it is, as far as there is room.
    fn text(&self) -> String {
        let mut text = format!("{}.{} ", self.number, self.next);
        text.truncate(self.size);
        text.extend(std::iter::repeat_n('x', self.size - text.len()));
        text
    }

    /// Has a command executed once, on whichever server, or learns that it is refused for good.
    async fn execute(&mut self, command: Command) -> Result<Done, Refusal> {
        let number = self.next;
        loop {
            let ask = Ask::Submit { identity: Identity::Number(number), first_unacked: number, command: command.clone() };
            let answer = match self.ask(ask).await {
                Ok(answer) => answer,
                Err(why) => {
                    self.move_on(&why.to_string()).await;
                    continue;
                }
            };
            match answer {
                Ok(Answer::Done(done)) => {
                    (self.next, self.left) = (number + 1, 0);
                    return Ok(done);
                }
                Ok(_) => self.move_on("an answer to another question").await,
                Err(Refusal::Busy { retry_after_ms }) => {
                    self.tally.failed("the server is busy");
                    sleep(Duration::from_millis(retry_after_ms.into())).await;
                }
                Err(refusal) if refusal.is_temporary() => self.move_on(&refusal.to_string()).await,
                Err(refusal) => {
                    self.next = number + 1;
                    return Err(refusal);
                }
            }
        }
    }

    /// Asks on the present connection, or on a new one.
    async fn ask(&mut self, ask: Ask) -> io::Result<Result<Answer, Refusal>> {
        let line = match &mut self.line {
            Some(line) => line,
            None => {
                let mut line = Line::open(&self.servers[self.server]).await?;
                // The same token finds the same session again.
                let signed_in = line.ask(Ask::SignIn { name: self.name.clone(), token: self.token }).await?;
                if let Err(refusal) = signed_in {
                    return Ok(Err(refusal));
                }
                self.line.insert(line)
            }
        };
        line.ask(ask).await
    }

    /// Goes on at the next server; after one round over all of them not at once.
    async fn move_on(&mut self, why: &str) {
        self.tally.failed(&format!("{}: {why}", self.servers[self.server]));
        self.line = None;
        self.server = (self.server + 1) % self.servers.len();
        self.left += 1;
        if self.left.is_multiple_of(self.servers.len()) {
            sleep(Duration::from_millis(rand::random_range(PAUSE_MS.0..PAUSE_MS.1))).await;
        }
    }
}
