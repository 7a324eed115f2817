//! What a stranger types is text, and stays text: markup, scripts, letters that turn the direction of writing or cannot be seen, control characters, half characters, towers of
//! accents. It comes back as it was sent, wherever it comes back; where the chat keeps less (docs/CHAT.md) that is written here beside it; or it is refused with what is not allowed.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use support::*;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// What is sent, and what is kept of it.
fn texts() -> Vec<(String, String)> {
    let same = [
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "</textarea></title><svg/onload=alert(1)>&lt;b&gt; &#60; ]]> <!-- -->",
        "\"]}'; DROP TABLE messages; -- \\ \\u0000 %00 {{7*7}} ${x} $(id) `id`",
        "[x](javascript:alert(1)) javascript:alert(1) data:text/html,<b>x</b>",
        "zero\u{200b}width\u{200d}join\u{2060}er\u{feff}s, soft\u{ad}hyphen",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \u{1f3f3}\u{fe0f}\u{200d}\u{1f308} \u{1f44d}\u{1f3fd} 1\u{fe0f}\u{20e3}",
        "\u{1d518}\u{1d52b} \u{1f0a1} \u{10ffff} \u{e000} \u{fffd} \u{fffe}",
        "separators\u{2028}and\u{2029}paragraphs\u{a0}and\u{3000}spaces",
        "lines\nand\n\n\ttabs",
        "\u{5d0}\u{5d1}\u{5d2} right \u{627}\u{644} to left, \u{200f}with marks\u{200e}",
        "@everyone @<b>x</b> #<i> /me 0x41 =1+1 +1 -1",
    ];
    let mut all: Vec<(String, String)> = same.iter().map(|text| ((*text).into(), (*text).into())).collect();
    let tower = format!("Z{}", "\u{301}\u{327}\u{488}".repeat(300));
    let word = "w".repeat(4_000);
    let emoji = "\u{1f9ff}".repeat(1_000);
    all.extend([tower, word, emoji].map(|text| (text.clone(), text)));
    // Lines end in one way, no control characters but tabs, and what turns the direction of writing is closed.
    let changed = [
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("null\0 bell\u{7} \u{1b}[31mred\u{1b}[0m \u{7f}\u{85}\u{9b}31m end", "null bell [31mred[0m 31m end"),
        ("\u{202e}gpj.exe", "\u{202e}gpj.exe\u{202c}"),
        ("\u{2066}isolated \u{202a}embedded", "\u{2066}isolated \u{202a}embedded\u{202c}\u{2069}"),
        ("closes\u{202c} what\u{2069} others opened", "closes what others opened"),
        ("\u{202d}first\nsecond", "\u{202d}first\u{202c}\nsecond"),
    ];
    all.extend(changed.map(|(sent, kept)| (sent.into(), kept.into())));
    all
}

/// Not messages, and what is wrong with them.
const NO_TEXTS: [(&str, &str); 6] = [
    ("", "empty-text"),
    (" \n\t ", "empty-text"),
    ("\u{200b}\u{feff}\u{2060}", "empty-text"),
    ("\0\u{1}\u{1b}", "empty-text"),
    ("\u{202e}\u{202c}", "empty-text"),
    ("\u{3164}\u{2800}", "empty-text"),
];

/// Names as they are sent and shown; `None`: refused.
const NAMES: [(&str, Option<&str>); 13] = [
    ("<script>alert(1)</script>", Some("<script>alert(1)</script>")),
    ("\"><img src=x onerror=x>", Some("\"><img src=x onerror=x>")),
    ("{{7*7}} ${x} %00 \\", Some("{{7*7}} ${x} %00 \\")),
    ("\u{1f9ff} emoji", Some("\u{1f9ff} emoji")),
    ("\u{1d504}lice", Some("Alice")),
    ("e\u{301}mile", Some("\u{e9}mile")),
    ("right\u{202e}left", None),
    ("zero\u{200b}width", None),
    ("nul\0l", None),
    ("two\nlines", None),
    ("esc\u{1b}[31m", None),
    ("\u{301}mark", None),
    (" space", None),
];

struct Chat {
    cluster: Cluster,
    url: String,
    ana: String,
}

impl Chat {
    fn start() -> Chat {
        let cluster = Cluster::start(1);
        let url = cluster.url(1);
        let ana = sign_in(&url, "ana");
        Chat { cluster, url, ana }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        call(method, &format!("{}/api/v1/{path}", self.url), &self.ana, body)
    }

    fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let answered = self.ask(method, path, body);
        assert!((200..300).contains(&answered.status), "{method} {path} {body}: {answered:?}");
        answered.json
    }

    fn refused(&self, method: &str, path: &str, body: &Value, kind: &str) {
        let answered = self.ask(method, path, body);
        assert_eq!(
            (answered.status, &answered.json["type"]),
            (400, &json!(format!("urn:tertulia:{kind}"))),
            "{method} {path} {body}: {answered:?}"
        );
        assert!(answered.json["detail"].as_str().unwrap().len() > 20, "it says what is not allowed: {answered:?}");
    }

    fn stream(&self) -> WebSocket<TcpStream> {
        let mut request = (self.url.replace("http", "ws") + "/api/v1/stream").into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", self.ana).parse().unwrap());
        let socket = TcpStream::connect(("127.0.0.1", self.cluster.base)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        tungstenite::client(request, socket).unwrap().0
    }

    /// A request by its bytes, and the whole answer. HTTP/1.0: the answer ends with the connection.
    fn raw(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.cluster.base)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.ana,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// No control characters but the ends of lines: what a stranger sends does not reach the screen of whoever reads the log.
    fn log_is_clean(&self) {
        let log = self.cluster.log(1);
        assert!(!log.chars().any(|letter| letter.is_control() && letter != '\n'), "the log: {log:?}");
        assert!(!log.contains("<script>"), "what people write is no matter for the log");
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn frame(stream: &mut WebSocket<TcpStream>, kind: &str) -> Value {
    loop {
        if let Message::Text(text) = stream.read().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }
}

#[test]
fn messages_come_back_as_they_were_sent_wherever_they_come_back() {
    let chat = Chat::start();
    chat.done("POST", "rooms", &json!({"name": "lobby"}));
    let mut stream = chat.stream();
    frame(&mut stream, "following");
    let texts = texts();
    for (sent, kept) in &texts {
        let seq = chat.done("POST", "rooms/lobby/messages", &json!({"text": format!("{sent} quince")}))["seq"].clone();
        let kept = kept_with_word(kept);
        assert_eq!(frame(&mut stream, "message")["message"]["text"], kept, "on the stream");
        assert_eq!(chat.done("GET", &format!("rooms/lobby/messages/{seq}"), &Value::Null)["text"], kept);
    }
    let expected: Vec<String> = texts.iter().map(|(_, kept)| kept_with_word(kept)).collect();
    assert_eq!(support::texts(&history(&chat.url, &chat.ana, "lobby")), expected);
    let export = chat.done("GET", "me/export", &Value::Null);
    assert_eq!(support::texts(export["messages"].as_array().unwrap()), expected);
    // All of them hold this word; the newest come first.
    let mut found = until("the index has all messages", || {
        let found = chat.done("GET", "search?q=quince&limit=1000", &Value::Null)["messages"].as_array().unwrap().clone();
        (found.len() == texts.len()).then_some(found)
    });
    found.reverse();
    assert_eq!(support::texts(&found), expected);
    for (text, kind) in NO_TEXTS {
        chat.refused("POST", "rooms/lobby/messages", &json!({"text": text}), kind);
    }
    // Edited, it is what it would have been when it was new.
    for (sent, kept) in &texts {
        chat.done("PATCH", "rooms/lobby/messages/1", &json!({"text": sent}));
        assert_eq!(frame(&mut stream, "edited")["message"]["text"], *kept);
    }
    chat.log_is_clean();
}

/// The word stands behind what closes the direction of writing only if the text closes it itself.
fn kept_with_word(kept: &str) -> String {
    let closing = ['\u{202c}', '\u{2069}'];
    let open = kept.trim_end_matches(closing);
    let closed = &kept[open.len()..];
    format!("{open} quince{closed}")
}

#[test]
fn half_characters_and_broken_bytes_are_no_json_and_the_refusal_says_so() {
    let chat = Chat::start();
    chat.done("POST", "rooms", &json!({"name": "lobby"}));
    let bodies: [&[u8]; 7] = [
        br#"{"text": "\ud800"}"#,
        br#"{"text": "\udc00 x"}"#,
        br#"{"text": "\ud83d\u0041"}"#,
        b"{\"text\": \"\xff\xfe\"}",
        b"{\"text\": \"\xed\xa0\x80\"}",
        b"{\"text\": \"nul\0l\"}",
        b"{\"text\": \"x\"} {\"text\": \"y\"}",
    ];
    for body in bodies {
        let answered = chat.raw("POST", "/api/v1/rooms/lobby/messages", body);
        assert!(answered.starts_with("HTTP/1.0 400 "), "{answered}");
        assert!(answered.contains("urn:tertulia:bad-request"), "{answered}");
        assert!(answered.to_ascii_lowercase().contains("content-type: application/problem+json\r\n"), "{answered}");
    }
    // A whole pair is a character like any other.
    let answered = chat.raw("POST", "/api/v1/rooms/lobby/messages", br#"{"text": "\ud83d\ude00"}"#);
    assert!(answered.starts_with("HTTP/1.0 201 "), "{answered}");
    assert_eq!(chat.done("GET", "rooms/lobby/messages/1", &Value::Null)["text"], "\u{1f600}");
    chat.log_is_clean();
}

#[test]
fn names_of_all_kinds_are_what_they_were_or_are_refused() {
    let chat = Chat::start();
    for (name, shown) in &NAMES {
        let Some(shown) = shown else {
            chat.refused("POST", "sessions", &json!({"name": name}), "bad-name");
            chat.refused("POST", "rooms", &json!({"name": name}), "bad-name");
            chat.refused("PUT", "me/device", &json!({"name": name}), "bad-name");
            chat.refused("PATCH", "me", &json!({"display_name": name}), "bad-name");
            continue;
        };
        let signed = chat.done("POST", "sessions", &json!({"name": name}));
        assert_eq!(signed["name"], *shown);
        let user = chat.done("GET", &format!("users/{}?by=name", encoded(name)), &Value::Null);
        assert_eq!((&user["id"], &user["name"]), (&signed["user"], &json!(shown)));
        let room = chat.done("POST", "rooms", &json!({"name": name, "topic": name}));
        let room = chat.done("GET", &format!("rooms/{}", room["id"]), &Value::Null);
        // A topic is a text: it is kept as it was sent.
        assert_eq!((&room["name"], &room["topic"]), (&json!(shown), &json!(name)));
        assert_eq!(chat.done("GET", &format!("rooms/{}", encoded(name)), &Value::Null)["id"], room["id"]);
        chat.done("PUT", "me/device", &json!({"name": name}));
        let devices = chat.done("GET", "me/devices", &Value::Null);
        assert_eq!(devices["devices"][0]["name"], *name, "nobody else sees it: it is kept as it was sent");
        chat.done("PATCH", "me", &json!({"display_name": name}));
        let me = chat.done("GET", "me", &Value::Null);
        assert_eq!((&me["user"]["name"], &me["user"]["shown"]), (&json!("ana"), &json!(shown)));
        let members = chat.done("GET", &format!("rooms/{}/members", room["id"]), &Value::Null);
        assert_eq!(members["members"][0]["shown"], me["user"]["shown"]);
    }
    for unknown in ["<script>x</script>", "\u{202e}x", "nul\0l", "%", "..", "a/b"] {
        let answered = chat.ask("GET", &format!("rooms/{}", encoded(unknown)), &Value::Null);
        assert_eq!((answered.status, &answered.json["type"]), (404, &json!("urn:tertulia:unknown-room")), "{answered:?}");
    }
    chat.log_is_clean();
}

#[test]
fn reactions_topics_and_searches_are_texts_too() {
    let chat = Chat::start();
    chat.done("POST", "rooms", &json!({"name": "lobby"}));
    chat.done("POST", "rooms/lobby/messages", &json!({"text": "react"}));
    let good = ["<b>x</b>", "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}", "1\u{fe0f}\u{20e3}", "a/b?c#d", "%00"];
    for emoji in good {
        chat.done("PUT", &format!("rooms/lobby/messages/1/reactions/{}", encoded(emoji)), &Value::Null);
    }
    let reactions = chat.done("GET", "rooms/lobby/messages/1", &Value::Null)["reactions"].clone();
    let shown: Vec<&Value> = reactions.as_array().unwrap().iter().map(|reaction| &reaction["emoji"]).collect();
    assert_eq!(shown, good);
    for emoji in ["two words", "\u{202e}x", "nul\0l", "\u{200b}", "\u{1b}[31m", &"x".repeat(33)] {
        chat.refused("PUT", &format!("rooms/lobby/messages/1/reactions/{}", encoded(emoji)), &Value::Null, "bad-reaction");
    }
    for (sent, kept) in texts().iter().filter(|(sent, _)| sent.len() <= 512) {
        chat.done("PATCH", "rooms/lobby", &json!({"topic": sent}));
        assert_eq!(chat.done("GET", "rooms/lobby", &Value::Null)["topic"], *kept);
    }
    for (sent, _) in texts() {
        let answered = chat.ask("GET", &format!("search?q={}", encoded(&sent)), &Value::Null);
        assert!(answered.status == 200 || (answered.status == 400 && sent.len() > 256), "{sent:?}: {answered:?}");
    }
    let broken = chat.ask("GET", "search?q=%ff%fe", &Value::Null);
    assert_eq!((broken.status, &broken.json["type"]), (400, &json!("urn:tertulia:bad-request")), "{broken:?}");
    chat.log_is_clean();
}

#[test]
fn whatever_is_asked_no_answer_can_be_taken_for_a_page() {
    let chat = Chat::start();
    let script = encoded("<script>alert(1)</script>");
    for path in [
        format!("/api/v1/{script}"),
        format!("/api/v1/rooms/{script}"),
        format!("/api/v1/users/{script}"),
        format!("/api/v1/search?q={script}"),
        format!("/api/v1/rooms/1/messages?{script}=1"),
        format!("/api/v1/rooms/{script}/messages?limit={script}"),
        "/api/v1/settings".into(),
        "/metrics".into(),
        "/healthz".into(),
        "/openapi.json".into(),
    ] {
        let answered = chat.raw("GET", &path, b"");
        let head = answered.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
        assert!(head.contains("x-content-type-options: nosniff"), "{path}: {head}");
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
        let kinds = ["application/json", "application/problem+json", "application/openmetrics-text", "text/plain"];
        assert!(kinds.iter().any(|known| kind.starts_with(known)), "{path}: {kind}");
    }
    // What is no path at all is not answered by a handler, and with nothing.
    let answered = chat.raw("GET", "/api/v1/rooms/<script>alert(1)</script>", b"");
    let (head, body) = answered.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 400 ") && !head.contains("script") && body.is_empty(), "{answered}");
    let metrics = chat.cluster.metrics(1);
    assert!(!metrics.contains("script"), "labels are routes, not what somebody asked for: {metrics}");
    assert!(metrics.lines().all(|line| line.starts_with('#') || line.starts_with("tertulia_")), "{metrics}");
    chat.log_is_clean();
}
