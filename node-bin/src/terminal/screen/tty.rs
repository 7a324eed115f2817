//! The terminal, as long as the screen has it: raw mode, the alternate screen, and all of it given back however the chat ends.
//!
//! - Given back when it is dropped, before a panic is printed, and while the process is suspended.
//! - Nothing is asked of the terminal that it could answer late.

use ratatui::crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange, EnableMouseCapture,
};
use ratatui::crossterm::style::ResetColor;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor::Show, execute};
use std::io::{self, Stdout, stdout};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether the terminal is the screen's: read where there is nobody to ask, in a panic.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal is given back when this is dropped.
pub struct Tty {
    mouse: bool,
}

impl Tty {
    /// # Errors
    /// The terminal cannot be set up, or is none.
    pub fn take(mouse: bool) -> io::Result<Tty> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        let tty = Tty { mouse };
        tty.enter()?;
        Ok(tty)
    }

    /// Also after the process was suspended.
    pub fn enter(&self) -> io::Result<()> {
        TAKEN.store(true, SeqCst);
        enable_raw_mode()?;
        let mut out: Stdout = stdout();
        execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
        if self.mouse {
            execute!(out, EnableMouseCapture)?;
        }
        Ok(())
    }

    pub fn leave(&self) {
        give_back();
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if !TAKEN.swap(false, SeqCst) {
        return;
    }
    // Whoever reads it may be gone: then there is nothing to give back to.
    let mut out = stdout();
    let _ = execute!(out, DisableMouseCapture, DisableFocusChange, DisableBracketedPaste, ResetColor, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
