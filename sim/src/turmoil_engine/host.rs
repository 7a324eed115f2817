//! One simulated machine: the production driver over a simulated disk, a seeded source of entropy and turmoil's clock, and the framed clients' port.

use super::net::{TurmoilNet, host_name};
use super::pause::while_not_paused;
use super::stage::{Ending, Stage, Told, lock};
use crate::scenario::{DiskFailure, Verb};
use crate::trace::digest;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tertulia_driver::store::{FolderIdentity, StoreOptions, open};
use tertulia_driver::store::{InlineStore, Job};
use tertulia_driver::{Clock, Ended, Entropy, Handle, Input, Net, Observer, Setup, serve, start};
use tertulia_protocol::chat::password::PasswordParams;
use tertulia_protocol::contract::{Now, Receive};
use tertulia_protocol::dice::{Purpose, Seed, draw};
use tertulia_protocol::ids::{Boot, NodeId};
use tertulia_protocol::node::{Config, HaltReason, Output};
use tertulia_protocol::raft::Member;
use tertulia_protocol::wire::handshake::Secret;

const PEER_PORT: u16 = 9_000;
/// How often it is looked whether an operator asks for something.
const LOOK: Duration = Duration::from_millis(5);
pub const CLIENT_PORT: u16 = 8_000;
/// What rows keep in memory where disks misread, in bytes.
const SMALL_CACHE: usize = 8 << 10;
/// Small segments, so that a run fills several.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Turmoil's time, as this machine's clocks read it.
#[derive(Clone)]
struct SimClock {
    stage: Arc<Stage>,
    node: usize,
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        self.stage.clock(self.node).now(self.stage.elapsed())
    }

    fn timer(&self, wait: Duration) -> Duration {
        Duration::from_micros(self.stage.clock(self.node).takes(wait.as_micros() as u64))
    }
}

/// Chains everything that goes into a node and comes out of it.
struct Tracer {
    stage: Arc<Stage>,
    node: usize,
}

impl Observer for Tracer {
    fn input(&mut self, now: Now, input: &Input) {
        self.stage.events.fetch_add(1, Relaxed);
        lock(&self.stage.chains[self.node]).input(now.instant.0, digest(input));
        if let (true, Input::Message { from, message }) = (self.stage.records.load(Relaxed), input) {
            let (at, digest) = (self.stage.elapsed(), digest(message));
            self.stage.tell(Told::Arrived { at, from: *from, to: self.node, digest });
        }
    }

    fn output(&mut self, _now: Now, output: &Output) {
        lock(&self.stage.chains[self.node]).output(digest(output));
        if let (true, Output::Send { to, message, .. }) = (self.stage.records.load(Relaxed), output) {
            self.stage.tell(Told::Sent { at: self.stage.elapsed(), from: self.node, to: *to, message: message.clone() });
        }
    }
}

fn secret() -> Secret {
    Secret::new(b"a secret of a simulated cluster").expect("it is long enough")
}

/// Where the node on a machine is reached by its peers.
pub fn peer_address(node: usize) -> String {
    format!("{}:{PEER_PORT}", host_name(node))
}

/// Where the node on a machine is reached by clients, as its members' entry says.
pub fn client_address(node: usize) -> String {
    format!("http://{}:{CLIENT_PORT}", host_name(node))
}

/// The voters that a cluster begins with.
pub fn first_voters(voters: usize) -> Vec<Member> {
    let voter = |node: usize| Member {
        id: NodeId(node as u64 + 1),
        peer_address: peer_address(node),
        client_address: client_address(node),
        incarnation: None,
    };
    (0..voters).map(voter).collect()
}

/// Starts the node on what its disk holds and runs it until it is crashed.
pub async fn run(stage: Arc<Stage>, node: usize) {
    // A spare that nobody has brought in has nothing to run; it is started when it is given an id.
    if lock(&stage.roster).id(node).is_none() {
        return std::future::pending().await;
    }
    if let Err(why) = run_until_ended(&stage, node).await {
        lock(&stage.ended).push((node, why));
    }
    // A host that returns would be told from one that crashed: wait to be crashed.
    std::future::pending::<()>().await;
}

async fn run_until_ended(stage: &Arc<Stage>, node: usize) -> Result<(), Ending> {
    let other = |error: std::io::Error| Ending::Other(error.to_string());
    let setup = prepare(stage, node).map_err(Ending::Other)?;
    let (handle, ended) = start(setup).await.map_err(other)?;
    let net = TurmoilNet::of_node(stage, node);
    let mut listener = net.bind(&format!("0.0.0.0:{CLIENT_PORT}")).await.map_err(other)?;
    let clients = async {
        while let Ok((stream, _)) = net.accept(&mut listener).await {
            let handle = handle.clone();
            tokio::spawn(async move { serve(&handle, stream, &[]).await });
        }
    };
    tokio::select! {
        biased;
        ended = while_not_paused(stage, node, ended) => match ended {
            Ended::Halted(HaltReason::Removed { .. }) => Err(Ending::Removed),
            Ended::Halted(reason) => Err(Ending::Other(format!("n{} halts: {reason}", node + 1))),
            Ended::Stopped => Ok(()),
        },
        () = clients => Err(Ending::Other(format!("n{} accepts no more clients", node + 1))),
        () = operators(stage, node, &handle), if stage.scenario.has_operators() => Ok(()),
    }
}

/// Hands an operator's calls to the node, as they come.
async fn operators(stage: &Arc<Stage>, node: usize, handle: &Handle) {
    loop {
        tokio::time::sleep(LOOK).await;
        for (ticket, admin) in std::mem::take(&mut *lock(&stage.asks[node])) {
            let (stage, handle) = (Arc::clone(stage), handle.clone());
            tokio::spawn(async move {
                if let Some(outcome) = handle.admin(admin).await {
                    lock(&stage.administered).push((ticket, outcome));
                }
            });
        }
    }
}

type SimStore = InlineStore<tertulia_driver::sim_disk::SimDisk, Box<dyn FnMut(&Job) -> Duration + Send>>;

fn prepare(stage: &Arc<Stage>, node: usize) -> Result<Setup<TurmoilNet, SimStore, SimClock>, String> {
    let (seed, who) = (stage.seed, node as u64);
    let boot = stage.boots[node].fetch_add(1, Relaxed) + 1;
    let disk = lock(&stage.disks[node]).thaw();
    *lock(&stage.disks[node]) = disk.clone();
    let id = lock(&stage.roster).id(node).ok_or("a machine without an id runs nothing")?;
    let secret = secret();
    // Only whole segments are trimmed off a log.
    let segment_bytes = SEGMENT_BYTES.min(stage.scenario.cluster.limits.log_bytes / 4);
    let mut options = StoreOptions { segment_bytes, ..StoreOptions::default() };
    if stage.scenario.faults.iter().any(|fault| matches!(fault.verb, Verb::BreakDisk { how: DiskFailure::Misread, .. })) {
        // What is in memory is not read from the disk, and in a short run all of it would be.
        options.rows.cache_bytes = SMALL_CACHE;
    }
    let incarnation = || stage.incarnation(node);
    let identity = FolderIdentity { cluster: secret.cluster_id(), node: id };
    let (opened, restored) = open(disk, identity, Boot(boot), incarnation, options).map_err(|error| error.to_string())?;

    let (sync, of) = (stage.scenario.cluster.sync, Arc::clone(stage));
    let mut jobs = 0;
    let latency = move |job: &Job| {
        jobs += 1;
        let (sync, until) = {
            let conditions = of.conditions();
            (conditions.slow_disk(node).unwrap_or(sync), conditions.stalled_until(node).unwrap_or(0))
        };
        let own = match job {
            Job::Append { .. } | Job::Keep { .. } | Job::Receive(Receive::Install { .. }) => {
                sync.pick(draw(seed, Purpose::DiskSync, who, boot, jobs))
            }
            Job::Apply { .. } | Job::Load { .. } | Job::Trim { .. } | Job::Receive(_) => 0,
        };
        Duration::from_micros(own.max(until.saturating_sub(of.elapsed())))
    };
    let latency: Box<dyn FnMut(&Job) -> Duration + Send> = Box::new(latency);

    let knows = lock(&stage.knows[node]).clone();
    let cluster = &stage.scenario.cluster;
    let mut config = Config::new(id, secret.cluster_id(), knows, Seed(draw(seed, Purpose::Identity, who, 1, 0)));
    config.passwords = PasswordParams::LEAST;
    config.peer_address = peer_address(node);
    config.succession = cluster.policy();
    config.succession_timing = cluster.succession_timing;
    config.timing = cluster.timing;
    config.limits = cluster.limits;
    config.settings = stage.scenario.chat.clone();
    #[cfg(feature = "zoo")]
    {
        config.bug = stage.bug;
    }
    let facts_to = Arc::clone(stage);
    let facts = move |facts: Vec<tertulia_protocol::facts::Fact>| {
        let at = facts_to.elapsed();
        for fact in facts {
            facts_to.tell(Told::Fact { at, node, fact });
        }
    };
    Ok(Setup {
        config,
        secret,
        net: TurmoilNet::of_node(stage, node),
        peer_listen: format!("0.0.0.0:{PEER_PORT}"),
        store: InlineStore::new(opened, latency),
        restored,
        clock: SimClock { stage: Arc::clone(stage), node },
        entropy: entropy(seed, who, boot),
        shutdown: Box::pin(std::future::pending()),
        facts: Some(Box::new(facts)),
        observer: Some(Box::new(Tracer { stage: Arc::clone(stage), node })),
        aside: None,
        faults: None,
    })
}

/// Nonces and pauses between dials: seeded, apart from the protocol's own draws.
fn entropy(seed: Seed, who: u64, boot: u64) -> Entropy {
    let count = std::sync::atomic::AtomicU64::new(0);
    Arc::new(move |bytes: &mut [u8]| {
        for part in bytes.chunks_mut(8) {
            let drawn = draw(seed, Purpose::Identity, who + 5_000, boot, count.fetch_add(1, Relaxed));
            part.copy_from_slice(&drawn.to_le_bytes()[..part.len()]);
        }
    })
}
