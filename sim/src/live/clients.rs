//! The clients of a live run: each an [`Actor`], the same as in a simulation, with a framed connection to a real node.

use super::stage::{Stage, Standing, lock};
use crate::plan::Reading;
use crate::workload::{Actor, Wire, actors};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_protocol::gateway::{ClientHello, Event, Reply};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// How often a client looks at what the director says, in microseconds.
const LOOK: u64 = 20_000;
/// How often a client that is kept waiting looks whether it may go on.
const STEP: Duration = Duration::from_millis(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

enum Heard {
    Connected,
    Reply(Reply),
    Event(Event),
    Ended,
}

/// A connection, ended when dropped.
struct Line {
    node: usize,
    connected: bool,
    /// How often a fault had broken this client's connection when it was begun.
    broken: u64,
    requests: mpsc::UnboundedSender<bytes::Bytes>,
    heard: mpsc::UnboundedReceiver<Heard>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Runs all clients until it is dropped.
pub async fn run(stage: Arc<Stage>) {
    let mut playing = JoinSet::new();
    for number in 0..actors(&stage.scenario) {
        playing.spawn(play(Arc::clone(&stage), number));
    }
    while playing.join_next().await.is_some() {}
}

async fn play(stage: Arc<Stage>, number: u32) {
    tokio::time::sleep(Duration::from_micros(Actor::starts(&stage.scenario, stage.seed, number))).await;
    let mut actor = Actor::new(&stage.scenario, stage.seed, number, stage.elapsed());
    let mut line: Option<Line> = None;
    let mut reading = false;
    loop {
        let at = stage.elapsed();
        if line.as_ref().is_some_and(|line| stage.broken[number as usize].load(Relaxed) > line.broken) {
            stage.disconnected.fetch_add(1, Relaxed);
            line = None;
            actor.disconnected(at);
        }
        if stage.final_reading.load(Relaxed) && !reading {
            reading = true;
            actor.read_all(at);
        }
        if actor.next_act().is_some_and(|due| due <= at) && actor.act(at) && line.take().is_some() {
            actor.disconnected(at);
        }
        if actor.poll_timeout().is_some_and(|due| due <= at) {
            actor.timeout(at);
        }
        while let Some(wire) = actor.poll(at) {
            match wire {
                Wire::Connect { server, hello } => line = Some(connect(&stage, number, server, &hello)),
                Wire::Disconnect => line = None,
                Wire::Send(request) => {
                    if let Some(line) = &line {
                        let _ = line.requests.send(encode_frame(Kind::Request, &request));
                    }
                }
            }
        }
        // No request has left yet: connections have tasks of their own, and this thread runs them all.
        report(&stage, number, &mut actor);
        lock(&stage.seats)[number as usize] = line.as_ref().filter(|line| line.connected).map(|line| line.node);
        let due = [actor.next_act(), actor.poll_timeout()].into_iter().flatten().min().unwrap_or(u64::MAX);
        let pause = Duration::from_micros(due.saturating_sub(at).clamp(100, LOOK));
        tokio::select! {
            biased;
            heard = next(line.as_mut()) => {
                hear(&stage, &mut actor, &mut line, heard);
                while let Some(Ok(more)) = line.as_mut().map(|line| line.heard.try_recv()) {
                    hear(&stage, &mut actor, &mut line, more);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells what the client saw, and how it stands.
fn report(stage: &Stage, number: u32, actor: &mut Actor) {
    let waits_for = actor.waits_for(&lock(&stage.posted));
    let trouble = actor.trouble_seen().map(str::to_owned);
    lock(&stage.standings)[number as usize] = Standing { waits_for, has_read_all: actor.has_read_all(), trouble };
    actor.take_facts().into_iter().for_each(|fact| stage.tell(fact));
}

async fn next(line: Option<&mut Line>) -> Heard {
    match line {
        Some(line) => line.heard.recv().await.unwrap_or(Heard::Ended),
        None => std::future::pending().await,
    }
}

fn hear(stage: &Stage, actor: &mut Actor, line: &mut Option<Line>, heard: Heard) {
    let at = stage.elapsed();
    match heard {
        Heard::Connected => {
            line.iter_mut().for_each(|line| line.connected = true);
            actor.connected(at);
        }
        Heard::Reply(reply) => actor.reply(at, reply),
        Heard::Event(event) => actor.event(at, Arc::new(event)),
        Heard::Ended => {
            *line = None;
            actor.disconnected(at);
        }
    }
}

fn connect(stage: &Arc<Stage>, client: u32, server: u32, hello: &ClientHello) -> Line {
    let (requests, to_send) = mpsc::unbounded_channel();
    let (to_actor, heard) = mpsc::unbounded_channel();
    let mut greeting = CLIENT_MAGIC.to_vec();
    greeting.extend_from_slice(&encode_frame(Kind::ClientHello, hello));
    let node = server as usize % stage.client_ports.len();
    let way = Way { stage: Arc::clone(stage), client, node };
    let task = tokio::spawn(async move {
        // Why it ended does not matter to the client: it moves on.
        let _ = converse(&way, &greeting, to_send, &to_actor).await;
        let _ = to_actor.send(Heard::Ended);
    });
    let broken = stage.broken[client as usize].load(Relaxed);
    Line { node, connected: false, broken, requests, heard, task: task.abort_handle() }
}

/// The way between a client and its node, with what faults do to it.
struct Way {
    stage: Arc<Stage>,
    client: u32,
    node: usize,
}

impl Way {
    fn is_cut(&self) -> bool {
        lock(&self.stage.conditions).cut_off(self.client, self.node)
    }

    fn reading(&self) -> Reading {
        lock(&self.stage.conditions).reading(self.client)
    }

    async fn wait(&self) {
        self.stage.kept_waiting.fetch_add(1, Relaxed);
        tokio::time::sleep(STEP).await;
    }

    /// Waits while nothing passes.
    async fn open(&self) {
        while self.is_cut() {
            self.wait().await;
        }
    }

    /// The client takes a frame of so many bytes, which is not at once while it reads slowly.
    async fn take(&self, bytes: u64) {
        while self.is_cut() || self.reading() == Reading::Nothing {
            self.wait().await;
        }
        if let Reading::Slowly(rate) = self.reading() {
            self.stage.kept_waiting.fetch_add(1, Relaxed);
            tokio::time::sleep(Duration::from_micros((bytes * 1_000_000).div_ceil(rate))).await;
        }
    }
}

async fn converse(
    way: &Way,
    greeting: &[u8],
    mut to_send: mpsc::UnboundedReceiver<bytes::Bytes>,
    to_actor: &mpsc::UnboundedSender<Heard>,
) -> io::Result<()> {
    let connecting = async {
        way.open().await;
        TcpStream::connect((Ipv4Addr::LOCALHOST, way.stage.client_ports[way.node])).await
    };
    let stream = tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    let (mut input, mut output) = stream.into_split();
    output.write_all(greeting).await?;
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    to_actor.send(Heard::Connected).map_err(gone)?;
    let mut reader = FrameReader::new(CLIENT_FRAME_LIMIT);
    loop {
        while let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            way.take(frame.body.len() as u64).await;
            let heard = match frame.kind {
                Kind::Reply => Heard::Reply(frame.decode().map_err(io::Error::other)?),
                Kind::Event => Heard::Event(frame.decode().map_err(io::Error::other)?),
                _ => return Ok(()),
            };
            to_actor.send(heard).map_err(gone)?;
        }
        way.open().await;
        tokio::select! {
            biased;
            request = to_send.recv() => match request {
                Some(request) => {
                    way.open().await;
                    output.write_all(&request).await?;
                }
                None => return Ok(()),
            },
            read = input.read_buf(reader.buffer()) => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}
