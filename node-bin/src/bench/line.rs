//! One framed connection with one request under way: as little as there can be between the load and the cluster.
//!
//! A server that is slow and one that is gone look alike from here, for a while: a paused process keeps its sockets open. So after a short silence the
//! server is pinged, which it answers whatever the cluster does, and one that does not answer that either is given up.

use std::io;
use std::time::Duration;
use tertulia_protocol::chat::Refusal;
use tertulia_protocol::gateway::{Answer, Ask, ClientHello, Reply, Request};
use tertulia_protocol::wire::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, Frame, FrameReader, Kind, encode_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

/// For a connection to stand.
const CONNECT: Duration = Duration::from_secs(1);
/// A server that said nothing for so long is asked whether it is there …
const PING_AFTER: Duration = Duration::from_millis(200);
/// … and given up when it says nothing for so long after that.
const SILENCE: Duration = Duration::from_millis(250);
/// A server that is there and does not answer is given up after this time: it calls an outcome unknown after five seconds itself.
const PATIENCE: Duration = Duration::from_secs(7);
/// How much to read at once: an answer is short.
const READ_PIECE: usize = 1 << 10;

/// A connection. After an error it is lost.
pub struct Line {
    stream: TcpStream,
    frames: FrameReader,
    /// The id of the last request.
    asked: u64,
}

impl Line {
    /// Connects to `host:port`; the hello goes with it.
    pub async fn open(address: &str) -> io::Result<Line> {
        let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| silent("no connection"))??;
        stream.set_nodelay(true)?;
        let mut line = Line { stream, frames: FrameReader::new(CLIENT_FRAME_LIMIT), asked: 0 };
        let hello = encode_frame(Kind::ClientHello, &ClientHello { token: None });
        line.write(&[&CLIENT_MAGIC[..], &hello].concat()).await?;
        Ok(line)
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&mut self, ask: Ask) -> io::Result<Result<Answer, Refusal>> {
        let id = self.send(ask).await?;
        let mut pinged = false;
        let mut heard = Instant::now();
        let give_up = heard + PATIENCE;
        loop {
            while let Some(frame) = self.frames.next_frame().map_err(io::Error::other)? {
                if let Some(reply) = reply_in(&frame)?
                    && reply.id == id
                {
                    return Ok(reply.result);
                }
            }
            let until = heard + if pinged { PING_AFTER + SILENCE } else { PING_AFTER };
            let buffer = self.frames.buffer();
            buffer.reserve(READ_PIECE);
            match timeout_at(until.min(give_up), self.stream.read_buf(buffer)).await {
                Ok(Ok(0)) => return Err(io::Error::other("closed by the server")),
                Ok(read) => {
                    read?;
                    (heard, pinged) = (Instant::now(), false);
                }
                Err(_) if Instant::now() >= give_up => return Err(silent("no answer, though it is there,")),
                Err(_) if pinged => return Err(silent("nothing was heard")),
                Err(_) => {
                    pinged = true;
                    self.send(Ask::Ping).await?;
                }
            }
        }
    }

    async fn send(&mut self, ask: Ask) -> io::Result<u64> {
        self.asked += 1;
        let request = encode_frame(Kind::Request, &Request { id: self.asked, ask });
        self.write(&request).await?;
        Ok(self.asked)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(SILENCE, self.stream.write_all(bytes)).await.map_err(|_| silent("nothing could be sent"))?
    }
}

fn reply_in(frame: &Frame) -> io::Result<Option<Reply>> {
    match frame.kind {
        Kind::Reply => frame.decode().map(Some).map_err(io::Error::other),
        Kind::Close => Err(io::Error::other("closed by the server")),
        _ => Ok(None),
    }
}

fn silent(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} in time"))
}
