//! The stories as data, for whoever writes the client in another language: `docs/client-vectors.json`.
//!
//! `TERTULIA_WRITE=1 cargo test -p tertulia-protocol --test client_vectors` writes the file; without it the test compares. No drawn time decides what happens: a step comes
//! late enough for any draw.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod client_scene;

use serde_json::{Value, json};
use tertulia_protocol::ids::SessionId;
use tertulia_protocol::replica::{Slot, message_id};

fn vectors() -> Value {
    let told = |(name, story): &(&str, client_scene::stories::Story)| json!({ "story": name, "steps": story().steps });
    let all = client_scene::stories::ALL.iter().chain(client_scene::tentative::ALL);
    let stories: Vec<Value> = all.map(told).collect();
    let about = "See docs/CLIENT.md. Written by protocol/tests/client_vectors.rs.";
    json!({ "about": about, "version": 1, "message_ids": message_ids(), "stories": stories })
}

/// What a message is called: by its session, and the session's number of its command.
fn message_ids() -> Vec<Value> {
    let id = |(session, number): (u64, u64)| json!({ "session": session, "number": number, "id": message_id(SessionId(session), Slot::Number(number)).to_string() });
    [(1, 1), (1, 2), (2, 1), (0x0001_2345_6789_abcd, 300)].into_iter().map(id).collect()
}

#[test]
fn the_file_of_vectors_is_what_the_machine_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/client-vectors.json");
    let mut lines = String::new();
    // One step a line: a change of the machine shows as the steps that it changes.
    let vectors = vectors();
    lines.push_str(&format!("{{\"version\":{},\"about\":{},\n", vectors["version"], vectors["about"]));
    lines.push_str(&format!("\"message_ids\":{},\n\"stories\":[\n", vectors["message_ids"]));
    let stories = vectors["stories"].as_array().unwrap();
    for (nth, story) in stories.iter().enumerate() {
        lines.push_str(&format!("{{\"story\":{},\"steps\":[\n", story["story"]));
        let steps: Vec<String> = story["steps"].as_array().unwrap().iter().map(Value::to_string).collect();
        lines.push_str(&steps.join(",\n"));
        lines.push_str(if nth + 1 == stories.len() { "\n]}\n" } else { "\n]},\n" });
    }
    lines.push_str("]}\n");
    if std::env::var_os("TERTULIA_WRITE").is_some() {
        std::fs::write(path, &lines).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    let parsed: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(parsed, vectors);
    assert!(written == lines, "the file says the same in other bytes: write it anew");
}
