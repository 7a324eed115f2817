//! The load generator against real clusters.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use support::*;

/// `node bench` against these nodes.
fn bench(cluster: &Cluster, nodes: &[u16], more: &[&str]) -> Command {
    let addresses: Vec<String> = nodes.iter().map(|node| cluster.url(*node).replace("http://", "")).collect();
    let mut command = node();
    command.args(["bench", "--connect", &addresses.join(","), "--json"]).args(more).stdout(Stdio::null());
    command
}

fn report(said: &Said) -> Value {
    assert!(said.status.success(), "{}", said.err);
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn what_the_bench_counts_is_in_the_rooms() {
    let cluster = Cluster::start(3);
    let load = ["--writers", "8", "--size", "100", "--seconds", "1", "--warmup", "100ms"];
    let report = report(&say(&mut bench(&cluster, &[1, 2, 3], &load)));
    let acks = report["acks"].as_u64().unwrap();
    assert!(acks > 0 && report["acks_per_s"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["errors"], 0, "{report}");
    let of = |key: &str| report[key].as_f64().unwrap();
    assert!(of("p50_ms") > 0.0 && of("p50_ms") <= of("p99_ms") && of("p99_ms") <= of("p999_ms"), "{report}");
    assert!(of("p999_ms") <= of("max_ms") && of("longest_gap_ms") > 0.0, "{report}");
    let messages = posted(&cluster, 2);
    assert!(messages >= acks, "{messages} messages, {report}");
}

#[test]
fn the_writer_goes_on_elsewhere_when_its_server_is_paused_and_when_the_next_one_dies() {
    let mut cluster = Cluster::start(3);
    let (first, second, third) = (1, 2, 3);
    let load = ["--writers", "1", "--seconds", "120", "--warmup", "0s"];
    let mut bench = Ends(bench(&cluster, &[first, second, third], &load).spawn().unwrap());
    let grows = |at: u16| {
        let before = posted(&cluster, at);
        until("the room grows", || (posted(&cluster, at) > before + 10).then_some(()));
    };
    grows(second);
    // A paused process keeps its sockets open: only its silence tells.
    signal(cluster.pid(first), "STOP");
    grows(second);
    signal(cluster.pid(first), "CONT");
    cluster.ready(first);
    cluster.kill(second);
    let before = posted(&cluster, third);
    until("the room grows again", || (posted(&cluster, third) > before + 10).then_some(()));
    assert!(bench.0.try_wait().unwrap().is_none(), "the bench goes on");
}

/// Messages in the first room, as a node sees it; 0 as long as it cannot say.
fn posted(cluster: &Cluster, node: u16) -> u64 {
    let session = post(&cluster.url(node), "/api/v1/sessions", None, None, &json!({"name": "ana"}));
    let Some(token) = session.json["token"].as_str() else { return 0 };
    post(&cluster.url(node), "/api/v1/rooms/bench-1/join", Some(token), None, &Value::Null);
    let path = "/api/v1/rooms/bench-1/messages?before=9007199254740991&limit=1";
    get(&cluster.url(node), path, Some(token)).json["messages"][0]["seq"].as_u64().unwrap_or(0)
}

/// A process that ends with its test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_bench_that_reaches_nothing_says_where_it_tried() {
    let base = free_base(2);
    let said = say(node().args(["bench", "--connect", &format!("127.0.0.1:{base},127.0.0.1:{}", base + 1)]));
    assert!(!said.status.success());
    assert!(said.out.is_empty(), "{}", said.out);
    for part in ["no server answers", "--connect", "node demo", &format!("127.0.0.1:{base}"), &format!("127.0.0.1:{}", base + 1)]
    {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, says) in [
        (&["--writers", "0"][..], "--writers"),
        (&["--size", "5000"], "1..=4096"),
        (&["--seconds", "0"], "--seconds"),
        (&["--rooms", "0"], "--rooms"),
        (&["--warmup", "soon"], "90s"),
        (&["--connect", "nowhere"], "HOST:PORT"),
        (&["--connect", "https://127.0.0.1:8081"], "HOST:PORT"),
    ] {
        let said = say(node().arg("bench").args(arguments));
        assert_eq!(said.status.code(), Some(2), "{arguments:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}
