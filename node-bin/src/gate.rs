//! What the HTTP side needs of a node, small enough that a test can stand in for one.

use crate::http::Problem;
use bytes::Bytes;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use tertulia_driver::{Connection, Handle, Incoming, Metrics};
use tertulia_protocol::contract::{SnapshotRows, StoreError};
use tertulia_protocol::gateway::{Answer, Ask, ClientHello, Request, Token};
use tertulia_protocol::ids::Index;
use tertulia_protocol::node::{Admin, AdminOutcome};

/// A way to the node, cheap to clone.
pub trait Gate: Clone + Send + Sync + 'static {
    type Line: Line;
    /// What the driver has counted.
    fn counters(&self) -> Option<Arc<Metrics>>;
    /// Asks for something in an operator's name: whoever calls this has made sure of that. `None` when the node has stopped.
    fn admin(&self, admin: Admin) -> impl Future<Output = Option<AdminOutcome>> + Send;
    /// Reads a part of a snapshot of the rows for somebody who may see everything; see [`Handle::snapshot`]. `None` when the node has stopped.
    fn snapshot(
        &self,
        at: Option<Index>,
        from: Bytes,
        max_bytes: u32,
    ) -> impl Future<Output = Option<Result<SnapshotRows, StoreError>>> + Send;
    /// The way for whoever comes from this network address.
    #[must_use]
    fn of_address(&self, address: IpAddr) -> Self;
    /// Opens a connection. `None` when the node has stopped.
    fn open(&self, token: Option<Token>) -> impl Future<Output = Option<Self::Line>> + Send;
}

/// One connection; dropping it closes it.
pub trait Line: Send + 'static {
    /// `false` when the node has stopped.
    fn request(&mut self, request: Request) -> impl Future<Output = bool> + Send;
    /// The next reply or event. Asking says that the former one was passed on.
    fn next(&mut self) -> impl Future<Output = Option<Incoming>> + Send;
}

impl Gate for Handle {
    type Line = Connection;
    fn counters(&self) -> Option<Arc<Metrics>> {
        Some(Arc::clone(self.metrics()))
    }
    async fn admin(&self, admin: Admin) -> Option<AdminOutcome> {
        Handle::admin(self, admin).await
    }
    async fn snapshot(&self, at: Option<Index>, from: Bytes, max_bytes: u32) -> Option<Result<SnapshotRows, StoreError>> {
        Handle::snapshot(self, at, from, max_bytes).await
    }
    fn of_address(&self, address: IpAddr) -> Handle {
        Handle::of_address(self, address)
    }
    async fn open(&self, token: Option<Token>) -> Option<Connection> {
        self.connect(ClientHello { token }).await
    }
}

impl Line for Connection {
    async fn request(&mut self, request: Request) -> bool {
        Connection::request(self, request).await.is_ok()
    }
    async fn next(&mut self) -> Option<Incoming> {
        Connection::next(self).await
    }
}

/// One question, one answer.
pub async fn ask<G: Gate>(gate: &G, token: Option<Token>, ask: Ask) -> Result<Answer, Problem> {
    const ID: u64 = 1;
    let mut line = gate.open(token).await.ok_or_else(Problem::stopped)?;
    if !line.request(Request { id: ID, ask }).await {
        return Err(Problem::stopped());
    }
    loop {
        match line.next().await {
            Some(Incoming::Reply(reply)) if reply.id == ID => return reply.result.map_err(Problem::from),
            Some(Incoming::Closed(reason)) => return Err(Problem::closed(reason)),
            Some(_) => {}
            None => return Err(Problem::stopped()),
        }
    }
}
