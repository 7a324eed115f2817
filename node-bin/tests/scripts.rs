//! `node send` and `node tail` as scripts use them: lines, JSON, exit statuses, going on where an earlier run ended.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use support::*;

fn send(cluster: &Cluster, args: &[&str]) -> Said {
    say(node().args(["send", "--name", "ana"]).args(cluster.servers()).args(args))
}

fn tail(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = node();
    command.args(["tail", "--name", "bo"]).args(cluster.servers()).args(args);
    command
}

fn json_lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A command that goes on, and the lines that it prints.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Running { input: child.stdin.take(), child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn exit_statuses_say_what_became_of_messages() {
    let mut cluster = Cluster::start(1);
    let sent = send(&cluster, &["lobby", "hello", "--json"]);
    assert_eq!(sent.status.code(), Some(0), "{}", sent.err);
    let told = &json_lines(&sent.out)[0];
    assert_eq!(
        (&told["line"], &told["state"], &told["seq"], &told["room"]),
        (&json!(1), &json!("committed"), &json!(1), &json!("lobby"))
    );
    assert_eq!(told["id"].as_str().unwrap().len(), 32);
    let answered = send(&cluster, &["lobby", "an answer", "--reply-to", "1"]);
    assert!(answered.status.success() && answered.out.starts_with("lobby 2 "), "{}", answered.out);
    let seen = say(&mut tail(&cluster, &["lobby", "--no-follow", "--json"]));
    assert_eq!(seen.status.code(), Some(0), "{}", seen.err);
    let seen = json_lines(&seen.out);
    assert_eq!((&seen[1]["reply_to"], &seen[1]["type"], &seen[1]["room_name"]), (&json!(1), &json!("message"), &json!("lobby")));

    let mut lines = Running::start(node().args(["send", "--name", "ana"]).args(cluster.servers()).args(["lobby", "--json"]));
    let mut input = lines.input.take().unwrap();
    writeln!(input, "third\n\n{}\nfourth", "x".repeat(5_000)).unwrap();
    drop(input);
    let mut told: Vec<Value> = (0..3).map(|_| lines.json()).collect();
    told.sort_by_key(|line| line["line"].as_u64());
    let states: Vec<_> = told.iter().map(|line| (line["line"].as_u64().unwrap(), line["state"].as_str().unwrap())).collect();
    assert_eq!(states, [(1, "committed"), (3, "refused"), (4, "committed")]);
    assert!(told[1]["why"].as_str().unwrap().contains("5000 bytes"));
    assert_eq!(ended(&mut lines.child).code(), Some(3));

    assert_eq!(send(&cluster, &["lobby"]).status.code(), Some(0), "nothing to send is sent");
    assert_eq!(send(&cluster, &["lobby", "x", "--key", "k"]).status.code(), Some(2), "a key needs an outbox");
    assert_eq!(say(&mut tail(&cluster, &["nowhere"])).status.code(), Some(3));
    cluster.kill(1);
    let nobody = send(&cluster, &["lobby", "x", "--patience", "1s"]);
    assert_eq!((nobody.status.code(), nobody.out.as_str()), (Some(4), ""));
    assert_eq!(say(&mut tail(&cluster, &["lobby", "--patience", "1s"])).status.code(), Some(4));
}

#[test]
fn a_key_posts_once_however_often_it_is_sent() {
    let mut cluster = Cluster::start(3);
    let outbox = cluster.dir.path().join("outbox");
    let outbox = outbox.to_str().unwrap().to_owned();
    let keyed =
        |cluster: &Cluster, key: &str, text: &str| send(cluster, &["--outbox", &outbox, "--key", key, "lobby", text, "--json"]);
    let first = keyed(&cluster, "backup-1", "backup done");
    let again = keyed(&cluster, "backup-1", "backup done");
    assert!(first.status.success() && again.status.success(), "{} {}", first.err, again.err);
    assert_eq!(first.out, again.out);
    cluster.kill(cluster.leader());
    let elsewhere = keyed(&cluster, "backup-1", "backup done");
    assert_eq!(elsewhere.out, first.out, "{}", elsewhere.err);
    let other = keyed(&cluster, "backup-1", "something else");
    assert_eq!(other.status.code(), Some(3), "a key is for one message");
    assert!(keyed(&cluster, "backup-2", "backup done").status.success());

    // Lines have keys by their numbers: a run that is broken off is given again as a whole.
    let lines = |text: &str| {
        let mut command = node();
        command.args(["send", "--name", "ana", "--outbox", &outbox, "--key", "lines"]).args(cluster.servers()).arg("lobby");
        let mut running = Running::start(&mut command);
        running.input.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(ended(&mut running.child).success());
        running.lines.iter().count()
    };
    assert_eq!((lines("one\ntwo\n"), lines("one\ntwo\nthree\n")), (2, 3));
    let live = (1..=3).find(|node| get(&cluster.url(*node), "/readyz", None).status == 200).unwrap();
    let token = sign_in(&cluster.url(live), "ana");
    let posted = texts(&history(&cluster.url(live), &token, "lobby"));
    assert_eq!(posted, ["backup done", "backup done", "one", "two", "three"]);
}

#[test]
fn a_reader_goes_on_where_it_ended() {
    let cluster = Cluster::start(1);
    for (room, text) in [("lobby", "one"), ("tests", "two"), ("lobby", "three")] {
        assert!(send(&cluster, &[room, text]).status.success());
    }
    let file = cluster.dir.path().join("cursors");
    let file = file.to_str().unwrap();
    let all = say(&mut tail(&cluster, &["lobby", "tests", "--no-follow", "--resume", file, "--json"]));
    assert_eq!(all.status.code(), Some(0), "{}", all.err);
    let mut seen: Vec<(String, String)> = json_lines(&all.out).iter().map(place).collect();
    seen.sort();
    let line = |room: &str, text: &str| (room.to_owned(), text.to_owned());
    assert_eq!(seen, [line("lobby", "one"), line("lobby", "three"), line("tests", "two")]);
    let nothing = say(&mut tail(&cluster, &["lobby", "tests", "--no-follow", "--resume", file, "--json"]));
    assert_eq!((nothing.status.code(), nothing.out.as_str()), (Some(0), ""));

    assert!(send(&cluster, &["lobby", "four"]).status.success());
    let mut following = Running::start(&mut tail(&cluster, &["-f", "lobby", "tests", "--resume", file, "--json"]));
    let four = following.json();
    assert_eq!(place(&four), line("lobby", "four"));
    let cursor = four["cursor"].as_u64().unwrap();
    let said = || serde_json::from_str::<Value>(&std::fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    let room = four["room"].to_string();
    until("the file says so", || (said()["rooms"][room.as_str()] == json!(cursor)).then_some(()));
    assert!(send(&cluster, &["tests", "five"]).status.success());
    assert_eq!(place(&following.json()), line("tests", "five"));
    signal(following.child.id(), "TERM");
    assert_eq!(ended(&mut following.child).code(), Some(0));

    let from = cursor.to_string();
    let token = sign_in(&cluster.url(1), "ana");
    let six = commit(&cluster.url(1), &token, "six");
    let edit = format!("{}/api/v1/rooms/lobby/messages/{}", cluster.url(1), six.json["seq"]);
    assert_eq!(call("PATCH", &edit, &token, &json!({"text": "6"})).status, 200);
    let after = say(&mut tail(&cluster, &["lobby", "--no-follow", "--from", &from, "--json", "--changes"]));
    let kinds: Vec<Value> = json_lines(&after.out).iter().map(|line| line["type"].clone()).collect();
    assert_eq!(kinds, [json!("message"), json!("edited")]);
    let plain = say(&mut tail(&cluster, &["lobby", "--no-follow", "-n", "1"]));
    assert!(plain.out.trim_end().ends_with(" ana: 6") && plain.out.lines().count() == 1, "{}", plain.out);
}

fn place(line: &Value) -> (String, String) {
    (line["room_name"].as_str().unwrap().into(), line["text"].as_str().unwrap().into())
}

#[test]
fn whoever_reads_may_go_and_the_tail_ends_quietly() {
    let cluster = Cluster::start(1);
    assert!(send(&cluster, &["lobby", "one"]).status.success());
    let mut child = tail(&cluster, &["lobby"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.contains("one"));
    // Nothing more is posted: it ends all the same.
    drop(out);
    assert_eq!(ended(&mut child).code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn what_is_no_outbox_is_left_alone_and_a_damaged_one_is_told_of() {
    let mut cluster = Cluster::start(1);
    let precious = cluster.dir.path().join("precious.txt");
    let letters = "dear all\n".repeat(20);
    std::fs::write(&precious, &letters).unwrap();
    let refused = send(&cluster, &["--outbox", precious.to_str().unwrap(), "lobby", "x"]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.err);
    assert!(refused.err.contains("precious.txt is no outbox") && refused.err.contains("name another file"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), letters);

    let outbox = cluster.dir.path().join("w.ob");
    let with = |cluster: &Cluster, text: &str, more: &[&str]| {
        send(cluster, &[&["--outbox", outbox.to_str().unwrap(), "lobby", text], more].concat())
    };
    assert!(with(&cluster, "first", &[]).status.success());
    cluster.kill(1);
    let waits = with(&cluster, "waits", &["--patience", "1s"]);
    assert!(waits.status.code() == Some(4) && waits.err.contains("1 message is not confirmed, and kept"), "{}", waits.err);
    let whole = std::fs::read(&outbox).unwrap();
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    std::fs::write(&outbox, &damaged).unwrap();
    cluster.spawn(1);
    cluster.ready(1);
    let told = with(&cluster, "after the damage", &[]);
    assert_eq!((told.status.code(), told.out.as_str()), (Some(1), ""));
    assert!(told.err.contains("w.ob is damaged at byte 16: what waits in it was not sent"), "{}", told.err);
    assert_eq!(std::fs::read(&outbox).unwrap(), damaged);
    std::fs::write(&outbox, &whole).unwrap();
    assert!(with(&cluster, "brought back", &[]).status.success());
    let token = sign_in(&cluster.url(1), "ana");
    assert_eq!(texts(&history(&cluster.url(1), &token, "lobby")), ["first", "waits", "brought back"]);
}

#[test]
fn a_command_that_is_over_leaves_no_session_behind() {
    let mut cluster = Cluster::prepare(1);
    let peers = cluster.peers();
    cluster.spawn_with(1, &["--id", "1", "--peers", &peers, "--set", "devices=1"]);
    cluster.ready(1);
    for _ in 0..3 {
        let sent = send(&cluster, &["lobby", "hello"]);
        assert!(sent.status.success(), "{}", sent.err);
    }
    assert_eq!(send(&cluster, &["99", "no such room"]).status.code(), Some(3));
    let mut lines = Running::start(node().args(["send", "--name", "ana"]).args(cluster.servers()).arg("lobby"));
    writeln!(lines.input.as_mut().unwrap(), "by a pipe").unwrap();
    lines.line();
    // Two at once are one too many.
    let second = send(&cluster, &["lobby", "x"]);
    assert_eq!(second.status.code(), Some(3));
    assert!(second.err.contains("device") && second.err.contains("node settings devices=N"), "{}", second.err);
    signal(lines.child.id(), "TERM");
    assert_eq!(ended(&mut lines.child).code(), Some(143));
    assert!(send(&cluster, &["lobby", "after a signal"]).status.success());

    for end in ["INT", "TERM"] {
        assert!(say(&mut tail(&cluster, &["lobby", "--no-follow"])).status.success());
        let mut following = Running::start(&mut tail(&cluster, &["lobby", "-n", "1"]));
        following.line();
        signal(following.child.id(), end);
        assert_eq!(ended(&mut following.child).code(), Some(0));
    }
    for user in ["ana", "bo"] {
        let token = sign_in(&cluster.url(1), user);
        let devices = get(&cluster.url(1), "/api/v1/me/devices", Some(&token)).json;
        assert_eq!(devices["devices"].as_array().unwrap().len(), 1, "{devices}");
    }
}

#[test]
fn a_reader_that_is_ahead_of_the_cluster_is_told_so() {
    let cluster = Cluster::start(3);
    assert!(send(&cluster, &["lobby", "one"]).status.success());
    let file = cluster.dir.path().join("cursors");
    std::fs::write(&file, r#"{"rooms": {"1": 99999}}"#).unwrap();
    for follow in ["-f", "--no-follow"] {
        let ahead = say(&mut tail(&cluster, &["lobby", follow, "--resume", file.to_str().unwrap()]));
        assert_eq!((ahead.status.code(), ahead.out.as_str()), (Some(1), ""), "{}", ahead.err);
        let says = ["cursors says that lobby was read through event 99999", "restored from an older backup", "move "];
        assert!(says.iter().all(|what| ahead.err.contains(what)), "{}", ahead.err);
    }
    let ahead = say(&mut tail(&cluster, &["lobby", "--no-follow", "--from", "99999"]));
    assert_eq!(ahead.status.code(), Some(1), "{}", ahead.err);
    // A node that was away is behind, and that is all.
    std::fs::remove_file(&file).unwrap();
    let slow = (1..=3).find(|node| *node != cluster.leader()).unwrap();
    signal(cluster.pid(slow), "STOP");
    for text in ["two", "three"] {
        assert!(send(&cluster, &["lobby", text]).status.success());
    }
    let rest = ["lobby", "--no-follow", "--resume", file.to_str().unwrap()];
    assert!(say(&mut tail(&cluster, &rest)).out.contains("three"));
    signal(cluster.pid(slow), "CONT");
    let mut command = node();
    command.args(["tail", "--name", "bo", "--server", &cluster.url(slow)]).args(rest);
    let behind = say(&mut command);
    assert_eq!((behind.status.code(), behind.out.as_str()), (Some(0), ""), "{}", behind.err);
}

#[test]
fn a_line_that_is_no_text_is_named_and_the_others_are_sent() {
    let cluster = Cluster::start(1);
    let outbox = cluster.dir.path().join("outbox");
    for (more, count) in [(vec![], 2), (vec!["--outbox", outbox.to_str().unwrap(), "--key", "k"], 4)] {
        let mut command = node();
        command.args(["send", "--name", "ana", "lobby"]).args(cluster.servers()).args(more);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"ok\nbad \xff\xfe line\n\nthird\n").unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
        assert_eq!(ended(&mut child).code(), Some(1), "{said}");
        assert!(said.contains("line 2 of standard input is no text (UTF-8) and was not sent"), "{said}");
        let token = sign_in(&cluster.url(1), "ana");
        assert_eq!(texts(&history(&cluster.url(1), &token, "lobby")).len(), count);
    }
}

#[test]
fn with_a_session_that_is_known_a_message_is_accepted_by_the_last_node() {
    let mut cluster = Cluster::start(3);
    let outbox = cluster.dir.path().join("outbox");
    let args = |text| ["--outbox", outbox.to_str().unwrap(), "--accepted", "--patience", "20s", "lobby", text];
    let first = send(&cluster, &args("with everybody"));
    assert!(first.status.success(), "{}", first.err);
    cluster.kill(1);
    cluster.kill(2);
    until("node 3 is alone", || get(&cluster.url(3), "/api/v1/cluster", None).json["leader"].is_null().then_some(()));
    let alone = send(&cluster, &args("alone"));
    assert_eq!(alone.status.code(), Some(0), "{}", alone.err);
    assert!(alone.out.starts_with("lobby ~ "), "{}", alone.out);
    cluster.spawn(1);
    cluster.ready(3);
    let token = sign_in(&cluster.url(3), "ana");
    until("it has its place", || {
        (texts(&history(&cluster.url(3), &token, "lobby")) == ["with everybody", "alone"]).then_some(())
    });
}
