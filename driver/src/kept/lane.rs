//! The outbox lane as the store drives it: what waits is synced as one group.

use super::{KeptError, OutboxFile};
use crate::disk::Disk;
use crate::store::Done;
use tertulia_protocol::contract::{Keep, StoreError};

/// The outbox file and what waits for its next sync.
pub(crate) struct KeptLane<D: Disk> {
    file: OutboxFile<D>,
    /// The last write since the last sync.
    waiting: Option<u64>,
    failed: bool,
}

impl<D: Disk> KeptLane<D> {
    pub fn new(file: OutboxFile<D>) -> KeptLane<D> {
        KeptLane { file, waiting: None, failed: false }
    }

    pub fn write(&mut self, id: u64, keep: &Keep) -> Option<Done> {
        if self.failed {
            return None;
        }
        if let Err(error) = self.file.write(keep) {
            return Some(self.fail(&error));
        }
        self.waiting = Some(id);
        None
    }

    /// Whether a sync has something to report.
    pub fn waits(&self) -> bool {
        self.waiting.is_some() && !self.failed
    }

    pub fn sync(&mut self) -> Option<Done> {
        let up_to = self.waiting.filter(|_| !self.failed)?;
        if let Err(error) = self.file.sync() {
            return Some(self.fail(&error));
        }
        self.waiting = None;
        Some(Done::Kept { up_to })
    }

    pub fn needs_mark(&self) -> bool {
        !self.failed && self.waiting.is_none() && self.file.needs_mark()
    }

    /// Writes the mark of an idle file.
    pub fn mark(&mut self) -> Option<Done> {
        if !self.needs_mark() {
            return None;
        }
        let error = self.file.write_mark().err()?;
        Some(self.fail(&error))
    }

    fn fail(&mut self, error: &KeptError) -> Done {
        self.failed = true;
        Done::KeepFailed { error: StoreError { message: error.to_string() } }
    }
}
