//! What is on disk: records in the order of the entries, so that a prefix of them depends on nothing that is missing.
//!
//! - Entries are written while no leader answers, those of others as well; what this node held for a leader before is written when that one is gone.
//! - When nothing is open any more, all records go at once; when most of them are of settled entries, what is left is written anew.
//! - A start takes what it finds. Entries behind a hole (their records rotted) go into the new outbox of this start: their identity is the same, and what they depended on
//!   lost; they stand behind everything that was found.

use super::entry::Record;
use super::*;
use crate::wire::EnvelopeError;

/// Records that may be of settled entries before what is left is written anew, in bytes beside as many as are needed.
pub(super) const SLACK: u64 = 1 << 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    made: u64,
    /// Under way, with what becomes durable by each.
    writing: VecDeque<(u64, Vec<(OutboxId, u64)>)>,
    /// Bytes of records on disk or on their way there.
    pub(super) bytes: u64,
    /// Something is to be written.
    pub(super) owes: bool,
}

impl Outbox {
    /// Takes the records of earlier starts. `damaged`: some are missing.
    ///
    /// # Errors
    /// A record that this version cannot read.
    pub(crate) fn restore(&mut self, records: &[Bytes], damaged: bool) -> Result<(), EnvelopeError> {
        let mut behind_holes = Vec::new();
        for record in records {
            self.lane.bytes += record.len() as u64;
            match Record::open(record)? {
                Record::Settled { outbox, through, by } => self.learn_settled(outbox, through, by),
                Record::Entry(entry) => {
                    let held = self.known.get(&entry.outbox).map(|known| known.held);
                    if held.is_none() && entry.n > 1 {
                        // Its predecessors were settled when it was written down; the record that said so is one of the lost.
                        self.learn_settled(entry.outbox, entry.n - 1, 0);
                    }
                    let next = held.is_none_or(|held| entry.n == held + 1);
                    // Of what its writer had seen, only what was open is on this disk: the rest was settled by then.
                    if next && (!damaged || self.has_seen(&entry)) { self.hold(entry) } else { behind_holes.push(entry) }
                }
            }
        }
        if damaged {
            // Something is there to be cleared, even if nothing of it could be read: until then every start is told of the damage.
            self.lane.bytes += 1;
            self.facts.push(Fact::OutboxDamaged);
        }
        let mut restored: Vec<Order> = self.open.iter().copied().collect();
        restored.sort_unstable();
        for known in self.known.values_mut() {
            (known.written, known.durable, known.recorded) = (known.held, known.held, known.held);
        }
        for (_, outbox, n) in restored {
            self.became_durable(outbox, n);
        }
        for entry in behind_holes {
            let n = self.known.get(&self.own).map_or(0, |known| known.held) + 1;
            if !self.holds(&entry.request()) {
                let seen = self.open_elsewhere();
                self.hold(Entry { outbox: self.own, n, seen, ..entry });
            }
        }
        self.write();
        self.shrink();
        if !self.open.is_empty() {
            self.tell_point(crate::point!("outbox.restored"));
        }
        Ok(())
    }

    /// All writes up to this one are durable.
    pub(crate) fn handle_kept(&mut self, now: Now, up_to: u64) {
        self.tick(now);
        while let Some((_, entries)) = self.lane.writing.pop_front_if(|(id, _)| *id <= up_to) {
            for (outbox, n) in entries {
                if let Some(known) = self.known.get_mut(&outbox) {
                    known.durable = known.durable.max(n);
                }
                self.became_durable(outbox, n);
            }
            self.owe_answers();
        }
    }

    /// What is held and not written is to be written, when everything else of this moment is done.
    pub(super) fn write(&mut self) {
        self.lane.owes |= self.reach == Reach::Nobody;
    }

    /// True if something was written.
    pub(super) fn make_write(&mut self) -> bool {
        if !core::mem::take(&mut self.lane.owes) || self.reach != Reach::Nobody {
            return false;
        }
        let unwritten = self
            .known
            .iter()
            .flat_map(|(outbox, known)| known.entries.range(known.written + 1..).map(|(n, held)| (held.order, (*outbox, *n))));
        let mut unwritten: Vec<(Order, (OutboxId, u64))> = unwritten.collect();
        if unwritten.is_empty() {
            return false;
        }
        unwritten.sort_unstable();
        let places: Vec<(OutboxId, u64)> = unwritten.into_iter().map(|(_, place)| place).collect();
        let records = self.records(&places);
        for (outbox, n) in &places {
            if let Some(known) = self.known.get_mut(outbox) {
                known.written = known.written.max(*n);
            }
        }
        self.keep(Keep { clear: false, records }, places);
        true
    }

    /// Drops records of settled entries when it is worth it.
    pub(super) fn shrink(&mut self) {
        if self.lane.bytes == 0 || !self.open.is_empty() && self.lane.bytes < 2 * self.bytes + SLACK {
            return;
        }
        let open: BTreeSet<OutboxId> = self.open.iter().map(|(_, outbox, _)| *outbox).collect();
        let mut held: Vec<(Order, (OutboxId, u64))> = Vec::new();
        for outbox in &open {
            let Some(known) = self.known.get(outbox) else { continue };
            held.extend(known.entries.range(..=known.written).map(|(n, held)| (held.order, (*outbox, *n))));
        }
        held.sort_unstable();
        let places: Vec<(OutboxId, u64)> = held.into_iter().map(|(_, place)| place).collect();
        self.known.values_mut().for_each(|known| known.recorded = 0);
        let records = self.records(&places);
        self.lane.bytes = 0;
        self.keep(Keep { clear: true, records }, places);
    }

    /// The records of these entries. Where one does not follow what the lane tells of its outbox, it is said before it that all between is settled.
    fn records(&mut self, places: &[(OutboxId, u64)]) -> Vec<Bytes> {
        let mut records = Vec::with_capacity(places.len());
        for (outbox, n) in places {
            let Some(entry) = self.known.get(outbox).and_then(|known| Some(known.entries.get(n)?.entry.clone())) else {
                continue;
            };
            for (other, seen) in &entry.seen {
                // A start must find what this one depends on, or that it is settled.
                if let Some(known) = self.known.get_mut(other).filter(|known| known.recorded < *seen && *seen <= known.settled) {
                    known.recorded = known.settled;
                    let (through, by) = (known.settled, known.settled_by);
                    records.push(Record::Settled { outbox: *other, through, by }.seal());
                }
            }
            let Some(known) = self.known.get_mut(outbox) else { continue };
            if *n > known.recorded + 1 {
                records.push(Record::Settled { outbox: *outbox, through: n - 1, by: known.settled_by }.seal());
            }
            known.recorded = *n;
            records.push(Record::Entry(entry).seal());
        }
        records
    }

    fn keep(&mut self, keep: Keep, places: Vec<(OutboxId, u64)>) {
        self.lane.made += 1;
        self.lane.bytes += keep.records.iter().map(|record| record.len() as u64).sum::<u64>();
        self.lane.writing.push_back((self.lane.made, places));
        self.outputs.push_back(Output::Keep { id: self.lane.made, keep });
    }
}
