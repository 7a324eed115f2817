//! What a client is started with, and what it asks of whoever runs it.

use crate::chat::{Done, Refusal, RoomRef};
use crate::dice::Seed;
use crate::gateway::{Answer, ClientHello, Event, How, Request, Token};
use crate::ids::*;
use crate::time::Duration;
use crate::wire::EnvelopeError;
use alloc::string::String;
use alloc::sync::Arc;
use bytes::Bytes;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a client is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
    /// How the cluster wants it: with a name alone, or with a password.
    pub how: How,
    /// What the device is called; may be empty.
    pub device: String,
    /// Drawn by whoever runs the client, 256 random bits, fresh for each session.
    pub token: Token,
    /// How many servers there are to choose from: 0..servers.
    pub servers: u32,
    /// The one to begin with.
    pub first: u32,
    pub seed: Seed,
    pub timing: Timing,
    /// How far numbers may run ahead of the first unsettled one; at most the cluster's [`crate::contract::Limits::session_window`].
    pub window: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// A request without an answer for so long, from a server that shows signs of life: the server is given up for the next one.
    pub patience: Duration,
    /// Something waits for an answer and nothing at all was heard for so long: the server is asked for a sign of life.
    pub probe: Duration,
    /// Something waits for an answer and nothing at all was heard for so long: the server is given up. A process that is stopped keeps its connections open.
    pub silence: Duration,
    /// An idle connection is asked for a sign of life this often.
    pub keep_alive: Duration,
    /// First pause after a failed connection; doubles up to `backoff_max`, with jitter.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
    /// A command that was accepted without a leader is asked about again after this.
    pub again: Duration,
    /// After all servers were found without a leader, while posts are accepted, they are tried again after this; doubles up to `rest_max`.
    pub rest: Duration,
    pub rest_max: Duration,
    /// How a server is chosen by latency and load. Without it they take turns.
    pub choice: Option<Choice>,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Timing {
            patience: ms(2_000),
            probe: ms(300),
            silence: ms(1_000),
            keep_alive: ms(1_000),
            backoff_min: ms(50),
            backoff_max: ms(2_000),
            again: ms(1_000),
            rest: ms(10_000),
            rest_max: ms(60_000),
            choice: None,
        }
    }
}

/// How a server is chosen by latency and load. The rules stand in the client's `choice.rs` and in docs/CLIENT.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The present server is asked for its load so often; the answer's round trip is measured.
    pub measure: Duration,
    /// One other server is probed so often at most; drawn from the upper half.
    pub probe: Duration,
    /// The shortest time on a server before a move for a better figure.
    pub stay: Duration,
    /// A better server must be better by so much, and by `gain_percent`, at `in_a_row` probes in a row.
    pub gain: Duration,
    pub gain_percent: u32,
    pub in_a_row: u32,
    /// A move that is decided happens within this time, at a drawn moment.
    pub spread: Duration,
    /// For how long a server is avoided after its first failure; doubles with each further one in a row, up to `avoid_max`.
    pub avoid_min: Duration,
    pub avoid_max: Duration,
}

impl Default for Choice {
    fn default() -> Self {
        let s = Duration::from_secs;
        Choice {
            measure: s(5),
            probe: s(10),
            stay: s(30),
            gain: Duration::from_millis(5),
            gain_percent: 20,
            in_a_row: 3,
            spread: s(10),
            avoid_min: s(1),
            avoid_max: s(60),
        }
    }
}

/// What a probe of a server has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Probed {
    /// From sending [`crate::gateway::Ask::Load`] on a connection that stands to its answer.
    pub round_trip: Duration,
    /// What the answer said.
    pub permille: u32,
}

/// What a record is of. A record replaces the one of the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
pub enum Key {
    Session,
    /// By its number.
    Command(u64),
    Cursor(RoomId),
}

/// One change of what is kept. Changes are carried out in the order in which they are handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Change {
    /// Counts the changes of this run, from 1. [`super::Client::handle_kept`] names the last one that is durable.
    pub serial: u64,
    pub key: Key,
    /// Something waits for it: make it durable at once. Others may wait for the next that says so.
    pub sync: bool,
}

/// How far a command is that is not settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Status {
    /// It was certainly never sent: it may be withdrawn.
    Waiting,
    /// It has the session's number, and was sent or may have been.
    Sent,
    /// A node without a leader has accepted it, and so many nodes hold it.
    Accepted { copies: u32 },
}

/// Why a client cannot go on from what was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResumeError {
    /// A record, by its place, does not decode: written by a newer version, or damaged where the host did not notice.
    Damaged { nth: usize, error: EnvelopeError },
    /// There are records, but not the one that holds the session's token.
    NoSession,
    /// The records are those of another user.
    OtherName { name: String },
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResumeError::Damaged { error, .. } => write!(f, "what was kept cannot be read by this version: {error}"),
            ResumeError::NoSession => write!(f, "what was kept does not say of which session it is: it cannot be used"),
            ResumeError::OtherName { name } => write!(f, "what was kept is {name}'s: use another place for another user"),
        }
    }
}

impl core::error::Error for ResumeError {}

/// What a client asks of whoever runs it.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Output {
    /// Drop any connection and open one to this server; then `handle_connected` or `handle_disconnected`.
    Connect {
        server: u32,
        hello: ClientHello,
    },
    /// Drop the connection; no `handle_disconnected` is expected.
    Disconnect,
    Send(Request),
    /// The session is there (again).
    SignedIn {
        server: u32,
        user: UserId,
        name: String,
    },
    /// The cluster refuses the sign-in for good; nothing more will happen.
    Rejected(Refusal),
    /// A submitted command is done or finally refused. Each number settles once.
    Settled {
        number: u64,
        result: Result<Done, Refusal>,
    },
    /// The answer to `ask`.
    Answered {
        ask: u64,
        result: Result<Answer, Refusal>,
    },
    /// What was kept is an old copy, so whether this command was executed is not known, and will not be: settled like [`Output::Settled`], in its place.
    Unclear {
        number: u64,
    },
    /// A submitted command is accepted without a leader, on so many nodes; it settles later. Told again when the number of nodes has changed. `id`: the message's, if
    /// it is a post.
    Accepted {
        number: u64,
        id: MessageId,
        copies: u32,
    },
    /// The tentative messages of a followed room are not what they were: see [`super::Client::tail`].
    Tail {
        room: RoomId,
    },
    /// A tentative message of a followed room was refused when it was its turn: it is no message, and has left the tail.
    Withdrawn {
        room: RoomId,
        post: alloc::boxed::Box<crate::gateway::TentativePost>,
        refusal: Refusal,
    },
    /// The next event of a followed room: in order, without gaps, once.
    Deliver(Arc<Event>),
    /// Following a room is refused for good.
    Unfollowed {
        room: RoomRef,
        refusal: Refusal,
    },
    /// Keep this record, instead of the one of the same key. Only of clients made by [`super::Client::resume`].
    Keep {
        change: Change,
        record: Bytes,
    },
    /// The record of this key is needed no more.
    Forget {
        change: Change,
    },
    /// Connect to this server for a moment, beside the connection that stands, and ask [`crate::gateway::Ask::Load`] without a session; then `handle_probed`. Only with [`Choice`].
    Probe {
        server: u32,
    },
}

/// Why a command was not taken: too many numbers have been given since the first unsettled one. Wait for that one to settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowFull;
