//! Frames: an envelope with its length and a checksum in front.
//!
//! Bytes: length of the envelope (u32, little endian), the low half of its XXH3 (u32, little endian), the envelope. A length over the limit is
//! refused before anything is allocated.

use super::envelope::{Envelope, EnvelopeError, Kind, seal};
use alloc::vec::Vec;
use bytes::{Buf, Bytes, BytesMut};
use core::fmt;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// Largest envelope between peers: an append of [`crate::contract::Limits::append_bytes`] with one largest entry, and room to spare.
pub const PEER_FRAME_LIMIT: u32 = 1 << 20;
/// Largest envelope from a node to its client: a list of all rooms. What clients send is far smaller, and bounded by the driver.
pub const CLIENT_FRAME_LIMIT: u32 = 4 << 20;
/// The first bytes of a framed client's connection, which tell it from HTTP on the same port.
pub const CLIENT_MAGIC: [u8; 4] = *b"TRT1";

const HEAD: usize = 8;

/// One frame: an opened envelope whose checksum held.
pub type Frame = Envelope;

/// Why a connection is closed: what came is no frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameError {
    TooLarge { length: u32, limit: u32 },
    Checksum,
    Envelope(EnvelopeError),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLarge { length, .. } if *length == u32::from_le_bytes(*b"HTTP") => {
                write!(f, "it answers as a web server does, not as a node: is it the right port?")
            }
            FrameError::TooLarge { length, limit } => write!(f, "a frame of {length} bytes is over the limit of {limit}"),
            FrameError::Checksum => write!(f, "a frame's checksum does not agree with its bytes"),
            FrameError::Envelope(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FrameError {}

/// Encodes one frame.
pub fn encode_frame<T: Serialize>(kind: Kind, body: &T) -> Bytes {
    frame_of(&seal(kind, body))
}

/// Puts length and checksum in front of an envelope.
pub fn frame_of(envelope: &Bytes) -> Bytes {
    let mut bytes = Vec::with_capacity(HEAD + envelope.len());
    bytes.extend_from_slice(&(envelope.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(xxh3_64(envelope) as u32).to_le_bytes());
    bytes.extend_from_slice(envelope);
    Bytes::from(bytes)
}

/// Cuts a stream of bytes into frames. After an error the stream is lost: close it.
#[derive(Clone, Debug)]
pub struct FrameReader {
    limit: u32,
    buffer: BytesMut,
}

impl FrameReader {
    pub fn new(limit: u32) -> FrameReader {
        FrameReader { limit, buffer: BytesMut::new() }
    }

    /// Where to read more bytes into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole frame, if it is there.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((head, _)) = self.buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
        let (length, checksum) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
        if length > self.limit {
            return Err(FrameError::TooLarge { length, limit: self.limit });
        }
        if self.buffer.len() < HEAD + length as usize {
            return Ok(None);
        }
        self.buffer.advance(HEAD);
        let bytes = self.buffer.split_to(length as usize).freeze();
        if xxh3_64(&bytes) as u32 != checksum {
            return Err(FrameError::Checksum);
        }
        Envelope::parse(&bytes).map(Some).map_err(FrameError::Envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(bytes: &[u8], limit: u32, piece: usize) -> Result<Vec<Frame>, FrameError> {
        let mut reader = FrameReader::new(limit);
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            reader.buffer().extend_from_slice(piece);
            while let Some(frame) = reader.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn whatever_comes_is_frames_or_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
            let _ = frames(&bytes, 1000, piece);
        }

        #[test]
        fn frames_survive_being_cut_anywhere(texts in prop::collection::vec(".{0,40}", 0..10), piece in 1usize..50) {
            let mut bytes = Vec::new();
            for text in &texts {
                bytes.extend_from_slice(&encode_frame(Kind::Peer, text));
            }
            let found: Vec<alloc::string::String> = frames(&bytes, 1000, piece).unwrap().iter().map(|frame| frame.decode().unwrap()).collect();
            prop_assert_eq!(found, texts);
        }

        #[test]
        fn any_flipped_bit_is_noticed(text in ".{1,40}", bit in any::<prop::sample::Index>()) {
            let mut bytes = encode_frame(Kind::Peer, &text).to_vec();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // A longer length just waits for more; everything else is an error.
            prop_assert!(!matches!(frames(&bytes, 1000, 7), Ok(frames) if !frames.is_empty()));
        }
    }

    #[test]
    fn a_web_server_is_told_from_a_node() {
        let error = frames(b"HTTP/1.1 400 Bad Request", 1000, 8).unwrap_err();
        assert!(alloc::string::ToString::to_string(&error).contains("is it the right port?"));
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_head_alone() {
        let head = [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0];
        assert_eq!(frames(&head, 1000, 8), Err(FrameError::TooLarge { length: 0x7fff_ffff, limit: 1000 }));
    }
}
