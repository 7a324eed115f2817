//! The log's other end: what is no longer needed leaves it, and a damaged one is declared repaired.
//!
//! Rule: a state is written when all before it is durable, and becomes durable before anything that follows from it is done to the files.

use super::record::{Body, RecordKind};
use super::segment::delete_below;
use super::{Log, LogError};
use crate::disk::Disk;
use tertulia_protocol::contract::Position;
use tertulia_protocol::ids::Index;
use tertulia_protocol::raft::Entry;

impl<D: Disk> Log<D> {
    /// Deletes the segments in which nothing is needed any more if no entry through `through` is. The log then begins at or below `through`, at
    /// the last entry that has gone with its segment; often that is where it began already. What was appended becomes durable.
    ///
    /// The caller answers for it that durable rows contain the entries through `through`.
    ///
    /// # Errors
    /// [`LogError::Rot`] when the entry cannot be read that the log would begin after; nothing has changed then, and the log remains usable.
    /// Otherwise what the disk says; the log takes nothing more then.
    pub fn trim(&mut self, through: Index) -> Result<(), LogError> {
        self.check_usable()?;
        let through = through.min(self.durable);
        if through < self.start.index {
            return Ok(());
        }
        // An entry stands behind the one before it, whatever was replaced in between: so the places ascend.
        let needed = self.places.get((through - self.start.index) as usize).map_or(self.segment, |place| place.segment);
        if needed <= self.first {
            return Ok(());
        }
        let gone = self.places.partition_point(|place| place.segment < needed);
        let last_gone = self.start.index + gone as Index;
        let start = match gone {
            0 => self.start,
            _ => self.read(last_gone, last_gone, 0)?.first().map_or(self.start, Entry::position),
        };
        let trimmed = self.begin_later(start, gone, needed);
        self.note_failure(trimmed)
    }

    fn begin_later(&mut self, start: Position, gone: usize, first: u64) -> Result<(), LogError> {
        self.sync()?;
        self.start = start;
        self.first = first;
        self.places.drain(..gone);
        self.write_state()?;
        delete_below(&self.disk, first)
    }

    /// Drops all entries and begins the log after `position`: it is then in a new segment, durably.
    pub(super) fn reset(&mut self, position: Position) -> Result<(), LogError> {
        self.start = position;
        self.places.clear();
        self.durable = position.index;
        self.roll(0, RecordKind::Mark, true)?;
        // Before the old segments go, the slots' mark must say that the new one was there.
        self.votes.sync()?;
        delete_below(&self.disk, self.first)
    }

    /// A damaged log holds again everything that it may have acknowledged: this is durable when it returns, and so is all that was appended.
    ///
    /// # Errors
    /// What the disk says; the log takes nothing more then.
    pub fn repaired(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        if !self.damaged {
            return Ok(());
        }
        self.sync()?;
        self.damaged = false;
        tracing::info!("the log is whole again: what was lost has come back from the others");
        let written = self.write_state().and_then(|()| self.write_slots()).and_then(|()| self.votes.sync());
        self.note_failure(written)
    }

    /// Writes the state, durably. All before it is durable.
    fn write_state(&mut self) -> Result<(), LogError> {
        self.put(RecordKind::State, &Body::State(self.state()))?;
        self.flush()?;
        self.sync()
    }
}
