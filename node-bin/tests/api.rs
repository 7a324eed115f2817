//! Every line of docs/API.md, against three real nodes.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

#[path = "support/schema.rs"]
mod schema;
mod support;

use schema::Description;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::*;
use tungstenite::client::IntoClientRequest;

const DOCUMENT: &str = include_str!("../../docs/API.md");

/// One `curl` line of the document, and what it says is answered. Or what is done to the nodes before the next ones.
struct Example {
    line: usize,
    call: String,
    answer: String,
    /// Variable and field.
    keep: Vec<(String, String)>,
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (line, text) in DOCUMENT.lines().enumerate() {
        if text.starts_with("```") {
            inside = text == "```console";
        } else if !inside {
        } else if let Some(call) = text.strip_prefix("$ curl ") {
            let (call, answer, keep) = (call.into(), String::new(), Vec::new());
            examples.push(Example { line: line + 1, call, answer, keep });
        } else if let Some(signal) = text.strip_prefix("$ kill -") {
            let call = signal.strip_suffix(" $OTHERS").unwrap().to_owned();
            examples.push(Example { line: line + 1, call, answer: "signal".into(), keep: Vec::new() });
        } else if let Some(keep) = text.strip_prefix("# ") {
            let (variable, field) = keep.split_once(" = ").unwrap();
            examples.last_mut().unwrap().keep.push((variable.into(), field.into()));
        } else {
            examples.last_mut().unwrap().answer = text.into();
        }
    }
    examples
}

/// Words as a shell cuts them, with its two kinds of quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), close) if open == close => quote = None,
            (None, ' ') => words.push(std::mem::take(&mut word)),
            _ => word.push(letter),
        }
    }
    words.push(word);
    words
}

#[derive(Debug)]
struct Call {
    method: String,
    url: String,
    headers: Vec<String>,
    body: Option<String>,
}

fn call_of(line: &str) -> Call {
    let mut call = Call { method: String::new(), url: String::new(), headers: Vec::new(), body: None };
    let mut words = words(line).into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-X" => call.method = words.next().unwrap(),
            "-H" => call.headers.push(words.next().unwrap()),
            "--oauth2-bearer" => call.headers.push(format!("Authorization: Bearer {}", words.next().unwrap())),
            "--json" => {
                call.headers.push("Content-Type: application/json".into());
                call.body = Some(words.next().unwrap());
            }
            _ if word.starts_with('-') => panic!("curl's option {word} is not known here"),
            _ => call.url = word,
        }
    }
    if call.method.is_empty() {
        call.method = if call.body.is_some() { "POST" } else { "GET" }.into();
    }
    call
}

/// Status, content type and body. HTTP/1.0: the answer ends with the connection.
fn perform(call: &Call) -> (u16, String, String) {
    let (host, path) = call.url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let body = call.body.clone().unwrap_or_default();
    let headers: String = call.headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    let text = format!("{} /{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}", call.method);
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let kind = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
    });
    (head.split(' ').nth(1).unwrap().parse().unwrap(), kind.unwrap_or_default(), body.into())
}

/// What the node says that it answers.
fn description(url: &str) -> Description {
    Description(get(url, "/openapi.json", None).json)
}

/// Whether an answer is what the document shows; `"…"` stands for anything.
fn is_like(shown: &Value, found: &Value) -> bool {
    match (shown, found) {
        (Value::String(text), _) if text == "…" => true,
        (Value::Object(shown), Value::Object(found)) => {
            let open = shown.contains_key("…");
            shown.iter().all(|(name, value)| name == "…" || found.get(name).is_some_and(|found| is_like(value, found)))
                && (open || found.keys().all(|name| shown.contains_key(name)))
        }
        (Value::Array(shown), Value::Array(found)) => {
            let open = shown.last().is_some_and(|last| last == "…");
            let shown = if open { &shown[..shown.len() - 1] } else { &shown[..] };
            (shown.len() == found.len() || (open && shown.len() <= found.len()))
                && shown.iter().zip(found).all(|(shown, found)| is_like(shown, found))
        }
        _ => shown == found,
    }
}

#[test]
fn the_stream_tells_every_kind_of_change_with_the_message_as_it_is_now() {
    let cluster = Cluster::start(1);
    let url = cluster.url(1);
    let (ana, ben) = (sign_in(&url, "ana"), sign_in(&url, "ben"));
    let ask = |method: &str, path: &str, token: &str, body: Value| {
        let answered = call(method, &format!("{url}/api/v1/{path}"), token, &body);
        assert!((200..300).contains(&answered.status), "{method} {path}: {answered:?}");
    };
    ask("POST", "rooms", &ana, json!({"name": "lobby"}));
    let mut request = (url.replace("http", "ws") + "/api/v1/stream").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {ana}").parse().unwrap());
    let socket = TcpStream::connect(("127.0.0.1", cluster.base)).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut stream = tungstenite::client(request, socket).unwrap().0;
    let described = description(&url);
    let mut frame = || -> Value {
        loop {
            if let tungstenite::Message::Text(text) = stream.read().unwrap() {
                let frame = serde_json::from_str(&text).unwrap();
                described.check(&json!({"$ref": "#/components/schemas/Frame"}), &frame, "").unwrap();
                return frame;
            }
        }
    };
    assert_eq!(frame()["type"], "following");
    ask("POST", "rooms/lobby/join", &ben, Value::Null);
    ask("POST", "rooms/lobby/messages", &ben, json!({"text": "hello @ana"}));
    ask("PATCH", "rooms/lobby/messages/1", &ben, json!({"text": "hello"}));
    ask("PUT", "rooms/lobby/messages/1/reactions/wave", &ana, Value::Null);
    ask("PUT", "rooms/lobby/pins/1", &ana, Value::Null);
    ask("PATCH", "rooms/lobby", &ana, json!({"topic": "greetings", "name": "hall", "rules": {"text_bytes": 99}}));
    ask("PATCH", "rooms/hall/members/ben", &ana, json!({"role": "moderator"}));
    ask("PUT", "rooms/hall/mutes/ben", &ana, json!({"minutes": 5}));
    ask("DELETE", "rooms/hall/messages/1", &ana, Value::Null);
    ask("DELETE", "rooms/hall/members/ben", &ana, Value::Null);
    ask("PUT", "rooms/hall/bans/ben", &ana, Value::Null);
    ask("PATCH", "rooms/hall", &ana, json!({"archived": true}));
    let (mut told, mut cursor) = (Vec::new(), 0);
    while told.last().is_none_or(|last| last != "archived") {
        let event = frame();
        let kind = event["type"].as_str().unwrap().to_owned();
        if let Some(place) = event["cursor"].as_u64() {
            assert!(place > cursor, "in order: {event}");
            cursor = place;
            match kind.as_str() {
                "message" => assert_eq!(event["message"]["text"], "hello @ana"),
                "edited" => assert_eq!(event["message"]["edited"].as_str().unwrap().len(), 24),
                "reacted" => assert_eq!(event["emoji"], "wave"),
                "deleted" => assert_eq!((&event["message"]["text"], &event["by_name"]), (&json!(""), &json!("ana"))),
                "muted" => assert_eq!(event["user_name"], "ben"),
                _ => {}
            }
            told.push(kind);
        } else {
            assert!(["notice", "presence", "typing"].contains(&kind.as_str()), "{event}");
        }
    }
    let changes = [
        "joined", "message", "edited", "reacted", "pinned", "topic", "renamed", "rules", "role", "muted", "deleted", "kicked",
        "banned", "archived",
    ];
    assert_eq!(told, changes);
}

#[test]
fn a_client_over_a_websocket_goes_on_at_another_node_with_the_session_that_http_opened() {
    let cluster = Cluster::start(3);
    let opened = post(&cluster.url(1), "/api/v1/sessions", None, None, &json!({"name": "ana"})).json;
    let token = opened["token"].as_str().unwrap();
    post(&cluster.url(1), "/api/v1/rooms", Some(token), None, &json!({"name": "lobby"}));
    let numbers: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&token[2 * at..2 * at + 2], 16).unwrap()).collect();
    let submit = json!({"Submit": {"identity": {"Number": 1}, "first_unacked": 1, "command": {"Post": {"room": {"Id": 1}, "text": "once"}}}});
    let mut outcomes = Vec::new();
    for node in [2, 3] {
        let request = (cluster.url(node).replace("http", "ws") + "/api/v1/client").into_client_request().unwrap();
        let socket = TcpStream::connect(("127.0.0.1", cluster.base + node - 1)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut line = tungstenite::client(request, socket).unwrap().0;
        // The answer to a request. Events may come before it.
        let mut told = None;
        let mut ask = |id: u64, ask: &Value, told: &mut Option<Value>| -> Value {
            line.send(tungstenite::Message::text(json!({"id": id, "ask": ask}).to_string())).unwrap();
            loop {
                let tungstenite::Message::Text(text) = line.read().unwrap() else { continue };
                let frame: Value = serde_json::from_str(&text).unwrap();
                if frame["reply"]["id"] == id {
                    return frame["reply"]["result"]["Ok"].clone();
                }
                if frame["shown"]["type"] == "message" {
                    *told = Some(frame);
                }
            }
        };
        let signed = ask(1, &json!({"SignIn": {"name": "ana", "token": numbers}}), &mut told);
        assert_eq!(signed["SignedIn"]["session"], opened["session"]);
        let following = ask(2, &json!({"FollowAll": {"after": [[1, 1]]}}), &mut told);
        assert_eq!(following["FollowingAll"]["cursors"][0][0], 1);
        outcomes.push(ask(3, &submit, &mut told));
        for id in 4..10_000 {
            ask(id, &json!("Ping"), &mut told);
            if told.is_some() {
                break;
            }
        }
        let told = told.unwrap();
        let id = &outcomes[0]["Done"]["Posted"]["id"];
        assert_eq!((&told["event"]["kind"]["Posted"]["id"], &told["shown"]["message"]["id"]), (id, id));
        assert_eq!(id.as_str().unwrap().len(), 32);
    }
    assert_eq!(outcomes[0], outcomes[1], "executed once, and answered from memory");
    assert_eq!(history(&cluster.url(1), token, "lobby").len(), 1);
}

/// `STOP`: leaves one node running, which is returned once it knows that it has no majority. `CONT`: all run, and have a leader.
fn signal_others(cluster: &Cluster, name: &str) -> Option<u16> {
    let view = |node: u16| get(&cluster.url(node), "/api/v1/cluster", None).json;
    let stop = name == "STOP";
    if stop {
        let applied = |node: u16| view(node)["applied"].as_u64();
        until("all nodes are where the others are", || (applied(1) == applied(2) && applied(2) == applied(3)).then_some(()));
    }
    for node in 2..=3 {
        signal(cluster.pid(node), name);
    }
    if !stop {
        (1..=3).for_each(|node| cluster.ready(node));
        return None;
    }
    Some(until("the last node has no leader", || view(1)["leader"].is_null().then_some(1)))
}

#[test]
fn every_line_of_the_document_is_answered_as_it_says() {
    let mut cluster = Cluster::prepare(3);
    let peers = cluster.peers();
    for node in 1..=3 {
        cluster.spawn_with(node, &["--id", &node.to_string(), "--peers", &peers, "--sign-in", "invite"]);
    }
    (1..=3).for_each(|node| cluster.ready(node));
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let (mut routes, mut wrong) = (BTreeSet::new(), Vec::new());
    let described = description(&cluster.url(1));
    let all = examples();
    assert!(all.len() > 100, "the document has {} examples", all.len());
    // The only node that still runs, while the document has stopped the others.
    let mut alone = None;
    for (nth, example) in all.iter().enumerate() {
        if example.answer == "signal" {
            alone = signal_others(&cluster, &example.call);
            continue;
        }
        // The longest first: $BEN_PHONE is not $BEN and _PHONE.
        let filled = |text: &str| {
            kept.iter().rev().fold(text.to_owned(), |text, (variable, value)| text.replace(&format!("${variable}"), value))
        };
        let url = cluster.url(alone.unwrap_or(nth as u16 % 3 + 1));
        let line = filled(&example.call.replace("$NODE", &url));
        assert!(!line.contains('$'), "line {}: something is not kept: {line}", example.line);
        let answer = filled(&example.answer);
        let (status, json) = answer.split_once(' ').unwrap();
        let shown: Value = serde_json::from_str(json).unwrap_or_else(|error| panic!("line {}: {error}", example.line + 1));
        let call = call_of(&line);
        let ask = || {
            let (found_status, kind, body) = perform(&call);
            let found: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
            let like = status == found_status.to_string() && is_like(&shown, &found);
            let path = call.url.split_once("/api/").map_or(String::new(), |(_, path)| format!("/api/{path}"));
            let fault = described.fault(&call.method, &path, found_status, &kind, &found);
            (like, found_status, fault, body, found)
        };
        let (mut like, mut found_status, mut fault, mut body, mut found) = ask();
        // A node's settings, its index of words and a session's end come to it a moment after they were answered elsewhere; what was accepted is committed a moment after
        // there is a majority.
        let has_key = call.headers.iter().any(|header| header.starts_with("Idempotency-Key"));
        if call.method == "GET" || call.url.ends_with("/sessions") || has_key {
            for _ in 0..100 {
                if like {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                (like, found_status, fault, body, found) = ask();
            }
        }
        let (line, said) = (example.line, &example.answer);
        if !like {
            wrong.push(format!("line {line}: curl {}\nis answered {found_status} {body}\nand not {said}", example.call));
        }
        if let Some(fault) = fault {
            wrong.push(format!("line {line}: curl {}\nis not answered as the description says: {fault}", example.call));
        }
        for (variable, field) in &example.keep {
            let value = found[field].as_str().map_or_else(|| found[field].to_string(), str::to_owned);
            kept.insert(variable.clone(), value);
        }
        routes.insert((
            call.method,
            example.call.split("/api/v1/").nth(1).unwrap().split([' ', '?', '"']).next().unwrap().to_owned(),
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    println!("{} lines, {} ways of calling", all.len(), routes.len());
}
