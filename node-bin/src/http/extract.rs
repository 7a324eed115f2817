//! What handlers take out of requests, with every mistake answered as a problem.

use super::Problem;
use crate::{clock, hex};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use tertulia_protocol::chat::{Refusal, RoomRef};
use tertulia_protocol::gateway::Token;
use tertulia_protocol::ids::RoomId;
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
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// Query parameters.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Params(value)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

/// The room in the path: its id, or its name. A name is never all digits.
pub struct Room(pub RoomRef);

impl<S: Send + Sync> FromRequestParts<S> for Room {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Room, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Room(room_ref(&text)?)),
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

fn room_ref(text: &str) -> Result<RoomRef, Refusal> {
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
        let key = match parts.headers.get("idempotency-key").map(|value| value.as_bytes()) {
            None => rand::random(),
            Some(text) if text.is_empty() || text.len() > KEY_LIMIT => {
                return Err(Problem::bad_request(format!("an Idempotency-Key has 1 to {KEY_LIMIT} bytes")));
            }
            Some(text) => xxh3_128(text),
        };
        Ok(Key(Identity::Key { key, stamp: clock::now().wall }))
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
