//! What all WebSockets of a node share: who may open one, how much and how long either side may keep the other waiting, and how they end.
//!
//! A slow reader costs nothing: the next event is asked for only when the former one is written, and the node holds the credit.

use super::{App, Problem};
use crate::gate::{Gate, Line};
use crate::stopped;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;
use tertulia_driver::Incoming;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at, timeout};

/// An idle connection is pinged this often …
const PING_EVERY: Duration = Duration::from_secs(15);
/// … and given up when nothing has come from the other side for so long.
const SILENCE: Duration = Duration::from_secs(45);
/// A reader that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may stay without a session.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a client's frame: cursors of all rooms that a user may be in.
const FRAME_LIMIT: usize = 64 << 10;

/// Close codes of RFC 6455, section 7.4, and its registry.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

/// Goes on, or ends: with a close code and a reason, or without a word.
pub type Flow = ControlFlow<Option<(u16, String)>>;

/// What is spoken over a WebSocket.
pub trait Talk: Send + 'static {
    type Line: Line;
    /// The connection to the node, once there is one.
    fn line(&mut self) -> &mut Option<Self::Line>;
    fn has_session(&self) -> bool;
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
    /// When something last came from there.
    heard: Instant,
}

/// Takes a request for a WebSocket, and talks once it stands.
pub fn upgrade<G: Gate, T: Talk>(
    app: &App<G>,
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
    let mut talk = talk?;
    let upgrade = upgrade.max_message_size(FRAME_LIMIT).max_frame_size(FRAME_LIMIT);
    let stopping = app.stopping.clone();
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut socket = Socket { socket, heard: Instant::now() };
        if let ControlFlow::Break(Some((code, reason))) = socket.run(&mut talk, stopping).await {
            let frame = CloseFrame { code, reason: reason.into() };
            let _ = timeout(Duration::from_secs(1), socket.socket.send(Message::Close(Some(frame)))).await;
        }
    }))
}

impl Socket {
    async fn run<T: Talk>(&mut self, talk: &mut T, mut stopping: watch::Receiver<bool>) -> Flow {
        talk.begin(self).await?;
        let started = self.heard;
        let mut ticks = interval_at(started + Duration::from_secs(5), Duration::from_secs(5));
        let mut pinged = started;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => {
                    return Flow::Break(Some((GOING_AWAY, "this node is stopping: go on at another one".into())));
                }
                received = self.socket.recv() => self.received(talk, received).await?,
                now = ticks.tick() => {
                    if now - self.heard > SILENCE || (!talk.has_session() && now - started > SIGN_IN_TIMEOUT) {
                        return Flow::Break(Some((POLICY, "nothing came: the stream is given up".into())));
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
        let Some(Ok(message)) = received else { return Flow::Break(None) };
        self.heard = Instant::now();
        match message {
            Message::Text(text) => talk.said(self, text.as_str()).await,
            Message::Binary(_) => self.fail::<T>(Problem::bad_request("frames are JSON texts")).await,
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => Flow::Continue(()),
            Message::Close(_) => Flow::Break(None),
        }
    }

    /// Tells the client why, and ends: whatever may go better elsewhere or later says so by its close code.
    pub async fn fail<T: Talk>(&mut self, problem: Problem) -> Flow {
        self.send_json(&T::error(&problem)).await?;
        let code = if problem.retry_after.is_some() { TRY_AGAIN_LATER } else { POLICY };
        Flow::Break(Some((code, problem.title.into())))
    }

    pub async fn send_json(&mut self, value: &Value) -> Flow {
        self.send_text(value.to_string()).await
    }

    pub async fn send_text(&mut self, text: String) -> Flow {
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Flow {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Flow::Continue(()),
            Ok(Err(_)) | Err(_) => Flow::Break(None),
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
