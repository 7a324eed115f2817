//! `node tail`: the messages of rooms, line by line, as they come.
//!
//! - Lines come in the order of each room, once, whatever happens to the servers. A line is written before the cursor file says so: whoever is killed between is told it once more.
//! - Exit statuses: 0 ended on request, by `--no-follow`, or because nobody reads any more; 1 it could not begin or go on; 2 wrong arguments; 3 refused; 4 no server was reached in time.

use super::lines::told;
use super::remote::Remote;
use super::waiting::tentative;
use super::{Failed, advice, by_file, enter, harmless, interrupted, line};
use crate::cli::Tail;
use crate::http::view;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, rename};
use std::io::{self, BufWriter, ErrorKind, Stdout, Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tertulia_driver::ClientEvent;
use tertulia_protocol::chat::{Refusal, RoomRef};
use tertulia_protocol::gateway::{Answer, Ask, Event, EventKind, From, TentativePost};
use tertulia_protocol::ids::{Cursor, MessageId, RoomId};
use tokio::time::{Instant, sleep, sleep_until};

/// How often it is looked whether somebody still reads.
const LOOK: Duration = Duration::from_secs(1);
/// Without `--follow` the end of what there is is known by its cursor; where a room's rules hide that event, by so much silence.
const SILENCE: Duration = Duration::from_secs(3);
/// For how long a server is looked for where nothing is followed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why it ends where nothing went wrong.
struct Gone;

pub async fn tail(args: &Tail) -> Result<(), Failed> {
    let kept = args.resume.as_deref().map(Cursors::read).transpose()?;
    let mut remote = Remote::signing_in(&args.name, by_file(args.password_file.as_deref())?, &args.servers.urls);
    let mut tailing = Tailing {
        args,
        out: BufWriter::new(stdout()),
        names: BTreeMap::new(),
        until: BTreeMap::new(),
        shown: BTreeSet::new(),
        kept,
        check: Check::default(),
    };
    let ended = tokio::select! {
        ended = tailing.run(&mut remote) => ended,
        _ = interrupted() => Ok(()),
        () = nobody_reads() => Ok(()),
    };
    remote.log_out().await;
    remote.end().await;
    ended
}

struct Tailing<'a> {
    args: &'a Tail,
    out: BufWriter<Stdout>,
    names: BTreeMap<RoomId, String>,
    /// Rooms whose end was not reached, with the event that it is, where they are not followed.
    until: BTreeMap<RoomId, Cursor>,
    /// Tentative messages: each is printed once as it waits, and once when it has its place.
    shown: BTreeSet<MessageId>,
    kept: Option<Cursors>,
    check: Check,
}

/// Whether the rooms still have the events after which this goes on: a cluster that was restored from an older backup does not, and would be silent until it has.
///
/// A server that is merely behind is no reason to end: what counts is a state of which a leader says that it is the newest, and then the same server's view of the room.
#[derive(Default)]
struct Check {
    /// Rooms that were not looked at yet, and where in them this begins.
    rooms: BTreeMap<RoomId, Cursor>,
    /// The question under way, and whether the state was confirmed before it.
    asked: Option<(u64, bool)>,
    /// When to ask again, after an answer that no leader has confirmed.
    again_at: Option<Instant>,
}

impl Check {
    /// Asks what is to be asked next.
    async fn ask(&mut self, remote: &Remote) {
        if self.asked.is_some() || self.again_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let Some(room) = self.rooms.keys().next() else { return };
        let ask = Ask::History { room: RoomRef::Id(*room), after: None, before: None, limit: 1, at_least: None };
        self.asked = remote.ask(ask).await.map(|number| (number, false));
        self.again_at = None;
    }

    /// An answer has come, or a connection has gone. The room that lacks events, with the last one that it has.
    async fn happened(&mut self, event: &ClientEvent, remote: &Remote) -> Option<(RoomId, Cursor)> {
        let (asked, confirmed) = self.asked?;
        let (room, begin) = self.rooms.first_key_value().map(|(room, cursor)| (*room, *cursor))?;
        match event {
            // What the next server says does not belong to what this one has said.
            ClientEvent::Disconnected { .. } => self.asked = None,
            ClientEvent::Answered { ask, result } if *ask == asked => match result {
                Ok(Answer::History { current: true, .. }) => {
                    self.asked = remote.ask(Ask::Room { room: RoomRef::Id(room) }).await.map(|number| (number, true));
                }
                Ok(Answer::Room(view)) if confirmed => {
                    self.asked = None;
                    self.rooms.remove(&room);
                    return (view.cursor < begin).then_some((room, view.cursor));
                }
                _ => (self.asked, self.again_at) = (None, Some(Instant::now() + LOOK)),
            },
            _ => {}
        }
        None
    }
}

impl Tailing<'_> {
    async fn run(&mut self, remote: &mut Remote) -> Result<(), Failed> {
        let patience = self.args.patience.or(self.args.no_follow.then_some(PATIENCE));
        // Followed when all are known: what is waited for here is not what they say.
        let mut all = Vec::new();
        for name in &self.args.rooms {
            let room = enter(remote, name, false, patience).await?;
            self.names.insert(room, name.clone());
            let from = self.begin(room);
            if let From::After(cursor) = from {
                self.check.rooms.insert(room, cursor);
            }
            if self.args.no_follow {
                let end = end_of(remote, room).await?;
                let is_empty =
                    matches!(from, From::Last(0)) || matches!(from, From::After(cursor) if cursor >= end.1) || end.0 == 0;
                self.until.extend((!is_empty).then_some((room, end.1)));
            }
            all.push((room, from));
        }
        for (room, from) in all {
            remote.follow(RoomRef::Id(room), from).await;
        }
        remote.learn_servers().await;
        let mut silent_at = Instant::now() + SILENCE;
        while !self.args.no_follow || !self.until.is_empty() || !self.check.rooms.is_empty() {
            self.check.ask(remote).await;
            let again_at = self.check.again_at;
            let event = tokio::select! {
                biased;
                event = remote.next() => event?,
                // All that came was written: now it may be said so.
                () = std::future::ready(()), if self.is_behind() => {
                    match self.settle() {
                        Ok(()) => continue,
                        Err(error) => return ended(error),
                    }
                }
                () = sleep_until(silent_at), if self.args.no_follow => break,
                () = sleep_until(again_at.unwrap_or(silent_at)), if again_at.is_some() => continue,
            };
            if let Some((room, last)) = self.check.happened(&event, remote).await {
                return Err(self.ahead(room, last).into());
            }
            // Without a leader it is asked again and again, and answered: that is silence, too.
            if !matches!(event, ClientEvent::Answered { .. }) {
                silent_at = Instant::now() + SILENCE;
            }
            if let Err(error) = self.happened(event)? {
                return ended(error);
            }
        }
        self.settle().or_else(ended)
    }

    /// What to say of a room that has fewer events than were read of it.
    fn ahead(&self, room: RoomId, last: Cursor) -> String {
        let name = self.names.get(&room).map_or_else(|| room.0.to_string(), |name| harmless(name));
        let kept = self.kept.as_ref().filter(|kept| kept.rooms.contains_key(&room));
        let (begin, instead) = match kept {
            Some(kept) => {
                let path = kept.path.display();
                (
                    format!("{path} says that {name} was read through event {}", kept.rooms[&room]),
                    format!("move {path} away, to begin with the last messages (-n)"),
                )
            }
            None => (format!("{name} is to be read after event {}", self.args.from.unwrap_or(0)), "begin earlier".into()),
        };
        format!(
            "{begin}, and the room has {last}: this is another cluster, or one that was restored from an older backup. \
             Messages would be left out here: {instead}"
        )
    }

    fn begin(&self, room: RoomId) -> From {
        let kept = self.kept.as_ref().and_then(|kept| kept.rooms.get(&room)).copied();
        kept.or(self.args.from).map_or(From::Last(self.args.last), From::After)
    }

    /// The outer error ends with a status; the inner one says that what is written reaches nobody.
    fn happened(&mut self, event: ClientEvent) -> Result<io::Result<()>, Failed> {
        Ok(match event {
            ClientEvent::Deliver(event) if event.cursor > 0 => {
                let written = self.delivered(&event);
                if let Some(kept) = &mut self.kept {
                    kept.moved(event.room, event.cursor);
                }
                if self.until.get(&event.room).is_some_and(|end| event.cursor >= *end) {
                    self.until.remove(&event.room);
                }
                written
            }
            ClientEvent::Tail { room, posts } if self.args.tentative => {
                let fresh: Vec<TentativePost> = posts.into_iter().filter(|post| self.shown.insert(post.id)).collect();
                fresh.iter().try_for_each(|post| self.waits(room, post))
            }
            ClientEvent::Withdrawn { room, post, refusal } if self.args.tentative => self.withdrawn(room, &post, &refusal),
            ClientEvent::Rejected(refusal) => return Err(Failed::refused(advice(&refusal, &self.args.name))),
            ClientEvent::Unfollowed { refusal, .. } => return Err(Failed::refused(refusal.to_string())),
            _ => Ok(()),
        })
    }

    fn delivered(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::Posted(post) => {
                self.shown.remove(&post.id);
                match self.args.json {
                    true => {
                        let mut fields = object(serde_json::json!(view::message(post)));
                        fields.insert("type".into(), json!("message"));
                        fields.insert("cursor".into(), json!(event.cursor));
                        self.write_json(event.room, fields)
                    }
                    false => self.write(event.room, &line(post)),
                }
            }
            EventKind::Skipped { from } => {
                if !self.args.json {
                    eprintln!("events {from} to {} of room {} are no longer kept", event.cursor, event.room.0);
                    return Ok(());
                }
                self.write_json(event.room, object(view::event(event)))
            }
            EventKind::Changed(_) if !self.args.changes => Ok(()),
            _ if self.args.json => self.write_json(event.room, object(view::event(event))),
            _ => told(event).map_or(Ok(()), |line| self.write(event.room, &line)),
        }
    }

    /// A message without a place: no `seq` and no `at`.
    fn waits(&mut self, room: RoomId, post: &TentativePost) -> io::Result<()> {
        if !self.args.json {
            return self.write(room, &tentative(post));
        }
        let mut fields = object(serde_json::json!(view::tentative(post)));
        fields.insert("type".into(), json!("tentative"));
        fields.insert("state".into(), json!("tentative"));
        self.write_json(room, fields)
    }

    fn withdrawn(&mut self, room: RoomId, post: &TentativePost, refusal: &Refusal) -> io::Result<()> {
        if !self.args.json {
            let line = format!("~ not posted: {refusal} ({}: {})", harmless(&post.author_name), harmless(&post.text));
            return self.write(room, &line);
        }
        let what = json!({"type": "withdrawn", "id": post.id.to_string(), "state": "refused", "why": refusal.to_string()});
        self.write_json(room, object(what))
    }

    fn write_json(&mut self, room: RoomId, mut fields: Map<String, Value>) -> io::Result<()> {
        fields.insert("room".into(), json!(room));
        if let Some(name) = self.names.get(&room) {
            fields.insert("room_name".into(), json!(name));
        }
        writeln!(self.out, "{}", Value::Object(fields))
    }

    fn write(&mut self, room: RoomId, line: &str) -> io::Result<()> {
        match self.names.get(&room).filter(|_| self.names.len() > 1) {
            Some(name) => writeln!(self.out, "{}  {line}", harmless(name)),
            None => writeln!(self.out, "{line}"),
        }
    }

    /// Whether something was written that the reader does not have, or that the file does not say.
    fn is_behind(&self) -> bool {
        !self.out.buffer().is_empty() || self.kept.as_ref().is_some_and(|kept| kept.is_dirty)
    }

    /// The lines first, then the file.
    fn settle(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.kept.as_mut().map_or(Ok(()), Cursors::write)
    }
}

/// Nobody reads any more: that is a quiet end.
fn ended(error: io::Error) -> Result<(), Failed> {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(format!("cannot go on: {error}").into()),
    }
}

/// The newest message and the newest event of a room.
async fn end_of(remote: &mut Remote, room: RoomId) -> Result<(u64, Cursor), Failed> {
    let asked = remote.ask(Ask::Room { room: RoomRef::Id(room) }).await;
    loop {
        match remote.next().await? {
            ClientEvent::Answered { ask, result: Ok(Answer::Room(view)) } if Some(ask) == asked => {
                return Ok((view.last, view.cursor));
            }
            ClientEvent::Answered { ask, result: Err(refusal) } if Some(ask) == asked => {
                return Err(Failed::refused(refusal.to_string()));
            }
            ClientEvent::Rejected(refusal) => return Err(Failed::refused(advice(&refusal, &remote.name))),
            _ => {}
        }
    }
}

/// Ends when whoever read the output is gone, also while there is nothing to write.
async fn nobody_reads() {
    loop {
        sleep(LOOK).await;
        if is_closed().is_err() {
            return;
        }
    }
}

fn is_closed() -> Result<(), Gone> {
    let out = stdout();
    let mut fds = [PollFd::new(&out, PollFlags::empty())];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => Err(Gone),
        _ => Ok(()),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Where each room's lines have come to, in a file: `{"rooms": {"1": 17}}`.
struct Cursors {
    path: PathBuf,
    rooms: BTreeMap<RoomId, Cursor>,
    is_dirty: bool,
}

impl Cursors {
    /// A file that is not there yet is an empty one.
    fn read(path: &Path) -> Result<Cursors, String> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Cursors::of(path, BTreeMap::new())),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let rooms = parse(&text).ok_or_else(|| {
            format!(
                "{} does not hold cursors, {{\"rooms\": {{\"1\": 17}}}}: name another file, or remove this one",
                path.display()
            )
        })?;
        Ok(Cursors::of(path, rooms))
    }

    fn of(path: &Path, rooms: BTreeMap<RoomId, Cursor>) -> Cursors {
        Cursors { path: path.into(), rooms, is_dirty: false }
    }

    fn moved(&mut self, room: RoomId, cursor: Cursor) {
        self.rooms.insert(room, cursor);
        self.is_dirty = true;
    }

    /// The old file or the new one is there at any moment.
    fn write(&mut self) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        let rooms: BTreeMap<String, Cursor> = self.rooms.iter().map(|(room, cursor)| (room.0.to_string(), *cursor)).collect();
        let mut new = self.path.as_os_str().to_owned();
        new.push(".new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", json!({"rooms": rooms}))?;
        file.sync_all()?;
        rename(&new, &self.path)?;
        self.is_dirty = false;
        Ok(())
    }
}

fn parse(text: &str) -> Option<BTreeMap<RoomId, Cursor>> {
    let file: Value = serde_json::from_str(text).ok()?;
    let rooms = file.get("rooms")?.as_object()?;
    rooms.iter().map(|(room, cursor)| Some((RoomId(room.parse().ok()?), cursor.as_u64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_file_is_read_as_it_was_written_and_a_wrong_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursors");
        let mut cursors = Cursors::read(&path).unwrap();
        cursors.write().unwrap();
        assert!(!path.exists(), "nothing was read yet");
        cursors.moved(RoomId(7), 41);
        cursors.moved(RoomId(7), 42);
        cursors.write().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"rooms\":{\"7\":42}}\n");
        assert_eq!(Cursors::read(&path).unwrap().rooms, BTreeMap::from([(RoomId(7), 42)]));
        for wrong in ["", "[]", "{\"rooms\": {\"x\": 1}}", "{\"rooms\": {\"1\": -1}}"] {
            std::fs::write(&path, wrong).unwrap();
            assert!(Cursors::read(&path).is_err(), "{wrong}");
        }
    }
}
