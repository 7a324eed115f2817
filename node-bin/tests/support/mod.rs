//! Real processes for the live tests: clusters in folders of their own, on free ports, ended with the test that started them.
//!
//! Nothing here sleeps and hopes: every wait names its condition, and has a generous limit.

#![allow(dead_code, reason = "each file of tests uses its own part")]

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub const LIMIT: Duration = Duration::from_secs(30);

/// Repeats until there is an answer.
pub fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let pause = Duration::from_millis(50);
    for _ in 0..LIMIT.as_millis() / pause.as_millis() {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(pause);
    }
    panic!("waited {LIMIT:?} in vain: {what}");
}

/// A first port such that it, the next few and those 1,000 above are free.
pub fn free_base(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() as u16 % 900 * 16;
    for _ in 0..200 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) * 16;
        let base = 12_000 + begin.wrapping_add(step) % 16_000;
        let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (base..base + count).all(|port| free(port) && free(port + 1_000)) {
            return base;
        }
    }
    panic!("no free ports");
}

pub fn node() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_node"));
    command.stdin(Stdio::null());
    command
}

/// What a command that should end by itself said.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

pub fn say(command: &mut Command) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = std::thread::spawn(move || read_all(&mut out));
    let err = std::thread::spawn(move || read_all(&mut err));
    let status = ended(&mut child);
    Said { status, out: out.join().unwrap(), err: err.join().unwrap() }
}

fn read_all(from: &mut impl Read) -> String {
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    text
}

/// Waits for a process's end; ends it and fails if it takes too long.
pub fn ended(child: &mut Child) -> ExitStatus {
    for _ in 0..LIMIT.as_millis() / 20 {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    panic!("the process did not end within {LIMIT:?}");
}

pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Whether a process is there and is not merely waiting to be reaped.
pub fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

// ---- clusters

pub struct Cluster {
    pub dir: tempfile::TempDir,
    pub base: u16,
    /// Nodes that may run.
    count: u16,
    /// Nodes that the cluster began with.
    founders: u16,
    children: Vec<Option<Child>>,
}

impl Cluster {
    /// A cluster with a leader that every node knows.
    pub fn start(count: u16) -> Cluster {
        let mut cluster = Cluster::prepare(count);
        for node in 1..=count {
            cluster.spawn(node);
        }
        for node in 1..=count {
            cluster.ready(node);
        }
        cluster
    }

    /// Folders and ports; nothing runs.
    pub fn prepare(count: u16) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secret"), "5a".repeat(32)).unwrap();
        // Some more than are begun with: members may join.
        Cluster { dir, base: free_base(count + 3), count, founders: count, children: (0..count).map(|_| None).collect() }
    }

    /// Makes room for nodes that join: folders and ports up to this node's. Nothing runs yet.
    pub fn grow(&mut self, count: u16) {
        assert!(count <= self.founders + 3, "there are no ports for so many");
        self.children.resize_with(usize::from(count), || None);
        self.count = count;
    }

    pub fn url(&self, node: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + node - 1)
    }

    pub fn peer_port(&self, node: u16) -> u16 {
        self.base + node - 1 + 1_000
    }

    pub fn data(&self, node: u16) -> PathBuf {
        self.dir.path().join(format!("node-{node}"))
    }

    pub fn log(&self, node: u16) -> String {
        fs::read_to_string(self.dir.path().join(format!("{node}.log"))).unwrap_or_default()
    }

    pub fn peers(&self) -> String {
        let peer = |node| format!("{node}=127.0.0.1:{}={}", self.peer_port(node), self.url(node));
        (1..=self.founders).map(peer).collect::<Vec<_>>().join(",")
    }

    /// `node serve` as it is called for one node.
    pub fn serve(&self, node: u16) -> Command {
        self.serve_with(node, &["--id", &node.to_string(), "--peers", &self.peers()])
    }

    /// `node serve` with one node's folder and ports.
    pub fn serve_with(&self, node: u16, more: &[&str]) -> Command {
        let mut command = self::node();
        command
            .arg("serve")
            .args(more)
            .args(["--listen", &format!("127.0.0.1:{}", self.base + node - 1)])
            .args(["--peer-listen", &format!("127.0.0.1:{}", self.peer_port(node))])
            .arg("--data")
            .arg(self.data(node))
            .arg("--secret-file")
            .arg(self.secret());
        command
    }

    pub fn secret(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    pub fn spawn(&mut self, node: u16) {
        self.run(node, self.serve(node));
    }

    /// Starts a node as one that joins, or has joined.
    pub fn spawn_with(&mut self, node: u16, more: &[&str]) {
        self.run(node, self.serve_with(node, more));
    }

    fn run(&mut self, node: u16, mut command: Command) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(format!("{node}.log"))).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.children[usize::from(node) - 1] = Some(child);
    }

    /// Waits until a node knows a leader.
    pub fn ready(&self, node: u16) {
        until(&format!("node {node} is ready; its log:\n{}", self.log(node)), || {
            (get(&self.url(node), "/readyz", None).status == 200).then_some(())
        });
    }

    /// kill -9.
    pub fn kill(&mut self, node: u16) {
        if let Some(mut child) = self.children[usize::from(node) - 1].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn pid(&self, node: u16) -> u32 {
        self.children[usize::from(node) - 1].as_ref().unwrap().id()
    }

    /// Waits until a node's process has ended by itself.
    pub fn ended(&mut self, node: u16) -> ExitStatus {
        ended(self.children[usize::from(node) - 1].as_mut().unwrap())
    }

    /// The leader that the nodes agree on.
    pub fn leader(&self) -> u16 {
        until("the nodes agree on a leader", || {
            let mut leaders = (1..=self.count).filter(|node| self.children[usize::from(*node) - 1].is_some()).map(|node| {
                let answer = get(&self.url(node), "/api/v1/cluster", None);
                (answer.status == 200).then(|| answer.json["leader"].as_u64()).flatten()
            });
            let first = leaders.next()??;
            leaders.all(|leader| leader == Some(first)).then_some(first as u16)
        })
    }

    pub fn servers(&self) -> Vec<String> {
        (1..=self.count).flat_map(|node| ["--server".into(), self.url(node)]).collect()
    }

    pub fn metrics(&self, node: u16) -> String {
        get(&self.url(node), "/metrics", None).text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 1..=self.count {
            self.kill(node);
            if std::thread::panicking() {
                eprintln!("---- log of node {node}\n{}", self.log(node));
            }
        }
    }
}

// ---- HTTP

#[derive(Debug)]
pub struct Answer {
    /// 0 when there was none.
    pub status: u16,
    pub text: String,
    pub json: Value,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(12))).build().into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    match result {
        Ok(mut response) => {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            let json = serde_json::from_str(&text).unwrap_or(Value::Null);
            Answer { status: response.status().as_u16(), text, json }
        }
        Err(error) => Answer { status: 0, text: error.to_string(), json: Value::Null },
    }
}

pub fn get(url: &str, path: &str, token: Option<&str>) -> Answer {
    let mut request = agent().get(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    answer(request.call())
}

pub fn post(url: &str, path: &str, token: Option<&str>, key: Option<&str>, body: &Value) -> Answer {
    let mut request = agent().post(format!("{url}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    answer(request.send_json(body))
}

/// Posts to the lobby, and waits until the message has its place: where no leader is known just now it is accepted first.
pub fn commit(url: &str, token: &str, text: &str) -> Answer {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let key = format!("commit {}", NEXT.fetch_add(1, Ordering::Relaxed));
    until("the message has its place", || {
        let posted = post(url, "/api/v1/rooms/lobby/messages", Some(token), Some(&key), &json!({"text": text}));
        assert!(matches!(posted.status, 201 | 202), "{posted:?}");
        (posted.status == 201).then_some(posted)
    })
}

/// Any method; without a body if it is null.
pub fn call(method: &str, url: &str, token: &str, body: &Value) -> Answer {
    let request = ureq::http::Request::builder().method(method).uri(url).header("authorization", format!("Bearer {token}"));
    let agent = agent();
    if body.is_null() {
        return answer(agent.run(request.body(()).unwrap()));
    }
    answer(agent.run(request.header("content-type", "application/json").body(body.to_string()).unwrap()))
}

pub fn sign_in(url: &str, name: &str) -> String {
    let signed = post(url, "/api/v1/sessions", None, None, &json!({"name": name}));
    assert_eq!(signed.status, 201, "{signed:?}");
    signed.json["token"].as_str().unwrap().into()
}

/// The whole history of a room, by pages.
pub fn history(url: &str, token: &str, room: &str) -> Vec<Value> {
    let mut messages: Vec<Value> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |last| last["seq"].as_u64().unwrap());
        let page = get(url, &format!("/api/v1/rooms/{room}/messages?after={after}&limit=1000"), Some(token));
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json["messages"].as_array().unwrap().clone();
        if page.is_empty() {
            return messages;
        }
        messages.extend(page);
    }
}

pub fn texts(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

/// Sends bytes, then waits for the other side to close.
pub fn closes_after(port: u16, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // It may be closed before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

// ---- demos

/// A running `node demo`, and the lines that it prints.
pub struct Demo {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub nodes: Vec<(u16, String, u32)>,
}

impl Demo {
    pub fn start(dir: &Path, base: u16, more: &[&str]) -> Demo {
        let mut command = node();
        command.args(["demo", "--http-base", &base.to_string(), "--data"]).arg(dir).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut demo = Demo { child, lines, nodes: Vec::new() };
        let count = more.iter().position(|word| *word == "--nodes").and_then(|at| more[at + 1].parse().ok()).unwrap_or(3);
        for _ in 0..count {
            let started = parse(&demo.line());
            demo.nodes.push(started);
        }
        demo
    }

    /// Its control, as the cluster page finds it: by the key in the address that is printed, and by what a node says.
    pub fn control(&mut self) -> Control {
        let line = self.line_beginning("break it at ");
        let (page, key) = line.strip_prefix("break it at ").unwrap().split_once("#key=").unwrap();
        let node = page.strip_suffix("/cluster").unwrap().to_owned();
        let url = until("node 1 says where the control is", || {
            get(&node, "/api/v1/cluster/vitals", None).json["vitals"]["control"].as_str().map(str::to_owned)
        });
        Control { url, key: key.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the demo ended: {line}");
        line.pop();
        line
    }

    /// The next line that begins so.
    pub fn line_beginning(&mut self, begin: &str) -> String {
        loop {
            let line = self.line();
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn all_ready(&self) {
        for (node, url, _) in &self.nodes {
            until(&format!("node {node} of the demo is ready"), || (get(url, "/readyz", None).status == 200).then_some(()));
        }
    }
}

/// The way to a demo's control.
pub struct Control {
    pub url: String,
    pub key: String,
}

impl Control {
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        call(method, &format!("{}/api/v1/demo{path}", self.url), &self.key, body)
    }

    /// Has something done that must work.
    pub fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.call(method, path, body);
        assert_eq!(answer.status, 200, "{method} {path} {body}: {answer:?}");
        answer.json
    }

    pub fn state(&self) -> Value {
        self.done("GET", "", &Value::Null)
    }

    /// A node as the control sees it.
    pub fn node(&self, node: u16) -> Value {
        self.state()["nodes"][usize::from(node) - 1].clone()
    }

    pub fn load(&self) -> Value {
        self.state()["load"].clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `node 1  http://127.0.0.1:8081  pid 4242`
pub fn parse(line: &str) -> (u16, String, u32) {
    let parts: Vec<&str> = line.split("  ").collect();
    let [node, url, pid] = parts[..] else { panic!("not a node's line: {line}") };
    let node = node.strip_prefix("node ").unwrap().parse().unwrap();
    (node, url.into(), pid.strip_prefix("pid ").unwrap().parse().unwrap())
}
