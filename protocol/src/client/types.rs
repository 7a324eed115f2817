//! What a client is started with, and what it asks of whoever runs it.

use crate::chat::{Done, Refusal, RoomRef};
use crate::dice::Seed;
use crate::gateway::{Answer, ClientHello, Event, Request, Token};
use crate::ids::*;
use crate::time::Duration;
use alloc::string::String;
use alloc::sync::Arc;

/// What a client is started with.
#[derive(Clone, Debug)]
pub struct Config {
    pub name: String,
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
        }
    }
}

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
    /// The next event of a followed room: in order, without gaps, once.
    Deliver(Arc<Event>),
    /// Following a room is refused for good.
    Unfollowed {
        room: RoomRef,
        refusal: Refusal,
    },
}

/// Why a command was not taken: too many numbers have been given since the first unsettled one. Wait for that one to settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowFull;
