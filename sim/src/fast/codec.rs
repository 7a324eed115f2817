//! The codec on a sample of seeds: what nodes and clients say is encoded, framed, read back in pieces, decoded and compared.
//!
//! On all other seeds messages are moved. The sample is keyed by the seed alone, so that a seed fails by itself or not at all.

use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use tertulia_protocol::dice::{Purpose, Seed, draw};
use tertulia_protocol::wire::{FrameReader, Kind, PEER_FRAME_LIMIT, encode_frame};

/// One seed in so many.
const SAMPLE: u64 = 16;

/// Whether this seed's messages go through the codec.
pub(super) fn sampled(seed: Seed) -> bool {
    draw(seed, Purpose::CodecSample, 0, 0, 0).is_multiple_of(SAMPLE)
}

/// Encodes and decodes; what does not come back equal is described.
pub(super) fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(kind: Kind, value: &T) -> Result<(), String> {
    let bytes = encode_frame(kind, value);
    let mut reader = FrameReader::new(PEER_FRAME_LIMIT);
    for piece in bytes.chunks(bytes.len() / 3 + 1) {
        reader.buffer().extend_from_slice(piece);
    }
    let frame = match reader.next_frame() {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(format!("a frame of {} bytes is not complete: {value:?}", bytes.len())),
        Err(error) => return Err(format!("{error}: {value:?}")),
    };
    if frame.kind != kind || !reader.buffer().is_empty() {
        return Err(format!("a frame of {kind:?} came back as {:?} with {} bytes left", frame.kind, reader.buffer().len()));
    }
    match frame.decode::<T>() {
        Ok(back) if back == *value => Ok(()),
        Ok(back) => Err(format!("{value:?} came back as {back:?}")),
        Err(error) => Err(format!("{error}: {value:?}")),
    }
}

/// The message with one bit of its encoding changed: the first bit whose change still decodes. For the trace's own test.
pub(super) fn flip_one_bit<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> Option<T> {
    let bytes = postcard::to_allocvec(value).ok()?;
    (0..bytes.len() * 8).rev().find_map(|bit| {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match postcard::take_from_bytes::<T>(&flipped) {
            Ok((other, [])) if other != *value => Some(other),
            _ => None,
        }
    })
}
