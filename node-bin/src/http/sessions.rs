//! Signing in.

use super::extract::Body;
use super::{App, Problem};
use crate::gate::{self, Gate};
use crate::hex;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::gateway::{Answer, Ask};

#[derive(Deserialize)]
pub struct SignIn {
    name: String,
}

/// `POST /api/v1/sessions`: a fresh session of the user of that name. Its token is valid on every node.
pub async fn sign_in<G: Gate>(
    State(app): State<App<G>>,
    Body(SignIn { name }): Body<SignIn>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let token = hex::draw_token();
    match gate::ask(&app.gate, None, Ask::SignIn { name, token }).await? {
        Answer::SignedIn { user, session, name, .. } => {
            let body = json!({"token": hex::encode(&token.0), "user": user, "session": session, "name": name});
            Ok((StatusCode::CREATED, Json(body)))
        }
        _ => Err(Problem::unexpected()),
    }
}
