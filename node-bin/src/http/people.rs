//! The asker's own account, other users, friends, who is blocked, and invitations to the cluster.

use super::extract::{Act, Body, MaybeBody, Params, User, Word};
use super::{Problem, view};
use crate::gate::Gate;
use crate::hex;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Me, UserRef};
use tertulia_protocol::gateway::{Answer, Ask, invite_hash};
use tertulia_protocol::replica::{Identity, Slot};

/// Bytes of randomness in an invitation's code.
const CODE: usize = 16;
/// Hours that an invitation may be good for, at most, and if nothing is said.
const MOST_HOURS: u32 = 24 * 366;
const HOURS: u32 = 24 * 7;

async fn asker<G: Gate>(act: &Act<G>) -> Result<Box<Me>, Problem> {
    match act.ask(Ask::Me).await? {
        Answer::Me(me) => Ok(me),
        _ => Err(Problem::unexpected()),
    }
}

/// `GET /api/v1/me`
pub async fn me<G: Gate>(act: Act<G>) -> Result<Json<Value>, Problem> {
    Ok(Json(view::me(&*asker(&act).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    display_name: String,
}

/// `PATCH /api/v1/me`
pub async fn profile<G: Gate>(act: Act<G>, Body(Profile { display_name }): Body<Profile>) -> Result<Json<Value>, Problem> {
    act.done(Command::SetDisplayName { name: display_name }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    old: String,
    new: String,
}

/// `PUT /api/v1/me/password`: the asker's other devices are logged out.
pub async fn password<G: Gate>(act: Act<G>, Body(body): Body<NewPassword>) -> Result<Json<Value>, Problem> {
    let (old, new) = (Password(body.old), Password(body.new));
    let ask = Ask::ChangePassword { identity: act.identity, first_unacked: 0, old, new };
    match act.ask(ask).await.map_err(Problem::of_one_signed_in)? {
        Answer::Done(done) => Ok(Json(view::done(&done))),
        _ => Err(Problem::unexpected()),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    password: Option<String>,
}

/// `DELETE /api/v1/me`: the account goes, with all its sessions. An account with a password has to show it.
pub async fn delete<G: Gate>(act: Act<G>, MaybeBody(Proof { password }): MaybeBody<Proof>) -> Result<Json<Value>, Problem> {
    let (identity, first_unacked) = (act.identity, 0);
    let ask = match password {
        Some(password) => Ask::DeleteAccount { identity, first_unacked, password: Password(password) },
        None => Ask::Submit { identity, first_unacked, command: Command::DeleteAccount { proof: None } },
    };
    act.last_word(ask).await.map_err(Problem::of_one_signed_in)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    by: Option<ByWhat>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ByWhat {
    Name,
    Id,
}

/// `GET /api/v1/users/{user}`. `?by=name` finds those whose name is a number.
pub async fn user<G: Gate>(act: Act<G>, User(user): User, Params(By { by }): Params<By>) -> Result<Json<Value>, Problem> {
    let user = match (by, user) {
        (Some(ByWhat::Name), UserRef::Id(id)) => UserRef::Name(id.0.to_string()),
        (Some(ByWhat::Id), user @ UserRef::Name(_)) => {
            return Err(Problem::bad_request(format!("\"{user}\" is no id: an id is a number")));
        }
        (_, user) => user,
    };
    match act.ask(Ask::User { user }).await? {
        Answer::User(user) => Ok(Json(view::user(&user))),
        _ => Err(Problem::unexpected()),
    }
}

// ---- friends

/// `GET /api/v1/friends`: friends, those who were asked and those who ask.
pub async fn friends<G: Gate>(act: Act<G>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"friends": view::friends(&*asker(&act).await?)})))
}

/// `PUT /api/v1/friends/{user}`: asks for somebody's friendship, or accepts theirs.
pub async fn befriend<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Befriend { user }).await
}

/// `DELETE /api/v1/friends/{user}`: ends it, declines theirs, or takes one's own request back.
pub async fn unfriend<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Unfriend { user }).await
}

/// `PUT /api/v1/blocks/{user}`
pub async fn block<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Block { user, on: true }).await
}

/// `DELETE /api/v1/blocks/{user}`
pub async fn unblock<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::Block { user, on: false }).await
}

// ---- invitations to the cluster

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    hours: Option<u32>,
}

/// `POST /api/v1/invites`: the code is said once, here; the log holds its hash.
///
/// It follows from the asker's token and the request's key, so that a repeated request answers with the same code.
pub async fn invite<G: Gate>(
    act: Act<G>,
    MaybeBody(NewInvite { hours }): MaybeBody<NewInvite>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let hours = hours.unwrap_or(HOURS);
    if !(1..=MOST_HOURS).contains(&hours) {
        return Err(Problem::bad_request(format!("hours is {hours}: it must be 1 to {MOST_HOURS}")));
    }
    let code = code(&act.token.0, &act.identity);
    let command = Command::MakeInvite { code: invite_hash(&code), for_ms: u64::from(hours) * 3_600_000 };
    act.submit(command).await?;
    Ok((StatusCode::CREATED, Json(json!({"code": code, "hours": hours}))))
}

fn code(token: &[u8; 32], identity: &Identity) -> String {
    let request = match identity.slot() {
        Slot::Number(number) => u128::from(number),
        Slot::Key(key) => key,
    };
    let mut hash = Sha256::new();
    hash.update(b"tertulia invitation");
    hash.update(token);
    hash.update(request.to_le_bytes());
    hex::encode(&hash.finalize()[..CODE])
}

/// `DELETE /api/v1/invites/{code}`
pub async fn revoke<G: Gate>(act: Act<G>, Word(code): Word) -> Result<Json<Value>, Problem> {
    act.done(Command::RevokeInvite { code: invite_hash(&code) }).await
}
