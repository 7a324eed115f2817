//! What is being written: a text of several lines, a cursor between two graphemes, what was written before.
//!
//! The text is what will be sent; what is drawn of it is harmless, and has the widths that are reckoned with.

use crate::terminal::harmless::{harmless, typed};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Lines that are remembered for each room.
const REMEMBERED: usize = 200;
/// Bytes of the longest text: more than any room takes in one message.
const LONGEST: usize = 64 << 10;

#[derive(Clone, Debug, Default)]
pub struct Editor {
    text: String,
    /// A place in `text`, between graphemes.
    cursor: usize,
    /// What was cut last.
    cut: String,
    written: Vec<String>,
    /// Where in `written` the text comes from, and what was there before.
    recalled: Option<(usize, String)>,
}

/// How the text stands on the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Laid {
    pub rows: Vec<String>,
    /// Row and column.
    pub cursor: (usize, usize),
}

/// Where the cursor may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    Start,
}

impl Editor {
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn before_cursor(&self) -> &str {
        &self.text[..self.cursor]
    }

    pub fn set(&mut self, text: &str) {
        self.text = typed(text);
        self.cursor = self.text.len();
        self.recalled = None;
    }

    /// Takes the text away, to be sent, and remembers it.
    pub fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.recalled = None;
        if !text.trim().is_empty() && self.written.last() != Some(&text) {
            self.written.push(text.clone());
            if self.written.len() > REMEMBERED {
                self.written.remove(0);
            }
        }
        text
    }

    /// Typed or pasted; false if there is no room for it.
    pub fn insert(&mut self, text: &str) -> bool {
        let text = typed(text);
        if self.text.len() + text.len() > LONGEST {
            return false;
        }
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // A mark may have joined the grapheme before or behind.
        self.cursor = self.boundary(self.cursor);
        true
    }

    /// Puts text in the place of what lies between `from` and the cursor.
    pub fn replace(&mut self, from: usize, text: &str) {
        self.text.replace_range(from..self.cursor, text);
        self.cursor = from + text.len();
    }

    pub fn to(&mut self, to: To) {
        self.cursor = self.place(to);
    }

    /// Removes what lies between the cursor and there.
    pub fn remove(&mut self, to: To) {
        let there = self.place(to);
        let (from, through) = (there.min(self.cursor), there.max(self.cursor));
        let removed: String = self.text.drain(from..through).collect();
        self.cursor = from;
        if !matches!(to, To::Left | To::Right) && !removed.is_empty() {
            self.cut = removed;
        }
    }

    /// What was cut last comes back.
    pub fn paste_cut(&mut self) {
        let cut = self.cut.clone();
        self.insert(&cut);
    }

    /// The line above, or what was written before. False if there is nothing.
    pub fn up(&mut self, width: usize) -> bool {
        if self.recalled.is_none() && self.by_row(width, -1) {
            return true;
        }
        let nth = match &self.recalled {
            Some((0, _)) => return false,
            Some((nth, _)) => nth - 1,
            None if self.written.is_empty() => return false,
            None => self.written.len() - 1,
        };
        let before = self.recalled.take().map_or_else(|| self.text.clone(), |(_, before)| before);
        self.text.clone_from(&self.written[nth]);
        self.cursor = self.text.len();
        self.recalled = Some((nth, before));
        true
    }

    /// The line below, or what was written after what is recalled.
    pub fn down(&mut self, width: usize) -> bool {
        if self.recalled.is_none() {
            return self.by_row(width, 1);
        }
        let Some((nth, before)) = self.recalled.take() else { return false };
        if nth + 1 < self.written.len() {
            self.text.clone_from(&self.written[nth + 1]);
            self.recalled = Some((nth + 1, before));
        } else {
            self.text = before;
        }
        self.cursor = self.text.len();
        true
    }

    /// As it stands on the screen: whole graphemes, `width` columns.
    pub fn lay(&self, width: usize) -> Laid {
        let (rows, places) = self.rows(width);
        let cursor =
            places.iter().rev().find(|(place, ..)| *place <= self.cursor).map_or((0, 0), |(_, row, column)| (*row, *column));
        Laid { rows, cursor }
    }

    /// The rows, and where each grapheme stands; the last place is behind all of them.
    fn rows(&self, width: usize) -> (Vec<String>, Vec<(usize, usize, usize)>) {
        let width = width.max(2);
        let (mut rows, mut places) = (vec![String::new()], Vec::new());
        let mut column = 0;
        for (place, grapheme) in self.text.grapheme_indices(true) {
            if grapheme == "\n" {
                places.push((place, rows.len() - 1, column));
                rows.push(String::new());
                column = 0;
                continue;
            }
            let shown = if grapheme == "\t" { "    ".to_owned() } else { harmless(grapheme) };
            let wide = shown.width();
            // The cursor wants a column behind the last grapheme.
            if column + wide >= width && column > 0 {
                rows.push(String::new());
                column = 0;
            }
            places.push((place, rows.len() - 1, column));
            if let Some(row) = rows.last_mut() {
                row.push_str(&shown);
            }
            column += wide;
        }
        places.push((self.text.len(), rows.len() - 1, column));
        (rows, places)
    }

    fn by_row(&mut self, width: usize, by: isize) -> bool {
        let (_, places) = self.rows(width);
        let (row, column) = self.lay(width).cursor;
        let Some(wanted) = row.checked_add_signed(by) else { return false };
        let in_row = places.iter().filter(|(_, row, _)| *row == wanted);
        let Some((place, ..)) = in_row.min_by_key(|(_, _, there)| there.abs_diff(column)) else { return false };
        self.cursor = *place;
        true
    }

    fn boundary(&self, near: usize) -> usize {
        let mut ends = self.text.grapheme_indices(true).map(|(place, grapheme)| place + grapheme.len());
        if near == 0 { 0 } else { ends.find(|end| *end >= near).unwrap_or(self.text.len()) }
    }

    fn place(&self, to: To) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        let is_word = |word: &&(usize, &str)| word.1.chars().any(char::is_alphanumeric);
        match to {
            To::Left => before.grapheme_indices(true).next_back().map_or(0, |(place, _)| place),
            To::Right => self.cursor + after.graphemes(true).next().map_or(0, str::len),
            To::WordLeft => before.split_word_bound_indices().rev().find(|word| is_word(&word)).map_or(0, |(place, _)| place),
            To::WordRight => {
                let word = after.split_word_bound_indices().find(|word| is_word(&word));
                word.map_or(self.text.len(), |(place, word)| self.cursor + place + word.len())
            }
            To::LineStart => before.rfind('\n').map_or(0, |end| end + 1),
            To::LineEnd => after.find('\n').map_or(self.text.len(), |end| self.cursor + end),
            To::Start => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn the_cursor_goes_by_what_a_person_takes_for_a_character() {
        let mut editor = written("a\u{1f468}\u{200d}\u{1f469}e\u{301}漢");
        for left in ["a\u{1f468}\u{200d}\u{1f469}e\u{301}", "a\u{1f468}\u{200d}\u{1f469}", "a", "", ""] {
            editor.to(To::Left);
            assert_eq!(editor.before_cursor(), left);
        }
        editor.to(To::LineEnd);
        editor.remove(To::Left);
        editor.remove(To::Left);
        assert_eq!(editor.text(), "a\u{1f468}\u{200d}\u{1f469}");
    }

    #[test]
    fn words_and_lines_are_cut_and_come_back() {
        let mut editor = written("one two, three\nfour five");
        editor.remove(To::WordLeft);
        assert_eq!(editor.text(), "one two, three\nfour ");
        editor.remove(To::LineStart);
        assert_eq!(editor.text(), "one two, three\n");
        editor.to(To::Start);
        editor.to(To::WordRight);
        assert_eq!(editor.before_cursor(), "one");
        editor.paste_cut();
        assert_eq!(editor.text(), "onefour  two, three\n");
        editor.remove(To::LineEnd);
        assert_eq!(editor.text(), "onefour \n");
    }

    #[test]
    fn lines_are_laid_out_with_the_cursor_where_it_writes() {
        let mut editor = written("漢字かな\nab");
        let laid = editor.lay(6);
        assert_eq!((laid.rows, laid.cursor), (vec!["漢字".into(), "かな".into(), "ab".into()], (2, 2)));
        assert!(editor.up(6));
        assert_eq!(editor.lay(6).cursor, (1, 2));
        assert!(editor.down(6) && !editor.down(6));
        editor.insert("\u{1b}[2J\t");
        assert_eq!(editor.text(), "漢字かな\nab[2J\t");
    }

    #[test]
    fn what_was_written_is_recalled_and_a_draft_is_not_lost() {
        let mut editor = Editor::default();
        for text in ["first", "second", "second"] {
            editor.insert(text);
            assert_eq!(editor.take(), text);
        }
        editor.insert("draft");
        assert!(editor.up(40) && editor.text() == "second");
        assert!(editor.up(40) && editor.text() == "first" && !editor.up(40));
        assert!(editor.down(40) && editor.down(40) && editor.text() == "draft");
        assert!(!editor.down(40));
    }
}
