//! The node's view of the cluster, and what watches over it asks.

use super::{App, Problem};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tertulia_protocol::gateway::{Answer, Ask, MemberStatus, Role, Standing, Status};
use tertulia_protocol::replica::Divergence;

async fn status<G: Gate>(app: &App<G>) -> Result<Status, Problem> {
    match gate::ask(&app.gate, None, Ask::Cluster).await? {
        Answer::Cluster(status) => Ok(*status),
        _ => Err(Problem::unexpected()),
    }
}

/// The cluster as JSON, as the node that answers (`node`) sees it:
///
/// - `nodes`: each member's `id`, `role` (leader, follower, candidate, unknown), `standing` (voter, learner, leaving), `replaces` (the voter whose place a learner takes, or null),
///   `address` for clients, `peer_address`, `reachable` (this node has a link to it). From the leader alone: `matched`, how much of the log it holds, and `behind`, how many entries
///   that lacks; else null.
/// - `leader` or null, `term`, `commit`, `applied`, `last` (this node's log ends there), `state_hash`.
/// - `policy` (ring, central, fixed:…), `succession`: the voters in the order in which they lead, the present leader first. From the leader alone: `ranking`, best-placed voter first, each
///   with `node`, `quorum_us` (until a majority confirms what it writes), `mean_us` (of its round trips) and `closeness` (per second), unknown ones null; `round_trips`: `a`, `b`, `us`.
/// - `changing`: voters are just changing. `wanted_voters`: learners become voters by themselves until there are so many. `waiting_for`: a new cluster begins with all its nodes.
/// - `diverged`: members whose state is not that of this node at the same place of the log, each with `node`, `since` (the first entry after which they differ; if `earlier`, that one or
///   one before), `seen_at`, `rows` that this entry left otherwise (as text) and so many `more_rows`, and who agrees with this node (`with_this`) and with the other (`with_other`). Empty unless
///   something is badly wrong.
/// - `repairing`: this node's log has lost something and is being repaired. `stalled`: its disk owes a write for too long.
/// - `tentative`: so many requests that were accepted without a leader are held here and not settled. `clocks_ahead`: nodes (`node`) whose wall clock is ahead of this node's, by so many `ms`.
pub fn view(status: &Status) -> Value {
    let nodes: Vec<Value> = status.members.iter().map(|member| node(status, member)).collect();
    let ranking: Vec<Value> = status
        .placement
        .iter()
        .map(|reason| {
            json!({
                "node": reason.node,
                "quorum_us": reason.quorum_us,
                "mean_us": reason.mean_us,
                "closeness": reason.closeness_milli.map(|milli| milli as f64 / 1_000.0),
            })
        })
        .collect();
    let diverged: Vec<Value> = status.diverged.iter().map(divergence).collect();
    let round_trips: Vec<Value> = status.round_trips.iter().map(|(a, b, us)| json!({"a": a, "b": b, "us": us})).collect();
    json!({
        "node": status.node,
        "nodes": nodes,
        "leader": status.leader,
        "term": status.term,
        "commit": status.commit,
        "applied": status.applied,
        "succession": status.succession,
        "waiting_for": status.waiting_for,
        "last": status.last,
        "changing": status.changing,
        "wanted_voters": status.wanted_voters,
        "repairing": status.repairing,
        "stalled": status.stalled,
        "tentative": status.tentative,
        "clocks_ahead": ahead(status),
        "policy": status.policy.to_string(),
        "ranking": ranking,
        "round_trips": round_trips,
        "diverged": diverged,
        "state_hash": format!("{:016x}", status.state_hash),
    })
}

/// Whose clock is ahead of this node's, as JSON.
pub fn ahead(status: &Status) -> Vec<Value> {
    status.clocks_ahead.iter().map(|(node, ms)| json!({"node": node, "ms": ms})).collect()
}

/// One divergence as JSON.
pub fn divergence(said: &Divergence) -> Value {
    json!({
        "node": said.peer,
        "since": said.first,
        "earlier": said.earlier,
        "seen_at": said.through,
        "rows": said.rows.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "more_rows": said.more_rows,
        "with_this": said.with_this,
        "with_other": said.with_peer,
    })
}

fn node(status: &Status, member: &MemberStatus) -> Value {
    let (standing, replaces) = match member.standing {
        Standing::Voter => ("voter", None),
        Standing::Learner { replaces } => ("learner", replaces),
        Standing::Leaving => ("leaving", None),
    };
    json!({
        "id": member.id,
        "role": role(member.role),
        "standing": standing,
        "replaces": replaces,
        "address": member.client_address,
        "peer_address": member.peer_address,
        "reachable": member.reachable,
        "matched": member.matched,
        "behind": behind(status, member),
    })
}

/// How many entries of the leader's log a member lacks, as far as the leader knows.
pub fn behind(status: &Status, member: &MemberStatus) -> Option<u64> {
    if Some(member.id) == status.leader {
        return None;
    }
    member.matched.map(|matched| status.last.saturating_sub(matched))
}

/// A role's name.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Unknown => "unknown",
    }
}

/// `GET /api/v1/cluster`
pub async fn cluster<G: Gate>(State(app): State<App<G>>) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&status(&app).await?)))
}

/// `GET /healthz`: the process answers.
pub async fn healthz() -> &'static str {
    "ok"
}

/// `GET /readyz`: a leader is known, so posts can be expected to work.
pub async fn readyz<G: Gate>(State(app): State<App<G>>) -> Response {
    let why = match status(&app).await {
        Ok(Status { leader: Some(_), .. }) => return "ready".into_response(),
        Ok(status) if !status.waiting_for.is_empty() => {
            let missing: Vec<String> = status.waiting_for.iter().map(|node| node.0.to_string()).collect();
            format!("no leader: the first election waits for node {}", missing.join(", "))
        }
        Ok(_) => "no leader".to_owned(),
        Err(problem) => problem.detail,
    };
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response()
}

/// `GET /metrics`
pub async fn metrics<G: Gate>(State(app): State<App<G>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let status = status(&app).await.ok();
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.metrics.text(status.as_ref(), app.gate.counters().as_deref()))
}
