//! Signing in and out, and the devices that somebody is signed in from.

use super::extract::{Act, Body, Params, SecretKey, Word};
use super::{App, Operators, Problem, view};
use crate::accept::CameFrom;
use crate::gate::{self, Gate};
use crate::hex;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::password::Password;
use tertulia_protocol::chat::{Command, Devices};
use tertulia_protocol::gateway::{Answer, Ask, How, Token};
use tertulia_protocol::ids::SessionId;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    name: String,
    password: Option<String>,
    #[serde(default)]
    register: bool,
    invite: Option<String>,
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

/// `POST /api/v1/sessions`: a fresh session of the user of that name. Its token is valid on every node. The same request with the same Idempotency-Key is answered with the same session,
/// and refused once that is logged out.
pub async fn sign_in<G: Gate>(
    State(app): State<App<G>>,
    from: Option<Extension<CameFrom>>,
    SecretKey(key): SecretKey,
    Body(body): Body<SignIn>,
) -> Result<(StatusCode, Json<Value>), Problem> {
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
            let body = json!({"token": hex::encode(&token.0), "user": user, "session": session, "name": name});
            Ok((StatusCode::CREATED, Json(body)))
        }
        _ => Err(Problem::unexpected()),
    }
}

async fn log_out<G: Gate>(act: Act<G>, devices: Devices) -> Result<Json<Value>, Problem> {
    let command = Command::LogOut { devices };
    act.last_word(Ask::Submit { identity: act.identity, first_unacked: 0, command }).await
}

/// `DELETE /api/v1/sessions/current`, or of one of the asker's other devices by its session.
pub async fn sign_out<G: Gate>(act: Act<G>, Word(which): Word) -> Result<Json<Value>, Problem> {
    let devices = match (which.as_str(), which.parse()) {
        ("current", _) => Devices::This,
        (_, Ok(id)) => Devices::One(SessionId(id)),
        _ => return Err(Problem::bad_request(format!("\"{which}\" is no session: write its number, or \"current\""))),
    };
    log_out(act, devices).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    #[serde(default)]
    others: bool,
}

/// `DELETE /api/v1/sessions`: all devices, or all others.
pub async fn sign_out_all<G: Gate>(act: Act<G>, Params(Which { others }): Params<Which>) -> Result<Json<Value>, Problem> {
    log_out(act, if others { Devices::Others } else { Devices::All }).await
}

/// `GET /api/v1/me/devices`
pub async fn devices<G: Gate>(act: Act<G>) -> Result<Json<Value>, Problem> {
    match act.ask(Ask::Me).await? {
        Answer::Me(me) => Ok(Json(json!({"devices": view::devices(&me)}))),
        _ => Err(Problem::unexpected()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    name: String,
}

/// `PUT /api/v1/me/device`: what this device is called.
pub async fn name_device<G: Gate>(act: Act<G>, Body(Device { name }): Body<Device>) -> Result<Json<Value>, Problem> {
    act.done(Command::NameDevice { name }).await
}
