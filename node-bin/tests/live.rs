//! Whole clusters of real processes, killed for real.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;
use support::*;
use tertulia_protocol::gateway::{ClientHello, Request};
use tertulia_protocol::wire::{CLIENT_MAGIC, Kind, encode_frame};

#[test]
fn a_post_acknowledged_by_any_node_is_in_the_history_of_all_three_in_one_order() {
    let cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    let made = post(&cluster.url(2), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(post(&cluster.url(3), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"})).status, 200);
    let writers: Vec<_> = (1..=3)
        .map(|node| {
            let (url, token) = (cluster.url(node), token.clone());
            std::thread::spawn(move || {
                for n in 0..20 {
                    let text = format!("{n} by node {node}");
                    let posted = post(&url, "/api/v1/rooms/lobby/messages", Some(&token), None, &json!({"text": text}));
                    assert_eq!(posted.status, 201, "{posted:?}");
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let first = history(&cluster.url(1), &token, "lobby");
    assert_eq!(first.len(), 60);
    for (at, message) in first.iter().enumerate() {
        assert_eq!(message["seq"], at + 1);
        assert_eq!(message["author"], "ana");
        assert_eq!(message["id"].as_str().unwrap().len(), 32);
    }
    assert!(first.is_sorted_by_key(|message| message["at"].as_str().unwrap()));
    for node in 2..=3 {
        assert_eq!(history(&cluster.url(node), &token, "lobby"), first, "node {node}");
    }
}

#[test]
fn a_retry_with_the_same_key_posts_once_whichever_node_it_asks() {
    let cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    let path = "/api/v1/rooms/lobby/messages";
    let answers: Vec<Value> =
        (1..=3).map(|node| post(&cluster.url(node), path, Some(&token), Some("k-1"), &json!({"text": "once"})).json).collect();
    assert_eq!(answers[0]["state"], "committed");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(history(&cluster.url(2), &token, "lobby").len(), 1);
    let reused = post(&cluster.url(2), path, Some(&token), Some("k-1"), &json!({"text": "another"}));
    assert_eq!((reused.status, &reused.json["type"]), (422, &json!("urn:tertulia:key-reused")));
}

#[test]
fn killing_the_leader_under_a_running_send_loses_doubles_and_reorders_nothing() {
    let mut cluster = Cluster::start(3);
    let mut command = node();
    command.args(["send", "--name", "ana"]).args(cluster.servers()).arg("lobby");
    let mut send = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, output) = (send.stdin.take().unwrap(), BufReader::new(send.stdout.take().unwrap()));
    let writer = std::thread::spawn(move || {
        for n in 0..600 {
            writeln!(input, "line {n}").unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let mut acknowledged: Vec<(u64, String)> = Vec::new();
    let mut killed = None;
    for line in output.lines() {
        let line = line.unwrap();
        let parts: Vec<&str> = line.split(' ').collect();
        let [room, seq, id] = parts[..] else { panic!("{line}") };
        assert_eq!(room, "lobby");
        acknowledged.push((seq.parse().unwrap(), id.into()));
        if acknowledged.len() == 100 {
            let leader = cluster.leader();
            cluster.kill(leader);
            killed = Some(leader);
        }
    }
    writer.join().unwrap();
    assert!(ended(&mut send).success());
    assert_eq!(acknowledged.len(), 600);
    let killed = killed.unwrap();
    cluster.spawn(killed);
    cluster.ready(killed);
    let token = sign_in(&cluster.url(killed), "ana");
    let expected: Vec<String> = (0..600).map(|n| format!("line {n}")).collect();
    for node in 1..=3 {
        let messages = history(&cluster.url(node), &token, "lobby");
        assert_eq!(texts(&messages), expected, "node {node}");
        for (seq, id) in &acknowledged {
            assert_eq!(messages[*seq as usize - 1]["id"], *id);
        }
    }
    // The restarted node has caught up by itself, and holds the same state.
    until("all nodes hold the same state", || {
        let views: Vec<Value> = (1..=3).map(|node| get(&cluster.url(node), "/api/v1/cluster", None).json).collect();
        let same = |what: &str| views.iter().all(|view| view[what] == views[0][what]);
        (same("applied") && same("state_hash")).then_some(())
    });
}

#[test]
fn killing_all_three_loses_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    for round in 0..2 {
        for n in 0..30 {
            let url = cluster.url(n % 3 + 1);
            let text = format!("{round}.{n}");
            commit(&url, &token, &text);
        }
        (1..=3).for_each(|node| cluster.kill(node));
        (1..=3).for_each(|node| cluster.spawn(node));
        (1..=3).for_each(|node| cluster.ready(node));
    }
    let expected: Vec<String> = (0..2).flat_map(|round| (0..30).map(move |n| format!("{round}.{n}"))).collect();
    for node in 1..=3 {
        // The token of before is as good as ever.
        assert_eq!(texts(&history(&cluster.url(node), &token, "lobby")), expected, "node {node}");
    }
}

#[test]
fn without_a_majority_posts_are_accepted_or_refused_as_the_room_wants_it_and_reads_say_that_they_may_be_old() {
    let mut cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    let path = "/api/v1/rooms/lobby/messages";
    let strict = json!({"name": "strict", "rules": {"tentative": "refuse"}});
    assert_eq!(post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &strict).status, 201);
    assert_eq!(post(&cluster.url(1), path, Some(&token), None, &json!({"text": "before"})).status, 201);
    (2..=3).for_each(|node| cluster.kill(node));
    until("the last node sees that it is alone", || (get(&cluster.url(1), "/readyz", None).status == 503).then_some(()));
    let accepted = post(&cluster.url(1), path, Some(&token), Some("again"), &json!({"text": "after"}));
    assert_eq!((accepted.status, &accepted.json["copies"]), (202, &json!(1)), "{accepted:?}");
    let refused = post(&cluster.url(1), "/api/v1/rooms/strict/messages", Some(&token), None, &json!({"text": "after"}));
    assert_eq!((refused.status, &refused.json["type"]), (503, &json!("urn:tertulia:no-leader")), "{refused:?}");
    let page = get(&cluster.url(1), path, Some(&token));
    assert_eq!((&page.json["current"], page.json["messages"].as_array().unwrap().len()), (&json!(false), 1), "{page:?}");
    cluster.spawn(2);
    let posted = until("a majority is there again", || {
        let posted = post(&cluster.url(1), path, Some(&token), Some("again"), &json!({"text": "after"}));
        (posted.status == 201).then_some(posted)
    });
    assert_eq!((&posted.json["seq"], &posted.json["id"]), (&json!(2), &accepted.json["id"]));
    assert_eq!(texts(&history(&cluster.url(2), &token, "lobby")), ["before", "after"]);
}

#[test]
fn a_wiped_folder_may_not_take_the_old_members_place() {
    let mut cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    let wiped = if cluster.leader() == 3 { 2 } else { 3 };
    cluster.kill(wiped);
    fs::remove_dir_all(cluster.data(wiped)).unwrap();
    cluster.spawn(wiped);
    let status = cluster.ended(wiped);
    assert_eq!(status.code(), Some(3));
    let log = cluster.log(wiped);
    assert!(log.contains("this data folder is new") && log.contains("start the node on its own folder"), "{log}");
    // The others go on.
    let made = post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "still here"}));
    assert_eq!(made.status, 201, "{made:?}");
}

#[test]
fn broken_frames_close_their_connection_and_harm_nothing_else() {
    let cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    let refused = || refused_frames(&cluster.metrics(1));
    let hello = encode_frame(Kind::ClientHello, &ClientHello { token: None });
    let request = encode_frame(Kind::Request, &Request { id: 1, ask: tertulia_protocol::gateway::Ask::Ping });
    let mut flipped = request.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let too_large = [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0];
    let unknown_kind = encode_frame(Kind::Other, &7u8);
    let mut before = refused();
    for (what, port, bytes) in [
        ("no hello", cluster.base, [&CLIENT_MAGIC[..], &request].concat()),
        ("a flipped bit", cluster.base, [&CLIENT_MAGIC[..], &hello, &flipped].concat()),
        ("an oversized frame", cluster.base, [&CLIENT_MAGIC[..], &hello, &too_large].concat()),
        ("a frame of another kind", cluster.base, [&CLIENT_MAGIC[..], &hello, &unknown_kind].concat()),
        ("another version", cluster.base, b"TRT9abcdefgh".to_vec()),
        ("no HTTP", cluster.base, b"\x00\x01\x02\x03\r\n\r\n".to_vec()),
        ("garbage to a peer", cluster.peer_port(1), b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an oversized frame to a peer", cluster.peer_port(1), too_large.to_vec()),
    ] {
        assert!(closes_after(port, &bytes), "{what}");
        before = until(&format!("{what} is counted"), || Some(refused()).filter(|now| *now > before));
    }
    assert_eq!(get(&cluster.url(1), "/api/v1/rooms", Some(&token)).status, 200);
    assert_eq!(post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "fine"})).status, 201);
}

/// The sum of all counters of refused frames.
fn refused_frames(metrics: &str) -> u64 {
    let counters = metrics.lines().filter(|line| line.starts_with("tertulia_refused_frames_total"));
    counters.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn the_stream_is_live_resumes_from_cursors_and_refuses_strange_pages() {
    let cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    let room = post(&cluster.url(1), "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"})).json["id"].clone();
    let say = |text: &str| {
        let posted = post(&cluster.url(2), "/api/v1/rooms/lobby/messages", Some(&token), None, &json!({"text": text}));
        assert_eq!(posted.status, 201, "{posted:?}");
        posted.json
    };
    let open = |node| {
        let url = cluster.url(node).replace("http", "ws") + "/api/v1/stream";
        tungstenite::client(url, std::net::TcpStream::connect(("127.0.0.1", cluster.base + node - 1)).unwrap()).unwrap().0
    };
    let frame = |stream: &mut tungstenite::WebSocket<std::net::TcpStream>| -> Value {
        loop {
            if let tungstenite::Message::Text(text) = stream.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    say("before");
    let mut stream = open(3);
    stream.send(tungstenite::Message::text(json!({"token": token}).to_string())).unwrap();
    let following = frame(&mut stream);
    assert_eq!(
        following,
        json!({"type": "following", "cursors": {room.to_string(): 2}}),
        "who made the room has joined it: an event, too"
    );
    let said = say("live");
    let live = frame(&mut stream);
    assert_eq!((&live["type"], &live["room"], &live["cursor"]), (&json!("message"), &room, &json!(3)));
    assert_eq!((&live["message"]["id"], &live["message"]["text"]), (&said["id"], &json!("live")));
    drop(stream);
    say("missed");
    let mut stream = open(1);
    let resume = json!({"token": token, "cursors": {room.to_string(): 3}});
    stream.send(tungstenite::Message::text(resume.to_string())).unwrap();
    assert_eq!(frame(&mut stream)["type"], "following");
    assert_eq!(frame(&mut stream)["message"]["text"], "missed");
    // A program that can send headers needs no frame: it follows from now on.
    use tungstenite::client::IntoClientRequest;
    let mut request = (cluster.url(2).replace("http", "ws") + "/api/v1/stream").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let socket = std::net::TcpStream::connect(("127.0.0.1", cluster.base + 1)).unwrap();
    let mut program = tungstenite::client(request, socket).unwrap().0;
    assert_eq!(frame(&mut program)["cursors"][room.to_string()], 4);
    say("for programs, too");
    assert_eq!(frame(&mut program)["cursor"], 5);
    let mut bad = open(1);
    bad.send(tungstenite::Message::text(json!({"token": "00".repeat(32)}).to_string())).unwrap();
    let error = frame(&mut bad);
    assert_eq!((&error["type"], &error["problem"]["status"]), (&json!("error"), &json!(401)));
    let strange = ureq::get(format!("{}/api/v1/stream", cluster.url(1)))
        .header("origin", "http://evil.example")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .call();
    assert!(matches!(strange, Err(ureq::Error::StatusCode(403))), "{strange:?}");
}

#[test]
fn mistakes_have_clear_errors() {
    let cluster = Cluster::start(3);
    let token = sign_in(&cluster.url(1), "ana");
    let url = cluster.url(2);
    post(&url, "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    let path = "/api/v1/rooms/lobby/messages";
    for (path, text, status, kind) in [
        ("/api/v1/rooms/nowhere/messages", "x".to_owned(), 404, "unknown-room"),
        ("/api/v1/rooms/999/messages", "x".to_owned(), 404, "unknown-room"),
        (path, String::new(), 400, "empty-text"),
        (path, "x".repeat(4_097), 413, "text-too-long"),
    ] {
        let answer = post(&url, path, Some(&token), None, &json!({"text": text}));
        assert_eq!((answer.status, &answer.json["type"]), (status, &json!(format!("urn:tertulia:{kind}"))), "{answer:?}");
    }
    let other = sign_in(&cluster.url(3), "bo");
    let outside = post(&url, path, Some(&other), None, &json!({"text": "x"}));
    assert_eq!((outside.status, &outside.json["type"]), (403, &json!("urn:tertulia:not-a-member")));
    let refused = say(node().args(["send", "--name", "ana"]).args(cluster.servers()).args(["lobby", &"x".repeat(5_000)]));
    assert_eq!(refused.status.code(), Some(3), "{}", refused.err);
    assert!(refused.err.contains("the limit is 4096"), "{}", refused.err);
    let nowhere = say(node().args(["tail", "--name", "ana"]).args(cluster.servers()).arg("nowhere"));
    assert!(!nowhere.status.success() && nowhere.err.contains("there is no room \"nowhere\""), "{}", nowhere.err);
    let status = say(node().arg("status").args(cluster.servers()));
    assert!(status.status.success() && status.out.contains("leader node"), "{}{}", status.out, status.err);
    let taken = say(&mut cluster.serve(1));
    assert_eq!(taken.status.code(), Some(1));
    assert!(taken.err.contains("--listen") && taken.err.contains(&cluster.base.to_string()), "{}", taken.err);
}

#[test]
fn a_folder_of_another_node_or_cluster_is_refused() {
    let mut cluster = Cluster::start(3);
    for node in 1..=3 {
        cluster.kill(node);
    }
    let foreign = Cluster::prepare(3);
    fs::rename(cluster.data(1), foreign.data(2)).unwrap();
    fs::copy(cluster.dir.path().join("secret"), foreign.dir.path().join("secret")).unwrap();
    let other_node = say(&mut foreign.serve(2));
    assert_eq!(other_node.status.code(), Some(1), "{}", other_node.err);
    assert!(other_node.err.contains("node 1"), "{}", other_node.err);
    fs::rename(foreign.data(2), foreign.data(1)).unwrap();
    fs::write(foreign.dir.path().join("secret"), "a5".repeat(32)).unwrap();
    let other_cluster = say(&mut foreign.serve(1));
    assert_eq!(other_cluster.status.code(), Some(1), "{}", other_cluster.err);
    assert!(other_cluster.err.contains("another cluster"), "{}", other_cluster.err);
}

#[test]
fn send_and_tail_work_in_pipes() {
    let cluster = Cluster::start(3);
    let sent = say(node().args(["send", "--name", "ana"]).args(cluster.servers()).args(["lobby", "hello, \u{1b}world"]));
    assert!(sent.status.success(), "{}", sent.err);
    assert!(sent.out.starts_with("lobby 1 ") && sent.out.trim_end().len() == "lobby 1 ".len() + 32, "{}", sent.out);
    let mut command = node();
    command.args(["tail", "--name", "bo", "--json"]).args(cluster.servers()).arg("lobby");
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&first["seq"], &first["text"], &first["author"]),
        (&json!(1), &json!("hello, world"), &json!("ana")),
        "without what drives a terminal"
    );
    say(node().args(["send", "--name", "ana"]).args(cluster.servers()).args(["lobby", "live"]));
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&second["seq"], &second["text"]), (&json!(2), &json!("live")));
    signal(tail.id(), "INT");
    assert!(ended(&mut tail).success());
}

#[test]
fn a_demo_lives_and_ends_as_it_says() {
    let (dir, base) = (tempfile::tempdir().unwrap(), free_base(3));
    let mut demo = Demo::start(dir.path(), base, &[]);
    for (at, (node, url, pid)) in demo.nodes.iter().enumerate() {
        assert_eq!(usize::from(*node), at + 1);
        assert_eq!(*url, format!("http://127.0.0.1:{}", base + *node - 1));
        assert!(lives(*pid));
    }
    demo.all_ready();
    let token = sign_in(&demo.nodes[0].1, "ana");
    post(&demo.nodes[1].1, "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    let pids: BTreeSet<u32> = demo.nodes.iter().map(|(.., pid)| *pid).collect();
    signal(demo.pid(), "TERM");
    assert!(demo.ended().success());
    assert!(pids.iter().all(|pid| !lives(*pid)), "no process is left behind");
    // The same folder is the same cluster; SIGKILL leaves nothing behind either.
    let mut again = Demo::start(dir.path(), base, &[]);
    again.all_ready();
    let rooms = get(&again.nodes[2].1, "/api/v1/rooms", Some(&token));
    assert_eq!((rooms.status, &rooms.json["rooms"][0]["name"]), (200, &json!("lobby")));
    again.kill();
    until("the nodes ended with their demo", || again.nodes.iter().all(|(.., pid)| !lives(*pid)).then_some(()));
    let other = say(node().args(["demo", "--nodes", "5", "--data"]).arg(dir.path()));
    assert!(!other.status.success() && other.err.contains("a cluster of 3 nodes"), "{}", other.err);
}

#[test]
fn a_demo_stays_when_all_its_nodes_are_dead_and_starts_them_again_only_when_told_to() {
    let (dir, base) = (tempfile::tempdir().unwrap(), free_base(3));
    let mut demo = Demo::start(dir.path(), base, &[]);
    demo.all_ready();
    for (_, _, pid) in demo.nodes.clone() {
        signal(pid, "KILL");
    }
    for _ in 0..3 {
        assert!(demo.line_beginning("node ").contains("was killed"));
    }
    assert!(demo.runs());
    signal(demo.pid(), "INT");
    assert!(demo.ended().success());
    let mut again = Demo::start(dir.path(), base, &["--restart"]);
    again.all_ready();
    let (_, url, pid) = again.nodes[1].clone();
    signal(pid, "KILL");
    assert!(again.line_beginning("node 2").contains("was killed"));
    let (node, new_url, new_pid) = parse(&again.line_beginning("node 2"));
    assert_eq!((node, &new_url), (2, &url));
    assert_ne!(new_pid, pid);
    again.all_ready();
}

#[test]
fn a_demo_for_some_time_ends_by_itself() {
    let (dir, base) = (tempfile::tempdir().unwrap(), free_base(3));
    let mut demo = Demo::start(dir.path(), base, &["--for", "2s"]);
    assert!(demo.ended().success());
    assert!(demo.nodes.iter().all(|(.., pid)| !lives(*pid)));
}

#[test]
fn a_demo_names_the_port_that_is_in_use_and_the_flag() {
    let (dir, base) = (tempfile::tempdir().unwrap(), free_base(3));
    let _taken = TcpListener::bind(("127.0.0.1", base + 1)).unwrap();
    let said = say(node().args(["demo", "--http-base", &base.to_string(), "--data"]).arg(dir.path()));
    assert_eq!(said.status.code(), Some(1));
    assert!(said.err.contains(&(base + 1).to_string()) && said.err.contains("--http-base"), "{}", said.err);
}
