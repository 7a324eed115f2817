//! Real processes: a short run with a kill, a stop and a cut is well; a history that lost a post is not; nothing outlives the command.
//!
//! The binary `node` is the one beside the tests' own folder. `cargo test --workspace` has built it; a test of this package alone builds it if there is none.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::time::Duration;
use tertulia_judge::record::{Reader, Recorded, Writer};
use tertulia_judge::{ClientFact, Extent};

/// The cluster's binary.
fn node() -> PathBuf {
    static BUILT: Once = Once::new();
    let node = Path::new(env!("CARGO_BIN_EXE_sim")).with_file_name("node");
    BUILT.call_once(|| {
        if !node.is_file() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "--locked", "--package", "tertulia-node", "--bin", "node"]);
            if !cfg!(debug_assertions) {
                cargo.arg("--release");
            }
            assert!(cargo.status().unwrap().success(), "the node cannot be built");
        }
    });
    assert!(node.is_file(), "there is no {}", node.display());
    node
}

fn sim(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(args).stdin(Stdio::null());
    command
}

fn live(dir: &Path, args: &[&str]) -> Command {
    let mut command = sim(&["live"]);
    command.args(args).arg("--node").arg(node()).arg("--dir").arg(dir);
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Judges the records of a run again, with another history of its clients.
fn judge(dir: &Path, history: &Path) -> (ExitStatus, String) {
    let mut command = sim(&["judge"]);
    let output = command.args((1..=3).map(|node| dir.join(format!("n{node}.jsonl")))).arg(history).output().unwrap();
    (output.status, text(&output))
}

/// Nodes whose data lies in this folder.
fn nodes_in(dir: &Path) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let runs = |pid: &Path| {
        let line = fs::read(pid.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&format!("{}/n", dir.display()))
    };
    processes.filter(|process| runs(&process.path()) && !is_dead(&process.path())).count()
}

/// Only waiting to be reaped.
fn is_dead(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") Z ")) || !process.exists()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited a minute in vain: {what}");
}

/// A copy of a history in which what clients read in the end lacks the post that was acknowledged last.
fn without_the_last_acknowledged(history: &Path) -> Vec<u8> {
    let mut reader = Reader::new(BufReader::new(File::open(history).unwrap())).unwrap();
    let mut lines = Vec::new();
    while let Some(line) = reader.read().unwrap() {
        lines.push(line);
    }
    let acknowledged = |recorded: &Recorded| match recorded {
        Recorded::Client(ClientFact::Acknowledged { id, .. }) => Some(*id),
        _ => None,
    };
    let lost = lines.iter().rev().find_map(|(_, recorded)| acknowledged(recorded)).unwrap();
    let mut writer = Writer::new(Vec::new(), reader.voters()).unwrap();
    for (at, recorded) in &mut lines {
        if let Recorded::Client(ClientFact::Read { posts, extent: Extent::Final, .. }) = recorded {
            posts.retain(|post| post.id != lost);
        }
        match (recorded.observed(), &*recorded) {
            (Some(observed), _) => writer.observe(*at, observed).unwrap(),
            (None, Recorded::Settled { core }) => writer.settled(*at, core).unwrap(),
            (None, other) => panic!("{other:?}"),
        }
    }
    writer.into_inner().unwrap()
}

#[test]
fn a_live_cluster_survives_a_kill_a_stop_and_a_cut_and_a_history_that_lost_a_post_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let output = live(&run, &["--for", "8s", "--seed", "1", "--clients", "4", "--rate", "20"]).output().unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.lines().last().unwrap().starts_with("seed 1 ok live faults="), "{told}");
    for none in [" 0 kills", " 0 stops", " 0 pieces", " 0 acknowledged", " 0 facts of nodes", " 0 of clients"] {
        assert!(!told.contains(none), "{told}");
    }
    assert_eq!(nodes_in(&run), 0);

    let history = run.join("clients.jsonl");
    let (status, told) = judge(&run, &history);
    assert!(status.success() && told.ends_with("ok\n"), "{told}");
    let spoiled = dir.path().join("spoiled.jsonl");
    fs::write(&spoiled, without_the_last_acknowledged(&history)).unwrap();
    let (status, told) = judge(&run, &spoiled);
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.contains("FAILED by rule "), "{told}");
}

#[test]
fn the_nodes_end_with_the_command_however_it_ends() {
    for (signal, status) in [("INT", Some(2)), ("TERM", Some(2)), ("KILL", None)] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = live(dir.path(), &["--for", "10m"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("three nodes run", || nodes_in(dir.path()) == 3);
        let killed = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        assert_eq!(child.wait().unwrap().code(), status, "SIG{signal}");
        until("no node is left", || nodes_in(dir.path()) == 0);
    }
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (args, named) in [
        (&["../scenarios/power-cut.toml"][..], "only disk = \"keep\" can be had"),
        (&["../scenarios/lossy-network.toml"], "not to be had of TCP"),
        (&["--faults", "flood"], "\"flood\" is none of kill, stop and cut"),
        (&["--for", "1s"], "from 5s to 24h"),
    ] {
        let output = live(dir.path(), args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output).contains(named), "{args:?}: {}", text(&output));
    }
    fs::write(dir.path().join("something"), "").unwrap();
    assert!(text(&live(dir.path(), &[]).output().unwrap()).contains("is not empty"));
}
