//! The cluster page of `node demo`, as somebody uses it who was dared to break the cluster: kills the leader, cuts the nodes apart, slows a disk, and reads the counter.

use crate::cluster::node;
use crate::devtools::{Browser, Window};
use crate::{browser, keep_picture};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

struct Demo {
    child: Child,
    /// The cluster page with the control's key.
    page: String,
    _dir: tempfile::TempDir,
}

/// A port from which on all that a demo needs are free.
fn free_base(nodes: u16) -> u16 {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let wanted = |base: u16| (base - 1..base + nodes).chain(base + 1000..base + 1000 + nodes);
    let start = 33_000 + (std::process::id() % 2_000) as u16;
    (0..400).map(|nth| start + nth * 23).find(|base| wanted(*base).all(is_free)).expect("some ports are free")
}

impl Demo {
    fn start(nodes: u16) -> Demo {
        let dir = tempfile::tempdir().unwrap();
        let base = free_base(nodes);
        let mut command = Command::new(node());
        command
            .args(["demo", "--nodes", &nodes.to_string(), "--http-base", &base.to_string(), "--data"])
            .arg(dir.path().join("data"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let page = lines.find_map(|line| Some(line[line.find("http://")?..].to_owned()).filter(|url| url.contains("#key=")));
        std::thread::spawn(move || lines.for_each(drop));
        Demo { child, page: page.expect("the demo prints where it can be broken"), _dir: dir }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its nodes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number above a word of the counter.
fn figure(browser: &mut Browser, window: &Window, word: &str) -> u64 {
    let found = format!(
        "[...document.querySelectorAll('.counter .flow > div, .counter .tile')].find((one) => one.querySelector('span').textContent === {word:?}).querySelector('b').textContent"
    );
    let shown = browser.value(window, &found);
    shown.as_str().unwrap().chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
}

/// The button of a node's card that begins with this word.
fn button(node: usize, word: &str) -> String {
    format!(
        "[...document.querySelectorAll('#node-{node} .deeds button')].find((button) => button.textContent === {word:?} && !button.disabled)"
    )
}

/// The node that the page takes for the leader.
fn leader(browser: &mut Browser, window: &Window) -> usize {
    let leads = "[...document.querySelectorAll('#cards .card')].find((card) => card.querySelector('.state').textContent.startsWith('lead'))";
    browser.until(window, "somebody leads", leads);
    let id = browser.value(window, &format!("{leads}.id"));
    id.as_str().unwrap().trim_start_matches("node-").parse().unwrap()
}

/// Waits until so many more messages have been committed.
fn goes_on(browser: &mut Browser, window: &Window, more: u64) {
    let wanted = figure(browser, window, "committed") + more;
    let committed = "Number([...document.querySelectorAll('.counter .flow > div')].find((one) => one.textContent.includes('committed')).querySelector('b').textContent.replace(/\\D/g, ''))";
    browser.until(window, "messages are committed again", &format!("{committed} >= {wanted}"));
}

#[test]
fn a_demo_that_is_killed_cut_and_slowed_loses_and_doubles_nothing() {
    let Some(mut browser) = browser() else { return };
    let demo = Demo::start(5);
    let window = browser.open(&demo.page, (1280, 800), &[]);
    browser.until(&window, "the counter", "document.querySelector('.counter .tile')");
    goes_on(&mut browser, &window, 5);

    // The leader is killed, and started again.
    let first = leader(&mut browser, &window);
    browser.click(&window, &button(first, "Kill"));
    browser.until(&window, "it is dead", &button(first, "Start"));
    goes_on(&mut browser, &window, 5);
    let second = leader(&mut browser, &window);
    assert_ne!(first, second);
    browser.click(&window, &button(first, "Start"));
    browser.until(&window, "it is back", &button(first, "Kill"));

    // The next one stands still, and goes on.
    browser.click(&window, &button(second, "Pause"));
    goes_on(&mut browser, &window, 5);
    browser.click(&window, &button(second, "Go on"));

    // One is cut off; another one's disk is slow.
    let third = leader(&mut browser, &window);
    browser.click(&window, &button(third, "Cut off"));
    browser.until(&window, "it is cut off", &button(third, "Heal"));
    goes_on(&mut browser, &window, 5);
    browser.value(
        &window,
        &format!("(() => {{ const select = document.querySelector('#node-{first} select'); select.selectedIndex = 2; select.dispatchEvent(new Event('change')); }})()"),
    );
    browser.until(&window, "it is said that it is slow", &format!("document.querySelector('#node-{first} .slow.on')"));
    goes_on(&mut browser, &window, 5);
    keep_picture(&mut browser, &window, "cluster");
    browser.click(&window, &button(third, "Heal"));
    browser.until(&window, "it is healed", &button(third, "Cut off"));
    goes_on(&mut browser, &window, 5);
    for word in ["lost", "doubled", "out of order"] {
        assert_eq!(figure(&mut browser, &window, word), 0, "{word}");
    }
    assert_eq!(browser.value(&window, "document.querySelector('.counter .violation, .counter .broken') === null"), true);
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
