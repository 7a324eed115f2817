//! One task that owns the node machine: it hands over what arrived, carries out what the machine asks for, and sleeps until the next of either.
//!
//! The loop never waits for anybody else: what it sends goes to queues that drop or are bounded by what the machine itself counts. Everything that
//! arrived by the time it wakes is handed over with one reading of the clock, made after all of it came, and drained once; that is how batches form, and nothing waits for them.

use crate::aside::{Aside, AtOnce, Report, Search};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::faults::Faults;
use crate::handle::{FromClient, Handle, Published, Queued, Shared};
use crate::input::{Input, Observer, feed};
use crate::metrics::Metrics;
use crate::net::Net;
use crate::peers::{Context, FromPeer, Peers, accept_peers};
use crate::store::{Done, Job, Store};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tertulia_protocol::contract::{Loaded, Now, Receive, Restored, SnapshotRows, StoreError};
use tertulia_protocol::facts::Fact;
use tertulia_protocol::gateway::CloseReason;
use tertulia_protocol::ids::{ConnectionId, LoadId};
use tertulia_protocol::node::{AdminOutcome, Config, HaltReason, Node, Output};
use tertulia_protocol::wire::handshake::{PeerIdentity, Secret};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Inputs of one source that are handed over before the outputs are drained.
const BATCH: usize = 256;
/// Messages of peers that may wait for the node's task; then their sockets are not read.
const MESSAGES: usize = 1_024;
/// Set in the ids of reads that the machine knows nothing of: it never comes so far.
const OWN_LOADS: u64 = 1 << 63;
/// A machine that wants to be called at once, again and again, is called so often. (It should not; it must not stop everything else.)
const TIMER_PAUSE: Duration = Duration::from_micros(500);

/// Resolves when the node shall stop.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Sees the facts of each batch, before anything that the node said in it leaves: whoever notes the time notes causes before their effects.
pub type FactSink = Box<dyn FnMut(Vec<Fact>) + Send>;

/// What a node runs with.
pub struct Setup<N: Net, S: Store, C: Clock> {
    /// `facts` is set by whether there is a sink for them.
    pub config: Config,
    pub secret: Secret,
    pub net: N,
    /// `host:port` to listen on for peers.
    pub peer_listen: String,
    pub store: S,
    /// What the store found at its start.
    pub restored: Restored,
    pub clock: C,
    pub entropy: Entropy,
    pub shutdown: Shutdown,
    pub facts: Option<FactSink>,
    pub observer: Option<Box<dyn Observer>>,
    /// Who does what takes long; `None`: the node's own task, at once.
    pub aside: Option<Box<dyn Aside>>,
    /// What a demonstration does to the node's links; `None`: nothing, ever.
    pub faults: Option<Arc<Faults>>,
}

/// Why a node ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It stopped by itself. The store is left as it is: what it still holds in memory must not be written. End the process.
    Halted(HaltReason),
    /// It was asked to.
    Stopped,
}

/// Listens for peers and restores the node. The future runs it; nothing happens before it is polled, and all that belongs to the node ends with it.
///
/// # Errors
/// The port cannot be listened on, or the node cannot go on from what the store holds. The text says which.
pub async fn start<N: Net, S: Store, C: Clock>(
    setup: Setup<N, S, C>,
) -> io::Result<(Handle, impl Future<Output = Ended> + Send + 'static)> {
    let Setup { mut config, secret, net, peer_listen, store, restored, clock, entropy, shutdown, facts, observer, aside, faults } =
        setup;
    let cannot = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen for peers on {peer_listen}: {error}"));
    let listener = net.bind(&peer_listen).await.map_err(cannot)?;
    let peer_address = net.local_address(&listener).map_err(cannot)?;

    let us = PeerIdentity { cluster: config.cluster, node: config.node, incarnation: restored.incarnation, boot: restored.boot };
    config.facts = facts.is_some();
    let (address, lease_drift_ppm) = (config.peer_address.clone(), config.timing.lease_drift_ppm);
    let node = Node::restore(config, restored, clock.now()).map_err(io::Error::other)?;

    let metrics = Arc::new(Metrics::default());
    let (to_node, from_peers) = mpsc::channel(MESSAGES);
    let (clients, from_clients) = mpsc::unbounded_channel();
    let (done_aside, from_aside) = mpsc::unbounded_channel();
    let (handle, shared) = Handle::new(clients, Arc::clone(&metrics), peer_address);
    let context = Arc::new(Context {
        net,
        us,
        address,
        lease_drift_ppm,
        member: AtomicBool::new(node.is_member()),
        secret,
        entropy,
        metrics,
        node: to_node,
        faults,
    });
    let driver = Driver {
        node,
        store,
        clock,
        peers: Peers::new(Arc::clone(&context)),
        from_peers,
        from_clients,
        shared: Closing(shared),
        connections: BTreeMap::new(),
        slots_owed: 0,
        calls: BTreeMap::new(),
        snapshots: BTreeMap::new(),
        tickets: 0,
        due: VecDeque::new(),
        arrived: Vec::new(),
        facts,
        untold: Vec::new(),
        observer,
        aside: aside.unwrap_or_else(|| Box::new(AtOnce)),
        report: Report::new(done_aside),
        from_aside,
    };
    let ended = async move {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept_peers(context, listener));
        driver.run(shutdown).await
    };
    Ok((handle, ended))
}

/// What woke the loop.
enum Wake {
    Store(Done),
    Peer(FromPeer),
    Client(FromClient),
    Aside(Input),
    Timer,
    Stop,
}

/// However the node's task ends, nobody waits for it any longer.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.slots.close();
    }
}

struct Driver<N: Net, S: Store, C: Clock> {
    node: Node,
    store: S,
    clock: C,
    peers: Peers<N>,
    from_peers: mpsc::Receiver<FromPeer>,
    from_clients: mpsc::UnboundedReceiver<FromClient>,
    shared: Closing,
    /// The clients that the node knows. What comes from one that it closed goes no further.
    connections: BTreeMap<ConnectionId, mpsc::UnboundedSender<Queued>>,
    /// Places for requests that are given back once the node admits more.
    slots_owed: usize,
    /// Operators' calls that wait for their outcome, by the tickets that they were given.
    calls: BTreeMap<u64, oneshot::Sender<AdminOutcome>>,
    /// Parts of snapshots that are being read for backups, by ticket. Each asker has one at a time.
    snapshots: BTreeMap<u64, oneshot::Sender<Result<SnapshotRows, StoreError>>>,
    tickets: u64,
    /// Inputs that follow from outputs, for the next batch.
    due: VecDeque<Input>,
    /// What has arrived and is about to be handed over; empty between batches.
    arrived: Vec<Wake>,
    facts: Option<FactSink>,
    /// Outputs that wait until the facts have been handed out; empty between batches, and where nobody listens.
    untold: Vec<Output>,
    observer: Option<Box<dyn Observer>>,
    aside: Box<dyn Aside>,
    report: Report,
    /// As many as the node waits for, which it bounds.
    from_aside: mpsc::UnboundedReceiver<Input>,
}

impl<N: Net, S: Store, C: Clock> Driver<N, S, C> {
    async fn run(mut self, mut shutdown: Shutdown) -> Ended {
        let ended = loop {
            // The first round has no input: a machine may have outputs from its very start.
            if let Some(reason) = self.settle() {
                break Ended::Halted(reason);
            }
            if !self.due.is_empty() {
                self.hand_over_due();
                continue;
            }
            let wait = self.wait();
            let wake = tokio::select! {
                biased;
                () = &mut shutdown => Wake::Stop,
                done = self.store.done() => Wake::Store(done),
                Some(message) = self.from_peers.recv() => Wake::Peer(message),
                Some(message) = self.from_clients.recv() => Wake::Client(message),
                Some(input) = self.from_aside.recv() => Wake::Aside(input),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => Wake::Timer,
            };
            if matches!(wake, Wake::Stop) {
                break Ended::Stopped;
            }
            if let Err(reason) = self.hand_over(wake).await {
                break Ended::Halted(reason);
            }
        };
        for queue in self.connections.values() {
            let _ = queue.send(Queued::Closed(CloseReason::Stopping));
        }
        // Whoever connected while the node was told to stop is told the same.
        while let Ok(message) = self.from_clients.try_recv() {
            if let FromClient::Connect { queue, .. } = message {
                let _ = queue.send(Queued::Closed(CloseReason::Stopping));
            }
        }
        if matches!(ended, Ended::Halted(_)) {
            // Its destructor would write what it holds in memory, and nothing that it holds can be trusted now.
            std::mem::forget(self.store);
        }
        ended
    }

    /// How long nothing needs to be done unless something arrives.
    fn wait(&self) -> Option<Duration> {
        let now = self.clock.now().instant;
        self.node.poll_timeout().map(|at| self.clock.timer(at.since(now)).max(TIMER_PAUSE))
    }

    /// Hands over what woke us and everything else that is there by now, as inputs of one moment.
    ///
    /// The clock is read when all of it has come. A process can be stopped at any point; a heartbeat that came meanwhile must not count as heard before it was sent
    /// (the vote gate would open too early), nor a read as asked before a lease ran out.
    async fn hand_over(&mut self, wake: Wake) -> Result<(), HaltReason> {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.push(wake);
        for _ in 0..BATCH {
            let done = tokio::select! { biased; done = self.store.done() => done, () = ready(()) => break };
            arrived.push(Wake::Store(done));
        }
        let peers = std::iter::from_fn(|| self.from_peers.try_recv().ok()).take(BATCH);
        arrived.extend(peers.map(Wake::Peer));
        let clients = std::iter::from_fn(|| self.from_clients.try_recv().ok()).take(BATCH);
        arrived.extend(clients.map(Wake::Client));
        arrived.extend(std::iter::from_fn(|| self.from_aside.try_recv().ok()).take(BATCH).map(Wake::Aside));
        let now = self.clock.now();
        for wake in arrived.drain(..) {
            match wake {
                Wake::Store(done) => self.stored(now, done)?,
                Wake::Peer(message) => self.hear_peer(now, message),
                Wake::Client(message) => self.hear_client(now, message),
                Wake::Aside(input) => self.feed(now, input),
                Wake::Timer | Wake::Stop => {}
            }
        }
        self.arrived = arrived;
        if self.node.poll_timeout().is_some_and(|at| at <= now.instant) {
            self.feed(now, Input::Timeout);
        }
        Ok(())
    }

    fn hand_over_due(&mut self) {
        let now = self.clock.now();
        while let Some(input) = self.due.pop_front() {
            self.feed(now, input);
        }
    }

    fn feed(&mut self, now: Now, input: Input) {
        if let Some(observer) = &mut self.observer {
            observer.input(now, &input);
        }
        feed(&mut self.node, now, input);
    }

    fn stored(&mut self, now: Now, done: Done) -> Result<(), HaltReason> {
        let input = match done {
            Done::Stored { up_to } => Input::Stored { up_to },
            Done::StoreFailed { batch, error } => Input::StoreFailed { batch, error },
            Done::Kept { up_to } => Input::Kept { up_to },
            Done::KeepFailed { error } => Input::KeepFailed { error },
            Done::Loaded { id: LoadId(id), loaded } if id & OWN_LOADS != 0 => {
                let part = match loaded {
                    Ok(Loaded::Snapshot(part)) => Ok(part),
                    Ok(_) => Err(StoreError { message: "the store read something else: this is a bug, please report it".into() }),
                    Err(error) => Err(error),
                };
                // Whoever asked may have gone.
                let _ = self.snapshots.remove(&(id & !OWN_LOADS)).map(|asker| asker.send(part));
                return Ok(());
            }
            Done::Loaded { id, loaded } => Input::Loaded { load: id, loaded },
            Done::Installed => Input::Installed { result: Ok(()) },
            // Nothing in the machine waits for rows, so it has no input for this. Going on would serve reads from rows that are not there.
            Done::RowsFailed { error: StoreError { message } } => return Err(HaltReason::Store { message }),
        };
        self.feed(now, input);
        Ok(())
    }

    fn hear_peer(&mut self, now: Now, message: FromPeer) {
        match message {
            FromPeer::Input(input) => self.feed(now, input),
            FromPeer::Admit(peer, is_member, answer) => drop(answer.send(self.node.admit(&peer, is_member))),
        }
    }

    fn hear_client(&mut self, now: Now, message: FromClient) {
        self.slots_owed += usize::from(message.has_slot());
        let input = match message {
            FromClient::Connect { connection, hello, address, queue } => {
                self.connections.insert(connection, queue);
                self.feed(now, Input::Connected { connection, hello });
                let Some(address) = address else { return };
                Input::Address { connection, address }
            }
            FromClient::Request { connection, request } => Input::Request { connection, request },
            FromClient::Drained { connection, bytes } => Input::Drained { connection, bytes },
            FromClient::Disconnected { connection } => Input::Disconnected { connection },
            FromClient::Status(answer) => return drop(answer.send(self.node.status())),
            FromClient::Admin(admin, answer) => {
                self.tickets += 1;
                self.calls.retain(|_, waiting| !waiting.is_closed());
                self.calls.insert(self.tickets, answer);
                Input::Admin { ticket: self.tickets, admin }
            }
            FromClient::HandOver => Input::HandOver,
            FromClient::Snapshot(query, answer) => {
                self.tickets += 1;
                self.snapshots.insert(self.tickets, answer);
                return self.store.submit(Job::Load { id: LoadId(OWN_LOADS | self.tickets), query });
            }
        };
        let known = match &input {
            Input::Disconnected { connection } => self.connections.remove(connection).is_some(),
            Input::Request { connection, .. } | Input::Drained { connection, .. } => self.connections.contains_key(connection),
            _ => true,
        };
        if known {
            self.feed(now, input);
        }
    }

    /// Carries out all outputs. `Some` when the node halts.
    fn settle(&mut self) -> Option<HaltReason> {
        let now = self.clock.now();
        let mut halted = None;
        while let Some(output) = self.node.poll_output() {
            if let Some(observer) = &mut self.observer {
                observer.output(now, &output);
            }
            if let Output::Halt { reason } = output {
                halted = Some(reason);
                break;
            }
            if self.facts.is_some() {
                self.untold.push(output);
            } else {
                self.carry_out(output);
            }
        }
        if let Some(facts) = &mut self.facts {
            let told = self.node.take_facts();
            if !told.is_empty() {
                facts(told);
            }
            let mut outputs = std::mem::take(&mut self.untold);
            outputs.drain(..).for_each(|output| self.carry_out(output));
            self.untold = outputs;
        }
        if self.slots_owed > 0 && self.node.admission() > 0 {
            self.shared.0.slots.add_permits(std::mem::take(&mut self.slots_owed));
        }
        self.shared.0.metrics.set_connections(self.connections.len());
        self.peers.say_member(self.node.is_member());
        halted
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { to, class, message } => self.peers.send(to, class, &message),
            Output::Store { id, batch } => self.store.submit(Job::Append { id, batch }),
            Output::Keep { id, keep } => {
                self.shared.0.metrics.keep(&keep);
                self.store.submit(Job::Keep { id, keep });
            }
            Output::Apply { through, rows } => {
                self.aside.wrote(&rows);
                self.store.submit(Job::Apply { through, rows });
            }
            Output::Derive { id, password, recipe } => self.aside.derive(id, password, recipe, self.report.clone()),
            Output::Search { id, words, rooms, before, limit } => {
                self.aside.search(id, Search { words, rooms, before, limit }, self.report.clone());
            }
            Output::Load { id, query } => self.store.submit(Job::Load { id, query }),
            Output::Trim { through } => self.store.submit(Job::Trim { through }),
            Output::Receive(step) => {
                let installed = if let Receive::Install { position } = &step { Some(position.index) } else { None };
                self.store.submit(Job::Receive(step));
                if let Some(through) = installed {
                    self.aside.replaced(through);
                }
            }
            Output::Reply { to, reply } => self.queue(to, Queued::Reply(reply)),
            Output::Publish { to, event } => {
                let published = Published::new(event);
                for reader in to.iter() {
                    self.queue(*reader, Queued::Event(Arc::clone(&published)));
                }
            }
            Output::Admin { ticket, outcome } => {
                // Whoever asked may have gone.
                let _ = self.calls.remove(&ticket).map(|call| call.send(outcome));
            }
            Output::Peer { node, address } => self.due.extend(self.peers.set(node, address)),
            Output::Close { connection, reason } => {
                self.queue(connection, Queued::Closed(reason));
                self.connections.remove(&connection);
            }
            Output::Diverged(divergence) => {
                self.shared.0.metrics.diverged();
                tracing::error!(node = self.node.status().node.0, "{divergence}");
            }
            other => tracing::error!(?other, "an output that this driver does not know: this is a bug"),
        }
    }

    fn queue(&self, to: ConnectionId, queued: Queued) {
        // Whoever is gone has said goodbye, or is about to.
        if let Some(queue) = self.connections.get(&to) {
            let _ = queue.send(queued);
        }
    }
}
