//! What a key does while something is being written, and the keys that work everywhere.
//!
//! Editing is that of the shell (readline), rooms are those of weechat and irssi: Alt with a digit, Alt-A for the next active one, Alt-arrows beside.

use super::editor::To;
use super::overlay::{Overlay, Switcher};
use super::room::Intent;
use super::select::Selecting;
use super::{Key, Mode, Question, Screen, TELL_TYPING, Want};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};
use tertulia_protocol::gateway::Ask;
use tertulia_protocol::ids::RoomId;
use tertulia_protocol::time::Timestamp;

const NONE: KeyModifiers = KeyModifiers::NONE;
const SHIFT: KeyModifiers = KeyModifiers::SHIFT;
const CONTROL: KeyModifiers = KeyModifiers::CONTROL;
const ALT: KeyModifiers = KeyModifiers::ALT;
/// Lines that a turn of the wheel moves.
const WHEEL: isize = 3;

impl Screen {
    pub fn handle_key(&mut self, now: Timestamp, key: KeyEvent) {
        self.now = now;
        if self.ended || key.kind == KeyEventKind::Release {
            return;
        }
        let was_ending = std::mem::take(&mut self.ending);
        if !matches!(key.code, KeyCode::Tab | KeyCode::BackTab) {
            self.completion = None;
        }
        if !self.everywhere(key, was_ending) {
            match std::mem::take(&mut self.mode) {
                Mode::Write => self.write_key(key),
                Mode::Select(selecting) => self.select_key(selecting, key),
                Mode::Over(overlay) => self.overlay_key(overlay, key),
            }
        }
        self.look();
    }

    pub fn handle_paste(&mut self, now: Timestamp, text: &str) {
        self.now = now;
        if self.ended {
            return;
        }
        match &mut self.mode {
            Mode::Over(Overlay::Switch(switcher)) => {
                switcher.typed.insert(&text.replace(['\n', '\r'], " "));
                return self.refresh_switcher();
            }
            Mode::Over(_) => return,
            Mode::Select(_) => self.mode = Mode::Write,
            Mode::Write => {}
        }
        self.completion = None;
        if !self.editor().insert(text.trim_end_matches(['\n', '\r'])) {
            self.say("that is too much for one message");
        }
    }

    pub fn handle_mouse(&mut self, now: Timestamp, event: MouseEvent) {
        self.now = now;
        if self.ended {
            return;
        }
        match event.kind {
            MouseEventKind::ScrollUp => self.scroll(WHEEL),
            MouseEventKind::ScrollDown => self.scroll(-WHEEL),
            MouseEventKind::Down(_) => {
                if let Some(id) = self.room_at(event.column, event.row) {
                    self.show(id);
                }
            }
            _ => {}
        }
        self.look();
    }

    /// Keys that mean the same whatever is shown. False: it is none of them.
    fn everywhere(&mut self, key: KeyEvent, was_ending: bool) -> bool {
        let switching = matches!(self.mode, Mode::Over(Overlay::Switch(_)));
        match (key.modifiers, key.code) {
            (CONTROL, KeyCode::Char('c')) => self.interrupt(was_ending),
            (CONTROL, KeyCode::Char('z')) => self.wants.push_back(Want::Suspend),
            (CONTROL, KeyCode::Char('l')) => self.wants.push_back(Want::Repaint),
            (CONTROL, KeyCode::Char('k')) => {
                self.mode = if switching { Mode::Write } else { Mode::Over(Overlay::Switch(Switcher::new(self, false))) };
            }
            (NONE, KeyCode::F(1)) => {
                let reading = matches!(self.mode, Mode::Over(Overlay::Lines { .. }));
                self.mode = if reading { Mode::Write } else { Mode::Over(Overlay::help()) };
            }
            (ALT, KeyCode::Char(digit @ '0'..='9')) => {
                let nth = digit.to_digit(10).map_or(0, |digit| digit as usize);
                let nth = if nth == 0 { 9 } else { nth - 1 };
                match self.order.get(nth).copied() {
                    Some(id) => self.show(id),
                    None => self.say(format!("there is no room {}", nth + 1)),
                }
            }
            (ALT, KeyCode::Left | KeyCode::Up) => self.beside(-1),
            (ALT, KeyCode::Right | KeyCode::Down) => self.beside(1),
            (CONTROL, KeyCode::Char('p')) if !switching => self.beside(-1),
            (CONTROL, KeyCode::Char('n')) if !switching => self.beside(1),
            (ALT, KeyCode::Char('a')) => match self.next_active() {
                Some(id) => self.show(id),
                None => self.say("nothing is unread elsewhere"),
            },
            (ALT, KeyCode::Char('/')) => {
                if let Some(id) = self.previous {
                    self.show(id);
                }
            }
            (ALT, KeyCode::Char('m')) => self.members_shown = !self.members_shown,
            (ALT, KeyCode::Char('n')) => self.numbers_shown = !self.numbers_shown,
            _ => return false,
        }
        true
    }

    /// Ctrl-C: what is being done is given up; with nothing to give up, twice, the chat.
    fn interrupt(&mut self, was_ending: bool) {
        if !matches!(self.mode, Mode::Write) {
            self.mode = Mode::Write;
            return;
        }
        let writes = !self.editor_here().is_empty() || self.current_room().is_some_and(|room| room.intent != Intent::Post);
        if writes {
            self.cancel_intent();
            self.editor().take();
            return;
        }
        if was_ending {
            self.quit();
        } else {
            self.ending = true;
            self.say("Ctrl-C once more ends; what waits is kept and sent next time");
        }
    }

    fn write_key(&mut self, key: KeyEvent) {
        let width = self.input_width();
        match (key.modifiers, key.code) {
            (ALT, KeyCode::Enter) | (SHIFT, KeyCode::Enter) | (CONTROL, KeyCode::Char('j')) => _ = self.editor().insert("\n"),
            (_, KeyCode::Enter) => self.enter_pressed(),
            (NONE, KeyCode::Tab) => self.complete(false),
            (_, KeyCode::BackTab) => self.complete(true),
            (NONE, KeyCode::Esc) => self.escape(),
            (CONTROL, KeyCode::Up) => self.begin_selecting(),
            (NONE, KeyCode::Up) => {
                if !self.editor().up(width) && self.editor_here().is_empty() {
                    self.begin_selecting();
                }
            }
            (NONE, KeyCode::Down) => _ = self.editor().down(width),
            (NONE, KeyCode::PageUp) => self.scroll(self.page_lines()),
            (NONE, KeyCode::PageDown) => self.scroll(-self.page_lines()),
            (SHIFT, KeyCode::Up) => self.scroll(1),
            (SHIFT, KeyCode::Down) => self.scroll(-1),
            (ALT, KeyCode::Home) | (CONTROL, KeyCode::Home) => self.scroll_to_first(),
            (ALT, KeyCode::End) | (CONTROL, KeyCode::End) => self.scroll_to_end(),
            (NONE, KeyCode::End) if self.editor_here().is_empty() => self.scroll_to_end(),
            (ALT, KeyCode::Char('u')) => self.scroll_to_unread(),
            (ALT, KeyCode::Char('e')) => self.edit_last(),
            (ALT, KeyCode::Char('r')) => self.reply_to_last(),
            (CONTROL, KeyCode::Char('d')) if self.editor_here().is_empty() => self.quit(),
            _ => self.edit_key(key),
        }
    }

    fn edit_key(&mut self, key: KeyEvent) {
        use To::{Left, LineEnd, LineStart, Right, WordLeft, WordRight};
        let now = self.now;
        let editor = self.editor();
        match (key.modifiers, key.code) {
            (NONE, KeyCode::Left) | (CONTROL, KeyCode::Char('b')) => editor.to(Left),
            (NONE, KeyCode::Right) | (CONTROL, KeyCode::Char('f')) => editor.to(Right),
            (CONTROL, KeyCode::Left) | (ALT, KeyCode::Char('b')) => editor.to(WordLeft),
            (CONTROL, KeyCode::Right) | (ALT, KeyCode::Char('f')) => editor.to(WordRight),
            (NONE, KeyCode::Home) | (CONTROL, KeyCode::Char('a')) => editor.to(LineStart),
            (NONE, KeyCode::End) | (CONTROL, KeyCode::Char('e')) => editor.to(LineEnd),
            (NONE | SHIFT, KeyCode::Backspace) | (CONTROL, KeyCode::Char('h')) => editor.remove(Left),
            (NONE, KeyCode::Delete) | (CONTROL, KeyCode::Char('d')) => editor.remove(Right),
            (CONTROL, KeyCode::Char('w')) | (ALT, KeyCode::Backspace) => editor.remove(WordLeft),
            (ALT, KeyCode::Char('d')) => editor.remove(WordRight),
            (CONTROL, KeyCode::Char('u')) => editor.remove(LineStart),
            (ALT, KeyCode::Char('k')) => editor.remove(LineEnd),
            (CONTROL, KeyCode::Char('y')) => editor.paste_cut(),
            (NONE | SHIFT, KeyCode::Char(letter)) => {
                let room = editor.insert(letter.encode_utf8(&mut [0; 4]));
                let is_post = !editor.text().starts_with('/') && !editor.text().trim().is_empty();
                if !room {
                    self.say("that is too much for one message");
                } else if is_post && now.0 >= self.typing_told.0 + TELL_TYPING {
                    self.tell_typing();
                }
            }
            _ => {}
        }
    }

    /// Others see that somebody types. Of nobody who is not connected, and of nobody who edits.
    fn tell_typing(&mut self) {
        let Some(room) = self.current_room().filter(|room| self.link.signed_in && !matches!(room.intent, Intent::Edit(_))) else {
            return;
        };
        let room = room.id();
        self.typing_told = self.now;
        self.ask(Ask::Typing { room }, Question::Hint);
    }

    fn escape(&mut self) {
        let has_intent = self.current_room().is_some_and(|room| room.intent != Intent::Post);
        if has_intent {
            self.cancel_intent();
        } else {
            self.begin_selecting();
        }
    }

    pub(super) fn begin_selecting(&mut self) {
        let Some(room) = self.current_room() else { return };
        let items = self.items(room);
        let from = room.anchor.and_then(|(key, _)| items.iter().position(|item| *item == key)).unwrap_or(items.len());
        let last = items.iter().take(from + 1).rev().find(|key| is_message(key)).copied();
        if let Some(key) = last {
            self.mode = Mode::Select(Selecting { key, prompt: None });
            self.keep_in_view(key);
        }
    }

    fn edit_last(&mut self) {
        match self.last_post(true).map(|post| (post.seq, post.text.clone())) {
            Some((seq, text)) => self.begin_edit(seq, &text),
            None => self.say("there is no message of yours here"),
        }
    }

    fn reply_to_last(&mut self) {
        match self.last_post(false).map(|post| post.seq) {
            Some(seq) => self.begin_reply(seq),
            None => self.say("there is nothing to answer here"),
        }
    }

    // ---- rooms

    fn beside(&mut self, by: isize) {
        let count = self.order.len() as isize;
        if count == 0 {
            return;
        }
        let at = self.current.and_then(|id| self.order.iter().position(|room| *room == id));
        let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count));
        if let Some(id) = self.order.get(next as usize).copied() {
            self.show(id);
        }
    }

    /// As weechat's hotlist: somebody named the user, then direct ones, then the others; the longest waiting first.
    pub(super) fn hotlist(&self) -> Vec<RoomId> {
        let unread = self.order.iter().filter_map(|id| self.rooms.get(id));
        let mut hot: Vec<_> = unread
            .filter(|room| room.view.unread > 0 && self.current != Some(room.id()))
            .map(|room| (room.view.mentions == 0, !room.is_direct(), room.active, room.id()))
            .collect();
        hot.sort_unstable();
        hot.into_iter().map(|(.., id)| id).collect()
    }

    pub(super) fn next_active(&self) -> Option<RoomId> {
        self.hotlist().first().copied()
    }

    /// The number that Alt with a digit knows it by.
    pub(super) fn number_of(&self, id: RoomId) -> Option<usize> {
        self.order.iter().position(|room| *room == id).map(|nth| nth + 1)
    }
}

/// What can be selected.
pub fn is_message(key: &Key) -> bool {
    matches!(key, Key::Post(_) | Key::Tail(_) | Key::Pending(_))
}
