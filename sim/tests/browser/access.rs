//! The pages for those who do not see them, or not well: axe-core finds nothing serious on any page, light or dark, on a desk or in a hand; and pictures of them.
//!
//! axe-core is no dependency of the project: `TERTULIA_AXE` names its file (`npm install axe-core`). Without it these tests say that they have skipped it, or fail if a browser is required.

use crate::client::{FIRST, SECOND};
use crate::cluster::Cluster;
use crate::devtools::{Browser, Window};
use crate::{browser, enter, go_to, keep_picture, sees};

const DESK: (u32, u32) = (1280, 800);
const HAND: (u32, u32) = (360, 780);

fn axe() -> Option<String> {
    match std::env::var("TERTULIA_AXE") {
        Ok(path) => Some(std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))),
        Err(_) if std::env::var("TERTULIA_BROWSER").is_ok_and(|wanted| wanted == "required") => {
            panic!("TERTULIA_AXE does not say where axe.min.js is: npm install axe-core")
        }
        Err(_) => {
            eprintln!("SKIPPED: TERTULIA_AXE does not say where axe.min.js is");
            None
        }
    }
}

fn nothing_serious(browser: &mut Browser, window: &Window, source: &str, what: &str) {
    for scheme in ["light", "dark"] {
        browser.color_scheme(window, scheme);
        browser.until(window, "nothing moves", "document.getAnimations().every((one) => one.playState !== 'running' || one.effect.getTiming().iterations === Infinity)");
        let found = browser.axe(window, source);
        assert!(found.is_empty(), "{what}, {scheme}: {found:#?}");
    }
    browser.color_scheme(window, "light");
}

/// What a window shows is good by axe-core's rules (if it is there), light and dark, and is all within a narrow window.
pub fn good_for_everybody(browser: &mut Browser, window: &Window, what: &str) {
    if let Some(axe) = axe() {
        nothing_serious(browser, window, &axe, what);
    }
    let before = browser.value(window, "[innerWidth, innerHeight]");
    let size = |nth: usize| u32::try_from(before[nth].as_u64().unwrap()).unwrap();
    let before = (size(0), size(1));
    browser.resize(window, HAND);
    browser.until(window, "the window is narrow", "innerWidth === 360");
    let wide = "[...document.querySelectorAll('#dialog[open], #entry, #pane, #conversation')].filter((one) => one.checkVisibility() && one.scrollWidth > one.clientWidth)\
        .map((one) => `${one.id}: ${one.scrollWidth} of ${one.clientWidth}`).join()";
    let found = browser.value(window, wide);
    assert_eq!(found, "", "{what}: wider than a telephone");
    browser.resize(window, before);
    browser.until(window, "the window is as it was", &format!("innerWidth === {}", before.0));
}

/// What an evening looks like: several people, an answer, a change, reactions.
fn an_evening(browser: &mut Browser, cluster: &Cluster, ana: &Window, ben: &Window) {
    let said = [
        (ana, "Has anybody seen the new boathouse?"),
        (ben, "Only from the bridge. They have painted it green, and the door is as wide as the quay."),
        (ben, "They say it opens on Sunday."),
        (ana, "Then let us meet there at ten, *with* the kayaks. Bring `rope` and something warm."),
        (ben, "@ana I have two life jackets too many, if somebody needs one. https://example.com/weather says rain."),
    ];
    for (window, text) in said {
        browser.write(window, "#text", text);
        browser.until(window, text, "!document.querySelector('#messages > .message.sending')");
    }
    let people = cluster.people(&["dora"]);
    assert_eq!(cluster.post(3, &people[0], "I bring the big thermos."), 201);
    sees(browser, ana, "committed", "I bring the big thermos.");
    let last = "[...document.querySelectorAll('#messages > .message')].at(-1)";
    browser.value(ana, &format!("{last}.focus()"));
    browser.press(ana, "+");
    browser.click(ana, "document.querySelector('#picker [role=option], #picker button')");
    browser.until(ben, "the reaction", "document.querySelector('#messages .reaction')");
    browser.until(ana, "the picker is closed", "!document.querySelector('#picker:popover-open')");
}

#[test]
fn nothing_serious_is_wrong_with_any_page_for_those_who_do_not_see_it() {
    let Some(mut browser) = browser() else { return };
    let Some(axe) = axe() else { return };
    let cluster = Cluster::start(3);
    let people = cluster.people(&["dora"]);
    let entry = browser.open(cluster.url(1), DESK, &[]);
    browser.until(&entry, "the field for a name", "document.querySelector('#name')");
    nothing_serious(&mut browser, &entry, &axe, "signing in");

    let (ana, ben) = (enter(&mut browser, &cluster, "ana", &FIRST), enter(&mut browser, &cluster, "ben", &SECOND));
    browser.resize(&ana, DESK);
    cluster.room(&people[0], "harbour");
    cluster.room(&people[0], "spring cleaning");
    for room in ["harbour", "spring cleaning", "lobby"] {
        go_to(&mut browser, &ana, room);
    }
    cluster.say_in(2, &people[0], "harbour", "The ferry is back. @ana, your parcel, too.");
    cluster.say_in(3, &people[0], "spring cleaning", "Saturday?");
    an_evening(&mut browser, &cluster, &ana, &ben);
    nothing_serious(&mut browser, &ana, &axe, "a room");
    browser.value(&ana, "document.activeElement.blur()");
    keep_picture(&mut browser, &ana, "chat-light");
    browser.color_scheme(&ana, "dark");
    keep_picture(&mut browser, &ana, "chat-dark");
    browser.color_scheme(&ana, "light");
    browser.resize(&ana, HAND);
    nothing_serious(&mut browser, &ana, &axe, "a room in a hand");
    keep_picture(&mut browser, &ana, "chat-phone");
    browser.resize(&ana, DESK);

    browser.value(&ana, "document.querySelector('#text').focus()");
    browser.press(&ana, "Control+k");
    browser.until(&ana, "the switcher", "document.querySelector('#dialog[open] input')");
    nothing_serious(&mut browser, &ana, &axe, "the switcher");
    for (command, what) in [
        ("Settings", "settings"),
        ("Browse rooms", "browsing"),
        ("People and friends", "people"),
        ("New room", "a new room"),
        ("Keyboard shortcuts", "shortcuts"),
    ] {
        browser.insert(&ana, command);
        let first = format!("document.querySelector('#dialog [aria-selected=true]')?.textContent.includes({command:?})");
        browser.until(&ana, command, &first);
        browser.press(&ana, "Enter");
        browser.until(
            &ana,
            what,
            "document.querySelector('#dialog[open]') && !document.querySelector('#dialog [aria-selected=true]')",
        );
        nothing_serious(&mut browser, &ana, &axe, what);
        browser.press(&ana, "Escape");
        browser.until(&ana, "the dialog is closed", "!document.querySelector('#dialog[open]')");
        browser.press(&ana, "Control+k");
        browser.until(&ana, "the switcher", "document.querySelector('#dialog[open] input')");
    }
    browser.press(&ana, "Escape");
    browser.until(&ana, "the dialog is closed", "!document.querySelector('#dialog[open]')");
    for pane in ["members", "search"] {
        browser.click(&ana, &format!("document.querySelector('#bar .{pane}')"));
        browser.until(&ana, pane, "document.querySelector('#pane')");
        nothing_serious(&mut browser, &ana, &axe, pane);
        browser.click(&ana, "document.querySelector('#pane header button')");
        browser.until(&ana, "the pane is closed", "!document.querySelector('#pane')");
    }
    go_to(&mut browser, &ben, "lobby");

    let page = browser.open(&format!("{}/cluster", cluster.url(2)), DESK, &[]);
    browser.until(&page, "the nodes", "document.querySelectorAll('#cards .card').length === 3");
    nothing_serious(&mut browser, &page, &axe, "the cluster");
    browser.resize(&page, HAND);
    nothing_serious(&mut browser, &page, &axe, "the cluster in a hand");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
