//! Streams between machines: real sockets here, simulated ones in the simulator.
//!
//! The runtime, the peers' connections and the clients know no other network than the [`Net`] that they are given.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A network of ordered, reliable streams.
pub trait Net: Clone + Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    type Listener: Send + 'static;

    /// Listens on `host:port`.
    fn bind(&self, address: &str) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Where a listener listens, with the port that it was given when it asked for port 0.
    fn local_address(&self, listener: &Self::Listener) -> io::Result<SocketAddr>;

    /// The next stream that somebody opened.
    fn accept(&self, listener: &mut Self::Listener) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// Opens a stream to `host:port`. May wait for ever: whoever asks sets a limit.
    fn connect(&self, address: &str) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// TCP, without Nagle's delay: what is written together is sent together, and at once.
#[derive(Clone, Debug)]
pub struct TokioNet {
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
}

impl Default for TokioNet {
    fn default() -> Self {
        TokioNet { connect_timeout: Duration::from_secs(1) }
    }
}

impl Net for TokioNet {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn bind(&self, address: &str) -> io::Result<TcpListener> {
        TcpListener::bind(address).await
    }

    fn local_address(&self, listener: &TcpListener) -> io::Result<SocketAddr> {
        listener.local_addr()
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, from) = listener.accept().await?;
        // It may be gone already; whoever reads from it learns that.
        let _ = stream.set_nodelay(true);
        Ok((stream, from))
    }

    async fn connect(&self, address: &str) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect(address);
        let stream = tokio::time::timeout(self.connect_timeout, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
