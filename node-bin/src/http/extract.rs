//! What handlers take out of requests, with every mistake answered as a problem.

use super::view::{self, Outcome};
use super::{App, Problem};
use crate::gate::{self, Gate};
use crate::{clock, hex};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use tertulia_protocol::chat::{Command, Done, Refusal, RoomRef, UserRef};
use tertulia_protocol::gateway::{Answer, Ask, Token};
use tertulia_protocol::ids::{RoomId, Seq, UserId};
use tertulia_protocol::replica::Identity;
use xxhash_rust::xxh3::xxh3_128;

/// A JSON object as the body. Derived readers would also take an array, field by field, which nobody means.
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let read = async {
            let (head, body) = request.into_parts();
            let bytes = Bytes::from_request(Request::from_parts(head.clone(), body), state).await?;
            let array = bytes.trim_ascii_start().starts_with(b"[");
            let Json(value) = Json::<T>::from_request(Request::from_parts(head, bytes.into()), state).await?;
            Ok((value, array))
        };
        match read.await {
            Ok((value, false)) => Ok(Body(value)),
            Ok((_, true)) => Err(Problem::bad_request("the body has to be a JSON object, not an array")),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Not JSON",
                "send the body as JSON with the header Content-Type: application/json",
            )),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::body_too_large()),
            Err(rejection) => Err(Problem::bad_request(hinted(rejection.body_text()))),
        }
    }
}

/// A body that may be left out: then everything in it is.
pub struct MaybeBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<MaybeBody<T>, Problem> {
        let (head, body) = request.into_parts();
        let bytes = axum::body::to_bytes(body, super::BODY_LIMIT).await.map_err(|_| Problem::body_too_large())?;
        if bytes.is_empty() {
            return Ok(MaybeBody(T::default()));
        }
        Body::from_request(Request::from_parts(head, bytes.into()), state).await.map(|Body(value)| MaybeBody(value))
    }
}

/// Adds to serde's "unknown field `txet`, expected `text` or `reply_to`" which one was probably meant.
pub fn hinted(text: String) -> String {
    let mut names = text.split('`').skip(1).step_by(2);
    let unknown = text.contains("unknown field `") || text.contains("unknown variant `");
    let Some(wrong) = names.next().filter(|_| unknown) else { return text };
    let likeness = |name: &&str| (strsim::jaro_winkler(wrong, name) * 1e6) as u64;
    match names.max_by_key(likeness).filter(|name| likeness(name) > 700_000) {
        Some(name) => format!("{text}; did you mean `{name}`?"),
        None => text,
    }
}

/// Query parameters.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Problem> {
        // What is not UTF-8 would be taken for replacement characters.
        if percent_decode_str(parts.uri.query().unwrap_or_default()).decode_utf8().is_err() {
            return Err(Problem::bad_request("the query is not UTF-8"));
        }
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Params(value)),
            Err(rejection) => Err(Problem::bad_request(hinted(rejection.body_text()))),
        }
    }
}

/// One of the words in the path.
async fn word<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    match Path::<BTreeMap<String, String>>::from_request_parts(parts, state).await {
        Ok(Path(mut words)) => words.remove(name).ok_or_else(Problem::unexpected),
        Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
    }
}

/// The room in the path: its id, or its name. A name is never all digits.
pub struct Room(pub RoomRef);

impl<S: Send + Sync> FromRequestParts<S> for Room {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Room, Problem> {
        Ok(Room(room_ref(&word(parts, state, "room").await?)?))
    }
}

/// The user in the path: digits are an id, all else is a name.
pub struct User(pub UserRef);

impl<S: Send + Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<User, Problem> {
        Ok(User(user_ref(&word(parts, state, "user").await?)))
    }
}

pub fn user_ref(text: &str) -> UserRef {
    match text.parse() {
        Ok(id) if text.bytes().all(|byte| byte.is_ascii_digit()) => UserRef::Id(UserId(id)),
        _ => UserRef::Name(text.into()),
    }
}

/// The message in the path: its place in its room.
pub struct Place(pub Seq);

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Place, Problem> {
        let text = word(parts, state, "seq").await?;
        let seq =
            text.parse().map_err(|_| Problem::bad_request(format!("\"{text}\" is no message's place: it is a number from 1")));
        Ok(Place(seq?))
    }
}

/// The last word in the path of routes that have one of their own: an emoji, a code, a session.
pub struct Word(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Word {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Word, Problem> {
        match Path::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Path(words)) => words.into_iter().last().map(|(_, word)| Word(word)).ok_or_else(Problem::unexpected),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// Somebody who wants something done or told: the token, and what makes the request the same one when it comes again.
pub struct Act<G> {
    pub app: App<G>,
    pub token: Token,
    pub identity: Identity,
}

impl<G: Gate> FromRequestParts<App<G>> for Act<G> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App<G>) -> Result<Act<G>, Problem> {
        let Caller(token) = Caller::from_request_parts(parts, app).await?;
        let Key(identity) = Key::from_request_parts(parts, app).await?;
        Ok(Act { app: app.clone(), token, identity })
    }
}

impl<G: Gate> Act<G> {
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Problem> {
        gate::ask(&self.app.gate, Some(self.token), ask).await
    }

    /// Has a command executed once and returns what became of it.
    pub async fn submit(&self, command: Command) -> Result<Done, Problem> {
        self.submit_as(self.identity, command).await
    }

    /// One of several commands of a request. `part`: which one.
    pub async fn submit_part(&self, part: &str, command: Command) -> Result<Done, Problem> {
        let identity = match self.identity {
            Identity::Key { key, stamp } => Identity::Key { key: key ^ xxh3_128(part.as_bytes()), stamp },
            numbered => numbered,
        };
        self.submit_as(identity, command).await
    }

    async fn submit_as(&self, identity: Identity, command: Command) -> Result<Done, Problem> {
        match self.outcome(identity, command).await? {
            Answer::Done(done) => Ok(done),
            _ => Err(Problem::unexpected()),
        }
    }

    async fn outcome(&self, identity: Identity, command: Command) -> Result<Answer, Problem> {
        // Requests with a key are not numbered: there is nothing to acknowledge by number.
        self.ask(Ask::Submit { identity, first_unacked: 0, command }).await
    }

    /// The answer of most routes that change something.
    pub async fn done(&self, command: Command) -> Result<Json<Outcome>, Problem> {
        Ok(Json(view::done(&self.submit(command).await?)))
    }

    /// The answer of the routes for messages: `success` once it is committed, 202 while a node without a leader has accepted it. The same key asks again which of them it is.
    pub async fn carried(&self, command: Command, success: StatusCode) -> Result<(StatusCode, Json<Outcome>), Problem> {
        let is_post = matches!(command, Command::Post { .. } | Command::Respond { .. });
        match self.outcome(self.identity, command).await? {
            Answer::Done(done) => Ok((success, Json(view::done(&done)))),
            Answer::Accepted { id, copies } => {
                Ok((StatusCode::ACCEPTED, Json(Outcome::Accepted(view::accepted(is_post.then_some(id), copies)))))
            }
            _ => Err(Problem::unexpected()),
        }
    }

    /// As [`Act::done`], of something that may end the session that asks: then the node closes the connection instead of answering.
    pub async fn last_word(&self, ask: Ask) -> Result<Json<Outcome>, Problem> {
        match self.ask(ask).await {
            Ok(Answer::Done(done)) => Ok(Json(view::done(&done))),
            Ok(_) => Err(Problem::unexpected()),
            Err(problem) if problem.kind == "logged-out" => Ok(Json(view::done(&Done::Ok))),
            Err(problem) => Err(problem),
        }
    }
}

pub fn room_ref(text: &str) -> Result<RoomRef, Refusal> {
    let name = RoomRef::Name(text.into());
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(name);
    }
    // More digits than an id has: nobody has that room.
    text.parse().map(|id| RoomRef::Id(RoomId(id))).map_err(|_| Refusal::UnknownRoom { room: name })
}

/// The session's token, from `Authorization: Bearer`.
pub struct Caller(pub Token);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        bearer(&parts.headers)?.map(Caller).ok_or_else(|| Refusal::NotSignedIn.into())
    }
}

/// The token, if the header is there at all. What cannot be a token belongs to no session.
pub fn bearer(headers: &HeaderMap) -> Result<Option<Token>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let Some((scheme, credentials)) = text.split_once(' ') else { return Err(Refusal::NotSignedIn.into()) };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NotSignedIn.into());
    }
    hex::token(credentials.trim()).map(Some).ok_or_else(|| Refusal::UnknownSession.into())
}

/// What makes the request the same one when it is sent again: its Idempotency-Key, or a key drawn for it.
pub struct Key(pub Identity);

/// Bytes of an Idempotency-Key.
const KEY_LIMIT: usize = 255;

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Key, Problem> {
        let key = idempotency_key(&parts.headers, 1)?.map_or_else(rand::random, xxh3_128);
        Ok(Key(Identity::Key { key, stamp: clock::now().wall }))
    }
}

fn idempotency_key(headers: &HeaderMap, least: usize) -> Result<Option<&[u8]>, Problem> {
    let key = headers.get("idempotency-key").map(|value| value.as_bytes());
    match key {
        Some(text) if !(least..=KEY_LIMIT).contains(&text.len()) => {
            Err(Problem::bad_request(format!("the Idempotency-Key of this request has {least} to {KEY_LIMIT} bytes")))
        }
        key => Ok(key),
    }
}

/// The Idempotency-Key of a sign-in, if there is one. It is part of what the session's token follows from, so it must not be guessed.
pub struct SecretKey(pub Option<Vec<u8>>);

/// Bytes of the Idempotency-Key of a sign-in, at least: a UUID has 36 as text and 16 as such.
const SECRET_KEY: usize = 16;

impl<S: Send + Sync> FromRequestParts<S> for SecretKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<SecretKey, Problem> {
        Ok(SecretKey(idempotency_key(&parts.headers, SECRET_KEY)?.map(<[u8]>::to_vec)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_an_id_and_all_else_a_name() {
        assert_eq!(room_ref("17"), Ok(RoomRef::Id(RoomId(17))));
        assert_eq!(room_ref("17a"), Ok(RoomRef::Name("17a".into())));
        assert_eq!(room_ref("café/2"), Ok(RoomRef::Name("café/2".into())));
        assert!(room_ref("99999999999999999999999").is_err());
    }

    #[test]
    fn a_wrong_field_is_told_the_nearest_right_one() {
        let serde = "unknown field `txet`, expected `text` or `reply_to`";
        assert_eq!(hinted(serde.into()), format!("{serde}; did you mean `text`?"));
        let far = "unknown field `zzz`, expected `text` or `reply_to`";
        assert_eq!(hinted(far.into()), far);
        assert_eq!(hinted("missing field `text`".into()), "missing field `text`");
    }

    #[test]
    fn the_hash_of_a_key_is_the_same_in_every_release() {
        assert_eq!(xxh3_128(b"2f1c-again"), xxh3_128(b"2f1c-again"));
        assert_ne!(xxh3_128(b"2f1c-again"), xxh3_128(b"2f1c-agaim"));
        assert_eq!(xxh3_128(b""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    }

    #[test]
    fn a_bearer_token_has_64_digits() {
        let header = |text: &str| HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
        let digits = "ab".repeat(32);
        assert_eq!(bearer(&HeaderMap::new()), Ok(None));
        assert_eq!(bearer(&header(&format!("Bearer {digits}"))), Ok(Some(Token([0xab; 32]))));
        assert_eq!(bearer(&header(&format!("bearer  {digits}"))), Ok(Some(Token([0xab; 32]))));
        assert_eq!(bearer(&header("Bearer 12")).unwrap_err().kind, "unknown-session");
        assert_eq!(bearer(&header("Basic x")).unwrap_err().kind, "not-signed-in");
    }
}
