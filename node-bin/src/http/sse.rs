//! Server-Sent Events on their way out (WHATWG HTML, 9.2): a few small texts a second to whoever watches.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A watcher that takes nothing for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to one watcher.
pub struct Watcher(mpsc::Sender<Bytes>);

/// The way, and the answer that it leads to. One event is under way and one waits: nothing piles up.
pub fn open() -> (Watcher, Response) {
    let (out, frames) = mpsc::channel(1);
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (Watcher(out), (headers, Body::new(Frames(frames))).into_response())
}

impl Watcher {
    /// One event; the text has no line breaks. `false` when nobody watches any more.
    pub async fn send(&self, data: &str) -> bool {
        self.put(format!("data: {data}\n\n")).await
    }

    /// A sign of life: by its absence a watcher knows that the other side has stopped, which a connection alone does not show.
    pub async fn is_alive(&self) -> bool {
        self.put(":\n\n".into()).await
    }

    /// Resolves when nobody watches any more.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    async fn put(&self, text: String) -> bool {
        matches!(timeout(PATIENCE, self.0.send(text.into())).await, Ok(Ok(())))
    }
}

struct Frames(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
