//! Errors as `application/problem+json` (RFC 9457). Each `type` is stable; `detail` is a sentence for people that says what to do.

use super::kinds;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tertulia_protocol::chat::Refusal;
use tertulia_protocol::gateway::CloseReason;
use utoipa::ToSchema;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// What stands behind `urn:tertulia:`.
    pub kind: &'static str,
    pub title: &'static str,
    pub status: StatusCode,
    pub detail: String,
    /// In seconds. Whatever has one may succeed later, with the same key.
    pub retry_after: Option<u64>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        debug_assert!(kinds::is_known(status, kind), "{status} {kind} is not among the kinds of problems");
        Problem { kind, title, status, detail: detail.into(), retry_after: None }
    }

    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
    }

    /// The node behind this address has stopped or is about to.
    pub fn stopped() -> Problem {
        Problem::closed(CloseReason::Stopping)
    }

    pub fn closed(reason: CloseReason) -> Problem {
        let (kind, title) = match reason {
            CloseReason::TooManyConnections => ("too-many-connections", "Too many connections"),
            CloseReason::Stopping => ("stopping", "The node is stopping"),
            CloseReason::LoggedOut => {
                let title = "The session is over";
                return Problem::new(StatusCode::UNAUTHORIZED, "logged-out", title, reason.to_string());
            }
            CloseReason::Stalled => ("stalled", "The node's disk does not answer"),
        };
        unavailable(kind, title, reason.to_string(), 1)
    }

    /// The request took longer than a request may.
    pub fn timed_out() -> Problem {
        unavailable("unknown-outcome", "Not confirmed yet", Refusal::Unknown.to_string(), 1)
    }

    /// A wrong password is no reason to sign in anew for somebody whose session is good: 401 would say that it is not.
    pub fn of_one_signed_in(self) -> Problem {
        if self.kind != "wrong-password" {
            return self;
        }
        let detail = "this is not the account's password: nothing was changed".into();
        Problem { status: StatusCode::FORBIDDEN, title: "Wrong password", detail, ..self }
    }

    /// A stream whose reader takes nothing.
    pub fn too_slow() -> Problem {
        let detail = "this stream was not read for 20 seconds: open it again with the cursors that you have, and everything since then follows";
        unavailable("too-slow", "The stream is not read", detail.into(), 1)
    }

    /// The node answered something that does not belong to the question: a fault of ours.
    pub fn unexpected() -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "the node gave an answer to another question: please report this",
        )
    }

    pub fn body_too_large() -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            "The body is too large",
            format!("a request's body may have {} bytes", super::BODY_LIMIT),
        )
    }

    pub fn shape(&self) -> Shape {
        let kind = format!("urn:tertulia:{}", self.kind);
        Shape { kind, title: self.title.into(), status: self.status.as_u16(), detail: self.detail.clone() }
    }

    pub fn body(&self) -> Value {
        json!(self.shape())
    }
}

/// Why a request was not done (RFC 9457).
#[derive(Serialize, ToSchema, Clone, PartialEq, Eq, Debug)]
#[schema(as = Problem)]
pub struct Shape {
    /// Stable: decide by it.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// A sentence for people that says what to do.
    pub detail: String,
}

/// The gateway asks for a pause this long, in milliseconds, only when a session's table of keys is full.
const LONG_MS: u32 = 60_000;

/// A full outbox empties when there is a majority again: no use in asking every second.
const FULL_RETRY: u64 = 10;

/// What may succeed later, after so many seconds.
pub fn unavailable(kind: &'static str, title: &'static str, detail: String, retry_after: u64) -> Problem {
    Problem { retry_after: Some(retry_after), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title, detail) }
}

/// The whole answer of a node that has no place for one more connection.
pub fn full() -> String {
    let detail = "this node has as many connections as it takes: try again, or go to another node";
    let body = unavailable("too-many-connections", "Too many connections", detail.into(), 5).body().to_string();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let detail = refusal.to_string();
        let problem = |status, kind, title| Problem::new(status, kind, title, detail.clone());
        match refusal {
            Refusal::UnknownRoom { .. } => problem(StatusCode::NOT_FOUND, "unknown-room", "No such room"),
            Refusal::NotAMember { .. } => problem(StatusCode::FORBIDDEN, "not-a-member", "Not a member"),
            Refusal::EmptyName => problem(StatusCode::BAD_REQUEST, "empty-name", "The name is empty"),
            Refusal::NameTooLong { .. } => problem(StatusCode::BAD_REQUEST, "name-too-long", "The name is too long"),
            Refusal::BadName => problem(StatusCode::BAD_REQUEST, "bad-name", "Not a name"),
            Refusal::EmptyText => problem(StatusCode::BAD_REQUEST, "empty-text", "The message is empty"),
            Refusal::TextTooLong { .. } => problem(StatusCode::PAYLOAD_TOO_LARGE, "text-too-long", "The message is too long"),
            Refusal::Full { .. } => problem(StatusCode::CONFLICT, "full", "A limit is reached"),
            Refusal::UnknownSession => problem(StatusCode::UNAUTHORIZED, "unknown-session", "No such session"),
            Refusal::NotSignedIn => problem(StatusCode::UNAUTHORIZED, "not-signed-in", "Not signed in"),
            Refusal::KeyReused => problem(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "The key belongs to another request"),
            Refusal::KeyExpired => problem(StatusCode::CONFLICT, "key-expired", "The key is too old"),
            Refusal::Forgotten => problem(StatusCode::CONFLICT, "forgotten", "Acknowledged before"),
            Refusal::NoLeader { .. } => unavailable("no-leader", "No majority", detail, 1),
            // Not a moment's load: the session has used up its Idempotency-Keys, which come back as their outcomes expire.
            Refusal::Busy { retry_after_ms: LONG_MS.. } => {
                Problem { retry_after: Some(60), ..problem(StatusCode::TOO_MANY_REQUESTS, "too-many-keys", "Too many requests") }
            }
            Refusal::Busy { retry_after_ms } => {
                unavailable("busy", "Busy", detail, u64::from(retry_after_ms).div_ceil(1_000).max(1))
            }
            Refusal::Unknown => Problem::timed_out(),
            Refusal::BadRequest { why } => Problem::bad_request(why),
            refusal => of_chat(&refusal, detail),
        }
    }
}

/// The refusals of the chat's own rules.
fn of_chat(refusal: &Refusal, detail: String) -> Problem {
    let problem = |status, kind, title| Problem::new(status, kind, title, detail.clone());
    match refusal {
        Refusal::UnknownUser { .. } => problem(StatusCode::NOT_FOUND, "unknown-user", "No such user"),
        Refusal::NameTaken { .. } => problem(StatusCode::CONFLICT, "name-taken", "The name is taken"),
        Refusal::LooksLike { .. } => problem(StatusCode::CONFLICT, "looks-like", "The name looks like another one"),
        Refusal::WrongSignIn { .. } => problem(StatusCode::FORBIDDEN, "wrong-sign-in", "Another way of signing in is wanted"),
        Refusal::WrongPassword => problem(StatusCode::UNAUTHORIZED, "wrong-password", "Wrong name or password"),
        Refusal::WrongInvite => problem(StatusCode::FORBIDDEN, "wrong-invite", "Not a valid invitation"),
        Refusal::TooManyDevices { .. } => problem(StatusCode::CONFLICT, "too-many-devices", "Too many devices"),
        Refusal::LoggedOut => problem(StatusCode::UNAUTHORIZED, "logged-out", "The session is over"),
        Refusal::UnknownDevice => problem(StatusCode::NOT_FOUND, "unknown-device", "No such device"),
        Refusal::NotAllowed { .. } => problem(StatusCode::FORBIDDEN, "not-allowed", "Not allowed"),
        Refusal::Banned { .. } => problem(StatusCode::FORBIDDEN, "banned", "Banned"),
        Refusal::Muted { .. } => problem(StatusCode::FORBIDDEN, "muted", "Muted"),
        Refusal::Archived { .. } => problem(StatusCode::CONFLICT, "archived", "The room is archived"),
        Refusal::UnknownMessage { .. } => problem(StatusCode::NOT_FOUND, "unknown-message", "No such message"),
        Refusal::Blocked => problem(StatusCode::FORBIDDEN, "blocked", "Blocked"),
        Refusal::NotFriends => problem(StatusCode::FORBIDDEN, "not-friends", "Not friends"),
        Refusal::NoRequest => problem(StatusCode::NOT_FOUND, "no-request", "No such request"),
        Refusal::BadReaction => problem(StatusCode::BAD_REQUEST, "bad-reaction", "Not a reaction"),
        Refusal::IsDirect => problem(StatusCode::CONFLICT, "is-direct", "A room of two"),
        Refusal::LastOwner => problem(StatusCode::CONFLICT, "last-owner", "The last owner"),
        Refusal::TooOften { retry_after_ms } => {
            let seconds = u64::from(*retry_after_ms).div_ceil(1_000).max(1);
            let too_often = problem(StatusCode::TOO_MANY_REQUESTS, "too-often", "Too many requests");
            Problem { retry_after: Some(seconds), ..too_often }
        }
        Refusal::TooFewCopies { .. } => unavailable("too-few-copies", "No majority, and too few copies", detail, 1),
        Refusal::OutboxFull { .. } => unavailable("outbox-full", "No majority, and no room to keep more", detail, FULL_RETRY),
        // All others have been said above.
        _ => Problem::unexpected(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = if self.kind.starts_with("operator-") { "Tertulia" } else { "Bearer" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        // Whoever is told to come back is told when.
        let temporary = matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
        if let Some(seconds) = self.retry_after.or(temporary.then_some(1)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::chat::RoomRef;
    use tertulia_protocol::ids::RoomId;

    fn of(refusal: Refusal) -> (u16, &'static str, Option<u64>) {
        let problem = Problem::from(refusal);
        (problem.status.as_u16(), problem.kind, problem.retry_after)
    }

    #[test]
    fn each_refusal_has_its_status() {
        assert_eq!(of(Refusal::UnknownRoom { room: RoomRef::Name("x".into()) }), (404, "unknown-room", None));
        assert_eq!(of(Refusal::NotAMember { room: RoomId(1) }), (403, "not-a-member", None));
        assert_eq!(of(Refusal::EmptyText), (400, "empty-text", None));
        assert_eq!(of(Refusal::TextTooLong { bytes: 5000, limit: 4096 }), (413, "text-too-long", None));
        assert_eq!(of(Refusal::UnknownSession), (401, "unknown-session", None));
        assert_eq!(of(Refusal::NotSignedIn), (401, "not-signed-in", None));
        assert_eq!(of(Refusal::KeyReused), (422, "key-reused", None));
        assert_eq!(of(Refusal::KeyExpired), (409, "key-expired", None));
        assert_eq!(of(Refusal::NoLeader { since_ms: 700 }), (503, "no-leader", Some(1)));
        assert_eq!(of(Refusal::Busy { retry_after_ms: 2_001 }), (503, "busy", Some(3)));
        assert_eq!(of(Refusal::Unknown), (503, "unknown-outcome", Some(1)));
        assert_eq!(of(Refusal::Full { what: "rooms".into(), limit: 9 }), (409, "full", None));
        assert_eq!(of(Refusal::TooFewCopies { copies: 1, wanted: 2 }), (503, "too-few-copies", Some(1)));
        assert_eq!(of(Refusal::OutboxFull { limit: 9 }), (503, "outbox-full", Some(10)));
        assert_eq!(of(Refusal::Busy { retry_after_ms: 60_000 }), (429, "too-many-keys", Some(60)));
    }

    #[test]
    fn whatever_is_temporary_says_when_to_come_back() {
        let (few, full) = (Refusal::TooFewCopies { copies: 1, wanted: 2 }, Refusal::OutboxFull { limit: 9 });
        for refusal in [Refusal::NoLeader { since_ms: 1 }, Refusal::Busy { retry_after_ms: 0 }, Refusal::Unknown, few, full] {
            assert!(refusal.is_temporary());
            assert!(Problem::from(refusal).retry_after.is_some());
        }
    }

    #[test]
    fn a_problem_is_problem_json_with_the_headers_of_its_status() {
        let response = Problem::from(Refusal::NotSignedIn).into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let body = Problem::from(Refusal::EmptyText).body();
        assert_eq!(body["type"], "urn:tertulia:empty-text");
        assert_eq!(body["status"], 400);
        assert_eq!(body["detail"], Refusal::EmptyText.to_string());
    }
}
