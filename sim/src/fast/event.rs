//! What can happen in the fast engine, and what a node is handed.

use std::sync::Arc;
use tertulia_protocol::chat::password::Key;
use tertulia_protocol::contract::{Link, Loaded};
use tertulia_protocol::gateway::{ClientHello, Event as ChatEvent, Reply, Request};
use tertulia_protocol::ids::{BatchId, Boot, ConnectionId, LoadId, NodeId};
use tertulia_protocol::node::{Admin, Message};
use tertulia_protocol::wire::handshake::HelloRefusal;

/// Something with a time. `boot` is the process that it is meant for: if that has died, nothing happens.
#[derive(Clone)]
pub(super) enum Event {
    Peer {
        from: usize,
        /// Who that was when it was sent.
        sender: NodeId,
        to: usize,
        boot: Boot,
        message: Message,
        digest: u64,
    },
    Loaded {
        node: usize,
        boot: Boot,
        id: LoadId,
        loaded: Loaded,
    },
    /// A password is derived.
    Derived {
        node: usize,
        boot: Boot,
        id: u64,
        key: Key,
    },
    /// Received rows are in use.
    Installed {
        node: usize,
        boot: Boot,
    },
    /// The oldest writes of the log, or of the outbox, may be durable.
    Synced {
        node: usize,
        boot: Boot,
    },
    /// A node's deadline, as it was when this was scheduled.
    NodeTimer {
        node: usize,
        boot: Boot,
    },
    /// A node that was busy takes what has come meanwhile.
    Wake {
        node: usize,
        boot: Boot,
    },
    /// What the node wrote to its clients has left.
    Drained {
        node: usize,
        boot: Boot,
    },
    Start {
        node: usize,
    },
    /// A dial ends.
    Dialled {
        a: usize,
        b: usize,
    },
    /// The first message of a clogged link's queue has passed.
    Trickle {
        from: usize,
        to: usize,
        nth: u64,
    },
    /// A clogged link's queue was full.
    Overrun {
        from: usize,
        to: usize,
        nth: u64,
    },
    /// A slow client takes the next word.
    Drip {
        connection: ConnectionId,
    },
    /// The end of a connection is noticed.
    Noticed {
        a: usize,
        b: usize,
        boots: (Boot, Boot),
    },
    ToNode {
        connection: ConnectionId,
        word: ClientWord,
    },
    ToClient {
        connection: ConnectionId,
        word: NodeWord,
        digest: u64,
    },
    ClientStart {
        client: usize,
    },
    ClientTimer {
        client: usize,
    },
    ClientAct {
        client: usize,
    },
    /// The operator has something to ask.
    Operate,
    /// The fault plan has something to do.
    Plan,
    /// Posts stop, faults heal.
    Stop,
    /// Has everything settled?
    Check,
}

/// What a client's end of a connection sends.
#[derive(Clone)]
pub(super) enum ClientWord {
    Open(ClientHello),
    Request(Request),
    Close,
}

/// What a node's end of a connection sends.
#[derive(Clone)]
pub(super) enum NodeWord {
    Opened,
    Reply(Reply),
    Event(Arc<ChatEvent>),
    /// Refused, closed or reset.
    Closed,
}

/// What a node is handed.
#[derive(Clone)]
pub(super) enum Input {
    /// `digest` is the message's.
    Message {
        from: NodeId,
        message: Message,
        digest: u64,
    },
    Link {
        peer: NodeId,
        link: Link,
    },
    /// A peer that was let in says where it is reached.
    Met {
        peer: NodeId,
        address: String,
    },
    Admin {
        ticket: u64,
        admin: Admin,
    },
    Refused {
        by: NodeId,
        refusal: HelloRefusal,
    },
    Connected {
        connection: ConnectionId,
        hello: ClientHello,
    },
    Request {
        connection: ConnectionId,
        request: Request,
    },
    Drained {
        connection: ConnectionId,
        bytes: u32,
    },
    Disconnected {
        connection: ConnectionId,
    },
    Stored {
        up_to: BatchId,
    },
    Loaded {
        id: LoadId,
        loaded: Loaded,
    },
    Derived {
        id: u64,
        key: Key,
    },
    Installed,
    Kept {
        up_to: u64,
    },
    Timeout,
}
