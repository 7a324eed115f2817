//! The routes against a node that a closure plays.

use super::*;
use crate::gate::Line;
use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tertulia_driver::Incoming;
use tertulia_driver::backup::{Item, Reader};
use tertulia_protocol::chat::{Command, Done, MemberRole, More, Post, Refusal, RoomKind, RoomRef, RoomView, Rules};
use tertulia_protocol::contract::{AppliedRow, Position, SnapshotRows, StateHash, StoreError};
use tertulia_protocol::gateway::{Answer, Ask, MemberStatus, Reply, Role, Standing, Status, TentativePost, Token};
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Admin, AdminOutcome};
use tertulia_protocol::raft::{Change, Configuration, Member};
use tertulia_protocol::replica::Identity;
use tertulia_protocol::succession::Policy;
use tertulia_protocol::time::Timestamp;
use tertulia_protocol::wire::handshake::Secret;
use tower::ServiceExt;

const TOKEN: Token = Token([0x11; 32]);

/// A part of a snapshot as it was asked for: at which place, from which key.
type Read = (Option<Index>, Vec<u8>);

/// Answers each request at once, and remembers what was asked.
#[derive(Clone, Default)]
pub(super) struct Fake {
    asked: Arc<Mutex<Vec<Ask>>>,
    /// Parts of snapshots that it will read, and what it was asked for.
    parts: Arc<Mutex<VecDeque<SnapshotRows>>>,
    read: Arc<Mutex<Vec<Read>>>,
}

pub(super) struct FakeLine {
    fake: Fake,
    token: Option<Token>,
    reply: Option<Reply>,
}

impl Gate for Fake {
    type Line = FakeLine;
    fn counters(&self) -> Option<Arc<tertulia_driver::Metrics>> {
        None
    }
    async fn admin(&self, admin: Admin) -> Option<AdminOutcome> {
        let configuration = Box::new(Configuration::of_voters(vec![Member {
            id: NodeId(1),
            peer_address: "127.0.0.1:9081".into(),
            client_address: "http://127.0.0.1:8081".into(),
            incarnation: None,
        }]));
        Some(match admin {
            Admin::Change(Change::Join { .. }) => AdminOutcome::Done { node: Some(NodeId(4)), configuration },
            Admin::Change(Change::Remove { .. }) => AdminOutcome::Refused { why: "node 9 is the only voter".into() },
            Admin::Change(_) => AdminOutcome::Pending { why: "the learner holds 3 of 9 log entries".into() },
            Admin::Transfer { to } => AdminOutcome::Done { node: Some(to), configuration },
            Admin::Succession { .. } | Admin::Configure { .. } => AdminOutcome::Done { node: None, configuration },
        })
    }
    async fn snapshot(&self, at: Option<Index>, from: Bytes, _: u32) -> Option<Result<SnapshotRows, StoreError>> {
        self.read.lock().unwrap().push((at, from.to_vec()));
        self.parts.lock().unwrap().pop_front().map(Ok)
    }
    fn of_address(&self, _: std::net::IpAddr) -> Fake {
        self.clone()
    }
    async fn open(&self, token: Option<Token>) -> Option<FakeLine> {
        Some(FakeLine { fake: self.clone(), token, reply: None })
    }
}

impl Line for FakeLine {
    async fn request(&mut self, request: tertulia_protocol::gateway::Request) -> bool {
        self.fake.asked.lock().unwrap().push(request.ask.clone());
        self.reply = Some(Reply { id: request.id, index: 1, result: answer(self.token, request.ask) });
        true
    }
    async fn next(&mut self) -> Option<Incoming> {
        self.reply.take().map(Incoming::Reply)
    }
}

fn answer(token: Option<Token>, ask: Ask) -> Result<Answer, Refusal> {
    match ask {
        Ask::SignIn { name, .. } if name.is_empty() => Err(Refusal::EmptyName),
        Ask::SignIn { name, .. } => Ok(Answer::SignedIn { user: UserId(3), session: SessionId(12), name, next_number: 1 }),
        Ask::Cluster => Ok(Answer::Cluster(Box::new(status()))),
        _ if token != Some(TOKEN) => Err(Refusal::UnknownSession),
        Ask::Rooms => Ok(Answer::Rooms(vec![lobby()])),
        Ask::Submit { command: Command::CreateRoom { name }, .. } => {
            let created = name != "lobby";
            Ok(Answer::Done(Done::Room { room: RoomId(1), name, created }))
        }
        Ask::Submit { command: Command::Join { room: RoomRef::Id(room) }, .. } => {
            Ok(Answer::Done(Done::Joined { room, name: "lobby".into(), last: 7, cursor: 9 }))
        }
        Ask::Submit { command: Command::Join { room }, .. } => Err(Refusal::UnknownRoom { room }),
        Ask::Submit { command: Command::Post { text, .. }, .. } if text.len() > 4_096 => {
            Err(Refusal::TextTooLong { bytes: text.len() as u32, limit: 4_096 })
        }
        Ask::Submit { command: Command::Post { text, .. }, .. } if text == "cut off" => {
            Ok(Answer::Accepted { id: MessageId(0xac), copies: 2 })
        }
        Ask::Submit { command: Command::Edit { .. }, .. } => Ok(Answer::Accepted { id: MessageId(0), copies: 1 }),
        Ask::Tentative { .. } => Ok(Answer::Tentative { room: RoomId(1), cursor: 9, posts: vec![waiting()] }),
        Ask::Submit { command: Command::Post { .. }, .. } => {
            Ok(Answer::Done(Done::Posted { room: RoomId(1), seq: 8, id: MessageId(0xab), at: Timestamp(1_500_000) }))
        }
        Ask::History { limit, .. } => Ok(Answer::History { room: RoomId(1), posts: vec![post(u64::from(limit))], current: true }),
        _ => Err(Refusal::NoLeader { since_ms: 900 }),
    }
}

fn lobby() -> RoomView {
    RoomView {
        id: RoomId(1),
        name: "lobby".into(),
        member: true,
        members: 2,
        last: 7,
        kind: RoomKind::Public,
        topic: String::new(),
        archived: false,
        rules: Rules::default(),
        role: MemberRole::Member,
        cursor: 9,
        read: 5,
        unread: 2,
        mentions: 0,
        invited: false,
        with: None,
        pins: Vec::new(),
        first: 1,
    }
}

fn post(seq: Seq) -> Post {
    Post {
        seq,
        id: MessageId(1),
        author: UserId(3),
        author_name: "ana".into(),
        text: "hello".into(),
        at: Timestamp(1_500_000),
        more: More::default(),
    }
}

fn waiting() -> TentativePost {
    TentativePost {
        id: MessageId(0xac),
        author: UserId(3),
        author_name: "ana".into(),
        text: "cut off".into(),
        reply_to: Some(4),
        written_at: Timestamp(1_500_000),
        order: (Timestamp(1_500_000), OutboxId { node: NodeId(1), boot: Boot(2) }, 3),
        copies: 2,
    }
}

fn status() -> Status {
    let member = |id, role| MemberStatus {
        id: NodeId(id),
        client_address: format!("http://127.0.0.1:{}", 8080 + id),
        peer_address: format!("127.0.0.1:{}", 9080 + id),
        role,
        reachable: true,
        standing: Standing::Voter,
        matched: None,
    };
    Status {
        node: NodeId(2),
        leader: Some(NodeId(1)),
        term: 4,
        commit: 9,
        applied: 8,
        succession: vec![NodeId(1), NodeId(2)],
        members: vec![member(1, Role::Leader), member(2, Role::Follower)],
        waiting_for: Vec::new(),
        state_hash: 0xfe,
        last: 7,
        changing: false,
        wanted_voters: 3,
        repairing: false,
        stalled: false,
        policy: Policy::Ring,
        placement: Vec::new(),
        round_trips: Vec::new(),
        tentative: 0,
        clocks_ahead: Vec::new(),
        diverged: Vec::new(),
    }
}

struct Answered {
    status: u16,
    headers: axum::http::HeaderMap,
    /// As far as it is text.
    text: String,
    body: Bytes,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

fn secret() -> Secret {
    Secret::new(&[0x5a; 32]).unwrap()
}

/// Calls as an operator does.
async fn operate(method: &str, path: &str, body: &Value) -> Answered {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let proof = authorization(&secret(), method, path, body.as_bytes());
    call(&Fake::default(), method, path, &[("authorization", &proof), JSON], body).await
}

/// The header of an operator's request.
pub(super) fn operator_proof(method: &str, path: &str, body: &[u8]) -> String {
    authorization(&secret(), method, path, body)
}

pub(super) fn app<G: Gate>(gate: &G) -> App<G> {
    let members = ["http://127.0.0.1:8081".to_owned(), "http://127.0.0.1:8082".to_owned()];
    let (stop, stopping) = watch::channel(false);
    // A sender that is gone would say: stop.
    std::mem::forget(stop);
    let operators = Operators::new(secret());
    let (origins, metrics, exports) = (Origins::new(&members), Metrics::new(), Arc::new(Semaphore::new(EXPORTS)));
    let folder = std::env::temp_dir();
    let watched = Watched::new(crate::vitals::Vitals::new(folder, tertulia_driver::watched::Syncs::new(None), None));
    App {
        gate: gate.clone(),
        origins,
        operators,
        metrics,
        indexed: Indexed::default(),
        exports,
        streams: Streams::default(),
        watched,
        driven: None,
        stopping,
    }
}

async fn call(fake: &Fake, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answered {
    let mut request = axum::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(app(fake)).oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Answered { status, headers, text: String::from_utf8_lossy(&body).into_owned(), body }
}

fn bearer() -> (&'static str, &'static str) {
    ("authorization", "Bearer 1111111111111111111111111111111111111111111111111111111111111111")
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Calls as a signed-in program does.
async fn ask(method: &str, path: &str, body: &Value) -> Answered {
    call(&Fake::default(), method, path, &[bearer(), JSON], body.to_string()).await
}

#[tokio::test]
async fn signing_in_answers_with_a_token_that_the_node_was_given() {
    let fake = Fake::default();
    let answered = call(&fake, "POST", "/api/v1/sessions", &[JSON], r#"{"name": "ana"}"#).await;
    assert_eq!(answered.status, 201);
    let body = answered.json();
    assert_eq!((&body["user"], &body["session"]), (&json!(3), &json!(12)));
    let asked = fake.asked.lock().unwrap().clone();
    let Ask::SignIn { token, .. } = &asked[0] else { panic!() };
    assert_eq!(body["token"], crate::hex::encode(&token.0));
}

#[tokio::test]
async fn rooms_and_messages_have_their_shapes() {
    let rooms = ask("GET", "/api/v1/rooms", &json!(null)).await;
    let rooms_json = rooms.json();
    for (field, value) in
        [("id", json!(1)), ("name", json!("lobby")), ("member", json!(true)), ("members", json!(2)), ("last", json!(7))]
    {
        assert_eq!(rooms_json["rooms"][0][field], value, "{field}");
    }
    assert_eq!((&rooms_json["rooms"][0]["kind"], &rooms_json["rooms"][0]["unread"]), (&json!("public"), &json!(2)));
    assert_eq!(rooms.headers["cache-control"], "no-store");
    assert_eq!(ask("POST", "/api/v1/rooms", &json!({"name": "new"})).await.status, 201);
    let again = ask("POST", "/api/v1/rooms", &json!({"name": "lobby"})).await;
    assert_eq!((again.status, again.json()), (200, json!({"id": 1, "name": "lobby"})));
    let joined = ask("POST", "/api/v1/rooms/1/join", &json!(null)).await;
    assert_eq!((joined.status, &joined.json()["id"]), (200, &json!(1)));
    let posted = ask("POST", "/api/v1/rooms/lobby/messages", &json!({"text": "hello"})).await;
    assert_eq!(posted.status, 201);
    let id = "000000000000000000000000000000ab";
    let at = "1970-01-01T00:00:01.500Z";
    assert_eq!(posted.json(), json!({"id": id, "seq": 8, "at": at, "state": "committed", "room": 1}));
    let page = ask("GET", "/api/v1/rooms/1/messages?after=2&limit=5", &json!(null)).await.json();
    assert_eq!(
        page["messages"],
        json!([{"seq": 5, "id": "00000000000000000000000000000001", "author": "ana", "author_id": 3, "text": "hello", "at": at}])
    );
}

#[tokio::test]
async fn what_is_accepted_without_a_leader_is_answered_202_and_shown() {
    let posted = ask("POST", "/api/v1/rooms/1/messages", &json!({"text": "cut off"})).await;
    let id = "000000000000000000000000000000ac";
    assert_eq!((posted.status, posted.json()), (202, json!({"id": id, "state": "accepted", "copies": 2})));
    let edited = ask("PATCH", "/api/v1/rooms/1/messages/3", &json!({"text": "x"})).await;
    assert_eq!((edited.status, edited.json()), (202, json!({"state": "accepted", "copies": 1})));
    let shown = ask("GET", "/api/v1/rooms/1/tentative", &json!(null)).await.json();
    assert_eq!((&shown["room"], &shown["cursor"]), (&json!(1), &json!(9)));
    let order = "000000000016e360-0000000000000001-0000000000000002-0000000000000003";
    let at = "1970-01-01T00:00:01.500Z";
    assert_eq!(
        shown["messages"],
        json!([{"id": id, "author": "ana", "author_id": 3, "text": "cut off", "written_at": at, "copies": 2, "order": order, "reply_to": 4}])
    );
}

#[tokio::test]
async fn a_key_makes_the_same_identity_each_time_and_none_a_new_one() {
    let fake = Fake::default();
    let body = r#"{"text": "x"}"#;
    for headers in
        [&[bearer(), JSON, ("idempotency-key", "k1")][..], &[bearer(), JSON, ("idempotency-key", "k1")], &[bearer(), JSON]]
    {
        assert_eq!(call(&fake, "POST", "/api/v1/rooms/1/messages", headers, body).await.status, 201);
    }
    let keys: Vec<u128> = fake
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|ask| match ask {
            Ask::Submit { identity: Identity::Key { key, .. }, .. } => *key,
            _ => panic!(),
        })
        .collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn every_mistake_is_a_problem() {
    let long = json!({"text": "x".repeat(5_000)});
    let huge = json!({"text": "x".repeat(70_000)});
    let (none, text) = (json!(null), json!({"text": "x"}));
    for (method, path, body, status, kind) in [
        ("GET", "/api/v1/nothing", &none, 404, "not-found"),
        ("PUT", "/api/v1/sessions", &none, 405, "method-not-allowed"),
        ("DELETE", "/api/v1/rooms", &none, 405, "method-not-allowed"),
        ("POST", "/api/v1/sessions", &json!({"name": ""}), 400, "empty-name"),
        ("POST", "/api/v1/sessions", &json!({}), 400, "bad-request"),
        ("POST", "/api/v1/sessions", &json!({"name": 7}), 400, "bad-request"),
        ("POST", "/api/v1/sessions", &json!({"nmae": "ana"}), 400, "bad-request"),
        ("POST", "/api/v1/sessions", &json!({"name": "ana", "register": true}), 400, "bad-request"),
        ("POST", "/api/v1/sessions", &json!({"name": "ana", "invite": "x"}), 400, "bad-request"),
        ("DELETE", "/api/v1/sessions/mine", &none, 400, "bad-request"),
        ("PATCH", "/api/v1/rooms/1", &json!({}), 400, "bad-request"),
        ("PUT", "/api/v1/rooms/1/mutes/2", &json!({"minutes": 0}), 400, "bad-request"),
        ("GET", "/api/v1/rooms/1/messages?around=3&after=2", &none, 400, "bad-request"),
        ("DELETE", "/api/v1/rooms/1/messages/x", &none, 400, "bad-request"),
        ("GET", "/api/v1/search?q=x&before=1.2", &none, 400, "bad-request"),
        ("POST", "/api/v1/invites", &json!({"hours": 0}), 400, "bad-request"),
        ("POST", "/api/v1/sessions", &json!(["ana"]), 400, "bad-request"),
        ("POST", "/api/v1/rooms/nowhere/join", &none, 404, "unknown-room"),
        ("POST", "/api/v1/rooms/99999999999999999999999/join", &none, 404, "unknown-room"),
        ("POST", "/api/v1/rooms/%ff/messages", &text, 400, "bad-request"),
        ("POST", "/api/v1/rooms/1/messages", &long, 413, "text-too-long"),
        ("POST", "/api/v1/rooms/1/messages", &huge, 413, "body-too-large"),
        ("GET", "/api/v1/rooms/1/messages?limit=0", &none, 400, "bad-request"),
        ("GET", "/api/v1/rooms/1/messages?limit=1001", &none, 400, "bad-request"),
        ("GET", "/api/v1/rooms/1/messages?after=-1", &none, 400, "bad-request"),
        ("GET", "/api/v1/rooms/1/messages?before=x", &none, 400, "bad-request"),
        ("POST", "/api/v1/rooms/1/leave", &none, 503, "no-leader"),
    ] {
        let answered = ask(method, path, body).await;
        assert_eq!(answered.status, status, "{method} {path}: {}", answered.text);
        assert_eq!(answered.headers["content-type"], "application/problem+json", "{method} {path}");
        let problem = answered.json();
        assert_eq!(problem["type"], format!("urn:tertulia:{kind}"), "{method} {path}");
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 10);
        assert_eq!(answered.headers.contains_key("retry-after"), status == 503);
        assert_eq!(answered.headers.contains_key("allow"), status == 405, "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_must_be_json_and_callers_signed_in() {
    let fake = Fake::default();
    let path = "/api/v1/rooms/1/messages";
    let unsigned = call(&fake, "POST", path, &[JSON], "{}").await;
    assert_eq!((unsigned.status, &unsigned.headers["www-authenticate"]), (401, &HeaderValue::from_static("Bearer")));
    assert_eq!(unsigned.json()["type"], "urn:tertulia:not-signed-in");
    let other = format!("Bearer {}", "22".repeat(32));
    let stranger = call(&fake, "GET", "/api/v1/rooms", &[("authorization", &other)], "").await;
    assert_eq!((stranger.status, &stranger.json()["type"]), (401, &json!("urn:tertulia:unknown-session")));
    let form = call(&fake, "POST", path, &[bearer(), ("content-type", "text/plain")], "text=x").await;
    assert_eq!((form.status, &form.json()["type"]), (415, &json!("urn:tertulia:unsupported-media-type")));
    assert_eq!(call(&fake, "POST", path, &[bearer(), JSON], "{\"text\": ").await.status, 400);
    assert_eq!(call(&fake, "POST", path, &[bearer(), JSON, ("idempotency-key", "")], r#"{"text":"x"}"#).await.status, 400);
}

#[tokio::test]
async fn preflights_are_answered_for_the_members_pages_only() {
    let fake = Fake::default();
    let preflight = |origin| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let fake = &fake;
        async move { call(fake, "OPTIONS", "/api/v1/rooms", &headers, "").await }
    };
    let member = preflight("http://127.0.0.1:8082").await;
    assert_eq!(member.status, 204);
    assert_eq!(member.headers["access-control-allow-origin"], "http://127.0.0.1:8082");
    let allowed = member.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("Authorization") && allowed.contains("Idempotency-Key"));
    let stranger = preflight("http://evil.example").await;
    assert_eq!(stranger.status, 405);
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
    let missing = call(&fake, "GET", "/nothing", &[("origin", "http://127.0.0.1:8082")], "").await;
    assert_eq!(missing.headers["access-control-allow-origin"], "http://127.0.0.1:8082");
}

#[tokio::test]
async fn whoever_watches_a_node_gets_plain_answers() {
    let fake = Fake::default();
    let cluster = call(&fake, "GET", "/api/v1/cluster", &[], "").await.json();
    assert_eq!((&cluster["node"], &cluster["leader"], &cluster["term"]), (&json!(2), &json!(1), &json!(4)));
    assert_eq!(cluster["succession"], json!([1, 2]));
    assert_eq!(cluster["nodes"][0]["role"], "leader");
    assert_eq!(cluster["nodes"][1]["address"], "http://127.0.0.1:8082");
    let health = call(&fake, "GET", "/healthz", &[], "").await;
    assert_eq!((health.status, health.text.as_str()), (200, "ok"));
    assert_eq!(call(&fake, "GET", "/readyz", &[], "").await.status, 200);
    let metrics = call(&fake, "GET", "/metrics", &[], "").await.text;
    assert!(metrics.contains("tertulia_term 4\n") && metrics.contains("tertulia_is_leader 0\n"), "{metrics}");
}

#[tokio::test]
async fn vitals_come_with_the_view_and_a_node_that_no_demo_drives_lets_none_in() {
    let seen = call(&Fake::default(), "GET", "/api/v1/cluster/vitals", &[], "").await;
    assert_eq!(seen.status, 200);
    let (seen, view) = (seen.json(), call(&Fake::default(), "GET", "/api/v1/cluster", &[], "").await.json());
    assert_eq!((&seen["leader"], &seen["nodes"]), (&view["leader"], &view["nodes"]));
    assert!(seen["vitals"]["disk"]["free"].as_u64().is_some_and(|free| free > 0), "{seen}");
    assert_eq!(seen["vitals"].get("faults"), None);
    for method in ["GET", "PUT"] {
        let answer = call(&Fake::default(), method, crate::driven::PATH, &[JSON], "{}").await;
        assert_eq!((answer.status, answer.json()["type"].as_str()), (404, Some("urn:tertulia:not-found")));
    }
}

#[tokio::test]
async fn the_page_and_its_files_come_with_a_strict_policy() {
    let fake = Fake::default();
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/vendor/lit-html/lit-html.js", "text/javascript; charset=utf-8"),
        ("/vendor/lit-html/directives/repeat.js", "text/javascript; charset=utf-8"),
        ("/vendor/lit-html/LICENSE", "text/plain; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let file = call(&fake, "GET", path, &[], "").await;
        assert_eq!((file.status, &file.headers["content-type"]), (200, &HeaderValue::from_static(kind)), "{path}");
        assert_eq!(file.headers["cache-control"], "no-cache");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        let policy = file.headers["content-security-policy"].to_str().unwrap();
        for part in
            ["default-src 'none'", "script-src 'self';", "ws://127.0.0.1:8082", "manifest-src 'self'", "worker-src 'self'"]
        {
            assert!(policy.contains(part), "{part}: {policy}");
        }
    }
    let page = call(&fake, "GET", "/", &[], "").await.text;
    assert!(!page.contains("style=") && !page.contains("onclick"), "the policy forbids inline style and script");
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_sent_again() {
    let fake = Fake::default();
    let etag = call(&fake, "GET", "/icon.svg", &[], "").await.headers["etag"].to_str().unwrap().to_owned();
    for known in [etag.clone(), format!("\"other\", W/{etag}"), "*".into()] {
        let again = call(&fake, "GET", "/icon.svg", &[("if-none-match", &known)], "").await;
        assert_eq!(
            (again.status, again.text.as_str(), &again.headers["etag"]),
            (304, "", &HeaderValue::from_str(&etag).unwrap())
        );
        assert!(again.headers.contains_key("content-security-policy"));
    }
    assert_eq!(call(&fake, "GET", "/icon.svg", &[("if-none-match", "\"other\"")], "").await.status, 200);
}

#[tokio::test]
async fn what_is_no_file_is_a_problem() {
    let fake = Fake::default();
    for (method, path) in [
        ("GET", "/nothing.js"),
        ("GET", "/app"),
        ("GET", "/../Cargo.toml"),
        ("GET", "/vendor/../../Cargo.toml"),
        ("GET", "/%2e%2e/Cargo.toml"),
        ("POST", "/"),
        ("DELETE", "/icon.svg"),
    ] {
        let answered = call(&fake, method, path, &[], "").await;
        assert_eq!((answered.status, &answered.json()["type"]), (404, &json!("urn:tertulia:not-found")), "{method} {path}");
        assert_eq!(answered.headers["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn operators_change_the_cluster_and_hear_what_became_of_it() {
    let newcomer =
        json!({"peer_address": "127.0.0.1:9084", "client_address": "http://127.0.0.1:8084", "incarnation": "ab".repeat(16)});
    let joined = operate("POST", "/api/v1/cluster/members", &newcomer).await;
    assert_eq!((joined.status, &joined.json()["id"], &joined.json()["members"][0]["voter"]), (201, &json!(4), &json!(true)));
    let bad = json!({"peer_address": "x", "client_address": "http://127.0.0.1:8084", "incarnation": "ab".repeat(16)});
    assert_eq!(operate("POST", "/api/v1/cluster/members", &bad).await.status, 400);
    let refused = operate("DELETE", "/api/v1/cluster/members/9", &Value::Null).await;
    assert_eq!((refused.status, &refused.json()["detail"]), (409, &json!("node 9 is the only voter")));
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let pending = operate("POST", "/api/v1/cluster/members/4/promote", &Value::Null).await;
    assert_eq!((pending.status, &pending.json()["type"]), (503, &json!("urn:tertulia:pending")));
    assert!(pending.headers.contains_key("retry-after"));
    assert_eq!(operate("POST", "/api/v1/cluster/transfer", &json!({"to": 2})).await.json(), json!({"leader": 2}));
    let policy = operate("PUT", "/api/v1/cluster/succession", &json!({"policy": "fixed:2,1"})).await;
    assert_eq!((policy.status, policy.json()), (200, json!({"policy": "fixed:2,1"})));
    let unknown = operate("PUT", "/api/v1/cluster/succession", &json!({"policy": "rong"})).await;
    assert!(unknown.status == 400 && unknown.text.contains("write ring, central"), "{}", unknown.text);
    assert_eq!(operate("DELETE", "/api/v1/cluster/members/x", &Value::Null).await.status, 400);
}

#[tokio::test]
async fn nobody_else_changes_the_cluster_and_no_page_does() {
    let fake = Fake::default();
    let path = "/api/v1/cluster/transfer";
    let stranger = call(&fake, "POST", path, &[bearer(), JSON], r#"{"to": 2}"#).await;
    assert_eq!((stranger.status, &stranger.headers["www-authenticate"]), (401, &HeaderValue::from_static("Tertulia")));
    let proof = authorization(&secret(), "POST", path, br#"{"to": 2}"#);
    for origin in ["http://127.0.0.1:8081", "http://evil.example"] {
        let page = call(&fake, "POST", path, &[("authorization", &proof), JSON, ("origin", origin)], r#"{"to": 2}"#).await;
        assert_eq!((page.status, &page.json()["type"]), (403, &json!("urn:tertulia:origin-not-allowed")));
    }
    let other = authorization(&Secret::new(&[1; 32]).unwrap(), "POST", path, br#"{"to": 2}"#);
    let wrong = call(&fake, "POST", path, &[("authorization", &other), JSON], r#"{"to": 2}"#).await;
    assert_eq!((wrong.status, &wrong.json()["type"]), (401, &json!("urn:tertulia:operator-wrong-secret")));
}

/// Of the state at `index`, whose rows are `first` and this key's.
fn part(index: Index, keys: &[u8], next: Option<u8>) -> SnapshotRows {
    let row = |key: &u8| (Bytes::from(vec![*key]), Bytes::from(vec![index as u8]));
    let all = [1, 2].iter().map(row);
    let hash = all.fold(StateHash(0), |sum, (key, value)| sum.changed(&key, None, Some(&value)));
    let position = Position { index, term: 1, chain: 0 };
    let applied = AppliedRow { position, hash, ..AppliedRow::default() };
    SnapshotRows { applied, rows: keys.iter().map(row).collect(), next: next.map(|key| Bytes::from(vec![key])) }
}

/// What an operator is sent when the store reads these parts, and what was asked of the store.
async fn backup_of(parts: Vec<SnapshotRows>) -> (Answered, Vec<Item>, Vec<Read>) {
    let fake = Fake { parts: Arc::new(Mutex::new(parts.into())), ..Fake::default() };
    let header = authorization(&secret(), "GET", BACKUP_PATH, b"");
    let answered = call(&fake, "GET", BACKUP_PATH, &[("authorization", &header)], Body::empty()).await;
    let mut items = Vec::new();
    if answered.status == 200 {
        let mut reader = Reader::on_the_way();
        reader.take(&answered.body);
        items.extend(std::iter::from_fn(|| reader.next_item().unwrap()));
    }
    let read = fake.read.lock().unwrap().clone();
    (answered, items, read)
}

#[tokio::test]
async fn a_backup_is_one_snapshot_from_its_first_row_to_its_last() {
    let (answered, items, read) = backup_of(vec![part(9, &[1], Some(2)), part(9, &[2], None)]).await;
    assert_eq!(answered.status, 200);
    let [Item::Head(head), Item::Rows(_), Item::Rows(_), Item::End(end)] = &items[..] else { panic!("{items:?}") };
    assert_eq!((head.node, head.cluster, head.applied.position.index), (NodeId(2), secret().cluster_id(), 9));
    assert_eq!(end.rows, 2);
    assert_eq!(read, [(None, vec![0, 0]), (Some(9), vec![2])]);
}

#[tokio::test]
async fn a_backup_whose_snapshot_was_let_go_of_begins_anew_and_not_for_ever() {
    // The second part is of another state: all of that one is read from the first row on.
    let parts = vec![part(9, &[1], Some(2)), part(12, &[2], None), part(12, &[1, 2], None)];
    let (_, items, read) = backup_of(parts).await;
    let [Item::Head(_), Item::Rows(_), Item::Anew, Item::Head(head), Item::Rows(rows), Item::End(_)] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!((head.applied.position.index, rows.len()), (12, 2));
    assert_eq!(read[1..], [(Some(9), vec![2]), (Some(12), vec![0, 0])]);

    let moving = (1..100).map(|index| part(index, &[1], Some(2))).collect();
    let (_, items, _) = backup_of(moving).await;
    assert_eq!(items.iter().filter(|item| **item == Item::Anew).count(), 5);
    assert!(matches!(items.last(), Some(Item::Failed(why)) if why.contains("5 times")), "{items:?}");

    let (_, items, _) = backup_of(vec![part(9, &[1], Some(2))]).await;
    assert!(matches!(items.last(), Some(Item::Failed(why)) if why.contains("stopping")), "{items:?}");
}

#[tokio::test]
async fn a_node_without_rows_gives_no_backup_and_nobody_without_the_secret_gets_one() {
    let empty = SnapshotRows { applied: AppliedRow::default(), rows: Vec::new(), next: None };
    let (answered, _, _) = backup_of(vec![empty]).await;
    assert_eq!((answered.status, &answered.json()["type"]), (409, &json!("urn:tertulia:nothing-to-back-up")));
    let fake = Fake::default();
    let answered = call(&fake, "GET", BACKUP_PATH, &[bearer()], Body::empty()).await;
    assert_eq!((answered.status, &answered.json()["type"]), (401, &json!("urn:tertulia:operator-unknown")));
    assert!(fake.read.lock().unwrap().is_empty(), "nothing was read");
}
