//! Bytes: envelopes around everything that outlives a version, frames around everything that crosses a socket, and the handshake of two peers.

mod envelope;
mod frame;
pub mod handshake;

pub use envelope::{Envelope, EnvelopeError, Kind, open, seal};
pub use frame::{CLIENT_FRAME_LIMIT, CLIENT_MAGIC, Frame, FrameError, FrameReader, PEER_FRAME_LIMIT, encode_frame, frame_of};
