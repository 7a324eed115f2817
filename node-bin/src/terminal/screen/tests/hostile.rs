//! Texts of strangers, wherever one may stand: none reaches the screen as it is.

use super::*;
use tertulia_protocol::chat::{Notice, Reaction};

const EVIL: &str = "\u{1b}]0;gone\u{7}\u{1b}[2J\u{9b}31m\u{202e}live\u{2066}x\u{200b}y\u{feff}\u{2028}z\r\n\0";

/// What must not be in any cell.
fn is_evil(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

fn check(stage: &Stage) {
    let (width, height) = stage.screen.size;
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| _ = stage.screen.draw(frame.buffer_mut())).unwrap();
    for cell in terminal.backend().buffer().content() {
        assert!(!cell.symbol().chars().any(is_evil), "{:?}", cell.symbol());
        assert!(cell.symbol().width() <= 2);
    }
}

fn evil_post(seq: Seq) -> Post {
    let mut post = post(seq, "ben", EVIL, 0);
    post.author_name = format!("b{EVIL}");
    post.more.reply_to = Some(1);
    post.more.reactions = vec![Reaction { emoji: EVIL.into(), users: vec![user("ana"), UserId(50)] }];
    post
}

#[test]
fn no_text_name_topic_or_reaction_drives_the_terminal() {
    for (width, height) in [(120, 40), (80, 24), (40, 10)] {
        let mut stage = Stage::new(width, height);
        stage.room(LOBBY, EVIL, RoomKind::Private, EVIL, vec![evil_post(1), evil_post(2)]);
        stage.room(DEV, EVIL, RoomKind::Public, EVIL, vec![evil_post(1)]);
        stage.sign_in();
        check(&stage);
        stage.tail(LOBBY, &[(9, EVIL, EVIL)]);
        stage.deliver_post(LOBBY, evil_post(3));
        let kind = EventKind::Typing { user: UserId(60), name: EVIL.into() };
        stage.tell(ClientEvent::Deliver(Arc::new(Event { room: LOBBY, cursor: 0, kind })));
        check(&stage);
        stage.changed(LOBBY, "ben", Change::Renamed { name: EVIL.into() }, None);
        stage.changed(LOBBY, "ben", Change::Topic { topic: EVIL.into() }, None);
        let notice = Notice::Invited { room: DEV, name: EVIL.into(), by: user("ben") };
        let kind = EventKind::Notice(Box::new(notice));
        stage.tell(ClientEvent::Deliver(Arc::new(Event { room: RoomId(0), cursor: 0, kind })));
        check(&stage);
        stage.later(60 * MINUTE);
        let why = format!("127.0.0.1: {EVIL}");
        stage.tell(ClientEvent::Disconnected { server: 0, why });
        stage.screen.handle_paste(Timestamp(stage.now), EVIL);
        check(&stage);
        stage.press(KeyCode::Enter);
        check(&stage);
        stage.control('k');
        stage.write("l");
        check(&stage);
        stage.press(KeyCode::Esc);
        stage.press(KeyCode::Esc);
        (0..4).for_each(|_| stage.press(KeyCode::Up));
        check(&stage);
        stage.press(KeyCode::Enter);
        check(&stage);
    }
}

#[test]
fn what_was_found_and_what_was_refused_is_shown_as_text_too() {
    let mut stage = Stage::usual(80, 24);
    stage.line("/search evil");
    let number = stage.next - 1;
    let posts = vec![(LOBBY, evil_post(1)), (RoomId(44), evil_post(2))];
    stage.tell(ClientEvent::Answered { ask: number, result: Ok(Answer::Found { posts, more: None }) });
    check(&stage);
    stage.sees("2 found");
    stage.press(KeyCode::Esc);
    stage.line("/topic x");
    let number = stage.last_number();
    let refusal = Refusal::NameTaken { name: EVIL.into() };
    stage.tell(ClientEvent::Settled { number, result: Err(refusal) });
    check(&stage);
    stage.sees("not done");
}

#[test]
fn what_is_pasted_is_not_sent_and_has_no_control_characters() {
    let mut stage = Stage::usual(80, 24);
    stage.screen.handle_paste(Timestamp(stage.now), "rm -rf /\n\u{1b}[31mecho\r\nthree\n");
    stage.answer();
    assert!(stage.submitted.is_empty());
    stage.press(KeyCode::Enter);
    let Some(Command::Post { text, .. }) = stage.submitted.last() else { panic!() };
    assert_eq!(text, "rm -rf /\n[31mecho\nthree");
}
