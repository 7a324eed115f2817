//! The cluster's settings: for everybody to read, for administrators to change.

use super::extract::{Act, Body, User};
use super::{App, Problem, view};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use tertulia_protocol::chat::{Command, Settings};
use tertulia_protocol::gateway::{Answer, Ask};

/// `GET /api/v1/settings`: needs no session, since it says how one is opened. As this node knows them, which may be a moment behind.
pub async fn show<G: Gate>(State(app): State<App<G>>) -> Result<Json<Value>, Problem> {
    match gate::ask(&app.gate, None, Ask::Settings).await? {
        Answer::Settings(settings) => Ok(Json(view::settings(&settings))),
        _ => Err(Problem::unexpected()),
    }
}

/// `PUT /api/v1/settings`: all of them; what is left out gets its default.
pub async fn put<G: Gate>(act: Act<G>, Body(settings): Body<Settings>) -> Result<Json<Value>, Problem> {
    let shown = view::settings(&settings);
    act.submit(Command::Configure { settings }).await?;
    Ok(Json(shown))
}

/// `PUT /api/v1/admins/{user}`
pub async fn add_admin<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::SetAdmin { user, on: true }).await
}

/// `DELETE /api/v1/admins/{user}`
pub async fn remove_admin<G: Gate>(act: Act<G>, User(user): User) -> Result<Json<Value>, Problem> {
    act.done(Command::SetAdmin { user, on: false }).await
}
