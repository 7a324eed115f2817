//! How things look: the terminal's own sixteen colours and attributes, so that it is readable on light and dark grounds alike, and attributes alone where colours are not wanted.

use ratatui::style::{Color, Modifier, Style};
use xxhash_rust::xxh3::xxh3_64;

/// Colours of names: those that are readable on light and on dark.
const NAMES: [Color; 6] = [Color::Cyan, Color::Green, Color::Magenta, Color::Blue, Color::Red, Color::Yellow];

#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub colours: bool,
}

impl Look {
    fn coloured(self, colour: Color, style: Style) -> Style {
        if self.colours { style.fg(colour) } else { style }
    }

    pub fn plain(self) -> Style {
        Style::new()
    }

    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Bars, and what is chosen.
    pub fn turned(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn link(self) -> Style {
        Style::new().add_modifier(Modifier::UNDERLINED)
    }

    /// A person has the same colour everywhere.
    pub fn name(self, name: &str) -> Style {
        let nth = xxh3_64(name.as_bytes()) % NAMES.len() as u64;
        self.coloured(NAMES[nth as usize], Style::new())
    }

    /// The user's own name, and what is the user's.
    pub fn own(self) -> Style {
        self.bold()
    }

    /// Somebody is named.
    pub fn mention(self) -> Style {
        self.coloured(Color::Cyan, Style::new().add_modifier(Modifier::BOLD))
    }

    /// The user is named.
    pub fn mentions_me(self) -> Style {
        self.coloured(Color::Magenta, Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED))
    }

    /// Something is unread and names the user.
    pub fn hot(self) -> Style {
        self.coloured(Color::Magenta, self.bold())
    }

    /// What waits: it looks like what it will be, only paler.
    pub fn waiting(self) -> Style {
        Style::new().add_modifier(Modifier::DIM | Modifier::ITALIC)
    }

    pub fn bad(self) -> Style {
        self.coloured(Color::Red, self.bold())
    }

    pub fn good(self) -> Style {
        self.coloured(Color::Green, Style::new())
    }

    /// The line of what is unread.
    pub fn line(self) -> Style {
        self.coloured(Color::Yellow, Style::new())
    }
}
