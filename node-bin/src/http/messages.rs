//! Messages: posting one, reading a page of history.

use super::extract::{Body, Caller, Key, Params, Room};
use super::{App, Problem, rooms};
use crate::gate::{self, Gate};
use crate::rfc3339;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Command, Done, Post};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::Seq;

const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;

/// A message as every route and the stream write it.
pub fn view(post: &Post) -> Value {
    json!({
        "seq": post.seq,
        "id": post.id.to_string(),
        "author": post.author_name,
        "text": post.text,
        "at": rfc3339::format(post.at),
    })
}

#[derive(Deserialize)]
pub struct NewMessage {
    text: String,
}

/// `POST /api/v1/rooms/{room}/messages`: answered once the message is committed. The same Idempotency-Key makes a retry safe.
pub async fn post<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Key(identity): Key,
    Body(NewMessage { text }): Body<NewMessage>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    match rooms::submit(&app, token, identity, Command::Post { room, text }).await? {
        Done::Posted { room, seq, id, at } => {
            let at = rfc3339::format(at);
            let body = json!({"id": id.to_string(), "seq": seq, "at": at, "state": "committed", "room": room});
            Ok((StatusCode::CREATED, Json(body)))
        }
        _ => Err(Problem::unexpected()),
    }
}

#[derive(Deserialize)]
pub struct Page {
    after: Option<Seq>,
    before: Option<Seq>,
    limit: Option<u32>,
}

/// `GET /api/v1/rooms/{room}/messages`: `after < seq < before`, ascending. With only `before` the page ends there, otherwise it begins low.
pub async fn history<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Problem> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is {limit}: it must be 1 to {PAGE_MAX}")));
    }
    let ask = Ask::History { room, after: page.after, before: page.before, limit, at_least: None };
    match gate::ask(&app.gate, Some(token), ask).await? {
        Answer::History { room, posts, current } => {
            let messages: Vec<Value> = posts.iter().map(view).collect();
            Ok(Json(json!({"messages": messages, "room": room, "current": current})))
        }
        _ => Err(Problem::unexpected()),
    }
}
