//! How this node itself is: its disk, its connections, what it has written. Public, like the view of the cluster that it goes with; measured when somebody asks.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tertulia_driver::Metrics;
use tertulia_driver::faults::Faults;
use tertulia_driver::store::{Sizes, sizes};
use tertulia_driver::watched::Syncs;
use tokio::time::Instant;

/// Syncs of so long are told of.
const SYNCS: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a disk holds, and has room for.
#[derive(Clone, Copy, Debug, Default)]
struct Disk {
    files: Sizes,
    /// For this process, and in all. `None`: the system does not say.
    free: Option<(u64, u64)>,
}

/// Where to look. Cheap to clone.
#[derive(Clone)]
pub struct Vitals {
    folder: Arc<PathBuf>,
    started: Instant,
    syncs: Arc<Syncs>,
    faults: Option<Arc<Faults>>,
    control: Option<Arc<str>>,
    messages: Arc<AtomicU64>,
    disk: Arc<Mutex<Option<(Instant, Disk)>>>,
}

impl Vitals {
    /// `folder`: the store's.
    pub fn new(folder: PathBuf, syncs: Arc<Syncs>, faults: Option<Arc<Faults>>) -> Vitals {
        let folder = Arc::new(folder);
        Vitals { folder, started: Instant::now(), syncs, faults, control: None, messages: Arc::default(), disk: Arc::default() }
    }

    /// Where the demo that has started this node is controlled.
    #[must_use]
    pub fn with_control(self, control: Option<&str>) -> Vitals {
        Vitals { control: control.map(Into::into), ..self }
    }

    /// Rows of messages that were written since the start are counted here.
    pub fn messages(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.messages)
    }

    fn disk(&self) -> Disk {
        let mut disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
        match *disk {
            Some((at, seen)) if at.elapsed() < LOOK => seen,
            _ => {
                let free = rustix::fs::statvfs(&*self.folder).ok();
                let free = free.map(|found| (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize));
                let seen = Disk { files: sizes(&self.folder).unwrap_or_default(), free };
                *disk = Some((Instant::now(), seen));
                seen
            }
        }
    }

    /// - `uptime_s`; `disk`: bytes of `log` (its segments are made whole), `rows` and `outbox`, `free` and `total` of the file system (or null).
    /// - `sync`: of the last ten seconds, `count`, `median_us`, `longest_us`; null if there were none.
    /// - `clients`: connections that the node knows; `connections`: open ones on the clients' port; `links` to peers; `watchers` of the stream.
    /// - `messages`: rows of messages written since the start, of new ones and of changes.
    /// - `faults`, only in a demo: peers that it is kept from (`cut`), and `sync_delay_ms`; and `control`, where its buttons go.
    pub fn json(&self, driver: Option<&Metrics>, connections: i64, watchers: usize) -> Value {
        let disk = self.disk();
        let sync = self.syncs.within(SYNCS).map(|seen| {
            json!({"count": seen.count, "median_us": seen.median.as_micros() as u64, "longest_us": seen.longest.as_micros() as u64})
        });
        let mut vitals = json!({
            "uptime_s": self.started.elapsed().as_secs(),
            "disk": {
                "log": disk.files.log,
                "rows": disk.files.rows,
                "outbox": disk.files.outbox,
                "free": disk.free.map(|(free, _)| free),
                "total": disk.free.map(|(_, total)| total),
            },
            "sync": sync,
            "clients": driver.map_or(0, Metrics::connections),
            "connections": connections,
            "links": driver.map_or(0, Metrics::links),
            "watchers": watchers,
            "messages": self.messages.load(Relaxed),
        });
        if let Some(faults) = &self.faults {
            vitals["faults"] = json!({"cut": faults.cut(), "sync_delay_ms": faults.sync_delay().as_millis() as u64});
        }
        if let Some(control) = &self.control {
            vitals["control"] = control.as_ref().into();
        }
        vitals
    }
}
