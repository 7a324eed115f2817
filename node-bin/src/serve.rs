//! `node serve`: one node. The only file that knows how the driver is started.

use crate::accept::accept;
use crate::cli::Serve;
use crate::http::{App, Origins, router};
use crate::metrics::Metrics;
use crate::peers::check_peers;
use crate::secret;
use std::io::IsTerminal;
use std::net::SocketAddr;
use tertulia_driver::Handle;
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::wire::handshake::Secret;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Why a node ends without being asked to.
pub enum Failure {
    /// It could not start.
    Start(String),
    /// It halted itself: going on would not be right.
    Halt(String),
}

pub async fn run(args: &Serve) -> Result<(), Failure> {
    init_log();
    raise_file_limit();
    if args.exit_with_stdin {
        end_with_parent();
    }
    let stop = Stop::new(args.exit_with_stdin)?;
    let (listener, peer_listen, secret) = prepare(args).await.map_err(Failure::Start)?;
    let metrics = Metrics::new();
    let node = start(args, secret, peer_listen, &metrics).await.map_err(Failure::Start)?;
    let (stopping, watcher) = watch::channel(false);
    let urls: Vec<String> = args.peers.iter().map(|peer| peer.client_url.clone()).collect();
    let app =
        App { gate: node.handle.clone(), origins: Origins::new(&urls), metrics: metrics.clone(), stopping: watcher.clone() };
    let handle = node.handle.clone();
    let framed = {
        let metrics = metrics.clone();
        move |stream| serve_framed(handle.clone(), stream, metrics.clone())
    };
    let accepting = tokio::spawn(accept(listener, router(app), metrics, watcher, framed));
    tracing::info!(node = args.id, listen = args.listen, peer_listen = args.peer_listen, "serving");
    let halted = tokio::select! {
        biased;
        halted = node.ended => Some(halted),
        why = stop.requested() => {
            tracing::info!(why, "stopping");
            None
        }
    };
    let _ = stopping.send(true);
    if let Some(reason) = halted {
        return Err(Failure::Halt(reason));
    }
    let _ = accepting.await;
    Ok(())
}

/// All that can be wrong with the arguments is found before the store is opened.
async fn prepare(args: &Serve) -> Result<(TcpListener, SocketAddr, Secret), String> {
    check_peers(&args.peers, NodeId(args.id))?;
    let secret = secret::read(&args.secret_file)?;
    let listen = resolve(&args.listen, "--listen").await?;
    let peer_listen = resolve(&args.peer_listen, "--peer-listen").await?;
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
    /// Ends with the reason when the node halts itself.
    ended: F,
}

/// Opens the data folder and starts the node.
async fn start(
    args: &Serve,
    secret: Secret,
    peer_listen: SocketAddr,
    metrics: &Metrics,
) -> Result<Node<std::future::Pending<String>>, String> {
    let _ = (args, secret, peer_listen, metrics);
    Err("the driver is not there yet".into())
}

/// Serves a connection that begins with the framed protocol's first bytes.
async fn serve_framed(handle: Handle, stream: TcpStream, metrics: Metrics) {
    let _ = (handle, stream, metrics);
}

/// What asks a node to stop.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    with_stdin: bool,
}

impl Stop {
    fn new(with_stdin: bool) -> Result<Stop, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::Start(format!("cannot watch for signals: {error}")));
        Ok(Stop { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())?, with_stdin })
    }

    async fn requested(mut self) -> &'static str {
        let stdin = async {
            if !self.with_stdin {
                std::future::pending::<()>().await;
            }
            let mut byte = [0];
            while matches!(tokio::io::stdin().read(&mut byte).await, Ok(1..)) {}
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = stdin => "the process that started this one has ended",
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
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn init_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    // A test may have set one.
    let _ = log.try_init();
}
