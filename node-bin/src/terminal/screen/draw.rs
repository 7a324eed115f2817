//! Where everything stands, at any size from 40×10 up, and the whole of it drawn into a buffer.

use super::panes::Paint;
use super::select::Selecting;
use super::{Key, Mode, Screen};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

/// From this width on the members are shown.
const WITH_MEMBERS: u16 = 100;
/// From this width on the rooms are; below it the status line names those with something unread.
const WITH_ROOMS: u16 = 60;
const MEMBERS: u16 = 18;
/// From this height on the room has a title.
const WITH_TITLE: u16 = 6;

/// The parts of the screen. None overlaps another, and all lie within it.
#[derive(Clone, Copy, Debug)]
pub struct Areas {
    pub all: Rect,
    pub rooms: Option<Rect>,
    pub title: Option<Rect>,
    pub messages: Rect,
    pub members: Option<Rect>,
    pub status: Rect,
    pub input: Rect,
}

impl Screen {
    pub(super) fn areas(&self) -> Areas {
        let (width, height) = self.size;
        let rooms = if width >= WITH_ROOMS { (width / 5).clamp(14, 24) } else { 0 };
        let members = if self.members_shown && width >= WITH_MEMBERS && self.current.is_some() { MEMBERS } else { 0 };
        let most = (height / 3).max(1);
        let rows = self.input_rows(usize::from(width)).min(usize::from(most)) as u16;
        let input = rows.min(height.saturating_sub(2)).max(1.min(height));
        let status = 1.min(height.saturating_sub(input));
        let body = height.saturating_sub(input + status);
        let title = u16::from(height >= WITH_TITLE).min(body);
        let left = if rooms > 0 { rooms + 1 } else { 0 };
        let right = if members > 0 { members + 1 } else { 0 };
        Areas {
            all: Rect::new(0, 0, width, height),
            rooms: (rooms > 0).then(|| Rect::new(0, 0, rooms, body)),
            title: (title > 0).then(|| Rect::new(left, 0, width - left, title)),
            messages: Rect::new(left, title, width - left - right, body - title),
            members: (members > 0).then(|| Rect::new(width - members, title, members, body - title)),
            status: Rect::new(0, body, width, status),
            input: Rect::new(0, body + status, width, input),
        }
    }

    /// The columns of what is written, behind the prompt.
    pub(super) fn input_width(&self) -> usize {
        usize::from(self.size.0).saturating_sub(self.prompt_width()).max(2)
    }

    fn input_rows(&self, width: usize) -> usize {
        self.editor_here().lay(width.saturating_sub(self.prompt_width()).max(2)).rows.len()
    }

    pub(super) fn selected(&self) -> Option<Key> {
        match &self.mode {
            Mode::Select(Selecting { key, .. }) => Some(*key),
            _ => None,
        }
    }

    /// Draws everything, and says where the cursor is.
    pub fn draw(&self, buffer: &mut Buffer) -> Option<Position> {
        let areas = self.areas();
        let mut paint = Paint { buffer, look: self.look_of() };
        if let Some(area) = areas.rooms {
            self.draw_rooms(&mut paint, area);
        }
        if let Some(area) = areas.title {
            self.draw_title(&mut paint, area);
        }
        self.draw_messages(&mut paint, areas.messages);
        if let Some(area) = areas.members {
            self.draw_members(&mut paint, area);
        }
        self.draw_status(&mut paint, areas.status);
        let cursor = self.draw_input(&mut paint, areas.input);
        match &self.mode {
            Mode::Over(overlay) => self.draw_overlay(&mut paint, areas.all, overlay),
            Mode::Select(_) => None,
            Mode::Write => Some(cursor),
        }
    }
}
