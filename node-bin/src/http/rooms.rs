//! Rooms: which there are, making one, entering and leaving.

use super::extract::{Body, Caller, Key, Room};
use super::{App, Problem};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Command, Done};
use tertulia_protocol::gateway::{Answer, Ask, Token};
use tertulia_protocol::replica::Identity;

/// Has a command executed once and returns what became of it.
pub async fn submit<G: Gate>(app: &App<G>, token: Token, identity: Identity, command: Command) -> Result<Done, Problem> {
    // Requests with a key are not numbered: there is nothing to acknowledge by number.
    let ask = Ask::Submit { identity, first_unacked: 0, command };
    match gate::ask(&app.gate, Some(token), ask).await? {
        Answer::Done(done) => Ok(done),
        _ => Err(Problem::unexpected()),
    }
}

/// `GET /api/v1/rooms`
pub async fn list<G: Gate>(State(app): State<App<G>>, Caller(token): Caller) -> Result<Json<Value>, Problem> {
    let Answer::Rooms(rooms) = gate::ask(&app.gate, Some(token), Ask::Rooms).await? else {
        return Err(Problem::unexpected());
    };
    let rooms: Vec<Value> = rooms
        .into_iter()
        .map(|room| json!({"id": room.id, "name": room.name, "member": room.member, "members": room.members, "last": room.last}))
        .collect();
    Ok(Json(json!({"rooms": rooms})))
}

#[derive(Deserialize)]
pub struct Create {
    name: String,
}

/// `POST /api/v1/rooms`: 201, or 200 when the room was there. Its asker is a member either way.
pub async fn create<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Key(identity): Key,
    Body(Create { name }): Body<Create>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    match submit(&app, token, identity, Command::CreateRoom { name }).await? {
        Done::Room { room, name, created } => {
            let status = if created { StatusCode::CREATED } else { StatusCode::OK };
            Ok((status, Json(json!({"id": room, "name": name}))))
        }
        _ => Err(Problem::unexpected()),
    }
}

/// `POST /api/v1/rooms/{room}/join`
pub async fn join<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Key(identity): Key,
) -> Result<Json<Value>, Problem> {
    match submit(&app, token, identity, Command::Join { room }).await? {
        Done::Joined { room, name, last, .. } => Ok(Json(json!({"id": room, "name": name, "member": true, "last": last}))),
        _ => Err(Problem::unexpected()),
    }
}

/// `POST /api/v1/rooms/{room}/leave`
pub async fn leave<G: Gate>(
    State(app): State<App<G>>,
    Caller(token): Caller,
    Room(room): Room,
    Key(identity): Key,
) -> Result<Json<Value>, Problem> {
    match submit(&app, token, identity, Command::Leave { room }).await? {
        Done::Left { room } => Ok(Json(json!({"id": room, "member": false}))),
        _ => Err(Problem::unexpected()),
    }
}
