//! The store as the runtime drives it: jobs in, completions out, in two lanes that do not wait for each other. The outbox lane is the log's neighbour: it has
//! a file of its own, and the log's thread writes it.
//!
//! Rules that every store here keeps:
//! - the log lane writes what waits as a group, syncs once, and only then reports the greatest batch of the group as stored; so does the outbox lane;
//! - a read sees every batch of its lane that was handed over before it;
//! - a failure is reported once. After it the lane writes nothing more, reports nothing as stored, and answers reads with the failure;
//! - dropping a store may lose what was not reported as stored, and nothing else.

mod inline;

pub use crate::folder::{FolderIdentity, MakeError, OpenError, Opened, Sizes, StoreOptions, make, open, sizes};
pub use inline::InlineStore;

use crate::disk::Disk;
use crate::kept::{KeptLane, OutboxFile};
use crate::log::{Log, LogError, MARK_AFTER};
use crate::rows::{DURABLE_AFTER, Rows, size_of};
use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use tertulia_protocol::contract::{Batch, Keep, Loaded, Query, Receive, RowBatch, StoreError};
use tertulia_protocol::ids::{BatchId, Index, LoadId};
use tertulia_protocol::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

/// What a store is asked to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Job {
    /// Write to the log; reported by [`Done::Stored`].
    Append { id: BatchId, batch: Batch },
    /// Write to the outbox lane; reported by [`Done::Kept`].
    Keep { id: u64, keep: Keep },
    /// Write rows that came of applying the log through `through`. Reported only if it fails.
    Apply { through: Index, rows: RowBatch },
    /// Read; reported by [`Done::Loaded`].
    Load { id: LoadId, query: Query },
    /// Let the log forget entries through here, as far as durable rows contain them. Reported only if it fails.
    Trim { through: Index },
    /// A step of receiving a peer's rows; [`Receive::Install`] is reported by [`Done::Installed`], others only if they fail.
    Receive(Receive),
}

/// What a store has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// All batches through this one are durable.
    Stored {
        up_to: BatchId,
    },
    /// No batch from this one on is durable for sure, nor will be.
    StoreFailed {
        batch: BatchId,
        error: StoreError,
    },
    /// All writes of the outbox lane through this one are durable.
    Kept {
        up_to: u64,
    },
    /// The outbox lane takes nothing more, and what was not reported as kept may be lost.
    KeepFailed {
        error: StoreError,
    },
    Loaded {
        id: LoadId,
        loaded: Result<Loaded, StoreError>,
    },
    /// Received rows are durable and in use.
    Installed,
    /// Rows take nothing more. The log is not affected.
    RowsFailed {
        error: StoreError,
    },
}

/// A store, driven by one task.
pub trait Store: Send + 'static {
    /// Hands over a job; never blocks for the disk of a real store.
    fn submit(&mut self, job: Job);
    /// The next completion. Dropping the future loses nothing. Pending for as long as there is nothing to report.
    fn done(&mut self) -> impl Future<Output = Done> + Send;
}

fn store_error(error: impl fmt::Display) -> StoreError {
    StoreError { message: error.to_string() }
}

/// The log and what waits for its next sync, and the outbox lane beside it.
struct LogLane<D: Disk> {
    log: Log<D>,
    kept: KeptLane<D>,
    /// The first and the last batch written since the last sync.
    waiting: Option<(BatchId, BatchId)>,
    last_stored: BatchId,
    failed: Option<StoreError>,
}

impl<D: Disk> LogLane<D> {
    fn new(log: Log<D>, kept: OutboxFile<D>) -> LogLane<D> {
        LogLane { log, kept: KeptLane::new(kept), waiting: None, last_stored: BatchId(0), failed: None }
    }

    fn append(&mut self, id: BatchId, batch: &Batch) -> Option<Done> {
        if self.failed.is_some() {
            return None;
        }
        let first = self.waiting.map_or(id, |(first, _)| first);
        if let Err(error) = self.log.append(batch) {
            return Some(self.fail(first, &error));
        }
        self.waiting = Some((first, id));
        None
    }

    fn sync(&mut self) -> Option<Done> {
        let (first, last) = self.waiting.filter(|_| self.failed.is_none())?;
        if let Err(error) = self.log.sync() {
            return Some(self.fail(first, &error));
        }
        self.waiting = None;
        self.last_stored = last;
        Some(Done::Stored { up_to: last })
    }

    fn needs_mark(&self) -> bool {
        self.failed.is_none() && self.waiting.is_none() && self.log.needs_mark()
    }

    /// Writes the mark of an idle log.
    fn mark(&mut self) -> Option<Done> {
        if !self.needs_mark() {
            return None;
        }
        let error = self.log.write_mark().err()?;
        Some(self.fail(self.last_stored, &error))
    }

    fn fail(&mut self, batch: BatchId, error: &LogError) -> Done {
        let error = store_error(error);
        self.failed = Some(error.clone());
        Done::StoreFailed { batch, error }
    }

    fn load(&self, id: LoadId, query: &Query) -> Done {
        let loaded = match (&self.failed, query) {
            (Some(error), _) => Err(error.clone()),
            (None, Query::Log { from, through, max_bytes }) => {
                self.log.read(*from, *through, u64::from(*max_bytes)).map(Loaded::Entries).map_err(store_error)
            }
            (None, _) => Err(store_error("rows were asked of the log: this is a bug, please report it")),
        };
        Done::Loaded { id, loaded }
    }

    /// Lets the log forget what the durable rows contain.
    fn trim(&mut self, through: Index) -> Option<Done> {
        if self.failed.is_some() {
            return None;
        }
        match self.log.trim(through) {
            Ok(()) => None,
            Err(error @ LogError::Rot { .. }) => {
                tracing::warn!(%error, "the log cannot be trimmed and stays as long as it is");
                None
            }
            Err(error) => Some(self.fail(self.last_stored, &error)),
        }
    }

    fn run(&mut self, job: &Job) -> Option<Done> {
        match job {
            Job::Append { id, batch } => self.append(*id, batch),
            Job::Keep { id, keep } => self.kept.write(*id, keep),
            Job::Load { id, query } => Some(self.load(*id, query)),
            Job::Trim { through } => self.trim(*through),
            Job::Apply { .. } | Job::Receive(_) => None,
        }
    }
}

/// The rows.
struct RowsLane {
    rows: Rows,
    failed: Option<StoreError>,
    /// When what was written is made durable.
    due: Option<Instant>,
}

/// What comes of a job of the rows.
enum Came {
    Of(Done),
    /// The log may be trimmed through here.
    Trim(Index),
}

impl RowsLane {
    fn new(rows: Rows) -> RowsLane {
        RowsLane { rows, failed: None, due: None }
    }

    fn apply(&mut self, group: &[(Index, &RowBatch)], durable_through: Index) -> Option<Done> {
        if self.failed.is_some() || group.is_empty() {
            return None;
        }
        let error = store_error(self.rows.apply_group(group, durable_through).err()?);
        self.failed = Some(error.clone());
        Some(Done::RowsFailed { error })
    }

    /// When [`RowsLane::settle`] is to be called.
    fn settle_at(&mut self, now: Instant) -> Option<Instant> {
        let waits = self.failed.is_none() && self.rows.is_ahead_of_disk();
        self.due = waits.then(|| self.due.unwrap_or(now + DURABLE_AFTER));
        self.due
    }

    /// Makes rows durable that have not been for long enough.
    fn settle(&mut self, now: Instant) -> Option<Done> {
        self.due.take_if(|due| *due <= now)?;
        let error = store_error(self.rows.make_durable().err()?);
        self.failed = Some(error.clone());
        Some(Done::RowsFailed { error })
    }

    fn run(&mut self, job: &Job, durable_through: Index) -> Option<Came> {
        if let (Some(error), Job::Load { id, .. }) = (&self.failed, job) {
            return Some(Came::Of(Done::Loaded { id: *id, loaded: Err(error.clone()) }));
        }
        if self.failed.is_some() {
            return None;
        }
        let done = match job {
            Job::Apply { through, rows } => self.rows.apply(*through, rows, durable_through).map(|()| None),
            Job::Trim { through } => self.rows.trimmable(*through).map(|through| Some(Came::Trim(through))),
            Job::Receive(step) => self.rows.receive(step).map(|installed| installed.then_some(Came::Of(Done::Installed))),
            Job::Load { id, query } => {
                let loaded = match query {
                    Query::Snapshot { .. } => self.rows.read_snapshot(query, Instant::now()).map(Loaded::Snapshot),
                    _ => self.rows.load(query),
                };
                return Some(Came::Of(Done::Loaded { id: *id, loaded: loaded.map_err(store_error) }));
            }
            Job::Append { .. } | Job::Keep { .. } => return None,
        };
        done.unwrap_or_else(|error| {
            let error = store_error(error);
            self.failed = Some(error.clone());
            Some(Came::Of(Done::RowsFailed { error }))
        })
    }
}

fn is_for_log(job: &Job) -> bool {
    matches!(job, Job::Append { .. } | Job::Keep { .. } | Job::Load { query: Query::Log { .. }, .. })
}

/// Jobs that the log takes before it syncs: bounds how long the first of them waits.
const GROUP: usize = 1024;
/// How long a batch of rows waits at most for others that are written with it …
const GATHER: Duration = Duration::from_micros(20_000);
/// … unless so many batches are gathered …
const GATHER_BATCHES: usize = 256;
/// … or so many bytes.
const GATHER_BYTES: u64 = 1 << 20;

/// The store of a real node: a thread for the log, a thread for the rows.
///
/// Its queues have no bound of their own: the protocol bounds what is under way ([`tertulia_protocol::contract::Limits`]).
///
/// Nothing waits for rows to be written, so they are gathered for a moment: a room's row and a session's are written once for many messages, and the
/// thread is woken once for them. Whoever reads is not kept waiting.
pub struct ThreadedStore {
    log: Option<Sender<Job>>,
    rows: Option<Sender<RowsJob>>,
    gathered: Gathered,
    done: UnboundedReceiver<Done>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

enum RowsJob {
    /// In order, as one.
    Write(Vec<(Index, RowBatch)>),
    Other(Job),
}

/// Row batches that are to be written as one.
#[derive(Default)]
struct Gathered {
    batches: Vec<(Index, RowBatch)>,
    bytes: u64,
    /// When they are written at the latest.
    due: Option<Instant>,
}

impl Gathered {
    /// True when no more should be gathered.
    fn push(&mut self, through: Index, rows: RowBatch) -> bool {
        self.bytes += size_of(&rows);
        self.batches.push((through, rows));
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
        self.bytes >= GATHER_BYTES || self.batches.len() >= GATHER_BATCHES
    }
}

/// What both threads hold.
#[derive(Clone)]
struct Shared {
    out: UnboundedSender<Done>,
    /// The log is durable through this index; written by the log's thread before it reports.
    durable: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Shared {
    fn send(&self, done: Option<Done>) {
        // Nobody listens any more only when the store is being dropped.
        let _ = done.map(|done| self.out.send(done));
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl ThreadedStore {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start<D: Disk>(opened: Opened<D>) -> io::Result<ThreadedStore> {
        let (out, done) = unbounded_channel();
        let durable = Arc::new(AtomicU64::new(opened.log.durable_through()));
        let shared = Shared { out, durable, stop: Arc::default() };
        let stop = shared.stop.clone();
        let (log, log_jobs) = channel();
        let (rows, rows_jobs) = channel();
        let mut store =
            ThreadedStore { log: Some(log), rows: Some(rows), gathered: Gathered::default(), done, stop, threads: Vec::new() };
        let lane = LogLane::new(opened.log, opened.kept);
        let for_log = shared.clone();
        store.spawn("tertulia-log", move || {
            let run = AssertUnwindSafe(|| log_thread(lane, &log_jobs, &for_log));
            if catch_unwind(run).is_err() {
                let error = store_error("the log's thread panicked: this is a bug, please report it with what was printed");
                for_log.send(Some(Done::StoreFailed { batch: BatchId(0), error }));
            }
        })?;
        let lane = RowsLane::new(opened.rows);
        let to_log = store.log.clone();
        store.spawn("tertulia-rows", move || {
            let run = AssertUnwindSafe(|| rows_thread(lane, &rows_jobs, to_log.as_ref(), &shared));
            if catch_unwind(run).is_err() {
                shared.send(Some(Done::RowsFailed { error: store_error(crate::rows::RowsError::Panicked) }));
            }
        })?;
        Ok(store)
    }

    fn write_gathered(&mut self) {
        let Gathered { batches, .. } = std::mem::take(&mut self.gathered);
        if !batches.is_empty() {
            // A lane that is gone has panicked and has said so.
            let _ = self.rows.as_ref().map(|rows| rows.send(RowsJob::Write(batches)));
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }
}

impl Store for ThreadedStore {
    fn submit(&mut self, job: Job) {
        match job {
            Job::Apply { through, rows } => {
                if self.gathered.push(through, rows) {
                    self.write_gathered();
                }
            }
            // A lane that is gone has panicked and has said so.
            job if is_for_log(&job) => drop(self.log.as_ref().map(|log| log.send(job))),
            // Whatever comes after the rows sees them.
            other => {
                self.write_gathered();
                let _ = self.rows.as_ref().map(|rows| rows.send(RowsJob::Other(other)));
            }
        }
    }

    async fn done(&mut self) -> Done {
        loop {
            let due = self.gathered.due;
            tokio::select! {
                biased;
                done = self.done.recv() => match done {
                    Some(done) => return done,
                    None => return pending().await,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.write_gathered(),
            }
        }
    }
}

impl Drop for ThreadedStore {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (self.log, self.rows) = (None, None);
        for thread in self.threads.drain(..) {
            // It cannot have panicked: it catches that itself.
            let _ = thread.join();
        }
    }
}

fn log_thread<D: Disk>(mut lane: LogLane<D>, jobs: &Receiver<Job>, shared: &Shared) {
    loop {
        let first = if lane.needs_mark() || lane.kept.needs_mark() {
            jobs.recv_timeout(MARK_AFTER)
        } else {
            jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        let first = match first {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => {
                shared.send(lane.mark());
                shared.send(lane.kept.mark());
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => {
                // A stop in good order leaves no batch without a mark.
                lane.mark();
                lane.kept.mark();
                return;
            }
        };
        for job in std::iter::once(first).chain(jobs.try_iter()).take(GROUP) {
            if shared.stopped() {
                return;
            }
            shared.send(lane.run(&job));
        }
        let done = lane.sync();
        shared.durable.store(lane.log.durable_through(), Ordering::Release);
        shared.send(done);
        shared.send(lane.kept.sync());
    }
}

fn rows_thread(mut lane: RowsLane, jobs: &Receiver<RowsJob>, log: Option<&Sender<Job>>, shared: &Shared) {
    loop {
        // Snapshots that peers no longer read are let go also when nothing else comes, and rows are made durable.
        let now = Instant::now();
        shared.send(lane.settle(now));
        let job = match lane.rows.unpin(now).into_iter().chain(lane.settle_at(now)).min() {
            None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => jobs.recv_timeout(at.duration_since(now)),
        };
        let job = match job {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if shared.stopped() {
            break;
        }
        let durable_through = shared.durable.load(Ordering::Acquire);
        let came = match job {
            RowsJob::Write(batches) => {
                let batches: Vec<_> = batches.iter().map(|(through, rows)| (*through, rows)).collect();
                lane.apply(&batches, durable_through).map(Came::Of)
            }
            RowsJob::Other(job) => lane.run(&job, durable_through),
        };
        match came {
            Some(Came::Of(done)) => shared.send(Some(done)),
            // A log that is gone has said so.
            Some(Came::Trim(through)) => drop(log.map(|log| log.send(Job::Trim { through }))),
            None => {}
        }
    }
    if lane.failed.is_none()
        && let Err(error) = lane.rows.make_durable()
    {
        tracing::warn!(%error, "the rows were not made durable at the end: they are replayed from the log at the next start");
    }
}
