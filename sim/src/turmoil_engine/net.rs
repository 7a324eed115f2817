//! Turmoil's streams as the driver's [`Net`], with loss, delay and duplication of whole peer frames.
//!
//! Turmoil's TCP does not retransmit, so weather acts above it: on frames that a dialling peer sends, after its handshake. A partition is turmoil's own.
//! Draws are keyed by the link, the frame's content and the moment.

use super::stage::{Stage, lock};
use crate::plan::Reading;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tertulia_driver::Net;
use tertulia_protocol::dice::{Purpose, chance, draw};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use turmoil::net::{TcpListener, TcpStream};

/// Frames of a dialler's handshake, which no weather touches: its hello and its proof.
const HANDSHAKE: u32 = 2;
/// Bytes that a client in trouble may have been sent and not taken: what is beyond waits with the node. (A socket's buffer is bigger; runs are short.)
const UNREAD: u64 = 1_024;
/// How often it is looked whether such a client has taken more.
const LOOK: Duration = Duration::from_millis(5);
/// Length and checksum in front of a frame.
const FRAME_HEAD: usize = 8;

/// The network of one simulated host.
#[derive(Clone)]
pub struct TurmoilNet {
    stage: Arc<Stage>,
    /// The node that lives here; `None`: clients, whose streams have no weather.
    node: Option<usize>,
}

impl TurmoilNet {
    pub fn of_node(stage: &Arc<Stage>, node: usize) -> TurmoilNet {
        TurmoilNet { stage: Arc::clone(stage), node: Some(node) }
    }

    pub fn of_clients(stage: &Arc<Stage>) -> TurmoilNet {
        TurmoilNet { stage: Arc::clone(stage), node: None }
    }
}

/// The name of a node's host.
pub fn host_name(node: usize) -> String {
    format!("n{}", node + 1)
}

fn split_address(address: &str) -> io::Result<(&str, u16)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("not host:port: {address}"));
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    Ok((host, port.parse().map_err(|_| bad())?))
}

impl Net for TurmoilNet {
    type Stream = Shaped;
    type Listener = TcpListener;

    async fn bind(&self, address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(split_address(address)?).await
    }

    fn local_address(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Shaped, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        let mut shaped = Shaped::new(stream, None)?;
        shaped.reader = Some(Reader { stage: Arc::clone(&self.stage), port: from.port(), look: None });
        Ok((shaped, from))
    }

    async fn connect(&self, address: &str) -> io::Result<Shaped> {
        let (host, port) = split_address(address)?;
        let stream = TcpStream::connect((host, port)).await?;
        let peer = host.strip_prefix('n').and_then(|number| number.parse::<usize>().ok()).map(|number| number - 1);
        let link = self.node.zip(peer).map(|(from, to)| Link::new(&self.stage, from, to));
        Shaped::new(stream, link)
    }
}

/// The client at the other end of an accepted stream, if it is one: while it is cut off or reads slowly, the node's writes wait for it.
struct Reader {
    stage: Arc<Stage>,
    port: u16,
    look: Option<Pin<Box<Sleep>>>,
}

impl Reader {
    /// Ready when the client has taken nearly all that was written, or is in no trouble.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.is_full() {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(LOOK)));
            if look.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.look = None;
        }
        self.look = None;
        Poll::Ready(())
    }

    fn is_full(&self) -> bool {
        let lines = lock(&self.stage.lines);
        let Some(line) = lines.get(&self.port) else { return false };
        let conditions = self.stage.conditions();
        let troubled = conditions.cut_off(line.client, line.node) || conditions.reading(line.client) != Reading::Freely;
        troubled && line.unread.load(Relaxed) > UNREAD
    }

    fn written(&self, bytes: usize) {
        if let Some(line) = lock(&self.stage.lines).get(&self.port) {
            line.unread.fetch_add(bytes as u64, Relaxed);
        }
    }
}

/// What one connection of nodes has on its way through a clogged link.
#[derive(Default)]
struct Queue {
    /// Microseconds that all of it takes.
    takes: AtomicU64,
    /// It was full: what waits is lost.
    broken: AtomicBool,
}

/// One frame, or what a stream without frames writes.
struct Piece {
    /// It is held back by so much.
    delay: Duration,
    bytes: Bytes,
    /// Microseconds that it takes on a clogged link.
    takes: u64,
}

/// A way from one node to another, with whatever weather there is.
struct Link {
    stage: Arc<Stage>,
    from: usize,
    to: usize,
    /// Resets of this way when the connection was made.
    resets: u64,
}

impl Link {
    fn new(stage: &Arc<Stage>, from: usize, to: usize) -> Link {
        let mut link = Link { stage: Arc::clone(stage), from, to, resets: 0 };
        link.resets = link.resets_by_now();
        link
    }

    fn resets_by_now(&self) -> u64 {
        self.stage.resets[self.from * self.stage.disks.len() + self.to].load(Relaxed)
    }

    /// Noticed by whoever writes next; a dialler writes a sign of life ten times a second at least.
    fn was_reset(&self) -> bool {
        self.resets_by_now() > self.resets
    }

    /// Microseconds that so many bytes take where the link is clogged, and how long they may wait.
    fn clog(&self, bytes: usize) -> Option<(u64, u64)> {
        let (rate, queue) = self.stage.conditions().clog(self.from, self.to)?;
        Some((rate.takes(bytes as u64), queue))
    }

    /// The copies of a frame that arrive, each with its extra delay.
    fn copies(&self, frame: &[u8]) -> Vec<Duration> {
        let (at, seed) = (self.stage.elapsed(), self.stage.seed);
        let conditions = self.stage.conditions();
        if conditions.is_fair() {
            return vec![Duration::ZERO];
        }
        let (loss, duplicate, delays) = conditions.weather(self.from, self.to);
        let who = (self.from * 64 + self.to) as u64;
        let content = crate::trace::digest(frame);
        let drawn = |purpose, nth| draw(seed, purpose, who, content ^ at, nth);
        if chance(drawn(Purpose::LinkLoss, 0), loss) {
            self.stage.touched.fetch_add(1, Relaxed);
            return Vec::new();
        }
        let delays: Vec<_> = delays.collect();
        let held = conditions
            .held_back(self.from, self.to)
            .zip(1u64..)
            .filter(|((part, _), nth)| chance(drawn(Purpose::LinkLoss, nth << 32), *part));
        let held_back = held.map(|((_, by), nth)| by.pick(drawn(Purpose::LinkExtraDelay, nth << 32))).sum::<u64>();
        self.stage.held_back.fetch_add(u64::from(held_back > 0), Relaxed);
        let copies = 1 + u64::from(chance(drawn(Purpose::LinkDuplicate, 0), duplicate));
        self.stage.touched.fetch_add(copies - 1, Relaxed);
        let delay = |copy| {
            delays
                .iter()
                .enumerate()
                .map(|(nth, span)| span.pick(drawn(Purpose::LinkExtraDelay, copy * 16 + nth as u64)))
                .sum::<u64>()
                + held_back
        };
        (0..copies).map(|copy| Duration::from_micros(delay(copy))).collect()
    }
}

/// A stream that a task writes to, frame by frame.
pub struct Shaped {
    input: OwnedReadHalf,
    to_pump: Option<mpsc::UnboundedSender<Piece>>,
    link: Option<Link>,
    queue: Arc<Queue>,
    /// Whoever reads what is written here, on a stream that was accepted.
    reader: Option<Reader>,
    pub local_port: u16,
    /// What has been written and is no whole frame yet.
    cutting: BytesMut,
    frames: u32,
}

impl Shaped {
    fn new(stream: TcpStream, link: Option<Link>) -> io::Result<Shaped> {
        let local_port = stream.local_addr()?.port();
        let (input, output) = stream.into_split();
        let (to_pump, from_writer) = mpsc::unbounded_channel();
        let queue = Arc::<Queue>::default();
        tokio::spawn(pump(output, from_writer, Arc::clone(&queue)));
        let to_pump = Some(to_pump);
        Ok(Shaped { input, to_pump, link, queue, reader: None, local_port, cutting: BytesMut::new(), frames: 0 })
    }

    fn send(&self, delay: Duration, bytes: Bytes, takes: u64) -> io::Result<()> {
        let pump = self.to_pump.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        pump.send(Piece { delay, bytes, takes }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// A frame's place in the queue of a clogged link; what it takes there. Without room the connection breaks.
    fn queue_up(&self, link: &Link, bytes: usize) -> io::Result<u64> {
        let Some((takes, longest)) = link.clog(bytes) else { return Ok(0) };
        let before = self.queue.takes.fetch_add(takes, Relaxed);
        link.stage.queued.fetch_add(1, Relaxed);
        if before > longest {
            self.queue.broken.store(true, Relaxed);
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(takes)
    }

    /// Sends the whole frames of what has been written.
    fn cut(&mut self, link: &Link) -> io::Result<()> {
        while let Some(length) = self.cutting.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize + FRAME_HEAD) {
            if self.cutting.len() < length {
                break;
            }
            let frame = self.cutting.copy_to_bytes(length);
            self.frames += 1;
            if self.frames <= HANDSHAKE {
                self.send(Duration::ZERO, frame, 0)?;
                continue;
            }
            for delay in link.copies(&frame) {
                let takes = self.queue_up(link, frame.len())?;
                self.send(delay, frame.clone(), takes)?;
            }
        }
        Ok(())
    }
}

/// Writes each piece when its delay has passed; pieces of the same moment in the order in which they came, and on a clogged link one after the other.
async fn pump(mut output: OwnedWriteHalf, mut pieces: mpsc::UnboundedReceiver<Piece>, queue: Arc<Queue>) {
    let mut waiting: BTreeMap<(Instant, u64), Piece> = BTreeMap::new();
    let (mut count, mut open) = (0, true);
    while open || !waiting.is_empty() {
        let next = waiting.first_key_value().map(|((at, _), _)| *at);
        tokio::select! {
            biased;
            piece = pieces.recv(), if open => match piece {
                Some(piece) => {
                    count += 1;
                    waiting.insert((Instant::now() + piece.delay, count), piece);
                }
                None => open = false,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
        while let Some(piece) = waiting.first_entry().filter(|piece| piece.key().0 <= Instant::now()) {
            let Piece { bytes, takes, .. } = piece.remove();
            if takes > 0 {
                sleep(Duration::from_micros(takes)).await;
                queue.takes.fetch_sub(takes, Relaxed);
            }
            if queue.broken.load(Relaxed) || output.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
    // The other side may be gone already.
    let _ = output.shutdown().await;
}

impl AsyncRead for Shaped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Shaped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Some(reader) = &mut this.reader {
            ready!(reader.poll_room(cx));
            reader.written(buf.len());
        }
        let sent = match this.link.take() {
            None => this.send(Duration::ZERO, Bytes::copy_from_slice(buf), 0),
            Some(link) if link.was_reset() => Err(io::ErrorKind::ConnectionReset.into()),
            Some(link) => {
                this.cutting.extend_from_slice(buf);
                let sent = this.cut(&link);
                this.link = Some(link);
                sent
            }
        };
        Poll::Ready(sent.map(|()| buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.to_pump = None;
        Poll::Ready(Ok(()))
    }
}
