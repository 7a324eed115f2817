//! What a screen looks like, at three sizes.

use super::*;
use insta::assert_snapshot;
use ratatui::style::{Color, Modifier};

#[test]
fn eighty_by_twenty_four() {
    assert_snapshot!(Stage::usual(80, 24).see());
}

#[test]
fn forty_by_ten() {
    assert_snapshot!(Stage::usual(40, 10).see());
}

#[test]
fn a_hundred_and_twenty_by_forty() {
    assert_snapshot!(Stage::usual(120, 40).see());
}

#[test]
fn without_a_majority() {
    let mut stage = Stage::usual(80, 24);
    stage.line("Is anybody there?");
    let number = stage.last_number();
    stage.tell(ClientEvent::Accepted { number, id: MessageId(77), copies: 2 });
    stage.tail(LOBBY, &[(77, "ana", "Is anybody there?"), (78, "ben", "I am, on your side.")]);
    stage.line("Good.");
    stage.later(2 * MINUTE / 100);
    assert_snapshot!(stage.see());
}

#[test]
fn selecting_a_message() {
    let mut stage = Stage::usual(80, 24);
    stage.press(KeyCode::Esc);
    stage.press(KeyCode::Up);
    assert_snapshot!(stage.see());
}

#[test]
fn the_help() {
    let mut stage = Stage::usual(80, 24);
    stage.press(KeyCode::F(1));
    assert_snapshot!(stage.see());
}

#[test]
fn the_switcher() {
    let mut stage = Stage::usual(80, 24);
    stage.control('k');
    assert_snapshot!(stage.see());
}

#[test]
fn an_answer_of_several_lines_on_a_small_screen() {
    let mut stage = Stage::usual(40, 10);
    stage.alt('r');
    stage.write("first line");
    stage.key(KeyModifiers::ALT, KeyCode::Enter);
    stage.write("second line, which is longer than the screen is wide");
    assert_snapshot!(stage.see());
}

#[test]
fn no_size_breaks_it() {
    for width in (1..140).step_by(7) {
        for height in (1..40).step_by(3) {
            let mut stage = Stage::usual(width, height);
            stage.see();
            stage.write("what is written here is longer than a small screen is wide, by far");
            stage.tail(LOBBY, &[(78, "ben", "hello")]);
            for code in
                [KeyCode::PageUp, KeyCode::PageDown, KeyCode::Esc, KeyCode::Up, KeyCode::Enter, KeyCode::F(1), KeyCode::Down]
            {
                stage.press(code);
                stage.see();
            }
            stage.control('k');
            stage.see();
        }
    }
}

#[test]
fn colours_are_the_terminals_own_and_there_are_none_where_they_are_not_wanted() {
    for colours in [true, false] {
        let mut stage = Stage::usual(120, 30);
        stage.screen.options.colours = colours;
        stage.posted(LOBBY, "ben", "@ana look");
        let (width, height) = stage.screen.size;
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| _ = stage.screen.draw(frame.buffer_mut())).unwrap();
        let cells = terminal.backend().buffer().content();
        assert!(cells.iter().all(|cell| cell.bg == Color::Reset), "the ground is the terminal's");
        assert!(cells.iter().all(|cell| !matches!(cell.fg, Color::Rgb(..) | Color::Indexed(_) | Color::White | Color::Black)));
        assert_eq!(cells.iter().any(|cell| cell.fg != Color::Reset), colours);
        assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
    }
}
