//! What a client keeps over its end: small records under keys, each an envelope.
//!
//! - A record replaces the one of the same key. Its host puts it into a table (IndexedDB), or appends it to a file as a frame ([`frame`]), and a
//!   [`forgotten`] one for what is to go; a file is read by [`read`], which ends at the first frame that is not whole, and says whether that is its torn end.
//! - Any beginning of what was kept, in the order in which it was handed out, is a state that the client was in: a torn tail costs nothing that was synced.

use super::Client;
use super::types::{Change, Key, Output, ResumeError};
use crate::chat::Command;
use crate::gateway::Token;
use crate::ids::*;
use crate::wire::{EnvelopeError, FrameError, FrameReader, Kind, frame_of, open, seal};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Largest record: a command of the largest kind, and room to spare.
pub const RECORD_LIMIT: u32 = 1 << 16;
/// Length and checksum in front of a record.
const FRAME_HEAD: usize = 8;
const FRAME_LIMIT: usize = FRAME_HEAD + RECORD_LIMIT as usize;

/// Whose outbox it is, and what was given out when that was last written. Records of commands may say more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SessionRecord {
    pub token: Token,
    pub name: String,
    pub next_number: u64,
    pub next_wire: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CommandRecord {
    number: u64,
    wire: Option<u64>,
    /// An envelope of its own: a new command does not change old records.
    command: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CursorRecord {
    room: RoomId,
    cursor: Cursor,
}

pub(super) fn session_record(record: &SessionRecord) -> Bytes {
    seal(Kind::OutboxSession, record)
}

pub(super) fn command_record(number: u64, wire: Option<u64>, command: &Command) -> Bytes {
    seal(Kind::OutboxCommand, &CommandRecord { number, wire, command: command.encode() })
}

pub(super) fn cursor_record(room: RoomId, cursor: Cursor) -> Bytes {
    seal(Kind::OutboxCursor, &CursorRecord { room, cursor })
}

/// A record that takes back the one of this key: for hosts that only append.
pub fn forgotten(key: Key) -> Bytes {
    seal(Kind::OutboxForgotten, &key)
}

/// A record with its length and checksum in front, to be appended to a file.
pub fn frame(record: &Bytes) -> Bytes {
    frame_of(record)
}

/// The key of a record; that of a forgotten one is the key that it takes back, and true.
pub fn key_of(record: &Bytes) -> Result<(Key, bool), EnvelopeError> {
    Ok(match Kind::of(record)? {
        Kind::OutboxSession => (Key::Session, false),
        Kind::OutboxCursor => (Key::Cursor(open::<CursorRecord>(Kind::OutboxCursor, record)?.room), false),
        Kind::OutboxForgotten => (open(Kind::OutboxForgotten, record)?, true),
        _ => (Key::Command(open::<CommandRecord>(Kind::OutboxCommand, record)?.number), false),
    })
}

/// What a file of frames holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Read {
    /// The last record of each key that was not forgotten.
    pub records: BTreeMap<Key, Bytes>,
    /// How many bytes are whole frames.
    pub whole: usize,
    /// What follows those.
    pub rest: Rest,
}

/// What follows the whole frames of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    Nothing,
    /// A last frame that was not written to its end: to be cut off before anything is appended.
    Torn,
    /// More than that: what follows cannot be read, and may count.
    Damaged,
}

/// Reads a file of frames as far as it is whole.
pub fn read(file: &[u8]) -> Read {
    let (mut records, mut whole) = (BTreeMap::new(), 0);
    let rest = loop {
        match first_record(&file[whole..]) {
            Some(Ok((record, length))) => {
                let Ok((key, gone)) = key_of(&record) else { break Rest::Damaged };
                let _ = if gone { records.remove(&key) } else { records.insert(key, record) };
                whole += length;
            }
            _ if whole == file.len() => break Rest::Nothing,
            // Its checksum holds, so it is as it was written: by a newer version, or by another program.
            Some(Err(FrameError::Envelope(_))) => break Rest::Damaged,
            _ => break after(&file[whole..]),
        }
    };
    Read { records, whole, rest }
}

/// The record at the beginning of these bytes, and the length of its frame. `None` where the frame goes on behind them.
fn first_record(bytes: &[u8]) -> Option<Result<(Bytes, usize), FrameError>> {
    let length = bytes.first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    let mut frames = FrameReader::new(RECORD_LIMIT);
    frames.buffer().extend_from_slice(&bytes[..bytes.len().min(FRAME_HEAD.saturating_add(length)).min(FRAME_LIMIT)]);
    let envelope = match frames.next_frame() {
        Ok(envelope) => envelope?,
        Err(error) => return Some(Err(error)),
    };
    let mut record = Vec::with_capacity(3 + envelope.body.len());
    record.extend_from_slice(&(envelope.kind as u16).to_le_bytes());
    record.push(envelope.version);
    record.extend_from_slice(&envelope.body);
    let length = FRAME_HEAD + record.len();
    Some(Ok((Bytes::from(record), length)))
}

/// Whether bytes that do not begin with a whole frame may be one that was not written to its end: it is the last, and no longer than a frame is.
fn after(bytes: &[u8]) -> Rest {
    let is_whole = |at: usize| {
        let kind = bytes.get(at + FRAME_HEAD..).map(Kind::of);
        let is_record =
            matches!(kind, Some(Ok(Kind::OutboxSession | Kind::OutboxCommand | Kind::OutboxCursor | Kind::OutboxForgotten)));
        is_record && matches!(first_record(&bytes[at..]), Some(Ok(_)))
    };
    if bytes.len() > FRAME_LIMIT || (1..bytes.len()).any(is_whole) { Rest::Damaged } else { Rest::Torn }
}

/// The state that records add up to.
pub(super) struct State {
    pub session: SessionRecord,
    pub commands: BTreeMap<u64, (Option<u64>, Command)>,
    pub cursors: BTreeMap<RoomId, Cursor>,
}

/// Puts records together, whether they come from a table or in the order in which they were appended. `None` where there are none.
pub(super) fn state(kept: &[Bytes]) -> Result<Option<State>, ResumeError> {
    let mut live: BTreeMap<Key, &Bytes> = BTreeMap::new();
    for (nth, record) in kept.iter().enumerate() {
        let (key, gone) = key_of(record).map_err(|error| ResumeError::Damaged { nth, error })?;
        let _ = if gone { live.remove(&key) } else { live.insert(key, record) };
    }
    if live.is_empty() {
        return Ok(None);
    }
    let damaged = |error| ResumeError::Damaged { nth: 0, error };
    let record = live.get(&Key::Session).ok_or(ResumeError::NoSession)?;
    let session: SessionRecord = open(Kind::OutboxSession, record).map_err(damaged)?;
    let mut state = State { session, commands: BTreeMap::new(), cursors: BTreeMap::new() };
    for (key, record) in live {
        match key {
            Key::Session => {}
            Key::Command(number) => {
                let kept: CommandRecord = open(Kind::OutboxCommand, record).map_err(damaged)?;
                state.commands.insert(number, (kept.wire, Command::decode(&kept.command).map_err(damaged)?));
            }
            Key::Cursor(room) => {
                let kept: CursorRecord = open(Kind::OutboxCursor, record).map_err(damaged)?;
                state.cursors.insert(room, kept.cursor);
            }
        }
    }
    Ok(Some(state))
}

/// What was handed out to be kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Journal {
    /// There is a host that keeps things.
    pub on: bool,
    /// The number of the last change that was handed out.
    pub given: u64,
}

impl Client {
    /// Hands out a record; its place among the changes.
    pub(super) fn keep(&mut self, key: Key, record: Bytes, sync: bool) -> u64 {
        self.change(key, Some(record), sync)
    }

    pub(super) fn forget(&mut self, key: Key) -> u64 {
        self.change(key, None, false)
    }

    fn change(&mut self, key: Key, record: Option<Bytes>, sync: bool) -> u64 {
        self.journal.given += 1;
        let serial = self.journal.given;
        let change = Change { serial, key, sync };
        self.outputs.push_back(match record {
            Some(record) => Output::Keep { change, record },
            None => Output::Forget { change },
        });
        serial
    }

    pub(super) fn keep_session(&mut self, sync: bool) {
        let (name, token) = (self.config.name.clone(), self.config.token);
        let record = SessionRecord { token, name, next_number: self.next_number, next_wire: self.next_wire };
        self.keep(Key::Session, session_record(&record), sync);
    }
}
