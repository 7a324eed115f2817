//! What people do in the web client, by mouse and keyboard: talking, answering, changing, looking for what was said; texts that want to be more than texts; long rooms;
//! and a node that dies under them.

use crate::cluster::Cluster;
use crate::devtools::{Browser, Window};
use crate::{browser, enter, go_to, sees, shown, texts};

/// All three nodes, this one first.
pub const FIRST: [usize; 3] = [1, 2, 3];
pub const SECOND: [usize; 3] = [2, 3, 1];

/// The element of the message that says this.
fn message(text: &str) -> String {
    format!(
        "[...document.querySelectorAll('#messages > .message')].find((item) => item.querySelector('.text')?.textContent === {text:?})"
    )
}

/// Gives a message the focus, as the arrow keys do.
fn point_at(browser: &mut Browser, window: &Window, text: &str) {
    browser.until(window, text, &message(text));
    browser.value(window, &format!("{}.focus()", message(text)));
    browser.until(window, "it has the focus", &format!("document.activeElement === {}", message(text)));
}

#[test]
fn two_people_talk_answer_change_react_and_find_it_again() {
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::start(3);
    cluster.people(&["dora"]);
    let (ana, ben) = (enter(&mut browser, &cluster, "ana", &FIRST), enter(&mut browser, &cluster, "ben", &SECOND));
    browser.write(&ana, "#text", "Shall we meet at nine?");
    sees(&mut browser, &ben, "committed", "Shall we meet at nine?");

    // Ben answers by the keyboard alone.
    point_at(&mut browser, &ben, "Shall we meet at nine?");
    browser.press(&ben, "r");
    browser.until(&ben, "it is said what is answered", "document.querySelector('#post .strip')");
    browser.write(&ben, "#text", "At ten, please.");
    sees(&mut browser, &ana, "committed", "At ten, please.");
    let quoted = format!("{}.querySelector('.quote').textContent.includes('Shall we meet at nine?')", message("At ten, please."));
    browser.until(&ana, "the answer shows what it answers", &quoted);

    // Ana changes what she said last.
    browser.value(&ana, "document.querySelector('#text').focus()");
    browser.press(&ana, "ArrowUp");
    browser.until(&ana, "her text is in the field", "document.querySelector('#text').value === 'Shall we meet at nine?'");
    browser.value(&ana, "document.querySelector('#text').select()");
    browser.insert(&ana, "Shall we meet at ten?");
    browser.press(&ana, "Enter");
    sees(&mut browser, &ben, "committed", "Shall we meet at ten?");
    browser.until(&ben, "it says that it was changed", &format!("{}.querySelector('.edited')", message("Shall we meet at ten?")));
    assert_eq!(texts(&shown(&mut browser, &ben)), ["Shall we meet at ten?", "At ten, please."]);

    // Ben likes it.
    point_at(&mut browser, &ben, "Shall we meet at ten?");
    browser.press(&ben, "+");
    browser.click(&ben, "document.querySelector('#picker [role=option], #picker button')");
    browser.until(&ana, "the reaction", &format!("{}.querySelector('.reaction')", message("Shall we meet at ten?")));

    // What somebody does is told as the terminal tells it.
    browser.write(&ana, "#text", "/me waves.");
    sees(&mut browser, &ben, "committed", "* ana waves.");

    // Ana looks for it.
    browser.press(&ana, "Control+Shift+f");
    browser.until(&ana, "the field for words", "document.activeElement.matches('#pane input[type=search]')");
    browser.insert(&ana, "TEN pl");
    browser.press(&ana, "Enter");
    // A node's index of words is a moment behind: she asks until it is there.
    let found = "document.querySelectorAll('#pane .card').length === 1 && document.querySelector('#pane .card .text').textContent === 'At ten, please.'";
    let again = "document.querySelector('#pane .found').textContent.startsWith('Nothing') && document.querySelector('#pane form').requestSubmit()";
    browser.until(&ana, "what is found", &format!("{found} || {again}"));
    browser.press(&ana, "Escape");

    // She makes another room from the switcher; Ben joins it and calls her there.
    browser.value(&ana, "document.querySelector('#text').focus()");
    browser.press(&ana, "Control+k");
    browser.until(&ana, "the switcher", "document.querySelector('#dialog[open] input')");
    browser.insert(&ana, "tea");
    browser.until(
        &ana,
        "it is offered",
        "document.querySelector('#dialog [aria-selected=true]')?.textContent.includes('New room “tea”')",
    );
    browser.press(&ana, "Enter");
    browser.until(
        &ana,
        "its name is there",
        "document.activeElement.id === 'room-name' && document.activeElement.value === 'tea'",
    );
    browser.press(&ana, "Enter");
    browser.until(&ana, "the new room", "document.querySelector('#title').textContent === 'tea'");
    go_to(&mut browser, &ana, "lobby");
    go_to(&mut browser, &ben, "tea");
    browser.write(&ben, "#text", "@ana the water boils.");
    let tea = "[...document.querySelectorAll('#rooms [data-room]')].find((row) => row.textContent.includes('tea'))";
    browser.until(&ana, "she is called", &format!("{tea}?.querySelector('.count.loud')?.textContent.includes('@1')"));
    browser.until(&ana, "the title of the window says so", "document.title.includes('1')");
    go_to(&mut browser, &ana, "tea");
    sees(&mut browser, &ana, "committed", "@ana the water boils.");
    browser.until(&ana, "it is read", &format!("!{tea}.querySelector('.count')"));
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn what_is_written_while_nothing_answers_is_kept_over_a_reload_and_sent_once() {
    let Some(mut browser) = browser() else { return };
    let mut cluster = Cluster::start(3);
    cluster.people(&["dora"]);
    let (ana, ben) = (enter(&mut browser, &cluster, "ana", &FIRST), enter(&mut browser, &cluster, "ben", &SECOND));
    browser.write(&ana, "#text", "One.");
    sees(&mut browser, &ben, "committed", "One.");

    // The node that she is at is killed: the page goes on at another.
    cluster.say("kill 1");
    browser.write(&ana, "#text", "Two.");
    sees(&mut browser, &ana, "committed", "Two.");
    sees(&mut browser, &ben, "committed", "Two.");
    let elsewhere = "/^node [23]/.test(document.querySelector('#status').textContent)";
    browser.until(&ana, "the page is at another node", elsewhere);

    // She has no network at all; what she writes waits, also when she loads the page anew, from a node that is dead.
    browser.until(
        &ana,
        "the page is kept",
        "navigator.serviceWorker.controller || navigator.serviceWorker.ready.then(() => true)",
    );
    browser.offline(&ana, true);
    browser.write(&ana, "#text", "Three.");
    sees(&mut browser, &ana, "sending", "Three.");
    browser.navigate(&ana, cluster.url(1));
    browser.until(&ana, "the page comes up", "document.querySelector('#status')?.textContent.includes('looking for a node')");
    browser.offline(&ana, false);
    go_to(&mut browser, &ana, "lobby");
    sees(&mut browser, &ana, "committed", "Three.");
    sees(&mut browser, &ben, "committed", "Three.");
    assert_eq!(texts(&shown(&mut browser, &ben)), ["One.", "Two.", "Three."]);
}

#[test]
fn what_is_begun_in_two_windows_of_one_browser_is_kept_side_by_side() {
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::start(3);
    let people = cluster.people(&["dora"]);
    cluster.room(&people[0], "harbour");
    let first = enter(&mut browser, &cluster, "ana", &FIRST);
    let second = browser.open_beside(&first, cluster.url(1), (470, 545));
    go_to(&mut browser, &second, "harbour");
    for (window, text) in [(&first, "Begun in the lobby"), (&second, "Begun at the harbour")] {
        browser.until(window, "the field", "document.querySelector('#text:enabled')?.checkVisibility()");
        browser.value(window, "document.querySelector('#text').focus()");
        browser.insert(window, text);
    }
    // Each window shows what the other one has begun, before and after it is loaded anew.
    let has = |browser: &mut Browser, window: &Window, room: &str, text: &str| {
        go_to(browser, window, room);
        browser.until(window, text, &format!("document.querySelector('#text').value === {text:?}"));
    };
    has(&mut browser, &first, "harbour", "Begun at the harbour");
    has(&mut browser, &second, "lobby", "Begun in the lobby");
    browser.navigate(&first, cluster.url(1));
    has(&mut browser, &first, "harbour", "Begun at the harbour");
    has(&mut browser, &first, "lobby", "Begun in the lobby");
    // What one of them sends is begun no more in the other one.
    browser.press(&second, "Enter");
    sees(&mut browser, &first, "committed", "Begun in the lobby");
    browser.until(&first, "nothing is begun", "document.querySelector('#text').value === ''");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn texts_of_strangers_are_texts() {
    const HOSTILE: [&str; 10] = [
        "<script>window.harmed = 1</script>",
        "<img src=x onerror=\"window.harmed = 1\">",
        "</li></ol><h1>Not a message</h1>",
        "javascript:window.harmed=1 https://example.com/\"onmouseover=\"window.harmed=1",
        "\u{202e}txet siht sesrever\u{202c} and goes on",
        "zero\u{200b}width\u{200d}\u{feff} and\u{2066} isolated",
        "Z\u{0351}\u{0352}\u{0353}\u{0354}\u{0355}\u{0356}\u{0357}\u{0358}\u{0359}\u{035a}\u{035b}\u{0300}\u{0301}\u{0302}\u{0303}\u{0304}\u{0305}\u{0306}\u{0307}\u{0308}algo",
        "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
        "{{constructor.constructor('window.harmed=1')()}} ${window.harmed=1}",
        "👩‍👩‍👧‍👦 &amp; &lt;b&gt;",
    ];
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::start(3);
    let people = cluster.people(&["dora", "<b onclick=alert(1)>eve</b>"]);
    let ana = enter(&mut browser, &cluster, "ana", &FIRST);
    for (nth, text) in HOSTILE.iter().enumerate() {
        if nth % 2 == 0 {
            assert_eq!(cluster.post(1 + nth % 3, &people[1], text), 201);
        } else {
            browser.write(&ana, "#text", text);
        }
        browser.until(&ana, text, &format!("document.querySelectorAll('#messages > .message.committed').length === {}", nth + 1));
    }
    let said = shown(&mut browser, &ana);
    assert!(said.iter().any(|message| message.text == HOSTILE[0]), "{said:#?}");
    assert!(said.iter().any(|message| message.text == HOSTILE[2]), "{said:#?}");
    let made = "document.querySelectorAll('#messages :is(script, img, h1, iframe, svg:not(.icon), b[onclick])').length";
    assert_eq!(browser.value(&ana, made), 0);
    assert_eq!(browser.value(&ana, "window.harmed === undefined && document.scripts.length <= 2"), true);
    let links = "[...document.querySelectorAll('#messages .text a')].every((link) => /^https?:/.test(link.href) && link.rel.includes('noopener'))";
    assert_eq!(browser.value(&ana, links), true);
    let inside = "(() => { const log = document.querySelector('#log').getBoundingClientRect(); return document.querySelector('#log').scrollWidth <= \
        document.querySelector('#log').clientWidth && [...document.querySelectorAll('#messages .text')].every((text) => text.getBoundingClientRect().right <= log.right); })()";
    assert_eq!(browser.value(&ana, inside), true, "nothing reaches out of the list");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn a_long_room_is_a_short_page() {
    const SAID: usize = 1_200;
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::start(3);
    let people = cluster.people(&["dora"]);
    for number in 1..=SAID {
        assert_eq!(cluster.post(1, &people[0], &format!("Line {number} of a long evening.")), 201);
    }
    let ana = enter(&mut browser, &cluster, "ana", &FIRST);
    sees(&mut browser, &ana, "committed", &format!("Line {SAID} of a long evening."));
    let few = "document.querySelectorAll('#messages > *').length < 250";
    assert_eq!(browser.value(&ana, few), true);
    // Upwards by the wheel, as far as it goes; the page never holds much of it.
    for _ in 0..400 {
        browser.value(&ana, "document.querySelector('#log').scrollTop -= 1500");
        assert_eq!(browser.value(&ana, few), true);
        if browser.value(&ana, "document.querySelector('#log').scrollTop === 0") == true {
            break;
        }
    }
    sees(&mut browser, &ana, "committed", "Line 1 of a long evening.");
    browser.value(&ana, "document.querySelector('.pill.down').click()");
    sees(&mut browser, &ana, "committed", &format!("Line {SAID} of a long evening."));
    assert_eq!(browser.value(&ana, few), true);
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
