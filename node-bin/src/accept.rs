//! The clients' port: HTTP and the framed protocol, told apart by the first bytes. Bounded in connections, and in what one connection may keep us waiting.

use crate::metrics::Metrics;
use crate::stopped;
use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tertulia_protocol::wire::CLIENT_MAGIC;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

/// Connections at once; each holds a file and some buffers.
const CONNECTIONS: u32 = 4_096;
/// How long a connection may take to say what it is.
const FIRST_BYTES: Duration = Duration::from_secs(10);
/// How long the head of a request may take, the wait for it on an idle connection included.
const HEAD: Duration = Duration::from_secs(60);
/// Bytes of a request's head, about.
const HEAD_BYTES: usize = 32 << 10;
/// Bytes that may wait in the kernel for a reader that does not take them, beside those on their way: else it would keep megabytes for each.
const UNSENT: u32 = 64 << 10;
/// Connections beyond [`CONNECTIONS`] that are told so at one time, and how long each may take. The others find the door closed.
const TURNED_AWAY: usize = 64;
const TURNING_AWAY: Duration = Duration::from_secs(1);
/// How long requests that are under way may take when the node stops.
const DRAIN: Duration = Duration::from_millis(800);

/// Serves until `stopping` is true, then lets requests that are under way end. `framed` serves a connection that begins with [`CLIENT_MAGIC`].
pub async fn accept<F, Served>(
    listener: TcpListener,
    router: Router,
    metrics: Metrics,
    mut stopping: watch::Receiver<bool>,
    framed: F,
) where
    F: Fn(TcpStream) -> Served + Clone + Send + 'static,
    Served: Future<Output = ()> + Send,
{
    let (places, door) = (Arc::new(Semaphore::new(CONNECTIONS as usize)), Arc::new(Semaphore::new(TURNED_AWAY)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stopping) => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client's connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics.refused("connections");
            if let Ok(at_the_door) = door.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = timeout(TURNING_AWAY, turn_away(stream)).await;
                    drop(at_the_door);
                });
            }
            continue;
        };
        let (router, metrics, stopping, framed) = (router.clone(), metrics.clone(), stopping.clone(), framed.clone());
        tokio::spawn(async move {
            let _connected = metrics.connected();
            serve(stream, router, &metrics, stopping, framed).await;
            drop(place);
        });
    }
    drop(listener);
    let _ = timeout(DRAIN, places.acquire_many(CONNECTIONS)).await;
}

/// Tells an HTTP client that the node is full. The framed protocol has no word for it: there the connection just ends.
async fn turn_away(mut stream: TcpStream) -> io::Result<()> {
    if first_bytes(&stream).await? != First::Http {
        return Ok(());
    }
    stream.write_all(crate::http::full().as_bytes()).await?;
    stream.shutdown().await?;
    // A socket that is dropped with something unread takes back what was sent.
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await? > 0 {}
    Ok(())
}

async fn serve<F, Served>(stream: TcpStream, router: Router, metrics: &Metrics, mut stopping: watch::Receiver<bool>, framed: F)
where
    F: Fn(TcpStream) -> Served,
    Served: Future<Output = ()>,
{
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let first = tokio::select! {
        biased;
        () = stopped(&mut stopping) => return,
        first = timeout(FIRST_BYTES, first_bytes(&stream)) => first,
    };
    match first {
        Ok(Ok(First::Http)) => serve_http(stream, router, metrics, stopping).await,
        Ok(Ok(First::Framed)) => {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => {}
                () = framed(stream) => {}
            }
        }
        Ok(Ok(First::OtherVersion)) => metrics.refused("protocol-version"),
        Ok(Ok(First::Closed)) => {}
        Ok(Err(_)) => {}
        Err(_) => metrics.refused("first-bytes"),
    }
}

/// The network address that a request comes from, among its extensions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CameFrom(pub IpAddr);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    Http,
    Framed,
    /// The framed protocol of another release.
    OtherVersion,
    Closed,
}

/// What a connection is, by bytes that stay in the socket.
async fn first_bytes(stream: &TcpStream) -> io::Result<First> {
    let mut bytes = [0; CLIENT_MAGIC.len()];
    loop {
        let length = stream.peek(&mut bytes).await?;
        if let Some(first) = tell(&bytes[..length]) {
            return Ok(first);
        }
        // The rest is under way; peeking again returns at once, so it needs a pause.
        sleep(Duration::from_millis(5)).await;
    }
}

/// `None` while more bytes must come.
fn tell(bytes: &[u8]) -> Option<First> {
    match bytes {
        [] => Some(First::Closed),
        bytes if *bytes == CLIENT_MAGIC => Some(First::Framed),
        [b'T', b'R', b'T', _] => Some(First::OtherVersion),
        bytes if CLIENT_MAGIC.starts_with(bytes) => None,
        _ => Some(First::Http),
    }
}

async fn serve_http(stream: TcpStream, router: Router, metrics: &Metrics, mut stopping: watch::Receiver<bool>) {
    let from = stream.peer_addr().ok().map(|address| CameFrom(address.ip()));
    let router = router.map_request(move |mut request: Request<Incoming>| {
        if let Some(from) = from {
            request.extensions_mut().insert(from);
        }
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(connection);
    let mut result = tokio::select! {
        biased;
        () = stopped(&mut stopping) => None,
        result = connection.as_mut() => Some(result),
    };
    if result.is_none() {
        connection.as_mut().graceful_shutdown();
        result = Some(connection.await);
    }
    if let Some(Err(error)) = result
        && error.is_parse()
    {
        metrics.refused("http");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_a_connection_is() {
        for (bytes, first) in [
            (&b"TRT1"[..], Some(First::Framed)),
            (b"TRT2", Some(First::OtherVersion)),
            (b"GET ", Some(First::Http)),
            (b"G", Some(First::Http)),
            (b"TRAC", Some(First::Http)),
            (b"\x16\x03\x01", Some(First::Http)),
            (b"T", None),
            (b"TRT", None),
            (b"", Some(First::Closed)),
        ] {
            assert_eq!(tell(bytes), first, "{bytes:?}");
        }
    }
}
