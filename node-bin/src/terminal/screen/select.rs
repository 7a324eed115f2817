//! Messages chosen by keys: to answer, change, react, take away, read in full.

use super::doing::milliseconds;
use super::editor::Editor;
use super::overlay::Overlay;
use super::room::{Intent, Progress};
use super::rows::marked;
use super::{Key, Mode, Screen, Want, emoji, keys};
use crate::rfc3339;
use crate::terminal::harmless::one_line;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tertulia_protocol::chat::{Command, Post, RoomRef};
use tertulia_protocol::ids::Seq;

#[derive(Clone, Debug)]
pub struct Selecting {
    pub key: Key,
    pub prompt: Option<Prompt>,
}

/// What is still asked of the message.
#[derive(Clone, Debug)]
pub enum Prompt {
    React(Editor),
    Delete,
}

impl Screen {
    pub(super) fn select_key(&mut self, mut selecting: Selecting, key: KeyEvent) {
        if let Some(prompt) = selecting.prompt.take() {
            return self.prompted(selecting, prompt, key);
        }
        let here = selecting.key;
        self.mode = Mode::Select(selecting);
        match (key.modifiers, key.code) {
            (_, KeyCode::Esc) | (KeyModifiers::NONE, KeyCode::Char('q' | 'i')) => self.mode = Mode::Write,
            (_, KeyCode::Up) | (KeyModifiers::NONE, KeyCode::Char('k')) => self.select_beside(-1),
            (_, KeyCode::Down) | (_, KeyCode::Char('j')) => self.select_beside(1),
            (_, KeyCode::PageUp) => self.select_beside(-5),
            (_, KeyCode::PageDown) => self.select_beside(5),
            (_, KeyCode::Home) => self.select_beside(isize::MIN / 2),
            (_, KeyCode::End) => self.select_beside(isize::MAX / 2),
            (_, KeyCode::Char('r' | 'R')) => self.on_post(here, |screen, post| screen.begin_reply(post.seq)),
            (_, KeyCode::Char('e' | 'E')) => self.edit_selected(here),
            (_, KeyCode::Char('+')) => self.on_post(here, |screen, post| {
                let (key, prompt) = (Key::Post(post.seq), Some(Prompt::React(Editor::default())));
                screen.mode = Mode::Select(Selecting { key, prompt });
            }),
            (_, KeyCode::Char('d' | 'D') | KeyCode::Delete) => self.delete_selected(here),
            (_, KeyCode::Char('p' | 'P')) => self.on_post(here, |screen, post| {
                screen.mode = Mode::Write;
                let (seq, on) = (post.seq, !post.more.pinned);
                screen.on_room(|room| Command::Pin { room, seq, on }, format!("/{} {seq}", if on { "pin" } else { "unpin" }));
            }),
            (_, KeyCode::Char('g' | 'G')) => self.on_post(here, |screen, post| {
                if let Some((to, id)) = post.more.reply_to.zip(screen.current) {
                    screen.go_to(id, to);
                }
            }),
            (_, KeyCode::Enter) | (_, KeyCode::Char('v' | 'V')) => self.details(here),
            // Whoever begins to write writes.
            (KeyModifiers::NONE, KeyCode::Tab) => self.mode = Mode::Write,
            _ => {}
        }
    }

    fn select_beside(&mut self, by: isize) {
        let Some(room) = self.current_room() else { return self.mode = Mode::Write };
        let messages: Vec<Key> = self.items(room).into_iter().filter(keys::is_message).collect();
        let Mode::Select(selecting) = &mut self.mode else { return };
        if messages.is_empty() {
            return self.mode = Mode::Write;
        }
        let at = messages.iter().position(|key| *key == selecting.key).unwrap_or(messages.len() - 1);
        let last = messages.len() as isize - 1;
        let next = at as isize + by;
        // Below the last one is what is being written.
        if next > last && by == 1 {
            return self.scroll_to_end_and_write();
        }
        selecting.key = messages[next.clamp(0, last) as usize];
        let (key, id) = (selecting.key, room_id(self));
        self.keep_in_view(key);
        if next <= 5
            && let Some(id) = id
        {
            self.load_older(id);
        }
    }

    fn scroll_to_end_and_write(&mut self) {
        self.mode = Mode::Write;
        let live = self.current_room().is_some_and(|room| room.window.live);
        match (live, room_id(self)) {
            (true, _) => self.scroll_to_end(),
            (false, Some(id)) => self.load_newer(id),
            (false, None) => {}
        }
    }

    fn on_post(&mut self, key: Key, does: impl FnOnce(&mut Screen, &Post)) {
        let post = match key {
            Key::Post(seq) => self.current_room().and_then(|room| room.window.get(seq)).cloned(),
            _ => None,
        };
        match post {
            Some(post) => does(self, &post),
            None => self.say("it has no place yet: it can be answered and changed when it has"),
        }
    }

    fn on_room(&mut self, command: impl FnOnce(RoomRef) -> Command, line: String) {
        if let Some(id) = self.current {
            self.submit(command(RoomRef::Id(id)), line);
        }
    }

    pub(super) fn begin_reply(&mut self, seq: Seq) {
        self.mode = Mode::Write;
        if let Some(room) = self.current_room_mut() {
            if matches!(room.intent, Intent::Edit(_)) {
                room.editor.set("");
            }
            room.intent = Intent::Reply(seq);
        }
    }

    pub(super) fn begin_edit(&mut self, seq: Seq, text: &str) {
        self.mode = Mode::Write;
        if let Some(room) = self.current_room_mut() {
            room.intent = Intent::Edit(seq);
            room.editor.set(text);
        }
    }

    fn edit_selected(&mut self, key: Key) {
        match key {
            Key::Pending(nth) => self.pending_back(nth, true),
            key => self.on_post(key, |screen, post| match Some(post.author) == screen.user {
                true => screen.begin_edit(post.seq, &post.text),
                false => screen.say(format!("that is {}'s: only its author may change it", one_line(&post.author_name))),
            }),
        }
    }

    fn delete_selected(&mut self, key: Key) {
        match key {
            Key::Pending(nth) => self.pending_back(nth, false),
            key => self.on_post(key, |screen, post| {
                let key = Key::Post(post.seq);
                screen.mode = Mode::Select(Selecting { key, prompt: Some(Prompt::Delete) });
            }),
        }
    }

    /// What was refused is put away, its text where it is written if that is wanted; what waits is taken back if it was never sent.
    fn pending_back(&mut self, nth: u64, write: bool) {
        let Some(room) = self.current_room_mut() else { return };
        let Some(pending) = room.pending.iter().find(|pending| pending.nth == nth) else { return };
        let (text, number) = (pending.text.clone(), pending.number);
        match (&pending.progress, number) {
            (Progress::Refused { .. } | Progress::Unclear, _) => {
                room.pending.retain(|pending| pending.nth != nth);
                if write && room.editor.is_empty() {
                    room.editor.set(&text);
                }
            }
            (Progress::Waiting, Some(number)) => self.wants.push_back(Want::Withdraw(number)),
            _ => return self.say("it is on its way, and can be changed when it has its place"),
        }
        self.mode = Mode::Write;
    }

    fn prompted(&mut self, selecting: Selecting, prompt: Prompt, key: KeyEvent) {
        let Key::Post(seq) = selecting.key else { return };
        let mut editor = match prompt {
            Prompt::Delete => {
                self.mode = Mode::Select(selecting);
                if matches!(key.code, KeyCode::Char('y' | 'Y')) {
                    self.mode = Mode::Write;
                    self.on_room(|room| Command::Delete { room, seq }, format!("/delete {seq}"));
                }
                return;
            }
            Prompt::React(editor) => editor,
        };
        match key.code {
            KeyCode::Esc => return self.mode = Mode::Select(selecting),
            KeyCode::Char(digit @ '1'..='9') if editor.is_empty() => {
                let nth = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                if let Some((_, emoji)) = emoji::NAMED.get(nth).filter(|_| nth < emoji::OFFERED) {
                    return self.react(seq, (*emoji).to_owned());
                }
            }
            KeyCode::Enter => {
                let written = emoji::named(editor.text());
                return if written.is_empty() { self.mode = Mode::Select(selecting) } else { self.react(seq, written) };
            }
            KeyCode::Backspace => editor.remove(super::editor::To::Left),
            KeyCode::Tab => {
                let begin = editor.text().trim_matches(':').to_owned();
                if let Some(name) = emoji::beginning(&begin).first() {
                    editor.set(&format!(":{name}:"));
                }
            }
            KeyCode::Char(letter) if key.modifiers.difference(KeyModifiers::SHIFT).is_empty() => {
                _ = editor.insert(letter.encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
        self.mode = Mode::Select(Selecting { prompt: Some(Prompt::React(editor)), ..selecting });
    }

    /// Reacts, or takes the same reaction back.
    fn react(&mut self, seq: Seq, emoji: String) {
        self.mode = Mode::Write;
        let user = self.user;
        let post = self.current_room().and_then(|room| room.window.get(seq));
        let has = |post: &Post| {
            let same = post.more.reactions.iter().find(|reaction| reaction.emoji == emoji);
            same.is_some_and(|reaction| user.is_some_and(|user| reaction.users.contains(&user)))
        };
        let on = !post.is_some_and(has);
        let line = format!("/{} {seq} {}", if on { "react" } else { "unreact" }, one_line(&emoji));
        self.on_room(|room| Command::React { room, seq, emoji, on }, line);
    }

    /// A message in full, and all that is known of it.
    fn details(&mut self, key: Key) {
        let Some(room) = self.current_room() else { return };
        let mut lines = Vec::new();
        match key {
            Key::Post(seq) => {
                let Some(post) = room.window.get(seq) else { return };
                lines.push(format!("#{seq} by {} in {}", post.author_name, room.label(&self.people)));
                lines.push(format!("at {}, id {}", rfc3339::format(post.at), post.id));
                if let Some(written) = post.more.written {
                    let waited = milliseconds(post.at.0.saturating_sub(written.0));
                    lines.push(format!(
                        "written at {} without a majority, {waited} before it had its place",
                        rfc3339::format(written)
                    ));
                }
                if let Some(edited) = post.more.edited {
                    lines.push(format!("changed at {}", rfc3339::format(edited)));
                }
                if let Some(to) = post.more.reply_to {
                    lines.push(format!("answers #{to}, in the thread of #{}", post.more.thread.unwrap_or(to)));
                }
                for reaction in &post.more.reactions {
                    let users: Vec<String> = reaction.users.iter().map(|user| self.person(*user)).collect();
                    lines.push(format!("{} by {}", reaction.emoji, users.join(", ")));
                }
                lines.push(String::new());
                lines.extend(post.text.lines().map(str::to_owned));
            }
            Key::Tail(id) => {
                let Some(post) = room.tail.iter().find(|post| post.id == id) else { return };
                lines.push(format!("by {}, id {id}", post.author_name));
                lines.push(format!("written at {}, {}", rfc3339::format(post.written_at), marked(post.copies)));
                lines.push(String::new());
                lines.extend(post.text.lines().map(str::to_owned));
            }
            Key::Pending(nth) => {
                let Some(pending) = room.pending.iter().find(|pending| pending.nth == nth) else { return };
                lines.push(format!("written at {}", rfc3339::format(pending.at)));
                if let Progress::Refused { why } = &pending.progress {
                    lines.push(format!("refused: {why}"));
                }
                lines.push(String::new());
                lines.extend(pending.text.lines().map(str::to_owned));
            }
            Key::Note(_) | Key::Day(_) | Key::Unread => return,
        }
        self.mode = Mode::Over(Overlay::Lines { title: "Message".into(), lines, top: 0, indent: 0 });
    }
}

fn room_id(screen: &Screen) -> Option<tertulia_protocol::ids::RoomId> {
    screen.current
}
