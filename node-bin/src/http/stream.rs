//! `GET /api/v1/stream`: every room of a session, live, over a WebSocket; resumable from cursors.
//!
//! Who has an `Authorization` header follows at once from now; a first text frame `{"token": …, "cursors": {"<room id>": <cursor>}}` says it for
//! those who cannot send headers, and where to go on. A frame with cursors that comes later begins again from there.

use super::extract::bearer;
use super::socket::{Flow, Socket, Talk, upgrade};
use super::{App, Problem, view};
use crate::accept::CameFrom;
use crate::gate::{Gate, Line};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tertulia_driver::Incoming;
use tertulia_protocol::gateway::{Answer, Ask, Reply, Request, Token};
use tertulia_protocol::ids::{Cursor, RoomId};
use utoipa::ToSchema;

/// Every room of the session, live, over a WebSocket; resumable from cursors.
///
/// Who sends the token in the header follows at once from now; who cannot says it in a first frame.
#[utoipa::path(get, path = "/api/v1/stream", responses((status = 101, description = "A WebSocket. The node sends frames of the schema Frame, the client such of the schema ClientFrame.")), security(("session" = []), ()), extensions(("x-problems" = json!(["not-a-websocket", "origin-not-allowed", "too-many-streams", "too-many-connections"]))))]
pub async fn open<G: Gate>(
    State(app): State<App<G>>,
    from: Option<Extension<CameFrom>>,
    headers: HeaderMap,
    asked: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let stream = bearer(&headers).map(|token| Stream { gate: app.gate.clone(), token, line: None, asked: 0 });
    upgrade(&app, from.as_deref(), &headers, asked, stream)
}

/// What a client may say: who it is, if the header does not, and after which event of which room to go on.
#[derive(Deserialize, ToSchema)]
pub struct ClientFrame {
    token: Option<String>,
    /// By room id.
    cursors: Option<BTreeMap<String, u64>>,
}

struct Stream<G: Gate> {
    gate: G,
    token: Option<Token>,
    /// There while rooms are followed.
    line: Option<G::Line>,
    /// The id of the last request on `line`.
    asked: u64,
}

impl<G: Gate> Talk for Stream<G> {
    type Line = G::Line;

    fn line(&mut self) -> &mut Option<G::Line> {
        &mut self.line
    }

    fn has_session(&self) -> bool {
        self.token.is_some()
    }

    fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    fn error(problem: &Problem) -> Value {
        json!(view::Frame::Error { problem: problem.shape() })
    }

    async fn begin(&mut self, socket: &mut Socket) -> Flow {
        if self.token.is_none() {
            return Flow::Continue(());
        }
        self.follow(socket, Vec::new()).await
    }

    async fn said(&mut self, socket: &mut Socket, text: &str) -> Flow {
        let frame: ClientFrame = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                return fail::<G>(socket, Problem::bad_request(format!("a frame is no JSON as expected: {error}"))).await;
            }
        };
        if let Some(token) = frame.token {
            match crate::hex::token(&token) {
                Some(token) => self.token = Some(token),
                None => return fail::<G>(socket, tertulia_protocol::chat::Refusal::UnknownSession.into()).await,
            }
        }
        let Some(token) = &self.token else {
            return fail::<G>(socket, tertulia_protocol::chat::Refusal::NotSignedIn.into()).await;
        };
        if let Err(problem) = socket.place.of_session(token) {
            return fail::<G>(socket, problem).await;
        }
        let mut after = Vec::new();
        for (room, cursor) in frame.cursors.unwrap_or_default() {
            match room.parse() {
                Ok(room) => after.push((RoomId(room), cursor)),
                Err(_) => {
                    let problem = Problem::bad_request(format!("cursors are by room id; \"{room}\" is none"));
                    return fail::<G>(socket, problem).await;
                }
            }
        }
        self.follow(socket, after).await
    }

    async fn heard(&mut self, socket: &mut Socket, incoming: Incoming) -> Flow {
        match incoming {
            Incoming::Event(event) => socket.send_json(&view::frame(&event)).await,
            Incoming::Reply(Reply { id, result, .. }) if id == self.asked => match result {
                Ok(Answer::FollowingAll { cursors }) => socket.send_json(&view::following(&cursors)).await,
                Ok(_) => Flow::Continue(()),
                Err(refusal) => fail::<G>(socket, refusal.into()).await,
            },
            Incoming::Reply(_) | Incoming::Closed(_) => Flow::Continue(()),
        }
    }
}

impl<G: Gate> Stream<G> {
    /// Follows all rooms over a fresh connection; events of a former one do not mix in.
    async fn follow(&mut self, socket: &mut Socket, after: Vec<(RoomId, Cursor)>) -> Flow {
        let Some(mut line) = self.gate.open(self.token).await else { return fail::<G>(socket, Problem::stopped()).await };
        self.asked += 1;
        if !line.request(Request { id: self.asked, ask: Ask::FollowAll { after } }).await {
            return fail::<G>(socket, Problem::stopped()).await;
        }
        self.line = Some(line);
        Flow::Continue(())
    }
}

async fn fail<G: Gate>(socket: &mut Socket, problem: Problem) -> Flow {
    socket.fail::<Stream<G>>(problem).await
}
