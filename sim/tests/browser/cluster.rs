//! Five real nodes whose links are cut and healed by a line: `sim cluster`. And people who have no window.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

pub struct Cluster {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    urls: Vec<String>,
    dir: tempfile::TempDir,
}

/// Somebody who is signed in.
pub struct Person {
    token: String,
}

/// The cluster's binary, beside the tests' own folder. `cargo test --workspace` has built it; a test of this package alone builds it.
pub fn node() -> PathBuf {
    let node = Path::new(env!("CARGO_BIN_EXE_sim")).with_file_name("node");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--package", "tertulia-node", "--bin", "node"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !node.is_file() {
        assert!(cargo.status().unwrap().success(), "the node cannot be built");
    }
    node
}

impl Cluster {
    /// Nodes that a name is enough for. Returns when every node knows a leader.
    pub fn start(nodes: usize) -> Cluster {
        Cluster::where_people(nodes, "open")
    }

    /// Nodes at which people sign in as `node serve --sign-in` says.
    pub fn where_people(nodes: usize, sign_in: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
        command.args(["cluster", "--nodes", &nodes.to_string(), "--node"]).arg(node()).arg("--dir").arg(dir.path());
        command.args(["--sign-in", sign_in]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut url = || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        let urls = (0..nodes).map(|_| url()).collect();
        let cluster = Cluster { child, input, lines, urls, dir };
        for node in 1..=nodes {
            cluster.until("it knows a leader", node, || cluster.ask("GET", node, "/readyz", None, Value::Null).0 == 200);
        }
        cluster
    }

    /// Has something done to nodes and links. When this returns it is so.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.lines.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), format!("ok {line}"));
    }

    pub fn url(&self, node: usize) -> &str {
        &self.urls[node - 1]
    }

    /// The addresses of all nodes but these, for a window that does not reach them.
    pub fn all_but(&self, reached: &[usize]) -> Vec<String> {
        let others = (1..=self.urls.len()).filter(|node| !reached.contains(node));
        others.map(|node| format!("*{}/*", self.url(node).strip_prefix("http").unwrap())).collect()
    }

    /// The status and the body, or 0 when there was no answer.
    fn ask(&self, method: &str, node: usize, path: &str, person: Option<&Person>, body: Value) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(8)));
        let agent: ureq::Agent = config.build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url(node)));
        if let Some(Person { token }) = person {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let answered = match body {
            Value::Null => agent.run(request.body(()).unwrap()),
            body => agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()),
        };
        let Ok(mut answered) = answered else { return (0, Value::Null) };
        let text = answered.body_mut().read_to_string().unwrap_or_default();
        (answered.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn until(&self, what: &str, node: usize, mut done: impl FnMut() -> bool) {
        for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
            if done() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        let log = std::fs::read_to_string(self.dir.path().join(format!("n{node}.log"))).unwrap_or_default();
        panic!("waited {LIMIT:?} in vain, at node {node}: {what}. Its log:\n{log}");
    }

    /// People who are signed in and in the lobby, which the first one has made.
    pub fn people(&self, names: &[&str]) -> Vec<Person> {
        let enter = |name: &&str| {
            let (status, signed) = self.ask("POST", 1, "/api/v1/sessions", None, json!({"name": name}));
            assert_eq!(status, 201, "{signed}");
            let person = Person { token: signed["token"].as_str().unwrap().to_owned() };
            self.ask("POST", 1, "/api/v1/rooms", Some(&person), json!({"name": "lobby"}));
            let (status, joined) = self.ask("POST", 1, "/api/v1/rooms/lobby/join", Some(&person), Value::Null);
            assert_eq!(status, 200, "{joined}");
            person
        };
        names.iter().map(enter).collect()
    }

    /// A room in which nothing is said without a majority.
    pub fn strict_room(&self, owner: &Person, name: &str) {
        let room = json!({"name": name, "rules": {"tentative": "refuse"}});
        let (status, body) = self.ask("POST", 1, "/api/v1/rooms", Some(owner), room);
        assert_eq!(status, 201, "{body}");
    }

    /// A room for everybody.
    pub fn room(&self, owner: &Person, name: &str) {
        let (status, body) = self.ask("POST", 1, "/api/v1/rooms", Some(owner), json!({"name": name}));
        assert_eq!(status, 201, "{body}");
    }

    /// Posts in another room than the lobby.
    pub fn say_in(&self, node: usize, person: &Person, room: &str, text: &str) {
        let path = format!("/api/v1/rooms/{}/messages", room.replace(' ', "%20"));
        let (status, body) = self.ask("POST", node, &path, Some(person), json!({"text": text}));
        assert_eq!(status, 201, "{body}");
    }

    /// Posts at a node, which commits or accepts it.
    pub fn post(&self, node: usize, person: &Person, text: &str) -> u16 {
        let (status, body) = self.ask("POST", node, "/api/v1/rooms/lobby/messages", Some(person), json!({"text": text}));
        assert!(status == 201 || status == 202, "{status} {body}");
        status
    }

    /// Asks until it is done: the side may only be electing.
    pub fn ban(&self, node: usize, owner: &Person, name: &str) {
        self.until("somebody is banned", node, || {
            self.ask("PUT", node, &format!("/api/v1/rooms/lobby/bans/{name}"), Some(owner), Value::Null).0 == 200
        });
    }

    /// Waits until a node answers with this history: ids and texts.
    pub fn until_answers(&self, node: usize, person: &Person, is_it: impl Fn(&[(String, String)]) -> bool) {
        self.until("it answers the whole history", node, || {
            let (_, page) = self.ask("GET", node, "/api/v1/rooms/lobby/messages?limit=1000", Some(person), Value::Null);
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let messages = page["messages"].as_array().cloned().unwrap_or_default();
            is_it(&messages.iter().map(|message| (word(&message["id"]), word(&message["text"]))).collect::<Vec<_>>())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The nodes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
