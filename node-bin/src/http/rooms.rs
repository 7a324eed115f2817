//! Rooms: which there are, making one, entering and leaving, and what owners and moderators do.

use super::extract::{Act, Body, Caller, Params, Room, User};
use super::view::{self, Outcome};
use super::{App, Problem, schema};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::{Command, Done, MemberRole, RoomKind, RoomRef, RoomView, Rules, UserRef};
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::UserId;
use utoipa::{IntoParams, ToSchema};

/// Rooms that the asker may know of.
#[utoipa::path(get, path = "/api/v1/rooms", responses((status = 200, body = view::Rooms)))]
pub async fn list<G: Gate>(State(app): State<App<G>>, Caller(token): Caller) -> Result<Json<view::Rooms>, Problem> {
    let Answer::Rooms(rooms) = gate::ask(&app.gate, Some(token), Ask::Rooms).await? else {
        return Err(Problem::unexpected());
    };
    Ok(Json(view::Rooms { rooms: rooms.iter().map(view::room).collect() }))
}

/// A user in a body: its id, or its name.
#[derive(Deserialize, ToSchema)]
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

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    #[serde(default)]
    name: String,
    #[schema(value_type = Option<schema::RoomKind>)]
    kind: Option<RoomKind>,
    topic: Option<String>,
    #[schema(value_type = Option<schema::Rules>)]
    rules: Option<Rules>,
    members: Option<Vec<Somebody>>,
}

impl NewRoom {
    fn command(self) -> Command {
        let NewRoom { name, kind, topic, rules, members } = self;
        if (&kind, &topic, &rules) == (&None, &None, &None) && members.is_none() {
            return Command::CreateRoom { name };
        }
        let members = members.into_iter().flatten().map(UserRef::from).collect();
        Command::MakeRoom { name, kind: kind.unwrap_or_default(), topic: topic.unwrap_or_default(), rules, members }
    }
}

fn made(done: &Done) -> Result<(StatusCode, Json<Outcome>), Problem> {
    let Done::Room { created, .. } = done else { return Err(Problem::unexpected()) };
    let status = if *created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(view::done(done))))
}

/// Makes a room.
#[utoipa::path(post, path = "/api/v1/rooms", request_body = NewRoom, responses((status = 201, body = view::MadeRoom), (status = 200, body = view::MadeRoom, description = "The public room was there. The asker is a member either way.")), extensions(("x-problems" = json!(["name-taken", "looks-like", "bad-name", "empty-name", "name-too-long", "not-allowed", "full", "unknown-user", "blocked", "not-friends"]))))]
pub async fn create<G: Gate>(act: Act<G>, Body(body): Body<NewRoom>) -> Result<(StatusCode, Json<Outcome>), Problem> {
    made(&act.submit(body.command()).await?)
}

/// Opens the room of two.
#[utoipa::path(post, path = "/api/v1/direct/{user}", responses((status = 201, body = view::MadeRoom), (status = 200, body = view::MadeRoom, description = "The room was there.")), extensions(("x-problems" = json!(["blocked", "not-friends", "full"]))))]
pub async fn direct<G: Gate>(act: Act<G>, User(user): User) -> Result<(StatusCode, Json<Outcome>), Problem> {
    made(&act.submit(Command::OpenDirect { user }).await?)
}

async fn look<G: Gate>(act: &Act<G>, room: RoomRef) -> Result<Box<RoomView>, Problem> {
    match act.ask(Ask::Room { room }).await? {
        Answer::Room(room) => Ok(room),
        _ => Err(Problem::unexpected()),
    }
}

/// A room.
#[utoipa::path(get, path = "/api/v1/rooms/{room}", responses((status = 200, body = view::Room)))]
pub async fn show<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<view::Room>, Problem> {
    Ok(Json(view::room(&*look(&act, room).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomChanges {
    topic: Option<String>,
    name: Option<String>,
    archived: Option<bool>,
    #[schema(value_type = Option<schema::Rules>)]
    rules: Option<serde_json::Map<String, Value>>,
}

/// Changes a room.
///
/// Each field is a change of its own, in this order, and rules that are not named stay. The first refusal ends it; what came before it stands, and the same request again goes on from there.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}", request_body = RoomChanges, responses((status = 200, body = view::Room)), extensions(("x-problems" = json!(["bad-name", "empty-name", "name-too-long", "name-taken", "looks-like", "is-direct"]))))]
pub async fn change<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    Body(changes): Body<RoomChanges>,
) -> Result<Json<view::Room>, Problem> {
    let RoomChanges { topic, name, archived, rules } = changes;
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

/// Deletes a room and all that was said in it.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}", responses((status = 200, body = view::DeletedRoom)))]
pub async fn delete<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<view::DeletedRoom>, Problem> {
    match act.submit(Command::DeleteRoom { room }).await? {
        Done::Left { room } => Ok(Json(view::DeletedRoom { id: room.0, deleted: true })),
        _ => Err(Problem::unexpected()),
    }
}

/// Joins a room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/join", responses((status = 200, body = view::Joined)), extensions(("x-problems" = json!(["banned", "full", "is-direct"]))))]
pub async fn join<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Join { room }).await
}

/// Leaves a room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/leave", responses((status = 200, body = view::Left)), extensions(("x-problems" = json!(["is-direct"]))))]
pub async fn leave<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Leave { room }).await
}

/// Declines an invitation to a room.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/decline", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["no-request"]))))]
pub async fn decline<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Decline { room }).await
}

/// Tells those who look at the room now that the asker types.
#[utoipa::path(post, path = "/api/v1/rooms/{room}/typing", responses((status = 200, body = view::Nothing)))]
pub async fn typing<G: Gate>(act: Act<G>, Room(room): Room) -> Result<Json<view::Nothing>, Problem> {
    let room = match room {
        RoomRef::Id(id) => id,
        named => look(&act, named).await?.id,
    };
    match act.ask(Ask::Typing { room }).await? {
        Answer::Noted => Ok(Json(view::Nothing {})),
        _ => Err(Problem::unexpected()),
    }
}

// ---- members

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MembersPage {
    /// The id of the last member of the page before.
    #[serde(default)]
    after: u64,
    /// 100 if nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Members of a room, by id.
#[utoipa::path(get, path = "/api/v1/rooms/{room}/members", params(MembersPage), responses((status = 200, body = view::Members)))]
pub async fn members<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    Params(page): Params<MembersPage>,
) -> Result<Json<view::Members>, Problem> {
    let limit = page.limit.unwrap_or(super::messages::PAGE_DEFAULT);
    match act.ask(Ask::Members { room, after: UserId(page.after), limit }).await? {
        Answer::Members { room, members } => {
            let next = members.last().filter(|_| members.len() >= limit as usize).map(|last| last.user.id.0);
            Ok(Json(view::Members { room: room.0, members: members.iter().map(view::member).collect(), next }))
        }
        _ => Err(Problem::unexpected()),
    }
}

/// Invites somebody to a room.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/members/{user}", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["banned", "blocked", "is-direct", "full"]))))]
pub async fn invite<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Invite { room, user }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    #[schema(value_type = schema::MemberRole)]
    role: MemberRole,
}

/// Gives a member a role.
#[utoipa::path(patch, path = "/api/v1/rooms/{room}/members/{user}", request_body = NewRole, responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["last-owner", "is-direct"]))))]
pub async fn role<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    User(user): User,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<Json<Outcome>, Problem> {
    act.done(Command::SetRole { room, user, role }).await
}

/// Makes a member leave.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/members/{user}", responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["is-direct"]))))]
pub async fn kick<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Kick { room, user }).await
}

/// Bans somebody from a room.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/bans/{user}", responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["is-direct", "full"]))))]
pub async fn ban<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Ban { room, user, on: true }).await
}

/// Bans somebody no more.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/bans/{user}", responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["is-direct"]))))]
pub async fn unban<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Ban { room, user, on: false }).await
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForHowLong {
    #[schema(minimum = 1)]
    minutes: Option<u32>,
}

/// Lets a member write nothing, for so many minutes or for good.
#[utoipa::path(put, path = "/api/v1/rooms/{room}/mutes/{user}", request_body = Option<ForHowLong>, responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["is-direct", "full"]))))]
pub async fn mute<G: Gate>(
    act: Act<G>,
    Room(room): Room,
    User(user): User,
    super::extract::MaybeBody(ForHowLong { minutes }): super::extract::MaybeBody<ForHowLong>,
) -> Result<Json<Outcome>, Problem> {
    if minutes == Some(0) {
        return Err(Problem::bad_request("minutes is 0: DELETE ends it, and without minutes it is for good"));
    }
    let for_ms = minutes.map_or(u64::MAX, |minutes| u64::from(minutes) * 60_000);
    act.done(Command::Mute { room, user, for_ms }).await
}

/// Lets a member write again.
#[utoipa::path(delete, path = "/api/v1/rooms/{room}/mutes/{user}", responses((status = 200, body = view::RoomChanged)), extensions(("x-problems" = json!(["is-direct"]))))]
pub async fn unmute<G: Gate>(act: Act<G>, Room(room): Room, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Mute { room, user, for_ms: 0 }).await
}
