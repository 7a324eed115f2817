//! `node chat` on a whole screen, in real terminals (tmux's) and against real processes: keys in, what is to be seen out.
//!
//! Without tmux these tests say SKIPPED; with `TERTULIA_TMUX=required` in the environment they fail.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::*;

/// Terminals of one tmux server, which ends with the test.
struct Tmux {
    socket: PathBuf,
}

/// One terminal.
struct Pane<'a> {
    tmux: &'a Tmux,
    name: String,
}

impl Tmux {
    /// `None` where there is no tmux, and it is not required.
    fn start(folder: &Path) -> Option<Tmux> {
        let there = Command::new("tmux").arg("-V").output().is_ok_and(|said| said.status.success());
        if !there {
            assert!(std::env::var("TERTULIA_TMUX").as_deref() != Ok("required"), "tmux is required and not installed");
            eprintln!("SKIPPED: tmux is not installed (TERTULIA_TMUX=required makes that a failure)");
            return None;
        }
        Some(Tmux { socket: folder.join("tmux") })
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(args);
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").env("TERM", "xterm-256color");
        let said = say(&mut command);
        assert!(said.status.success(), "tmux {args:?}: {}", said.err);
        said.out
    }

    fn pane(&self, name: &str, (width, height): (u16, u16), command: &str) -> Pane<'_> {
        let (width, height) = (width.to_string(), height.to_string());
        self.run(&["new-session", "-d", "-s", name, "-x", &width, "-y", &height, command]);
        // What a program leaves behind when it ends can be looked at.
        self.run(&["set-option", "-t", name, "remain-on-exit", "on"]);
        Pane { tmux: self, name: name.into() }
    }

    /// `node chat` of this user, in the lobby.
    fn chat(&self, cluster: &Cluster, user: &str, size: (u16, u16)) -> Pane<'_> {
        let pane = self.pane(user, size, &chat_line(cluster, user));
        pane.sees(&format!("{user}@127.0.0.1:"));
        pane.sees("#lobby");
        pane
    }
}

fn chat_line(cluster: &Cluster, user: &str) -> String {
    let node = env!("CARGO_BIN_EXE_node");
    let state = cluster.dir.path().display();
    format!("TZ=UTC XDG_STATE_HOME={state} {node} chat --user {user} lobby {}", cluster.servers().join(" "))
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

impl Pane<'_> {
    fn see(&self) -> String {
        self.tmux.run(&["capture-pane", "-p", "-t", &self.name])
    }

    fn sees(&self, what: &str) -> String {
        let mut last = String::new();
        for _ in 0..LIMIT.as_millis() / 50 {
            last = self.see();
            if last.contains(what) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("\"{what}\" is not to be seen by {}:\n{last}", self.name);
    }

    fn misses(&self, what: &str) {
        until(&format!("\"{what}\" goes from {}'s screen", self.name), || (!self.see().contains(what)).then_some(()));
    }

    /// Waits until the program has ended; what it left. (What tmux writes of it, "Pane is dead", stays away now and then: tmux 3.3a misses a SIGCHLD.)
    fn dies(&self) -> String {
        let is_dead = || self.tmux.run(&["display-message", "-p", "-t", &self.name, "#{pane_dead}"]).trim() == "1";
        until(&format!("the program of {} ends", self.name), || is_dead().then_some(()));
        self.see()
    }

    fn types(&self, text: &str) {
        self.tmux.run(&["send-keys", "-t", &self.name, "-l", "--", text]);
    }

    fn keys(&self, keys: &[&str]) {
        for key in keys {
            self.tmux.run(&["send-keys", "-t", &self.name, key]);
        }
    }

    fn line(&self, text: &str) {
        self.types(text);
        // What is typed is on the screen before it is sent: both are one read otherwise, as if it were pasted.
        self.keys(&["Enter"]);
    }

    /// Escape alone: what follows at once would be taken for a key with Alt.
    fn escape(&self, until: &str) {
        self.keys(&["Escape"]);
        self.sees(until);
    }

    /// The messages as they are shown, without what differs from run to run.
    fn messages(&self) -> String {
        let rows = self.see();
        let rows = rows.lines().map(|row| row.split_once('│').map_or(row, |(_, messages)| messages).trim_end());
        let timeless = |row: &str| match row.get(..5) {
            Some(time) if time.as_bytes()[2] == b':' && time[..2].parse::<u8>().is_ok() => format!("hh:mm{}", &row[5..]),
            _ => row.to_owned(),
        };
        let is_message =
            |row: &&str| !row.starts_with('>') && !row.contains("@127.0.0.1") && !row.starts_with("──") && !row.is_empty();
        rows.filter(is_message).map(timeless).collect::<Vec<_>>().join("\n")
    }

    /// The node that this terminal's chat is on.
    fn server(&self, cluster: &Cluster) -> u16 {
        let seen = self.sees("@127.0.0.1:");
        let port = seen.split("@127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap();
        port.parse::<u16>().unwrap() - cluster.base + 1
    }
}

#[test]
fn two_people_talk_answer_change_and_react() {
    let cluster = Cluster::start(3);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let ana = tmux.chat(&cluster, "ana", (80, 24));
    let ben = tmux.chat(&cluster, "ben", (100, 30));
    ana.sees("ben is here");
    ana.line("Good morning! The build is green, and this line is so long that it takes more than one row.");
    ben.sees("Good morning!");
    ana.sees("✓ ana │ Good morning!");
    ben.keys(&["M-r"]);
    ben.sees("[to ana]");
    ben.line("So I see, @ana");
    ana.sees("┌ ana: Good morning!");
    ana.sees("So I see, @ana");
    ben.keys(&["M-e"]);
    ben.sees("[edit #2] So I see, @ana");
    ben.line("!");
    ana.sees("So I see, @ana! (edited)");
    ana.escape("R answer");
    ana.types("+");
    ana.sees("react:");
    ana.types("1");
    ben.sees("👍 1");
    ana.line("/me waves");
    ben.sees("* │ ana waves");
    ben.types("typing, not sent");
    // A hint is sent now and then while somebody types.
    until("ana sees that ben is typing", || {
        ben.types(".");
        ana.see().contains("ben is typing").then_some(())
    });
    ana.keys(&["M-Enter"]);
    ana.types("x");
    ana.keys(&["C-c"]);
    ana.misses("ben is typing");
    insta::assert_snapshot!("ana_80x24", ana.messages());
    insta::assert_snapshot!("ben_100x30", ben.messages());
    // Another room, a direct one, and back.
    ben.keys(&["C-c"]);
    ben.line("/join tests");
    ben.sees("2 #tests");
    ben.line("/msg ana psst");
    ben.sees("✓ ben │ psst");
    ana.sees("@ben");
    ana.keys(&["M-a"]);
    ana.sees("psst");
    ana.keys(&["C-k"]);
    ana.types("lob");
    ana.sees("Go to a room");
    ana.keys(&["Enter"]);
    ana.sees("So I see, @ana!");
    ana.line("/search morning green");
    ana.sees("1 found");
    ana.keys(&["Enter"]);
    ana.sees("Good morning!");
    ana.line("/quit");
    ana.dies();
}

#[test]
fn killing_the_server_that_one_is_on_costs_a_quiet_line() {
    let mut cluster = Cluster::start(3);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let ana = tmux.chat(&cluster, "ana", (80, 24));
    let ben = tmux.chat(&cluster, "ben", (80, 24));
    ana.line("before");
    ben.sees("ana │ before");
    cluster.kill(ana.server(&cluster));
    ana.line("after");
    ana.sees("✓ ana │ after");
    ben.sees("ana │ after");
    ben.line("still here");
    ana.sees("still here");
    insta::assert_snapshot!("after_a_kill", ana.messages());
    // With all of them gone what is written waits, also over the end of this process.
    (1..=3).for_each(|node| cluster.kill(node));
    ana.sees("no server answers");
    ana.line("kept while nobody answers");
    ana.sees("kept while nobody answers (waiting here)");
    ana.keys(&["C-d"]);
    ana.dies();
    let again = tmux.pane("again", (80, 24), &chat_line(&cluster, "ana"));
    again.sees("connecting to");
    (1..=3).for_each(|node| cluster.spawn(node));
    again.sees("✓ ana │ kept while nobody answers");
    ben.sees("kept while nobody answers");
    assert_eq!(ben.see().matches("kept while nobody answers").count(), 1);
}

#[test]
fn without_a_majority_messages_are_marked_and_settle_where_they_stand() {
    let cluster = Cluster::start(3);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let only_first = |user: &str| {
        let (node, state) = (env!("CARGO_BIN_EXE_node"), cluster.dir.path().display());
        let line = format!("TZ=UTC XDG_STATE_HOME={state} {node} chat --user {user} lobby --server {}", cluster.url(1));
        let pane = tmux.pane(user, (80, 24), &line);
        pane.sees("#lobby");
        pane
    };
    let (ana, ben) = (only_first("ana"), only_first("ben"));
    ana.sees("ben is here");
    ana.line("all is well");
    ben.sees("ana │ all is well");
    let others = [2, 3].map(|node| cluster.pid(node));
    others.iter().for_each(|pid| signal(*pid, "STOP"));
    ana.sees("no majority since");
    ana.line("anybody there?");
    ana.sees("~ ana │ anybody there? (waits for a majority, on 1");
    ben.sees("~ ana │ anybody there?");
    ben.line("I am");
    ana.sees("~ ben │ I am (waits for a majority, on 1 node)");
    insta::assert_snapshot!("without_a_majority", ana.messages());
    let row = |pane: &Pane<'_>| pane.see().lines().position(|row| row.contains("anybody there?")).unwrap();
    let before = row(&ben);
    others.iter().for_each(|pid| signal(*pid, "CONT"));
    ana.sees("✓ ana │ anybody there?");
    ben.sees("✓ ben │ I am");
    ana.misses("waits for a majority");
    assert!(row(&ben) >= before, "nothing but the marks has moved");
    ana.misses("no majority");
}

#[test]
fn what_strangers_write_is_text_on_every_size_of_screen() {
    let cluster = Cluster::start(1);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let ana = tmux.chat(&cluster, "ana", (80, 24));
    let mallory = sign_in(&cluster.url(1), "mallory");
    post(&cluster.url(1), "/api/v1/rooms/1/join", Some(&mallory), None, &json!({}));
    let texts = [
        "one \u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[H\u{9b}31mred",
        "two <script>alert(1)</script> <b>bold</b>",
        "three \u{202e}txet\u{2066}x\u{200b}y\u{feff}z",
        "four \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2764}\u{fe0f} 漢字 e\u{301}",
    ];
    for text in texts {
        commit(&cluster.url(1), &mallory, text);
    }
    ana.sees("four ");
    let seen = ana.see();
    assert!(seen.contains("two <script>alert(1)</script> <b>bold</b>"), "{seen}");
    assert!(seen.contains("three \u{fffd}txet\u{fffd}x\u{fffd}y\u{fffd}z"), "{seen}");
    assert!(seen.contains("one ") && seen.contains("ana@127.0.0.1"), "nothing was wiped away:\n{seen}");
    assert!(seen.contains("👨👩👧 ❤ 漢字 é"), "{seen}");
    let raw = tmux.run(&["capture-pane", "-p", "-e", "-t", "ana"]);
    assert!(!raw.contains('\u{202e}') && !raw.contains('\u{200b}') && !raw.contains("]0;owned\u{7}"));
    let title = tmux.run(&["display-message", "-p", "-t", "ana", "#{pane_title}"]);
    assert!(!title.contains("owned"), "{title}");
    // The same on a small screen, and back.
    tmux.run(&["resize-window", "-t", "ana", "-x", "40", "-y", "10"]);
    ana.sees("four ");
    tmux.run(&["resize-window", "-t", "ana", "-x", "80", "-y", "24"]);
    ana.sees("one ");
    // What is pasted is not sent.
    tmux.run(&["set-buffer", "first\nsecond\u{1b}[31m"]);
    tmux.run(&["paste-buffer", "-p", "-t", "ana"]);
    ana.sees("> first");
    ana.sees("second");
    assert_eq!(history(&cluster.url(1), &mallory, "lobby").len(), texts.len());
}

#[test]
fn a_new_password_is_asked_for_twice() {
    let mut cluster = Cluster::prepare(1);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let peers = cluster.peers();
    cluster.spawn_with(1, &["--id", "1", "--peers", &peers, "--sign-in", "accounts"]);
    cluster.ready(1);
    let register = |name: &str| {
        let pane = tmux.pane(name, (80, 24), &format!("{} --register", chat_line(&cluster, "ana")));
        pane.sees("new password of ana:");
        pane.line("correct horse");
        pane.sees("once more:");
        pane
    };
    let typo = register("typo");
    typo.line("correct hoarse");
    assert!(!typo.sees("no account was made").contains("correct"));
    let without = tmux.pane("without", (80, 24), &chat_line(&cluster, "ana"));
    without.sees("password of ana:");
    without.line("correct horse");
    without.sees("--register");
    let ana = register("ana");
    ana.line("correct horse");
    ana.sees("ana@127.0.0.1:");
    ana.line("hello");
    ana.sees("✓ ana │ hello");
}

#[test]
fn what_is_typed_after_the_end_is_not_posted() {
    let cluster = Cluster::start(1);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let ana = sign_in(&cluster.url(1), "ana");
    for (name, end) in [("d", &["C-d"][..]), ("c", &["C-c", "C-c"][..])] {
        let pane = tmux.pane(name, (80, 24), &chat_line(&cluster, "ana"));
        pane.sees("ana@127.0.0.1:");
        pane.line(&format!("before {name}"));
        pane.sees(&format!("✓ ana │ before {name}"));
        // All of it is there before the chat has read any.
        let mut keys = vec!["send-keys", "-t", name];
        keys.extend(end);
        keys.extend(["s", "e", "c", "r", "e", "t", "Enter"]);
        tmux.run(&keys);
        let left = pane.dies();
        assert!(!left.contains("not acknowledged"), "{left}");
    }
    let posted = texts(&history(&cluster.url(1), &ana, "lobby"));
    assert_eq!(posted, ["before d", "before c"]);
}

#[test]
fn the_terminal_is_given_back_however_the_chat_ends() {
    let mut cluster = Cluster::start(1);
    let Some(tmux) = Tmux::start(cluster.dir.path()) else { return };
    let shell = tmux.pane("shell", (80, 24), "PS1='ready> ' ENV= sh -i");
    shell.sees("ready>");
    // What is typed before the chat has ended is the chat's: then it is asked again.
    let sane = |what: &str| {
        until(&format!("the terminal is as it was: {what}"), || {
            shell.line(&format!("stty -a | grep -o ' -\\?echo \\| -\\?icanon ' | tr -d '\\n'; echo ' {what}'"));
            shell.see().contains(&format!(" icanon  echo  {what}")).then_some(())
        });
    };
    let begin = |cluster: &Cluster| {
        shell.line(&chat_line(cluster, "ana"));
        shell.sees("ana@127.0.0.1:");
    };
    begin(&cluster);
    shell.line("written");
    shell.sees("✓ ana │ written");
    for time in ["once", "twice", "thrice"] {
        shell.keys(&["C-z"]);
        shell.sees("Stopped");
        sane(time);
        // Nothing of the chat is left on the shell's screen, so what is seen then was drawn anew.
        shell.line("clear; fg");
        shell.sees("✓ ana │ written");
        shell.types(time);
        shell.sees(&format!("> {time}"));
        shell.keys(&["C-c"]);
        shell.misses(&format!("> {time}"));
    }
    shell.keys(&["C-d"]);
    sane("left");
    for end in ["TERM", "HUP", "INT"] {
        begin(&cluster);
        let chats = say(Command::new("pgrep").args(["-f", &format!("chat --user ana lobby --server {}", cluster.url(1))])).out;
        let of_test = chats.lines().filter_map(|pid| pid.parse().ok()).find(|pid| is_node(*pid));
        signal(of_test.unwrap(), end);
        shell.misses("ana@127.0.0.1:");
        sane(end);
    }
    begin(&cluster);
    cluster.kill(1);
    shell.sees("no server answers");
    shell.line("for later");
    shell.sees("for later (waiting here)");
    shell.keys(&["C-d"]);
    shell.sees("-- 1 not acknowledged yet: kept, and sent when you chat here again");
    sane("with something kept");
}

fn is_node(pid: u32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("node"))
}
