//! `node chat` as people and scripts use it: lines in, lines out.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use support::*;

/// A running `node chat`.
struct Chat {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Chat {
    fn start(cluster: &Cluster, user: &str, more: &[&str]) -> Chat {
        let all: Vec<String> = cluster.servers().into_iter().chain(more.iter().map(|arg| (*arg).to_owned())).collect();
        Chat::at(cluster, user, &all)
    }

    /// At these servers.
    fn at(cluster: &Cluster, user: &str, servers: &[String]) -> Chat {
        let mut command = node();
        command.args(["chat", "--user", user, "lobby"]).args(servers);
        command.env("XDG_STATE_HOME", cluster.dir.path());
        Chat::of(&mut command)
    }

    /// A command that reads and prints lines until it is ended.
    fn of(command: &mut Command) -> Chat {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Chat { input: child.stdin.take(), child, lines }
    }

    fn write(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line that holds this.
    fn sees(&self, what: &str) -> String {
        let mut others = Vec::new();
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line says \"{what}\": {others:#?}"));
            if line.contains(what) {
                return line;
            }
            others.push(line);
        }
    }

    fn ends(&mut self) {
        self.input = None;
        assert!(ended(&mut self.child).success());
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn two_people_answer_edit_and_delete_and_see_each_others_changes() {
    let cluster = Cluster::start(1);
    let mut ana = Chat::start(&cluster, "ana", &[]);
    ana.sees("/help for more");
    let mut ben = Chat::start(&cluster, "ben", &[]);
    ana.sees("-- ben is here");
    ana.write("hello");
    assert!(ben.sees("hello").ends_with("#1 ana: hello"));
    ben.write("/reply 1 hi there");
    assert!(ana.sees("hi there").ends_with("#2 ben, to #1: hi there"));
    ben.write("/edit 2 hi, ana");
    ana.sees("-- ben changed #2: hi, ana");
    ana.write("/react 2 :wave:");
    ben.sees("-- ana reacts to #2 with :wave:");
    ana.write("/topic greetings");
    ben.sees("-- ana set the topic: greetings");
    ben.write("/topic mine");
    ben.sees("-- not done: only the room's");
    ben.write("/delete 2");
    ana.sees("-- ben deleted #2");
    ana.write("/who");
    assert_eq!(ana.sees("-- here: "), "-- here: ana, ben");
    ana.write("/edit x");
    ana.sees("wants a message's number");
    ana.write("/quit");
    ana.ends();
    ben.ends();
}

#[test]
fn a_cluster_with_accounts_is_entered_with_a_password_from_standard_input() {
    let mut cluster = Cluster::prepare(1);
    let peers = cluster.peers();
    cluster.spawn_with(1, &["--id", "1", "--peers", &peers, "--sign-in", "accounts"]);
    cluster.ready(1);
    let mut ana = Chat::start(&cluster, "ana", &["--register", "--password-stdin"]);
    ana.write("correct horse");
    ana.sees("/help for more");
    ana.write("hello");
    ana.sees("ana: hello");
    ana.ends();
    let mut again = Chat::start(&cluster, "ana", &["--password-stdin"]);
    again.write("correct horse");
    again.sees("#1 ana: hello");
    again.ends();
    let wrong = |password: &str| {
        let mut chat = Chat::start(&cluster, "ana", &["--password-stdin"]);
        chat.write(password);
        !ended(&mut chat.child).success()
    };
    assert!(wrong("wrong horse"));
    let mut without = node();
    let said = say(without.args(["chat", "--forget", "--user", "ana", "lobby"]).args(cluster.servers()));
    assert!(!said.status.success() && said.err.contains("--password-stdin"), "{}", said.err);
    let mut without = node();
    let said = say(without.args(["send", "--name", "ana", "lobby", "x"]).args(cluster.servers()));
    assert_eq!(said.status.code(), Some(3));
    assert!(said.err.contains("--password-file") && said.err.contains("node chat --register"), "{}", said.err);
    let signed = post(&cluster.url(1), "/api/v1/sessions", None, None, &json!({"name": "ana"}));
    assert_eq!(signed.status, 403);
    // Scripts have their passwords in files.
    let file = cluster.dir.path().join("password");
    std::fs::write(&file, "correct horse\n").unwrap();
    let mut send = node();
    let sent = say(send
        .args(["send", "--name", "ana", "--password-file"])
        .arg(&file)
        .args(cluster.servers())
        .args(["lobby", "by a script"]));
    assert!(sent.status.success(), "{}", sent.err);
    again = Chat::start(&cluster, "ana", &["--password-stdin"]);
    again.write("correct horse");
    again.sees("ana: by a script");
    again.ends();
}

#[test]
fn without_a_majority_chats_go_on_and_say_what_waits_and_what_has_its_place() {
    let cluster = Cluster::start(3);
    let only_first = ["--server".to_owned(), cluster.url(1)];
    let start = |user: &str| Chat::at(&cluster, user, &only_first);
    let mut ana = start("ana");
    ana.sees("/help for more");
    let mut ben = start("ben");
    ana.sees("-- ben is here");
    ana.write("hello");
    ben.sees("#1 ana: hello");
    let tail = |more: &[&str]| {
        let mut command = node();
        command.args(["tail", "--name", "cleo", "lobby", "--last", "1"]).args(&only_first).args(more);
        Chat::of(&mut command)
    };
    let (committed, all) = (tail(&[]), tail(&["--tentative", "--json"]));
    committed.sees("hello");
    all.sees("hello");
    let send = |more: &[&str]| {
        let mut command = node();
        command.args(["send", "--name", "dora", "lobby"]).args(&only_first).args(more);
        Chat::of(&mut command)
    };
    let (mut content, mut patient) = (send(&["--accepted"]), send(&["--patience", "4s"]));
    for script in [&mut content, &mut patient] {
        script.write("a first line");
        script.sees("lobby ");
    }
    let others = [2, 3].map(|node| cluster.pid(node));
    others.iter().for_each(|pid| signal(*pid, "STOP"));
    until("node 1 is alone", || get(&cluster.url(1), "/api/v1/cluster", None).json["leader"].is_null().then_some(()));

    ana.write("anybody there?");
    let waits = ben.sees("anybody there?");
    assert!(waits.starts_with("~ ") && waits.ends_with("ana: anybody there? (waiting for a majority, on 1 node)"), "{waits}");
    ben.write("I am");
    ana.sees("~ ");
    assert!(ana.sees("I am").starts_with("~ "));
    ana.write("/react 1 :wave:");
    ana.sees("-- kept on 1 node until there is a majority: /react 1 :wave:");
    let shown: serde_json::Value = serde_json::from_str(&all.sees("I am")).unwrap();
    assert_eq!((&shown["state"], &shown["author"], &shown["copies"]), (&json!("tentative"), &json!("ben"), &json!(1)));
    // A script that is content with that, and one that is not.
    content.write("by a script");
    assert!(content.sees("lobby").starts_with("lobby ~ "));
    patient.write("by another script");
    assert_eq!(ended(&mut patient.child).code(), Some(4));

    others.iter().for_each(|pid| signal(*pid, "CONT"));
    committed.sees("anybody there?");
    committed.sees("I am");
    let shown: serde_json::Value = serde_json::from_str(&all.sees("\"seq\":5")).unwrap();
    assert_eq!((&shown["text"], &shown["state"]), (&json!("I am"), &json!(null)));
    ben.sees("-- in place: #4 to #5");
    content.input = None;
    assert!(ended(&mut content.child).success());
    // The reaction was printed between, so what stands before it is told where it stands.
    assert!(ana.sees("#4").ends_with("#4 ana: anybody there?"));
    ana.write("/quit");
    ana.ends();
    ben.ends();
}
