//! Who somebody is, and how they stand to each other: accounts with passwords, invitations and guests; devices; what moderators do; friends. Each step is looked at from both sides:
//! by the one who does it, and by the one to whom it is done.

use crate::access::good_for_everybody;
use crate::client::{FIRST, SECOND};
use crate::cluster::Cluster;
use crate::devtools::{Browser, Window};
use crate::{browser, go_to, sees};

const DESK: (u32, u32) = (1280, 800);
const HAND: (u32, u32) = (360, 780);
const THIRD: [usize; 3] = [3, 1, 2];

/// The visible element of this kind that says exactly this.
fn the(selector: &str, text: &str) -> String {
    format!(
        "[...document.querySelectorAll({selector:?})].find((one) => one.checkVisibility() && one.textContent.trim().replace(/\\s+/g, ' ') === {text:?})"
    )
}

fn press(browser: &mut Browser, window: &Window, text: &str) {
    browser.click(window, &the("button, label", text));
}

/// Waits until these words stand in what this selector names.
fn says(browser: &mut Browser, window: &Window, selector: &str, words: &str) {
    let found = format!("[...document.querySelectorAll({selector:?})].some((one) => one.textContent.includes({words:?}))");
    browser.until(window, &format!("{selector} says \"{words}\""), &found);
}

fn fill(browser: &mut Browser, window: &Window, field: &str, text: &str) {
    browser.until(window, field, &format!("document.querySelector('{field}:enabled')?.checkVisibility()"));
    browser.value(window, &format!("document.querySelector('{field}').focus(), document.querySelector('{field}').select()"));
    browser.insert(window, text);
}

/// Fills in the page for signing in, and sends it.
fn enter(browser: &mut Browser, window: &Window, way: &str, name: &str, password: &str) {
    press(browser, window, way);
    fill(browser, window, "#name", name);
    fill(browser, window, "#password", password);
    browser.press(window, "Enter");
}

fn is_in(browser: &mut Browser, window: &Window, name: &str) {
    says(browser, window, ".foot .me .named", name);
    browser.until(window, "the node that it is at", "document.querySelector('#status').textContent.startsWith('node')");
}

fn is_out(browser: &mut Browser, window: &Window) {
    browser.until(window, "the page for signing in", "document.querySelector('#sign-in #name')?.checkVisibility()");
}

/// Opens one of the dialogs of one's account.
fn open(browser: &mut Browser, window: &Window, which: &str) {
    browser.click(window, "document.querySelector('.foot .me')");
    browser.click(window, &the("#menu [role=menuitem]", which));
    browser.until(window, which, "document.querySelector('#dialog[open]')");
}

fn close(browser: &mut Browser, window: &Window) {
    browser.press(window, "Escape");
    browser.until(window, "the dialog is closed", "!document.querySelector('#dialog[open]')");
}

/// Says yes to what is asked, and waits until it is done.
fn confirm(browser: &mut Browser, window: &Window, question: &str) {
    says(browser, window, "#dialog[open] h2", question);
    browser.press(window, "Enter");
    browser.until(window, "it is done", "!document.querySelector('#dialog[open]')");
}

/// Does something with a person, from the room's list of members.
fn with_member(browser: &mut Browser, window: &Window, name: &str, what: &str) {
    let row = format!(
        "[...document.querySelectorAll('#pane .people .row')].find((row) => row.querySelector('.named').textContent === {name:?})"
    );
    let open = "document.querySelector('#pane .people') || document.querySelector('#bar .members').click()";
    browser.until(window, "the members", open);
    // By itself, not by its place: the list is set anew when somebody stands otherwise.
    browser.until(window, name, &row);
    browser.value(window, &format!("{row}.click()"));
    browser.click(window, &the("#menu [role=menuitem]", what));
}

fn make_room(browser: &mut Browser, window: &Window, name: &str) {
    press(browser, window, "Make a room");
    fill(browser, window, "#room-name", name);
    browser.press(window, "Enter");
    browser.until(
        window,
        name,
        &format!(
            "document.querySelector('#title').textContent === {name:?} && document.querySelector('#text').checkVisibility()"
        ),
    );
}

#[test]
fn an_account_is_made_kept_by_its_password_and_left() {
    let Some(mut browser) = browser() else { return };
    let mut cluster = Cluster::where_people(3, "accounts");
    let all = cluster.all_but(&FIRST);
    let ana = browser.open(cluster.url(1), DESK, &all);
    is_out(&mut browser, &ana);
    enter(&mut browser, &ana, "Sign in", "ana", "correct horse");
    says(&mut browser, &ana, "#entry-error", "There is no such name, or not with this password.");
    good_for_everybody(&mut browser, &ana, "a sign-in that was refused");
    enter(&mut browser, &ana, "New account", "ana", "correct horse");
    is_in(&mut browser, &ana, "ana");
    make_room(&mut browser, &ana, "lobby");

    // Somebody else may not have her name.
    let ben = browser.open(cluster.url(2), DESK, &all);
    is_out(&mut browser, &ben);
    enter(&mut browser, &ben, "New account", "Ana", "battery staple");
    says(&mut browser, &ben, "#entry-error", "Somebody has this name. Choose another one.");
    browser.until(&ben, "the name is to be written anew", "document.activeElement.id === 'name'");
    good_for_everybody(&mut browser, &ben, "a new account");
    fill(&mut browser, &ben, "#name", "ben");
    browser.press(&ben, "Enter");
    is_in(&mut browser, &ben, "ben");
    go_to(&mut browser, &ben, "lobby");

    // He signs in on his telephone, too, and out of it from his desk.
    let phone = browser.open(cluster.url(1), HAND, &all);
    is_out(&mut browser, &phone);
    enter(&mut browser, &phone, "Sign in", "ben", "battery stable");
    says(&mut browser, &phone, "#entry-error", "There is no such name, or not with this password.");
    browser.until(&phone, "the password is to be written anew", "document.activeElement.id === 'password'");
    fill(&mut browser, &phone, "#password", "battery staple");
    browser.press(&phone, "Enter");
    is_in(&mut browser, &phone, "ben");
    open(&mut browser, &ben, "Settings");
    browser.until(&ben, "both devices", "document.querySelectorAll('.devices li').length === 2");
    good_for_everybody(&mut browser, &ben, "the settings");
    browser.click(&ben, "document.querySelector('.devices button')");
    says(&mut browser, &ben, "#toasts", "is signed out.");
    browser.until(&ben, "one device", "document.querySelectorAll('.devices li').length === 1");
    is_out(&mut browser, &phone);
    says(&mut browser, &phone, "#entry-error", "This device was signed out");

    a_new_password(&mut browser, &ben, &phone);

    // He signs out on the telephone. Its page comes up from a node that is dead, knows how people sign in here, and signs him in at another one.
    open(&mut browser, &phone, "Sign out");
    browser.press(&phone, "Enter");
    is_out(&mut browser, &phone);
    browser.until(&phone, "nothing is wrong", "document.querySelector('#entry-error').textContent.trim() === ''");
    browser.until(&phone, "the page is kept", "navigator.serviceWorker.ready.then(() => true)");
    cluster.say("kill 1");
    browser.navigate(&phone, cluster.url(1));
    enter(&mut browser, &phone, "Sign in", "ben", "four random words");
    is_in(&mut browser, &phone, "ben");
    go_to(&mut browser, &phone, "lobby");
    browser.write(&phone, "#text", "From the telephone.");
    sees(&mut browser, &ana, "committed", "From the telephone.");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

/// It puts the telephone out once more, and the old one opens nothing.
fn a_new_password(browser: &mut Browser, ben: &Window, phone: &Window) {
    enter(browser, phone, "Sign in", "ben", "battery staple");
    is_in(browser, phone, "ben");
    fill(browser, ben, "#old-password", "not that one");
    fill(browser, ben, "#new-password", "four random words");
    browser.press(ben, "Enter");
    says(browser, ben, "#dialog .error", "This is not the account's password: nothing was changed.");
    fill(browser, ben, "#old-password", "battery staple");
    browser.press(ben, "Enter");
    says(browser, ben, "#dialog [role=status]", "Changed.");
    is_out(browser, phone);
    close(browser, ben);
    enter(browser, phone, "Sign in", "ben", "battery staple");
    says(browser, phone, "#entry-error", "There is no such name, or not with this password.");
    enter(browser, phone, "Sign in", "ben", "four random words");
    is_in(browser, phone, "ben");
}

#[test]
fn whoever_is_invited_is_told_what_moderators_do() {
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::where_people(3, "invite");
    let [ana, ben, cleo] = invited(&mut browser, &cluster);
    make_room(&mut browser, &ana, "lobby");
    for window in [&ben, &cleo] {
        go_to(&mut browser, window, "lobby");
    }
    browser.write(&ben, "#text", "Here I am.");
    sees(&mut browser, &ana, "committed", "Here I am.");
    muted_and_heard_again(&mut browser, [&ana, &ben, &cleo]);
    sent_away_and_let_in_again(&mut browser, [&ana, &ben, &cleo]);
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

#[test]
fn friends_are_asked_and_strangers_kept_away() {
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::start(3);
    cluster.people(&["dora"]);
    let [ana, ben, cleo] = [("ana", FIRST), ("ben", SECOND), ("cleo", THIRD)].map(|(name, reached)| {
        let window = crate::enter(&mut browser, &cluster, name, &reached);
        browser.resize(&window, DESK);
        window
    });
    a_private_room(&mut browser, &ana, &ben);
    friends_and_strangers(&mut browser, &ana, &ben);
    called_while_he_looks_elsewhere(&mut browser, &cluster, &ben, &cleo);
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}

/// Ana founds the cluster and invites the two others, each of whom registers with a code of her own.
fn invited(browser: &mut Browser, cluster: &Cluster) -> [Window; 3] {
    let ana = browser.open(cluster.url(1), DESK, &cluster.all_but(&FIRST));
    is_out(browser, &ana);
    enter(browser, &ana, "New account", "ana", "correct horse");
    is_in(browser, &ana, "ana");

    let ben = browser.open(cluster.url(2), DESK, &cluster.all_but(&SECOND));
    is_out(browser, &ben);
    enter(browser, &ben, "New account", "ben", "battery staple");
    says(browser, &ben, "#entry-error", "A new account takes an invitation here. Ask a member for one.");
    fill(browser, &ben, "#invite", "7e7e7e7e7e7e7e7e");
    browser.press(&ben, "Enter");
    says(browser, &ben, "#entry-error", "This invitation is not valid: it is mistyped, used, or too old.");
    good_for_everybody(browser, &ben, "an invitation that is not valid");

    // By its link the page has the code already.
    open(browser, &ana, "Settings");
    press(browser, &ana, "Make an invitation");
    browser.until(&ana, "the link", "document.querySelector('#invite-link')?.value.includes('/#/invite/')");
    good_for_everybody(browser, &ana, "an invitation");
    let link = browser.value(&ana, "document.querySelector('#invite-link').value").as_str().unwrap().to_owned();
    let code = link.rsplit('/').next().unwrap().to_owned();
    browser.navigate(&ben, &link);
    browser.until(&ben, "the code", &format!("document.querySelector('#invite')?.value === {code:?}"));
    fill(browser, &ben, "#name", "ben");
    fill(browser, &ben, "#password", "battery staple");
    browser.press(&ben, "Enter");
    is_in(browser, &ben, "ben");

    // It is used now.
    let cleo = browser.open(cluster.url(3), DESK, &cluster.all_but(&THIRD));
    is_out(browser, &cleo);
    browser.navigate(&cleo, &link.replace(cluster.url(1), cluster.url(3)));
    browser.until(&cleo, "the code", &format!("document.querySelector('#invite')?.value === {code:?}"));
    fill(browser, &cleo, "#name", "cleo");
    fill(browser, &cleo, "#password", "four random words");
    browser.press(&cleo, "Enter");
    says(browser, &cleo, "#entry-error", "This invitation is not valid: it is mistyped, used, or too old.");
    press(browser, &ana, "Make another one");
    browser.until(&ana, "another code", &format!("document.querySelector('#invite-code').value !== {code:?}"));
    let code = browser.value(&ana, "document.querySelector('#invite-code').value").as_str().unwrap().to_owned();
    close(browser, &ana);
    fill(browser, &cleo, "#invite", &code);
    browser.press(&cleo, "Enter");
    is_in(browser, &cleo, "cleo");
    [ana, ben, cleo]
}

/// Waits until the room's last note is this one.
fn notes(browser: &mut Browser, window: &Window, words: &str) {
    let found = format!("[...document.querySelectorAll('#messages .note')].at(-1)?.textContent.startsWith({words:?})");
    browser.until(window, words, &found);
}

fn muted_and_heard_again(browser: &mut Browser, [ana, ben, cleo]: [&Window; 3]) {
    with_member(browser, ana, "ben", "Mute …");
    browser.until(ana, "for how long", "document.querySelector('#dialog[open] [name=minutes]')");
    good_for_everybody(browser, ana, "muting somebody");
    confirm(browser, ana, "Mute ben");
    notes(browser, ana, "You muted ben until ");
    notes(browser, cleo, "ana muted ben until ");
    says(browser, ana, "#pane .people .row", "muted");
    says(browser, ben, "#toasts", "ana muted you in lobby until ");
    says(browser, ben, "#post .closed", "You are muted in this room until ");
    good_for_everybody(browser, ben, "a room in which one is muted");
    with_member(browser, ana, "ben", "Let speak again");
    says(browser, ben, "#toasts", "You may write in lobby again: ana has ended your mute.");
    browser.write(ben, "#text", "I shall be good.");
    sees(browser, cleo, "committed", "I shall be good.");
    // What was noted before stands before it.
    let order = "[...document.querySelectorAll('#messages .note, #messages .text')].map((one) => one.textContent).slice(-3)";
    let order = browser.value(cleo, order);
    assert!(order[0].as_str().is_some_and(|note| note.starts_with("ana muted ben until ")), "{order}");
    assert_eq!((order[1].as_str(), order[2].as_str()), (Some("ana let ben speak again."), Some("I shall be good.")));
}

fn sent_away_and_let_in_again(browser: &mut Browser, [ana, ben, cleo]: [&Window; 3]) {
    with_member(browser, ana, "cleo", "Make a moderator");
    says(browser, cleo, "#toasts", "ana made you a moderator of lobby.");
    notes(browser, ben, "ana made cleo a moderator.");

    with_member(browser, cleo, "ben", "Remove from the room …");
    good_for_everybody(browser, cleo, "removing somebody");
    confirm(browser, cleo, "Remove ben?");
    notes(browser, cleo, "You removed ben from this room.");
    notes(browser, ana, "cleo removed ben from this room.");
    says(browser, ben, "#toasts", "cleo removed you from lobby.");
    says(browser, ben, "#post .door", "cleo removed you from this room.");
    good_for_everybody(browser, ben, "a room from which one was removed");
    press(browser, ben, "Join");
    sees(browser, ben, "committed", "I shall be good.");
    browser.write(cleo, "#text", "Welcome back.");
    sees(browser, ben, "committed", "Welcome back.");

    with_member(browser, ana, "ben", "Ban …");
    confirm(browser, ana, "Ban ben?");
    notes(browser, cleo, "ana banned ben from this room.");
    says(browser, ben, "#post .door", "You are banned from this room: ana did that.");
    browser.until(ben, "there is nothing to press", "!document.querySelector('#post .door button')");
    browser.click(ana, "document.querySelector('#bar .bar-tools button:last-child')");
    browser.click(ana, &the("#menu [role=menuitem]", "Lift a ban …"));
    fill(browser, ana, "#whom", "ben");
    good_for_everybody(browser, ana, "lifting a ban");
    browser.press(ana, "Enter");
    says(browser, ana, "#dialog .chip", "ben");
    press(browser, ana, "Lift the ban");
    browser.until(ana, "it is done", "!document.querySelector('#dialog[open]')");
    says(browser, ana, "#toasts", "ben may come back to lobby.");
    notes(browser, cleo, "ana lifted the ban on ben.");
    // He is not told, and does not have to be: his page lets him try.
    browser.value(ben, "window.isOld = true, location.reload()");
    browser.until(ben, "the page is loaded anew", "!window.isOld");
    go_to(browser, ben, "lobby");
    sees(browser, ben, "committed", "I shall be good.");
}

fn friends_and_strangers(browser: &mut Browser, ana: &Window, ben: &Window) {
    with_member(browser, ana, "ben", "Ask to be friends");
    says(browser, ana, "#toasts", "ben is asked to be your friend.");
    says(browser, ben, "#toasts", "ana asks to be your friend.");
    says(browser, ben, ".foot .me .count", "1");
    open(browser, ben, "People and friends");
    good_for_everybody(browser, ben, "people");
    press(browser, ben, "Decline");
    says(browser, ben, "#toasts", "You have declined the request of ana.");
    browser.until(ben, "nobody asks any more", "!document.querySelector('.foot .me .count')");
    // Nothing is said to her, and she may ask again.
    with_member(browser, ana, "ben", "Ask to be friends");
    says(browser, ben, "#dialog h3", "They ask to be your friends");
    press(browser, ben, "Accept");
    says(browser, ben, "#dialog h3", "Friends");
    says(browser, ana, "#toasts", "ben and you are friends.");
    close(browser, ben);

    // They write to each other, until he does not want to hear of her.
    with_member(browser, ana, "ben", "Message");
    browser.until(ana, "the room of two", "document.querySelector('#title').textContent === 'ben'");
    browser.write(ana, "#text", "Between us.");
    sees(browser, ana, "committed", "Between us.");
    go_to(browser, ben, "ana");
    sees(browser, ben, "committed", "Between us.");
    open(browser, ben, "People and friends");
    press(browser, ben, "End");
    close(browser, ben);
    go_to(browser, ben, "lobby");
    with_member(browser, ben, "ana", "Profile");
    says(browser, ben, "#dialog .profile", "@ana");
    good_for_everybody(browser, ben, "a profile");
    press(browser, ben, "Block");
    confirm(browser, ben, "Block ana?");
    says(browser, ben, "#toasts", "You have blocked ana.");
    browser.write(ana, "#text", "Are you there?");
    sees(browser, ana, "refused", "Are you there?");
    says(browser, ana, ".refused .state", "one of you has blocked the other");
    good_for_everybody(browser, ana, "a message to somebody who has blocked one");
    go_to(browser, ben, "ana");
    says(browser, ben, "#post .closed", "You have blocked this person.");
}

/// Ben is invited to a room that others do not find, and sent away from it.
fn a_private_room(browser: &mut Browser, ana: &Window, ben: &Window) {
    browser.click(ana, "document.querySelector('.top .icon-button')");
    browser.click(ana, &the("#menu [role=menuitem]", "New room"));
    browser.until(ana, "the kinds of rooms", "document.querySelector('.kinds')");
    browser.value(ana, "document.querySelector('.kinds input[value=private]').click()");
    fill(browser, ana, "#room-name", "vault");
    fill(browser, ana, "#whom", "ben");
    browser.press(ana, "Enter");
    says(browser, ana, "#dialog .chip", "ben");
    press(browser, ana, "Make");
    browser.until(ana, "the room", "document.querySelector('#title').textContent === 'vault'");
    says(browser, ben, "#toasts", "You are invited to vault.");
    good_for_everybody(browser, ben, "an invitation to a room");
    browser.click(ben, "document.querySelector('.invitation button')");
    browser.until(
        ben,
        "he is in",
        "document.querySelector('#title').textContent === 'vault' && document.querySelector('#text:enabled')",
    );
    with_member(browser, ana, "ben", "Remove from the room …");
    confirm(browser, ana, "Remove ben?");
    says(browser, ben, ".welcome", "ana removed you from this room.");
    go_to(browser, ana, "lobby");
    go_to(browser, ben, "lobby");
}

/// Ben wants to be told of what is for him, and looks at another room. As on a telephone, only the service worker may tell him.
fn called_while_he_looks_elsewhere(browser: &mut Browser, cluster: &Cluster, ben: &Window, cleo: &Window) {
    browser.allow_notifications(ben, cluster.url(2));
    browser.value(ben, "window.Notification = class extends Notification { constructor() { super(...[]); } }; true");
    open(browser, ben, "Settings");
    browser.click(ben, "document.querySelector('.settings input[type=checkbox]')");
    browser.until(ben, "it is chosen", "document.querySelector('.settings input[type=checkbox]').checked");
    close(browser, ben);
    browser.write(cleo, "#text", "Not for anybody.");
    browser.write(cleo, "#text", "@ben the water boils.");
    let told = "navigator.serviceWorker.ready.then((worker) => worker.getNotifications()).then((all) => all.map(({ title, body }) => `${title}: ${body}`).join())";
    browser.until(ben, "he is called", told);
    assert_eq!(browser.value(ben, told), "cleo in lobby: @ben the water boils.");
}

#[test]
fn guests_of_one_name_are_told_apart() {
    let Some(mut browser) = browser() else { return };
    let cluster = Cluster::where_people(1, "guests");
    let first = browser.open(cluster.url(1), DESK, &[]);
    is_out(&mut browser, &first);
    says(&mut browser, &first, "#sign-in", "You are a new guest each time.");
    browser.write(&first, "#name", "ana");
    is_in(&mut browser, &first, "ana");
    make_room(&mut browser, &first, "lobby");
    let second = browser.open(cluster.url(1), DESK, &[]);
    browser.write(&second, "#name", "ana");
    is_in(&mut browser, &second, "ana");
    go_to(&mut browser, &second, "lobby");
    browser.write(&second, "#text", "Who are you?");
    sees(&mut browser, &first, "committed", "Who are you?");
    says(&mut browser, &first, "#messages .author", "ana #2");
    good_for_everybody(&mut browser, &first, "two of one name");
    assert!(browser.errors.is_empty(), "{:#?}", browser.errors);
}
