//! Backups of real clusters under load, and new clusters that are made of them.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::*;

fn lobby(url: &str) -> String {
    let token = sign_in(url, "ana");
    let made = post(url, "/api/v1/rooms", Some(&token), None, &json!({"name": "lobby"}));
    assert!(matches!(made.status, 200 | 201), "{made:?}");
    token
}

fn write(url: &str, token: &str, n: usize) -> Answer {
    let key = format!("key-{n}");
    post(url, "/api/v1/rooms/lobby/messages", Some(token), Some(&key), &json!({"text": n.to_string()}))
}

fn backup(cluster: &Cluster, file: &Path, server: u16, more: &[&str]) -> Said {
    let mut command = node();
    command.arg("backup").arg(file).args(["--server", &cluster.url(server)]).args(more);
    say(command.arg("--secret-file").arg(cluster.secret()))
}

/// `node restore` for the first node of a cluster that does not run yet.
fn restore(cluster: &Cluster, file: &Path, secret: &Path) -> Said {
    let mut command = node();
    command.arg("restore").arg(file).args(["--id", "1", "--listen", &format!("127.0.0.1:{}", cluster.base)]);
    command.args(["--peer-listen", &format!("127.0.0.1:{}", cluster.peer_port(1))]);
    say(command.arg("--data").arg(cluster.data(1)).arg("--secret-file").arg(secret))
}

fn done(said: &Said) -> &str {
    assert!(said.status.success(), "{}{}", said.out, said.err);
    said.out.trim_end()
}

/// A cluster that is to be, with a secret of its own.
fn another() -> Cluster {
    let cluster = Cluster::prepare(1);
    fs::write(cluster.secret(), "a5".repeat(32)).unwrap();
    cluster
}

fn numbers(until: usize) -> Vec<String> {
    (0..until).map(|n| n.to_string()).collect()
}

/// Posts 0, 1, 2, … until it is stopped or the cluster is gone; counts what was acknowledged.
struct Writer {
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start(url: String, token: String) -> Writer {
        let (acknowledged, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (acknowledged.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && write(&url, &token, count.load(Ordering::Relaxed)).status == 201 {
                count.fetch_add(1, Ordering::Release);
            }
        });
        Writer { acknowledged, stop, thread: Some(thread) }
    }

    fn count(&self) -> usize {
        self.acknowledged.load(Ordering::Acquire)
    }

    fn reaches(&self, count: usize) {
        until("the writer goes on", || (self.count() >= count).then_some(()));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_cluster_that_is_lost_as_a_whole_goes_on_from_its_backup() {
    let mut old = Cluster::start(3);
    let token = lobby(&old.url(1));
    let leader = old.leader();
    let writer = Writer::start(old.url(leader), token.clone());
    writer.reaches(200);
    // From each node, while posts flow: none of them misses what was acknowledged before it was asked.
    let mut taken: Vec<(PathBuf, usize)> = Vec::new();
    for node in 1..=3 {
        let (file, before) = (old.dir.path().join(format!("from-{node}.backup")), writer.count());
        let said = backup(&old, &file, node, &[]);
        assert!(
            done(&said).contains(&format!(": node {node}, through log entry ")) && !said.err.contains("note:"),
            "{}",
            said.err
        );
        taken.push((file, before));
        writer.reaches(before + 50);
    }
    // One that is left alone still gives what it has, and says that it cannot know what else there is.
    (1..=3).filter(|node| *node != leader % 3 + 1).for_each(|node| old.kill(node));
    drop(writer);
    let alone = old.dir.path().join("alone.backup");
    let said = backup(&old, &alone, leader % 3 + 1, &[]);
    assert!(done(&said).contains(", through log entry ") && said.err.contains("the leader was not reached"), "{}", said.err);
    old.kill(leader % 3 + 1);

    for (file, before) in &taken {
        let checked = say(node().args(["backup", "--verify"]).arg(file));
        assert!(done(&checked).contains("is whole: node "), "{}", checked.out);
        let new = another();
        let said = restore(&new, file, &new.secret());
        assert!(done(&said).contains("is node 1 of a new cluster"), "{}", said.out);
        goes_on(new, &token, *before);
    }
}

/// The restored node has everything, goes on with it, survives, and gives it to the next one.
fn goes_on(mut new: Cluster, token: &str, acknowledged: usize) {
    new.spawn_with(1, &[]);
    new.ready(1);
    let url = new.url(1);
    let found = texts(&history(&url, token, "lobby"));
    assert!(found.len() >= acknowledged, "{} of {acknowledged}", found.len());
    assert_eq!(found, numbers(found.len()), "each once, in order");
    // What was answered is answered again and not done again; then the session goes on.
    let again = write(&url, token, 7);
    assert_eq!((again.status, &again.json["seq"]), (201, &json!(8)), "{again:?}");
    assert_eq!(write(&url, token, found.len()).status, 201);
    let expected = numbers(found.len() + 1);
    new.kill(1);
    new.spawn_with(1, &[]);
    new.ready(1);
    assert_eq!(texts(&history(&url, token, "lobby")), expected);

    new.grow(2);
    new.spawn_with(2, &["--join", &url]);
    new.ready(2);
    until("the second node has everything", || (texts(&history(&new.url(2), token, "lobby")) == expected).then_some(()));
    let mut command = node();
    command.args(["add", "--voters", "2", "--server", &url]).arg("--secret-file").arg(new.secret());
    // Ids are not given again: 1 to 3 were the old cluster's.
    assert_eq!(done(&say(&mut command)), "2 vote: 1, 4");
    assert_eq!(write(&new.url(2), token, expected.len()).status, 201);
    let view: Vec<Value> = (1..=2).map(|node| get(&new.url(node), "/api/v1/cluster", None).json).collect();
    assert_eq!(view[0]["nodes"].as_array().unwrap().len(), 2, "{view:?}");
}

#[test]
fn what_cannot_be_right_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start(1);
    let token = lobby(&cluster.url(1));
    for n in 0..20 {
        assert_eq!(write(&cluster.url(1), &token, n).status, 201);
    }
    let dir = cluster.dir.path().to_owned();
    let file = dir.join("b");
    done(&backup(&cluster, &file, 1, &[]));
    let refused = |said: Said, why: &str| {
        assert_eq!(said.status.code(), Some(1), "{}", said.out);
        assert!(said.err.contains(why) && said.out.is_empty(), "{}{}", said.out, said.err);
    };
    refused(backup(&cluster, &file, 1, &[]), "is there already");
    done(&backup(&cluster, &file, 1, &["--force"]));
    let new = another();
    let mut foreign = node();
    foreign.arg("backup").arg(dir.join("c")).args(["--server", &cluster.url(1)]).arg("--secret-file").arg(new.secret());
    refused(say(&mut foreign), "not this cluster's secret");
    let bare = get(&cluster.url(1), "/api/v1/cluster/backup", Some(&token));
    assert_eq!((bare.status, &bare.json["type"]), (401, &json!("urn:tertulia:operator-unknown")));

    // A secret of the old cluster, a damaged file, a cut one, something else.
    refused(restore(&new, &file, &cluster.secret()), "the secret of the cluster that the backup is of");
    let whole = fs::read(&file).unwrap();
    let bad = dir.join("bad");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    for (bytes, why) in [(&flipped[..], "is damaged at byte"), (&whole[..whole.len() - 40], "is cut off"), (b"PK", "no backup")] {
        fs::write(&bad, bytes).unwrap();
        refused(say(node().args(["backup", "--verify"]).arg(&bad)), why);
        refused(restore(&new, &bad, &new.secret()), why);
    }
    assert!(!new.data(1).exists(), "nothing is written from a bad file");
    done(&restore(&new, &file, &new.secret()));
    refused(restore(&new, &file, &new.secret()), "is not empty");
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("part") || name == "c"), "{left:?}");
}

/// What messages, tokens and passwords can be read out of is nobody else's.
#[test]
fn what_a_node_writes_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let cluster = Cluster::start(1);
    sign_in(&cluster.url(1), "ana");
    let mut folders = vec![cluster.data(1)];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.metadata().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            }
            assert_eq!(kind.permissions().mode() & 0o077, 0, "{}", entry.path().display());
            seen += 1;
        }
    }
    assert!(seen > 5, "the log, the rows, the vote, the index, node.json");
}
