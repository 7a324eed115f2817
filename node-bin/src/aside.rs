//! What the node has done beside its own task: keys derived from passwords on threads of their own, and searches in its index of words.

use crate::search::Searcher;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tertulia_driver::aside::{Aside, Report, Search};
use tertulia_protocol::chat::password::{Password, Recipe};
use tertulia_protocol::contract::RowBatch;
use tertulia_protocol::ids::{Index, LoadId};

/// Passwords that are derived at once: each takes its memory, and a processor for tens of milliseconds. How many wait is the gateway's to bound.
const AT_ONCE: usize = 2;

struct Job {
    id: u64,
    password: Password,
    recipe: Recipe,
    report: Report,
}

/// See [`Aside`].
pub struct Beside {
    derive: Sender<Job>,
    searcher: Searcher,
    /// Rows of messages that were written.
    messages: Arc<AtomicU64>,
}

impl Beside {
    /// # Errors
    /// No thread can be started.
    pub fn start(searcher: Searcher, messages: Arc<AtomicU64>) -> std::io::Result<Beside> {
        let (derive, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..AT_ONCE {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name("password".into()).spawn(move || work(&jobs))?;
        }
        Ok(Beside { derive, searcher, messages })
    }
}

/// Until the node has ended.
fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // Whoever waits for a job holds the lock; whoever has one does not.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { id, password, recipe, report }) = job else { return };
        report.derived(id, recipe.derive(&password));
    }
}

impl Aside for Beside {
    fn derive(&mut self, id: u64, password: Password, recipe: Recipe, report: Report) {
        // The threads end after this side.
        let _ = self.derive.send(Job { id, password, recipe, report });
    }

    fn search(&mut self, id: LoadId, search: Search, report: Report) {
        self.searcher.search(id, search, report);
    }

    fn wrote(&mut self, rows: &RowBatch) {
        self.messages.fetch_add(self.searcher.wrote(rows), Relaxed);
    }

    fn replaced(&mut self, through: Index) {
        self.searcher.replaced(through);
    }
}
