//! `GET /api/v1/stream`: every room of a session, live, over a WebSocket; resumable from cursors.
//!
//! Who has an `Authorization` header follows at once from now; a first text frame `{"token": …, "cursors": {"<room id>": <cursor>}}` says it for
//! those who cannot send headers, and where to go on. A frame with cursors that comes later begins again from there. A slow reader costs nothing:
//! the next event is asked for only when the former one is written, and the node holds the credit.

use super::extract::bearer;
use super::{App, Problem, view};
use crate::gate::{Gate, Line};
use crate::stopped;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;
use tertulia_driver::Incoming;
use tertulia_protocol::gateway::{Answer, Ask, Reply, Request, Token};
use tertulia_protocol::ids::{Cursor, RoomId};
use tokio::time::{Instant, interval_at, timeout};

/// An idle stream is pinged this often …
const PING_EVERY: Duration = Duration::from_secs(15);
/// … and given up when nothing has come from the other side for so long.
const SILENCE: Duration = Duration::from_secs(45);
/// A reader that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream may stay without a session.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a client's frame: cursors of all rooms that a user may be in.
const FRAME_LIMIT: usize = 64 << 10;

/// Close codes of RFC 6455, section 7.4, and its registry.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

pub async fn open<G: Gate>(
    State(app): State<App<G>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            "not-a-websocket",
            "Not a WebSocket",
            format!("open a WebSocket here: {}", rejection.body_text()),
        )
    })?;
    if !app.origins.may_stream(&headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "Not from this page",
            "a page of another origin may not open a stream: open the page that a node of this cluster serves",
        ));
    }
    let token = bearer(&headers)?;
    let upgrade = upgrade.max_message_size(FRAME_LIMIT).max_frame_size(FRAME_LIMIT);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let mut session = Session { app, socket, token, line: None, heard: Instant::now(), asked: 0 };
        if let ControlFlow::Break(Some((code, reason))) = session.run().await {
            let frame = CloseFrame { code, reason: reason.into() };
            let _ = timeout(Duration::from_secs(1), session.socket.send(Message::Close(Some(frame)))).await;
        }
    }))
}

/// What a client may say.
#[derive(Deserialize)]
struct ClientFrame {
    token: Option<String>,
    cursors: Option<BTreeMap<String, Cursor>>,
}

/// `Break` ends the stream, with a close frame or (the socket is dead) without.
type Flow<T = ()> = ControlFlow<Option<(u16, String)>, T>;

struct Session<G: Gate> {
    app: App<G>,
    socket: WebSocket,
    token: Option<Token>,
    /// There while rooms are followed.
    line: Option<G::Line>,
    /// When something last came from the client.
    heard: Instant,
    /// The id of the last request on `line`.
    asked: u64,
}

impl<G: Gate> Session<G> {
    async fn run(&mut self) -> Flow {
        if self.token.is_some() {
            self.follow(Vec::new()).await?;
        }
        let started = self.heard;
        let mut ticks = interval_at(started + Duration::from_secs(5), Duration::from_secs(5));
        let mut pinged = started;
        let mut stopping = self.app.stopping.clone();
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stopping) => {
                    return Flow::Break(Some((GOING_AWAY, "this node is stopping: go on at another one".into())));
                }
                received = self.socket.recv() => self.received(received).await?,
                now = ticks.tick() => {
                    if now - self.heard > SILENCE || (self.token.is_none() && now - started > SIGN_IN_TIMEOUT) {
                        return Flow::Break(Some((POLICY, "nothing came: the stream is given up".into())));
                    }
                    if now - pinged >= PING_EVERY {
                        pinged = now;
                        self.send(Message::Ping(Default::default())).await?;
                    }
                }
                incoming = next(&mut self.line) => self.incoming(incoming).await?,
            }
        }
    }

    async fn received(&mut self, received: Option<Result<Message, axum::Error>>) -> Flow {
        let Some(Ok(message)) = received else { return Flow::Break(None) };
        self.heard = Instant::now();
        match message {
            Message::Text(text) => self.client_frame(text.as_str()).await,
            Message::Binary(_) => self.fail(Problem::bad_request("frames are JSON texts")).await,
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => Flow::Continue(()),
            Message::Close(_) => Flow::Break(None),
        }
    }

    async fn client_frame(&mut self, text: &str) -> Flow {
        let frame: ClientFrame = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return self.fail(Problem::bad_request(format!("a frame is no JSON as expected: {error}"))).await,
        };
        if let Some(token) = frame.token {
            match crate::hex::token(&token) {
                Some(token) => self.token = Some(token),
                None => return self.fail(tertulia_protocol::chat::Refusal::UnknownSession.into()).await,
            }
        }
        if self.token.is_none() {
            return self.fail(tertulia_protocol::chat::Refusal::NotSignedIn.into()).await;
        }
        let mut after = Vec::new();
        for (room, cursor) in frame.cursors.unwrap_or_default() {
            match room.parse() {
                Ok(room) => after.push((RoomId(room), cursor)),
                Err(_) => return self.fail(Problem::bad_request(format!("cursors are by room id; \"{room}\" is none"))).await,
            }
        }
        self.follow(after).await
    }

    /// Follows all rooms over a fresh connection; events of a former one do not mix in.
    async fn follow(&mut self, after: Vec<(RoomId, Cursor)>) -> Flow {
        let Some(mut line) = self.app.gate.open(self.token).await else { return self.fail(Problem::stopped()).await };
        self.asked += 1;
        if !line.request(Request { id: self.asked, ask: Ask::FollowAll { after } }).await {
            return self.fail(Problem::stopped()).await;
        }
        self.line = Some(line);
        Flow::Continue(())
    }

    async fn incoming(&mut self, incoming: Option<Incoming>) -> Flow {
        match incoming {
            Some(Incoming::Event(event)) => self.send_json(&view::event(&event)).await,
            Some(Incoming::Reply(Reply { id, result, .. })) if id == self.asked => match result {
                Ok(Answer::FollowingAll { cursors }) => self.send_json(&view::following(&cursors)).await,
                Ok(_) => Flow::Continue(()),
                Err(refusal) => self.fail(refusal.into()).await,
            },
            Some(Incoming::Reply(_)) => Flow::Continue(()),
            Some(Incoming::Closed(reason)) => self.fail(Problem::closed(reason)).await,
            None => self.fail(Problem::stopped()).await,
        }
    }

    /// Tells the client why, and ends: whatever may go better elsewhere or later says so by its close code.
    async fn fail(&mut self, problem: Problem) -> Flow {
        self.send_json(&json!({"type": "error", "problem": problem.body()})).await?;
        let code = if problem.retry_after.is_some() { TRY_AGAIN_LATER } else { POLICY };
        Flow::Break(Some((code, problem.title.into())))
    }

    async fn send_json(&mut self, value: &Value) -> Flow {
        self.send(Message::Text(value.to_string().into())).await
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
