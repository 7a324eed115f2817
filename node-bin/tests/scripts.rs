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
