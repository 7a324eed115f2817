//! The whole node: a replica of the chat and a gateway. The one thing that a driver drives.
mod types;
pub use types::*;

use crate::contract::*;
use crate::facts::Fact;
use crate::gateway::{ClientHello, Request, Status};
use crate::ids::*;
use crate::time::Instant;
use crate::wire::handshake::{HelloRefusal, PeerIdentity};
use alloc::vec::Vec;

#[derive(Clone, Debug)]
pub struct Node {}
#[allow(unused_variables, clippy::todo)]
impl Node {
    pub fn restore(config: Config, restored: Restored, now: Now) -> Result<Node, RestoreError> {
        todo!()
    }
    /// Whether a peer that says hello may be let in. Asked by the acceptor; the refusal goes to the peer.
    pub fn admit(&self, peer: &PeerIdentity) -> Result<(), HelloRefusal> {
        todo!()
    }
    /// A peer refused this node's hello.
    pub fn handle_refused(&mut self, now: Now, by: NodeId, refusal: HelloRefusal) {}
    pub fn handle_message(&mut self, now: Now, from: NodeId, message: Message) {}
    pub fn handle_link(&mut self, now: Now, peer: NodeId, link: Link) {}
    pub fn handle_connected(&mut self, now: Now, connection: ConnectionId, hello: ClientHello) {}
    pub fn handle_request(&mut self, now: Now, connection: ConnectionId, request: Request) {}
    pub fn handle_drained(&mut self, now: Now, connection: ConnectionId, bytes: u32) {}
    pub fn handle_disconnected(&mut self, now: Now, connection: ConnectionId) {}
    pub fn handle_stored(&mut self, now: Now, up_to: BatchId) {}
    pub fn handle_store_failed(&mut self, now: Now, batch: BatchId, error: StoreError) {}
    pub fn handle_loaded(&mut self, now: Now, load: LoadId, loaded: Result<Loaded, StoreError>) {}
    pub fn handle_timeout(&mut self, now: Now) {}
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// Bytes that clients may still send; 0: stop reading their sockets.
    pub fn admission(&self) -> u32 {
        0
    }
    pub fn status(&self) -> Status {
        todo!()
    }
    pub fn take_facts(&mut self) -> Vec<Fact> {
        Vec::new()
    }
}
