//! Messages: posting and answering, editing and deleting, reactions, pins, read markers, pages of history, threads, and search.

use super::extract::{Act, Body, Caller, Params, Place, Room, Word};
use super::view::{self, Outcome};
use super::{App, Problem};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tertulia_protocol::chat::{Command, Post, Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::RoomId;
use utoipa::{IntoParams, ToSchema};

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

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    text: String,
    /// The message that it answers.
    reply_to: Option<u64>,
}

/// What may be done without a leader: 200 or 201 says that it is committed, 202 that it is accepted.
type Carried = Result<(StatusCode, Json<Outcome>), Problem>;

/// Posts a message, or an answer to one.
///
/// Answered once it is committed, or accepted by a node without a leader. The same Idempotency-Key makes a retry safe, and asks an accepted message's fate.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/messages", request_body = NewMessage, responses((status = 201, body = view::Posted), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["empty-text", "text-too-long", "muted", "unknown-message", "blocked", "not-friends", "too-few-copies", "outbox-full"]))))]
pub async fn post<G: Gate>(act: Act<G>, Room(room): Room, Body(NewMessage { text, reply_to }): Body<NewMessage>) -> Carried {
    let command = match reply_to {
        None => Command::Post { room, text },
        Some(to) => Command::Respond { room, to, text },
    };
    act.carried(command, StatusCode::CREATED).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    after: Option<u64>,
    before: Option<u64>,
    around: Option<u64>,
    /// 100 if nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// A page of messages: `after < seq < before`, ascending.
///
/// With only `before` the page ends there, otherwise it begins low. `around`: both sides of a place.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/messages", params(Page), responses((status = 200, body = view::History)))]
pub async fn history<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Params(page): Params<Page>,
) -> Result<Json<view::History>, Problem> {
    let limit = checked(page.limit, PAGE_DEFAULT)?;
    let ask = match page {
        Page { around: None, after, before, .. } => Ask::History { room, after, before, limit, at_least: None },
        Page { around: Some(seq), after: None, before: None, .. } => Ask::Around { room, seq, limit, at_least: None },
        _ => return Err(Problem::bad_request("\"around\" has no \"after\" and no \"before\" beside it")),
    };
    match gate::ask(&app.gate, Some(token), ask).await? {
        Answer::History { room, posts, current } => {
            Ok(Json(view::History { messages: view::messages(&posts), room: room.0, current }))
        }
        _ => Err(Problem::unexpected()),
    }
}

/// Messages that are accepted and not committed, as far as this node knows.
///
/// What became of others is told by the room's events through `cursor`.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/tentative", responses((status = 200, body = view::Waiting)))]
pub async fn tentative<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<view::Waiting>, Problem> {
    match act.ask(Ask::Tentative { room }).await? {
        Answer::Tentative { room, cursor, posts } => {
            let messages = posts.iter().map(view::tentative).collect();
            Ok(Json(view::Waiting { room: room.0, cursor, messages }))
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

/// A message.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/messages/{seq}", responses((status = 200, body = view::Message)))]
pub async fn one<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Result<Json<view::Message>, Problem> {
    let (room, found) = posts(&act, Ask::Messages { room, seqs: vec![seq] }).await?;
    let found = found.first().ok_or(Refusal::UnknownMessage { room, seq })?;
    Ok(Json(view::message(found)))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ThreadPage {
    #[serde(default)]
    after: u64,
    /// 100 if nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The answers of the thread that begins with this message.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/messages/{seq}/thread", params(ThreadPage), responses((status = 200, body = view::Thread)))]
pub async fn thread<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    Place(root): Place,
    Params(page): Params<ThreadPage>,
) -> Result<Json<view::Thread>, Problem> {
    let limit = checked(page.limit, PAGE_DEFAULT)?;
    let (room, found) = posts(&act, Ask::Thread { room, root, after: page.after, limit }).await?;
    Ok(Json(view::Thread { room: room.0, messages: view::messages(&found) }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewText {
    text: String,
}

/// Changes the text of a message.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/messages/{seq}", request_body = NewText, responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["empty-text", "text-too-long", "muted", "too-few-copies", "outbox-full"]))))]
pub async fn edit<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Body(NewText { text }): Body<NewText>) -> Carried {
    act.carried(Command::Edit { room, seq, text }, StatusCode::OK).await
}

/// Deletes a message.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/messages/{seq}", responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["muted", "too-few-copies", "outbox-full"]))))]
pub async fn delete<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Delete { room, seq }, StatusCode::OK).await
}

/// Reacts to a message.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/messages/{seq}/reactions/{emoji}", responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["bad-reaction", "full", "muted", "too-few-copies", "outbox-full"]))))]
pub async fn react<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Word(emoji): Word) -> Carried {
    act.carried(Command::React { room, seq, emoji, on: true }, StatusCode::OK).await
}

/// Takes a reaction back.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/messages/{seq}/reactions/{emoji}", responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["bad-reaction", "full", "muted", "too-few-copies", "outbox-full"]))))]
pub async fn unreact<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place, Word(emoji): Word) -> Carried {
    act.carried(Command::React { room, seq, emoji, on: false }, StatusCode::OK).await
}

/// Pins a message.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/pins/{seq}", responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["full", "too-few-copies", "outbox-full"]))))]
pub async fn pin<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Pin { room, seq, on: true }, StatusCode::OK).await
}

/// Pins a message no more.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/pins/{seq}", responses((status = 200, body = view::RoomChanged), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["full", "too-few-copies", "outbox-full"]))))]
pub async fn unpin<G: Gate>(act: Act<G>, Room(room): Room, Place(seq): Place) -> Carried {
    act.carried(Command::Pin { room, seq, on: false }, StatusCode::OK).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadThrough {
    seq: u64,
}

/// Marks a room as read through a message.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/read", request_body = ReadThrough, responses((status = 200, body = view::ReadMark), (status = 202, body = view::Accepted, description = "Accepted by a node without a leader.")), extensions(("x-problems" = json!(["too-few-copies", "outbox-full"]))))]
pub async fn read<G: Gate>(act: Act<G>, Room(room): Room, Body(ReadThrough { seq }): Body<ReadThrough>) -> Carried {
    act.carried(Command::Read { room, seq }, StatusCode::OK).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// Words that are all in the message; the last one may be the beginning of a word.
    q: String,
    /// Only there: its id or its name.
    room: Option<String>,
    /// The `next` of the page before.
    before: Option<String>,
    /// 20 if nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Finds messages by their words, the newest first.
#[utoipa::path(get, path = "/api/v1/search", params(Wanted), responses((status = 200, body = view::FoundPage)), extensions(("x-problems" = json!(["unknown-room", "not-a-member"]))))]
pub async fn search<G: Gate>(act: Act<G>, Params(wanted): Params<Wanted>) -> Result<Json<view::FoundPage>, Problem> {
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
            let messages = posts.iter().map(view::message_in).collect();
            Ok(Json(view::FoundPage { messages, next: more.map(view::place), complete }))
        }
        _ => Err(Problem::unexpected()),
    }
}
