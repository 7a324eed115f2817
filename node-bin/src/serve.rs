//! `node serve`: one node. The only file that knows how the driver is started.

use crate::accept::accept;
use crate::aside::Beside;
use crate::cli::Serve;
use crate::driven::Door;
use crate::facts;
use crate::folder;
use crate::http::{App, EXPORTS, Operators, Origins, Streams, Watched, router};
use crate::join::{Me, Start};
use crate::metrics::Metrics;
use crate::peers::Peer;
use crate::search::{self, Begin, Indexed, Searcher};
use crate::secret;
use crate::vitals::Vitals;
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tertulia_driver::disk::RealDisk;
use tertulia_driver::store::{self, FolderIdentity, StoreOptions, ThreadedStore};
use tertulia_driver::watched::{Syncs, WatchedDisk};
use tertulia_driver::{Ended, Handle, Setup, SystemClock, TokioNet, system_entropy};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::{Boot, NodeId};
use tertulia_protocol::node::Config;
use tertulia_protocol::wire::handshake::Secret;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, oneshot, watch};

/// The exit status of a node that halted itself.
const HALTED: i32 = 3;
/// How long a leader that is asked to stop may take to hand over.
const HAND_OVER: Duration = Duration::from_millis(500);
/// How often the members' addresses are looked up for the web page.
const LOOK_AT_MEMBERS: Duration = Duration::from_secs(2);
/// How long the store may take to end in good order; what it does not write is replayed at the next start.
const SHUTDOWN: Duration = Duration::from_millis(1_500);

/// Runs until it is asked to stop.
///
/// # Errors
/// The node could not start. (One that halts itself later ends the process.)
pub async fn run(args: &Serve) -> Result<(), String> {
    init_log();
    raise_file_limit();
    if args.exit_with_stdin {
        end_with_parent();
    }
    let mut stop = Stop::new(args.exit_with_stdin)?;
    let begin = Start::of(args)?;
    let driven = args.driven.door()?;
    let (listener, peer_listen, secret) = prepare(args, &begin).await?;
    let metrics = Metrics::new();
    let me = tokio::select! {
        biased;
        me = begin.settle(&args.data, &secret) => me?,
        _ = stop.requested() => return Ok(()),
    };
    let (id, origins, operators) = (me.id.0, Origins::new(&me.urls()?), Operators::new(secret.clone()));
    let origins = origins.with_control(args.driven.control.clone());
    let node = start(args, me, secret, peer_listen, driven.as_ref()).await?;
    let (stopping, watcher) = watch::channel(false);
    tokio::spawn(look_at_members(node.handle.clone(), origins.clone()));
    let app = App {
        gate: node.handle.clone(),
        origins,
        operators,
        metrics: metrics.clone(),
        indexed: node.indexed,
        exports: Arc::new(Semaphore::new(EXPORTS)),
        streams: Streams::default(),
        watched: Watched::new(node.vitals),
        driven,
        stopping: watcher.clone(),
    };
    let leading = node.handle.clone();
    let framing = node.handle.clone();
    let framed = move |stream: TcpStream| {
        let handle = match stream.peer_addr() {
            Ok(address) => framing.of_address(address.ip()),
            Err(_) => framing.clone(),
        };
        async move { tertulia_driver::serve(&handle, stream, &[]).await }
    };
    let mut accepting = tokio::spawn(accept(listener, router(app), metrics, watcher, framed));
    tracing::info!(node = id, peer_listen = %peer_listen, "serving");

    let ended = node.ended;
    tokio::pin!(ended);
    tokio::select! {
        biased;
        ended = &mut ended => halt(&ended),
        why = stop.requested() => {
            tracing::info!(why = why.text(), "stopping");
            // A cluster that stops as a whole has nobody to hand over to.
            if !matches!(why, Why::Parent) {
                tokio::select! {
                    ended = &mut ended => halt(&ended),
                    () = leading.hand_over(HAND_OVER) => {}
                }
            }
        }
    }
    let _ = stopping.send(true);
    // Requests that are under way need the node: it stops after them.
    tokio::select! {
        ended = &mut ended => halt(&ended),
        _ = &mut accepting => {}
    }
    let _ = node.shutdown.send(());
    let _ = tokio::time::timeout(SHUTDOWN, ended).await;
    if let Some(closed) = node.closed {
        closed.wait(SHUTDOWN);
    }
    Ok(())
}

/// Ends the process where it stands: after a halt nothing may be written any more, also not by a destructor.
fn halt(ended: &Ended) {
    let Ended::Halted(reason) = ended else { return };
    let _ = writeln!(std::io::stderr(), "error: {reason}");
    std::process::exit(HALTED);
}

/// All that can be wrong with the arguments is found before the store is opened.
async fn prepare(args: &Serve, begin: &Start) -> Result<(TcpListener, SocketAddr, Secret), String> {
    let secret = secret::read(&args.secret_file)?;
    let listen = resolve(&begin.known.listen, "--listen").await?;
    let peer_listen = resolve(&begin.known.peer_listen, "--peer-listen").await?;
    let listener = bind(listen, "--listen").await?;
    drop(bind(peer_listen, "--peer-listen").await?);
    Ok((listener, peer_listen, secret))
}

async fn resolve(text: &str, flag: &str) -> Result<SocketAddr, String> {
    let bad = |error: &dyn std::fmt::Display| format!("{flag} {text}: {error}; write it as HOST:PORT");
    let mut found = lookup_host(text).await.map_err(|error| bad(&error))?;
    found.next().ok_or_else(|| bad(&"no such host"))
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; stop what listens there, or choose another address with {flag}")
    })
}

struct Node<F> {
    handle: Handle,
    /// Runs the node; ends when it halts itself, or after `shutdown`.
    ended: F,
    shutdown: oneshot::Sender<()>,
    indexed: Indexed,
    vitals: Vitals,
    /// When the index of words is closed, after `ended`.
    closed: Option<search::Ended>,
}

/// Keeps the web page's idea of the members up to date, until the node stops.
async fn look_at_members(handle: Handle, origins: Origins) {
    while let Some(status) = handle.status().await {
        if status.members.len() > 1 {
            let urls: Vec<String> = status.members.into_iter().map(|member| member.client_address).collect();
            origins.set(&urls);
        }
        tokio::time::sleep(LOOK_AT_MEMBERS).await;
    }
}

/// Opens the data folder and starts the node.
async fn start(
    args: &Serve,
    mut me: Me,
    secret: Secret,
    peer_listen: SocketAddr,
    driven: Option<&Door>,
) -> Result<Node<impl Future<Output = Ended> + use<>>, String> {
    let (cluster, node) = (secret.cluster_id(), me.id);
    let folder = folder::store(&args.data);
    let fail = |error: &dyn std::fmt::Display| format!("cannot use the data folder {}: {error}", folder.display());
    let faults = driven.map(|door| Arc::clone(&door.faults));
    let syncs = Syncs::new(faults.clone());
    let vitals = Vitals::new(folder.clone(), Arc::clone(&syncs), faults.clone()).with_control(args.driven.control.as_deref());
    let disk = WatchedDisk::new(RealDisk::open(&folder).map_err(|error| fail(&error))?, syncs);
    let identity = FolderIdentity { cluster, node };
    let draw = || me.incarnation();
    let (opened, restored) =
        store::open(disk, identity, Boot(rand::random()), draw, StoreOptions::default()).map_err(|error| fail(&error))?;
    let store = ThreadedStore::start(opened).map_err(|error| fail(&error))?;
    me.opened(&args.data)?;
    let members = me.members()?.iter().map(Peer::member).collect();
    let mut config = Config::new(node, cluster, members, Seed(rand::random()));
    config.succession = args.succession.clone();
    config.settings.sign_in = args.sign_in;
    config.settings = crate::settings::changed(&config.settings, &args.settings)?;
    config.timing.lease_drift_ppm = args.lease_drift;
    if let Some(address) = me.peer_address() {
        config.peer_address = address;
    }
    #[cfg(feature = "zoo")]
    {
        config.bug = args.bug;
    }
    // Only who founds the cluster knows the voters that it began with.
    let founders: Vec<NodeId> = args.peers.iter().map(|peer| peer.id).collect();
    let facts = args.facts.as_ref().map(|file| facts::sink(file, node, &founders, args.facts_limit << 20)).transpose()?;
    let (shutdown, asked) = oneshot::channel::<()>();
    let of = format!("{cluster}-{}", restored.incarnation);
    let begin = Begin { folder: search::folder(&args.data), of, applied: restored.applied.index };
    let no_thread = |error| format!("cannot start a thread: {error}");
    let (mut searcher, feeder) = Searcher::start(begin).map_err(no_thread)?;
    let (indexed, closed) = (searcher.indexed(), searcher.ended());
    let setup = Setup {
        config,
        secret,
        net: TokioNet::default(),
        peer_listen: peer_listen.to_string(),
        store,
        restored,
        clock: SystemClock::new(),
        entropy: system_entropy(),
        shutdown: Box::pin(async move { drop(asked.await) }),
        facts,
        observer: None,
        aside: Some(Box::new(Beside::start(searcher, vitals.messages()).map_err(no_thread)?)),
        faults,
    };
    let (handle, ended) = tertulia_driver::start(setup).await.map_err(|error| error.to_string())?;
    tokio::spawn(feeder.run(handle.clone()));
    if let Some(door) = driven {
        // What happens before is not to be shown.
        door.faults.set_sync_delay(Duration::from_millis(args.driven.sync_delay));
    }
    Ok(Node { handle, ended, shutdown, indexed, vitals, closed })
}

/// What asks a node to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    with_stdin: bool,
}

impl Stop {
    fn new(with_stdin: bool) -> Result<Stop, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot watch for signals: {error}"));
        Ok(Stop { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())?, with_stdin })
    }

    async fn requested(&mut self) -> Why {
        let with_stdin = self.with_stdin;
        let stdin = async {
            if !with_stdin {
                std::future::pending::<()>().await;
            }
            let mut byte = [0];
            while matches!(tokio::io::stdin().read(&mut byte).await, Ok(1..)) {}
        };
        tokio::select! {
            _ = self.interrupt.recv() => Why::Interrupt,
            _ = self.terminate.recv() => Why::Terminate,
            () = stdin => Why::Parent,
        }
    }
}

/// What asked a node to stop.
#[derive(Clone, Copy)]
enum Why {
    Interrupt,
    Terminate,
    /// The process that started this one has ended, or lets all its nodes end.
    Parent,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Why::Interrupt => "SIGINT",
            Why::Terminate => "SIGTERM",
            Why::Parent => "the process that started this one has ended",
        }
    }
}

/// Even a node that hangs ends with its demo.
fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)) {
        tracing::warn!(%error, "cannot tie this process to the one that started it");
    }
}

/// Each connection is a file; the usual soft limit of 1,024 is below what is served.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn init_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}
