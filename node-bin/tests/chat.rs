//! `node chat` as people and scripts use it: lines in, lines out.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
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
        let mut command = node();
        command.args(["chat", "--user", user, "lobby"]).args(cluster.servers()).args(more);
        command.env("XDG_STATE_HOME", cluster.dir.path());
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
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no line says \"{what}\""));
            if line.contains(what) {
                return line;
            }
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
