//! What keys and commands do, and what becomes of what is written.

use super::*;

#[test]
fn a_message_stays_where_it_is_from_being_written_to_being_committed() {
    let mut stage = Stage::usual(80, 24);
    stage.line("hello");
    stage.sees("·  ana │ hello");
    let number = stage.last_number();
    stage.later(MINUTE / 100);
    stage.sees("hello (on its way)");
    let row = |seen: &str| seen.lines().position(|row| row.contains("hello")).unwrap();
    let before = row(&stage.see());
    // The event comes before the outcome: it is known to be this one, and shown once.
    let post = stage.posted(LOBBY, "ana", "hello");
    assert_eq!(stage.see().matches("hello").count(), 1);
    stage.sees("✓  ana │ hello");
    let done = Done::Posted { room: LOBBY, seq: post.seq, id: post.id, at: post.at };
    stage.tell(ClientEvent::Settled { number, result: Ok(done) });
    assert_eq!(row(&stage.see()), before);
    assert!(stage.screen.rooms[&LOBBY].pending.is_empty());
}

#[test]
fn an_outcome_that_comes_before_the_event_counts_at_once() {
    let mut stage = Stage::usual(80, 24);
    stage.line("hello");
    let done = Done::Posted { room: LOBBY, seq: 6, id: MessageId(1 << 32 | 6), at: Timestamp(NOON) };
    stage.tell(ClientEvent::Settled { number: stage.last_number(), result: Ok(done) });
    stage.sees("✓  ana │ hello");
    stage.posted(LOBBY, "ana", "hello");
    assert_eq!(stage.see().matches("hello").count(), 1);
    assert!(stage.screen.rooms[&LOBBY].pending.is_empty());
}

#[test]
fn the_same_words_from_another_device_hide_nothing_for_good() {
    let mut stage = Stage::usual(80, 24);
    stage.line("ok");
    let number = stage.last_number();
    stage.posted(LOBBY, "ana", "ok");
    assert_eq!(stage.see().matches("│ ok").count(), 1);
    // That one was posted elsewhere; this one is another message.
    let done = Done::Posted { room: LOBBY, seq: 7, id: MessageId(1 << 32 | 7), at: Timestamp(NOON) };
    stage.tell(ClientEvent::Settled { number, result: Ok(done) });
    assert_eq!(stage.see().matches("│ ok").count(), 2);
    stage.posted(LOBBY, "ana", "ok");
    assert_eq!(stage.see().matches("│ ok").count(), 2);
}

#[test]
fn what_waits_for_a_majority_settles_in_place() {
    let mut stage = Stage::usual(80, 24);
    stage.line("anybody?");
    let number = stage.last_number();
    stage.tell(ClientEvent::Accepted { number, id: MessageId(77), copies: 1 });
    stage.sees("~  ana │ anybody? (waits for a majority, on 1 node)");
    stage.tail(LOBBY, &[(77, "ana", "anybody?")]);
    stage.sees("~  ana │ anybody? (waits for a majority, on 2 nodes)");
    assert_eq!(stage.see().matches("anybody?").count(), 1);
    let mut committed = post(6, "ana", "anybody?", 61);
    committed.id = MessageId(77);
    stage.deliver_post(LOBBY, committed);
    stage.sees("✓  ana │ anybody?");
    assert_eq!(stage.see().matches("anybody?").count(), 1);
    stage.tail(LOBBY, &[]);
    let done = Done::Posted { room: LOBBY, seq: 6, id: MessageId(77), at: Timestamp(NOON) };
    stage.tell(ClientEvent::Settled { number, result: Ok(done) });
    assert_eq!(stage.see().matches("anybody?").count(), 1);
    assert!(stage.screen.rooms[&LOBBY].pending.is_empty());
}

#[test]
fn what_is_refused_says_why_and_can_be_written_anew() {
    let mut stage = Stage::usual(80, 24);
    stage.line("something rash");
    stage.tell(ClientEvent::Settled { number: stage.last_number(), result: Err(Refusal::Muted { until: Timestamp(0) }) });
    stage.sees("✗  ana │ something rash (refused: you are muted");
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Char('e'));
    stage.misses("refused");
    stage.sees("> something rash");
}

#[test]
fn a_full_window_keeps_the_text() {
    let mut stage = Stage::usual(80, 24);
    stage.full = true;
    stage.line("one too many");
    stage.sees("✗  ana │ one too many (refused: so much of yours waits");
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Char('d'));
    stage.misses("one too many");
}

#[test]
fn what_was_not_sent_can_be_taken_back() {
    let mut stage = Stage::usual(80, 24);
    stage.tell(ClientEvent::Disconnected { server: 0, why: "127.0.0.1:8081: connection refused (os error 111)".into() });
    stage.line("hm");
    stage.sees("·  ana │ hm (waiting here)");
    stage.sees("what you write waits here");
    stage.sees("1 waiting");
    stage.line("/withdraw");
    assert!(stage.open.is_empty());
    stage.sees("> hm");
    stage.misses("│ hm");
}

#[test]
fn messages_are_answered_edited_reacted_to_and_deleted_by_keys() {
    let mut stage = Stage::usual(80, 24);
    let room = || RoomRef::Id(LOBBY);
    stage.alt('r');
    stage.sees("[to cleo]");
    stage.line("black, please");
    assert_eq!(stage.submitted.pop(), Some(Command::Respond { room: room(), to: 5, text: "black, please".into() }));
    stage.alt('e');
    stage.sees("[edit #4] Take your time.");
    stage.line(" At nine.");
    let text = "Take your time.\nThe release is on Monday. At nine.".into();
    assert_eq!(stage.submitted.pop(), Some(Command::Edit { room: room(), seq: 4, text }));
    let begin = |stage: &mut Stage, up: usize| {
        // The answer that is on its way is the last one.
        stage.press(KeyCode::Esc);
        (0..up).for_each(|_| stage.press(KeyCode::Up));
    };
    begin(&mut stage, 3);
    stage.press(KeyCode::Char('+'));
    stage.press(KeyCode::Char('1'));
    let react = |on| Command::React { room: room(), seq: 3, emoji: "👍".into(), on };
    assert_eq!(stage.submitted.pop(), Some(react(true)));
    begin(&mut stage, 3);
    stage.press(KeyCode::Char('+'));
    stage.line(":tada:");
    let taken = Command::React { room: room(), seq: 3, emoji: "🎉".into(), on: false };
    assert_eq!(stage.submitted.pop(), Some(taken), "it is there already, so it is taken back");
    begin(&mut stage, 2);
    stage.press(KeyCode::Char('d'));
    stage.sees("y / n");
    stage.press(KeyCode::Char('n'));
    assert!(stage.submitted.is_empty());
    stage.press(KeyCode::Char('d'));
    stage.press(KeyCode::Char('y'));
    assert_eq!(stage.submitted.pop(), Some(Command::Delete { room: room(), seq: 4 }));
    begin(&mut stage, 3);
    stage.press(KeyCode::Char('e'));
    stage.sees("that is ben's");
}

#[test]
fn changes_of_messages_are_shown_in_their_place() {
    let mut stage = Stage::usual(80, 24);
    let mut edited = post(1, "cleo", "Good evening", 0);
    edited.more.edited = Some(Timestamp(NOON));
    stage.changed(LOBBY, "cleo", Change::Edited { seq: 1 }, Some(edited));
    stage.sees("Good evening (edited)");
    let mut deleted = post(2, "ana", "", 1);
    deleted.more.deleted = Some(tertulia_protocol::chat::Deleted { by: user("ana"), at: Timestamp(NOON) });
    stage.changed(LOBBY, "ana", Change::Deleted { seq: 2 }, Some(deleted));
    stage.sees("ana: (deleted)");
    stage.misses("build is green");
    stage.changed(LOBBY, "ben", Change::Joined { user: user("dora") }, None);
    stage.sees("dora is here");
}

#[test]
fn what_is_unread_is_counted_marked_and_reached_in_the_order_of_its_weight() {
    let mut stage = Stage::usual(80, 24);
    stage.posted(DEV, "ben", "another one");
    stage.posted(CLEO, "cleo", "Yes, at one.");
    stage.sees("[@2 @3]");
    stage.posted(DEV, "cleo", "and you, @ana?");
    assert_eq!(stage.rings, 1);
    stage.sees("@2/3");
    stage.alt('a');
    assert_eq!(stage.screen.current, Some(DEV));
    stage.sees("── unread ──");
    let seen = stage.see();
    let place = |what: &str| seen.lines().position(|row| row.contains(what)).unwrap();
    assert!(place("unread ─") < place("which seed"));
    stage.later(MINUTE / 60);
    assert!(stage.screen.rooms[&DEV].view.read == 3);
    stage.alt('a');
    assert_eq!(stage.screen.current, Some(CLEO));
    stage.alt('a');
    stage.sees("nothing is unread elsewhere");
    stage.alt('/');
    assert_eq!(stage.screen.current, Some(DEV));
    stage.misses("── unread");
}

#[test]
fn nothing_is_read_while_nobody_looks() {
    let mut stage = Stage::usual(80, 24);
    stage.screen.focused(false);
    stage.posted(LOBBY, "ben", "psst");
    stage.later(MINUTE);
    assert_eq!(stage.screen.rooms[&LOBBY].view.unread, 1);
    stage.sees("── unread ──");
    stage.screen.focused(true);
    stage.later(0);
    stage.later(MINUTE);
    assert_eq!(stage.screen.rooms[&LOBBY].view.unread, 0);
}

#[test]
fn names_commands_rooms_and_emoji_are_completed() {
    let mut stage = Stage::usual(80, 24);
    let mut tabs = |written: &str, tabs: usize| {
        stage.control('c');
        stage.write(written);
        (0..tabs).for_each(|_| stage.press(KeyCode::Tab));
        stage.screen.editor().text().to_owned()
    };
    // cleo spoke last, then ben; dora has said nothing.
    assert_eq!([tabs("", 1), tabs("", 2), tabs("", 3), tabs("", 4)], ["cleo: ", "ben: ", "dora: ", "cleo: "]);
    assert_eq!(tabs("so, be", 1), "so, ben");
    assert_eq!(tabs("@d", 1), "@dora");
    assert_eq!(tabs("/rea", 2), "/read ");
    assert_eq!(tabs("see #s", 1), "see #seeds");
    assert_eq!(tabs("nice :tad", 1), "nice 🎉");
    assert_eq!(tabs("xyz", 1), "xyz");
}

#[test]
fn rooms_are_found_by_a_few_letters() {
    let mut stage = Stage::usual(80, 24);
    stage.control('k');
    stage.write("sd");
    stage.press(KeyCode::Enter);
    assert_eq!(stage.screen.current, Some(DEV));
    stage.control('k');
    stage.write("zzz");
    stage.sees("nothing fits");
    stage.press(KeyCode::Esc);
    stage.line("/join elsewhere");
    assert_eq!(stage.submitted.pop(), Some(Command::CreateRoom { name: "elsewhere".into() }));
    stage.room(RoomId(9), "elsewhere", RoomKind::Public, "", vec![post(1, "ben", "welcome", 0)]);
    let done = Done::Room { room: RoomId(9), name: "elsewhere".into(), created: false };
    stage.tell(ClientEvent::Settled { number: stage.last_number(), result: Ok(done) });
    stage.sees("4 #elsewhere");
    stage.sees("welcome");
    stage.line("/part");
    stage.tell(ClientEvent::Settled { number: stage.last_number(), result: Ok(Done::Left { room: RoomId(9) }) });
    stage.misses("#elsewhere");
    assert_eq!(stage.screen.current, Some(DEV));
}

#[test]
fn history_is_loaded_as_it_is_scrolled_to_and_nothing_moves() {
    let mut stage = Stage::new(80, 24);
    let posts = (1..=1_000).map(|seq| post(seq, "ben", &format!("message {seq}."), seq / 60)).collect();
    stage.room(LOBBY, "lobby", RoomKind::Public, "", posts);
    stage.sign_in();
    stage.sees("message 1000.");
    stage.misses("message 900.");
    for _ in 0..20 {
        stage.press(KeyCode::PageUp);
    }
    stage.misses("message 1000.");
    stage.sees("-- more --");
    let before = stage.see();
    stage.posted(LOBBY, "cleo", "a new one");
    stage.sees("-- 1 new below --");
    let rows = |seen: &str| seen.lines().take(20).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&before)[2..], rows(&stage.see())[2..]);
    for _ in 0..60 {
        stage.press(KeyCode::PageUp);
    }
    stage.sees("message 1.");
    let top = stage.see();
    stage.press(KeyCode::PageUp);
    assert_eq!(stage.see(), top);
    stage.press(KeyCode::End);
    stage.sees("a new one");
    stage.misses("-- more --");
    // A jump into the past and back.
    stage.line("/goto 500");
    stage.sees("message 500.");
    for _ in 0..40 {
        stage.press(KeyCode::PageDown);
    }
    stage.sees("a new one");
}

#[test]
fn who_is_named_by_an_unknown_command_is_told_which_one_was_meant() {
    let mut stage = Stage::usual(80, 24);
    stage.line("/jion seeds");
    stage.sees("did you mean /join?");
    stage.sees("> /jion seeds");
    assert!(stage.submitted.is_empty());
    stage.control('c');
    stage.line("//etc is a folder");
    assert!(matches!(stage.submitted.pop(), Some(Command::Post { text, .. }) if text == "/etc is a folder"));
}

#[test]
fn ctrl_c_throws_away_what_is_written_and_twice_ends() {
    let mut stage = Stage::usual(80, 24);
    stage.write("draft");
    stage.control('c');
    assert!(!stage.quit && stage.screen.editor().is_empty());
    stage.control('c');
    stage.sees("Ctrl-C once more ends");
    assert!(!stage.quit);
    stage.write("x");
    stage.control('c');
    stage.control('c');
    assert!(!stage.quit, "what came between counts");
    stage.control('c');
    assert!(stage.quit);
}

#[test]
fn whoever_was_told_to_end_hears_no_key_any_more() {
    let ends: [fn(&mut Stage); 3] = [
        |stage| stage.control('d'),
        |stage| {
            stage.control('c');
            stage.control('c');
        },
        |stage| stage.line("/quit"),
    ];
    for end in ends {
        let mut stage = Stage::usual(80, 24);
        stage.line("before");
        end(&mut stage);
        assert!(stage.quit);
        let submitted = stage.submitted.len();
        stage.line("for the shell");
        stage.screen.handle_paste(Timestamp(stage.now), "a password");
        stage.press(KeyCode::Enter);
        stage.alt('2');
        assert_eq!(stage.submitted.len(), submitted, "{:?}", stage.submitted.last());
        assert!(stage.screen.editor().is_empty());
    }
}

#[test]
fn what_an_earlier_run_has_left_is_shown_where_it_will_stand() {
    let mut stage = Stage::new(80, 24);
    let status = tertulia_protocol::client::Status::Sent;
    let command = Command::Post { room: RoomRef::Id(LOBBY), text: "from yesterday".into() };
    stage.screen.begin_with(vec![(41, command, status)]);
    stage.room(LOBBY, "lobby", RoomKind::Public, "", vec![post(1, "ben", "hello", 0)]);
    stage.sign_in();
    stage.sees("·  ana │ from yesterday");
    let done = Done::Posted { room: LOBBY, seq: 2, id: MessageId(1 << 32 | 2), at: Timestamp(NOON) };
    stage.tell(ClientEvent::Settled { number: 41, result: Ok(done) });
    stage.sees("✓  ana │ from yesterday");
}

#[test]
fn moving_to_another_server_is_a_quiet_line() {
    let mut stage = Stage::usual(80, 24);
    stage.tell(ClientEvent::Disconnected { server: 0, why: "127.0.0.1:8081: connection reset".into() });
    stage.sees("no server answers");
    let signed_in = ClientEvent::SignedIn { server: 1, user: user("ana"), name: "ana".into() };
    stage.screen.handle_client(Timestamp(stage.now), signed_in, "http://127.0.0.1:8082");
    stage.answer();
    stage.sees("now on 127.0.0.1:8082");
    stage.later(MINUTE);
    stage.sees("ana@127.0.0.1:8082");
}

#[test]
fn somebody_types_and_stops() {
    let mut stage = Stage::usual(80, 24);
    let typing = |name: &str| {
        let kind = EventKind::Typing { user: user(name), name: name.into() };
        ClientEvent::Deliver(Arc::new(Event { room: LOBBY, cursor: 0, kind }))
    };
    stage.tell(typing("ben"));
    stage.sees("ben is typing");
    stage.tell(typing("cleo"));
    stage.sees("ben and cleo are typing");
    stage.posted(LOBBY, "ben", "there");
    stage.sees("cleo is typing");
    stage.later(10_000_000);
    stage.misses("typing");
}
