//! What all WebSockets of a node share: who may open one, how much and how long either side may keep the other waiting, and how they end.
//!
//! A slow reader costs little: the next event is asked for only when the former one is written, and the node holds the credit. Whoever takes anything at all is never dropped; it
//! gets everything as fast as it reads. Who takes nothing for [`WRITE_TIMEOUT`] is told so behind what is on its way already, and dropped when it does not take that either.

use super::streams::Place;
use super::{App, Problem};
use crate::accept::CameFrom;
use crate::gate::{Gate, Line};
use crate::metrics::Metrics;
use crate::stopped;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;
use tertulia_driver::Incoming;
use tertulia_protocol::gateway::Token;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};

/// An idle connection is pinged this often …
const PING_EVERY: Duration = Duration::from_secs(15);
/// … and given up when nothing has come from the other side for so long.
const SILENCE: Duration = Duration::from_secs(45);
/// A reader that takes nothing for so long is given up …
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// … and has so long to take what is on its way and to hear why.
const TOO_SLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an end may take otherwise.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may stay without a session.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a client's frame: cursors of all rooms that a user may be in.
const FRAME_LIMIT: usize = 64 << 10;
/// Bytes that are read from the socket at once: clients say little.
const READ_BUFFER: usize = 4 << 10;

/// Close codes of RFC 6455, section 7.4, and its registry.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

/// How a connection ends.
pub enum End {
    /// The socket is dead.
    Gone,
    /// With a close code and a reason.
    Close(u16, String),
    /// The reader takes nothing.
    TooSlow,
}

/// Goes on, or ends.
pub type Flow = ControlFlow<End>;

/// What is spoken over a WebSocket.
pub trait Talk: Send + 'static {
    type Line: Line;
    /// The connection to the node, once there is one.
    fn line(&mut self) -> &mut Option<Self::Line>;
    fn has_session(&self) -> bool;
    /// Whose it is, if that is known before anything is said.
    fn token(&self) -> Option<&Token> {
        None
    }
    /// The frame that tells why it ends.
    fn error(problem: &Problem) -> Value;
    /// Before anything was said.
    fn begin(&mut self, socket: &mut Socket) -> impl Future<Output = Flow> + Send;
    /// The client has said something.
    fn said(&mut self, socket: &mut Socket, text: &str) -> impl Future<Output = Flow> + Send;
    /// The node has said something, and not that it closes the connection.
    fn heard(&mut self, socket: &mut Socket, incoming: Incoming) -> impl Future<Output = Flow> + Send;
}

/// The client's side.
pub struct Socket {
    socket: WebSocket,
    metrics: Metrics,
    /// What it counts for among all that are open.
    pub place: Place,
    /// When something last came from there.
    heard: Instant,
}

/// Takes a request for a WebSocket, and talks once it stands.
pub fn upgrade<G: Gate, T: Talk>(
    app: &App<G>,
    from: Option<&CameFrom>,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    talk: Result<T, Problem>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            "not-a-websocket",
            "Not a WebSocket",
            format!("open a WebSocket here: {}", rejection.body_text()),
        )
    })?;
    if !app.origins.may_stream(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "Not from this page",
            "a page of another origin may not open a stream: open the page that a node of this cluster serves",
        ));
    }
    let talk = talk?;
    let mut place = app.streams.enter(from.map(|from| from.0))?;
    if let Some(token) = talk.token() {
        place.of_session(token)?;
    }
    let upgrade = upgrade.max_message_size(FRAME_LIMIT).max_frame_size(FRAME_LIMIT).read_buffer_size(READ_BUFFER);
    let (stopping, metrics) = (app.stopping.clone(), app.metrics.clone());
    Ok(upgrade.on_upgrade(move |socket| async move {
        let counted = metrics.streaming();
        let socket = Socket { socket, metrics, place, heard: Instant::now() };
        socket.serve(talk, stopping).await;
        drop(counted);
    }))
}

impl Socket {
    async fn serve<T: Talk>(mut self, mut talk: T, stopping: watch::Receiver<bool>) {
        let (problem, code, reason, limit) = match self.run(&mut talk, stopping).await {
            Flow::Continue(()) | Flow::Break(End::Gone) => return,
            Flow::Break(End::Close(code, reason)) => (None, code, reason, CLOSE_TIMEOUT),
            Flow::Break(End::TooSlow) => {
                let problem = Problem::too_slow();
                (Some(T::error(&problem)), TRY_AGAIN_LATER, problem.title.into(), TOO_SLOW_TIMEOUT)
            }
        };
        // The node owes this reader nothing any more.
        drop(talk);
        self.metrics.stream_closed(if problem.is_some() { "too-slow" } else { "told" });
        let last_words = async {
            if let Some(problem) = problem {
                self.socket.send(Message::Text(problem.to_string().into())).await?;
            }
            self.socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            // What the client says meanwhile is read: a socket that is dropped with something unread takes back what was sent.
            while self.socket.recv().await.is_some_and(|received| received.is_ok()) {}
            Ok::<(), axum::Error>(())
        };
        let _ = timeout(limit, last_words).await;
    }

    async fn run<T: Talk>(&mut self, talk: &mut T, mut stopping: watch::Receiver<bool>) -> Flow {
        talk.begin(self).await?;
        let started = self.heard;
        let mut ticks = interval_at(started + Duration::from_secs(5), Duration::from_secs(5));
        let mut pinged = started;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => {
                    return Flow::Break(End::Close(GOING_AWAY, "this node is stopping: go on at another one".into()));
                }
                received = self.socket.recv() => self.received(talk, received).await?,
                now = ticks.tick() => {
                    if now - self.heard > SILENCE || (!talk.has_session() && now - started > SIGN_IN_TIMEOUT) {
                        return Flow::Break(End::Close(POLICY, "nothing came: the stream is given up".into()));
                    }
                    if now - pinged >= PING_EVERY {
                        pinged = now;
                        self.send(Message::Ping(Default::default())).await?;
                    }
                }
                incoming = next(talk.line()) => match incoming {
                    Some(Incoming::Closed(reason)) => self.fail::<T>(Problem::closed(reason)).await?,
                    Some(incoming) => talk.heard(self, incoming).await?,
                    None => self.fail::<T>(Problem::stopped()).await?,
                },
            }
        }
    }

    async fn received<T: Talk>(&mut self, talk: &mut T, received: Option<Result<Message, axum::Error>>) -> Flow {
        let Some(Ok(message)) = received else { return Flow::Break(End::Gone) };
        self.heard = Instant::now();
        match message {
            Message::Text(text) => talk.said(self, text.as_str()).await,
            Message::Binary(_) => self.fail::<T>(Problem::bad_request("frames are JSON texts")).await,
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => Flow::Continue(()),
            Message::Close(_) => Flow::Break(End::Gone),
        }
    }

    /// Tells the client why, and ends: whatever may go better elsewhere or later says so by its close code.
    pub async fn fail<T: Talk>(&mut self, problem: Problem) -> Flow {
        self.send_json(&T::error(&problem)).await?;
        let code = if problem.retry_after.is_some() { TRY_AGAIN_LATER } else { POLICY };
        Flow::Break(End::Close(code, problem.title.into()))
    }

    pub async fn send_json(&mut self, frame: &impl Serialize) -> Flow {
        self.send_text(json!(frame).to_string()).await
    }

    pub async fn send_text(&mut self, text: String) -> Flow {
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Flow {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Flow::Continue(()),
            Ok(Err(_)) => Flow::Break(End::Gone),
            Err(_) => Flow::Break(End::TooSlow),
        }
    }
}

/// The next of a connection that may not be there yet.
async fn next<L: Line>(line: &mut Option<L>) -> Option<Incoming> {
    match line {
        Some(line) => line.next().await,
        None => std::future::pending().await,
    }
}
