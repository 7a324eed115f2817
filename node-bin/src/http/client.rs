//! `GET /api/v1/client`: one connection to the node's gateway over a WebSocket, for clients that follow docs/CLIENT.md in a browser.
//!
//! - Frames are JSON texts. The client sends the gateway's requests as they are: `{"id": 7, "ask": {"Submit": …}}`.
//! - The node sends `{"reply": {"id", "index", "result"}}`, with a refusal's `"problem"` beside it, and `{"event": …, "shown": …}`: the event as the client machine wants it, and in the
//!   form of the API. Before it ends by itself it says why: `{"error": problem}`.
//! - Whole numbers that a double cannot hold, and the ids of messages, are text ([`super::wide`]).
//! - A request that is not understood but has an id is refused like any other: a page that is newer than this node goes on.

use super::socket::{Flow, Socket, Talk, upgrade};
use super::{App, Problem, view, wide};
use crate::accept::CameFrom;
use crate::gate::{Gate, Line};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tertulia_driver::Incoming;
use tertulia_protocol::chat::Refusal;
use tertulia_protocol::gateway::{Answer, Ask, Event, Reply, Request};

#[cfg(test)]
mod tests;

/// A connection to the node's gateway over a WebSocket, for clients that keep docs/CLIENT.md in a browser.
#[utoipa::path(get, path = "/api/v1/client", responses((status = 101, description = "A WebSocket that carries the gateway's own requests, replies and events.")), security(()), extensions(("x-problems" = json!(["not-a-websocket", "origin-not-allowed", "too-many-streams", "too-many-connections"]))))]
pub async fn open<G: Gate>(
    State(app): State<App<G>>,
    from: Option<Extension<CameFrom>>,
    headers: HeaderMap,
    asked: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let gate = from.as_deref().map_or_else(|| app.gate.clone(), |from| app.gate.of_address(from.0));
    upgrade(&app, from.as_deref(), &headers, asked, Ok(Client { gate, line: None, signed_in: false }))
}

struct Client<G: Gate> {
    gate: G,
    line: Option<G::Line>,
    signed_in: bool,
}

/// What the node sends.
#[derive(Serialize)]
#[serde(untagged)]
enum Frame<'a> {
    Reply {
        reply: &'a Reply,
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<Value>,
    },
    Event {
        event: &'a Event,
        shown: Value,
    },
}

/// As much of a request as has to be read to refuse it.
#[derive(Deserialize)]
struct Asked {
    id: u64,
}

impl<G: Gate> Talk for Client<G> {
    type Line = G::Line;

    fn line(&mut self) -> &mut Option<G::Line> {
        &mut self.line
    }

    fn has_session(&self) -> bool {
        self.signed_in
    }

    fn error(problem: &Problem) -> Value {
        json!({"error": problem.body()})
    }

    async fn begin(&mut self, socket: &mut Socket) -> Flow {
        self.line = self.gate.open(None).await;
        if self.line.is_some() { Flow::Continue(()) } else { socket.fail::<Self>(Problem::stopped()).await }
    }

    async fn said(&mut self, socket: &mut Socket, text: &str) -> Flow {
        let request: Request = match serde_json::from_str(text) {
            Ok(request) => request,
            Err(error) => return refuse_or_end::<G>(socket, text, &error).await,
        };
        if let Ask::SignIn { token, .. } | Ask::SignInAs { token, .. } = &request.ask
            && let Err(problem) = socket.place.of_session(token)
        {
            return socket.fail::<Self>(problem).await;
        }
        let is_taken = match &mut self.line {
            Some(line) => line.request(request).await,
            None => false,
        };
        if is_taken { Flow::Continue(()) } else { socket.fail::<Self>(Problem::stopped()).await }
    }

    async fn heard(&mut self, socket: &mut Socket, incoming: Incoming) -> Flow {
        match incoming {
            Incoming::Reply(reply) => {
                self.signed_in |= matches!(reply.result, Ok(Answer::SignedIn { .. }));
                reply_to::<G>(socket, &reply).await
            }
            Incoming::Event(event) => send::<G>(socket, &Frame::Event { event: &event, shown: view::event(&event) }).await,
            Incoming::Closed(_) => Flow::Continue(()),
        }
    }
}

async fn refuse_or_end<G: Gate>(socket: &mut Socket, text: &str, error: &serde_json::Error) -> Flow {
    let why = format!("this is no request that this node understands, as {{\"id\": 1, \"ask\": \"Ping\"}} is: {error}");
    match serde_json::from_str::<Asked>(text) {
        Ok(Asked { id }) => reply_to::<G>(socket, &Reply { id, index: 0, result: Err(Refusal::BadRequest { why }) }).await,
        Err(_) => socket.fail::<Client<G>>(Problem::bad_request(why)).await,
    }
}

async fn reply_to<G: Gate>(socket: &mut Socket, reply: &Reply) -> Flow {
    let problem = reply.result.as_ref().err().map(|refusal| Problem::from(refusal.clone()).body());
    send::<G>(socket, &Frame::Reply { reply, problem }).await
}

async fn send<G: Gate>(socket: &mut Socket, frame: &Frame<'_>) -> Flow {
    match wide::to_string(frame) {
        Ok(text) => socket.send_text(text).await,
        Err(error) => {
            tracing::error!(%error, "an answer is no JSON");
            socket.fail::<Client<G>>(Problem::unexpected()).await
        }
    }
}
