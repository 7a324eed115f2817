//! The HTTP face of a node: routes, and what holds for all of them. Any node answers anything; what needs the leader is forwarded by the node itself.

mod api;
mod backup;
mod client;
mod cluster;
mod export;
pub mod extract;
mod kinds;
mod messages;
mod operators;
mod origins;
mod page;
mod people;
mod problem;
mod rooms;
mod routes;
mod schema;
mod sessions;
mod settings;
mod socket;
pub mod sse;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod view;
mod watching;
mod wide;

pub use backup::PATH as BACKUP_PATH;
pub use cluster::{ahead as ahead_view, behind, divergence as divergence_view, role, view as cluster_view};
pub use operators::{Operators, authorization};
pub use origins::{Origins, cors};
pub use problem::{Problem, full};
pub use streams::Streams;
pub use watching::{Watched, changes};

use crate::driven::{self, Door};
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::search::Indexed;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use routes::Routes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Bytes of a request's body.
pub const BODY_LIMIT: usize = 64 << 10;
/// The longest that a request may take in all. The node itself gives up earlier.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What all handlers share.
#[derive(Clone)]
pub struct App<G> {
    pub gate: G,
    pub origins: Origins,
    pub operators: Operators,
    pub metrics: Metrics,
    /// Whether this node's index of words is whole.
    pub indexed: Indexed,
    /// Whoever writes an export holds one.
    pub exports: Arc<Semaphore>,
    /// WebSockets that are open, and who may open more.
    pub streams: Streams,
    /// What those share who watch the cluster.
    pub watched: Watched,
    /// The way in for the demo that has started this node.
    pub driven: Option<Door>,
    /// Becomes true when the node stops: streams end.
    pub stopping: watch::Receiver<bool>,
}

/// The routes of one node.
pub fn router<G: Gate>(app: App<G>) -> Router {
    routes(&app)
        .into_router()
        .merge(driven::routes(&app))
        .fallback(page::open::<G>)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn(limit_time))
        .layer(middleware::from_fn_with_state(app.origins.clone(), origins::cors))
        .layer(middleware::from_fn_with_state(app.metrics.clone(), count))
        .with_state(app)
}

/// The API, all of it: each of these is in its description (`api.rs`).
fn routes<G: Gate>(app: &App<G>) -> Routes<G> {
    Routes::new()
        .merge(of_people())
        .merge(of_rooms())
        .merge(of_messages())
        .route("/api/v1/settings", get(settings::show::<G>).put(settings::put::<G>))
        .route("/api/v1/admins/{user}", put(settings::add_admin::<G>).delete(settings::remove_admin::<G>))
        .route("/api/v1/stream", get(stream::open::<G>))
        .route("/api/v1/client", get(client::open::<G>))
        .route("/api/v1/cluster", get(cluster::cluster::<G>))
        .route("/api/v1/cluster/stream", get(watching::stream::<G>))
        .route("/api/v1/cluster/vitals", get(watching::vitals::<G>))
        .route("/healthz", get(cluster::healthz))
        .route("/readyz", get(cluster::readyz::<G>))
        .route("/metrics", get(cluster::metrics::<G>))
        .route("/openapi.json", get(api::openapi))
        .merge(operators::routes(app))
}

/// Sessions, the account, friends, invitations.
fn of_people<G: Gate>() -> Routes<G> {
    Routes::new()
        .route("/api/v1/sessions", post(sessions::sign_in::<G>).delete(sessions::sign_out_all::<G>))
        .route("/api/v1/sessions/{session}", delete(sessions::sign_out::<G>))
        .route("/api/v1/me", get(people::me::<G>).patch(people::profile::<G>).delete(people::delete::<G>))
        .route("/api/v1/me/devices", get(sessions::devices::<G>))
        .route("/api/v1/me/device", put(sessions::name_device::<G>))
        .route("/api/v1/me/password", put(people::password::<G>))
        .route("/api/v1/me/export", get(export::export::<G>))
        .route("/api/v1/users/{user}", get(people::user::<G>))
        .route("/api/v1/invites", post(people::invite::<G>))
        .route("/api/v1/invites/{code}", delete(people::revoke::<G>))
        .route("/api/v1/friends", get(people::friends::<G>))
        .route("/api/v1/friends/{user}", put(people::befriend::<G>).delete(people::unfriend::<G>))
        .route("/api/v1/blocks/{user}", put(people::block::<G>).delete(people::unblock::<G>))
}

/// Rooms and their members.
fn of_rooms<G: Gate>() -> Routes<G> {
    Routes::new()
        .route("/api/v1/rooms", get(rooms::list::<G>).post(rooms::create::<G>))
        .route("/api/v1/direct/{user}", post(rooms::direct::<G>))
        .route("/api/v1/rooms/{room}", get(rooms::show::<G>).patch(rooms::change::<G>).delete(rooms::delete::<G>))
        .route("/api/v1/rooms/{room}/join", post(rooms::join::<G>))
        .route("/api/v1/rooms/{room}/leave", post(rooms::leave::<G>))
        .route("/api/v1/rooms/{room}/decline", post(rooms::decline::<G>))
        .route("/api/v1/rooms/{room}/typing", post(rooms::typing::<G>))
        .route("/api/v1/rooms/{room}/members", get(rooms::members::<G>))
        .route("/api/v1/rooms/{room}/members/{user}", put(rooms::invite::<G>).patch(rooms::role::<G>).delete(rooms::kick::<G>))
        .route("/api/v1/rooms/{room}/bans/{user}", put(rooms::ban::<G>).delete(rooms::unban::<G>))
        .route("/api/v1/rooms/{room}/mutes/{user}", put(rooms::mute::<G>).delete(rooms::unmute::<G>))
}

/// What is said in them.
fn of_messages<G: Gate>() -> Routes<G> {
    const MESSAGE: &str = "/api/v1/rooms/{room}/messages/{seq}";
    Routes::new()
        .route("/api/v1/rooms/{room}/messages", get(messages::history::<G>).post(messages::post::<G>))
        .route("/api/v1/rooms/{room}/tentative", get(messages::tentative::<G>))
        .route(MESSAGE, get(messages::one::<G>).patch(messages::edit::<G>).delete(messages::delete::<G>))
        .route(&format!("{MESSAGE}/thread"), get(messages::thread::<G>))
        .route(&format!("{MESSAGE}/reactions/{{emoji}}"), put(messages::react::<G>).delete(messages::unreact::<G>))
        .route("/api/v1/rooms/{room}/pins/{seq}", put(messages::pin::<G>).delete(messages::unpin::<G>))
        .route("/api/v1/rooms/{room}/read", put(messages::read::<G>))
        .route("/api/v1/search", get(messages::search::<G>))
}

async fn not_found(request: Request) -> Problem {
    let path = request.uri().path();
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "Nothing here",
        format!("there is nothing at {path}: the API begins at /api/v1/"),
    )
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} does not take {}: see the Allow header", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail)
}

/// No request hangs; and what the API says is never cached.
async fn limit_time(request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timed_out().into_response(),
    };
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn count(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    // The route and not the path: strangers may not make us remember each address that they think of.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let route = if response.extensions().get::<page::IsFile>().is_some() { "files" } else { route };
    let method = if STANDARD.contains(&method.as_str()) { method.as_str() } else { "other" };
    metrics.requested(route, method, response.status().as_u16());
    response
}

/// Exports that are written at once.
pub const EXPORTS: usize = 4;

const STANDARD: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
