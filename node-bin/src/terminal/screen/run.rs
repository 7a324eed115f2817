//! The screen's host: reads the terminal and the servers, carries out what the screen wants, and draws when something has changed.
//!
//! What a person types is drawn at once; what comes from the servers at most so often ([`PAUSE`]), so that a room in which much is said costs a slow line no more.

use super::tty::Tty;
use super::{Options, Question, Screen, Want};
use crate::clock;
use crate::terminal::remote::Remote;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::{Position, Rect};
use rustix::process::{Signal, getpid, getsid, kill_process};
use std::io::{self, BufWriter, Stdout, Write, stdout};
use std::time::Duration;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::Refusal;
use tertulia_protocol::time::Timestamp;
use tokio::signal::unix::{Signal as Caught, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Between two drawings that nobody typed for.
const PAUSE: u64 = 40_000;
/// Events of the terminal that are read ahead.
const READ_AHEAD: usize = 256;
/// Events of the servers that are taken before the terminal is looked at again.
const AT_ONCE: usize = 512;

/// How a chat ended.
pub enum Ended {
    Quit,
    /// The cluster refuses the session.
    Rejected(Refusal),
}

struct Signals {
    end: [Caught; 3],
    suspend: Caught,
}

struct Running<'a> {
    screen: Screen,
    remote: &'a mut Remote,
    tty: Tty,
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// The process goes on after it was stopped, by itself or by somebody else.
    resumed: Caught,
    quit: bool,
    rejected: Option<Refusal>,
    /// Something has changed since it was drawn.
    dirty: bool,
    drawn_at: Timestamp,
}

/// Chats on the whole terminal until the user or the cluster ends it.
pub async fn run(remote: &mut Remote, options: Options, mouse: bool) -> Result<Ended, String> {
    let failed = |error: io::Error| format!("cannot use this terminal: {error}; node chat --plain works by lines");
    let mut signals = Signals {
        end: [caught(SignalKind::terminate())?, caught(SignalKind::hangup())?, caught(SignalKind::interrupt())?],
        suspend: caught(SignalKind::from_raw(Signal::TSTP.as_raw()))?,
    };
    let tty = Tty::take(mouse).map_err(failed)?;
    let terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(16 << 10, stdout()))).map_err(failed)?;
    let size = terminal.size().map_err(failed)?;
    let mut screen = Screen::new(options, clock::now().wall, (size.width, size.height));
    screen.at_server(remote.servers().first().map_or("", String::as_str));
    screen.begin_with(remote.open().await);
    remote.follow_all().await;
    remote.learn_servers().await;
    let keys = read_keys();
    let resumed = caught(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let mut running =
        Running { screen, remote, tty, terminal, resumed, quit: false, rejected: None, dirty: true, drawn_at: Timestamp(0) };
    running.run(keys, &mut signals).await?;
    Ok(running.rejected.map_or(Ended::Quit, Ended::Rejected))
}

fn caught(kind: SignalKind) -> Result<Caught, String> {
    signal(kind).map_err(|error| format!("cannot wait for signals: {error}"))
}

/// A thread waits for keys: nothing else can wake whoever reads a terminal. It ends with the process.
fn read_keys() -> mpsc::Receiver<io::Result<Event>> {
    let (tell, keys) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        loop {
            let read = event::read();
            let failed = read.is_err();
            if tell.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    keys
}

impl Running<'_> {
    async fn run(&mut self, mut keys: mpsc::Receiver<io::Result<Event>>, signals: &mut Signals) -> Result<(), String> {
        let mut typed = true;
        while !self.quit {
            self.carry_out().await;
            if self.quit {
                break;
            }
            let now = clock::now().wall;
            let draw_at = Timestamp(self.drawn_at.0 + PAUSE);
            if self.dirty && (typed || draw_at <= now) {
                self.draw()?;
            }
            let due = self.screen.timeout().into_iter().chain(self.dirty.then_some(draw_at)).min();
            let wait = due.map(|at| Duration::from_micros(at.0.saturating_sub(now.0).max(1_000)));
            typed = false;
            let [end, hangup, interrupt] = &mut signals.end;
            tokio::select! {
                biased;
                _ = end.recv() => self.quit = true,
                _ = hangup.recv() => self.quit = true,
                _ = interrupt.recv() => self.quit = true,
                _ = signals.suspend.recv() => self.suspend().await?,
                _ = self.resumed.recv() => self.come_back()?,
                key = keys.recv() => {
                    typed = true;
                    self.typed(key)?;
                    // What was pasted, or typed while a slow line drew, is drawn once.
                    while !self.quit && let Ok(more) = keys.try_recv() {
                        self.typed(Some(more))?;
                        self.carry_out().await;
                    }
                }
                event = self.remote.next() => {
                    self.told(event?);
                    self.told_more().await?;
                }
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    self.screen.handle_time(clock::now().wall);
                    self.dirty = true;
                }
            }
        }
        Ok(())
    }

    fn typed(&mut self, event: Option<io::Result<Event>>) -> Result<(), String> {
        let now = clock::now().wall;
        self.dirty = true;
        match event {
            Some(Ok(Event::Key(key))) => self.screen.handle_key(now, key),
            Some(Ok(Event::Paste(text))) => self.screen.handle_paste(now, &text),
            Some(Ok(Event::Mouse(mouse))) => self.screen.handle_mouse(now, mouse),
            Some(Ok(Event::Resize(width, height))) => self.screen.resized(width, height),
            Some(Ok(Event::FocusGained)) => self.screen.focused(true),
            Some(Ok(Event::FocusLost)) => self.screen.focused(false),
            Some(Err(error)) => return Err(format!("cannot read this terminal: {error}")),
            None => self.quit = true,
        }
        Ok(())
    }

    fn told(&mut self, event: ClientEvent) {
        self.dirty = true;
        if let ClientEvent::Rejected(refusal) = &event {
            self.rejected = Some(refusal.clone());
            self.quit = true;
        }
        let server = match &event {
            ClientEvent::Connected { server }
            | ClientEvent::Disconnected { server, .. }
            | ClientEvent::SignedIn { server, .. } => self.remote.server(*server).to_owned(),
            _ => String::new(),
        };
        self.screen.handle_client(clock::now().wall, event, &server);
    }

    /// What else has come already: a step of the client machine is drawn as a whole, never half of it.
    async fn told_more(&mut self) -> Result<(), String> {
        for _ in 0..AT_ONCE {
            tokio::select! {
                biased;
                event = self.remote.next() => self.told(event?),
                () = std::future::ready(()) => return Ok(()),
            }
        }
        Ok(())
    }

    async fn carry_out(&mut self) {
        while let Some(want) = self.screen.want() {
            match want {
                Want::Submit { command, doing } => {
                    let result = self.remote.submit(command).await;
                    self.screen.submitted(doing, result);
                }
                // A hint's answer says nothing.
                Want::Ask { ask, question: Question::Hint } => drop(self.remote.ask(ask).await),
                Want::Ask { ask, question } => {
                    if let Some(number) = self.remote.ask(ask).await {
                        self.screen.asked(question, number);
                    }
                }
                Want::Withdraw(number) => {
                    let command = self.remote.withdraw(number).await;
                    self.screen.taken_back(number, command);
                }
                Want::Bell => {
                    let mut out = stdout();
                    let _ = out.write_all(b"\x07").and_then(|()| out.flush());
                }
                Want::Suspend => {
                    if getsid(None).ok() == Some(getpid()) {
                        self.screen.cannot_suspend();
                    } else {
                        // It comes back when whoever suspended it wants.
                        let _ = self.suspend().await;
                    }
                }
                // A terminal that does not take it says so when it is drawn on.
                Want::Repaint => drop(self.repaint()),
                Want::Quit => self.quit = true,
            }
            self.dirty = true;
        }
    }

    async fn suspend(&mut self) -> Result<(), String> {
        self.tty.leave();
        kill_process(getpid(), Signal::STOP).map_err(|error| format!("cannot suspend: {error}"))?;
        // This thread may run on for a moment: what it drew then would be on the shell's screen, and not be drawn again.
        self.resumed.recv().await;
        self.come_back()
    }

    /// Whoever had the terminal meanwhile may have left it as it liked.
    fn come_back(&mut self) -> Result<(), String> {
        self.tty.leave();
        self.tty.enter().map_err(|error| format!("cannot use this terminal: {error}"))?;
        self.repaint()
    }

    /// What is on the terminal is not what was drawn last. (`Terminal::clear` would ask the terminal where the cursor is, and the thread that reads keys would take the answer.)
    fn repaint(&mut self) -> Result<(), String> {
        self.dirty = true;
        let failed = |error: io::Error| format!("cannot write on this terminal: {error}");
        let size = self.terminal.size().map_err(failed)?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size))).map_err(failed)
    }

    fn draw(&mut self) -> Result<(), String> {
        let screen = &mut self.screen;
        let drawn = self.terminal.draw(|frame| {
            let area = frame.area();
            screen.resized(area.width, area.height);
            if let Some(cursor) = screen.draw(frame.buffer_mut()) {
                frame.set_cursor_position(cursor);
            }
        });
        self.dirty = false;
        self.drawn_at = clock::now().wall;
        drawn.map(|_| ()).map_err(|error| format!("cannot write on this terminal: {error}"))
    }
}
