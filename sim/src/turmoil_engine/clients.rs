//! All clients of a run, on one simulated host: each an [`Actor`] with a framed connection.
//!
//! A crashed node is cut off from its clients too, so they learn of its end from the stage, as they would from the reset of a dead process: turmoil ends a crashed
//! host's streams in no fixed order, and the order would leak into every draw that follows.

use super::host::CLIENT_PORT;
use super::net::{TurmoilNet, host_name};
use super::stage::{ClientLine, Stage, Standing, Told, lock};
use crate::plan::Reading;
use crate::trace::digest;
use crate::workload::{Actor, Wire, actors};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_driver::Net;
use tertulia_protocol::gateway::{ClientHello, Event, Reply};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// How often a client looks at what the director says.
const LOOK: u64 = 20_000;
/// How often a client that is kept waiting looks whether it may go on: turmoil's clock is not much finer.
const STEP: Duration = Duration::from_millis(5);
/// How long to wait for a connection: a partition answers nothing.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

enum Heard {
    Connected,
    Reply(Reply),
    Event(Event),
    Ended,
}

/// A connection, ended when dropped.
struct Line {
    server: usize,
    /// The server has accepted it.
    connected: bool,
    /// Crashes of the server when the connection was begun.
    crashes: u64,
    /// How often a fault had broken this client's connection by then.
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

/// Runs all clients for ever.
pub async fn run(stage: Arc<Stage>) {
    let mut playing = JoinSet::new();
    for number in 0..actors(&stage.scenario) {
        playing.spawn(play(Arc::clone(&stage), number));
    }
    while playing.join_next().await.is_some() {}
}

async fn play(stage: Arc<Stage>, number: u32) {
    let begins = Actor::starts(&stage.scenario, stage.seed, number);
    tokio::time::sleep(Duration::from_micros(begins)).await;
    let mut actor = Actor::new(&stage.scenario, stage.seed, number, stage.elapsed());
    #[cfg(feature = "zoo")]
    actor.set_bug(stage.bug);
    let mut line: Option<Line> = None;
    let mut reading = false;
    let mut seat = None;
    loop {
        let at = stage.elapsed();
        lock(&stage.seats)[number as usize] = line.as_ref().map(|line| line.server);
        if line.as_ref().is_some_and(|line| stage.broken[number as usize].load(Relaxed) > line.broken) {
            stage.disconnected.fetch_add(1, Relaxed);
            line = None;
            actor.disconnected(at);
        }
        if line.as_ref().is_some_and(|line| stage.crashes[line.server].load(Relaxed) > line.crashes) {
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
        report(&stage, number, &mut actor, at);
        let node = line.as_ref().filter(|line| line.connected).map(|line| line.server);
        if std::mem::replace(&mut seat, node) != node {
            stage.tell(Told::ClientAt { at, client: number as usize, node });
        }
        let due = [actor.next_act(), actor.poll_timeout()].into_iter().flatten().min().unwrap_or(u64::MAX);
        // At least a moment, so that a client that wants to act at once cannot stop time.
        let pause = Duration::from_micros(due.saturating_sub(at).clamp(100, LOOK));
        tokio::select! {
            biased;
            heard = next(line.as_mut()) => {
                hear(&stage, number, &mut actor, &mut line, heard);
                while let Some(Ok(more)) = line.as_mut().map(|line| line.heard.try_recv()) {
                    hear(&stage, number, &mut actor, &mut line, more);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells what the client saw, and how it stands.
fn report(stage: &Stage, number: u32, actor: &mut Actor, at: u64) {
    {
        let posted = lock(&stage.posted);
        lock(&stage.standings)[number as usize] = Standing {
            waits_for: actor.waits_for(&posted),
            has_read_all: actor.has_read_all(),
            trouble: actor.trouble_seen().map(str::to_owned),
        };
    }
    for fact in actor.take_facts() {
        stage.tell(Told::Client { at, fact });
    }
}

async fn next(line: Option<&mut Line>) -> Heard {
    match line {
        Some(line) => line.heard.recv().await.unwrap_or(Heard::Ended),
        None => std::future::pending().await,
    }
}

fn hear(stage: &Stage, number: u32, actor: &mut Actor, line: &mut Option<Line>, heard: Heard) {
    let at = stage.elapsed();
    stage.events.fetch_add(1, Relaxed);
    let chain = &stage.chains[stage.scenario.cluster.hosts() + number as usize];
    match heard {
        Heard::Connected => {
            line.iter_mut().for_each(|line| line.connected = true);
            actor.connected(at);
        }
        Heard::Reply(reply) => {
            lock(chain).input(at, digest(&reply));
            actor.reply(at, reply);
        }
        Heard::Event(event) => {
            lock(chain).input(at, digest(&event));
            actor.event(at, Arc::new(event));
        }
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
    let net = TurmoilNet::of_clients(stage);
    let server = lock(&stage.roster).serving(server);
    let address = format!("{}:{CLIENT_PORT}", host_name(server));
    let way = Way { stage: Arc::clone(stage), client, node: server };
    let task = tokio::spawn(async move {
        // Why it ended does not matter to the client: it moves on.
        let _ = converse(&net, &way, &address, &greeting, to_send, &to_actor).await;
        let _ = to_actor.send(Heard::Ended);
    });
    let crashes = stage.crashes[server].load(Relaxed);
    let broken = stage.broken[client as usize].load(Relaxed);
    Line { server, connected: false, crashes, broken, requests, heard, task: task.abort_handle() }
}

/// The way between a client and its node, with what faults do to it.
struct Way {
    stage: Arc<Stage>,
    client: u32,
    node: usize,
}

impl Way {
    /// Waits while nothing passes.
    async fn open(&self) {
        while self.stage.conditions().cut_off(self.client, self.node) {
            self.stage.kept_waiting.fetch_add(1, Relaxed);
            tokio::time::sleep(STEP).await;
        }
    }

    /// Waits until the client takes something, which is not at once while it reads slowly.
    async fn read(&self) {
        self.open().await;
        while self.stage.conditions().reading(self.client) == Reading::Nothing {
            self.stage.kept_waiting.fetch_add(1, Relaxed);
            tokio::time::sleep(STEP).await;
            self.open().await;
        }
    }

    /// The client takes a frame of so many bytes.
    async fn take(&self, bytes: u64) {
        self.read().await;
        let Reading::Slowly(rate) = self.stage.conditions().reading(self.client) else { return };
        self.stage.kept_waiting.fetch_add(1, Relaxed);
        tokio::time::sleep(Duration::from_micros((bytes * 1_000_000).div_ceil(rate))).await;
    }
}

/// Removes what the node knows of a connection when that ends.
struct Registered<'a>(&'a Way, u16);

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        lock(&self.0.stage.lines).remove(&self.1);
    }
}

async fn converse(
    net: &TurmoilNet,
    way: &Way,
    address: &str,
    greeting: &[u8],
    mut to_send: mpsc::UnboundedReceiver<bytes::Bytes>,
    to_actor: &mpsc::UnboundedSender<Heard>,
) -> io::Result<()> {
    let connecting = async {
        way.open().await;
        net.connect(address).await
    };
    let stream = tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let unread = Arc::<std::sync::atomic::AtomicU64>::default();
    let line = ClientLine { client: way.client, node: way.node, unread: Arc::clone(&unread) };
    lock(&way.stage.lines).insert(stream.local_port, line);
    let _registered = Registered(way, stream.local_port);
    let (mut input, mut output) = tokio::io::split(stream);
    output.write_all(greeting).await?;
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    to_actor.send(Heard::Connected).map_err(gone)?;
    let mut reader = FrameReader::new(CLIENT_FRAME_LIMIT);
    loop {
        while let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            if !way.stage.conditions().clients_are_well() {
                way.take(frame.body.len() as u64).await;
            }
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
                let read = read? as u64;
                if read == 0 {
                    return Ok(());
                }
                let _ = unread.fetch_update(Relaxed, Relaxed, |unread| Some(unread.saturating_sub(read)));
            }
        }
    }
}
