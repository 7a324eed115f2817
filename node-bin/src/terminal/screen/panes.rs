//! The parts of the screen beside the messages: rooms, title, members, status, what is written, and what is laid over.

use super::answers::by_presence;
use super::doing::milliseconds;
use super::overlay::{Found, Overlay, Switcher};
use super::room::{Intent, Progress, Room};
use super::rows::{cut, wrap};
use super::select::Prompt;
use super::style::Look;
use super::{Mode, Screen, emoji};
use crate::terminal::harmless::{harmless, one_line};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tertulia_protocol::chat::{MemberRole, RoomKind};
use tertulia_protocol::ids::RoomId;
use unicode_width::UnicodeWidthStr;

/// A buffer, and how things look.
pub struct Paint<'a> {
    pub buffer: &'a mut Buffer,
    pub look: Look,
}

impl Paint<'_> {
    /// A line in one row of an area; the rest of the row is blank.
    fn row(&mut self, area: Rect, row: u16, line: &Line<'_>) {
        if row >= area.height || area.width == 0 {
            return;
        }
        let y = area.y + row;
        let blank = " ".repeat(usize::from(area.width));
        self.buffer.set_stringn(area.x, y, &blank, usize::from(area.width), line.style);
        self.buffer.set_line(area.x, y, line, area.width);
    }

    fn column(&mut self, x: u16, y: u16, height: u16) {
        for row in y..y + height {
            self.buffer.set_stringn(x, row, "│", 1, self.look.dim());
        }
    }
}

impl Screen {
    // ---- rooms

    /// Which room each row of the list is of.
    fn room_rows(&self, height: u16) -> Vec<Option<RoomId>> {
        let invited: Vec<RoomId> = self.others.iter().filter(|view| view.invited).map(|view| view.id).collect();
        let mut rows: Vec<Option<RoomId>> = self.order.iter().map(|id| Some(*id)).collect();
        if !invited.is_empty() {
            rows.push(None);
            rows.extend(invited.into_iter().map(Some));
        }
        // A list that is longer than the screen is scrolled to where the current one is.
        let height = usize::from(height);
        let at = self.current.and_then(|id| self.order.iter().position(|room| *room == id)).unwrap_or(0);
        let from = if rows.len() > height { at.saturating_sub(height / 2).min(rows.len() - height) } else { 0 };
        rows.split_off(from)
    }

    pub(super) fn room_at(&self, column: u16, row: u16) -> Option<RoomId> {
        let area = self.areas().rooms?;
        let id =
            (column < area.width && row < area.height).then(|| self.room_rows(area.height).get(usize::from(row)).copied())??;
        id.filter(|id| self.rooms.contains_key(id))
    }

    pub(super) fn draw_rooms(&self, paint: &mut Paint<'_>, area: Rect) {
        let look = paint.look;
        paint.column(area.right(), area.y, area.height);
        for (row, id) in (0..area.height).zip(self.room_rows(area.height)) {
            let Some(id) = id else {
                paint.row(area, row, &Line::styled("invited:", look.dim()));
                continue;
            };
            let line = match self.rooms.get(&id) {
                Some(room) => self.room_line(room, area.width),
                None => {
                    let name = self.others.iter().find(|view| view.id == id).map(|view| one_line(&view.name)).unwrap_or_default();
                    Line::styled(cut(&format!("   {name}"), usize::from(area.width)), look.mention())
                }
            };
            paint.row(area, row, &line);
        }
    }

    fn room_line(&self, room: &Room, width: u16) -> Line<'static> {
        let look = self.look_of();
        let number = self.number_of(room.id()).map_or(String::new(), |nth| nth.to_string());
        let (unread, mentions) = (room.view.unread, room.view.mentions);
        let here = self.current == Some(room.id());
        let style = match () {
            () if mentions > 0 || room.is_direct() && unread > 0 => look.hot(),
            () if unread > 0 => look.bold(),
            () => look.plain(),
        };
        let count = match (unread, mentions) {
            (0, _) => String::new(),
            (unread, 0) => unread.to_string(),
            (unread, mentions) if u64::from(mentions) >= unread => format!("@{mentions}"),
            (unread, mentions) => format!("@{mentions}/{unread}"),
        };
        let width = usize::from(width);
        let label = cut(&one_line(&room.label(&self.people)), width.saturating_sub(4 + count.width()));
        let gap = width.saturating_sub(3 + label.width() + count.width());
        let line = Line::from(vec![
            Span::styled(format!("{number:>2} "), look.dim()),
            Span::styled(label, style),
            Span::raw(" ".repeat(gap)),
            Span::styled(count, style),
        ]);
        if here { line.style(look.turned()) } else { line }
    }

    pub(super) fn draw_title(&self, paint: &mut Paint<'_>, area: Rect) {
        let look = paint.look;
        let line = match self.current_room() {
            Some(room) => {
                let archived = if room.view.archived { " (archived)" } else { "" };
                let about = match room.view.kind {
                    RoomKind::Direct => room.view.with.and_then(|other| room.members.get(&other)),
                    _ => None,
                };
                let here = about.map_or("", |other| if other.user.online { "here" } else { "away" });
                let topic = if room.view.topic.is_empty() { here.to_owned() } else { one_line(&room.view.topic) };
                Line::from(vec![
                    Span::styled(format!("{}{archived}  ", one_line(&room.label(&self.people))), look.bold()),
                    Span::styled(topic, look.dim()),
                ])
            }
            None => Line::styled("Tertulia", look.bold()),
        };
        paint.row(area, 0, &line.style(look.link()));
    }

    pub(super) fn draw_messages(&self, paint: &mut Paint<'_>, area: Rect) {
        let look = paint.look;
        let Some(room) = self.current_room() else {
            let text = match (self.link.was_signed_in, self.listed) {
                (true, true) => {
                    "You are in no room.\n\n/join NAME goes into one, or makes it.\nCtrl-K finds one by a few letters.\nF1 shows all keys and commands."
                }
                (true, false) => "",
                (false, _) => "Not signed in yet.",
            };
            for (row, line) in (1..area.height).zip(text.lines()) {
                paint.row(area, row, &Line::styled(format!(" {line}"), look.dim()));
            }
            return;
        };
        let height = usize::from(area.height);
        let (rows, _) = self.view(room, height);
        // The newest message stands at the bottom.
        let top = height - rows.len().min(height);
        if rows.is_empty() && room.window.filled && height > 0 {
            paint.row(area, area.height - 1, &Line::styled(" Nothing was said here yet. F1 shows all keys.", look.dim()));
        }
        for (nth, row) in rows.iter().enumerate() {
            paint.row(area, (top + nth) as u16, row);
        }
    }

    pub(super) fn draw_members(&self, paint: &mut Paint<'_>, area: Rect) {
        let look = paint.look;
        paint.column(area.x.saturating_sub(1), area.y, area.height);
        let Some(room) = self.current_room() else { return };
        let members = by_presence(&room.members);
        let here = members.iter().filter(|member| member.user.online).count();
        paint.row(area, 0, &Line::styled(format!("{here} of {} here", room.view.members.max(members.len() as u32)), look.dim()));
        for (row, member) in (1..area.height).zip(members) {
            let sign = match member.role {
                MemberRole::Owner => "@",
                MemberRole::Moderator => "%",
                MemberRole::Member => " ",
            };
            let name = cut(&one_line(&member.user.name), usize::from(area.width).saturating_sub(1));
            let style = if member.user.online { look.name(&member.user.name) } else { look.dim() };
            paint.row(area, row, &Line::from(vec![Span::styled(sign, look.dim()), Span::styled(name, style)]));
        }
    }

    // ---- the status line

    pub(super) fn draw_status(&self, paint: &mut Paint<'_>, area: Rect) {
        let look = paint.look;
        let width = usize::from(area.width);
        let hint = match &self.mode {
            Mode::Select(selecting) => Some(match &selecting.prompt {
                Some(Prompt::Delete) => "take this message away, for everybody? y / n".to_owned(),
                Some(Prompt::React(editor)) => reaction_prompt(&harmless(editor.text())),
                None => "R answer  E edit  + react  D delete  P pin  Enter all of it  G to what it answers  Esc back".to_owned(),
            }),
            _ => None,
        };
        let hint = self
            .flash
            .as_ref()
            .filter(|_| !matches!(&hint, Some(hint) if hint.contains("y / n")))
            .map(|(flash, _)| one_line(flash))
            .or(hint);
        if let Some(hint) = hint {
            return paint.row(area, 0, &Line::styled(cut(&format!(" {hint}"), width), look.turned()));
        }
        let right = self.status_right();
        let left = cut(&format!(" {}", self.status_left()), width.saturating_sub(right.width() + 1));
        let gap = width.saturating_sub(left.width() + right.width());
        let style = if self.is_troubled() { look.turned().patch(look.bad()) } else { look.turned() };
        paint.row(area, 0, &Line::styled(format!("{left}{}{right}", " ".repeat(gap)), style));
    }

    fn is_troubled(&self) -> bool {
        self.link.was_signed_in && (!self.link.signed_in || self.link.alone_since.is_some())
    }

    /// Who, where, who leads, how far away; in words when something is wrong.
    fn status_left(&self) -> String {
        let link = &self.link;
        let name = one_line(&self.name);
        let why = link.failure.as_deref().map_or(String::new(), |why| format!(" ({})", one_line(why)));
        let mut parts = match (link.signed_in, link.was_signed_in) {
            (false, false) => vec![format!("{name}: connecting to {}{why}", link.server)],
            (false, true) => vec![format!("{name}: no server answers: what you write waits here{why}")],
            (true, _) => match link.alone_since {
                Some(since) => {
                    let since = self.local(since).strftime("%H:%M");
                    vec![format!(
                        "{name}@{}  no majority since {since}: what you write is kept, and shown on this side",
                        link.server
                    )]
                }
                None => {
                    let leader = link.status.as_ref().and_then(|status| status.leader);
                    let leads = leader.map(|leader| format!("node {} leads", leader.0));
                    let lag = link.lag_us.map(milliseconds);
                    [Some(format!("{name}@{}", link.server)), leads, lag].into_iter().flatten().collect()
                }
            },
        };
        if let Some(room) = self.current_room() {
            let typists: Vec<String> = room.typists(self.now).into_iter().map(one_line).collect();
            match typists.as_slice() {
                [] => {}
                [one] => parts.push(format!("{one} is typing")),
                [one, two] => parts.push(format!("{one} and {two} are typing")),
                _ => parts.push("several are typing".into()),
            }
        }
        parts.join("  ")
    }

    /// What waits, what is below, and where else something is unread.
    fn status_right(&self) -> String {
        let mut parts = Vec::new();
        let waits = |room: &Room| room.pending.iter().filter(|pending| pending.progress == Progress::Waiting).count();
        let waiting: usize = self.rooms.values().map(waits).sum();
        if waiting > 0 && !self.link.signed_in {
            parts.push(format!("{waiting} waiting"));
        }
        if let Some(room) = self.current_room() {
            match (room.anchor.is_some(), room.view.unread) {
                (true, 0) => parts.push("-- more --".to_owned()),
                (true, unread) => parts.push(format!("-- {unread} new below --")),
                (false, _) if !room.window.live => parts.push("-- the past: Ctrl-End --".to_owned()),
                _ => {}
            }
        }
        let hot: Vec<String> = (self.hotlist().into_iter().take(6))
            .filter_map(|id| {
                let (room, nth) = (self.rooms.get(&id)?, self.number_of(id)?);
                let sign = if room.view.mentions > 0 || room.is_direct() { "@" } else { "" };
                let name = if self.areas().rooms.is_some() {
                    String::new()
                } else {
                    format!(":{}", cut(&one_line(&self.label(id)), 10))
                };
                Some(format!("{sign}{nth}{name}"))
            })
            .collect();
        if !hot.is_empty() {
            parts.push(format!("[{}]", hot.join(" ")));
        }
        if parts.is_empty() { String::new() } else { format!("  {} ", parts.join("  ")) }
    }

    // ---- what is written

    fn prompt(&self) -> String {
        let Some(room) = self.current_room() else { return "> ".into() };
        match room.intent {
            Intent::Post => "> ".into(),
            Intent::Edit(seq) => format!("[edit #{seq}] "),
            Intent::Reply(seq) => match room.quote(seq) {
                Some((author, _)) => format!("[to {}] ", cut(&one_line(author), 12)),
                None => format!("[to #{seq}] "),
            },
        }
    }

    pub(super) fn prompt_width(&self) -> usize {
        self.prompt().width()
    }

    pub(super) fn draw_input(&self, paint: &mut Paint<'_>, area: Rect) -> Position {
        let look = paint.look;
        let prompt = self.prompt();
        let laid = self.editor_here().lay(usize::from(area.width).saturating_sub(prompt.width()).max(2));
        let (row, column) = laid.cursor;
        let from = (row + 1).saturating_sub(usize::from(area.height));
        for (nth, text) in (0..area.height).zip(laid.rows.iter().skip(from)) {
            let begin = if nth == 0 && from == 0 { prompt.clone() } else { " ".repeat(prompt.width()) };
            paint.row(area, nth, &Line::from(vec![Span::styled(begin, look.bold()), Span::raw(text.clone())]));
        }
        let x = area.x + ((prompt.width() + column) as u16).min(area.width.saturating_sub(1));
        Position::new(x, area.y + (row - from.min(row)) as u16)
    }

    // ---- what is laid over

    pub(super) fn draw_overlay(&self, paint: &mut Paint<'_>, all: Rect, overlay: &Overlay) -> Option<Position> {
        let look = paint.look;
        let area = Rect::new(all.x, all.y, all.width, all.height.saturating_sub(1));
        for row in 0..area.height {
            paint.row(area, row, &Line::styled("", Style::reset()));
        }
        let footer = Rect::new(all.x, all.bottom().saturating_sub(1), all.width, 1);
        let inner = Rect::new(area.x + 1, area.y + 1, area.width.saturating_sub(2), area.height.saturating_sub(1));
        let mut bar = |title: &str, keys: &str| {
            paint.row(area, 0, &Line::styled(cut(&format!(" {title}"), usize::from(area.width)), look.turned()));
            paint.row(footer, 0, &Line::styled(cut(&format!(" {keys}"), usize::from(footer.width)), look.turned()));
        };
        match overlay {
            Overlay::Lines { title, lines, top, indent } => {
                bar(title, "Up Down PgUp PgDn scroll  Esc back");
                let rows = self.broken(lines, usize::from(inner.width), *indent);
                for (row, line) in (0..inner.height).zip(rows.into_iter().skip(*top)) {
                    paint.row(inner, row, &Line::raw(line));
                }
                None
            }
            Overlay::Switch(switcher) => {
                bar("Go to a room: some letters of its name", "Enter goes there  Up Down choose  Esc back");
                Some(self.draw_switcher(paint, inner, switcher))
            }
            Overlay::Found(found) => {
                bar(&found_title(found), "Enter shows it where it stands  Up Down choose  Esc back");
                self.draw_found(paint, inner, found);
                None
            }
        }
    }

    /// The lines of a page, broken at the width of the screen; what is broken off is indented.
    fn broken(&self, lines: &[String], width: usize, indent: usize) -> Vec<String> {
        let indent = if width >= 4 * indent { indent } else { 2.min(indent) };
        let mut rows = Vec::new();
        for line in lines {
            let line = harmless(line).replace('\t', "    ");
            let text = |row: &[Span<'static>]| row.iter().map(|span| span.content.as_ref()).collect::<String>();
            let first = wrap(&[(line.clone(), Style::new())], width).first().map(|row| text(row)).unwrap_or_default();
            let rest = line.get(first.len()..).unwrap_or_default().trim_start().to_owned();
            rows.push(first);
            if !rest.is_empty() {
                let broken = wrap(&[(rest, Style::new())], width.saturating_sub(indent));
                rows.extend(broken.iter().map(|row| format!("{}{}", " ".repeat(indent), text(row))));
            }
        }
        rows
    }

    pub(super) fn overlay_rows(&self, lines: &[String], indent: usize) -> usize {
        self.broken(lines, usize::from(self.size.0).saturating_sub(2), indent).len()
    }

    fn draw_switcher(&self, paint: &mut Paint<'_>, area: Rect, switcher: &Switcher) -> Position {
        let look = paint.look;
        let typed = harmless(switcher.typed.text());
        paint.row(area, 0, &Line::from(vec![Span::styled("> ", look.bold()), Span::raw(typed.clone())]));
        let list = Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1));
        let from = (switcher.at + 1).saturating_sub(usize::from(list.height));
        if switcher.choices.is_empty() {
            paint.row(list, 0, &Line::styled("nothing fits: /join NAME makes a room", look.dim()));
        }
        for (row, (nth, choice)) in (0..list.height).zip(switcher.choices.iter().enumerate().skip(from)) {
            let number = self.number_of(choice.room).filter(|_| choice.member).map_or(String::new(), |nth| nth.to_string());
            let sign = match choice {
                choice if choice.invited => "invited, Enter goes in",
                choice if !choice.member => "Enter goes in",
                _ => "",
            };
            let unread = match (choice.unread, choice.mentions) {
                (0, _) => String::new(),
                (unread, 0) => format!("{unread} unread"),
                (unread, mentions) => format!("{unread} unread, {mentions} to you"),
            };
            let mark = if nth == switcher.at { ">" } else { " " };
            let label = cut(&one_line(&choice.label), 30);
            let style = if choice.mentions > 0 {
                look.hot()
            } else if choice.unread > 0 {
                look.bold()
            } else {
                look.plain()
            };
            let line = Line::from(vec![
                Span::raw(format!("{mark}{number:>3} ")),
                Span::styled(label, style),
                Span::styled(format!("  {unread}{sign}  {}", one_line(&choice.about)), look.dim()),
            ]);
            let line = if nth == switcher.at { line.style(look.turned()) } else { line };
            paint.row(list, row, &line);
        }
        Position::new((area.x + 2 + typed.width() as u16).min(area.right().saturating_sub(1)), area.y)
    }

    fn draw_found(&self, paint: &mut Paint<'_>, area: Rect, found: &Found) {
        let look = paint.look;
        // Two rows each: where and who, then what.
        let fits = usize::from(area.height / 2).max(1);
        let from = (found.at + 1).saturating_sub(fits);
        for (nth, (room, post)) in found.posts.iter().enumerate().skip(from).take(fits) {
            let row = ((nth - from) * 2) as u16;
            let at = self.local(post.at).strftime("%Y-%m-%d %H:%M");
            let place = match self.rooms.contains_key(room) {
                true => one_line(&self.label(*room)),
                false => self
                    .others
                    .iter()
                    .find(|view| view.id == *room)
                    .map_or(format!("room {}", room.0), |view| format!("#{}", one_line(&view.name))),
            };
            let mark = if nth == found.at { ">" } else { " " };
            let head = format!("{mark} {at}  {place} #{}  {}", post.seq, one_line(&post.author_name));
            let head = Line::styled(cut(&head, usize::from(area.width)), look.bold());
            paint.row(area, row, &if nth == found.at { head.style(look.turned()) } else { head });
            paint.row(area, row + 1, &Line::raw(cut(&format!("  {}", one_line(&post.text)), usize::from(area.width))));
        }
        if found.posts.is_empty() {
            paint.row(
                area,
                0,
                &Line::styled(
                    "Nothing was found. All words have to be in a message; the last one may be the beginning of a word.",
                    look.dim(),
                ),
            );
        }
    }
}

fn found_title(found: &Found) -> String {
    let more = if found.more.is_some() { " and more" } else { "" };
    format!("\"{}\": {} found{more}, the newest first", one_line(&found.words), found.posts.len())
}

fn reaction_prompt(typed: &str) -> String {
    let offered = emoji::NAMED.iter().take(emoji::OFFERED).enumerate();
    let offered: Vec<String> = offered.map(|(nth, (_, emoji))| format!("{}{emoji}", nth + 1)).collect();
    format!("react: {typed}_  {}  or an emoji, :name:, a word", offered.join(" "))
}
