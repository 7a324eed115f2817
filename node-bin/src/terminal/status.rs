//! `node status`: the cluster as the first node that answers sees it.

use super::remote::ask_once;
use crate::cli::Status as Args;
use crate::http::cluster_view;
use crate::show;
use tertulia_protocol::gateway::{Answer, Ask, Status};
use tertulia_protocol::ids::NodeId;

pub async fn status(args: &Args) -> Result<(), String> {
    let mut failures = Vec::new();
    for url in &args.servers.urls {
        match ask_once(url, Ask::Cluster).await {
            Ok(reply) => match reply.result {
                Ok(Answer::Cluster(status)) => {
                    show(&if args.json { cluster_view(&status).to_string() } else { table(&status) });
                    return Ok(());
                }
                Ok(_) => failures.push(format!("{url}: it answered another question")),
                Err(refusal) => failures.push(format!("{url}: {refusal}")),
            },
            Err(error) => failures.push(error),
        }
    }
    Err(format!("no node answers; start one, or name one with --server\n  {}", failures.join("\n  ")))
}

fn table(status: &Status) -> String {
    let leader = status.leader.map_or("none".into(), |leader| format!("node {}", leader.0));
    let mut lines = vec![format!(
        "leader {leader}  term {}  commit {}  applied {}  (as node {} sees it)",
        status.term, status.commit, status.applied, status.node.0
    )];
    for member in &status.members {
        let reached = if member.id == status.node || member.reachable { "" } else { "  not reachable" };
        let role = crate::http::role(member.role);
        lines.push(format!("node {}  {role:<9}  {}  peers {}{reached}", member.id.0, member.client_address, member.peer_address));
    }
    lines.push(format!("next leaders: {}", numbers(&status.succession)));
    if !status.waiting_for.is_empty() {
        lines.push(format!(
            "the first election waits for node {}: a new cluster begins with all its nodes",
            numbers(&status.waiting_for)
        ));
    }
    lines.join("\n")
}

fn numbers(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", ")
}
