//! From the files to an open log: what was found is judged first, and nothing is changed before it is decided what is kept.
//!
//! Rules:
//! - a torn tail is cut: overwritten with zeros, and the sequence numbers jump over all that it held;
//! - behind damage nothing is overwritten. A new segment is made in which the sequence numbers jump, and which says behind which record
//!   everything is cut. It says too that the log is damaged, and so do the vote slots: both have to be lost before that is forgotten;
//! - a log that begins elsewhere begins in one new segment, with the entries that it keeps: the name of its file is the moment from which it is the log;
//! - in damage one vote slot is not enough. A vote that was given is in the newer slot and in the log; with that slot unreadable and the vote's
//!   record lost, the older slot would tell of an earlier vote, and a candidate that asks in the same term would be given a second one.

use super::record::{Body, FIRST, Home, MAX_BODY, RecordKind, State, record_len};
use super::scan::{Scan, Trouble};
use super::segment::{First, delete_below, make_segment, read_entries, segment_name, segments};
use super::view::View;
use super::votes::{Votes, later};
use super::{Log, LogError, checked_size};
use crate::disk::{Disk, DiskFile, read_all};
use tertulia_protocol::contract::{Position, Vote};
use tertulia_protocol::ids::Index;
use tertulia_protocol::raft::Entry;

/// More bytes of entries than this are not written anew to save them from damage: the log then ends before the damage, and a peer repairs it.
const SAVED_BYTES: u64 = 256 << 20;

/// How far the sequence numbers jump over damage: more records than can be lost unseen, should their bytes come back one day.
const JUMP: u64 = 1 << 32;

/// A log that was read and judged, and is as it was.
#[derive(Debug)]
pub struct Found<D: Disk> {
    disk: D,
    salt: u64,
    segment_bytes: u64,
    votes: Votes<D::File>,
    scan: Scan,
    /// What is durably lost, if anything is that was not known before.
    damage: Option<Trouble>,
    /// The greatest segment id that there is; 0: there is none.
    segment: u64,
}

impl<D: Disk> Log<D> {
    /// Reads a log and judges it.
    ///
    /// # Errors
    /// [`LogError::Votes`] when a vote may be forgotten, or what the disk says.
    pub fn find(disk: D, salt: u64, segment_bytes: u64) -> Result<Found<D>, LogError> {
        let votes = Votes::open(&disk, salt)?;
        let ids = segments(&disk)?;
        let mut scan = read_all_segments(&disk, salt, &ids, Scan::default())?;
        // A crash can leave segments that are no longer needed, in whatever state.
        let first = scan.newest().map_or(0, |state| state.first);
        let (unneeded, needed): (Vec<u64>, Vec<u64>) = ids.iter().partition(|id| **id < first);
        if !unneeded.is_empty() && !needed.is_empty() {
            scan = read_all_segments(&disk, salt, &needed, Scan::default())?;
        }
        if let Some(again) = scan.better_informed() {
            scan = read_all_segments(&disk, salt, if needed.is_empty() { &ids } else { &needed }, again)?;
        }
        let damage = scan.damage(votes.mark());
        if damage.is_some() && votes.half() {
            return Err(LogError::Votes { why: "is damaged in one of its two places, and so is the log" });
        }
        let segment = ids.last().copied().unwrap_or(0);
        Ok(Found { disk, salt, segment_bytes: checked_size(segment_bytes), votes, scan, damage, segment })
    }

    /// Opens a log on its own, without asking what the rows contain; see [`Found::open`]. What is lost is told by [`Log::damaged`].
    ///
    /// # Errors
    /// [`LogError::Votes`] when a vote may be forgotten, or what the disk says.
    pub fn open(disk: D, salt: u64, segment_bytes: u64) -> Result<Log<D>, LogError> {
        let found = Log::find(disk, salt, segment_bytes)?;
        let start = found.start();
        match if found.is_damaged() { found.whole_above(start)? } else { None } {
            Some(kept) => found.begin_after(start, &kept, false),
            None => found.open(),
        }
    }
}

fn read_all_segments<D: Disk>(disk: &D, salt: u64, ids: &[u64], mut scan: Scan) -> Result<Scan, LogError> {
    for id in ids {
        scan.segment(Home::new(salt, *id), &read_all(&disk.open(&segment_name(*id))?)?);
    }
    Ok(scan)
}

impl<D: Disk> Found<D> {
    /// Whether something durable is lost that was not known to be lost before.
    pub fn is_damaged(&self) -> bool {
        self.damage.is_some()
    }

    /// Whether damage was found at an earlier start and has not been repaired.
    pub fn was_damaged(&self) -> bool {
        self.votes.damaged() || self.scan.newest().is_some_and(|state| state.damaged)
    }

    /// Where the log begins, as far as any record tells.
    pub fn start(&self) -> Position {
        let newest = self.scan.newest().map_or(Position::default(), |state| state.start);
        self.scan.prefix().map_or(newest, |prefix| prefix.start)
    }

    /// The last entry before the damage, or of the whole log.
    pub fn last(&self) -> Index {
        self.scan.prefix().map_or(0, View::end)
    }

    /// The place of an entry before the damage, or of the start; `None` if it is not there.
    ///
    /// # Errors
    /// [`LogError::Rot`], or what the disk says.
    pub fn position_at(&self, index: Index) -> Result<Option<Position>, LogError> {
        match self.scan.prefix() {
            Some(prefix) if index == prefix.start.index => Ok(Some(prefix.start)),
            Some(prefix) => Ok(self.entries(prefix, index, index)?.first().map(Entry::position)),
            None => Ok(None),
        }
    }

    /// The entries above a place, if the log holds them for sure: none is damaged or missing, and they continue that place.
    ///
    /// Such a place is one that the rows contain. So damage below it, or in what is no entry, loses nothing that counts.
    ///
    /// # Errors
    /// [`LogError::Rot`], or what the disk says.
    pub fn whole_above(&self, place: Position) -> Result<Option<Vec<Entry>>, LogError> {
        let Some(view) = self.scan.salvage().filter(|view| view.base <= place.index && place.index <= view.end()) else {
            return Ok(None);
        };
        let above = view.places.iter().skip((place.index - view.base) as usize);
        if above.map(|place| u64::from(place.length)).sum::<u64>() > SAVED_BYTES {
            return Ok(None);
        }
        let known = view.base == place.index || self.entries(view, place.index, place.index)?[0].position() == place;
        let entries = if place.index < view.end() { self.entries(view, place.index + 1, view.end())? } else { Vec::new() };
        let mut previous = place;
        for entry in &entries {
            if !entry.follows(previous) {
                return Ok(None);
            }
            previous = entry.position();
        }
        Ok(known.then_some(entries))
    }

    fn entries(&self, view: &View, from: Index, through: Index) -> Result<Vec<Entry>, LogError> {
        if from <= view.base || through > view.end() {
            return Ok(Vec::new());
        }
        let places = view.places.range((from - view.base - 1) as usize..(through - view.base) as usize).copied();
        read_entries(&self.disk, self.salt, from, places, u64::MAX)
    }

    /// Opens the log as it is, or what is good of it before the damage: it is then [`Log::damaged`].
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(mut self) -> Result<Log<D>, LogError> {
        let Some(trouble) = self.damage.take() else { return self.open_whole() };
        tracing::warn!(error = %trouble.as_error(), "the log is damaged: what is behind the damage is cut");
        let Some(good) = self.scan.good.take().filter(View::is_complete) else {
            let start = self.start();
            return self.make_new(start, &[], true);
        };
        let state = State { made: 0, start: good.start, first: good.first, reset: false, damaged: true, vote: self.vote(&good) };
        let sequence = self.sequence_behind() + JUMP;
        let first = First { kind: RecordKind::Opened, sequence, synced: good.last, state };
        let segment = self.segment + 1;
        let (file, _, end) = make_segment(&self.disk, Home::new(self.salt, segment), self.segment_bytes, &first, &[])?;
        let size = self.segment_bytes;
        let end = End { file, segment, end, size, next: sequence + 1, synced: sequence, marked: good.last };
        self.finish(good, state, end)
    }

    fn open_whole(mut self) -> Result<Log<D>, LogError> {
        // Without it there is damage.
        let good = self.scan.good.take().unwrap_or_default();
        let file = self.disk.open(&segment_name(self.segment))?;
        let size = file.len()?;
        let mut tail = vec![0; size.saturating_sub(self.scan.tail.1) as usize];
        file.read_at(self.scan.tail.1, &mut tail)?;
        if tail.iter().any(|byte| *byte != 0) {
            tracing::warn!(
                file = segment_name(self.segment),
                offset = self.scan.tail.1,
                "cut a torn tail off the log: no mark says that it was synced"
            );
            tail.fill(0);
            file.write_at(self.scan.tail.1, &tail)?;
        }
        // Without this a power failure could take back what a mere crash of the process had left in the cache, after it was relied upon.
        file.sync()?;
        self.disk.sync_dir()?;
        let damaged = good.damaged || self.votes.damaged();
        let state = State { made: 0, start: good.start, first: good.first, reset: false, damaged, vote: self.vote(&good) };
        let next = self.sequence_behind();
        let (segment, at) = (self.segment, self.scan.tail.1);
        let end = End { file, segment, end: at, size, next, synced: good.last, marked: self.scan.mark };
        self.finish(good, state, end)
    }

    /// Drops the log and begins it after `position`, with these entries. `lost`: entries above it are lost.
    ///
    /// # Errors
    /// What the disk says.
    pub fn begin_after(mut self, position: Position, kept: &[Entry], lost: bool) -> Result<Log<D>, LogError> {
        match self.damage.take().map(|trouble| trouble.as_error()) {
            Some(error) if lost => tracing::warn!(%error, after = position.index, "the log is damaged, and begins anew"),
            Some(error) => tracing::warn!(%error, after = position.index, "the log is damaged, but nothing that counts is lost"),
            None if lost => tracing::warn!(after = position.index, "the end of the log is gone, and it begins anew"),
            None => tracing::info!(after = position.index, "the log begins anew"),
        }
        self.make_new(position, kept, lost)
    }

    fn make_new(mut self, start: Position, kept: &[Entry], lost: bool) -> Result<Log<D>, LogError> {
        let good = self.scan.good.take().unwrap_or_default();
        let (segment, sequence) = (self.segment + 1, self.sequence_behind() + JUMP);
        let damaged = lost || self.was_damaged();
        let state = State { made: 0, start, first: segment, reset: true, damaged, vote: self.vote(&good) };
        let first = First { kind: RecordKind::Opened, sequence, synced: good.last, state };
        let bytes: usize = kept.iter().map(|entry| record_len(Body::Entry(entry).len())).sum();
        let size = self.segment_bytes.max((FIRST + bytes) as u64);
        let (file, places, end) = make_segment(&self.disk, Home::new(self.salt, segment), size, &first, kept)?;
        let synced = sequence + kept.len() as u64;
        let view = View::made(segment, synced, &state, places);
        let marked = if kept.is_empty() { synced } else { sequence };
        self.finish(view, state, End { file, segment, end, size, next: synced + 1, synced, marked })
    }

    /// The first sequence number that no record has had, as far as any tells.
    fn sequence_behind(&self) -> u64 {
        self.scan.greatest.max(self.scan.mark) + 1
    }

    fn vote(&self, good: &View) -> Vote {
        later(good.vote, self.votes.vote())
    }

    /// What all ways of opening end with: what is held in memory, and the vote slots.
    fn finish(self, view: View, state: State, end: End<D::File>) -> Result<Log<D>, LogError> {
        if self.votes.half() {
            tracing::warn!("one of the two places of term and vote was damaged, and is written again");
        }
        // A segment that is made here begins with such a record.
        let reopens = end.segment == self.segment;
        let mut log = Log {
            disk: self.disk,
            salt: self.salt,
            segment_bytes: self.segment_bytes,
            file: end.file,
            segment: end.segment,
            end: end.end,
            size: end.size,
            buffer: Vec::new(),
            next: end.next,
            synced: end.synced,
            marked: end.marked,
            last_content: view.last_content,
            start: state.start,
            first: state.first,
            damaged: state.damaged,
            durable: view.end(),
            places: view.places,
            vote: state.vote,
            votes: self.votes,
            failed: None,
        };
        if reopens {
            log.put(RecordKind::Opened, &Body::State(state))?;
            log.flush()?;
            log.sync()?;
        }
        log.write_slots()?;
        log.votes.sync()?;
        delete_below(&log.disk, log.first)?;
        Ok(log)
    }
}

/// Where the next record goes.
struct End<F> {
    file: F,
    segment: u64,
    end: u64,
    size: u64,
    next: u64,
    synced: u64,
    marked: u64,
}

const _: () = assert!(SAVED_BYTES + (MAX_BODY as u64) < 1 << 31, "an offset in a segment has 32 bits");
