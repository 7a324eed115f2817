//! The cluster's settings: for everybody to read, for administrators to change.

use super::extract::{Act, Body, User};
use super::view::{self, Outcome};
use super::{App, Problem, schema};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use tertulia_protocol::chat::{Command, Settings};
use tertulia_protocol::gateway::{Answer, Ask};

/// The cluster's settings.
///
/// They need no session, since they say how one is opened. As this node knows them, which may be a moment behind.
#[utoipa::path(get, path = "/api/v1/settings", responses((status = 200, body = schema::Settings)), security(()))]
pub async fn show<G: Gate>(State(app): State<App<G>>) -> Result<Json<Settings>, Problem> {
    match gate::ask(&app.gate, None, Ask::Settings).await? {
        Answer::Settings(settings) => Ok(Json(*settings)),
        _ => Err(Problem::unexpected()),
    }
}

/// Changes the settings, all of them.
///
/// What is left out gets its default.
#[utoipa::path(put, path = "/api/v1/settings", request_body = schema::Settings, responses((status = 200, body = schema::Settings)), extensions(("x-problems" = json!(["not-allowed"]))))]
pub async fn put<G: Gate>(act: Act<G>, Body(settings): Body<Settings>) -> Result<Json<Settings>, Problem> {
    act.submit(Command::Configure { settings: settings.clone() }).await?;
    Ok(Json(settings))
}

/// Makes somebody an administrator.
#[utoipa::path(put, path = "/api/v1/admins/{user}", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["not-allowed"]))))]
pub async fn add_admin<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::SetAdmin { user, on: true }).await
}

/// Makes somebody an administrator no more.
#[utoipa::path(delete, path = "/api/v1/admins/{user}", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["not-allowed", "last-owner"]))))]
pub async fn remove_admin<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Outcome>, Problem> {
    act.done(Command::SetAdmin { user, on: false }).await
}
