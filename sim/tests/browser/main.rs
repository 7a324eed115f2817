//! The pages in a real browser, served by real nodes. Here: two windows on both sides of a cut between five processes, whose links `sim cluster` holds. Beside it: what people
//! do all day (`client`), the demo's cluster page (`demo`), accessibility (`access`), the pages' modules by themselves (`modules`).
//!
//! Without a browser there is nothing to see, and the tests say so; with `TERTULIA_BROWSER=required` that fails. `TERTULIA_PICTURES=DIR` keeps the README's picture.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod access;
mod accounts;
mod client;
mod cluster;
mod demo;
mod devtools;
mod modules;
mod strip;

use cluster::{Cluster, Person};
use devtools::{Browser, Window};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const SIZE: (u32, u32) = (470, 545);
/// Of all messages on the screen: id, how it stands, text.
const SHOWN: &str = "[...document.querySelectorAll('#messages > .message')].map((item) => \
    [item.dataset.name, item.classList[1], item.querySelector('.text').textContent])";

fn browser() -> Option<Browser> {
    match devtools::installed() {
        Some(binary) => Some(Browser::start(&binary)),
        None if std::env::var("TERTULIA_BROWSER").is_ok_and(|wanted| wanted == "required") => {
            panic!("no browser is installed: apt-get install chromium, or name one in CHROMIUM")
        }
        None => {
            eprintln!("SKIPPED: no browser is installed; apt-get install chromium, or name one in CHROMIUM");
            None
        }
    }
}

/// A message on a screen.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Shown {
    id: String,
    state: String,
    text: String,
}

fn shown(browser: &mut Browser, window: &Window) -> Vec<Shown> {
    let all = browser.value(window, SHOWN);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    all.as_array().unwrap().iter().map(|one| Shown { id: word(&one[0]), state: word(&one[1]), text: word(&one[2]) }).collect()
}

fn texts(shown: &[Shown]) -> Vec<&str> {
    shown.iter().map(|message| message.text.as_str()).collect()
}

/// Waits until a window shows this text in this state.
fn sees(browser: &mut Browser, window: &Window, state: &str, text: &str) {
    let found = format!("{SHOWN}.some(([, state, text]) => state === '{state}' && text === {text:?})");
    browser.until(window, &format!("\"{text}\" is {state}"), &found);
}

/// A window in which somebody has signed in and entered the room; it reaches these nodes alone.
fn enter(browser: &mut Browser, cluster: &Cluster, name: &str, reached: &[usize]) -> Window {
    let window = browser.open(cluster.url(reached[0]), SIZE, &cluster.all_but(reached));
    browser.until(
        &window,
        "the page has looked at the cluster",
        "document.querySelector('#status').textContent.startsWith('node')",
    );
    browser.write(&window, "#name", name);
    go_to(browser, &window, "lobby");
    window
}

/// Waits until the room is there, with what was said in it.
fn go_to(browser: &mut Browser, window: &Window, room: &str) {
    let button =
        format!("[...document.querySelectorAll('#rooms button')].find((button) => button.textContent.includes('{room}'))");
    browser.until(window, "the room's name", &button);
    browser.value(window, &format!("{button}.click()"));
    let is_here = "(!document.querySelector('#empty').hidden || document.querySelector('#messages > .message'))";
    browser.until(window, "the room", &format!("document.querySelector('#title').textContent === '{room}' && {is_here}"));
}

/// Waits until nothing waits any more in any window.
fn all_settled(browser: &mut Browser, windows: &[&Window]) {
    for window in windows {
        let settled =
            "!document.querySelector('#messages .waiting, #messages .sending') && document.querySelector('#cut-off').hidden";
        browser.until(window, "all is settled", settled);
    }
}

/// The same messages, once each, with the same ids, in the same order: on both screens and in what each node answers.
fn one_order(browser: &mut Browser, cluster: &Cluster, reader: &Person, windows: &[&Window], said: &[&str]) {
    let first = shown(browser, windows[0]);
    for window in windows {
        let shown = shown(browser, window);
        assert_eq!(shown, first, "the screens differ");
        assert!(shown.iter().all(|message| message.state == "committed"));
    }
    let mut sorted = texts(&first);
    sorted.sort_unstable();
    let mut wanted = said.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted, "lost or doubled");
    assert_eq!(first.iter().map(|message| &message.id).collect::<BTreeSet<_>>().len(), first.len());
    for node in 1..=5 {
        cluster.until_answers(node, reader, |history| {
            history
                .iter()
                .map(|(id, text)| (id.as_str(), text.as_str()))
                .eq(first.iter().map(|m| (m.id.as_str(), m.text.as_str())))
        });
    }
}

/// Keeps a picture of a window for the documentation, if `TERTULIA_PICTURES` says where.
fn keep_picture(browser: &mut Browser, window: &Window, name: &str) {
    let Ok(folder) = std::env::var("TERTULIA_PICTURES") else { return };
    let picture = data_encoding::BASE64.decode(browser.picture(window).as_bytes()).unwrap();
    std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
}

/// A picture of a window in which nothing moves.
fn still(browser: &mut Browser, window: &Window) -> String {
    browser.value(window, "document.activeElement.blur()");
    browser.until(window, "nothing moves", "document.getAnimations().length === 0");
    browser.picture(window)
}

#[test]
fn both_sides_of_a_cut_go_on_talking_and_end_with_one_order_on_every_screen() {
    let Some(mut browser) = browser() else { return };
    let mut cluster = Cluster::start(5);
    let people = cluster.people(&["dora", "cleo"]);
    let [dora, cleo] = &people[..] else { panic!() };
    let (ana, ben) = (enter(&mut browser, &cluster, "ana", &[1, 2]), enter(&mut browser, &cluster, "ben", &[3, 4, 5]));
    let mut said = Vec::new();
    let mut say = |browser: &mut Browser, window: &Window, text: &'static str, state: &str| {
        browser.write(window, "#text", text);
        sees(browser, window, state, text);
        said.push(text);
    };

    // Together.
    say(&mut browser, &ana, "The boat leaves at nine.", "committed");
    sees(&mut browser, &ben, "committed", "The boat leaves at nine.");

    // Apart.
    cluster.say("cut 1 2 | 3 4 5");
    browser.until(&ana, "it is said that there is no majority", "!document.querySelector('#cut-off').hidden");
    say(&mut browser, &ana, "Is anybody still there?", "waiting");
    say(&mut browser, &ben, "Ana and Cleo have dropped out.", "committed");
    cluster.post(2, cleo, "I am. The others have gone quiet.");
    sees(&mut browser, &ana, "waiting", "I am. The others have gone quiet.");
    say(&mut browser, &ana, "Then we keep to the plan: nine, at the pier.", "waiting");
    cluster.post(5, dora, "Let us take the big tent for all of us.");
    sees(&mut browser, &ben, "committed", "Let us take the big tent for all of us.");
    browser.until(
        &ana,
        "both nodes of this side have all",
        "document.querySelectorAll('#messages .waiting').length === 3 && \
        [...document.querySelectorAll('#messages .waiting .state')].every((state) => state.textContent.includes('on 2 nodes'))",
    );
    let before = shown(&mut browser, &ana);
    let apart = [still(&mut browser, &ana), still(&mut browser, &ben)];
    browser.value(
        &ana,
        "void document.querySelectorAll('#messages > .message').forEach((item) => { item.is = item.dataset.name; })",
    );

    // Together again.
    cluster.say("heal");
    all_settled(&mut browser, &[&ana, &ben]);
    said.extend(["I am. The others have gone quiet.", "Let us take the big tent for all of us."]);
    sees(&mut browser, &ben, "committed", "Then we keep to the plan: nine, at the pier.");
    one_order(&mut browser, &cluster, cleo, &[&ana, &ben], &said);
    let kept = browser.value(
        &ana,
        "[...document.querySelectorAll('#messages > .message')].filter((item) => item.is === item.dataset.name).length",
    );
    assert_eq!(kept, before.len(), "a message that was on the screen is the same element when it has its place");
    let after: BTreeMap<String, String> =
        shown(&mut browser, &ana).into_iter().map(|message| (message.text, message.id)).collect();
    assert!(before.iter().all(|message| after[&message.text] == message.id), "the ids are stable");
    let together = [still(&mut browser, &ana), still(&mut browser, &ben)];
    if let Ok(folder) = std::env::var("TERTULIA_PICTURES") {
        strip::keep(&mut browser, &folder, &apart, &together);
    }
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn whoever_moves_to_another_node_of_a_side_keeps_what_waits_and_whoever_reads_keeps_the_place() {
    let Some(mut browser) = browser() else { return };
    let mut cluster = Cluster::start(5);
    let people = cluster.people(&["dora"]);
    let dora = &people[0];
    let mut said: Vec<String> = (1..=40).map(|number| format!("Verse {number}.")).collect();
    for verse in &said {
        assert_eq!(cluster.post(3, dora, verse), 201);
    }
    let (ana, ben) = (enter(&mut browser, &cluster, "ana", &[1, 2]), enter(&mut browser, &cluster, "ben", &[3, 4]));
    let mut say = |browser: &mut Browser, window: &Window, text: &str| {
        browser.write(window, "#text", text);
        sees(browser, window, "waiting", text);
        said.push(text.to_owned());
    };

    // Nobody has a majority, and what each side says waits on two nodes of it.
    cluster.say("cut 1 2 | 3 4 | 5");
    say(&mut browser, &ana, "From the one side.");
    say(&mut browser, &ben, "From the other side.");
    let all_on_two =
        "[...document.querySelectorAll('#messages .waiting .state')].every((state) => state.textContent.includes('on 2 nodes'))";
    for window in [&ana, &ben] {
        browser.until(window, "both nodes have it", all_on_two);
    }

    // Ana loads her page anew; then the node that she is at dies, and the page goes on at the other one.
    let before = shown(&mut browser, &ana);
    browser.navigate(&ana, cluster.url(1));
    sees(&mut browser, &ana, "committed", "Verse 40.");
    sees(&mut browser, &ana, "waiting", "From the one side.");
    assert_eq!(shown(&mut browser, &ana), before);
    cluster.say("kill 1");
    browser.until(&ana, "the page is at node 2", "document.querySelector('#status').textContent.startsWith('node 2')");
    assert_eq!(shown(&mut browser, &ana), before);
    // No leader can confirm the number of what she says now; her node takes it all the same.
    say(&mut browser, &ana, "After the move.");

    // Ben reads what was said before, and goes on reading at that line while all gets its place below.
    let read = "(() => { const log = document.querySelector('#log').getBoundingClientRect(); \
        const item = [...document.querySelectorAll('#messages > .message')].find((item) => item.getBoundingClientRect().bottom > log.top); \
        return [item.dataset.name, Math.round(item.getBoundingClientRect().top)]; })()";
    browser.value(&ben, "document.querySelector('#log').scrollTop -= 700");
    let place = browser.value(&ben, read);
    cluster.say("start 1");
    cluster.say("heal");
    all_settled(&mut browser, &[&ana, &ben]);
    sees(&mut browser, &ben, "committed", "After the move.");
    sees(&mut browser, &ana, "committed", "From the other side.");
    assert_eq!(browser.value(&ben, read), place, "the reader's line has moved");
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    one_order(&mut browser, &cluster, dora, &[&ana, &ben], &said);
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn a_message_that_is_refused_when_it_is_its_turn_is_taken_back_with_a_reason() {
    let Some(mut browser) = browser() else { return };
    let mut cluster = Cluster::start(5);
    let people = cluster.people(&["dora"]);
    cluster.strict_room(&people[0], "vault");
    let (ana, cleo) = (enter(&mut browser, &cluster, "ana", &[1, 2]), enter(&mut browser, &cluster, "cleo", &[2, 1]));
    // Only reads, and so stays at one node: whoever looks for a leader at that moment is not told of the refusal.
    let eli = enter(&mut browser, &cluster, "eli", &[2, 1]);
    for (name, window) in [("ana", &ana), ("cleo", &cleo)] {
        browser.write(window, "#text", &format!("{name} is here."));
        sees(&mut browser, window, "committed", &format!("{name} is here."));
    }
    go_to(&mut browser, &cleo, "vault");
    browser.until(&cleo, "she is in it", "document.querySelector('#text:enabled')?.checkVisibility()");
    go_to(&mut browser, &cleo, "lobby");
    cluster.say("cut 1 2 | 3 4 5");
    browser.until(&cleo, "it is said that there is no majority", "!document.querySelector('#cut-off').hidden");
    browser.write(&cleo, "#text", "For this side.");
    sees(&mut browser, &ana, "waiting", "For this side.");
    // A strict room takes nothing now: what is written in it waits where it was written, and what the same device says later waits behind it.
    go_to(&mut browser, &cleo, "vault");
    browser.write(&cleo, "#text", "For all or for nobody.");
    sees(&mut browser, &cleo, "sending", "For all or for nobody.");
    go_to(&mut browser, &cleo, "lobby");
    browser.write(&ana, "#text", "What I should not say.");
    for window in [&ana, &cleo, &eli] {
        sees(&mut browser, window, "waiting", "What I should not say.");
    }
    // Dora owns the room, and the others have a majority.
    cluster.ban(4, &people[0], "ana");
    cluster.say("heal");
    sees(&mut browser, &ana, "refused", "What I should not say.");
    browser.until(&ana, "she is told why", "document.querySelector('.refused .state').textContent.includes('banned')");
    for note in ["dora banned ana from this room.", "A message of ana got no place in this room: banned."] {
        let found = format!("[...document.querySelectorAll('#messages .note')].some((one) => one.textContent === {note:?})");
        browser.until(&eli, "so is another one", &found);
    }
    for window in [&cleo, &eli] {
        let gone = format!("!{SHOWN}.some(([, , text]) => text === 'What I should not say.')");
        browser.until(window, "it is gone", &gone);
    }
    go_to(&mut browser, &cleo, "vault");
    sees(&mut browser, &cleo, "committed", "For all or for nobody.");
    let refused = "[...document.querySelectorAll('.refused .discard')].forEach((button) => button.click())";
    browser.value(&ana, refused);
    browser.until(&ana, "it is gone when she says so", "!document.querySelector('.refused')");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
