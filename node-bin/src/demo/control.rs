//! The demo's control: a small HTTP server on loopback by which the cluster page kills, pauses, cuts, slows and loads the cluster.
//!
//! - Every route wants the key as `Authorization: Bearer`, and of web pages only those that the demo's own nodes serve may call at all.
//! - Answers are JSON, errors problem+json. Whatever is asked for is done when it is answered, as far as the nodes concerned run; asking for what is so already does no harm.
//!
//! ```text
//! GET  /api/v1/demo                       nodes, cuts, events, load
//! GET  /api/v1/demo/stream                the same as Server-Sent Events: first all of it, then the fields that have changed
//! POST /api/v1/demo/nodes/{id}/kill       kill -9; /pause: SIGSTOP; /resume: SIGCONT; /restart: start it, after a kill if it runs
//! PUT  /api/v1/demo/nodes/{id}/disk       {"delay_ms": 0 to 2000} before each sync
//! POST /api/v1/demo/cut                   {"groups": [[1, 2], [3]]}: nobody hears anybody of another group; who is not named is with all others who are not.
//!                                         Or {"links": [[1, 3]]}: these two do not hear each other. It comes on top of what is cut already
//! POST /api/v1/demo/heal                  the same opens these again; {} opens all
//! PUT  /api/v1/demo/load                  {"per_second": 0 to 500}
//! ```

use super::load::{Load, MOST};
use super::stage::{Order, Pair, Stage, pair};
use crate::driven::{Key, Wanted};
use crate::http::extract::{Body, MaybeBody};
use crate::http::sse::{self, Watcher};
use crate::http::{BODY_LIMIT, Origins, Problem, changes, cors};
use crate::stopped;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Pages that watch at once.
const WATCHERS: usize = 16;
/// The load stops so long after the last page was closed. One that is loaded anew is back sooner.
const UNWATCHED: Duration = Duration::from_secs(10);
/// How often a page is told, at most.
const PAUSE: Duration = Duration::from_millis(250);
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// How long an answer waits for nodes to take what is done to them.
const TAKING: Duration = Duration::from_millis(1_500);
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Control {
    pub stage: Arc<Stage>,
    pub load: Load,
    watchers: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Control {
    pub fn new(stage: Arc<Stage>, load: Load, stopping: watch::Receiver<bool>) -> Control {
        Control { stage, load, watchers: Arc::new(Semaphore::new(WATCHERS)), stopping }
    }

    fn router(self) -> Router {
        let urls: Vec<String> = self.stage.plan.nodes().map(|node| self.stage.plan.url(node)).collect();
        let origins = Origins::new(&urls);
        Router::new()
            .route("/api/v1/demo", get(show))
            .route("/api/v1/demo/stream", get(stream))
            .route("/api/v1/demo/nodes/{id}/{deed}", post(do_to_node))
            .route("/api/v1/demo/nodes/{id}/disk", put(slow))
            .route("/api/v1/demo/cut", post(cut))
            .route("/api/v1/demo/heal", post(heal))
            .route("/api/v1/demo/load", put(load))
            .fallback(nothing)
            .method_not_allowed_fallback(nothing)
            .layer(middleware::from_fn_with_state(self.stage.key.clone(), behind_key))
            .layer(middleware::from_fn_with_state(origins.clone(), only_own_pages))
            // Before the key: a preflight has none.
            .layer(middleware::from_fn_with_state(origins, cors))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(self)
    }

    /// Serves until it is dropped.
    pub async fn serve(self, listener: TcpListener) {
        let router = self.router();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let serving = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                // Whoever breaks off has gone.
                let _ = serving.await;
                drop(place);
            });
        }
    }

    fn json(&self) -> Map<String, Value> {
        let mut map = self.stage.json();
        map.insert("load".into(), self.load.json());
        map
    }

    /// The state, once the nodes have taken what is done to them.
    async fn taken(&self) -> Json<Map<String, Value>> {
        let mut changed = self.stage.watch();
        let settled = async { while !self.stage.has_settled() && changed.changed().await.is_ok() {} };
        let _ = timeout(TAKING, settled).await;
        Json(self.json())
    }

    fn node(&self, id: u16) -> Result<u16, Problem> {
        if self.stage.has(id) {
            return Ok(id);
        }
        Err(Problem::new(StatusCode::NOT_FOUND, "unknown-node", "No such node", format!("this demo has no node {id}")))
    }
}

async fn behind_key(State(key): State<Key>, request: Request, next: Next) -> Result<Response, Problem> {
    if !key.is_in(request.headers()) {
        return Err(Key::refusal());
    }
    let mut response = next.run(request).await;
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// A page from elsewhere gets nothing, whatever it carries.
async fn only_own_pages(State(origins): State<Origins>, request: Request, next: Next) -> Result<Response, Problem> {
    if !origins.may_call(request.headers()) {
        let text = "only pages that this demo's nodes serve may call its control";
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "Not from this page", text));
    }
    Ok(next.run(request).await)
}

async fn nothing(request: Request) -> Problem {
    let text = format!("the control has nothing at {} {}: see GET /api/v1/demo", request.method(), request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing here", text)
}

async fn show(State(control): State<Control>) -> Json<Map<String, Value>> {
    Json(control.json())
}

async fn do_to_node(
    State(control): State<Control>,
    Path((id, deed)): Path<(u16, String)>,
) -> Result<Json<Map<String, Value>>, Problem> {
    let node = control.node(id)?;
    let order = match deed.as_str() {
        "kill" => Order::Kill,
        "pause" => Order::Pause,
        "resume" => Order::GoOn,
        "restart" => Order::Restart,
        _ => {
            let text = format!("nodes take kill, pause, resume and restart, not {deed}");
            return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing here", text));
        }
    };
    let refused = |why| Problem::new(StatusCode::CONFLICT, "not-now", "Not now", why);
    control.stage.order(node, order).await.map_err(refused)?;
    Ok(control.taken().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    delay_ms: u64,
}

async fn slow(
    State(control): State<Control>,
    Path(id): Path<u16>,
    Body(Disk { delay_ms }): Body<Disk>,
) -> Result<Json<Map<String, Value>>, Problem> {
    let node = control.node(id)?;
    Wanted { sync_delay_ms: delay_ms, ..Wanted::default() }.check()?;
    if control.stage.seat(node).delay_ms != delay_ms {
        control.stage.set_delay(node, delay_ms);
        control.stage.note(match delay_ms {
            0 => format!("node {node}'s disk is fast again"),
            _ => format!("node {node}'s disk takes {delay_ms} ms longer"),
        });
    }
    Ok(control.taken().await)
}

/// Who is not to hear whom: by groups, or by pairs.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Apart {
    #[serde(default)]
    groups: Vec<Vec<u16>>,
    #[serde(default)]
    links: Vec<Pair>,
}

impl Apart {
    /// All pairs of nodes of different groups, and those that are named.
    fn pairs(&self, control: &Control) -> Result<BTreeSet<Pair>, Problem> {
        let mut of = BTreeMap::new();
        for (nth, group) in self.groups.iter().enumerate() {
            for node in group {
                if of.insert(control.node(*node)?, nth).is_some() {
                    return Err(Problem::bad_request(format!("node {node} is named twice")));
                }
            }
        }
        let nodes: Vec<u16> = control.stage.plan.nodes().collect();
        let all = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
        let mut pairs: BTreeSet<Pair> = all.filter(|(a, b)| a < b && of.get(a) != of.get(b)).collect();
        for (a, b) in &self.links {
            if control.node(*a)? == control.node(*b)? {
                return Err(Problem::bad_request(format!("node {a} has no link to itself")));
            }
            pairs.insert(pair(*a, *b));
        }
        Ok(pairs)
    }

    /// `1 2 | 3`, `1-3`.
    fn in_words(&self, control: &Control) -> String {
        let named: BTreeSet<u16> = self.groups.iter().flatten().copied().collect();
        let rest: Vec<u16> = control.stage.plan.nodes().filter(|node| !named.contains(node)).collect();
        let all = self.groups.iter().chain((!named.is_empty()).then_some(&rest)).filter(|group| !group.is_empty());
        let words = |group: &Vec<u16>| group.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        let groups = all.map(words).collect::<Vec<_>>().join(" | ");
        let links = self.links.iter().map(|(a, b)| format!("{a}-{b}"));
        (!groups.is_empty()).then_some(groups).into_iter().chain(links).collect::<Vec<_>>().join(", ")
    }
}

async fn cut(State(control): State<Control>, Body(apart): Body<Apart>) -> Result<Json<Map<String, Value>>, Problem> {
    let pairs = apart.pairs(&control)?;
    if pairs.is_empty() {
        return Err(Problem::bad_request("say who is cut off: {\"groups\": [[1, 2], [3]]} or {\"links\": [[1, 3]]}"));
    }
    if !pairs.is_subset(&control.stage.cuts()) {
        control.stage.change_cuts(|cuts| cuts.extend(pairs));
        control.stage.note(format!("cut {}", apart.in_words(&control)));
    }
    Ok(control.taken().await)
}

async fn heal(State(control): State<Control>, MaybeBody(apart): MaybeBody<Apart>) -> Result<Json<Map<String, Value>>, Problem> {
    let cuts = control.stage.cuts();
    let named = apart.pairs(&control)?;
    let all = named.is_empty();
    let opened = if all { cuts.clone() } else { named };
    if !opened.is_disjoint(&cuts) {
        control.stage.change_cuts(|cuts| cuts.retain(|pair| !opened.contains(pair)));
        control.stage.note(if all { "all links healed".into() } else { format!("healed {}", apart.in_words(&control)) });
    }
    Ok(control.taken().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    per_second: u32,
}

async fn load(
    State(control): State<Control>,
    Body(Rate { per_second }): Body<Rate>,
) -> Result<Json<Map<String, Value>>, Problem> {
    if per_second > MOST {
        return Err(Problem::bad_request(format!("the load is {MOST} posts a second at most, not {per_second}")));
    }
    control.load.set_rate(per_second);
    Ok(Json(control.json()))
}

async fn stream(State(control): State<Control>) -> Result<Response, Problem> {
    let place = Arc::clone(&control.watchers).try_acquire_owned().map_err(|_| {
        let text = format!("{WATCHERS} pages watch this demo already: close one");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-watchers", "Too many watchers", text)
    })?;
    let (watcher, response) = sse::open();
    control.load.wake();
    tokio::spawn(async move {
        let mut stopping = control.stopping.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => {}
            () = watcher.gone() => {}
            () = watch_all(&control, &watcher) => {}
        }
        drop(place);
        sleep(UNWATCHED).await;
        if control.watchers.available_permits() == WATCHERS {
            control.load.rest();
        }
    });
    Ok(response)
}

/// Tells what changes: what is done to nodes at once, the load's figures now and then.
async fn watch_all(control: &Control, watcher: &Watcher) {
    let mut changed = control.stage.watch();
    let mut told = Map::new();
    let mut alive_at = Instant::now();
    loop {
        changed.borrow_and_update();
        let now = control.json();
        if let Some(changes) = changes(&told, &now) {
            if !watcher.send(&Value::Object(changes).to_string()).await {
                return;
            }
            (told, alive_at) = (now, Instant::now());
        } else if alive_at.elapsed() >= SIGN_OF_LIFE {
            if !watcher.is_alive().await {
                return;
            }
            alive_at = Instant::now();
        }
        let _ = timeout(PAUSE, changed.changed()).await;
        // Several changes that belong together are told together.
        sleep(Duration::from_millis(20)).await;
    }
}
