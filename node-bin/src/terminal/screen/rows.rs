//! Messages as rows of the screen, and which of them are in view.
//!
//! The view is held at its bottom: it ends with the newest message, or with a certain row of a certain item, so that nothing moves when older messages are loaded, a
//! message is edited above, or new ones come below.

use super::client::{addresses, nodes};
use super::room::{Key, Progress, Room};
use super::style::Look;
use super::{SOON, Screen};
use crate::terminal::harmless::{harmless, one_line};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use tertulia_protocol::chat::Post;
use tertulia_protocol::ids::{RoomId, Seq};
use tertulia_protocol::time::Timestamp;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// From this width on names stand in a column of their own.
const WIDE: usize = 52;
const LONGEST_NAME: usize = 12;

/// The columns of a message.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub width: usize,
    time: usize,
    /// The column of names; without it they stand before the text.
    nick: Option<usize>,
}

/// A message as it is drawn, wherever it comes from.
struct Said<'a> {
    author: &'a str,
    own: bool,
    text: &'a str,
    at: Timestamp,
    mark: char,
    seq: Option<Seq>,
    reply_to: Option<Seq>,
    /// What is said of it behind the text.
    about: String,
    style: Style,
    about_style: Style,
    names_me: bool,
}

impl Screen {
    pub(super) fn look_of(&self) -> Look {
        Look { colours: self.options.colours }
    }

    fn shape(&self, room: &Room) -> Shape {
        let width = usize::from(self.areas().messages.width);
        let authors = room.window.posts().rev().take(100).map(|post| post.author_name.as_str());
        let authors = authors.chain(room.tail.iter().map(|post| post.author_name.as_str()));
        // Whoever may speak counts, so that nothing moves when they do.
        let authors = authors.chain(room.members.values().take(100).map(|member| member.user.name.as_str()));
        let longest = authors.map(|name| one_line(name).width()).chain([self.name.width()]).max().unwrap_or(0);
        let nick = (width >= WIDE).then(|| longest.clamp(3, LONGEST_NAME));
        let digits = if self.numbers_shown { room.last().to_string().len() } else { 0 };
        Shape { width, time: digits.max(5), nick }
    }

    /// The rows of an item.
    fn item(&self, room: &Room, key: Key, shape: &Shape) -> Vec<Line<'static>> {
        let look = self.look_of();
        match key {
            Key::Post(seq) => room.window.get(seq).map(|post| self.post_rows(room, post, shape)).unwrap_or_default(),
            Key::Tail(id) => {
                let Some(post) = room.tail.iter().find(|post| post.id == id) else { return Vec::new() };
                let said = Said {
                    author: &post.author_name,
                    own: Some(post.author) == self.user,
                    text: &post.text,
                    at: post.written_at,
                    mark: '~',
                    seq: None,
                    reply_to: post.reply_to,
                    about: marked(post.copies),
                    style: look.waiting(),
                    about_style: look.dim(),
                    names_me: false,
                };
                self.said_rows(room, &said, key, shape)
            }
            Key::Pending(nth) => {
                let Some(pending) = room.pending.iter().find(|pending| pending.nth == nth) else { return Vec::new() };
                let (mark, about) = self.progress(&pending.progress, pending.at);
                let refused = mark == '✗';
                let said = Said {
                    author: &self.name,
                    own: true,
                    text: &pending.text,
                    at: pending.at,
                    mark,
                    seq: None,
                    reply_to: pending.reply_to,
                    about,
                    style: if mark == '✓' { look.plain() } else { look.waiting() },
                    about_style: if refused { look.bad() } else { look.dim() },
                    names_me: false,
                };
                self.said_rows(room, &said, key, shape)
            }
            Key::Note(nth) => room.note_of(nth).map(|note| self.note_rows(note.at, &note.text, shape)).unwrap_or_default(),
            Key::Day(seq) => {
                let at = room.window.get(seq).map_or(Timestamp(0), |post| post.at);
                vec![ruled(&self.local(at).strftime("%A, %-d %B %Y").to_string(), shape.width, '─', look.dim())]
            }
            Key::Unread => vec![ruled("unread", shape.width, '─', look.line())],
        }
    }

    fn progress(&self, progress: &Progress, at: Timestamp) -> (char, String) {
        match progress {
            Progress::Waiting if !self.link.signed_in => ('·', "waiting here".into()),
            Progress::Waiting if self.now.0 < at.0 + SOON => ('·', String::new()),
            Progress::Waiting => ('·', "on its way".into()),
            Progress::Accepted { copies } => ('~', marked(*copies)),
            Progress::Placed { .. } => ('✓', String::new()),
            Progress::Refused { why } => ('✗', format!("refused: {why}")),
            Progress::Unclear => ('?', "whether it was posted is not known: look into the room".into()),
        }
    }

    fn post_rows(&self, room: &Room, post: &Post, shape: &Shape) -> Vec<Line<'static>> {
        let look = self.look_of();
        let own = Some(post.author) == self.user;
        let deleted = post.more.deleted.is_some();
        let mut about = Vec::new();
        if post.more.edited.is_some() && !deleted {
            about.push("edited".to_owned());
        }
        if post.more.pinned {
            about.push("pinned".to_owned());
        }
        match post.more.replies {
            0 => {}
            1 => about.push("1 reply".to_owned()),
            replies => about.push(format!("{replies} replies")),
        }
        let names_me =
            !own && (self.user.is_some_and(|user| post.more.mentions.contains(&user)) || addresses(&post.text, &self.name));
        let said = Said {
            author: &post.author_name,
            own,
            text: if deleted { "deleted" } else { &post.text },
            at: post.more.written.unwrap_or(post.at),
            mark: if own { '✓' } else { ' ' },
            seq: Some(post.seq),
            reply_to: post.more.reply_to,
            about: about.join(", "),
            style: if deleted { look.waiting() } else { look.plain() },
            about_style: look.dim(),
            names_me,
        };
        let mut rows = self.said_rows(room, &said, Key::Post(post.seq), shape);
        if !post.more.reactions.is_empty() {
            let mut parts = Vec::new();
            for reaction in &post.more.reactions {
                let mine = self.user.is_some_and(|user| reaction.users.contains(&user));
                let style = if mine { look.bold() } else { look.dim() };
                parts.push((format!("{} {}", one_line(&reaction.emoji), reaction.users.len()), style));
                parts.push(("  ".to_owned(), look.dim()));
            }
            let indent = shape.indent();
            rows.extend(wrap(&parts, shape.width.saturating_sub(indent)).into_iter().map(|row| self.behind(shape, row)));
        }
        rows
    }

    fn said_rows(&self, room: &Room, said: &Said<'_>, key: Key, shape: &Shape) -> Vec<Line<'static>> {
        let look = self.look_of();
        let selected = self.selected() == Some(key);
        let action = said.text.strip_prefix("/me ");
        let author = one_line(said.author);
        let name_style = if said.own { look.own() } else { look.name(said.author) };
        let name_style = if said.names_me { look.mentions_me() } else { name_style };
        let mut rows = Vec::new();
        if let Some(seq) = said.reply_to {
            let quoted = match room.quote(seq) {
                Some((author, text)) => format!("┌ {}: {}", one_line(author), one_line(text)),
                None => format!("┌ #{seq}"),
            };
            let quoted = cut(&quoted, shape.width.saturating_sub(shape.indent()));
            rows.push(self.behind(shape, vec![Span::styled(quoted, look.dim())]));
        }
        let time = match said.seq.filter(|_| self.numbers_shown) {
            Some(seq) => seq.to_string(),
            None => self.local(said.at).strftime("%H:%M").to_string(),
        };
        let mark = if selected { '>' } else { said.mark };
        let mark_style = match mark {
            '✗' => look.bad(),
            '✓' => look.good(),
            '>' => look.bold(),
            _ => look.dim(),
        };
        let (nick, inline) = match (shape.nick, action) {
            (Some(width), None) => (Some((cut_name(&author, width), width)), None),
            (Some(width), Some(_)) => (Some(("*".to_owned(), width)), Some(format!("{author} "))),
            (None, None) => (None, Some(format!("{author}: "))),
            (None, Some(_)) => (None, Some(format!("* {author} "))),
        };
        let mut first = vec![
            Span::styled(format!("{time:>width$} ", width = shape.time), look.dim()),
            Span::styled(format!("{mark} "), mark_style),
        ];
        if let Some((name, width)) = nick {
            let pad = " ".repeat(width.saturating_sub(name.width()));
            first.push(Span::raw(pad));
            first.push(Span::styled(name, name_style));
            first.push(Span::styled(" │ ", look.dim()));
        }
        let mut parts: Vec<(String, Style)> = inline.map(|inline| (inline, name_style)).into_iter().collect();
        let mut body = Vec::new();
        for (nth, line) in action.unwrap_or(said.text).split('\n').enumerate() {
            if nth > 0 {
                body.push(std::mem::take(&mut parts));
            }
            parts.extend(self.highlighted(&harmless(line).replace('\t', "    "), said.style));
        }
        if !said.about.is_empty() {
            parts.push((format!(" ({})", one_line(&said.about)), said.about_style));
        }
        body.push(parts);
        let width = shape.width.saturating_sub(shape.indent());
        for row in body.iter().flat_map(|parts| wrap(parts, width)) {
            match first.is_empty() {
                false => {
                    let mut spans = std::mem::take(&mut first);
                    spans.extend(row);
                    rows.push(Line::from(spans));
                }
                true => rows.push(self.behind(shape, row)),
            }
        }
        if selected {
            rows.iter_mut().for_each(|row| row.style = row.style.add_modifier(Modifier::REVERSED));
        }
        rows
    }

    fn note_rows(&self, at: Timestamp, text: &str, shape: &Shape) -> Vec<Line<'static>> {
        let look = self.look_of();
        let time = self.local(at).strftime("%H:%M").to_string();
        let lead = match shape.nick {
            Some(width) => format!("{time:>time_width$}   {:>width$} │ ", "--", time_width = shape.time),
            None => format!("{time:>width$} -- ", width = shape.time),
        };
        let indent = shape.indent().max(lead.width());
        let mut rows = Vec::new();
        for line in text.split('\n') {
            for row in wrap(&[(harmless(line).replace('\t', "    "), look.dim())], shape.width.saturating_sub(indent)) {
                let begin = if rows.is_empty() { lead.clone() } else { self.blank(shape, indent) };
                let mut spans = vec![Span::styled(begin, look.dim())];
                spans.extend(row);
                rows.push(Line::from(spans));
            }
        }
        rows
    }

    fn blank(&self, shape: &Shape, indent: usize) -> String {
        match shape.nick {
            Some(_) => format!("{}│ ", " ".repeat(indent.saturating_sub(2))),
            None => " ".repeat(indent),
        }
    }

    /// A row that belongs to the message above or below.
    fn behind(&self, shape: &Shape, spans: Vec<Span<'static>>) -> Line<'static> {
        let mut all = vec![Span::styled(self.blank(shape, shape.indent()), self.look_of().dim())];
        all.extend(spans);
        Line::from(all)
    }

    /// A line with names and addresses marked.
    fn highlighted(&self, line: &str, style: Style) -> Vec<(String, Style)> {
        let look = self.look_of();
        let mut parts = Vec::new();
        for word in line.split_inclusive(' ') {
            let is_link = word.starts_with("https://") || word.starts_with("http://");
            let name = word.strip_prefix('@').map(|rest| {
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                rest.split(|c| !is_name(c)).next().unwrap_or_default().trim_end_matches(['.', '-'])
            });
            match name.filter(|name| !name.is_empty()) {
                Some(name) => {
                    let me = name.to_lowercase() == self.name.to_lowercase();
                    let (named, rest) = word.split_at(1 + name.len());
                    parts.push((named.to_owned(), style.patch(if me { look.mentions_me() } else { look.mention() })));
                    parts.push((rest.to_owned(), style));
                }
                None if is_link => {
                    let (link, space) = word.split_at(word.trim_end().len());
                    parts.push((link.to_owned(), style.patch(look.link())));
                    parts.push((space.to_owned(), style));
                }
                None => parts.push((word.to_owned(), style)),
            }
        }
        parts
    }

    // ---- the view

    /// The rows in view from the top, whether something lies above, and how many items below.
    pub(super) fn view(&self, room: &Room, height: usize) -> (Vec<Line<'static>>, usize) {
        let (shape, items) = (self.shape(room), self.items(room));
        let (at, skip) = self.bottom(room, &items);
        let mut rows: Vec<Line<'static>> = Vec::new();
        let mut skip = skip;
        for key in items.get(..=at).unwrap_or_default().iter().rev() {
            let mut lines = self.item(room, *key, &shape);
            lines.truncate(lines.len().saturating_sub(std::mem::take(&mut skip)));
            rows.extend(lines.into_iter().rev());
            if rows.len() >= height {
                break;
            }
        }
        rows.truncate(height);
        rows.reverse();
        (rows, items.len().saturating_sub(at + 1))
    }

    /// The item at the bottom, and how many of its rows are hidden.
    fn bottom(&self, room: &Room, items: &[Key]) -> (usize, usize) {
        let anchor = room.anchor.and_then(|(key, skip)| Some((items.iter().position(|item| *item == key)?, skip)));
        anchor.unwrap_or((items.len().saturating_sub(1), 0))
    }

    pub(super) fn page_lines(&self) -> isize {
        isize::from(i16::try_from(self.areas().messages.height).unwrap_or(i16::MAX)).saturating_sub(2).max(1)
    }

    /// Upwards by so many rows; downwards if it is negative.
    pub(super) fn scroll(&mut self, by: isize) {
        let Some(room) = self.current_room() else { return };
        let (id, shape, items) = (room.id(), self.shape(room), self.items(room));
        let height = usize::from(self.areas().messages.height);
        let rows_of = |at: usize| items.get(at).map_or(0, |key| self.item(room, *key, &shape).len());
        let (mut at, mut skip) = self.bottom(room, &items);
        for _ in 0..by.unsigned_abs() {
            match by > 0 {
                true if skip + 1 < rows_of(at) => skip += 1,
                true if at > 0 => (at, skip) = (at - 1, 0),
                true => break,
                false if skip > 0 => skip -= 1,
                false if at + 1 < items.len() => (at, skip) = (at + 1, rows_of(at + 1).saturating_sub(1)),
                false => break,
            }
        }
        // The first row is never below the top.
        let (mut above, mut first) = (0, at + 1);
        while first > 0 && above < height + skip {
            first -= 1;
            above += rows_of(first);
        }
        let mut missing = (height + skip).saturating_sub(above);
        while missing > 0 && (skip > 0 || at + 1 < items.len()) {
            let step = if skip > 0 { skip.min(missing) } else { 0 };
            (skip, missing) = (skip - step, missing - step);
            if missing > 0 && at + 1 < items.len() {
                (at, skip) = (at + 1, rows_of(at + 1));
            }
        }
        let is_end = at + 1 >= items.len() && skip == 0;
        let anchor = items.get(at).map(|key| (*key, skip)).filter(|_| !is_end);
        let near_top = first < 10;
        if let Some(room) = self.rooms.get_mut(&id) {
            room.anchor = anchor;
        }
        if by > 0 && near_top {
            self.load_older(id);
        } else if by < 0 && is_end {
            self.load_newer(id);
        }
    }

    pub(super) fn scroll_to_first(&mut self) {
        self.scroll(isize::from(i16::MAX));
    }

    pub(super) fn scroll_to_end(&mut self) {
        let Some(room) = self.current_room_mut() else { return };
        room.anchor = None;
        let (id, live) = (room.id(), room.window.live);
        if !live {
            self.load_newest(id);
        }
    }

    pub(super) fn scroll_to_unread(&mut self) {
        let Some(room) = self.current_room() else { return };
        let marker = room.marker;
        match marker.map(|seq| (room.id(), room.window.get(seq + 1).is_some(), seq + 1)) {
            Some((id, true, _)) => self.put_in_view(id, Key::Unread),
            Some((id, false, seq)) => self.go_to(id, seq),
            None => self.say("nothing is unread here"),
        }
    }

    /// Scrolls so that an item stands in the upper half.
    pub(super) fn put_in_view(&mut self, id: RoomId, key: Key) {
        let Some(room) = self.rooms.get(&id) else { return };
        let (shape, items) = (self.shape(room), self.items(room));
        let wanted = usize::from(self.areas().messages.height) * 2 / 3;
        let Some(mut at) = items.iter().position(|item| *item == key) else { return };
        let mut below = 0;
        while at + 1 < items.len() && below + self.item(room, items[at + 1], &shape).len() <= wanted {
            at += 1;
            below += self.item(room, items[at], &shape).len();
        }
        let anchor = (at + 1 < items.len()).then(|| (items[at], 0));
        if let Some(room) = self.rooms.get_mut(&id) {
            room.anchor = anchor;
        }
    }

    /// Scrolls no further than it takes to see all of an item.
    pub(super) fn keep_in_view(&mut self, key: Key) {
        let Some(room) = self.current_room() else { return };
        let (id, shape, items) = (room.id(), self.shape(room), self.items(room));
        let height = usize::from(self.areas().messages.height);
        let Some(wanted) = items.iter().position(|item| *item == key) else { return };
        let (at, skip) = self.bottom(room, &items);
        let rows: usize = items.get(wanted..=at).unwrap_or_default().iter().map(|key| self.item(room, *key, &shape).len()).sum();
        let fits = wanted <= at && rows.saturating_sub(skip) <= height && (wanted < at || skip == 0);
        if fits {
            return;
        }
        if wanted >= at {
            let anchor = (wanted + 1 < items.len()).then_some((key, 0));
            if let Some(room) = self.rooms.get_mut(&id) {
                room.anchor = anchor;
            }
            return;
        }
        // It becomes the first one: what is below it fills the rest.
        let (mut at, mut rows) = (wanted, self.item(room, key, &shape).len());
        while at + 1 < items.len() && rows + self.item(room, items[at + 1], &shape).len() <= height {
            at += 1;
            rows += self.item(room, items[at], &shape).len();
        }
        let anchor = (at + 1 < items.len()).then(|| (items[at], 0));
        if let Some(room) = self.rooms.get_mut(&id) {
            room.anchor = anchor;
        }
    }
}

impl Shape {
    /// Where the text begins.
    fn indent(&self) -> usize {
        self.time + 3 + self.nick.map_or(0, |nick| nick + 3)
    }
}

/// What is said of a message that nodes without a leader have accepted.
pub fn marked(copies: u32) -> String {
    format!("waits for a majority, on {}", nodes(copies))
}

fn ruled(text: &str, width: usize, rule: char, style: Style) -> Line<'static> {
    let text = format!("{rule}{rule} {text} ");
    let rest = width.saturating_sub(text.width());
    Line::styled(format!("{text}{}", String::from(rule).repeat(rest)), style)
}

/// As much as fits; what was cut off is said by `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for grapheme in text.graphemes(true) {
        if cut.width() + grapheme.width() + 1 > width {
            break;
        }
        cut.push_str(grapheme);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

fn cut_name(name: &str, width: usize) -> String {
    cut(name, width)
}

/// Breaks a line into rows of at most `width` columns, between words where that can be.
pub fn wrap(parts: &[(String, Style)], width: usize) -> Vec<Vec<Span<'static>>> {
    let width = width.max(2);
    let graphemes: Vec<(&str, usize, Style)> = (parts.iter())
        .flat_map(|(text, style)| text.graphemes(true).map(|grapheme| (grapheme, grapheme.width(), *style)))
        .collect();
    let (mut rows, mut begin, mut space, mut column) = (Vec::new(), 0, None, 0);
    let mut at = 0;
    while at < graphemes.len() {
        let (grapheme, wide, _) = graphemes[at];
        if column + wide > width && at > begin {
            // A space that does not fit any more is where the row ends.
            let (end, next) = match space {
                _ if grapheme == " " => (at, at + 1),
                Some(space) => (space, space + 1),
                None => (at, at),
            };
            rows.push(joined(&graphemes[begin..end]));
            (begin, at, space, column) = (next, next, None, 0);
            continue;
        }
        if grapheme == " " && at > begin {
            space = Some(at);
        }
        column += wide;
        at += 1;
    }
    rows.push(joined(&graphemes[begin.min(graphemes.len())..]));
    rows
}

fn joined(graphemes: &[(&str, usize, Style)]) -> Vec<Span<'static>> {
    let mut spans: Vec<Span<'static>> = Vec::new();
    for (grapheme, _, style) in graphemes {
        match spans.last_mut().filter(|span| span.style == *style) {
            Some(span) => span.content.to_mut().push_str(grapheme),
            None => spans.push(Span::styled((*grapheme).to_owned(), *style)),
        }
    }
    spans
}
