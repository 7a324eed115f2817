//! Full-text search over what this node holds: an index of words beside the rows, which follows them and can always be built from them again.
//!
//! Rules that it keeps:
//! - the node's task never waits for it: rows go into a queue, and one that is full costs a rebuild, not time;
//! - the index says through which place of the log it holds everything. After a start it goes on from there if the rows that come again reach back so far, and is built
//!   anew otherwise: from the rows, in the background, while searches find what is there already ([`Indexed`] says that it is not all);
//! - whatever goes wrong with it is repaired by building it anew. It is never asked who may see what: the gateway looks at each message again.

mod build;
mod index;
mod words;

pub use build::Feeder;
use build::{Builder, ReadPart};
pub use index::folder;

use bytes::Bytes;
use index::View;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tertulia_driver::aside::{Report, Search};
use tertulia_protocol::chat::{Refusal, message_place};
use tertulia_protocol::contract::{APPLIED_KEY, AppliedRow, RowBatch};
use tertulia_protocol::ids::{Index as Place, LoadId};
use tertulia_protocol::wire::{Kind, open};

/// Batches that may wait to be indexed …
const QUEUE: usize = 4_096;
/// … and bytes in them.
const QUEUE_BYTES: usize = 32 << 20;
/// Searches that may wait.
const SEARCHES: usize = 64;
/// When somebody whose search found no place there may ask again, in milliseconds.
const BUSY_MS: u32 = 1_000;

/// Whether the index holds everything that was said, as far as this node has applied it, but for the last moments.
#[derive(Clone, Debug, Default)]
pub struct Indexed(Arc<AtomicBool>);

impl Indexed {
    pub fn whole(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// What the indexing thread is told.
enum Work {
    /// Rows of messages, and how far the log is applied with them.
    Wrote { through: Place, rows: Vec<(Bytes, Option<Bytes>)>, bytes: usize },
    /// A part of the rows that was asked for.
    Part(build::Part),
    /// Other rows take the place of all rows.
    Replaced { through: Place },
    /// The node has ended.
    Stop,
}

/// What all sides look at.
struct Shared {
    indexed: Indexed,
    /// Bytes in the queue.
    queued: AtomicUsize,
    /// A batch found no place in the queue.
    lost: AtomicBool,
    /// The node has ended, also if the queue had no place to say so.
    stopping: AtomicBool,
    /// A search met something that cannot be.
    damaged: AtomicBool,
    view: Mutex<Option<View>>,
}

/// The node's way to its index.
pub struct Searcher {
    work: SyncSender<Work>,
    searches: SyncSender<(LoadId, Search, Report)>,
    shared: Arc<Shared>,
    /// Ends when the last commit is made.
    ended: Option<Receiver<()>>,
}

/// What the index of a data folder needs to know.
pub struct Begin {
    pub folder: PathBuf,
    /// The data folder's identity.
    pub of: String,
    /// All rows through this place of the log are in the store: what comes again begins behind it.
    pub applied: Place,
}

impl Searcher {
    /// Starts the threads. The [`Feeder`] reads rows for them, once there is a node to read from.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(begin: Begin) -> std::io::Result<(Searcher, Feeder)> {
        let (work, to_do) = sync_channel(QUEUE);
        let (searches, asked) = sync_channel(SEARCHES);
        let (parts, wanted) = tokio::sync::mpsc::channel::<ReadPart>(1);
        let (end, ended) = sync_channel(1);
        let shared = Arc::new(Shared {
            indexed: Indexed::default(),
            queued: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            view: Mutex::new(None),
        });
        let builder = Builder::new(begin, Arc::clone(&shared), parts);
        std::thread::Builder::new().name("index".into()).spawn(move || {
            builder.run(&to_do);
            drop(end);
        })?;
        let looking = Arc::clone(&shared);
        std::thread::Builder::new().name("search".into()).spawn(move || look(&looking, &asked))?;
        let feeder = Feeder { wanted, work: work.clone() };
        Ok((Searcher { work, searches, shared, ended: Some(ended) }, feeder))
    }

    pub fn indexed(&self) -> Indexed {
        self.shared.indexed.clone()
    }

    /// Whoever holds it waits for the last commit with it, after the searcher is gone.
    pub fn ended(&mut self) -> Option<Ended> {
        self.ended.take().map(Ended)
    }

    pub fn search(&self, id: LoadId, search: Search, report: Report) {
        if let Err(TrySendError::Full((id, _, report)) | TrySendError::Disconnected((id, _, report))) =
            self.searches.try_send((id, search, report))
        {
            report.found(id, Err(Refusal::Busy { retry_after_ms: BUSY_MS }));
        }
    }

    /// Returns how many of them are rows of messages.
    pub fn wrote(&self, batch: &RowBatch) -> u64 {
        let Some(through) = applied(batch) else { return 0 };
        let rows: Vec<_> = batch.rows.iter().filter(|(key, _)| message_place(key).is_some()).cloned().collect();
        let bytes = rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
        let count = rows.len() as u64;
        self.tell(Work::Wrote { through, rows, bytes }, bytes);
        count
    }

    pub fn replaced(&self, through: Place) {
        self.tell(Work::Replaced { through }, 0);
    }

    fn tell(&self, work: Work, bytes: usize) {
        let queued = self.shared.queued.fetch_add(bytes, Relaxed) + bytes;
        if queued > QUEUE_BYTES || self.work.try_send(work).is_err() {
            self.shared.queued.fetch_sub(bytes, Relaxed);
            self.shared.indexed.0.store(false, Relaxed);
            self.shared.lost.store(true, Relaxed);
        }
    }
}

impl Drop for Searcher {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Relaxed);
        // If there is no place for it, the thread sees the flag.
        let _ = self.work.try_send(Work::Stop);
    }
}

/// The end of the indexing thread.
pub struct Ended(Receiver<()>);

impl Ended {
    /// Waits for it, so long at most.
    pub fn wait(self, limit: Duration) {
        let _ = self.0.recv_timeout(limit);
    }
}

/// How far the log is applied with a batch.
fn applied(batch: &RowBatch) -> Option<Place> {
    let (_, value) = batch.rows.iter().rev().find(|(key, _)| key == APPLIED_KEY)?;
    open::<AppliedRow>(Kind::Applied, value.as_ref()?).ok().map(|row| row.position.index)
}

/// The searching thread: one at a time, so that searches take one processor at most.
fn look(shared: &Shared, asked: &Receiver<(LoadId, Search, Report)>) {
    while let Ok((id, search, report)) = asked.recv() {
        let view = shared.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(view) = view else {
            report.found(id, Ok(Vec::new()));
            continue;
        };
        // Whatever stands in the folder, a search may not end the thread.
        match catch_unwind(AssertUnwindSafe(|| view.find(&search))) {
            Ok(Ok(found)) => report.found(id, Ok(found)),
            failed => {
                let why = failed.map_or_else(
                    |_| "it panicked".into(),
                    |result| result.err().map_or(String::new(), |error| error.to_string()),
                );
                tracing::warn!(why, "a search failed: the index of words is built anew");
                shared.indexed.0.store(false, Relaxed);
                shared.damaged.store(true, Relaxed);
                report.found(id, Ok(Vec::new()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
