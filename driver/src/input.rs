//! Everything that a node machine can be handed, as one type: what is handed over in one place can be traced in one line.

use tertulia_protocol::chat::Refusal;
use tertulia_protocol::chat::password::Key;
use tertulia_protocol::contract::{Link, Loaded, Now, StoreError};
use tertulia_protocol::gateway::{ClientHello, Found, Request};
use tertulia_protocol::ids::{BatchId, ConnectionId, LoadId, NodeId};
use tertulia_protocol::node::{Admin, Message, Node, Output};
use tertulia_protocol::wire::handshake::HelloRefusal;

/// One call of one of [`Node`]'s `handle_…` methods.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub enum Input {
    Message { from: NodeId, message: Message },
    Link { peer: NodeId, link: Link },
    Met { peer: NodeId, address: String },
    Refused { by: NodeId, refusal: HelloRefusal },
    Admin { ticket: u64, admin: Admin },
    HandOver,
    Connected { connection: ConnectionId, hello: ClientHello },
    Request { connection: ConnectionId, request: Request },
    Drained { connection: ConnectionId, bytes: u32 },
    Disconnected { connection: ConnectionId },
    Stored { up_to: BatchId },
    StoreFailed { batch: BatchId, error: StoreError },
    Loaded { load: LoadId, loaded: Result<Loaded, StoreError> },
    Installed { result: Result<(), StoreError> },
    Derived { id: u64, key: Key },
    Found { id: LoadId, found: Result<Vec<Found>, Refusal> },
    Address { connection: ConnectionId, address: u64 },
    Timeout,
    Kept { up_to: u64 },
    KeepFailed { error: StoreError },
}

/// Hands one input to the node.
pub fn feed(node: &mut Node, now: Now, input: Input) {
    match input {
        Input::Message { from, message } => node.handle_message(now, from, message),
        Input::Link { peer, link } => node.handle_link(now, peer, link),
        Input::Met { peer, address } => node.handle_met(now, peer, address),
        Input::Refused { by, refusal } => node.handle_refused(now, by, refusal),
        Input::Admin { ticket, admin } => node.handle_admin(now, ticket, admin),
        Input::HandOver => drop(node.handle_stop(now)),
        Input::Connected { connection, hello } => node.handle_connected(now, connection, hello),
        Input::Request { connection, request } => node.handle_request(now, connection, request),
        Input::Drained { connection, bytes } => node.handle_drained(now, connection, bytes),
        Input::Disconnected { connection } => node.handle_disconnected(now, connection),
        Input::Stored { up_to } => node.handle_stored(now, up_to),
        Input::StoreFailed { batch, error } => node.handle_store_failed(now, batch, error),
        Input::Loaded { load, loaded } => node.handle_loaded(now, load, loaded),
        Input::Installed { result } => node.handle_installed(now, result),
        Input::Derived { id, key } => node.handle_derived(now, id, key),
        Input::Found { id, found } => node.handle_found(now, id, found),
        Input::Address { connection, address } => node.handle_address(now, connection, address),
        Input::Timeout => node.handle_timeout(now),
        Input::Kept { up_to } => node.handle_kept(now, up_to),
        Input::KeepFailed { error } => node.handle_keep_failed(now, error),
    }
}

/// Sees every input of a node before it is handed over and every output before it is carried out, in order.
pub trait Observer: Send {
    fn input(&mut self, now: Now, input: &Input);
    fn output(&mut self, now: Now, output: &Output);
}
