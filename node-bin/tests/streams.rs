//! A thousand WebSockets on one real node while posts flow: most are read, some slowly, some not at all.
//!
//! Nothing here depends on how fast the machine is: slow readers are made by not reading from small buffers, and each wait names its condition.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]
#![allow(clippy::disallowed_methods, reason = "a test that says how long things took has no other clock")]

mod support;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use support::*;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

const SESSIONS: usize = 125;
const FAST: usize = 920;
const SLOW: usize = 40;
/// Of these half come back when they are told, half much later.
const STUCK: usize = 40;
const POSTS: u64 = 160;
const TEXT: usize = 2_500;
/// Far more than any step takes on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(120);

/// One open stream, and how far it has come in the one room.
struct Reader {
    socket: WebSocket<TcpStream>,
    cursor: u64,
    /// The last message.
    seq: u64,
}

#[derive(Debug, PartialEq)]
enum Heard {
    Message(u64),
    Problem(String),
    Closed(u16, String),
    Gone,
}

fn dial(port: u16, buffer: Option<usize>) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

fn upgrade(port: u16, token: &str, buffer: Option<usize>) -> Result<WebSocket<TcpStream>, (u16, Value, Option<String>)> {
    let mut request = format!("ws://127.0.0.1:{port}/api/v1/stream").into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    match tungstenite::client(request, dial(port, buffer)) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            let body = response.body().as_ref().map_or(Value::Null, |body| serde_json::from_slice(body).unwrap_or(Value::Null));
            Err((response.status().as_u16(), body, retry))
        }
        Err(other) => panic!("{other}"),
    }
}

impl Reader {
    /// Follows from now on, or from where an earlier stream was.
    fn open(port: u16, token: &str, buffer: Option<usize>, from: Option<(u64, u64)>) -> Reader {
        let mut reader = Reader { socket: upgrade(port, token, buffer).unwrap(), cursor: 0, seq: 0 };
        let mut following = reader.frame();
        if let Some((cursor, seq)) = from {
            let cursors = json!({"cursors": {"1": cursor}}).to_string();
            reader.socket.send(Message::Text(cursors.into())).unwrap();
            // Events of the first beginning may still come; the second one's are behind its own first frame.
            following = reader.frame();
            while following["type"] != "following" {
                following = reader.frame();
            }
            reader.seq = seq;
        }
        reader.cursor = following["cursors"]["1"].as_u64().unwrap();
        reader
    }

    fn frame(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// The next thing of the room. Whatever has a place must be the very next one.
    fn hear(&mut self) -> Heard {
        loop {
            let frame: Value = match self.socket.read() {
                Ok(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
                Ok(Message::Close(Some(close))) => return Heard::Closed(close.code.into(), close.reason.to_string()),
                Ok(_) => continue,
                Err(_) => return Heard::Gone,
            };
            if frame["type"] == "error" {
                return Heard::Problem(frame["problem"]["type"].as_str().unwrap().into());
            }
            let Some(cursor) = frame["cursor"].as_u64() else { continue };
            assert_eq!(cursor, self.cursor + 1, "an event was left out or came twice: {frame}");
            self.cursor = cursor;
            if frame["type"] == "message" {
                let seq = frame["message"]["seq"].as_u64().unwrap();
                assert_eq!(seq, self.seq + 1, "a message was left out or came twice");
                self.seq = seq;
                return Heard::Message(seq);
            }
        }
    }

    /// Reads through this message.
    fn take_through(&mut self, last: u64, pause: Duration) {
        while self.seq < last {
            let heard = self.hear();
            assert!(matches!(heard, Heard::Message(_)), "a reader that reads is never dropped: {heard:?} after {}", self.seq);
            std::thread::sleep(pause);
        }
    }
}

fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(256 << 10).spawn(run).unwrap()
}

/// Kilobytes of a process's memory, by the name that the kernel gives the figure.
fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':')).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// Bytes that wait in the kernel to be taken by those who are connected to this port: the most for one.
fn most_waiting(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let waiting = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let queue = fields.get(4).filter(|_| fields[1].ends_with(&local))?.split_once(':')?.0;
        u64::from_str_radix(queue, 16).ok()
    });
    waiting.max().unwrap_or(0)
}

fn counted(cluster: &Cluster, name: &str) -> u64 {
    let metrics = cluster.metrics(1);
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

fn patiently(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Each stream is a file here, and one more at the node.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[test]
fn a_thousand_streams_flow_and_those_who_do_not_read_are_told_dropped_and_catch_up() {
    raise_file_limit();
    let cluster = Cluster::start(1);
    let (url, port, pid) = (cluster.url(1), cluster.base, cluster.pid(1));
    let tokens: Vec<String> = (0..SESSIONS).map(|nth| sign_in(&url, &format!("reader {nth}"))).collect();
    assert_eq!(post(&url, "/api/v1/rooms", Some(&tokens[0]), None, &json!({"name": "lobby"})).status, 201);
    for token in &tokens {
        assert_eq!(call("POST", &format!("{url}/api/v1/rooms/1/join"), token, &Value::Null).status, 200);
    }
    let token = |nth: usize| tokens[nth % SESSIONS].clone();
    let (before, began) = (memory(pid, "VmRSS"), Instant::now());

    let open = |nth: usize, buffer| Reader::open(port, &token(nth), buffer, None);
    let fast: Vec<Reader> = (0..FAST).map(|nth| open(nth, None)).collect();
    let slow: Vec<Reader> = (FAST..FAST + SLOW).map(|nth| open(nth, Some(4_096))).collect();
    let stuck: Vec<Reader> = (FAST + SLOW..FAST + SLOW + STUCK).map(|nth| open(nth, Some(4_096))).collect();
    assert_eq!(counted(&cluster, "tertulia_streams"), 1_000);
    let idle = memory(pid, "VmRSS");
    println!("1,000 streams are open after {:?}: {before} kB without, {idle} kB with them", began.elapsed());

    let read = |readers: Vec<Reader>, pause| {
        let take = move |mut reader: Reader| thread(move || reader.take_through(POSTS, Duration::from_millis(pause)));
        readers.into_iter().map(take).collect::<Vec<_>>()
    };
    let (fast, slow) = (read(fast, 0), read(slow, 40));
    let began = Instant::now();
    let mut waiting = 0;
    for nth in 0..POSTS {
        let text = format!("{nth} {}", "x".repeat(TEXT));
        assert_eq!(post(&url, "/api/v1/rooms/1/messages", Some(&tokens[0]), None, &json!({"text": text})).status, 201);
        waiting = waiting.max(most_waiting(port));
    }
    let posted = began.elapsed();
    fast.into_iter().for_each(|reader| reader.join().unwrap());
    println!("{POSTS} posts in {posted:?}; {FAST} readers have them all after {:?}", began.elapsed());
    slow.into_iter().for_each(|reader| reader.join().unwrap());
    println!("{SLOW} slow readers have them all after {:?}", began.elapsed());

    // Nobody else is dropped: what is counted are those who did not read.
    let too_slow = "tertulia_streams_closed_total{reason=\"too-slow\"}";
    patiently("those who do not read are given up", || counted(&cluster, too_slow) == STUCK as u64);
    println!("{STUCK} who did not read were given up {:?} after the first post", began.elapsed());
    let mut stuck = stuck.into_iter().enumerate();
    let told: Vec<_> =
        stuck.by_ref().take(STUCK / 2).map(|(nth, mut reader)| thread(move || (nth, hears_why(&mut reader)))).collect();
    let mut back: Vec<(usize, (u64, u64))> = told.into_iter().map(|reader| reader.join().unwrap()).collect();
    patiently("the others are dropped", || counted(&cluster, "tertulia_streams") == 0);
    let peak = memory(pid, "VmHWM");
    for (nth, mut reader) in stuck {
        while matches!(reader.hear(), Heard::Message(_)) {}
        back.push((nth, (reader.cursor, reader.seq)));
    }

    assert_eq!(counted(&cluster, too_slow), STUCK as u64);
    assert_eq!(post(&url, "/api/v1/rooms/1/messages", Some(&tokens[0]), None, &json!({"text": "the last"})).status, 201);
    let least = back.iter().map(|(_, (_, seq))| *seq).min().unwrap();
    for (nth, from) in back {
        let mut reader = Reader::open(port, &token(FAST + SLOW + nth), None, Some(from));
        assert_eq!(reader.cursor, from.0, "it goes on where it was");
        reader.take_through(POSTS + 1, Duration::ZERO);
    }
    println!("they had read to {least} of {POSTS}, and all the rest when they came back");
    let after = memory(pid, "VmRSS");
    println!(
        "memory: {before} kB before, {idle} kB with 1,000 idle streams, {peak} kB at most, {after} kB after; {waiting} bytes at most wait in the kernel for one reader"
    );
    // A stream's buffers and task, what the node keeps for those who lag, and what the allocator does not give back.
    let bound = 1_000 * 64 + (SLOW + STUCK) as u64 * 256 + (32 << 10);
    assert!(peak - before < bound, "1,000 streams took {} kB, more than {bound} kB", peak - before);
    assert!(waiting < 512 << 10, "{waiting} bytes wait in the kernel for one reader");
}

/// Takes what is on its way, then is told why there is no more. Returns where it is.
fn hears_why(reader: &mut Reader) -> (u64, u64) {
    let mut heard = reader.hear();
    while matches!(heard, Heard::Message(_)) {
        heard = reader.hear();
    }
    assert_eq!(heard, Heard::Problem("urn:tertulia:too-slow".into()));
    assert_eq!(reader.hear(), Heard::Closed(1013, "The stream is not read".into()));
    assert!(reader.seq < POSTS, "the node cannot have been able to send all");
    (reader.cursor, reader.seq)
}

#[test]
fn pages_of_others_open_no_socket_and_those_of_this_node_do() {
    let cluster = Cluster::start(1);
    let token = sign_in(&cluster.url(1), "ana");
    for path in ["stream", "client"] {
        for (origin, opens) in [
            ("http://evil.example".to_owned(), false),
            ("null".to_owned(), false),
            (format!("http://127.0.0.1:{}", cluster.base + 1), false),
            (cluster.url(1), true),
            (format!("http://localhost:{}", cluster.base), true),
        ] {
            let mut request = format!("ws://127.0.0.1:{}/api/v1/{path}", cluster.base).into_client_request().unwrap();
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
            request.headers_mut().insert("origin", origin.parse().unwrap());
            match tungstenite::client(request, dial(cluster.base, None)) {
                Ok(_) => assert!(opens, "{path} for a page of {origin}"),
                Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                    assert!(!opens, "{path} for a page of {origin}");
                    assert_eq!(response.status(), 403);
                    let problem: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
                    assert_eq!(problem["type"], "urn:tertulia:origin-not-allowed");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_session_has_so_many_streams_and_one_more_is_refused_with_a_reason() {
    let cluster = Cluster::start(1);
    let (url, port) = (cluster.url(1), cluster.base);
    let (ana, ben) = (sign_in(&url, "ana"), sign_in(&url, "ben"));
    let mut open: Vec<_> = (0..32).map(|_| upgrade(port, &ana, None).unwrap()).collect();
    let (status, problem, retry) = upgrade(port, &ana, None).unwrap_err();
    assert_eq!((status, &problem["type"], retry.as_deref()), (429, &json!("urn:tertulia:too-many-streams"), Some("5")));
    // Who says its token in a frame is told in a frame.
    let socket = dial(port, None);
    let (mut late, _) = tungstenite::client(format!("ws://127.0.0.1:{port}/api/v1/stream"), socket).unwrap();
    late.send(Message::Text(json!({"token": ana}).to_string().into())).unwrap();
    let mut late = Reader { socket: late, cursor: 0, seq: 0 };
    assert_eq!(late.hear(), Heard::Problem("urn:tertulia:too-many-streams".into()));
    assert_eq!(late.hear(), Heard::Closed(1013, "Too many streams".into()));
    upgrade(port, &ben, None).unwrap();
    open.pop();
    patiently("there is a place again", || upgrade(port, &ana, None).is_ok());
}
