//! Commands as bytes: each variant is a kind of its own.

use super::types::*;
use crate::ids::UserId;
use crate::wire::{Envelope, EnvelopeError, Kind, open, seal};
use alloc::string::String;
use bytes::Bytes;

impl Command {
    pub fn encode(&self) -> Bytes {
        match self {
            Command::CreateRoom { name } => seal(Kind::CreateRoom, name),
            Command::Join { room } => seal(Kind::Join, room),
            Command::Leave { room } => seal(Kind::Leave, room),
            Command::Post { room, text } => seal(Kind::Post, &(room, text)),
        }
    }

    pub fn decode(bytes: &Bytes) -> Result<Command, EnvelopeError> {
        let envelope = Envelope::parse(bytes)?;
        Ok(match envelope.kind {
            Kind::CreateRoom => Command::CreateRoom { name: envelope.decode()? },
            Kind::Join => Command::Join { room: envelope.decode()? },
            Kind::Leave => Command::Leave { room: envelope.decode()? },
            Kind::Post => {
                let (room, text) = envelope.decode()?;
                Command::Post { room, text }
            }
            found => return Err(EnvelopeError::WrongKind { expected: Kind::Post, found }),
        })
    }
}

/// What a command was answered, from the bytes that the session table keeps.
pub fn decode_reply(bytes: &Bytes) -> Result<Done, Refusal> {
    open::<Result<Done, Refusal>>(Kind::ChatReply, bytes).unwrap_or_else(|error| Err(unreadable(&error)))
}

/// What a sign-in was answered.
pub fn decode_signed_in(bytes: &Bytes) -> Result<(UserId, String), Refusal> {
    open::<Result<(UserId, String), Refusal>>(Kind::ChatReply, bytes).unwrap_or_else(|error| Err(unreadable(&error)))
}

fn unreadable(error: &EnvelopeError) -> Refusal {
    Refusal::BadRequest { why: alloc::format!("the outcome kept for this request cannot be read by this version: {error}") }
}
