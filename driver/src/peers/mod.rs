//! Connections to the other nodes. Each node dials all others and sends over the connections that it dialled; it receives over those that it
//! accepted. So a pair has two connections, and no rule is needed for which of two crossing ones stays.

mod accept;
mod dial;
mod queue;

pub(crate) use accept::accept_peers;

use crate::entropy::Entropy;
use crate::faults::Faults;
use crate::input::Input;
use crate::metrics::Metrics;
use crate::net::Net;
use queue::PeerQueue;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_protocol::contract::{Class, Link};
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::node::Message;
use tertulia_protocol::wire::handshake::{HelloRefusal, PeerIdentity, Secret};
use tertulia_protocol::wire::{Kind, PEER_FRAME_LIMIT, encode_frame};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// From the first byte to the last of a handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);
/// Largest frame of a handshake: whoever has not proved anything gets no megabyte of memory.
const HANDSHAKE_FRAME_LIMIT: u32 = 4 << 10;
/// A connection over which nothing was heard for so long is asked for a sign of life, and one that hears something gives one as often.
const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// A connection that shows no sign of life for so long after it was asked is dead: a partition can leave a stream dead without a reset.
const PATIENCE: Duration = Duration::from_secs(1);
/// An accepted connection that is silent for so long is closed.
const SILENCE: Duration = Duration::from_secs(3);
/// How much to read at once.
const READ_PIECE: usize = 64 << 10;

/// What peers' connections say to the node's task.
pub(crate) enum FromPeer {
    Input(Input),
    /// May this one in?
    Admit(PeerIdentity, bool, oneshot::Sender<Result<(), HelloRefusal>>),
}

/// What all connections of one node need.
pub(crate) struct Context<N: Net> {
    pub(crate) net: N,
    pub(crate) us: PeerIdentity,
    /// Where this node is reached, as its hellos say.
    pub(crate) address: String,
    /// The drift bound of its leases, if they are on.
    pub(crate) lease_drift_ppm: Option<u32>,
    /// Whether this node's own log names it as a member, as its hellos say.
    pub(crate) member: AtomicBool,
    pub(crate) secret: Secret,
    pub(crate) entropy: Entropy,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) node: mpsc::Sender<FromPeer>,
    pub(crate) faults: Option<Arc<Faults>>,
}

/// The node has stopped: nobody is there to tell.
struct Gone;

impl<N: Net> Context<N> {
    /// Whether a demonstration keeps this node from that peer: then nothing is said, and nothing heard.
    fn is_cut(&self, peer: NodeId) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.is_cut(peer))
    }

    async fn tell(&self, input: Input) -> Result<(), Gone> {
        self.node.send(FromPeer::Input(input)).await.map_err(|_| Gone)
    }

    /// What the node says to this peer, which says of itself whether it is a member.
    async fn admit(&self, peer: PeerIdentity, is_member: bool) -> Result<Result<(), HelloRefusal>, Gone> {
        let (answer, admitted) = oneshot::channel();
        self.node.send(FromPeer::Admit(peer, is_member, answer)).await.map_err(|_| Gone)?;
        admitted.await.map_err(|_| Gone)
    }
}

/// The peers that the node wants to reach.
pub(crate) struct Peers<N: Net> {
    context: Arc<Context<N>>,
    dialled: BTreeMap<NodeId, Dialled>,
}

struct Dialled {
    address: String,
    queue: Arc<PeerQueue>,
    task: JoinHandle<()>,
}

impl Drop for Dialled {
    fn drop(&mut self) {
        self.task.abort();
        // An aborted task does not count its own link out.
        self.queue.close();
    }
}

impl<N: Net> Peers<N> {
    pub(crate) fn new(context: Arc<Context<N>>) -> Peers<N> {
        Peers { context, dialled: BTreeMap::new() }
    }

    /// Whether this node's own log names it as a member.
    pub(crate) fn say_member(&self, member: bool) {
        self.context.member.store(member, Relaxed);
    }

    /// Dials a peer and keeps dialling, or (`None`) forgets it. Returns what the node should hear of it.
    pub(crate) fn set(&mut self, peer: NodeId, address: Option<String>) -> Option<Input> {
        if self.dialled.get(&peer).is_some_and(|dialled| Some(&dialled.address) == address.as_ref()) {
            return None;
        }
        let before = self.dialled.remove(&peer);
        let was_up = before.is_some_and(|before| before.queue.is_open());
        if was_up {
            self.context.metrics.link_down();
        }
        if let Some(address) = address {
            let queue = Arc::new(PeerQueue::default());
            let task = tokio::spawn(dial::keep_dialling(Arc::clone(&self.context), peer, address.clone(), Arc::clone(&queue)));
            self.dialled.insert(peer, Dialled { address, queue, task });
        }
        was_up.then_some(Input::Link { peer, link: Link::Down })
    }

    pub(crate) fn send(&self, to: NodeId, class: Class, message: &Message) {
        let metrics = &self.context.metrics;
        let Some(dialled) = self.dialled.get(&to).filter(|dialled| dialled.queue.is_open()) else {
            return metrics.drop_message();
        };
        let frame = encode_frame(Kind::Peer, message);
        if frame.len() > PEER_FRAME_LIMIT as usize {
            tracing::error!(peer = to.0, bytes = frame.len(), "a message over the frame limit is dropped: this is a bug");
            return metrics.drop_message();
        }
        (0..dialled.queue.push(class, frame)).for_each(|_| metrics.drop_message());
    }
}
