//! The node's view of the cluster, and what watches over it asks.

use super::{App, Problem};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tertulia_protocol::gateway::{Answer, Ask, Role, Status};

async fn status<G: Gate>(app: &App<G>) -> Result<Status, Problem> {
    match gate::ask(&app.gate, None, Ask::Cluster).await? {
        Answer::Cluster(status) => Ok(*status),
        _ => Err(Problem::unexpected()),
    }
}

/// The cluster as JSON.
pub fn view(status: &Status) -> Value {
    let nodes: Vec<Value> = status
        .members
        .iter()
        .map(|member| {
            json!({
                "id": member.id,
                "role": role(member.role),
                "address": member.client_address,
                "peer_address": member.peer_address,
                "reachable": member.reachable,
            })
        })
        .collect();
    json!({
        "node": status.node,
        "nodes": nodes,
        "leader": status.leader,
        "term": status.term,
        "commit": status.commit,
        "applied": status.applied,
        "succession": status.succession,
        "waiting_for": status.waiting_for,
        "state_hash": format!("{:016x}", status.state_hash),
    })
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
pub async fn readyz<G: Gate>(State(app): State<App<G>>) -> impl IntoResponse {
    match status(&app).await {
        Ok(Status { leader: Some(_), .. }) => (StatusCode::OK, "ready".to_owned()),
        Ok(status) if !status.waiting_for.is_empty() => {
            let missing: Vec<String> = status.waiting_for.iter().map(|node| node.0.to_string()).collect();
            (StatusCode::SERVICE_UNAVAILABLE, format!("no leader: the first election waits for node {}", missing.join(", ")))
        }
        Ok(_) => (StatusCode::SERVICE_UNAVAILABLE, "no leader".to_owned()),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem.detail),
    }
}

/// `GET /metrics`
pub async fn metrics<G: Gate>(State(app): State<App<G>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let status = status(&app).await.ok();
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.metrics.text(status.as_ref(), app.gate.counters().as_deref()))
}
