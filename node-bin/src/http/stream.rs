//! `GET /api/v1/stream`: every room of a session, live, over a WebSocket; resumable from cursors.
//!
//! Who has an `Authorization` header follows at once from now; a first text frame `{"token": …, "cursors": {"<room id>": <cursor>}}` says it for
//! those who cannot send headers, and where to go on. A frame with cursors that comes later begins again from there.
//!
//! A slow reader costs little: the next event is asked for only when the former one is written, and the node holds the credit. Whoever takes anything at all is never dropped; it
//! gets everything as fast as it reads. Who takes nothing for [`WRITE_TIMEOUT`] is told so behind what is on its way already, and dropped when it does not take that either.

use super::extract::bearer;
use super::streams::Place;
use super::{App, Problem, view};
use crate::accept::CameFrom;
use crate::gate::{Gate, Line};
use crate::stopped;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;
use tertulia_driver::Incoming;
use tertulia_protocol::gateway::{Answer, Ask, Reply, Request, Token};
use tertulia_protocol::ids::{Cursor, RoomId};
use tokio::time::{Instant, interval_at, timeout};
use utoipa::ToSchema;

/// An idle stream is pinged this often …
const PING_EVERY: Duration = Duration::from_secs(15);
/// … and given up when nothing has come from the other side for so long.
const SILENCE: Duration = Duration::from_secs(45);
/// A reader that takes nothing for so long is given up …
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// … and has so long to take what is on its way and to hear why.
const TOO_SLOW_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream's end may take otherwise.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a stream may stay without a session.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a client's frame: cursors of all rooms that a user may be in.
const FRAME_LIMIT: usize = 64 << 10;
/// Bytes that are read from the socket at once: clients say little.
const READ_BUFFER: usize = 4 << 10;

/// Close codes of RFC 6455, section 7.4, and its registry.
const GOING_AWAY: u16 = 1001;
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;

/// Every room of the session, live, over a WebSocket; resumable from cursors.
///
/// Who sends the token in the header follows at once from now; who cannot says it in a first frame.
#[utoipa::path(get, path = "/api/v1/stream", responses((status = 101, description = "A WebSocket. The node sends frames of the schema Frame, the client such of the schema ClientFrame.")), security(("session" = []), ()), extensions(("x-problems" = json!(["not-a-websocket", "origin-not-allowed", "too-many-streams", "too-many-connections"]))))]
pub async fn open<G: Gate>(
    State(app): State<App<G>>,
    from: Option<Extension<CameFrom>>,
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
    let mut place = app.streams.enter(from.map(|Extension(CameFrom(address))| address))?;
    if let Some(token) = &token {
        place.of_session(token)?;
    }
    let upgrade = upgrade.max_message_size(FRAME_LIMIT).max_frame_size(FRAME_LIMIT).read_buffer_size(READ_BUFFER);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let counted = app.metrics.streaming();
        let session = Session { app, socket, token, place, line: None, heard: Instant::now(), asked: 0 };
        session.serve().await;
        drop(counted);
    }))
}

/// What a client may say: who it is, if the header does not, and after which event of which room to go on.
#[derive(Deserialize, ToSchema)]
pub struct ClientFrame {
    token: Option<String>,
    /// By room id.
    cursors: Option<BTreeMap<String, u64>>,
}

/// How a stream ends.
enum End {
    /// The socket is dead.
    Gone,
    /// With a close frame.
    Close(u16, String),
    /// The reader takes nothing.
    TooSlow,
}

/// `Break` ends the stream.
type Flow<T = ()> = ControlFlow<End, T>;

struct Session<G: Gate> {
    app: App<G>,
    socket: WebSocket,
    token: Option<Token>,
    place: Place,
    /// There while rooms are followed.
    line: Option<G::Line>,
    /// When something last came from the client.
    heard: Instant,
    /// The id of the last request on `line`.
    asked: u64,
}

impl<G: Gate> Session<G> {
    async fn serve(mut self) {
        let (problem, code, reason, limit) = match self.run().await {
            Flow::Continue(()) | Flow::Break(End::Gone) => return,
            Flow::Break(End::Close(code, reason)) => (None, code, reason, CLOSE_TIMEOUT),
            Flow::Break(End::TooSlow) => {
                let problem = Problem::too_slow();
                (Some(error(&problem)), TRY_AGAIN_LATER, problem.title.into(), TOO_SLOW_TIMEOUT)
            }
        };
        // The node owes this reader nothing any more.
        self.line = None;
        self.app.metrics.stream_closed(if problem.is_some() { "too-slow" } else { "told" });
        let last_words = async {
            if let Some(problem) = problem {
                self.socket.send(problem).await?;
            }
            self.socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            // What the client says meanwhile is read: a socket that is dropped with something unread takes back what was sent.
            while self.socket.recv().await.is_some_and(|received| received.is_ok()) {}
            Ok::<(), axum::Error>(())
        };
        let _ = timeout(limit, last_words).await;
    }

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
                    return Flow::Break(End::Close(GOING_AWAY, "this node is stopping: go on at another one".into()));
                }
                received = self.socket.recv() => self.received(received).await?,
                now = ticks.tick() => {
                    if now - self.heard > SILENCE || (self.token.is_none() && now - started > SIGN_IN_TIMEOUT) {
                        return Flow::Break(End::Close(POLICY, "nothing came: the stream is given up".into()));
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
        let Some(Ok(message)) = received else { return Flow::Break(End::Gone) };
        self.heard = Instant::now();
        match message {
            Message::Text(text) => self.client_frame(text.as_str()).await,
            Message::Binary(_) => self.fail(Problem::bad_request("frames are JSON texts")).await,
            // Pings are answered by the socket itself.
            Message::Ping(_) | Message::Pong(_) => Flow::Continue(()),
            Message::Close(_) => Flow::Break(End::Gone),
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
        let Some(token) = &self.token else {
            return self.fail(tertulia_protocol::chat::Refusal::NotSignedIn.into()).await;
        };
        if let Err(problem) = self.place.of_session(token) {
            return self.fail(problem).await;
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
            Some(Incoming::Event(event)) => self.send_json(&view::frame(&event)).await,
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
        self.send(error(&problem)).await?;
        let code = if problem.retry_after.is_some() { TRY_AGAIN_LATER } else { POLICY };
        Flow::Break(End::Close(code, problem.title.into()))
    }

    async fn send_json(&mut self, frame: &view::Frame) -> Flow {
        self.send(Message::Text(json!(frame).to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Flow {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Flow::Continue(()),
            Ok(Err(_)) => Flow::Break(End::Gone),
            Err(_) => Flow::Break(End::TooSlow),
        }
    }
}

fn error(problem: &Problem) -> Message {
    Message::Text(json!(view::Frame::Error { problem: problem.shape() }).to_string().into())
}

/// The next of a connection that may not be there yet.
async fn next<L: Line>(line: &mut Option<L>) -> Option<Incoming> {
    match line {
        Some(line) => line.next().await,
        None => std::future::pending().await,
    }
}
