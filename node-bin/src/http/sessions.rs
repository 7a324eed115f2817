//! Signing in and out, and the devices that somebody is signed in from.

use super::extract::{Act, Body, Params, SecretKey, Word};
use super::view::{self, Outcome};
use super::{App, Operators, Problem};
use crate::accept::CameFrom;
use crate::gate::{self, Gate};
use crate::hex;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Devices};
use tertulia_protocol::gateway::{Answer, Ask, How, Token};
use tertulia_protocol::ids::SessionId;
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    name: String,
    /// Where the cluster wants one.
    password: Option<String>,
    /// A new account.
    #[serde(default)]
    register: bool,
    /// The code of an invitation, for a new account where the cluster wants one.
    invite: Option<String>,
    /// What the device is called.
    device: Option<String>,
}

impl SignIn {
    fn how(&self) -> Result<Option<How>, Problem> {
        match (&self.password, self.register) {
            (Some(password), true) => {
                Ok(Some(How::Register { password: Password(password.clone()), invite: self.invite.clone() }))
            }
            (None, true) => Err(Problem::bad_request("a new account needs a password: send \"password\", too")),
            (_, false) if self.invite.is_some() => {
                Err(Problem::bad_request("an invitation is for a new account: send \"register\": true, too"))
            }
            (Some(password), false) => Ok(Some(How::LogIn { password: Password(password.clone()) })),
            (None, false) => Ok(self.device.is_some().then_some(How::Name)),
        }
    }
}

/// The token of a sign-in that may be repeated. It follows from the key, the body and the cluster's secret, so every node answers a repeated request alike and none keeps anything.
/// Nobody makes a token for somebody else: that takes the key, which only the asker knows, and the password, if there is one.
fn token_of(operators: &Operators, key: &[u8], body: &SignIn) -> Token {
    let SignIn { name, password, register, invite, device } = body;
    let given = |text: &Option<String>| text.as_ref().map_or_else(Vec::new, |text| [b"=", text.as_bytes()].concat());
    let (password, invite, device) = (given(password), given(invite), given(device));
    Token(operators.session_token(&[key, name.as_bytes(), &password, &[u8::from(*register)], &invite, &device]))
}

/// Opens a session.
///
/// Of the user of that name; its token is valid on every node at once. The same request with the same Idempotency-Key is answered with the same session, and refused once that is logged
/// out. The key has at least 16 bytes and must be drawn at random.
#[utoipa::path(post, path = "/api/v1/sessions", request_body = SignIn, responses((status = 201, body = view::SignedIn)), security(()), extensions(("x-problems" = json!(["wrong-sign-in", "wrong-password", "wrong-invite", "too-many-devices", "name-taken", "looks-like", "bad-name", "empty-name", "name-too-long", "full", "too-often", "no-leader", "logged-out"]))))]
pub async fn sign_in<G: Gate>(
    State(app): State<App<G>>,
    from: Option<Extension<CameFrom>>,
    SecretKey(key): SecretKey,
    Body(body): Body<SignIn>,
) -> Result<(StatusCode, Json<view::SignedIn>), Problem> {
    let gate = from.map_or_else(|| app.gate.clone(), |Extension(from)| app.gate.of_address(from.0));
    let token = key.map_or_else(hex::draw_token, |key| token_of(&app.operators, &key, &body));
    let how = body.how()?;
    let name = body.name;
    let ask = match how {
        None => Ask::SignIn { name, token },
        Some(how) => Ask::SignInAs { name, token, device: body.device.unwrap_or_default(), how },
    };
    match gate::ask(&gate, None, ask).await? {
        Answer::SignedIn { user, session, name, .. } => {
            let token = hex::encode(&token.0);
            Ok((StatusCode::CREATED, Json(view::SignedIn { token, user: user.0, session: session.0, name })))
        }
        _ => Err(Problem::unexpected()),
    }
}

async fn log_out<G: Gate>(act: Act<G>, devices: Devices) -> Result<Json<Outcome>, Problem> {
    let command = Command::LogOut { devices };
    act.last_word(Ask::Submit { identity: act.identity, first_unacked: 0, command }).await
}

/// Closes a session.
///
/// The one that asks (`current`), or another one of the same user.
#[utoipa::path(delete, path = "/api/v1/sessions/{session}", responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["unknown-device"]))))]
pub async fn sign_out<G: Gate>(act: Act<G>, Word(which): Word) -> Result<Json<Outcome>, Problem> {
    let devices = match (which.as_str(), which.parse()) {
        ("current", _) => Devices::This,
        (_, Ok(id)) => Devices::One(SessionId(id)),
        _ => return Err(Problem::bad_request(format!("\"{which}\" is no session: write its number, or \"current\""))),
    };
    log_out(act, devices).await
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// All others: the one that asks stays.
    #[serde(default)]
    others: bool,
}

/// Closes all sessions of the user, or all others.
#[utoipa::path(delete, path = "/api/v1/sessions", params(Which), responses((status = 200, body = view::Nothing)))]
pub async fn sign_out_all<G: Gate>(act: Act<G>, Params(Which { others }): Params<Which>) -> Result<Json<Outcome>, Problem> {
    log_out(act, if others { Devices::Others } else { Devices::All }).await
}

/// Devices that the user is signed in from.
#[utoipa::path(get, path = "/api/v1/me/devices", responses((status = 200, body = view::Devices)))]
pub async fn devices<G: Gate>(act: Act<G>) -> Result<Json<view::Devices>, Problem> {
    match act.ask(Ask::Me).await? {
        Answer::Me(me) => Ok(Json(view::Devices { devices: view::devices(&me) })),
        _ => Err(Problem::unexpected()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceName {
    name: String,
}

/// Names the device that asks.
#[utoipa::path(put, path = "/api/v1/me/device", request_body = DeviceName, responses((status = 200, body = view::Nothing)), extensions(("x-problems" = json!(["bad-name", "name-too-long", "empty-name"]))))]
pub async fn name_device<G: Gate>(act: Act<G>, Body(DeviceName { name }): Body<DeviceName>) -> Result<Json<Outcome>, Problem> {
    act.done(Command::NameDevice { name }).await
}
