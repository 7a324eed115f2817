//! How the rest of a process talks to its node: connections that carry requests in, replies and events out.
//!
//! What waits is bounded: requests by [`REQUESTS`] for all connections together and by [`IN_FLIGHT`] for each, replies by the requests in flight,
//! events by the credit that the node gives each reader. While the node's admission is used up, requests wait with whoever makes them.

use crate::metrics::Metrics;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tertulia_protocol::contract::{Query, SnapshotRows, StoreError};
use tertulia_protocol::gateway::{ClientHello, CloseReason, Event, Reply, Request, Status};
use tertulia_protocol::ids::{ConnectionId, Index};
use tertulia_protocol::node::{Admin, AdminOutcome};
use tertulia_protocol::wire::{Kind, encode_frame};
use tokio::sync::{Semaphore, mpsc, oneshot};
use xxhash_rust::xxh3::xxh3_64;

/// Requests that may wait for the node's task, over all connections.
pub(crate) const REQUESTS: usize = 1_024;
/// Requests of one connection whose replies have not been taken.
pub const IN_FLIGHT: usize = 256;
/// Credit is given back in pieces of this size while more events wait, and at once when none does.
const CREDIT_PIECE: u32 = 16 << 10;

/// What connections say to the node's task. One queue for all of it, so that a connection's end never overtakes its beginning.
pub(crate) enum FromClient {
    Connect {
        connection: ConnectionId,
        hello: ClientHello,
        /// Stands for the network address that it comes from, if that is known.
        address: Option<u64>,
        queue: mpsc::UnboundedSender<Queued>,
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
    Status(oneshot::Sender<Status>),
    /// An operator's call; the answer may never come if the node stops.
    Admin(Admin, oneshot::Sender<AdminOutcome>),
    /// A leader that is to stop hands over.
    HandOver,
    /// Reads a part of a snapshot ([`Query::Snapshot`]); the answer never comes if the node stops.
    Snapshot(Query, oneshot::Sender<Result<SnapshotRows, StoreError>>),
}

impl FromClient {
    /// Whether it took a place that the node's task gives back.
    pub(crate) fn has_slot(&self) -> bool {
        matches!(self, FromClient::Connect { .. } | FromClient::Request { .. })
    }
}

/// One event on its way to its readers, encoded for the framed ones at most once.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) event: Arc<Event>,
    frame: OnceLock<Bytes>,
}

impl Published {
    pub(crate) fn new(event: Arc<Event>) -> Arc<Published> {
        Arc::new(Published { event, frame: OnceLock::new() })
    }

    pub(crate) fn frame(&self) -> Bytes {
        self.frame.get_or_init(|| encode_frame(Kind::Event, &*self.event)).clone()
    }
}

/// What waits for a connection's owner.
#[derive(Debug)]
pub(crate) enum Queued {
    Reply(Reply),
    Event(Arc<Published>),
    Closed(CloseReason),
}

pub(crate) struct Shared {
    pub(crate) clients: mpsc::UnboundedSender<FromClient>,
    /// Places in `clients` for what its senders wait for. The node's task gives them back while it admits requests, and closes it when it ends.
    pub(crate) slots: Semaphore,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) peer_address: SocketAddr,
    next_connection: AtomicU64,
}

impl Shared {
    async fn send(&self, message: FromClient) -> Result<(), Stopped> {
        self.slots.acquire().await.map_err(|_| Stopped)?.forget();
        self.clients.send(message).map_err(|_| Stopped)
    }
}

/// A way to the running node, cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    address: Option<u64>,
}

/// What a connection receives.
#[derive(Clone, Debug)]
pub enum Incoming {
    Reply(Reply),
    Event(Arc<Event>),
    /// The node closes this connection; nothing follows.
    Closed(CloseReason),
}

/// One client's connection to the node. Dropping it disconnects.
pub struct Connection {
    pub(crate) requests: Requests,
    pub(crate) replies: Replies,
}

/// The way in. The connection ends when both halves are dropped.
pub(crate) struct Requests {
    end: Arc<End>,
}

/// The way out.
pub(crate) struct Replies {
    end: Arc<End>,
    queue: mpsc::UnboundedReceiver<Queued>,
    /// Taken off the queue while somebody waited to make a request.
    early: VecDeque<Queued>,
    /// The cost of the events that were handed out and are written once the next thing is asked for.
    written: u32,
}

/// What both halves share; the last one to go says goodbye.
struct End {
    connection: ConnectionId,
    shared: Arc<Shared>,
    in_flight: Semaphore,
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.shared.clients.send(FromClient::Disconnected { connection: self.connection });
    }
}

impl Handle {
    pub(crate) fn new(
        clients: mpsc::UnboundedSender<FromClient>,
        metrics: Arc<Metrics>,
        peer_address: SocketAddr,
    ) -> (Handle, Arc<Shared>) {
        let slots = Semaphore::new(REQUESTS);
        let shared = Arc::new(Shared { clients, slots, metrics, peer_address, next_connection: AtomicU64::new(1) });
        (Handle { shared: Arc::clone(&shared), address: None }, shared)
    }

    /// A way for whoever comes from this network address: the node holds all of them together to a rate.
    #[must_use]
    pub fn of_address(&self, address: IpAddr) -> Handle {
        let bytes = match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            // A household has a whole network of these (RFC 6177).
            IpAddr::V6(address) => u128::from(address) >> 64 | 1 << 64,
        };
        let address = Some(xxh3_64(&bytes.to_le_bytes()));
        Handle { shared: Arc::clone(&self.shared), address }
    }

    /// Opens a connection. `None` when the node has stopped.
    pub async fn connect(&self, hello: ClientHello) -> Option<Connection> {
        let connection = ConnectionId(self.shared.next_connection.fetch_add(1, Relaxed));
        let (queue, replies) = mpsc::unbounded_channel();
        self.shared.send(FromClient::Connect { connection, hello, address: self.address, queue }).await.ok()?;
        // Only now: a connection that was never announced has no end to announce.
        let end = Arc::new(End { connection, shared: Arc::clone(&self.shared), in_flight: Semaphore::new(IN_FLIGHT) });
        let replies = Replies { end: Arc::clone(&end), queue: replies, early: VecDeque::new(), written: 0 };
        Some(Connection { requests: Requests { end }, replies })
    }

    /// The cluster as the node sees it now. `None` when the node has stopped.
    pub async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        // Not held back: an overloaded node is the one that people ask.
        self.shared.clients.send(FromClient::Status(answer)).ok()?;
        status.await.ok()
    }

    /// Asks the cluster for something in the name of its operator: whoever calls this has made sure of that. `None` when the node has stopped.
    pub async fn admin(&self, admin: Admin) -> Option<AdminOutcome> {
        let (answer, outcome) = oneshot::channel();
        self.shared.clients.send(FromClient::Admin(admin, answer)).ok()?;
        outcome.await.ok()
    }

    /// Reads a part of a snapshot of this node's rows, as peers do: see [`Query::Snapshot`]. Nothing that the node does waits for it, and what is read is committed.
    /// Whoever calls this has made sure that the asker may see everything. `None` when the node has stopped.
    pub async fn snapshot(&self, at: Option<Index>, from: Bytes, max_bytes: u32) -> Option<Result<SnapshotRows, StoreError>> {
        let (answer, rows) = oneshot::channel();
        let query = Query::Snapshot { at, from, to: None, max_bytes };
        self.shared.clients.send(FromClient::Snapshot(query, answer)).ok()?;
        rows.await.ok()
    }

    /// Before a stop: a leader hands over to another node, so that nobody waits for its silence to be noticed. Returns when this node does not lead, or after `limit`.
    pub async fn hand_over(&self, limit: Duration) {
        let handed_over = async {
            if self.shared.clients.send(FromClient::HandOver).is_err() {
                return;
            }
            while self.status().await.is_some_and(|status| status.leader == Some(status.node)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(limit, handed_over).await;
    }

    /// What the driver has counted since its start.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Where the node listens for its peers.
    pub fn peer_address(&self) -> SocketAddr {
        self.shared.peer_address
    }
}

impl Connection {
    /// Hands over a request; waits while the node takes no more (its admission is used up), or while [`IN_FLIGHT`] requests of this connection
    /// are unanswered. Cancelled, it has not handed it over. `Err` when the node has stopped.
    pub async fn request(&mut self, request: Request) -> Result<(), Stopped> {
        // Nobody else can take replies while we wait, so we put them aside ourselves: else the two would wait for each other.
        let end = Arc::clone(&self.requests.end);
        while end.in_flight.available_permits() == 0 {
            match self.replies.queue.recv().await {
                Some(queued) => self.replies.set_aside(queued),
                None => return Err(Stopped),
            }
        }
        self.requests.request(request).await
    }

    /// The next reply or event. Asking for it says that the former one was written: its credit goes back to the node. `None` when the node has
    /// stopped, or has closed this connection. May be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<Incoming> {
        match self.replies.next().await? {
            Queued::Reply(reply) => Some(Incoming::Reply(reply)),
            Queued::Event(published) => Some(Incoming::Event(Arc::clone(&published.event))),
            Queued::Closed(reason) => Some(Incoming::Closed(reason)),
        }
    }
}

impl Requests {
    pub(crate) async fn request(&self, request: Request) -> Result<(), Stopped> {
        let place = self.end.in_flight.acquire().await.map_err(|_| Stopped)?;
        self.end.shared.send(FromClient::Request { connection: self.end.connection, request }).await?;
        place.forget();
        Ok(())
    }
}

impl Replies {
    fn set_aside(&mut self, queued: Queued) {
        self.answered(&queued);
        self.early.push_back(queued);
    }

    fn answered(&self, queued: &Queued) {
        if matches!(queued, Queued::Reply(_)) {
            self.end.in_flight.add_permits(1);
        }
    }

    /// What is there already.
    pub(crate) fn try_next(&mut self) -> Option<Queued> {
        let queued = match self.early.pop_front() {
            Some(queued) => queued,
            None => {
                let queued = self.queue.try_recv().ok()?;
                self.answered(&queued);
                queued
            }
        };
        if let Queued::Event(published) = &queued {
            self.written += published.event.cost();
        }
        Some(queued)
    }

    /// Gives the credit of all that was handed out back to the node.
    pub(crate) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.written);
        if bytes > 0 {
            let _ = self.end.shared.clients.send(FromClient::Drained { connection: self.end.connection, bytes });
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Queued> {
        if self.written >= CREDIT_PIECE {
            self.give_back();
        }
        if let Some(queued) = self.try_next() {
            return Some(queued);
        }
        self.give_back();
        let queued = self.queue.recv().await?;
        self.answered(&queued);
        if let Queued::Event(published) = &queued {
            self.written += published.event.cost();
        }
        Some(queued)
    }
}

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the node has stopped")
    }
}

impl std::error::Error for Stopped {}
