//! The node's view of the cluster, and what watches over it asks.

use super::{App, Problem};
use crate::gate::{self, Gate};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use tertulia_protocol::gateway::{Answer, Ask, MemberStatus, Role, Standing, Status};
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::replica::Divergence;
use tertulia_protocol::succession::Reason;
use utoipa::ToSchema;

async fn status<G: Gate>(app: &App<G>) -> Result<Status, Problem> {
    match gate::ask(&app.gate, None, Ask::Cluster).await? {
        Answer::Cluster(status) => Ok(*status),
        _ => Err(Problem::unexpected()),
    }
}

/// The cluster as one node sees it. What only the leader knows is null or empty elsewhere.
#[derive(Serialize, ToSchema)]
pub struct Cluster {
    /// The node that answers.
    pub node: u64,
    pub nodes: Vec<MemberNode>,
    #[schema(required)]
    pub leader: Option<u64>,
    pub term: u64,
    pub commit: u64,
    pub applied: u64,
    /// Voters in the order in which they lead, the present leader first.
    pub succession: Vec<u64>,
    /// A new cluster begins with all its nodes: these are not there yet.
    pub waiting_for: Vec<u64>,
    /// Where this node's log ends.
    pub last: u64,
    /// Voters are just changing.
    pub changing: bool,
    /// Learners become voters by themselves until there are so many.
    pub wanted_voters: u16,
    /// This node's log has lost something and is being repaired.
    pub repairing: bool,
    /// This node's disk owes a write for too long.
    pub stalled: bool,
    /// Requests that were accepted without a leader, are held here and not settled.
    pub tentative: u64,
    pub clocks_ahead: Vec<ClockAhead>,
    /// `ring`, `central`, or `fixed:` and ids.
    pub policy: String,
    /// The best-placed voter first.
    pub ranking: Vec<Rank>,
    pub round_trips: Vec<RoundTrip>,
    /// Empty unless something is badly wrong.
    pub diverged: Vec<Diverged>,
    /// 16 hexadecimal digits: equal on all nodes that have applied the same entries.
    pub state_hash: String,
}

/// A member as the node that answers sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub struct MemberNode {
    pub id: u64,
    #[schema(value_type = NodeRole)]
    pub role: &'static str,
    pub standing: NodeStanding,
    /// The voter whose place a learner takes.
    #[schema(required)]
    pub replaces: Option<u64>,
    /// For clients.
    pub address: String,
    /// For other nodes.
    pub peer_address: String,
    /// The node that answers has a link to it.
    pub reachable: bool,
    /// How much of the log it holds. From the leader alone.
    #[schema(required)]
    pub matched: Option<u64>,
    /// How many entries that lacks. From the leader alone.
    #[schema(required)]
    pub behind: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "roles have their names from `role`, which the terminal uses, too")]
pub enum NodeRole {
    Leader,
    Follower,
    Candidate,
    Unknown,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeStanding {
    Voter,
    Learner,
    Leaving,
}

/// A node whose wall clock is ahead of this node's.
#[derive(Serialize, ToSchema)]
pub struct ClockAhead {
    pub node: u64,
    pub ms: u64,
}

/// How well placed a voter is to lead; what is not known is null.
#[derive(Serialize, ToSchema)]
pub struct Rank {
    pub node: u64,
    /// Until a majority confirms what it writes.
    #[schema(required)]
    pub quorum_us: Option<u64>,
    /// Of its round trips.
    #[schema(required)]
    pub mean_us: Option<u64>,
    /// Per second.
    #[schema(required)]
    pub closeness: Option<f64>,
}

#[derive(Serialize, ToSchema)]
pub struct RoundTrip {
    pub a: u64,
    pub b: u64,
    pub us: u64,
}

/// A member whose state is not that of this node at the same place of the log.
#[derive(Serialize, ToSchema)]
pub struct Diverged {
    pub node: u64,
    /// The first entry after which they differ …
    pub since: u64,
    /// … or one before it.
    pub earlier: bool,
    pub seen_at: u64,
    /// Rows that this entry left otherwise, as text …
    pub rows: Vec<String>,
    /// … and so many more.
    pub more_rows: u64,
    /// Who agrees with this node …
    pub with_this: Vec<u64>,
    /// … and who with the other.
    pub with_other: Vec<u64>,
}

fn ids(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}

pub fn cluster_of(status: &Status) -> Cluster {
    let rank = |reason: &Reason| Rank {
        node: reason.node.0,
        quorum_us: reason.quorum_us,
        mean_us: reason.mean_us,
        closeness: reason.closeness_milli.map(|milli| milli as f64 / 1_000.0),
    };
    let round_trip = |(a, b, us): &(NodeId, NodeId, u64)| RoundTrip { a: a.0, b: b.0, us: *us };
    Cluster {
        node: status.node.0,
        nodes: status.members.iter().map(|member| node(status, member)).collect(),
        leader: status.leader.map(|leader| leader.0),
        term: status.term,
        commit: status.commit,
        applied: status.applied,
        succession: ids(&status.succession),
        waiting_for: ids(&status.waiting_for),
        last: status.last,
        changing: status.changing,
        wanted_voters: status.wanted_voters,
        repairing: status.repairing,
        stalled: status.stalled,
        tentative: status.tentative,
        clocks_ahead: status.clocks_ahead.iter().map(|(node, ms)| ClockAhead { node: node.0, ms: *ms }).collect(),
        policy: status.policy.to_string(),
        ranking: status.placement.iter().map(rank).collect(),
        round_trips: status.round_trips.iter().map(round_trip).collect(),
        diverged: status.diverged.iter().map(diverged).collect(),
        state_hash: format!("{:016x}", status.state_hash),
    }
}

fn diverged(said: &Divergence) -> Diverged {
    Diverged {
        node: said.peer.0,
        since: said.first,
        earlier: said.earlier,
        seen_at: said.through,
        rows: said.rows.iter().map(ToString::to_string).collect(),
        more_rows: said.more_rows.into(),
        with_this: ids(&said.with_this),
        with_other: ids(&said.with_peer),
    }
}

fn node(status: &Status, member: &MemberStatus) -> MemberNode {
    let (standing, replaces) = match member.standing {
        Standing::Voter => (NodeStanding::Voter, None),
        Standing::Learner { replaces } => (NodeStanding::Learner, replaces),
        Standing::Leaving => (NodeStanding::Leaving, None),
    };
    MemberNode {
        id: member.id.0,
        role: role(member.role),
        standing,
        replaces: replaces.map(|node| node.0),
        address: member.client_address.clone(),
        peer_address: member.peer_address.clone(),
        reachable: member.reachable,
        matched: member.matched,
        behind: behind(status, member),
    }
}

/// As [`cluster_of`], for those who add to it.
pub fn view(status: &Status) -> Value {
    json!(cluster_of(status))
}

/// Whose clock is ahead of this node's, as JSON.
pub fn ahead(status: &Status) -> Vec<Value> {
    status.clocks_ahead.iter().map(|(node, ms)| json!({"node": node, "ms": ms})).collect()
}

/// One divergence as JSON.
pub fn divergence(said: &Divergence) -> Value {
    json!(diverged(said))
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

/// The cluster, as this node sees it.
#[utoipa::path(get, path = "/api/v1/cluster", responses((status = 200, body = Cluster)), security(()))]
pub async fn cluster<G: Gate>(State(app): State<App<G>>) -> Result<Json<Cluster>, Problem> {
    Ok(Json(cluster_of(&status(&app).await?)))
}

/// Whether the process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = String, content_type = "text/plain")), security(()))]
pub async fn healthz() -> &'static str {
    "ok"
}

/// Whether a leader is known, so that posts can be expected to work.
#[utoipa::path(get, path = "/readyz", responses((status = 200, body = String, content_type = "text/plain"), (status = 503, body = String, content_type = "text/plain", description = "No leader is known; the text says why.")), security(()))]
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

/// What the node counts, in the format OpenMetrics.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")), security(()))]
pub async fn metrics<G: Gate>(State(app): State<App<G>>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let status = status(&app).await.ok();
    ([(header::CONTENT_TYPE, OPEN_METRICS)], app.metrics.text(status.as_ref(), app.gate.counters().as_deref()))
}
