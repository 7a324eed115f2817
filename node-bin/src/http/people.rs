//! The asker's own account, other users, friends, who is blocked, and invitations to the cluster.

use super::Problem;
use super::extract::{Act, Body, MaybeBody, Params, User, Word};
use super::view::{self, Outcome};
use crate::gate::Gate;
use crate::hex;
use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Me, UserRef};
use tertulia_protocol::gateway::{Answer, Ask, invite_hash};
use tertulia_protocol::replica::{Identity, Slot};
use utoipa::{IntoParams, ToSchema};

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

/// The asker.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = view::Me)))]
pub async fn me<G: Gate>(act: Act<G>) -> Result<Json<view::Me>, Problem> {
    Ok(Json(view::me(&*asker(&act).await?)))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    display_name: String,
}

/// Changes how the asker is shown.
#[utoipa::path(patch, path = "/api/v1/me", request_body = Profile, responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["bad-name", "empty-name", "name-too-long"]))))]
pub async fn profile<G: Gate>(act: Act<G>, Body(Profile { display_name }): Body<Profile>) -> Result<Json<Outcome>, Problem> {
    act.done(Command::SetDisplayName { name: display_name }).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    old: String,
    new: String,
}

/// Changes the password.
///
/// The other devices are logged out.
#[utoipa::path(put, path = "/api/v1/me/password", request_body = NewPassword, responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["wrong-password", "wrong-sign-in"]))))]
pub async fn password<G: Gate>(act: Act<G>, Body(body): Body<NewPassword>) -> Result<Json<Outcome>, Problem> {
    let (old, new) = (Password(body.old), Password(body.new));
    let ask = Ask::ChangePassword { identity: act.identity, first_unacked: 0, old, new };
    match act.ask(ask).await.map_err(Problem::of_one_signed_in)? {
        Answer::Done(done) => Ok(Json(view::done(&done))),
        _ => Err(Problem::unexpected()),
    }
}

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    password: Option<String>,
}

/// Deletes the account, with all its sessions.
///
/// An account with a password has to show it.
#[utoipa::path(delete, path = "/api/v1/me", request_body = Option<Proof>, responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["wrong-password", "wrong-sign-in"]))))]
pub async fn delete<G: Gate>(act: Act<G>, MaybeBody(Proof { password }): MaybeBody<Proof>) -> Result<Json<Outcome>, Problem> {
    let (identity, first_unacked) = (act.identity, 0);
    let ask = match password {
        Some(password) => Ask::DeleteAccount { identity, first_unacked, password: Password(password) },
        None => Ask::Submit { identity, first_unacked, command: Command::DeleteAccount { proof: None } },
    };
    act.last_word(ask).await.map_err(Problem::of_one_signed_in)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct By {
    /// Whether digits in the path are an id, as they are without this, or a name.
    #[param(inline)]
    by: Option<ByWhat>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum ByWhat {
    Name,
    Id,
}

/// A user.
#[utoipa::path(get, path = "/api/v1/users/{user}", params(By), responses((status = 200, body = view::User)))]
pub async fn user<G: Gate>(act: Act<G>, User(user): User, Params(By { by }): Params<By>) -> Result<Json<view::User>, Problem> {
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

/// Friends, those who were asked and those who ask.
#[utoipa::path(get, path = "/api/v1/friends", responses((status = 200, body = view::Friends)))]
pub async fn friends<G: Gate>(act: Act<G>) -> Result<Json<view::Friends>, Problem> {
    Ok(Json(view::Friends { friends: view::friends(&*asker(&act).await?) }))
}

/// Asks for somebody's friendship, or accepts theirs.
#[utoipa::path(put, path = "/api/v1/friends/{user}", responses((status = 200, body = view::Befriended)), extensions(("x-problems" = json!(["blocked"]))))]
pub async fn befriend<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Befriend { user }).await
}

/// Ends a friendship, declines one, or takes one's own request back.
#[utoipa::path(delete, path = "/api/v1/friends/{user}", responses((status = 200, body = view::Befriended)), extensions(("x-problems" = json!(["no-request"]))))]
pub async fn unfriend<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Unfriend { user }).await
}

/// Blocks somebody.
#[utoipa::path(put, path = "/api/v1/blocks/{user}", responses((status = 200, body = view::Befriended)))]
pub async fn block<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Block { user, on: true }).await
}

/// Blocks somebody no more.
#[utoipa::path(delete, path = "/api/v1/blocks/{user}", responses((status = 200, body = view::Befriended)))]
pub async fn unblock<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::Block { user, on: false }).await
}

// ---- invitations to the cluster

#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// 1 to 8,784; a week if nothing is said.
    hours: Option<u32>,
}

/// Makes an invitation to the cluster.
///
/// Its code is said once, here. It follows from the asker's token and the request's key, so that a repeated request answers with the same code.
#[utoipa::path(post, path = "/api/v1/invites", request_body = Option<NewInvite>, responses((status = 201, body = view::InviteCode)), extensions(("x-problems" = json!(["not-allowed", "full", "wrong-sign-in"]))))]
pub async fn invite<G: Gate>(
    act: Act<G>,
    MaybeBody(NewInvite { hours }): MaybeBody<NewInvite>,
) -> Result<(StatusCode, Json<view::InviteCode>), Problem> {
    let hours = hours.unwrap_or(HOURS);
    if !(1..=MOST_HOURS).contains(&hours) {
        return Err(Problem::bad_request(format!("hours is {hours}: it must be 1 to {MOST_HOURS}")));
    }
    let code = code(&act.token.0, &act.identity);
    let command = Command::MakeInvite { code: invite_hash(&code), for_ms: u64::from(hours) * 3_600_000 };
    act.submit(command).await?;
    Ok((StatusCode::CREATED, Json(view::InviteCode { code, hours })))
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

/// Takes an invitation back that nobody has used.
#[utoipa::path(delete, path = "/api/v1/invites/{code}", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["wrong-invite", "not-allowed"]))))]
pub async fn revoke<G: Gate>(act: Act<G>, Word(code): Word) -> Result<Json<Outcome>, Problem> {
    act.done(Command::RevokeInvite { code: invite_hash(&code) }).await
}
