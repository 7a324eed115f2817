//! A node that reaches no leader hangs on nobody: whatever would change something is accepted, or refused with when to ask again.
//!
//! Which requests there are is taken from the node's own description of its API, so that none is forgotten.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "a test that says how long things took has no other clock")]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::*;
use tertulia_protocol::wire::handshake::{OperatorRequest, Secret};

/// Requests are held half a second. This is for a machine that has much else to do, and far below the ten seconds after which any request is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// A path with its parameters.
fn filled(path: &str) -> String {
    let names = [
        ("{room}", "lobby"),
        ("{user}", "ben"),
        ("{seq}", "1"),
        ("{emoji}", "wave"),
        ("{code}", "c0de"),
        ("{session}", "current"),
        ("{id}", "2"),
    ];
    let path = names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
    assert!(!path.contains('{'), "what stands for the parameter of {path}?");
    path
}

/// A body that is right, so that nothing but the leader is missing.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("post", "/api/v1/sessions") => json!({"name": "cleo"}),
        ("patch", "/api/v1/me") => json!({"display_name": "Ana"}),
        ("put", "/api/v1/me/device") => json!({"name": "laptop"}),
        ("put", "/api/v1/me/password") => json!({"old": "correct horse", "new": "battery staple"}),
        ("post", "/api/v1/rooms") => json!({"name": "new"}),
        ("patch", "/api/v1/rooms/{room}") => json!({"topic": "new"}),
        ("patch", "/api/v1/rooms/{room}/members/{user}") => json!({"role": "moderator"}),
        ("post", "/api/v1/rooms/{room}/messages") | ("patch", "/api/v1/rooms/{room}/messages/{seq}") => json!({"text": "new"}),
        ("put", "/api/v1/rooms/{room}/read") => json!({"seq": 1}),
        ("put", "/api/v1/settings" | "/api/v1/cluster/settings") => json!({"sign_in": "open"}),
        ("post", "/api/v1/cluster/members") => {
            json!({"peer_address": "127.0.0.1:9", "client_address": "http://127.0.0.1:9", "incarnation": "ab".repeat(16)})
        }
        ("put", "/api/v1/cluster/voters") => json!({"count": 3}),
        ("post", "/api/v1/cluster/transfer") => json!({"to": 2}),
        ("put", "/api/v1/cluster/succession") => json!({"policy": "ring"}),
        _ => Value::Null,
    }
}

fn operator(method: &str, path: &str, body: &str) -> String {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (secret, nonce) = (Secret::new(&[0x5a; 32]).unwrap(), rand::random::<[u8; 16]>());
    let mac = secret.operator_mac(&OperatorRequest { method, path, time, nonce: &nonce, body: body.as_bytes() });
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("Tertulia time={time}, nonce={}, mac={}", hex(&nonce), hex(&mac))
}

#[test]
fn whatever_changes_something_is_accepted_or_refused_at_once_without_a_leader() {
    let mut cluster = Cluster::start(3);
    let url = cluster.url(1);
    let (ana, ben) = (sign_in(&url, "ana"), sign_in(&url, "ben"));
    assert_eq!(post(&url, "/api/v1/rooms", Some(&ana), None, &json!({"name": "lobby"})).status, 201);
    assert_eq!(call("POST", &format!("{url}/api/v1/rooms/lobby/join"), &ben, &Value::Null).status, 200);
    commit(&url, &ana, "the first");
    let description = get(&url, "/openapi.json", None).json;
    let applied = |node| get(&cluster.url(node), "/api/v1/cluster", None).json["applied"].as_u64();
    until("all nodes are where the others are", || (applied(1) == applied(2) && applied(2) == applied(3)).then_some(()));
    cluster.kill(2);
    cluster.kill(3);
    until("the last node has no leader", || get(&url, "/api/v1/cluster", None).json["leader"].is_null().then_some(()));

    let (mut asked, mut accepted, mut slowest) = (0, Vec::new(), (Duration::ZERO, String::new()));
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(method, _)| *method != "get") {
            let (name, body, target) = (format!("{method} {path}"), body(method, path), filled(path));
            let needs_body = operation["requestBody"]["required"] == true;
            assert!(!needs_body || body.is_object(), "what is a right body of {name}?");
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let proof = match operation["security"][0].get("operator") {
                Some(_) => operator(&method.to_uppercase(), &target, &text),
                None => format!("Bearer {ana}"),
            };
            let began = Instant::now();
            let answered = ask(&method.to_uppercase(), &format!("{url}{target}"), &proof, text);
            let took = began.elapsed();
            asked += 1;
            slowest = slowest.max((took, name.clone()));
            match answered.status().as_u16() {
                202 => accepted.push(name.clone()),
                // A hint to those who look on now: nothing is changed.
                200 if path.ends_with("/typing") => {}
                503 => assert!(answered.headers().contains_key("retry-after"), "{name}: {answered:?}"),
                _ => panic!("{name} is answered {answered:?}"),
            }
            assert!(took < PATIENCE, "{name} took {took:?}");
        }
    }
    println!("{asked} requests, {} of them accepted, the slowest, {}, answered after {:?}", accepted.len(), slowest.1, slowest.0);
    assert!(asked > 40, "there are more routes than {asked}");
    let messages = |name: &&String| name.contains("/messages") || name.contains("/pins") || name.ends_with("/read");
    assert_eq!(accepted.iter().filter(messages).count(), accepted.len(), "{accepted:?}");
    assert_eq!(accepted.len(), 8, "posts, edits, deletions, reactions, pins and read marks wait here: {accepted:?}");
}

/// Killed with everything that it had not been told to keep, and with nobody to ask: what it had shown it shows again.
#[test]
fn a_node_that_comes_back_alone_after_a_kill_shows_what_it_has_and_goes_on_accepting() {
    let mut cluster = Cluster::start(3);
    let url = cluster.url(1);
    let ana = sign_in(&url, "ana");
    assert_eq!(post(&url, "/api/v1/rooms", Some(&ana), None, &json!({"name": "lobby"})).status, 201);
    commit(&url, &ana, "committed");
    let path = "/api/v1/rooms/lobby/messages";
    cluster.kill(3);
    // What a node applied is on its disk as rows about a second later; how long that is on a busy machine, nobody knows.
    let alone = |cluster: &mut Cluster| {
        cluster.kill(2);
        cluster.kill(1);
        cluster.spawn(1);
        until("it answers", || (get(&url, "/healthz", None).status == 200).then_some(()));
        get(&url, path, Some(&ana))
    };
    let seen = until("it shows what it has applied", || {
        std::thread::sleep(Duration::from_secs(1));
        let seen = alone(&mut cluster);
        if seen.status == 200 {
            return Some(seen);
        }
        cluster.spawn(2);
        until("there is a leader again", || (get(&url, path, Some(&ana)).status == 200).then_some(()));
        None
    });
    assert_eq!(seen.json["messages"][0]["text"], json!("committed"), "{seen:?}");
    let settings = get(&url, "/api/v1/settings", None);
    assert_eq!((settings.status, &settings.json["sign_in"]), (200, &json!("open")), "{settings:?}");

    let waits = post(&url, path, Some(&ana), Some("the-key"), &json!({"text": "waits"}));
    assert_eq!(waits.status, 202, "{waits:?}");
    assert_eq!(alone(&mut cluster).status, 200);
    let tentative = get(&url, "/api/v1/rooms/lobby/tentative", Some(&ana));
    assert_eq!(tentative.json["messages"][0]["text"], json!("waits"), "{tentative:?}");
    let again = post(&url, path, Some(&ana), Some("the-key"), &json!({"text": "waits"}));
    assert_eq!((again.status, &again.json["id"]), (202, &waits.json["id"]), "{again:?}");
    let more = post(&url, path, Some(&ana), None, &json!({"text": "more"}));
    assert_eq!(more.status, 202, "{more:?}");
    cluster.spawn(2);
    until("all has its place", || (texts(&history(&url, &ana, "lobby")) == ["committed", "waits", "more"]).then_some(()));
}

fn ask(method: &str, url: &str, authorization: &str, body: String) -> ureq::http::Response<ureq::Body> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(LIMIT)).build().into();
    let request = ureq::http::Request::builder().method(method).uri(url).header("authorization", authorization);
    if body.is_empty() {
        return agent.run(request.body(()).unwrap()).unwrap();
    }
    agent.run(request.header("content-type", "application/json").body(body).unwrap()).unwrap()
}
