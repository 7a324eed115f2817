//! `GET /api/v1/cluster/stream` and `GET /api/v1/cluster/vitals`: the cluster as this node sees it, with how this node is.
//!
//! What a page knows of *other* nodes' vitals it asks those nodes for, about once a second, by the second route. Nodes could tell each other; but then each would carry figures of all
//! for ever so that a page which is hardly ever open saves a few requests, and a node that is cut off, which is the one to look at, would be the one of which nothing is known.
//!
//! - It costs nothing while nobody looks: nothing is measured or asked but for a watcher, and all of them share one look in [`FRESH`].
//! - At most [`WATCHERS`] streams, each at most one event in [`PAUSE`], a change of the leader at the next look; first everything, then only what has changed.
//! - A stream that has nothing to say gives a sign of life each second, so that a page leaves a node that stands still.

use super::problem::unavailable;
use super::sse::{self, Watcher};
use super::{App, Problem, cluster, schema};
use crate::gate::{self, Gate};
use crate::stopped;
use crate::vitals::Vitals;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tertulia_protocol::gateway::{Answer, Ask};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Streams at once.
const WATCHERS: usize = 64;
/// A look that is not older serves the next one who asks.
const FRESH: Duration = Duration::from_millis(40);
/// How often a stream looks …
const LOOK: Duration = Duration::from_millis(50);
/// … and how often it tells what is no news of a leader.
const PAUSE: Duration = Duration::from_millis(300);
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// What is told at once.
const NEWS: [&str; 2] = ["leader", "term"];

/// What a look has found.
type Seen = Arc<Map<String, Value>>;

/// What all who look share.
#[derive(Clone)]
pub struct Watched {
    pub vitals: Vitals,
    latest: Arc<Mutex<Option<(Instant, Seen)>>>,
    places: Arc<Semaphore>,
}

impl Watched {
    pub fn new(vitals: Vitals) -> Watched {
        Watched { vitals, latest: Arc::default(), places: Arc::new(Semaphore::new(WATCHERS)) }
    }
}

/// The view of `GET /api/v1/cluster` and, as `vitals`, this node's own.
async fn look<G: Gate>(app: &App<G>) -> Result<Seen, Problem> {
    let mut latest = app.watched.latest.lock().await;
    if let Some((_, seen)) = latest.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Ok(Arc::clone(seen));
    }
    let Answer::Cluster(status) = gate::ask(&app.gate, None, Ask::Cluster).await? else { return Err(Problem::unexpected()) };
    let Value::Object(mut seen) = cluster::view(&status) else { return Err(Problem::unexpected()) };
    let watchers = WATCHERS - app.watched.places.available_permits();
    let vitals = app.watched.vitals.json(app.gate.counters().as_deref(), app.metrics.open_connections(), watchers);
    seen.insert("vitals".into(), vitals);
    let seen = Arc::new(seen);
    *latest = Some((Instant::now(), Arc::clone(&seen)));
    Ok(seen)
}

/// The cluster as this node sees it, and how this node itself is.
#[utoipa::path(get, path = "/api/v1/cluster/vitals", responses((status = 200, body = schema::ClusterVitals)), security(()))]
pub async fn vitals<G: Gate>(State(app): State<App<G>>) -> Result<Json<Map<String, Value>>, Problem> {
    Ok(Json((*look(&app).await?).clone()))
}

/// The same as it changes, as Server-Sent Events.
///
/// A new leader is told at once, the rest about three times a second; a comment each second says that the node is alive.
#[utoipa::path(get, path = "/api/v1/cluster/stream", responses((status = 200, body = String, content_type = "text/event-stream", description = "Server-Sent Events, each a JSON object: first all of `GET /api/v1/cluster/vitals`, then the fields that have changed.")), security(()), extensions(("x-problems" = json!(["too-many-watchers"]))))]
pub async fn stream<G: Gate>(State(app): State<App<G>>) -> Result<Response, Problem> {
    let place = Arc::clone(&app.watched.places).try_acquire_owned().map_err(|_| {
        let text =
            format!("{WATCHERS} pages watch this node already: ask another node, or GET /api/v1/cluster/vitals now and then");
        unavailable("too-many-watchers", "Too many watchers", text, 10)
    })?;
    let first = look(&app).await?;
    let (watcher, response) = sse::open();
    tokio::spawn(async move {
        let mut stopping = app.stopping.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => {}
            () = watcher.gone() => {}
            () = watch(&app, &watcher, first) => {}
        }
        drop(place);
    });
    Ok(response)
}

/// Tells what changes until nobody listens.
async fn watch<G: Gate>(app: &App<G>, watcher: &Watcher, first: Seen) {
    let mut told = first;
    if !watcher.send(&Value::Object((*told).clone()).to_string()).await {
        return;
    }
    let (mut told_at, mut alive_at) = (Instant::now(), Instant::now());
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // A node that is too busy to say how it is is alive all the same.
        if let Ok(seen) = look(app).await {
            let is_news = NEWS.iter().any(|key| seen.get(*key) != told.get(*key));
            if (is_news || told_at.elapsed() >= PAUSE)
                && let Some(changes) = changes(&told, &seen)
            {
                if !watcher.send(&Value::Object(changes).to_string()).await {
                    return;
                }
                (told, told_at, alive_at) = (seen, Instant::now(), Instant::now());
            }
        }
        if alive_at.elapsed() >= SIGN_OF_LIFE {
            if !watcher.is_alive().await {
                return;
            }
            alive_at = Instant::now();
        }
    }
}

/// The fields that are not as they were; `None` if all are.
pub fn changes(before: &Map<String, Value>, now: &Map<String, Value>) -> Option<Map<String, Value>> {
    let changed: Map<_, _> = now
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!changed.is_empty()).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_has_changed_is_told() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let before = object(json!({"leader": 1, "term": 4, "nodes": [{"id": 1}]}));
        assert_eq!(changes(&before, &before), None);
        let now = object(json!({"leader": null, "term": 4, "nodes": [{"id": 1}], "vitals": {}}));
        assert_eq!(changes(&before, &now), Some(object(json!({"leader": null, "vitals": {}}))));
    }
}
