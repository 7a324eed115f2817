//! Rooms: which there are, making one, entering and leaving, and what owners and moderators do.

use super::extract::{Act, Body, Caller, Params, Room, User};
use super::{App, Problem, view};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Command, Done, MemberRole, RoomKind, RoomRef, RoomView, Rules, UserRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::UserId;

/// `GET /api/v1/rooms`
pub async fn list<G: Gate>(State(app): State<App<G>>, Caller(token): Caller) -> Result<Json<Value>, Problem> {
    let Answer::Rooms(rooms) = gate::ask(&app.gate, Some(token), Ask::Rooms).await? else {
        return Err(Problem::unexpected());
    };
    Ok(Json(json!({"rooms": rooms.iter().map(view::room).collect::<Vec<_>>()})))
}

/// A user in a body: its id, or its name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a user is an id (a number) or a name (a text)")]
pub enum Somebody {
    Id(u64),
    Name(String),
}

impl From<Somebody> for UserRef {
    fn from(user: Somebody) -> UserRef {
        match user {
            Somebody::Id(id) => UserRef::Id(UserId(id)),
            Somebody::Name(name) => UserRef::Name(name),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    #[serde(default)]
    name: String,
    kind: Option<RoomKind>,
    topic: Option<String>,
    rules: Option<Rules>,
    members: Option<Vec<Somebody>>,
}

impl Create {
    fn command(self) -> Command {
        let Create { name, kind, topic, rules, members } = self;
        if (&kind, &topic, &rules) == (&None, &None, &None) && members.is_none() {
            return Command::CreateRoom { name };
        }
        let members = members.into_iter().flatten().map(UserRef::from).collect();
        Command::MakeRoom { name, kind: kind.unwrap_or_default(), topic: topic.unwrap_or_default(), rules, members }
    }
}

fn made(done: &Done) -> Result<(StatusCode, Json<Value>), Problem> {
    let Done::Room { created, .. } = done else { return Err(Problem::unexpected()) };
    let status = if *created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view::done(done))))
}

/// `POST /api/v1/rooms`: 201, or 200 when the room was there. Its asker is a member either way.
pub async fn create<G: Gate>(act: Act<G>, Body(body): Body<Create>) -> Result<(StatusCode, Json<Value>), Problem> {
    made(&act.submit(body.command()).await?)
}

/// `POST /api/v1/direct/{user}`: the room of two.
pub async fn direct<G: Gate>(act: Act<G>, User(user): User) -> Result<(StatusCode, Json<Value>), Problem> {
    made(&act.submit(Command::OpenDirect { user }).await?)
}

async fn look<G: Gate>(act: &Act<G>, room: RoomRef) -> Result<Box<RoomView>, Problem> {
    match act.ask(Ask::Room { room }).await? {
        Answer::Room(room) => Ok(room),
        _ => Err(Problem::unexpected()),
    }
}

/// `GET /api/v1/rooms/{room}`
pub async fn show<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    Ok(Json(view::room(&*look(&act, room).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    topic: Option<String>,
    name: Option<String>,
    archived: Option<bool>,
    rules: Option<serde_json::Map<String, Value>>,
}

/// `PATCH /api/v1/rooms/{room}`: each field is a change of its own, in this order, and rules that are not named stay. The first refusal ends it; what came before it stands,
/// and the same request again goes on from there.
pub async fn change<G: Gate>(act: Act<G>, Room(room): Room, Body(changes): Body<Changes>) -> Result<Json<Value>, Problem> {
    let Changes { topic, name, archived, rules } = changes;
    if (&topic, &name, &archived, &rules) == (&None, &None, &None, &None) {
        return Err(Problem::bad_request("say what shall change: \"topic\", \"name\", \"archived\" or \"rules\""));
    }
    // The room keeps its id when it gets another name.
    let before = look(&act, room).await?;
    let room = RoomRef::Id(before.id);
    if archived == Some(false) {
        act.submit_part("open", Command::Archive { room: room.clone(), on: false }).await?;
    }
    if let Some(topic) = topic {
        act.submit_part("topic", Command::SetTopic { room: room.clone(), topic }).await?;
    }
    if let Some(name) = name {
        act.submit_part("name", Command::Rename { room: room.clone(), name }).await?;
    }
    if let Some(rules) = rules {
        let rules = merged(&before.rules, rules)?;
        act.submit_part("rules", Command::SetRules { room: room.clone(), rules }).await?;
    }
    if archived == Some(true) {
        act.submit_part("archive", Command::Archive { room: room.clone(), on: true }).await?;
    }
    Ok(Json(view::room(&*look(&act, room).await?)))
}

fn merged(before: &Rules, changes: serde_json::Map<String, Value>) -> Result<Rules, Problem> {
    let mut rules = json!(before);
    if let Some(fields) = rules.as_object_mut() {
        fields.extend(changes);
    }
    serde_json::from_value(rules).map_err(|error| Problem::bad_request(super::extract::hinted(format!("rules: {error}"))))
}

/// `DELETE /api/v1/rooms/{room}`: the room and all that was said in it.
pub async fn delete<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    match act.submit(Command::DeleteRoom { room }).await? {
        Done::Left { room } => Ok(Json(json!({"id": room, "deleted": true}))),
        _ => Err(Problem::unexpected()),
    }
}

/// `POST /api/v1/rooms/{room}/join`
pub async fn join<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    act.done(Command::Join { room }).await
}

/// `POST /api/v1/rooms/{room}/leave`
pub async fn leave<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    act.done(Command::Leave { room }).await
}

/// `POST /api/v1/rooms/{room}/decline`: an invitation.
pub async fn decline<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    act.done(Command::Decline { room }).await
}

/// `POST /api/v1/rooms/{room}/typing`: a hint to those who look at the room now.
pub async fn typing<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Value>, Problem> {
    let room = match room {
        RoomRef::Id(id) => id,
        named => look(&act, named).await?.id,
    };
    match act.ask(Ask::Typing { room }).await? {
        Answer::Noted => Ok(Json(json!({}))),
        _ => Err(Problem::unexpected()),
    }
}

// ---- members

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembersPage {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

/// `GET /api/v1/rooms/{room}/members`: by id; `next` is the `after` of the next page, if there may be one.
pub async fn members<G: Gate>(act: Act<G>, Room(room): Room, Params(page): Params<MembersPage>) -> Result<Json<Value>, Problem> {
    let limit = page.limit.unwrap_or(super::messages::PAGE_DEFAULT);
    match act.ask(Ask::Members { room, after: UserId(page.after), limit }).await? {
        Answer::Members { room, members } => {
            let next = members.last().filter(|_| members.len() >= limit as usize).map(|last| last.user.id);
            let members: Vec<Value> = members.iter().map(view::member).collect();
            Ok(Json(json!({"room": room, "members": members, "next": next})))
        }
        _ => Err(Problem::unexpected()),
    }
}

/// `PUT /api/v1/rooms/{room}/members/{user}`: an invitation.
pub async fn invite<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Invite { room, user }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    role: MemberRole,
}

/// `PATCH /api/v1/rooms/{room}/members/{user}`
pub async fn role<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    User(user): User,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<Json<Value>, Problem> {
    act.done(Command::SetRole { room, user, role }).await
}

/// `DELETE /api/v1/rooms/{room}/members/{user}`
pub async fn kick<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Kick { room, user }).await
}

/// `PUT /api/v1/rooms/{room}/bans/{user}`
pub async fn ban<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Ban { room, user, on: true }).await
}

/// `DELETE /api/v1/rooms/{room}/bans/{user}`
pub async fn unban<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Ban { room, user, on: false }).await
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ForHowLong {
    minutes: Option<u32>,
}

/// `PUT /api/v1/rooms/{room}/mutes/{user}`: for so many minutes, or for good.
pub async fn mute<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    User(user): User,
    super::extract::MaybeBody(ForHowLong { minutes }): super::extract::MaybeBody<ForHowLong>,
) -> Result<Json<Value>, Problem> {
    if minutes == Some(0) {
        return Err(Problem::bad_request("minutes is 0: DELETE ends it, and without minutes it is for good"));
    }
    let for_ms = minutes.map_or(u64::MAX, |minutes| u64::from(minutes) * 60_000);
    act.done(Command::Mute { room, user, for_ms }).await
}

/// `DELETE /api/v1/rooms/{room}/mutes/{user}`
pub async fn unmute<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Mute { room, user, for_ms: 0 }).await
}
