//! The framed protocol on the clients' port: [`CLIENT_MAGIC`], a hello, then requests in; replies, events and the end out.
//!
//! What a client may hold of its node is bounded: a request's size, its unanswered requests, the events that wait for it, and the time for which it
//! neither says nor takes anything. A client that breaks the rules is cut off and counted; it is owed no explanation.

use crate::framing::{self, Lost, Reading};
use crate::handle::{Connection, Handle, Queued, Replies, Requests, Stopped};
use crate::metrics::{Port, Reason};
use bytes::Bytes;
use std::time::Duration;
use tertulia_protocol::gateway::{ClientHello, Request};
use tertulia_protocol::wire::{CLIENT_MAGIC, Kind, encode_frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// Largest frame that a client may send: a message's text is at most a few KiB.
const REQUEST_LIMIT: u32 = 64 << 10;
/// From the first byte to the end of the hello.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// A client that says nothing for so long is let go. Living ones ping.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// A client that takes nothing for so long, while something waits for it, is let go.
const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// How much to read at once. Small: there may be thousands of connections.
const READ_PIECE: usize = 4 << 10;
/// What waits is written in pieces of about this size.
const WRITE_PIECE: usize = 64 << 10;

/// Serves one framed client until either side ends it. `already` is what the caller has read off the stream to tell the protocols apart: nothing if
/// it only peeked, else the bytes of the magic (and what came with them).
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(handle: &Handle, mut stream: S, already: &[u8]) {
    // Counted before the stream is closed: whoever sees the end can see the count.
    if let Err(lost) = serve_until_lost(handle, &mut stream, already).await
        && let Some(reason) = lost.reason()
    {
        handle.metrics().refuse(Port::Client, reason);
        tracing::debug!("a client is cut off: {lost}");
    }
}

async fn serve_until_lost<S: AsyncRead + AsyncWrite + Unpin>(handle: &Handle, stream: S, already: &[u8]) -> Result<(), Lost> {
    let (mut input, mut output) = tokio::io::split(stream);
    let mut reading = Reading::new(REQUEST_LIMIT, READ_PIECE);
    let hello = timeout(HELLO_LIMIT, greet(&mut input, &mut reading, already));
    let hello = hello.await.map_err(|_| Lost::Against(Reason::Slow, format!("no hello within {HELLO_LIMIT:?}")))??;
    let Some(Connection { requests, replies }) = handle.connect(hello).await else { return Ok(()) };
    // Both in this task, each going on while the other waits.
    tokio::select! {
        biased;
        written = write_replies(&mut output, replies) => written,
        read = read_requests(&mut input, reading, requests) => read,
    }
}

async fn greet<R: AsyncRead + Unpin>(input: &mut R, reading: &mut Reading, already: &[u8]) -> Result<ClientHello, Lost> {
    let mut magic = [0; CLIENT_MAGIC.len()];
    let given = already.len().min(magic.len());
    magic[..given].copy_from_slice(&already[..given]);
    input.read_exact(&mut magic[given..]).await?;
    if magic != CLIENT_MAGIC {
        return Err(Lost::Against(Reason::Magic, "these are not the first bytes of the framed protocol".into()));
    }
    reading.push(&already[given..]);
    framing::expect(Kind::ClientHello, &reading.next(input).await?)
}

async fn read_requests<R: AsyncRead + Unpin>(input: &mut R, mut reading: Reading, requests: Requests) -> Result<(), Lost> {
    loop {
        let silent = |_| Lost::Against(Reason::Silent, format!("silent for {IDLE_LIMIT:?}"));
        let frame = timeout(IDLE_LIMIT, reading.next(input)).await.map_err(silent)??;
        let request: Request = framing::expect(Kind::Request, &frame)?;
        if requests.request(request).await == Err(Stopped) {
            return Ok(());
        }
    }
}

async fn write_replies<W: AsyncWrite + Unpin>(output: &mut W, mut replies: Replies) -> Result<(), Lost> {
    loop {
        let Some(mut queued) = replies.next().await else { return Ok(()) };
        let (mut frames, mut length, mut ends) = (Vec::new(), 0, false);
        loop {
            ends |= matches!(queued, Queued::Closed(_));
            let frame = encode(&queued);
            length += frame.len();
            frames.push(frame);
            if ends || length >= WRITE_PIECE {
                break;
            }
            match replies.try_next() {
                Some(next) => queued = next,
                None => break,
            }
        }
        framing::write(output, framing::concat(frames), WRITE_LIMIT).await?;
        replies.give_back();
        if ends {
            return Ok(());
        }
    }
}

fn encode(queued: &Queued) -> Bytes {
    match queued {
        Queued::Reply(reply) => encode_frame(Kind::Reply, reply),
        Queued::Event(published) => published.frame(),
        Queued::Closed(reason) => encode_frame(Kind::Close, reason),
    }
}
