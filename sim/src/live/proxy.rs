//! The links between the nodes' processes: each is a connection that goes through here, so that it can be cut one way or both, slowed down or broken.
//!
//! A member's address for peers is in the log, the same for everybody. So there is one listener a node, in front of its own port, and whoever dials says in
//! its first frame (`Hello`) who it is. What is learnt in any other way, from the log or from a peer, leads here too.
//!
//! - A closed way holds what is sent over it and gives it up in order when it opens, as TCP does behind a cut; an end or a break passes no sooner. The nodes notice
//!   by their own signs of life.
//! - Connecting needs the way there, being greeted the way back.

use super::stage::{Stage, lock};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_protocol::dice::{Purpose, draw};
use tertulia_protocol::wire::handshake::Hello;
use tertulia_protocol::wire::{FrameReader, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How often something that is held looks whether it may pass.
const STEP: Duration = Duration::from_millis(5);
/// How long a dialler may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// The largest first frame.
const GREETING_LIMIT: u32 = 64 << 10;
/// Bytes of one piece, and pieces on their way in one direction of a connection.
const PIECE: usize = 16 << 10;
const PIECES: usize = 64;

/// Listens for each node. The addresses are those that peers are told.
///
/// # Errors
/// There are no ports.
pub async fn bind(nodes: usize) -> io::Result<Vec<(TcpListener, SocketAddr)>> {
    let mut bound = Vec::new();
    for _ in 0..nodes {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        bound.push((listener, address));
    }
    Ok(bound)
}

/// Serves all links until it is dropped.
pub async fn run(stage: Arc<Stage>, listeners: Vec<TcpListener>) {
    let mut accepting = JoinSet::new();
    for (to, listener) in listeners.into_iter().enumerate() {
        let stage = Arc::clone(&stage);
        accepting.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                tokio::select! {
                    Some(_) = links.join_next() => {}
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => drop(links.spawn(link(Arc::clone(&stage), stream, to))),
                        Err(_) => sleep(STEP).await,
                    },
                }
            }
        });
    }
    while accepting.join_next().await.is_some() {}
}

/// One connection, from its first byte to its end. Why it ends is for the nodes to find out.
async fn link(stage: Arc<Stage>, mut dialler: TcpStream, to: usize) {
    let _ = dialler.set_nodelay(true);
    let Ok(Ok((from, greeting))) = timeout(GREETING, greeting(&mut dialler)).await else { return };
    let nodes = stage.peer_ports.len();
    let Some(from) = (from as usize).checked_sub(1).filter(|from| *from < nodes && *from != to) else { return };
    let (there, back) = (Way::new(&stage, from, to), Way::new(&stage, to, from));
    let resets = || stage.resets[from * nodes + to].load(Relaxed);
    let before = resets();
    let reset = async {
        while resets() == before {
            sleep(STEP).await;
        }
    };
    let passing = async {
        there.open().await;
        let target = TcpStream::connect((Ipv4Addr::LOCALHOST, stage.peer_ports[to])).await?;
        target.set_nodelay(true)?;
        let (from_target, mut to_target) = target.into_split();
        let (from_dialler, to_dialler) = dialler.into_split();
        to_target.write_all(&greeting).await?;
        tokio::select! {
            ended = pump(&there, from_dialler, to_target) => ended,
            ended = pump(&back, from_target, to_dialler) => ended,
        }
    };
    tokio::select! {
        _ = passing => {}
        () = reset => {}
    }
}

/// Reads a dialler's first frame: who it is, and the bytes themselves.
async fn greeting(dialler: &mut TcpStream) -> io::Result<(u64, Vec<u8>)> {
    let (mut reader, mut all) = (FrameReader::new(GREETING_LIMIT), Vec::new());
    loop {
        let mut piece = [0; 1_024];
        let read = dialler.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        all.extend_from_slice(&piece[..read]);
        reader.buffer().extend_from_slice(&piece[..read]);
        if let Some(frame) = reader.next_frame().map_err(io::Error::other)? {
            if frame.kind != Kind::Hello {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let hello: Hello = frame.decode().map_err(io::Error::other)?;
            return Ok((hello.from.node.0, all));
        }
    }
}

/// What passes from one node to another.
struct Way {
    stage: Arc<Stage>,
    from: usize,
    to: usize,
}

impl Way {
    fn new(stage: &Arc<Stage>, from: usize, to: usize) -> Way {
        Way { stage: Arc::clone(stage), from, to }
    }

    /// Waits while nothing passes.
    async fn open(&self) {
        if self.stage.is_blocked(self.from, self.to) {
            self.stage.held.fetch_add(1, Relaxed);
        }
        while self.stage.is_blocked(self.from, self.to) {
            sleep(STEP).await;
        }
    }

    /// How long the nth piece takes.
    fn delay(&self, nth: u64) -> Duration {
        let (stage, from, to) = (&self.stage, self.from, self.to);
        let way = (from * stage.peer_ports.len() + to) as u64;
        let drawn = |purpose, what| draw(stage.seed, purpose, way, what, nth);
        let conditions = lock(&stage.conditions);
        let usual = conditions.delay(from, to).unwrap_or_else(|| stage.scenario.cluster.delay(from, to));
        let (_, _, extra) = conditions.weather(from, to);
        let extra: u64 = extra.enumerate().map(|(what, by)| by.pick(drawn(Purpose::LinkExtraDelay, what as u64))).sum();
        Duration::from_micros(usual.pick(drawn(Purpose::LinkDelay, 0)) + extra)
    }
}

/// Moves one direction's bytes until it ends.
async fn pump(way: &Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let (on_its_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let reading = async move {
        let (mut nth, mut last) = (0, Instant::now());
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            if from.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            // A stream keeps its order.
            last = last.max(Instant::now() + way.delay(nth));
            nth += 1;
            if on_its_way.send((last, piece)).await.is_err() {
                return Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((due, piece)) = arriving.recv().await {
            // Not below the timer's own step: else loopback would be a millisecond away.
            if due > Instant::now() {
                sleep_until(due).await;
            }
            way.open().await;
            to.write_all(&piece).await?;
        }
        way.open().await;
        Ok::<(), io::Error>(())
    };
    tokio::try_join!(reading, writing).map(drop)
}
