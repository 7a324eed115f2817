//! Full-text search in real clusters: what is said on one node is found on another, through edits, restarts and the loss of an index.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod support;

use serde_json::{Value, json};
use std::fs;
use support::*;

fn ask(method: &str, url: &str, path: &str, token: &str, body: &Value) -> Answer {
    let answered = call(method, &format!("{url}{path}"), token, body);
    assert!((200..300).contains(&answered.status), "{method} {path}: {answered:?}");
    answered
}

/// What a search finds now, page by page: places, the newest first; `None` while the node does not answer with its whole index.
fn found(url: &str, token: &str, words: &str) -> Option<Vec<u64>> {
    let words = words.replace(' ', "+");
    let (mut places, mut before) = (Vec::new(), String::new());
    loop {
        let answer = get(url, &format!("/api/v1/search?q={words}&limit=1000{before}"), Some(token));
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json["messages"].as_array().unwrap();
        places.extend(page.iter().map(|message| message["seq"].as_u64().unwrap()));
        if answer.json["complete"] != true {
            return None;
        }
        match answer.json["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return Some(places),
        }
    }
}

fn finds(url: &str, token: &str, words: &str, places: &[u64]) {
    let mut last = None;
    until(&format!("a search for \"{words}\" at {url} finds {places:?}"), || {
        last = found(url, token, words);
        (last.as_deref() == Some(places)).then_some(())
    });
}

#[test]
fn what_is_posted_edited_and_deleted_on_one_node_is_found_so_on_another() {
    let cluster = Cluster::start(3);
    let (one, two, three) = (cluster.url(1), cluster.url(2), cluster.url(3));
    let (ana, ben) = (sign_in(&one, "ana"), sign_in(&two, "ben"));
    ask("POST", &one, "/api/v1/rooms", &ana, &json!({"name": "lobby"}));
    for text in ["Crème brûlée for all", "no dessert", "crème fraîche"] {
        ask("POST", &one, "/api/v1/rooms/lobby/messages", &ana, &json!({"text": text}));
    }
    finds(&two, &ben, "creme", &[3, 1]);
    finds(&three, &ben, "CREME bru", &[1]);
    finds(&three, &ben, "dessert all", &[]);
    ask("PATCH", &two, "/api/v1/rooms/lobby/messages/1", &ana, &json!({"text": "an apple for all"}));
    ask("DELETE", &two, "/api/v1/rooms/lobby/messages/3", &ana, &Value::Null);
    finds(&three, &ben, "apple", &[1]);
    finds(&three, &ben, "creme", &[]);
    finds(&one, &ana, "all", &[1]);
}

#[test]
fn nobody_finds_what_is_said_in_rooms_of_others() {
    let cluster = Cluster::start(1);
    let url = cluster.url(1);
    let (ana, ben) = (sign_in(&url, "ana"), sign_in(&url, "ben"));
    ask("POST", &url, "/api/v1/rooms", &ana, &json!({"name": "plans", "kind": "private"}));
    ask("POST", &url, "/api/v1/rooms/plans/messages", &ana, &json!({"text": "a secret word"}));
    finds(&url, &ana, "secret", &[1]);
    finds(&url, &ben, "secret", &[]);
    assert_eq!(get(&url, "/api/v1/search?q=secret&room=1", Some(&ben)).status, 404);
    ask("PUT", &url, "/api/v1/rooms/plans/members/ben", &ana, &Value::Null);
    ask("POST", &url, "/api/v1/rooms/plans/join", &ben, &Value::Null);
    finds(&url, &ben, "secret", &[1]);
    ask("POST", &url, "/api/v1/rooms/1/leave", &ben, &Value::Null);
    finds(&url, &ben, "secret", &[]);
}

#[test]
fn an_index_goes_on_after_a_restart_and_is_built_anew_when_it_is_lost_or_damaged() {
    let mut cluster = Cluster::start(1);
    let url = cluster.url(1);
    let ana = sign_in(&url, "ana");
    ask("POST", &url, "/api/v1/rooms", &ana, &json!({"name": "lobby"}));
    let say = |text: &str| drop(ask("POST", &url, "/api/v1/rooms/lobby/messages", &ana, &json!({"text": text})));
    (1..=40).for_each(|n| say(&format!("number {n} of many")));
    ask("DELETE", &url, "/api/v1/rooms/lobby/messages/40", &ana, &Value::Null);
    let all: Vec<u64> = (1..=39).rev().collect();
    finds(&url, &ana, "number many", &all);
    // Killed between commits: the log brings what the index had not kept yet.
    say("said in the last moment");
    restart(&mut cluster, |_| {});
    finds(&url, &ana, "last moment", &[41]);
    finds(&url, &ana, "number many", &all);
    // Stopped in good order: it is whole at once.
    finds(&url, &ana, "said", &[41]);
    signal(cluster.pid(1), "TERM");
    assert!(cluster.ended(1).success());
    cluster.spawn(1);
    cluster.ready(1);
    finds(&url, &ana, "number many", &all);
    let built = |cluster: &Cluster| cluster.log(1).matches("is built from the rows").count();
    let before = built(&cluster);
    // Without its folder, and with a file of it cut.
    restart(&mut cluster, |cluster| fs::remove_dir_all(cluster.data(1).join("index")).unwrap());
    finds(&url, &ana, "number many", &all);
    assert_eq!(built(&cluster), before + 1);
    restart(&mut cluster, |cluster| {
        let files = fs::read_dir(cluster.data(1).join("index")).unwrap().map(|file| file.unwrap().path());
        for path in files.filter(|path| path.extension().is_some_and(|end| end == "idx")) {
            fs::remove_file(&path).unwrap();
            fs::write(path, b"cut").unwrap();
        }
    });
    finds(&url, &ana, "number many", &all);
    assert_eq!(built(&cluster), before + 2);
    say("after all that");
    finds(&url, &ana, "after all", &[42]);
}

#[test]
fn what_happens_while_an_index_is_built_is_in_it() {
    let mut cluster = Cluster::start(1);
    let url = cluster.url(1);
    let ana = sign_in(&url, "ana");
    ask("POST", &url, "/api/v1/rooms", &ana, &json!({"name": "lobby"}));
    // Some megabytes, so that the rows come in many parts.
    let padding = "and so on ".repeat(300);
    for n in 1..=600 {
        ask("POST", &url, "/api/v1/rooms/lobby/messages", &ana, &json!({"text": format!("before {n} {padding}")}));
    }
    restart(&mut cluster, |cluster| fs::remove_dir_all(cluster.data(1).join("index")).unwrap());
    for n in (2..=600).step_by(100).chain((1..=600).step_by(100)) {
        let path = format!("/api/v1/rooms/lobby/messages/{n}");
        if n % 2 == 0 {
            ask("PATCH", &url, &path, &ana, &json!({"text": "after"}));
        } else {
            ask("DELETE", &url, &path, &ana, &Value::Null);
        }
    }
    finds(&url, &ana, "after", &[502, 402, 302, 202, 102, 2]);
    let others: Vec<u64> = (1..=600).rev().filter(|n| n % 100 > 2 || n % 100 == 0).collect();
    finds(&url, &ana, "before and so", &others);
}

/// Kills the node and starts it again; something happens meanwhile.
fn restart(cluster: &mut Cluster, meanwhile: impl FnOnce(&Cluster)) {
    cluster.kill(1);
    meanwhile(cluster);
    cluster.spawn(1);
    cluster.ready(1);
}
