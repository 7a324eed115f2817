//! What operators do, to real processes: members join, vote, lead, are replaced and go, while people write.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::*;

/// The view of whoever leads, as an operator gets it.
fn view(cluster: &Cluster) -> Value {
    let said = say(node().args(["status", "--json"]).args(cluster.servers()));
    assert!(said.status.success(), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

fn member(view: &Value, node: u16) -> Value {
    view["nodes"].as_array().unwrap().iter().find(|member| member["id"] == node).cloned().unwrap_or(Value::Null)
}

fn voters(view: &Value) -> Vec<u64> {
    let voters = view["nodes"].as_array().unwrap().iter().filter(|member| member["standing"] == "voter");
    voters.map(|member| member["id"].as_u64().unwrap()).collect()
}

/// `node add`, `node remove` and the like, as an operator calls them.
fn operate(cluster: &Cluster, words: &[&str]) -> Said {
    say(node().args(words).args(cluster.servers()).arg("--secret-file").arg(cluster.secret()))
}

fn done(said: &Said) -> &str {
    assert!(said.status.success(), "{}{}", said.out, said.err);
    said.out.trim_end()
}

/// A place for the posts of a test, and who reads them.
fn lobby(url: &str) -> String {
    let token = sign_in(url, "ana");
    let made = post(url, "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    assert!(matches!(made.status, 200 | 201), "{made:?}");
    token
}

fn write(url: &str, token: &str, texts: impl IntoIterator<Item = String>) {
    for text in texts {
        commit(url, token, &text);
    }
}

#[test]
fn a_newcomer_learns_then_votes_and_a_removed_member_stops_for_good() {
    let mut cluster = Cluster::start(3);
    let token = lobby(&cluster.url(1));
    write(&cluster.url(1), &token, (0..20).map(|n| n.to_string()));
    cluster.grow(4);
    cluster.spawn_with(4, &["--join", &cluster.url(1)]);
    let learner = until("node 4 has caught up as a learner", || {
        let member = member(&view(&cluster), 4);
        (member["standing"] == "learner" && member["behind"] == 0).then_some(member)
    });
    assert_eq!((&learner["address"], &learner["replaces"]), (&json!(cluster.url(4)), &Value::Null));
    assert_eq!(texts(&history(&cluster.url(4), &token, "lobby")).len(), 20);

    // Four vote with the fourth; asking for five takes it in, and the next one who comes.
    let asked = operate(&cluster, &["add", "--voters", "5"]);
    assert_eq!(done(&asked), "4 of 5 vote: 1, 2, 3, 4; whoever joins next will vote, too");
    cluster.grow(5);
    cluster.spawn_with(5, &["--join", &cluster.url(1)]);
    until("node 5 votes by itself", || (voters(&view(&cluster)) == [1, 2, 3, 4, 5]).then_some(()));
    assert_eq!(done(&operate(&cluster, &["add", "4"])), "node 4 votes; voters: 1, 2, 3, 4, 5", "it is so already");

    let page = say(node().arg("status").args(cluster.servers()));
    for word in ["standing", "voter", "succession ring", "quorum ms", "round trips in ms"] {
        until("the table is complete", || {
            let page = say(node().arg("status").args(cluster.servers()));
            page.out.contains(word).then_some(())
        });
    }
    assert!(page.out.lines().all(|line| line.chars().count() <= 80), "{}", page.out);

    let gone = if cluster.leader() == 2 { 3 } else { 2 };
    let removed = operate(&cluster, &["remove", &gone.to_string()]);
    assert!(done(&removed).starts_with(&format!("node {gone} is no member any more; voters: 1, ")), "{}", removed.out);
    assert_eq!(cluster.ended(gone).code(), Some(3));
    assert!(cluster.log(gone).contains("was removed from the cluster"), "{}", cluster.log(gone));
    assert_eq!(done(&operate(&cluster, &["remove", &gone.to_string()])), removed.out.trim_end(), "it is so already");
    // Its folder is of no more use, and says so.
    cluster.kill(gone);
    let before = cluster.log(gone).len();
    cluster.spawn(gone);
    assert_eq!(cluster.ended(gone).code(), Some(3));
    let log = cluster.log(gone)[before..].to_owned();
    assert!(log.contains("was removed from the cluster") && log.contains("node serve --join"), "{log}");
    cluster.kill(gone);
    write(&cluster.url(1), &token, ["after".to_owned()]);
}

#[test]
fn a_lost_node_is_replaced_in_one_command_and_every_message_is_there() {
    let mut cluster = Cluster::start(3);
    let token = lobby(&cluster.url(1));
    write(&cluster.url(1), &token, (0..50).map(|n| n.to_string()));
    let lost = cluster.leader();
    let other = lost % 3 + 1;
    cluster.kill(lost);
    fs::remove_dir_all(cluster.data(lost)).unwrap();
    cluster.ready(other);
    cluster.grow(4);
    cluster.spawn_with(4, &["--join", &cluster.url(other), "--replace", &lost.to_string()]);
    let expected: Vec<u64> = (1..=4).filter(|node| *node != u64::from(lost)).collect();
    until("node 4 votes in the place of the lost one", || (voters(&view(&cluster)) == expected).then_some(()));
    assert_eq!(member(&view(&cluster), lost), Value::Null);
    cluster.ready(4);
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(texts(&history(&cluster.url(4), &token, "lobby")), expected);

    // From here on the folder is all that it needs, and joining again does no harm.
    for again in [&[][..], &["--join", &cluster.url(other), "--replace", &lost.to_string()]] {
        cluster.kill(4);
        cluster.spawn_with(4, again);
        cluster.ready(4);
        assert_eq!(view(&cluster)["nodes"].as_array().unwrap().len(), 3);
    }
    // Without its store it must not come back.
    cluster.kill(4);
    fs::remove_dir_all(cluster.data(4).join("store")).unwrap();
    cluster.spawn_with(4, &[]);
    assert_eq!(cluster.ended(4).code(), Some(1));
    assert!(cluster.log(4).contains("its store is gone") && cluster.log(4).contains("--replace 4"), "{}", cluster.log(4));
}

#[test]
fn leadership_goes_where_an_operator_sends_it_and_orders_of_succession_are_kept() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let (next, after) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    assert_eq!(done(&operate(&cluster, &["transfer", &next.to_string()])), format!("node {next} leads"));
    assert_eq!(cluster.leader(), next);
    let policy = format!("fixed:{next},{leader},{after}");
    let order = done(&operate(&cluster, &["succession", &policy])).to_owned();
    assert!(order.starts_with(&format!("succession is {policy}; next leaders: ")), "{order}");
    until("every node knows the policy", || {
        let knows = |node| get(&cluster.url(node), "/api/v1/cluster", None).json["policy"] == policy;
        (1..=3).all(knows).then_some(())
    });
    let nobody = operate(&cluster, &["transfer", "9"]);
    assert!(!nobody.status.success() && nobody.err.contains("node 9 does not vote"), "{}", nobody.err);
    let nobody = operate(&cluster, &["remove", "9"]);
    assert!(!nobody.status.success() && nobody.err.contains("there is no member 9"), "{}", nobody.err);

    let wrong = cluster.dir.path().join("wrong");
    fs::write(&wrong, "a5".repeat(32)).unwrap();
    let refused = say(node().args(["remove", "1"]).args(cluster.servers()).arg("--secret-file").arg(&wrong));
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.err.contains("not this cluster's secret"), "{}", refused.err);
    assert_eq!(voters(&view(&cluster)), [1, 2, 3]);
    let bare = post(&cluster.url(1), "/api/v1/cluster/transfer", None, None, &json!({"to": 1}));
    assert_eq!((bare.status, &bare.json["type"]), (401, &json!("urn:tertulia:operator-unknown")));
    stranger_cannot_join(&cluster, &wrong);
}

fn stranger_cannot_join(cluster: &Cluster, secret: &Path) {
    let base = free_base(1);
    let mut command = node();
    command.args(["serve", "--join", &cluster.url(1), "--listen", &format!("127.0.0.1:{base}")]);
    command.args(["--peer-listen", &format!("127.0.0.1:{}", base + 1_000)]);
    let said = say(command.arg("--data").arg(cluster.dir.path().join("stranger")).arg("--secret-file").arg(secret));
    assert_eq!(said.status.code(), Some(1));
    assert!(said.err.contains("cannot join: this is not this cluster's secret"), "{}", said.err);
}

#[test]
fn without_a_majority_an_operator_is_told_that_it_is_not_done() {
    let mut cluster = Cluster::start(3);
    (2..=3).for_each(|node| cluster.kill(node));
    let said = operate(&cluster, &["remove", "3", "--patience", "2s"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(said.err.contains("not done within 2s") && said.out.is_empty(), "{}{}", said.out, said.err);
}

#[test]
fn a_writer_sees_no_error_while_the_leader_is_asked_to_stop() {
    let mut cluster = Cluster::start(3);
    let token = lobby(&cluster.url(1));
    let leader = cluster.leader();
    let url = cluster.url(leader % 3 + 1);
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (url, token, stop) = (url.clone(), token.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                write(&url, &token, [written.to_string()]);
                written += 1;
            }
            written
        })
    };
    let seen = || texts(&history(&url, &token, "lobby")).len();
    until("the writer is at work", || (seen() > 50).then_some(()));
    signal(cluster.pid(leader), "TERM");
    assert!(cluster.ended(leader).success());
    cluster.kill(leader);
    let before = seen();
    until("the writer goes on", || (seen() > before + 50).then_some(()));
    stop.store(true, Ordering::Relaxed);
    let written: usize = writer.join().unwrap();
    assert_eq!(texts(&history(&url, &token, "lobby")), (0..written).map(|n| n.to_string()).collect::<Vec<_>>());
    // It was handed over: nobody had to notice a silence.
    let term = get(&url, "/api/v1/cluster", None).json["term"].as_u64().unwrap();
    assert!(term >= 2, "{term}");
}

#[test]
fn all_three_nodes_are_replaced_one_by_one_under_a_running_send() {
    let mut cluster = Cluster::start(3);
    cluster.grow(6);
    let mut command = node();
    command.args(["send", "--name", "ana"]).args(cluster.servers()).arg("lobby");
    let mut send = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let output = BufReader::new(send.stdout.take().unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writer = lines_until(stop.clone(), send.stdin.take().unwrap());
    let reader = std::thread::spawn(move || output.lines().map(|line| line.unwrap()).collect::<Vec<_>>());
    for old in 1..=3 {
        let new = old + 3;
        let servers: Vec<String> = (old..new).map(|node| cluster.url(node)).collect();
        cluster.spawn_with(new, &["--join", &servers.join(","), "--replace", &old.to_string()]);
        let expected: Vec<u64> = (u64::from(old) + 1..=u64::from(new)).collect();
        until(&format!("node {new} votes in the place of node {old}"), || (voters(&view(&cluster)) == expected).then_some(()));
        assert_eq!(cluster.ended(old).code(), Some(3), "{}", cluster.log(old));
        cluster.kill(old);
        cluster.ready(new);
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.join().unwrap();
    assert!(ended(&mut send).success());
    let acknowledged = reader.join().unwrap();
    assert_eq!(acknowledged.len(), written);
    let expected: Vec<String> = (0..written).map(|n| format!("line {n}")).collect();
    let token = lobby(&cluster.url(4));
    for node in 4..=6 {
        assert_eq!(texts(&history(&cluster.url(node), &token, "lobby")), expected, "node {node}");
    }
}

fn lines_until(stop: Arc<AtomicBool>, mut input: ChildStdin) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut written = 0;
        while !stop.load(Ordering::Relaxed) {
            writeln!(input, "line {written}").unwrap();
            written += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        written
    })
}
