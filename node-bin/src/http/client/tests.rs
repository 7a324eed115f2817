//! The WebSocket over real sockets, before a node that a test plays.

use crate::gate::{Gate, Line};
use crate::http::{App, EXPORTS, Operators, Origins, router};
use crate::metrics::Metrics;
use crate::search::Indexed;
use bytes::Bytes;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tertulia_driver::Incoming;
use tertulia_protocol::chat::{More, Post, Refusal};
use tertulia_protocol::contract::{SnapshotRows, StoreError};
use tertulia_protocol::gateway::{Answer, Ask, CloseReason, Event, EventKind, Reply, Request, Token};
use tertulia_protocol::ids::*;
use tertulia_protocol::node::{Admin, AdminOutcome};
use tertulia_protocol::time::Timestamp;
use tertulia_protocol::wire::handshake::Secret;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

type Said = mpsc::UnboundedReceiver<Incoming>;

/// Hands what is asked to the test, and says what the test says.
#[derive(Clone)]
struct Played {
    asked: mpsc::UnboundedSender<Request>,
    says: Arc<Mutex<Option<Said>>>,
}

struct PlayedLine {
    asked: mpsc::UnboundedSender<Request>,
    says: Option<Said>,
}

impl Gate for Played {
    type Line = PlayedLine;
    fn counters(&self) -> Option<Arc<tertulia_driver::Metrics>> {
        None
    }
    async fn admin(&self, _: Admin) -> Option<AdminOutcome> {
        None
    }
    async fn snapshot(&self, _: Option<Index>, _: Bytes, _: u32) -> Option<Result<SnapshotRows, StoreError>> {
        None
    }
    fn of_address(&self, _: IpAddr) -> Played {
        self.clone()
    }
    async fn open(&self, token: Option<Token>) -> Option<PlayedLine> {
        assert_eq!(token, None, "signing in is a request");
        Some(PlayedLine { asked: self.asked.clone(), says: self.says.lock().await.take() })
    }
}

impl Line for PlayedLine {
    async fn request(&mut self, request: Request) -> bool {
        self.asked.send(request).is_ok()
    }
    async fn next(&mut self) -> Option<Incoming> {
        self.says.as_mut()?.recv().await
    }
}

/// A node of which the test has the inside, and the page's end of a socket to it.
struct Scene {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Request>,
    says: mpsc::UnboundedSender<Incoming>,
    stop: watch::Sender<bool>,
}

impl Scene {
    async fn start() -> Scene {
        let ((asking, asked), (says, saying)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let (stop, stopping) = watch::channel(false);
        let gate = Played { asked: asking, says: Arc::new(Mutex::new(Some(saying))) };
        let origins = Origins::new(&["http://10.0.0.1:8081".into()]);
        let operators = Operators::new(Secret::new(&[0x5a; 32]).unwrap());
        let exports = Arc::new(Semaphore::new(EXPORTS));
        let streams = Default::default();
        let vitals = crate::vitals::Vitals::new(std::env::temp_dir(), tertulia_driver::watched::Syncs::new(None), None);
        let (metrics, indexed, watched) = (Metrics::new(), Indexed::default(), crate::http::Watched::new(vitals));
        let app = App { gate, origins, operators, metrics, indexed, exports, streams, watched, driven: None, stopping };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router(app)).await });
        Scene { address, asked, says, stop }
    }

    /// Opens a socket as a page of this origin does.
    fn open(&self, origin: &str) -> Result<Page, Box<Error>> {
        let mut request = format!("ws://{}/api/v1/client", self.address).into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Page(socket)),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(Box::new(error)),
            Err(other) => panic!("{other}"),
        }
    }

    fn say(&self, id: u64, result: Result<Answer, Refusal>) {
        self.says.send(Incoming::Reply(Reply { id, index: 9, result })).unwrap();
    }
}

struct Page(WebSocket<TcpStream>);

impl Page {
    fn say(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).unwrap();
    }

    fn hear(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.0.read().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    /// The close code, and the reason.
    fn ends(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(frame)) = self.0.read().unwrap() {
                return (frame.code.into(), frame.reason.to_string());
            }
        }
    }
}

const OWN: &str = "http://10.0.0.1:8081";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_in_as_they_are_and_replies_come_out_with_their_problems() {
    let mut scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    let token = vec![7; 32];
    page.say(json!({"id": 1, "ask": {"SignIn": {"name": "ada", "token": token}}}));
    let asked = scene.asked.recv().await.unwrap();
    assert_eq!(asked, Request { id: 1, ask: Ask::SignIn { name: "ada".into(), token: Token([7; 32]) } });
    let signed = Answer::SignedIn { user: UserId(3), session: SessionId(12), name: "ada".into(), next_number: 1 };
    scene.say(1, Ok(signed));
    let signed = json!({"SignedIn": {"user": 3, "session": 12, "name": "ada", "next_number": 1}});
    assert_eq!(page.hear(), json!({"reply": {"id": 1, "index": 9, "result": {"Ok": signed}}}));

    page.say(
        r#"{"id": 2, "ask": {"Submit": {"identity": {"Number": 1}, "first_unacked": 1, "command": {"Post": {"room": {"Id": 1}, "text": "hello"}}}}}"#,
    );
    assert!(matches!(scene.asked.recv().await.unwrap().ask, Ask::Submit { .. }));
    scene.say(2, Ok(Answer::Accepted { id: MessageId(0xac), copies: 2 }));
    let accepted = &page.hear()["reply"]["result"]["Ok"]["Accepted"];
    assert_eq!(*accepted, json!({"id": "000000000000000000000000000000ac", "copies": 2}));
    scene.say(2, Err(Refusal::NotAMember { room: RoomId(1) }));
    let refused = page.hear();
    assert_eq!(refused["reply"]["result"], json!({"Err": {"NotAMember": {"room": 1}}}));
    assert_eq!((&refused["problem"]["type"], &refused["problem"]["status"]), (&json!("urn:tertulia:not-a-member"), &json!(403)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_comes_in_both_forms_and_hostile_text_comes_back_as_it_was() {
    let scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    let text = "</script>\u{202e}\u{0}\u{2028}\"\\'😀".to_owned();
    let (author, author_name, at) = (UserId(3), "ana".into(), Timestamp(1_500_000));
    let post = Post { seq: 7, id: MessageId(1 << 100), author, author_name, text: text.clone(), at, more: More::default() };
    let event = Event { room: RoomId(1), cursor: u64::MAX, kind: EventKind::Posted(post) };
    scene.says.send(Incoming::Event(Arc::new(event))).unwrap();
    let told = page.hear();
    let (plain, shown) = (&told["event"], &told["shown"]);
    assert_eq!((&plain["room"], &plain["cursor"]), (&json!(1), &json!("18446744073709551615")), "beyond 2^53");
    assert_eq!(plain["kind"]["Posted"]["id"], "00000010000000000000000000000000");
    assert_eq!((&plain["kind"]["Posted"]["text"], &shown["message"]["text"]), (&json!(text), &json!(text)));
    assert_eq!((&shown["type"], &shown["message"]["id"]), (&json!("message"), &plain["kind"]["Posted"]["id"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_understood_is_refused_under_its_id_and_what_has_none_ends_it() {
    let mut scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    page.say(json!({"id": 5, "ask": {"Fly": {"to": "the moon"}}}));
    let refused = page.hear();
    assert_eq!((&refused["reply"]["id"], &refused["problem"]["type"]), (&json!(5), &json!("urn:tertulia:bad-request")));
    let why = refused["reply"]["result"]["Err"]["BadRequest"]["why"].as_str().unwrap();
    assert!(why.contains("unknown variant `Fly`"), "{why}");
    page.say(json!({"id": 6, "ask": "Ping"}));
    assert_eq!(scene.asked.recv().await.unwrap(), Request { id: 6, ask: Ask::Ping });
    page.say("{\"id\": ");
    let error = page.hear();
    assert_eq!(error["error"]["type"], "urn:tertulia:bad-request");
    assert!(error["error"]["detail"].as_str().unwrap().contains("EOF while parsing"), "{error}");
    assert_eq!(page.ends().0, 1008);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_says_why_it_ends() {
    let scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    scene.says.send(Incoming::Closed(CloseReason::LoggedOut)).unwrap();
    assert_eq!(page.hear()["error"]["type"], "urn:tertulia:logged-out");
    assert_eq!(page.ends().0, 1008);

    let scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    scene.says.send(Incoming::Closed(CloseReason::Stalled)).unwrap();
    assert_eq!(page.hear()["error"]["type"], "urn:tertulia:stalled");
    assert_eq!(page.ends().0, 1013, "it may go better elsewhere");

    let scene = Scene::start().await;
    let mut page = scene.open(OWN).unwrap();
    scene.stop.send(true).unwrap();
    let (code, reason) = page.ends();
    assert_eq!((code, reason.as_str()), (1001, "this node is stopping: go on at another one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_strangers_get_no_socket_and_no_frame_is_larger_than_a_body() {
    let scene = Scene::start().await;
    let Err(error) = scene.open("http://evil.example") else { panic!("it was let in") };
    let Error::Http(answered) = *error else { panic!("{error}") };
    assert_eq!(answered.status(), 403);
    let mut page = scene.open(OWN).unwrap();
    let _ = page.0.send(Message::text(format!("{{\"id\": 1, \"ask\": \"{}\"}}", "x".repeat(70_000))));
    assert!(page.0.read().is_err(), "it is cut off");
}
