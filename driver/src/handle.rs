//! How the rest of a process talks to its node: connections that carry requests in, replies and events out.
use std::sync::Arc;
use tertulia_protocol::gateway::{ClientHello, CloseReason, Event, Reply, Request};

/// A way to the running node, cheap to clone.
#[derive(Clone)]
pub struct Handle {}

/// What a connection receives.
#[derive(Clone, Debug)]
pub enum Incoming {
    Reply(Reply),
    Event(Arc<Event>),
    /// The node closes this connection; nothing follows.
    Closed(CloseReason),
}

/// One client's connection to the node. Dropping it disconnects.
pub struct Connection {}

impl Handle {
    /// Opens a connection. `None` when the node has stopped.
    pub async fn connect(&self, hello: ClientHello) -> Option<Connection> {
        let _ = hello;
        None
    }
}

impl Connection {
    /// Hands over a request; waits while the node takes no more (its admission is used up). `Err` when the node has stopped.
    pub async fn request(&mut self, request: Request) -> Result<(), Stopped> {
        let _ = request;
        Err(Stopped)
    }

    /// The next reply or event. Asking for it says that the former one was written: its credit goes back to the node. `None` when the node has stopped.
    pub async fn next(&mut self) -> Option<Incoming> {
        None
    }
}

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;
