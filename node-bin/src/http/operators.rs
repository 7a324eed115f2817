//! What only operators may ask: who is a member, who leads, who leads next; and for a backup, which holds everything.
//!
//! Whoever asks shows to know the cluster's secret and does not send it. The header is
//! `Authorization: Tertulia time=SECONDS, nonce=32 HEX, mac=64 HEX`; the mac is [`Secret::operator_mac`] over method, path, time, nonce and body.
//!
//! - A request counts for [`WINDOW`] around the node's clock, and each nonce once on this node, so a copy of a request is worth nothing there. Other nodes, and this one after a
//!   start, would still take it within the window; that is why calls are the same calls by their content: what is done is not done twice.
//! - Web pages cannot call any of this: a request with an Origin is refused whatever it carries.

use super::extract::Body;
use super::{App, Problem, Routes, schema};
use crate::gate::{self, Gate};
use crate::peers::{host_and_port, parse_url};
use crate::{clock, hex};
use axum::Json;
use axum::body::{Body as Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tertulia_protocol::chat::Settings;
use tertulia_protocol::gateway::{Answer, Ask};
use tertulia_protocol::ids::{ClusterId, Incarnation, NodeId};
use tertulia_protocol::node::{Admin, AdminOutcome};
use tertulia_protocol::raft::{Change, Configuration};
use tertulia_protocol::succession::Policy;
use tertulia_protocol::wire::handshake::{OperatorRequest, Secret};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

/// How far the asker's clock may be from the node's, in seconds.
const WINDOW: u64 = 60;
/// Nonces that are remembered. Only those who know the secret can fill this.
const NONCES: usize = 4_096;
/// Backups that are taken at once.
const BACKUPS: usize = 1;
/// How long a call waits for a leader, as other requests do, and how often it looks for one.
const HOLD: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(100);
/// The scheme of the Authorization header.
const SCHEME: &str = "Tertulia";

/// Time and nonce of a request.
type Taken = (u64, [u8; 16]);

/// Tells operators from others.
#[derive(Clone)]
pub struct Operators {
    secret: Secret,
    /// Times and nonces of requests that were taken and could still come again.
    seen: Arc<Mutex<BTreeSet<Taken>>>,
    /// Whoever takes a backup holds it.
    backups: Arc<Semaphore>,
}

impl Operators {
    pub fn new(secret: Secret) -> Operators {
        Operators { secret, seen: Arc::default(), backups: Arc::new(Semaphore::new(BACKUPS)) }
    }

    /// Whose secret it is.
    pub fn cluster(&self) -> ClusterId {
        self.secret.cluster_id()
    }

    /// See [`Secret::session_token`].
    pub fn session_token(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.secret.session_token(parts)
    }

    /// The right to take a backup; `None` while another one is taken.
    pub fn backup_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.backups).try_acquire_owned().ok()
    }

    /// Takes the request, or says what is wrong. `now`: seconds since 1970.
    fn check(&self, now: u64, method: &str, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let Some(Claim { time, nonce, mac }) = claim(headers) else {
            return Err(unauthorized(
                "operator-unknown",
                "this needs the cluster's secret: use `node add`, `node remove`, `node transfer`, `node succession`, `node settings` or `node backup` with --secret-file, \
                 or send the header Authorization: Tertulia time=…, nonce=…, mac=…",
            ));
        };
        let request = OperatorRequest { method, path, time, nonce: &nonce, body };
        if !self.secret.is_operator_mac(&request, &mac) {
            return Err(unauthorized("operator-wrong-secret", "this is not this cluster's secret: check --secret-file"));
        }
        let apart = now.abs_diff(time);
        if apart > WINDOW {
            let text = format!(
                "the clocks of the asker and of this node are {apart} s apart, and {WINDOW} s are the most: set the one that is wrong"
            );
            return Err(unauthorized("operator-clock", text));
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(time, _)| now.saturating_sub(*time) <= WINDOW);
        if seen.contains(&(time, nonce)) {
            return Err(unauthorized(
                "operator-replay",
                "this request has been taken already: send a new one with a fresh nonce",
            ));
        }
        if seen.len() >= NONCES {
            return Err(super::problem::unavailable(
                "busy",
                "Busy",
                "too many operators' requests: come back in a minute".into(),
                60,
            ));
        }
        seen.insert((time, nonce));
        Ok(())
    }
}

/// The header for a request of one's own.
pub fn authorization(secret: &Secret, method: &str, path: &str, body: &[u8]) -> String {
    let (time, nonce) = (clock::seconds(), rand::random());
    let mac = secret.operator_mac(&OperatorRequest { method, path, time, nonce: &nonce, body });
    format!("{SCHEME} time={time}, nonce={}, mac={}", hex::encode(&nonce), hex::encode(&mac))
}

struct Claim {
    time: u64,
    nonce: [u8; 16],
    mac: Vec<u8>,
}

fn claim(headers: &HeaderMap) -> Option<Claim> {
    let (scheme, words) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let word = |name: &str| words.split(',').find_map(|word| word.trim().strip_prefix(name)?.strip_prefix('='));
    let nonce = hex::decode(word("nonce")?)?.try_into().ok()?;
    Some(Claim { time: word("time")?.parse().ok()?, nonce, mac: hex::decode(word("mac")?)? })
}

fn unauthorized(kind: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, kind, "Not known as an operator", detail)
}

/// The routes, behind the check.
pub fn routes<G: Gate>(app: &App<G>) -> Routes<G> {
    let check = axum::middleware::from_fn_with_state(app.operators.clone(), authorise);
    Routes::new()
        .route("/api/v1/cluster/members", post(join::<G>))
        .route("/api/v1/cluster/members/{id}", delete(remove::<G>))
        .route("/api/v1/cluster/members/{id}/promote", post(promote::<G>))
        .route("/api/v1/cluster/voters", put(voters::<G>))
        .route("/api/v1/cluster/transfer", post(transfer::<G>))
        .route("/api/v1/cluster/succession", put(succession::<G>))
        .route("/api/v1/cluster/settings", put(configure::<G>))
        .route(super::backup::PATH, get(super::backup::stream::<G>))
        .map(|router| router.route_layer(check))
}

async fn authorise(State(operators): State<Operators>, request: Request, next: Next) -> Response {
    match checked(&operators, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn checked(operators: &Operators, request: Request) -> Result<Request, Problem> {
    if request.headers().contains_key(header::ORIGIN) {
        let text = "web pages may not do this: use the command line";
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Not for pages", text));
    }
    let (head, body) = request.into_parts();
    let body = to_bytes(body, super::BODY_LIMIT).await.map_err(|_| Problem::body_too_large())?;
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    operators.check(clock::seconds(), head.method.as_str(), path, &head.headers, &body)?;
    Ok(Request::from_parts(head, Bytes::from(body)))
}

/// Has it done by the cluster. The second of the answer: who joined, or leads.
async fn ask<G: Gate>(app: &App<G>, admin: Admin) -> Result<(Option<NodeId>, Box<Configuration>), Problem> {
    let outcome = tokio::select! {
        biased;
        outcome = app.gate.admin(admin) => outcome,
        () = leaderless(app) => {
            let why = "no majority: this node has reached no leader for a while; what was asked may still come about, and asking again does no harm";
            return Err(super::problem::unavailable("no-leader", "No majority", why.into(), 1));
        }
    };
    match outcome {
        None => Err(Problem::stopped()),
        Some(AdminOutcome::Done { node, configuration }) => Ok((node, configuration)),
        Some(AdminOutcome::Refused { why }) => {
            Err(Problem::new(StatusCode::CONFLICT, "refused", "The cluster will not do this", why))
        }
        Some(AdminOutcome::Pending { why }) => Err(super::problem::unavailable("pending", "Not done yet", why, 1)),
    }
}

/// When the node has had no leader for [`HOLD`]. It would wait longer by itself, for one that is being elected.
async fn leaderless<G: Gate>(app: &App<G>) {
    let mut since = None;
    loop {
        let led =
            matches!(gate::ask(&app.gate, None, Ask::Cluster).await, Ok(Answer::Cluster(status)) if status.leader.is_some());
        let now = Instant::now();
        if led {
            since = None;
        } else if now - *since.get_or_insert(now) >= HOLD {
            return;
        }
        sleep(LOOK).await;
    }
}

/// A member as it is configured.
#[derive(Serialize, ToSchema)]
pub struct MemberOf {
    id: u64,
    peer_address: String,
    client_address: String,
    voter: bool,
    /// The voter whose place it takes.
    #[schema(required)]
    replaces: Option<u64>,
}

/// Who is a member now.
#[derive(Serialize, ToSchema)]
pub struct Membership {
    members: Vec<MemberOf>,
    wanted_voters: u16,
}

/// The id of who joined, and who is a member now.
#[derive(Serialize, ToSchema)]
pub struct JoinedMember {
    id: u64,
    members: Vec<MemberOf>,
}

#[derive(Serialize, ToSchema)]
pub struct NewLeader {
    #[schema(required)]
    leader: Option<u64>,
}

fn members(configuration: &Configuration) -> Vec<MemberOf> {
    let member = |member: &tertulia_protocol::raft::Member| MemberOf {
        id: member.id.0,
        peer_address: member.peer_address.clone(),
        client_address: member.client_address.clone(),
        voter: configuration.is_voter(member.id),
        replaces: configuration.replaced_by(member.id).map(|node| node.0),
    };
    configuration.members().iter().map(member).collect()
}

fn shown(configuration: &Configuration) -> Membership {
    Membership { members: members(configuration), wanted_voters: configuration.wanted_voters() }
}

#[derive(Deserialize, ToSchema)]
pub struct Join {
    peer_address: String,
    client_address: String,
    /// The newcomer's data folder: 32 hexadecimal digits, drawn at random.
    incarnation: String,
    /// The voter whose place it takes.
    #[schema(value_type = Option<u64>)]
    replace: Option<NodeId>,
}

/// Lets a new data folder join, and gives it an id.
///
/// The same folder may ask again.
#[utoipa::path(post, path = "/api/v1/cluster/members", request_body = Join, responses((status = 201, body = JoinedMember)), security(("operator" = [])))]
pub async fn join<G: Gate>(
    State(app): State<App<G>>,
    Body(join): Body<Join>,
) -> Result<(StatusCode, Json<JoinedMember>), Problem> {
    if host_and_port(&join.peer_address).is_none() {
        return Err(Problem::bad_request(format!("\"{}\" is no HOST:PORT for peers", join.peer_address)));
    }
    let client_address = parse_url(&join.client_address).map_err(Problem::bad_request)?;
    let incarnation = hex::incarnation(&join.incarnation).ok_or_else(|| {
        Problem::bad_request("incarnation has to be 32 hexadecimal digits, drawn at random for this data folder")
    })?;
    let incarnation = Incarnation(incarnation);
    let change = Change::Join { peer_address: join.peer_address, client_address, incarnation, replace: join.replace };
    let (id, configuration) = ask(&app, Admin::Change(change)).await?;
    let id = id.ok_or_else(Problem::unexpected)?;
    Ok((StatusCode::CREATED, Json(JoinedMember { id: id.0, members: members(&configuration) })))
}

/// Lets a learner vote, once it has caught up.
#[utoipa::path(post, path = "/api/v1/cluster/members/{id}/promote", responses((status = 200, body = Membership)), security(("operator" = [])))]
pub async fn promote<G: Gate>(State(app): State<App<G>>, Member(node): Member) -> Result<Json<Membership>, Problem> {
    let (_, configuration) = ask(&app, Admin::Change(Change::Promote { node })).await?;
    Ok(Json(shown(&configuration)))
}

/// Removes a member, for good.
#[utoipa::path(delete, path = "/api/v1/cluster/members/{id}", responses((status = 200, body = Membership)), security(("operator" = [])))]
pub async fn remove<G: Gate>(State(app): State<App<G>>, Member(node): Member) -> Result<Json<Membership>, Problem> {
    let (_, configuration) = ask(&app, Admin::Change(Change::Remove { node })).await?;
    Ok(Json(shown(&configuration)))
}

#[derive(Deserialize, ToSchema)]
pub struct Voters {
    count: u16,
}

/// Says how many voters there should be: learners become voters by themselves until there are so many.
#[utoipa::path(put, path = "/api/v1/cluster/voters", request_body = Voters, responses((status = 200, body = Membership)), security(("operator" = [])))]
pub async fn voters<G: Gate>(
    State(app): State<App<G>>,
    Body(Voters { count }): Body<Voters>,
) -> Result<Json<Membership>, Problem> {
    let (_, configuration) = ask(&app, Admin::Change(Change::WantVoters { count })).await?;
    Ok(Json(shown(&configuration)))
}

#[derive(Deserialize, ToSchema)]
pub struct Transfer {
    #[schema(value_type = u64)]
    to: NodeId,
}

/// Lets a voter lead.
#[utoipa::path(post, path = "/api/v1/cluster/transfer", request_body = Transfer, responses((status = 200, body = NewLeader)), security(("operator" = [])))]
pub async fn transfer<G: Gate>(
    State(app): State<App<G>>,
    Body(Transfer { to }): Body<Transfer>,
) -> Result<Json<NewLeader>, Problem> {
    let (leader, _) = ask(&app, Admin::Transfer { to }).await?;
    Ok(Json(NewLeader { leader: leader.map(|node| node.0) }))
}

#[derive(Deserialize, Serialize, ToSchema)]
pub struct Succession {
    /// `ring`, `central`, or `fixed:` and ids in order.
    policy: String,
}

/// Says who should lead next.
#[utoipa::path(put, path = "/api/v1/cluster/succession", request_body = Succession, responses((status = 200, body = Succession)), security(("operator" = [])))]
pub async fn succession<G: Gate>(State(app): State<App<G>>, Body(body): Body<Succession>) -> Result<Json<Succession>, Problem> {
    let policy: Policy = body.policy.parse().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let text = policy.to_string();
    ask(&app, Admin::Succession { policy }).await?;
    Ok(Json(Succession { policy: text }))
}

/// Changes what holds for the chat of the whole cluster, all of it.
#[utoipa::path(put, path = "/api/v1/cluster/settings", request_body = schema::Settings, responses((status = 200, body = schema::Settings)), security(("operator" = [])))]
pub async fn configure<G: Gate>(State(app): State<App<G>>, Body(settings): Body<Settings>) -> Result<Json<Settings>, Problem> {
    ask(&app, Admin::Configure { settings: Box::new(settings.clone()) }).await?;
    Ok(Json(settings))
}

/// The node in the path.
pub struct Member(NodeId);

impl<S: Send + Sync> FromRequestParts<S> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Member, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => match text.parse() {
                Ok(id) if id > 0 => Ok(Member(NodeId(id))),
                _ => Err(Problem::bad_request(format!("\"{text}\" is no node id: ids are numbers from 1"))),
            },
            Err(rejection) => Err(Problem::bad_request(rejection.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn headers(secret: &Secret, time: u64, nonce: u8, body: &[u8]) -> HeaderMap {
        let nonce = [nonce; 16];
        let mac = secret.operator_mac(&OperatorRequest { method: "POST", path: "/p", time, nonce: &nonce, body });
        let text = format!("Tertulia time={time}, nonce={}, mac={}", hex::encode(&nonce), hex::encode(&mac));
        HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())])
    }

    #[test]
    fn whoever_knows_the_secret_is_let_in_once_and_others_are_told_what_is_wrong() {
        let (ours, other) = (Secret::new(&[1; 16]).unwrap(), Secret::new(&[2; 16]).unwrap());
        let operators = Operators::new(ours.clone());
        let kind = |headers: &HeaderMap, now| operators.check(now, "POST", "/p", headers, b"x").map_err(|problem| problem.kind);
        assert_eq!(kind(&HeaderMap::new(), NOW), Err("operator-unknown"));
        assert_eq!(kind(&headers(&other, NOW, 1, b"x"), NOW), Err("operator-wrong-secret"));
        assert_eq!(kind(&headers(&ours, NOW, 1, b"y"), NOW), Err("operator-wrong-secret"), "another body");
        assert_eq!(kind(&headers(&ours, NOW - 61, 1, b"x"), NOW), Err("operator-clock"));
        assert_eq!(kind(&headers(&ours, NOW + 61, 1, b"x"), NOW), Err("operator-clock"));
        let late = operators.check(NOW, "POST", "/p", &headers(&ours, NOW - 75, 1, b"x"), b"x").unwrap_err();
        assert!(late.detail.contains("75 s apart"), "{}", late.detail);
        assert_eq!(kind(&headers(&ours, NOW + 60, 1, b"x"), NOW), Ok(()));
        assert_eq!(kind(&headers(&ours, NOW + 60, 1, b"x"), NOW + 120), Err("operator-replay"), "for as long as it would count");
        assert_eq!(kind(&headers(&ours, NOW + 60, 2, b"x"), NOW), Ok(()));
    }

    #[test]
    fn the_memory_of_nonces_is_bounded_and_clears_itself() {
        let secret = Secret::new(&[1; 16]).unwrap();
        let operators = Operators::new(secret.clone());
        for n in 0..NONCES {
            operators.seen.lock().unwrap().insert((NOW, (n as u128).to_le_bytes()));
        }
        let request = headers(&secret, NOW, 0xff, b"x");
        assert_eq!(operators.check(NOW, "POST", "/p", &request, b"x").unwrap_err().retry_after, Some(60));
        let request = headers(&secret, NOW + 61, 0xff, b"x");
        assert_eq!(operators.check(NOW + 61, "POST", "/p", &request, b"x"), Ok(()));
        assert_eq!(operators.seen.lock().unwrap().len(), 1);
    }
}
