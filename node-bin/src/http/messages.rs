//! Messages: posting and answering, editing and deleting, reactions, pins, read markers, pages of history, threads, and search.

use super::extract::{Act, Body, Caller, Params, Place, Room, Word};
use super::{App, Problem, view};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Command, Post, Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::{RoomId, Seq};

pub const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;
/// Messages of a page of what a search found.
const FOUND_DEFAULT: u32 = 20;

fn checked(limit: Option<u32>, default: u32) -> Result<u32, Problem> {
    let limit = limit.unwrap_or(default);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is {limit}: it must be 1 to {PAGE_MAX}")));
    }
    Ok(limit)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    text: String,
    reply_to: Option<Seq>,
}

/// What may be done without a leader: 200 or 201 says that it is committed, 202 that it is accepted.
type Carried = Result<(StatusCode, Json<Value>), Problem>;

/// `POST /api/v1/rooms/{room}/messages`: answered once the message is committed, or accepted by a node without a leader. The same Idempotency-Key makes a retry safe, and
/// asks an accepted message's fate.
pub async fn post<G: Gate>(act: Act<G>, Room(room): Room, Body(NewMessage { text, reply_to }): Body<NewMessage>) -> Carried {
    let command = match reply_to {
        None => Command::Post { room, text },
        Some(to) => Command::Respond { room, to, text },
    };
    act.carried(command, StatusCode::CREATED).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    after: Option<Seq>,
    before: Option<Seq>,
    around: Option<Seq>,
    limit: Option<u32>,
}

/// `GET /api/v1/rooms/{room}/messages`: `after < seq < before`, ascending. With only `before` the page ends there, otherwise it begins low. `around`: both sides of a place.
pub async fn history<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Params(page): Params<Page>,
) -> Result<Json<Value>, Problem> {
    let limit = checked(page.limit, PAGE_DEFAULT)?;
    let ask = match page {
        Page { around: None, after, before, .. } => Ask::History { room, after, before, limit, at_least: None },
        Page { around: Some(seq), after: None, before: None, .. } => Ask::Around { room, seq, limit, at_least: None },
        _ => return Err(Problem::bad_request("\"around\" has no \"after\" and no \"before\" beside it")),
    };
    match gate::ask(&app.gate, Some(token), ask).await? {
        Answer::History { room, posts, current } => {
            Ok(Json(json!({"messages": view::messages(&posts), "room": room, "current": current})))
        }
        _ => Err(Problem::unexpected()),
    }
}

/// `GET /api/v1/rooms/{room}/tentative`: what is accepted and not committed, as far as this node knows. What became of others is told by the room's events through `cursor`.
pub async fn tentative<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    match act.ask(Ask::Tentative { room }).await? {
        Answer::Tentative { room, cursor, posts } => {
            let messages: Vec<Value> = posts.iter().map(view::tentative).collect();
            Ok(Json(json!({"room": room, "cursor": cursor, "messages": messages})))
        }
        _ => Err(Problem::unexpected()),
    }
}

async fn posts<G: Gate>(act: &Act<G>, ask: Ask) -> Result<(RoomId, Vec<Post>), Problem> {
    match act.ask(ask).await? {
        Answer::Messages { room, posts } => Ok((room, posts)),
        _ => Err(Problem::unexpected()),
    }
}

/// `GET /api/v1/rooms/{room}/messages/{seq}`
pub async fn one<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Result<Json<Value>, Problem> {
    let (room, found) = posts(&act, Ask::Messages { room, seqs: vec![seq] }).await?;
    let found = found.first().ok_or(Refusal::UnknownMessage { room, seq })?;
    Ok(Json(view::message(found)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadPage {
    #[serde(default)]
    after: Seq,
    limit: Option<u32>,
}

/// `GET /api/v1/rooms/{room}/messages/{seq}/thread`: the answers of the thread that begins with this message.
pub async fn thread<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    Place(root): Place,
    Params(page): Params<ThreadPage>,
) -> Result<Json<Value>, Problem> {
    let limit = checked(page.limit, PAGE_DEFAULT)?;
    let (room, found) = posts(&act, Ask::Thread { room, root, after: page.after, limit }).await?;
    Ok(Json(view::page(room, &found)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewText {
    text: String,
}

/// `PATCH /api/v1/rooms/{room}/messages/{seq}`
pub async fn edit<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Body(NewText { text }): Body<NewText>) -> Carried {
    act.carried(Command::Edit { room, seq, text }, StatusCode::OK).await
}

/// `DELETE /api/v1/rooms/{room}/messages/{seq}`
pub async fn delete<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Delete { room, seq }, StatusCode::OK).await
}

/// `PUT /api/v1/rooms/{room}/messages/{seq}/reactions/{emoji}`
pub async fn react<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Word(emoji): Word) -> Carried {
    act.carried(Command::React { room, seq, emoji, on: true }, StatusCode::OK).await
}

/// `DELETE /api/v1/rooms/{room}/messages/{seq}/reactions/{emoji}`
pub async fn unreact<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Word(emoji): Word) -> Carried {
    act.carried(Command::React { room, seq, emoji, on: false }, StatusCode::OK).await
}

/// `PUT /api/v1/rooms/{room}/pins/{seq}`
pub async fn pin<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Pin { room, seq, on: true }, StatusCode::OK).await
}

/// `DELETE /api/v1/rooms/{room}/pins/{seq}`
pub async fn unpin<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Pin { room, seq, on: false }, StatusCode::OK).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadThrough {
    seq: Seq,
}

/// `PUT /api/v1/rooms/{room}/read`
pub async fn read<G: Gate>(act: Act<G>, Room(room): Room, Body(ReadThrough { seq }): Body<ReadThrough>) -> Carried {
    act.carried(Command::Read { room, seq }, StatusCode::OK).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    q: String,
    room: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/v1/search`: the newest first; `next` is the `before` of the next page. `complete` is false while this node builds its index anew.
pub async fn search<G: Gate>(act: Act<G>, Params(wanted): Params<Wanted>) -> Result<Json<Value>, Problem> {
    let limit = checked(wanted.limit, FOUND_DEFAULT)?;
    let room: Option<RoomRef> = wanted.room.as_deref().map(super::extract::room_ref).transpose()?;
    let before = match wanted.before.as_deref() {
        None => None,
        Some(text) => Some(view::read_place(text).ok_or_else(|| {
            Problem::bad_request(format!("before is \"{text}\": write what an earlier answer had as \"next\""))
        })?),
    };
    let ask = Ask::Search { words: wanted.q, room, before, limit };
    // Before the search: an index that is whole by its end may not have been when it was looked into.
    let complete = act.app.indexed.whole();
    match act.ask(ask).await? {
        Answer::Found { posts, more } => {
            let messages: Vec<Value> = posts.iter().map(view::message_in).collect();
            Ok(Json(json!({"messages": messages, "next": more.map(view::place), "complete": complete})))
        }
        _ => Err(Problem::unexpected()),
    }
}
