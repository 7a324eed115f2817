//! Which web pages may talk to this node: its own, and those that the cluster's other members serve. So a page goes on at another node when
//! the one that served it dies. Everybody else's pages get no CORS headers and no WebSocket.

use crate::peers::{address_of, host_and_port};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The members' addresses, as browsers name them. Members change, so this is shared and set anew.
#[derive(Clone, Debug)]
pub struct Origins {
    known: Arc<RwLock<Known>>,
}

#[derive(Debug)]
struct Known {
    members: Vec<String>,
    /// Where a demo is controlled: its pages call it, and it serves none.
    control: Option<String>,
    /// `http://host:port`, lower case.
    allowed: BTreeSet<String>,
    policy: HeaderValue,
}

impl Known {
    fn of(members: &[String], control: Option<String>) -> Known {
        let mut allowed = BTreeSet::new();
        let mut connect = String::from("'self'");
        for url in members {
            let address = address_of(url).to_ascii_lowercase();
            connect.push_str(&format!(" http://{address} ws://{address}"));
            // A browser on the same machine may call it by any of these names.
            match host_and_port(&address) {
                Some(("127.0.0.1" | "localhost" | "[::1]", port)) => {
                    for host in ["127.0.0.1", "localhost", "[::1]"] {
                        allowed.insert(origin(host, port));
                    }
                }
                Some((host, port)) => {
                    allowed.insert(origin(host, port));
                }
                None => {}
            }
        }
        if let Some(control) = &control {
            connect.push_str(&format!(" http://{}", address_of(control).to_ascii_lowercase()));
        }
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {connect}; manifest-src 'self'; \
             worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'self'"));
        Known { members: members.to_vec(), control, allowed, policy }
    }
}

impl Origins {
    /// `members`: addresses as [`crate::peers::parse_url`] returns them.
    pub fn new(members: &[String]) -> Origins {
        Origins { known: Arc::new(RwLock::new(Known::of(members, None))) }
    }

    /// Pages may call this, too.
    #[must_use]
    pub fn with_control(self, control: Option<String>) -> Origins {
        let known = Known::of(&self.known().members, control);
        Origins { known: Arc::new(RwLock::new(known)) }
    }

    /// These are the members now.
    pub fn set(&self, members: &[String]) {
        let known = self.known();
        if known.members != members {
            let control = known.control.clone();
            drop(known);
            *self.known.write().unwrap_or_else(PoisonError::into_inner) = Known::of(members, control);
        }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The Content-Security-Policy of the web page: its own scripts, and connections to members only.
    pub fn page_policy(&self) -> HeaderValue {
        self.known().policy.clone()
    }

    fn is_member(&self, origin: &HeaderValue) -> bool {
        origin.to_str().is_ok_and(|origin| self.known().allowed.contains(&origin.to_ascii_lowercase()))
    }

    /// Whether this may be asked of somebody who serves no pages: by a program (no Origin), or by a member's page.
    pub fn may_call(&self, headers: &HeaderMap) -> bool {
        headers.get(header::ORIGIN).is_none_or(|origin| self.is_member(origin))
    }

    /// Whether a WebSocket may be opened: by a program (no Origin), by a page of this host, or by a member's page.
    pub fn may_stream(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let same_host = match (origin.to_str(), headers.get(header::HOST).map(HeaderValue::to_str)) {
            (Ok(origin), Some(Ok(host))) => origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host)),
            _ => false,
        };
        same_host || self.is_member(origin)
    }
}

/// As browsers write it: without the port that is HTTP's own.
fn origin(host: &str, port: u16) -> String {
    if port == 80 { format!("http://{host}") } else { format!("http://{host}:{port}") }
}

/// Answers preflights of members' pages and marks responses to them.
pub async fn cors(State(origins): State<Origins>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).filter(|origin| origins.is_member(origin)).cloned();
    let Some(origin) = origin else {
        let mut response = next.run(request).await;
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        return response;
    };
    let preflight = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    if preflight {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE"));
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key"),
        );
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_programs_and_the_members_own_pages_may_stream() {
        let origins = Origins::new(&["http://127.0.0.1:8081".into(), "http://chat.example:80".into()]);
        assert!(origins.may_stream(&headers(&[])));
        assert!(origins.may_stream(&headers(&[("origin", "http://127.0.0.1:8081"), ("host", "127.0.0.1:8082")])));
        assert!(origins.may_stream(&headers(&[("origin", "http://localhost:8081"), ("host", "localhost:8082")])));
        assert!(origins.may_stream(&headers(&[("origin", "http://chat.example"), ("host", "127.0.0.1:8082")])));
        assert!(origins.may_stream(&headers(&[("origin", "https://front.example"), ("host", "front.example")])));
        assert!(!origins.may_stream(&headers(&[("origin", "http://evil.example"), ("host", "127.0.0.1:8082")])));
        assert!(!origins.may_stream(&headers(&[("origin", "http://127.0.0.1:9999"), ("host", "127.0.0.1:8082")])));
        assert!(!origins.may_stream(&headers(&[("origin", "null"), ("host", "127.0.0.1:8082")])));
    }

    #[test]
    fn the_page_may_connect_to_members_only() {
        let policy = Origins::new(&["http://10.0.0.1:8081".into()]).page_policy();
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("connect-src 'self' http://10.0.0.1:8081 ws://10.0.0.1:8081;"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn the_page_of_a_demo_may_call_its_control_also_when_members_have_come() {
        let origins = Origins::new(&["http://127.0.0.1:8081".into()]).with_control(Some("http://127.0.0.1:8080".into()));
        origins.set(&["http://127.0.0.1:8081".into(), "http://127.0.0.1:8082".into()]);
        let policy = origins.page_policy();
        assert!(policy.to_str().unwrap().contains("ws://127.0.0.1:8082 http://127.0.0.1:8080;"));
        let page = headers(&[("origin", "http://127.0.0.1:8080"), ("host", "127.0.0.1:8081")]);
        assert!(!origins.may_stream(&page), "the control serves no pages");
    }

    #[test]
    fn a_member_that_joined_has_pages_like_the_others() {
        let origins = Origins::new(&["http://10.0.0.1:8081".into()]);
        let (shared, page) = (origins.clone(), headers(&[("origin", "http://10.0.0.4:8084"), ("host", "10.0.0.1:8081")]));
        assert!(!shared.may_stream(&page));
        origins.set(&["http://10.0.0.1:8081".into(), "http://10.0.0.4:8084".into()]);
        assert!(shared.may_stream(&page));
        assert!(shared.page_policy().to_str().unwrap().contains("ws://10.0.0.4:8084"));
    }
}
