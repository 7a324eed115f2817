//! Real nodes in this process: loopback sockets, real folders, real time.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)]

use bytes::Bytes;
use std::future::Future;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;
use tertulia_driver::disk::RealDisk;
use tertulia_driver::store::{FolderIdentity, StoreOptions, ThreadedStore, open};
use tertulia_driver::{Ended, Handle, Port, Reason, Setup, SystemClock, TokioNet, serve, start, system_entropy};
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::Member;
use tertulia_protocol::wire::handshake::Secret;
use tertulia_protocol::wire::{Frame, FrameReader, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub fn secret() -> Secret {
    Secret::new(b"a secret of sufficient length").unwrap()
}

/// Voters on ports of loopback that are free now, and that no outgoing connection is given by the system.
pub fn voters(count: u64) -> Vec<Member> {
    let address = || loop {
        static TRIED: AtomicU16 = AtomicU16::new(0);
        let nth = TRIED.fetch_add(1, Relaxed) % 20_000;
        let port = 10_000 + (std::process::id().wrapping_mul(97) as u16 % 20_000 + nth) % 20_000;
        if let Ok(free) = std::net::TcpListener::bind(("127.0.0.1", port)) {
            return free.local_addr().unwrap().to_string();
        }
    };
    let voter = |id| Member { id: NodeId(id), peer_address: address(), client_address: address(), incarnation: None };
    (1..=count).map(voter).collect()
}

pub struct Running {
    pub handle: Handle,
    pub node: JoinHandle<Ended>,
    clients: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Running {
    /// Stops in good order.
    pub async fn stop(mut self) -> Ended {
        self.clients.abort();
        drop(self.stop.take());
        (&mut self.node).await.unwrap()
    }

    /// Stops without a word.
    pub async fn kill(mut self) {
        self.clients.abort();
        self.node.abort();
        let _ = (&mut self.node).await;
    }

    pub fn refused(&self, reason: Reason) -> u64 {
        self.handle.metrics().refused(Port::Peer, reason)
    }
}

pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Starts node `id`, serving framed clients on its client address.
pub async fn run(id: u64, voters: &[Member], folder: &TempDir) -> Running {
    run_with(id, voters, folder, |_| ()).await
}

pub async fn run_with(id: u64, voters: &[Member], folder: &TempDir, tune: impl FnOnce(&mut Config)) -> Running {
    let me = voters.iter().find(|voter| voter.id == NodeId(id)).unwrap();
    let (node, cluster) = (me.id, secret().cluster_id());
    let mut config = Config::new(node, cluster, voters.to_vec(), Seed(id));
    tune(&mut config);
    let disk = RealDisk::open(folder.path()).unwrap();
    let draw = || Incarnation(rand::random());
    let (opened, restored) =
        open(disk, FolderIdentity { cluster, node }, Boot(rand::random()), draw, StoreOptions::default()).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let setup = Setup {
        config,
        secret: secret(),
        net: TokioNet::default(),
        peer_listen: me.peer_address.clone(),
        store: ThreadedStore::start(opened).unwrap(),
        restored,
        clock: SystemClock::new(),
        entropy: system_entropy(),
        shutdown: Box::pin(async move { drop(stopped.await) }),
        facts: None,
        observer: None,
        aside: None,
        faults: None,
    };
    let (handle, ended) = start(setup).await.unwrap();
    let listener = TcpListener::bind(&me.client_address).await.unwrap();
    let to_node = handle.clone();
    let clients = tokio::spawn(async move {
        // With the task, so that what it serves ends when it does.
        let mut served = tokio::task::JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let to_node = to_node.clone();
            served.spawn(async move { serve(&to_node, stream, &[]).await });
        }
    });
    Running { handle, node: tokio::spawn(ended), clients, stop: Some(stop) }
}

/// Waits until `what` yields something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(about: &str, mut what: impl FnMut() -> F) -> T {
    for _ in 0..500 {
        if let Some(found) = what().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 10 s: {about}");
}

/// The other end of a connection, spoken to frame by frame.
pub struct Raw {
    pub stream: TcpStream,
    reader: FrameReader,
}

impl Raw {
    pub async fn connect(address: &str) -> Raw {
        Raw { stream: TcpStream::connect(address).await.unwrap(), reader: FrameReader::new(4 << 20) }
    }

    pub fn on(stream: TcpStream) -> Raw {
        Raw { stream, reader: FrameReader::new(4 << 20) }
    }

    pub async fn send(&mut self, bytes: impl Into<Bytes>) {
        let _ = self.stream.write_all(&bytes.into()).await;
    }

    /// The next frame, or `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        let next = async {
            loop {
                if let Some(frame) = self.reader.next_frame().unwrap() {
                    return Some(frame);
                }
                if self.stream.read_buf(self.reader.buffer()).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("a frame or an end within 10 s")
    }

    /// What comes, without signs of life.
    pub async fn next_but(&mut self, skipped: Kind) -> Option<Frame> {
        loop {
            let frame = self.next().await;
            if frame.as_ref().is_none_or(|frame| frame.kind != skipped) {
                return frame;
            }
        }
    }
}
