//! What strangers write, as a terminal may be given it: texts, names, topics, room names, reactions.
//!
//! - Nothing in it drives the terminal: control characters and escape sequences are shown as characters.
//! - Nothing in it turns the direction of what stands beside it, and nothing in it is invisible: such characters are shown, too.
//! - What is drawn has the width that is reckoned with. Terminals disagree about joined emoji, variation selectors and skin tones, so those are left out; about flags, so those are
//!   shown by the letters that they are made of; and no letter carries more than a few marks.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Marks that one letter may carry. Vietnamese takes two, Hebrew with cantillation three.
const MARKS: usize = 3;

/// In one line, as wide as it looks.
pub fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let (mut marks, mut before) = (0, ' ');
    let mut letters = text.nfc().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied().unwrap_or(' ');
        marks = if is_combining_mark(letter) { marks + 1 } else { 0 };
        match letter {
            '\t' => shown.push('\t'),
            _ if letter.is_ascii_control() => shown.push(picture(letter)),
            _ if is_part_of_emoji(before, letter, next) => continue,
            _ if is_between_joining_letters(before, letter, next) => shown.push(letter),
            _ if drives(letter) || is_invisible(letter) || is_no_character(letter) => shown.push('\u{fffd}'),
            '\u{1f1e6}'..='\u{1f1ff}' => shown.push(letter_of_flag(letter)),
            _ if marks > MARKS => continue,
            _ => shown.push(letter),
        }
        before = letter;
    }
    shown
}

/// In one line, a line's end included: for names and quotes, which have none of their own.
pub fn one_line(text: &str) -> String {
    let joined: Vec<&str> = text.split(['\n', '\r', '\t']).filter(|part| !part.is_empty()).collect();
    harmless(&joined.join(" "))
}

/// What is typed or pasted, as it is kept and sent: lines end with `\n`, and there is no other control character but the tab.
pub fn typed(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|letter| matches!(letter, '\n' | '\t') || !letter.is_control()).collect()
}

/// The picture that Unicode has of an ASCII control character.
fn picture(control: char) -> char {
    match control {
        '\u{7f}' => '\u{2421}',
        _ => char::from_u32(0x2400 + u32::from(control)).unwrap_or('\u{fffd}'),
    }
}

fn drives(letter: char) -> bool {
    match letter {
        // Marks and changes of direction (UAX 9), and separators that some terminals take for the end of a line.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{2028}' | '\u{2029}' => true,
        _ => letter.is_control(),
    }
}

fn is_invisible(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Code points that stand for no character, ever (the Unicode Standard, 23.7). Terminals draw them in widths of their own.
fn is_no_character(letter: char) -> bool {
    matches!(letter, '\u{fdd0}'..='\u{fdef}') || u32::from(letter) & 0xfffe == 0xfffe
}

/// A flag is two regional indicators, which name a region: a `D` and an `E` for Germany's.
fn letter_of_flag(indicator: char) -> char {
    char::from_u32(u32::from(indicator) - 0x1f1e6 + u32::from('A')).unwrap_or('\u{fffd}')
}

fn is_emoji(letter: char) -> bool {
    matches!(letter, '\u{2190}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}' | '\u{a9}' | '\u{ae}')
}

/// Whether it only changes or joins the emoji beside it; `before` is the last letter that was shown.
fn is_part_of_emoji(before: char, letter: char, next: char) -> bool {
    let is_key = |letter| matches!(letter, '0'..='9' | '#' | '*');
    match letter {
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(before) || is_key(before),
        '\u{1f3fb}'..='\u{1f3ff}' => is_emoji(before),
        '\u{200d}' => is_emoji(before) && is_emoji(next),
        '\u{20e3}' => is_key(before),
        // Flags of regions.
        '\u{e0020}'..='\u{e007f}' => before == '\u{1f3f4}',
        _ => false,
    }
}

/// Joiners are part of how Persian and the scripts of India are written (RFC 5892, A.1 and A.2).
fn is_between_joining_letters(before: char, letter: char, next: char) -> bool {
    let joins =
        |letter| matches!(letter, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{8a0}'..='\u{8ff}' | '\u{900}'..='\u{dff}');
    matches!(letter, '\u{200c}' | '\u{200d}') && joins(before) && joins(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb"), "a\u{241b}[2Jb");
        assert_eq!(harmless("\u{9b}2J\u{7f}\0\u{7}"), "\u{fffd}2J\u{2421}\u{2400}\u{2407}");
        assert_eq!(harmless("a\u{202e}b\u{2067}c\u{200f}d\u{61c}e\u{2028}f"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f");
        assert_eq!(harmless("\tשלום"), "\tשלום");
    }

    #[test]
    fn nothing_is_invisible() {
        assert_eq!(harmless("ad\u{200b}min\u{feff}\u{2060}\u{ad}"), "ad\u{fffd}min\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(harmless("\u{e0041}\u{e0042}"), "\u{fffd}\u{fffd}");
        assert_eq!(harmless("\u{3164}\u{115f}x\u{200d}y"), "\u{fffd}\u{fffd}x\u{fffd}y");
        assert_eq!(harmless("می\u{200c}خواهم"), "می\u{200c}خواهم", "Persian is written so");
    }

    #[test]
    fn emoji_have_the_width_that_every_terminal_gives_them() {
        assert_eq!(harmless("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}"), "\u{1f468}\u{1f469}\u{1f467}");
        assert_eq!(harmless("\u{2764}\u{fe0f} 1\u{fe0f}\u{20e3}"), "\u{2764} 1");
        assert_eq!(harmless("\u{1f44d}\u{1f3fd}"), "\u{1f44d}");
        assert_eq!(harmless("flag \u{1f1e9}\u{1f1ea} end"), "flag DE end");
        assert_eq!(harmless("\u{fffe}a\u{1ffff}\u{fdd0}"), "\u{fffd}a\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_letter_carries_a_few_marks_and_not_a_tower() {
        let tower = format!("e{}", "\u{336}".repeat(50));
        assert_eq!(harmless(&tower).chars().count(), 4);
        assert_eq!(harmless("e\u{301}"), "é");
    }

    #[test]
    fn a_name_has_one_line_and_what_is_pasted_has_no_control_characters() {
        assert_eq!(one_line("a\r\nb\n\nc"), "a b c");
        assert_eq!(typed("a\r\nb\rc\u{1b}[31md\te"), "a\nb\nc[31md\te");
    }
}
