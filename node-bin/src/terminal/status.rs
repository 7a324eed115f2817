//! `node status`: the cluster as its leader sees it, else as the first node that answers does; and from every member what only it knows of itself.

use super::remote::ask_once;
use crate::cli::Status as Args;
use crate::http::{ahead_view, behind, cluster_view, divergence_view, role};
use crate::show;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tertulia_protocol::gateway::{Answer, Ask, MemberStatus, Role, Standing, Status};
use tertulia_protocol::ids::NodeId;
use tertulia_protocol::succession::Policy;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long one member may take to speak of itself. One that is down must not hold up the rest.
const ONE_MEMBER: Duration = Duration::from_millis(1_500);

pub async fn status(args: &Args) -> Result<(), String> {
    let first = first_answer(&args.servers.urls).await?;
    let own = of_each(&first).await;
    // The leader knows more: how far each member is, how far apart they are.
    let best = first.leader.and_then(|leader| own.get(&leader)).filter(|status| status.leader == Some(status.node));
    let status = best.unwrap_or(&first);
    show(&if args.json { with_own(status, &own).to_string() } else { page(status, &own) });
    Ok(())
}

async fn first_answer(urls: &[String]) -> Result<Status, String> {
    let mut failures = Vec::new();
    for url in urls {
        match ask_cluster(url).await {
            Ok(status) => return Ok(status),
            Err(error) => failures.push(error),
        }
    }
    Err(format!("no node answers; start one, or name one with --server\n  {}", failures.join("\n  ")))
}

async fn ask_cluster(url: &str) -> Result<Status, String> {
    match ask_once(url, Ask::Cluster).await?.result {
        Ok(Answer::Cluster(status)) => Ok(*status),
        Ok(_) => Err(format!("{url}: it answered another question")),
        Err(refusal) => Err(format!("{url}: {refusal}")),
    }
}

/// What the members say of themselves; who does not answer is missing.
async fn of_each(seen: &Status) -> BTreeMap<NodeId, Status> {
    let mut asked = JoinSet::new();
    for member in &seen.members {
        let (id, url) = (member.id, member.client_address.clone());
        asked.spawn(async move {
            let status = timeout(ONE_MEMBER, ask_cluster(&url)).await.ok()?.ok()?;
            // Another node may have taken over its address.
            (status.node == id).then_some((id, status))
        });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

/// The view, and for each node `own`: what it says of itself, or null if it does not answer.
fn with_own(status: &Status, own: &BTreeMap<NodeId, Status>) -> Value {
    let mut view = cluster_view(status);
    if let Some(nodes) = view["nodes"].as_array_mut() {
        for (node, member) in nodes.iter_mut().zip(&status.members) {
            node["own"] = own.get(&member.id).map_or(Value::Null, |own| {
                json!({
                    "term": own.term, "commit": own.commit, "applied": own.applied, "last": own.last,
                    "repairing": own.repairing, "stalled": own.stalled, "tentative": own.tentative, "clocks_ahead": ahead_view(own),
                    "diverged": own.diverged.iter().map(divergence_view).collect::<Vec<_>>(),
                })
            });
        }
    }
    view
}

fn page(status: &Status, own: &BTreeMap<NodeId, Status>) -> String {
    let leader = status.leader.map_or("none".into(), |leader| format!("node {}", leader.0));
    let mut lines = vec![format!(
        "leader {leader}  term {}  commit {}  last {}  (as node {} sees it)",
        status.term, status.commit, status.last, status.node.0
    )];
    lines.push(String::new());
    lines.extend(table(members(status, own)));
    lines.extend(remarks(status));
    lines.extend(clocks_ahead(own));
    lines.extend(divergences(status, own));
    lines.push(String::new());
    lines.push(format!("succession {}; next leaders: {}", status.policy, numbers(next(status))));
    lines.push(why(status).into());
    if !status.placement.is_empty() && status.members.len() > 1 {
        lines.push(String::new());
        lines.extend(table(ranking(status)));
    }
    if !status.round_trips.is_empty() {
        lines.extend([String::new(), "round trips in ms".into()]);
        lines.extend(table(round_trips(status)));
    }
    lines.join("\n")
}

fn next(status: &Status) -> &[NodeId] {
    match status.succession.split_first() {
        Some((first, rest)) if Some(*first) == status.leader => rest,
        _ => &status.succession,
    }
}

fn members(status: &Status, own: &BTreeMap<NodeId, Status>) -> Vec<Vec<String>> {
    let mut rows = vec![["node", "role", "standing", "behind", "applied", "clients"].map(String::from).to_vec()];
    for member in &status.members {
        let said = own.get(&member.id);
        let reached = said.is_some() || member.reachable || member.id == status.node;
        let role = if reached || member.role == Role::Leader { role(member.role) } else { "not reached" };
        let mut row = vec![
            member.id.0.to_string(),
            role.into(),
            standing(member),
            behind(status, member).map_or("-".into(), |behind| behind.to_string()),
            said.map_or("-".into(), |said| said.applied.to_string()),
            member.client_address.clone(),
        ];
        let marks = said.map(|said| [(said.repairing, "repairing"), (said.stalled, "disk stalled")]);
        row.extend(marks.into_iter().flatten().filter(|(is, _)| *is).map(|(_, mark)| mark.into()));
        row.extend(said.filter(|said| said.tentative > 0).map(|said| format!("{} tentative", said.tentative)));
        rows.push(row);
    }
    rows
}

fn standing(member: &MemberStatus) -> String {
    match member.standing {
        Standing::Voter => "voter".into(),
        Standing::Learner { replaces: None } => "learner".into(),
        Standing::Learner { replaces: Some(lost) } => format!("learner, replaces {}", lost.0),
        Standing::Leaving => "leaving".into(),
    }
}

fn remarks(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    if status.changing {
        lines.push("voters are just changing".into());
    }
    let voters = status.members.iter().filter(|member| member.standing == Standing::Voter).count();
    if usize::from(status.wanted_voters) > voters && status.leader.is_some() {
        lines.push(format!("{} voters are wanted: learners that have caught up become voters", status.wanted_voters));
    }
    if !status.waiting_for.is_empty() {
        let missing = numbers(&status.waiting_for);
        lines.push(format!("the first election waits for node {missing}: a new cluster begins with all its nodes"));
    }
    lines
}

/// Who says that its state is not that of another one: this is always worth a line.
fn divergences(seen: &Status, own: &BTreeMap<NodeId, Status>) -> Vec<String> {
    let all = own.values().chain((!own.contains_key(&seen.node)).then_some(seen));
    let said = all.flat_map(|status| status.diverged.iter().map(|said| format!("NODE {}: {said}", status.node.0)));
    let mut lines: Vec<String> = said.collect();
    if !lines.is_empty() {
        lines.push("The same log must give the same state: see \"States that differ\" in docs/PROTOCOL.md.".into());
    }
    lines
}

/// Of each node whose clock is ahead, by whom it is by most: tentative messages stand by these clocks.
fn clocks_ahead(own: &BTreeMap<NodeId, Status>) -> Vec<String> {
    let mut most: BTreeMap<NodeId, (u64, NodeId)> = BTreeMap::new();
    for (than, said) in own {
        for (node, ms) in &said.clocks_ahead {
            let known = most.entry(*node).or_insert((0, *node));
            *known = (*known).max((*ms, *than));
        }
    }
    let line = |(node, (ms, than)): (NodeId, (u64, NodeId))| {
        format!("the clock of node {} is {ms} ms ahead of node {}'s", node.0, than.0)
    };
    most.into_iter().map(line).collect()
}

fn why(status: &Status) -> &'static str {
    match &status.policy {
        Policy::Ring => "  ring: by id, beginning after the leader; the ranking decides nothing",
        Policy::Central => "  central: by the ranking, once it has held for a while; equal ones by id",
        Policy::Fixed(_) => "  fixed: as an operator said; the ranking decides nothing",
    }
}

fn ranking(status: &Status) -> Vec<Vec<String>> {
    let mut rows = vec![["rank", "node", "quorum ms", "mean ms", "closeness /s"].map(String::from).to_vec()];
    for (at, reason) in status.placement.iter().enumerate() {
        rows.push(vec![
            (at + 1).to_string(),
            reason.node.0.to_string(),
            reason.quorum_us.map_or("-".into(), ms),
            reason.mean_us.map_or("-".into(), ms),
            reason.closeness_milli.map_or("-".into(), |milli| format!("{}.{}", milli / 1_000, milli / 100 % 10)),
        ]);
    }
    rows
}

fn round_trips(status: &Status) -> Vec<Vec<String>> {
    let known: BTreeMap<(NodeId, NodeId), u64> =
        status.round_trips.iter().flat_map(|(a, b, us)| [((*a, *b), *us), ((*b, *a), *us)]).collect();
    let ids: Vec<NodeId> = status.members.iter().map(|member| member.id).collect();
    let mut rows = vec![std::iter::once("node".to_owned()).chain(ids.iter().map(|id| id.0.to_string())).collect::<Vec<_>>()];
    for a in &ids {
        let cell = |b: &NodeId| match known.get(&(*a, *b)) {
            _ if a == b => String::new(),
            Some(us) => ms(*us),
            None => "-".into(),
        };
        rows.push(std::iter::once(a.0.to_string()).chain(ids.iter().map(cell)).collect());
    }
    rows
}

/// Microseconds as milliseconds with as many places as are worth reading.
fn ms(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{:02}", us / 1_000, us / 10 % 100),
        10_000..100_000 => format!("{}.{}", us / 1_000, us / 100 % 10),
        _ => (us / 1_000).to_string(),
    }
}

/// Rows as lines, the first one the columns' names: numbers to the right, words to the left.
fn table(rows: Vec<Vec<String>>) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, at: usize| row.get(at).cloned().unwrap_or_default();
    let numeric = |text: &str| text.is_empty() || text == "-" || text.starts_with(|letter: char| letter.is_ascii_digit());
    let shapes: Vec<(usize, bool)> = (0..columns)
        .map(|at| {
            let width = rows.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0);
            (width, rows.iter().skip(1).all(|row| numeric(&cell(row, at))))
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells = shapes.iter().enumerate().map(|(at, (width, right))| match right {
            true => format!("{:>width$}", cell(row, at)),
            false => format!("{:<width$}", cell(row, at)),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn numbers(nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "nobody".into();
    }
    nodes.iter().map(|node| node.0.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tertulia_protocol::replica::{DifferentRow, Divergence, RowChange};
    use tertulia_protocol::succession::Reason;

    fn seven() -> Status {
        let member = |id: u64| MemberStatus {
            id: NodeId(id),
            client_address: format!("http://127.0.0.1:{}", 8_080 + id),
            peer_address: format!("127.0.0.1:{}", 9_080 + id),
            role: if id == 2 { Role::Leader } else { Role::Follower },
            reachable: true,
            standing: if id == 7 { Standing::Learner { replaces: Some(NodeId(3)) } } else { Standing::Voter },
            matched: Some(1_000_000 - id),
        };
        let ids = || (1..=7).map(NodeId);
        let reason = |node| Reason { node, quorum_us: Some(128_456), mean_us: None, closeness_milli: Some(1_234_567) };
        Status {
            node: NodeId(2),
            leader: Some(NodeId(2)),
            term: 12,
            commit: 1_000_000,
            applied: 1_000_000,
            succession: vec![NodeId(2), NodeId(3), NodeId(4)],
            members: (1..=7).map(member).collect(),
            waiting_for: Vec::new(),
            state_hash: 1,
            last: 1_000_000,
            changing: true,
            wanted_voters: 7,
            repairing: false,
            stalled: true,
            policy: Policy::Central,
            placement: ids().map(reason).collect(),
            round_trips: ids().flat_map(|a| ids().filter(move |b| a < *b).map(move |b| (a, b, 128_456))).collect(),
            tentative: 3,
            clocks_ahead: vec![(NodeId(4), 1_250)],
            diverged: Vec::new(),
        }
    }

    #[test]
    fn seven_nodes_fit_into_80_columns() {
        let status = seven();
        let own = BTreeMap::from([(NodeId(2), status.clone())]);
        let page = page(&status, &own);
        for line in page.lines() {
            assert!(line.chars().count() <= 80 || line.ends_with("disk stalled  3 tentative"), "{line}");
        }
        for word in [
            "learner, replaces 3",
            "disk stalled",
            "the clock of node 4 is 1250 ms ahead of node 2's\n",
            "next leaders: 3, 4\n",
            "7 voters are wanted",
            "  128  ",
            "1234.5",
        ] {
            assert!(page.contains(word), "{word}:\n{page}");
        }
    }

    #[test]
    fn states_that_differ_are_told_by_whoever_knows() {
        let row = DifferentRow { row: "row 13 (4, 2)".into(), here: Some(RowChange { old: None, new: Some(7) }), there: None };
        let said = Divergence {
            peer: NodeId(3),
            first: 70,
            earlier: false,
            through: 256,
            rows: vec![row],
            more_rows: 0,
            with_this: vec![NodeId(4)],
            with_peer: Vec::new(),
        };
        let (status, other) = (seven(), Status { node: NodeId(1), diverged: vec![said], ..seven() });
        assert!(!page(&status, &BTreeMap::new()).contains("NODE"));
        let own = BTreeMap::from([(NodeId(1), other.clone()), (NodeId(2), status.clone())]);
        let line = "NODE 1: the state differs from that of n3: it began with entry 70, and was seen at 256; \
                    rows that the entry left otherwise: row 13 (4, 2): 0000000000000007 here, not touched there; n4 agrees with this node\n";
        assert!(page(&status, &own).contains(line), "{}", page(&status, &own));
        assert_eq!(page(&other, &own).matches("NODE").count(), 1);
        let view = with_own(&status, &own);
        let said = &view["nodes"][0]["own"]["diverged"][0];
        assert_eq!((&said["node"], &said["since"], &said["with_this"]), (&json!(3), &json!(70), &json!([4])));
        assert_eq!(view["diverged"], json!([]));
        assert_eq!(cluster_view(&other)["diverged"][0], *said);
    }

    #[test]
    fn json_has_everything_and_says_who_did_not_answer() {
        let status = seven();
        let view = with_own(&status, &BTreeMap::from([(NodeId(2), status.clone())]));
        assert_eq!((&view["nodes"][1]["own"]["stalled"], &view["nodes"][0]["own"]), (&json!(true), &Value::Null));
        assert_eq!((&view["nodes"][6]["replaces"], &view["nodes"][6]["behind"]), (&json!(3), &json!(7)));
        assert_eq!((view["round_trips"].as_array().unwrap().len(), &view["ranking"][0]["mean_us"]), (21, &Value::Null));
    }

    #[test]
    fn times_have_the_places_that_are_worth_reading() {
        assert_eq!([ms(7), ms(1_234), ms(12_345), ms(128_456)], ["0.00", "1.23", "12.3", "128"]);
    }
}
