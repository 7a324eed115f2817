//! `node demo` and its control, with real processes: who may call it, what it does to nodes, and what its counter says when a leader is killed under load.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use support::*;

/// What a node says of itself.
fn vitals(demo: &Demo, node: u16) -> Value {
    get(&demo.nodes[usize::from(node) - 1].1, "/api/v1/cluster/vitals", None).json
}

/// The leader that these nodes agree on.
fn leader(demo: &Demo, of: &[u16]) -> u16 {
    until(&format!("nodes {of:?} agree on a leader"), || {
        let first = vitals(demo, of[0])["leader"].as_u64()?;
        of.iter().all(|node| vitals(demo, *node)["leader"] == first).then_some(first as u16)
    })
}

fn events(control: &Control) -> Vec<String> {
    control.state()["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap().into()).collect()
}

/// One GET by hand, with these headers: the answer's head.
fn head(url: &str, path: &str, headers: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let lines = BufReader::new(stream).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n").to_lowercase()
}

#[test]
fn the_control_wants_its_key_and_no_page_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    assert_eq!(control.key.len(), 64);
    assert!(control.url.starts_with("http://127.0.0.1:"), "{}", control.url);
    assert_eq!(control.state()["nodes"].as_array().unwrap().len(), 3);

    // Without the key nothing is shown and nothing is done.
    let wrong = Control { url: control.url.clone(), key: "0".repeat(64) };
    for (method, path) in [("GET", ""), ("GET", "/stream"), ("POST", "/nodes/1/kill"), ("PUT", "/load"), ("GET", "/nothing")] {
        let answer = wrong.call(method, path, &json!({"per_second": 5}));
        assert_eq!((answer.status, answer.json["type"].as_str()), (401, Some("urn:tertulia:control-key")), "{method} {path}");
    }
    assert_eq!(get(&control.url, "/api/v1/demo", None).status, 401);
    assert!(lives(demo.nodes[0].2));

    // With it, too, not for a page that none of the nodes serves.
    let with_key = format!("Authorization: Bearer {}\r\n", control.key);
    let own = demo.nodes[1].1.clone();
    let strange = head(&control.url, "/api/v1/demo", &format!("Origin: http://evil.example\r\n{with_key}"));
    assert!(strange.starts_with("http/1.1 403") && !strange.contains("access-control"), "{strange}");
    let page = head(&control.url, "/api/v1/demo", &format!("Origin: {own}\r\n{with_key}"));
    assert!(page.starts_with("http/1.1 200") && page.contains(&format!("access-control-allow-origin: {own}")), "{page}");

    // What it does to nodes goes by their own gate, with the same key, and never from a page.
    let gate = |token: &str| get(&own, "/api/v1/demo/faults", Some(token)).status;
    assert_eq!((gate(&control.key), gate(&wrong.key)), (200, 401));
    assert!(head(&own, "/api/v1/demo/faults", &format!("Origin: {own}\r\n{with_key}")).starts_with("http/1.1 403"));

    // The page may call the control, and nothing else beside the members.
    let page = head(&own, "/cluster", "");
    let policy = page.lines().find(|line| line.starts_with("content-security-policy")).unwrap();
    let connects = policy.split("connect-src").nth(1).unwrap().split(';').next().unwrap();
    assert!(connects.contains(&control.url) && !connects.contains('*') && !policy.contains("unsafe"), "{policy}");

    // Mistakes are problems.
    for (method, path, body, status) in [
        ("POST", "/nodes/9/kill", Value::Null, 404),
        ("POST", "/nodes/1/explode", Value::Null, 404),
        ("PUT", "/nodes/1/disk", json!({"delay_ms": 2_001}), 400),
        ("PUT", "/load", json!({"per_second": 501}), 400),
        ("POST", "/cut", json!({}), 400),
        ("POST", "/cut", json!({"groups": [[1, 2], [2]]}), 400),
        ("POST", "/cut", json!({"links": [[3, 3]]}), 400),
        ("POST", "/cut", json!({"gropus": [[1]]}), 400),
    ] {
        let answer = control.call(method, path, &body);
        assert_eq!((answer.status, answer.json["status"].as_u64()), (status, Some(u64::from(status))), "{method} {path} {body}");
    }
}

#[test]
fn a_node_is_killed_paused_and_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    demo.all_ready();
    let pid = demo.nodes[2].2;

    let state = control.done("POST", "/nodes/3/pause", &Value::Null);
    assert_eq!(state["nodes"][2]["state"], "paused");
    until("the process stands still", || {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ").then_some(())
    });
    control.done("POST", "/nodes/3/resume", &Value::Null);
    leader(&demo, &[1, 2, 3]);

    let state = control.done("POST", "/nodes/3/kill", &Value::Null);
    assert_eq!(state["nodes"][2]["state"], "ended");
    assert!(!lives(pid), "it is dead when the answer comes");
    assert!(demo.line_beginning("node 3").contains("was killed (SIGKILL)"));
    assert_eq!(control.call("POST", "/nodes/3/kill", &Value::Null).status, 409, "who is dead cannot be killed");

    control.done("POST", "/nodes/3/restart", &Value::Null);
    demo.nodes[2] = parse(&demo.line_beginning("node 3  "));
    assert_ne!(demo.nodes[2].2, pid);
    leader(&demo, &[1, 2, 3]);
    assert_eq!(control.node(3)["state"], "running");

    // Somebody from outside is noticed as well.
    signal(demo.nodes[0].2, "KILL");
    until("the control knows that node 1 has ended", || (control.node(1)["state"] == "ended").then_some(()));
    let events = events(&control);
    for told in ["node 3 is paused", "node 3 goes on", "node 3 killed", "node 3 started again", "node 1 was killed (SIGKILL)"] {
        assert!(events.iter().any(|event| event == told), "{told}: {events:?}");
    }
}

#[test]
fn several_cuts_hold_at_once_and_over_a_restart_and_end_when_they_are_healed() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(5), &["--nodes", "5"]);
    let control = demo.control();
    demo.all_ready();

    let state = control.done("POST", "/cut", &json!({"groups": [[1, 2]]}));
    assert_eq!(state["cuts"], json!([[1, 3], [1, 4], [1, 5], [2, 3], [2, 4], [2, 5]]));
    assert_eq!(vitals(&demo, 1)["vitals"]["faults"]["cut"], json!([3, 4, 5]), "the node has it when the answer comes");
    until("the larger side elects one of its own", || (leader(&demo, &[3, 4, 5]) >= 3).then_some(()));
    until("the smaller side reaches no leader", || {
        [1, 2].iter().all(|node| vitals(&demo, *node)["leader"].is_null()).then_some(())
    });

    // One link more; and a node that is started again is as cut off as it was.
    control.done("POST", "/cut", &json!({"links": [[5, 3]]}));
    control.done("POST", "/nodes/2/restart", &Value::Null);
    until("node 2 answers", || vitals(&demo, 2)["vitals"].is_object().then_some(()));
    assert_eq!(vitals(&demo, 2)["vitals"]["faults"]["cut"], json!([3, 4, 5]));
    until("nodes 3 and 5 have no link", || {
        let reaches = |from: u16, to: usize| vitals(&demo, from)["nodes"][to - 1]["reachable"] == true;
        (!reaches(3, 5) && !reaches(5, 3) && reaches(3, 4)).then_some(())
    });

    // The two can be told to talk to the others again, one pair after the other.
    let state = control.done("POST", "/heal", &json!({"groups": [[1, 2]]}));
    assert_eq!(state["cuts"], json!([[3, 5]]));
    leader(&demo, &[1, 2, 4]);
    let state = control.done("POST", "/heal", &json!({}));
    assert_eq!(state["cuts"], json!([]));
    leader(&demo, &[1, 2, 3, 4, 5]);
    let events = events(&control);
    for told in ["cut 1 2 | 3 4 5", "cut 5-3", "healed 1 2 | 3 4 5", "all links healed"] {
        assert!(events.iter().any(|event| event == told), "{told}: {events:?}");
    }
}

#[test]
fn a_slow_disk_shows_and_a_leader_that_has_one_lets_another_lead() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    demo.all_ready();
    let slow = leader(&demo, &[1, 2, 3]);
    control.done("PUT", "/load", &json!({"per_second": 20}));
    until("the load is committed", || (control.load()["committed"].as_u64()? > 10).then_some(()));

    let state = control.done("PUT", &format!("/nodes/{slow}/disk"), &json!({"delay_ms": 1_500}));
    assert_eq!(state["nodes"][usize::from(slow) - 1]["disk_delay_ms"], 1_500);
    until("its writes take so long", || {
        (vitals(&demo, slow)["vitals"]["sync"]["longest_us"].as_u64()? >= 1_500_000).then_some(())
    });
    let others: Vec<u16> = (1..=3).filter(|node| *node != slow).collect();
    until("another one leads", || (leader(&demo, &others) != slow).then_some(()));

    control.done("PUT", &format!("/nodes/{slow}/disk"), &json!({"delay_ms": 0}));
    let before = control.load()["committed"].as_u64().unwrap();
    until("all goes on", || (control.load()["committed"].as_u64()? > before + 20).then_some(()));
    assert_eq!((&control.load()["lost"], &control.load()["violations"]), (&json!(0), &json!(0)));
}

#[test]
fn when_the_leader_is_killed_under_load_nothing_is_lost_or_doubled_and_all_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    demo.all_ready();
    control.done("PUT", "/load", &json!({"per_second": 50}));
    let committed = |more_than: u64| {
        until(&format!("more than {more_than} are committed: {}", control.load()), || {
            control.load()["committed"].as_u64().filter(|committed| *committed > more_than)
        })
    };
    committed(50);

    for _ in 0..2 {
        let before = control.load()["committed"].as_u64().unwrap();
        let killed = leader(&demo, &[1, 2, 3]);
        control.done("POST", &format!("/nodes/{killed}/kill"), &Value::Null);
        committed(before + 100);
        control.done("POST", &format!("/nodes/{killed}/restart"), &Value::Null);
        leader(&demo, &[1, 2, 3]);
    }
    // Also one side without a majority, and a node that stands still.
    let paused = leader(&demo, &[1, 2, 3]);
    control.done("POST", &format!("/nodes/{paused}/pause"), &Value::Null);
    committed(control.load()["committed"].as_u64().unwrap() + 50);
    control.done("POST", &format!("/nodes/{paused}/resume"), &Value::Null);

    control.done("PUT", "/load", &json!({"per_second": 0}));
    let load = until("everything has its place, and was read back", || {
        let load = control.load();
        (load["open"] == 0 && load["read_back"] == load["committed"]).then_some(load)
    });
    assert!(load["sent"].as_u64().unwrap() > 250, "{load}");
    assert_eq!(load["committed"], load["sent"], "{load}");
    for wrong in ["lost", "doubled", "reordered", "violations", "refused", "unknown"] {
        assert_eq!(load[wrong], 0, "{wrong}: {load}");
    }
    assert_eq!(load["trouble"], Value::Null, "{load}");
    assert!(load["delivered"].as_u64() > load["sent"].as_u64() && load["reads"].as_u64().unwrap() > 0, "{load}");

    // It goes on, and the figures with it.
    control.done("PUT", "/load", &json!({"per_second": 50}));
    committed(load["committed"].as_u64().unwrap() + 20);
}

#[test]
fn the_load_stops_when_nobody_looks_any_more_and_goes_on_when_somebody_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    let look = || Stream::open(&control.url, "/api/v1/demo/stream", &format!("Authorization: Bearer {}\r\n", control.key));
    let mut first = look();
    control.done("PUT", "/load", &json!({"per_second": 5}));
    assert!(first.next_with("load")["load"]["per_second"].is_u64());
    drop(first);
    until("it stops", || (control.load()["per_second"] == 0).then_some(()));
    assert!(events(&control).iter().any(|text| text == "the load stops"));
    let _second = look();
    until("it goes on", || (control.load()["per_second"] == 5).then_some(()));
}

/// The JSON of one event of a stream after the other.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(url: &str, path: &str, more: &str) -> Stream {
        let address = url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n").unwrap();
        Stream(BufReader::new(stream))
    }

    /// The next event that has this field.
    fn next_with(&mut self, field: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data.trim_end()).unwrap();
                if event.get(field).is_some() {
                    return event;
                }
            }
        }
    }
}

#[test]
fn streams_tell_everything_once_and_then_what_changes() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(dir.path(), free_base(3), &[]);
    let control = demo.control();
    demo.all_ready();
    let dies = leader(&demo, &[1, 2, 3]);
    let stays = if dies == 1 { 2 } else { 1 };

    let mut stream = Stream::open(&demo.nodes[stays - 1].1, "/api/v1/cluster/stream", "");
    let first = stream.next_with("vitals");
    assert_eq!((&first["leader"], &first["node"]), (&json!(dies), &json!(stays)));
    assert!(
        first["vitals"]["disk"]["log"].as_u64().unwrap() > 0 && first["vitals"]["disk"]["free"].as_u64().unwrap() > 0,
        "{first}"
    );

    let authorization = format!("Authorization: Bearer {}\r\n", control.key);
    let mut control_stream = Stream::open(&control.url, "/api/v1/demo/stream", &authorization);
    let whole = control_stream.next_with("load");
    assert!(whole["nodes"].is_array() && whole["cuts"].is_array(), "{whole}");

    control.done("POST", &format!("/nodes/{dies}/kill"), &Value::Null);
    let told = control_stream.next_with("nodes");
    assert_eq!(told["nodes"][usize::from(dies) - 1]["state"], "ended");
    assert!(told.get("cuts").is_none(), "only what has changed: {told}");
    loop {
        let change = stream.next_with("leader");
        assert!(change.get("policy").is_none(), "only what has changed: {change}");
        if let Some(leader) = change["leader"].as_u64() {
            assert_ne!(leader, u64::from(dies));
            break;
        }
    }
}
