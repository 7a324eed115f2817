//! Frames over a stream, with the two limits that keep a dead or hostile other side from holding anything for ever: the size of a frame, and how
//! long a write may make no progress.

use crate::metrics::Reason;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::time::Duration;
use tertulia_protocol::wire::{Envelope, EnvelopeError, Frame, FrameError, FrameReader, Kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why a stream is given up.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The other side closed it.
    Ended,
    Io(io::Error),
    /// What came, or what did not come, is against the rules.
    Against(Reason, String),
}

impl Lost {
    /// What to count it as; ordinary ends are not counted.
    pub(crate) fn reason(&self) -> Option<Reason> {
        match self {
            Lost::Ended | Lost::Io(_) => None,
            Lost::Against(reason, _) => Some(*reason),
        }
    }

    pub(crate) fn unexpected(frame: &Frame) -> Lost {
        Lost::Against(Reason::Unexpected, format!("a frame of kind {:?} has no place here", frame.kind))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Ended => write!(f, "closed by the other side"),
            Lost::Io(error) => error.fmt(f),
            Lost::Against(_, why) => write!(f, "{why}"),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Lost::Ended,
            _ => Lost::Io(error),
        }
    }
}

impl From<FrameError> for Lost {
    fn from(error: FrameError) -> Lost {
        Lost::Against(Reason::from(&error), error.to_string())
    }
}

impl From<EnvelopeError> for Lost {
    fn from(error: EnvelopeError) -> Lost {
        Lost::Against(Reason::Malformed, error.to_string())
    }
}

/// Decodes a frame of one expected kind.
pub(crate) fn expect<T: DeserializeOwned>(kind: Kind, frame: &Frame) -> Result<T, Lost> {
    if frame.kind != kind {
        return Err(Lost::unexpected(frame));
    }
    Ok(Envelope::decode(frame)?)
}

/// The reading side: whole frames out of pieces.
pub(crate) struct Reading {
    frames: FrameReader,
    /// How much to ask for at once.
    piece: usize,
}

impl Reading {
    pub(crate) fn new(limit: u32, piece: usize) -> Reading {
        Reading { frames: FrameReader::new(limit), piece }
    }

    /// The same bytes under another limit: a handshake is held to a smaller one than what follows it.
    pub(crate) fn with_limit(mut self, limit: u32, piece: usize) -> Reading {
        let mut frames = FrameReader::new(limit);
        *frames.buffer() = std::mem::take(self.frames.buffer());
        Reading { frames, piece }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.frames.buffer().extend_from_slice(bytes);
    }

    /// A frame that is here already.
    pub(crate) fn pop(&mut self) -> Result<Option<Frame>, Lost> {
        Ok(self.frames.next_frame()?)
    }

    /// Waits for more bytes. May be cancelled without losing any.
    pub(crate) async fn fill<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> Result<(), Lost> {
        let piece = self.piece;
        let buffer = self.frames.buffer();
        if buffer.capacity() - buffer.len() < piece / 4 {
            buffer.reserve(piece);
        }
        match stream.read_buf(buffer).await? {
            0 => Err(Lost::Ended),
            _ => Ok(()),
        }
    }

    /// The next frame. May be cancelled without losing any.
    pub(crate) async fn next<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> Result<Frame, Lost> {
        loop {
            if let Some(frame) = self.pop()? {
                return Ok(frame);
            }
            self.fill(stream).await?;
        }
    }
}

/// Writes all of `bytes`. Slow is allowed, standing still for `patience` is not.
pub(crate) async fn write<W: AsyncWrite + Unpin>(stream: &mut W, mut bytes: Bytes, patience: Duration) -> Result<(), Lost> {
    while !bytes.is_empty() {
        let wrote = tokio::time::timeout(patience, stream.write_buf(&mut bytes)).await;
        match wrote.map_err(|_| Lost::Against(Reason::Silent, format!("nothing could be written for {patience:?}")))?? {
            0 => return Err(Lost::Ended),
            _ => continue,
        }
    }
    Ok(stream.flush().await?)
}

/// Many frames as one piece of bytes, for one write.
pub(crate) fn concat(frames: Vec<Bytes>) -> Bytes {
    if let [frame] = &frames[..] {
        return frame.clone();
    }
    let mut all = Vec::with_capacity(frames.iter().map(Bytes::len).sum());
    frames.iter().for_each(|frame| all.extend_from_slice(frame));
    Bytes::from(all)
}
