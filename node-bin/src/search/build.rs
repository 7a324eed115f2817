//! The indexing thread: takes rows as they are written, commits now and then, and builds the index anew when it has to.
//!
//! While it is built, parts of the rows come beside what is written meanwhile. A part is of some place of the log; a message that was written after that place is not put back by it
//! ([`Building::touched`]). So the order in which the two come makes no difference.

use super::index::{Entry, Failure, Index};
use super::{Begin, Shared, Work};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tertulia_driver::Handle;
use tertulia_protocol::chat::{Chat, message_place, message_text};
use tertulia_protocol::contract::{Query, SnapshotRows};
use tertulia_protocol::ids::{Index as Place, RoomId, Seq};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What is written is found after so long, if nothing else was written shortly before …
const SOON: Duration = Duration::from_millis(200);
/// … and at this rate under load: each commit makes files and waits for the disk.
const BETWEEN: Duration = Duration::from_secs(2);
/// Without messages, how often the place of the log is noted.
const IDLE: Duration = Duration::from_secs(30);
/// Before it is built anew once more.
const PAUSE: Duration = Duration::from_secs(10);
/// Bytes of a part of the rows.
const PART: u32 = 256 << 10;
/// Messages that were written while parts of one state were read. With more, the next part is of a newer state.
const TOUCHED: usize = 100_000;

/// A part of the rows that is wanted.
pub struct ReadPart {
    building: u64,
    at: Option<Place>,
    from: Bytes,
}

/// The part; `None`: the node is stopping, or the store failed.
pub struct Part {
    building: u64,
    rows: Option<SnapshotRows>,
}

/// Reads parts of the rows for the indexing thread.
pub struct Feeder {
    pub(super) wanted: mpsc::Receiver<ReadPart>,
    pub(super) work: SyncSender<Work>,
}

impl Feeder {
    /// Runs until the indexing thread has ended or the node stops.
    pub async fn run(self, handle: Handle) {
        let Feeder { mut wanted, work } = self;
        while let Some(ReadPart { building, at, from }) = wanted.recv().await {
            let rows = match handle.snapshot(at, from, PART).await {
                None => return,
                Some(Ok(rows)) => Some(rows),
                Some(Err(error)) => {
                    tracing::warn!(why = error.message, "the rows cannot be read for the index of words");
                    None
                }
            };
            let mut part = Work::Part(Part { building, rows });
            while let Err(TrySendError::Full(back)) = work.try_send(part) {
                part = back;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// An index that is being built.
struct Building {
    /// Tells its parts from those of an earlier one.
    nth: u64,
    /// Parts of an older state are no use.
    at_least: Place,
    /// The state that parts are of.
    at: Option<Place>,
    /// The first one's.
    first: Option<Place>,
    /// Messages that were written behind `at`, and where.
    touched: BTreeMap<(RoomId, Seq), Place>,
}

pub(super) struct Builder {
    begin: Begin,
    shared: Arc<Shared>,
    parts: mpsc::Sender<ReadPart>,
    index: Option<Index>,
    building: Option<Building>,
    builds: u64,
    /// All that was written through here is in the index or on its way there.
    through: Place,
    /// There is something to commit, since then …
    dirty: Option<Instant>,
    /// … or nothing but a newer place.
    moved: bool,
    committed: Instant,
    /// When it is built anew after a failure.
    retry: Option<Instant>,
}

/// The first key of a message, and its kind.
fn first_key() -> Bytes {
    match Chat::messages(RoomId(0), 0, Seq::MAX, 1, false) {
        Query::Range { from, .. } => from.slice(..1),
        _ => Bytes::new(),
    }
}

impl Builder {
    pub(super) fn new(begin: Begin, shared: Arc<Shared>, parts: mpsc::Sender<ReadPart>) -> Builder {
        let (through, committed) = (begin.applied, Instant::now());
        let (index, building, dirty, retry) = (None, None, None, None);
        Builder { begin, shared, parts, index, building, builds: 0, through, dirty, moved: false, committed, retry }
    }

    /// Until the other side is gone.
    pub(super) fn run(mut self, work: &Receiver<Work>) {
        // On Linux this is this thread's alone, and that of those that it starts: the chat goes first.
        let _ = rustix::process::nice(10);
        self.open();
        loop {
            let done = match work.recv_timeout(self.patience()) {
                Ok(Work::Stop) => break,
                Ok(work) => self.guarded(|builder| builder.take(work)),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let done = done.and_then(|()| self.guarded(Builder::commit_if_due));
            if let Err(why) = done {
                self.failed(&why);
            }
            if self.shared.stopping.load(Relaxed) {
                break;
            }
            self.look_after();
        }
        if self.dirty.is_some() || self.moved {
            let _ = self.guarded(Builder::commit);
        }
    }

    fn guarded(&mut self, act: impl FnOnce(&mut Builder) -> Result<(), Failure>) -> Result<(), String> {
        match catch_unwind(AssertUnwindSafe(|| act(self))) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("it panicked".into()),
        }
    }

    fn open(&mut self) {
        let (folder, of) = (self.begin.folder.clone(), self.begin.of.clone());
        let opened = catch_unwind(|| Index::open(&folder, &of)).unwrap_or_else(|_| Err("it cannot be read".into()));
        let why = match opened {
            Ok((index, kept)) if kept.whole && kept.through >= self.begin.applied => {
                self.through = kept.through;
                self.use_index(index);
                self.shared.indexed.0.store(true, Relaxed);
                return;
            }
            Ok((_, kept)) if !kept.whole => "it was not finished".into(),
            Ok((_, kept)) => format!("it ends at {} and the rows at {}", kept.through, self.begin.applied),
            Err(why) if folder.exists() => why,
            Err(_) => "there is none".into(),
        };
        tracing::info!(why, "the index of words is built from the rows");
        self.build(0);
    }

    fn use_index(&mut self, index: Index) {
        *self.shared.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.view());
        self.index = Some(index);
    }

    /// Begins anew with an empty index.
    fn build(&mut self, at_least: Place) {
        self.shared.indexed.0.store(false, Relaxed);
        self.shared.lost.store(false, Relaxed);
        self.shared.damaged.store(false, Relaxed);
        *self.shared.view.lock().unwrap_or_else(PoisonError::into_inner) = None;
        (self.index, self.building, self.retry) = (None, None, None);
        (self.dirty, self.moved) = (None, false);
        let (folder, of) = (&self.begin.folder, &self.begin.of);
        match catch_unwind(|| Index::create(folder, of)).unwrap_or_else(|_| Err("it cannot be made".into())) {
            Ok(index) => self.use_index(index),
            Err(why) => return self.failed(&why),
        }
        self.builds += 1;
        self.building = Some(Building { nth: self.builds, at_least, at: None, first: None, touched: BTreeMap::new() });
        self.want(first_key());
    }

    fn want(&mut self, from: Bytes) {
        let Some(building) = &self.building else { return };
        // One is wanted at a time; an answer that nobody waits for any more may still hold the place.
        if self.parts.try_send(ReadPart { building: building.nth, at: building.at, from }).is_err() {
            self.retry = Some(Instant::now() + SOON);
        }
    }

    fn failed(&mut self, why: &str) {
        tracing::warn!(why, "the index of words failed: it is built anew in a moment");
        self.shared.indexed.0.store(false, Relaxed);
        (self.building, self.dirty, self.moved) = (None, None, false);
        self.retry = Some(Instant::now() + PAUSE);
    }

    /// What others have noticed, and what was put off.
    fn look_after(&mut self) {
        let due = self.retry.is_some_and(|at| at <= Instant::now());
        let lost = self.shared.lost.load(Relaxed) || self.shared.damaged.load(Relaxed);
        if due || (lost && self.retry.is_none()) {
            if lost {
                tracing::info!("the index of words missed something: it is built from the rows");
            }
            self.build(self.building.as_ref().map_or(0, |building| building.at_least));
        }
    }

    fn patience(&self) -> Duration {
        let now = Instant::now();
        let commit = self.commit_at();
        let next = [commit, self.retry].into_iter().flatten().min();
        next.map_or(IDLE, |at| at.saturating_duration_since(now)).min(Duration::from_secs(1))
    }

    fn commit_at(&self) -> Option<Instant> {
        match self.dirty {
            Some(since) => Some((since + SOON).max(self.committed + BETWEEN)),
            None => self.moved.then(|| self.committed + IDLE),
        }
    }

    fn commit_if_due(&mut self) -> Result<(), Failure> {
        if self.commit_at().is_some_and(|at| at <= Instant::now()) { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let whole = self.building.is_none() && self.retry.is_none() && !self.shared.lost.load(Relaxed);
        if let Some(index) = &mut self.index {
            index.commit(self.through, whole)?;
            if whole {
                self.shared.indexed.0.store(true, Relaxed);
            }
        }
        (self.dirty, self.moved, self.committed) = (None, false, Instant::now());
        Ok(())
    }

    fn take(&mut self, work: Work) -> Result<(), Failure> {
        match work {
            Work::Wrote { through, rows, bytes } => {
                self.shared.queued.fetch_sub(bytes, Relaxed);
                self.wrote(through, &rows)
            }
            Work::Replaced { through } => {
                tracing::info!("the rows were replaced: the index of words is built from them");
                self.through = through;
                self.build(through);
                Ok(())
            }
            Work::Part(part) => self.part(part),
            Work::Stop => Ok(()),
        }
    }

    fn wrote(&mut self, through: Place, rows: &[(Bytes, Option<Bytes>)]) -> Result<(), Failure> {
        // Rows that come again after a start are put in again; the place does not go back for them.
        self.through = self.through.max(through);
        self.moved = true;
        for (key, value) in rows {
            let Some((room, seq)) = message_place(key) else { continue };
            if let Some(building) = &mut self.building {
                building.touched.insert((room, seq), through);
            }
            self.put(key, room, seq, value.as_ref())?;
        }
        Ok(())
    }

    fn put(&mut self, key: &Bytes, room: RoomId, seq: Seq, value: Option<&Bytes>) -> Result<(), Failure> {
        let Some(index) = &self.index else { return Ok(()) };
        self.dirty.get_or_insert_with(Instant::now);
        match value.and_then(|value| message_text(key, value)) {
            Some((_, _, _, at, text)) => index.put(&Entry { room, seq, at, text: &text }),
            None => {
                index.remove(room, seq);
                Ok(())
            }
        }
    }

    fn part(&mut self, part: Part) -> Result<(), Failure> {
        let Some(building) = self.building.as_mut().filter(|building| building.nth == part.building) else { return Ok(()) };
        let Some(SnapshotRows { applied, rows, next }) = part.rows else {
            self.retry = Some(Instant::now() + PAUSE);
            return Ok(());
        };
        let at = applied.position.index;
        if at < building.at_least {
            self.retry = Some(Instant::now() + SOON);
            return Ok(());
        }
        if building.at != Some(at) {
            building.touched.retain(|_, written| *written > at);
        }
        building.first.get_or_insert(at);
        building.at = Some(at);
        let kind = first_key();
        let mut beyond = false;
        for (key, value) in &rows {
            let Some((room, seq)) = message_place(key) else {
                beyond |= key[..] > kind[..];
                continue;
            };
            let newer = self
                .building
                .as_ref()
                .and_then(|building| building.touched.get(&(room, seq)))
                .is_some_and(|written| *written > at);
            if !newer {
                self.put(key, room, seq, Some(value))?;
            }
        }
        match next {
            Some(next) if !beyond => {
                if let Some(building) = self.building.as_mut().filter(|building| building.touched.len() > TOUCHED) {
                    building.at = None;
                }
                self.want(next);
                Ok(())
            }
            _ => self.built(),
        }
    }

    fn built(&mut self) -> Result<(), Failure> {
        let first = self.building.take().and_then(|building| building.first);
        self.through = self.through.max(first.unwrap_or(0));
        self.commit()?;
        tracing::info!(through = self.through, "the index of words is whole");
        Ok(())
    }
}
