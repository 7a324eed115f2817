//! The files of the log: their names, how one is made, and how an entry is read out of one.
//!
//! Rule: a segment gets its name when its whole length and what it was made with are durable. What a crash interrupts has no name yet, and is
//! begun again.

use super::LogError;
use super::record::{Body, HEAD, Head, Home, RecordKind, State, parse_entry, push};
use super::votes;
use crate::disk::{Disk, DiskFile};
use tertulia_protocol::ids::Index;
use tertulia_protocol::raft::Entry;

const SEGMENT_PREFIX: &str = "log-";
/// A segment before it has its name.
const NEW_SEGMENT: &str = "log.new";

/// Where an entry's record stands. 16 bytes, because there is one in memory for each entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub segment: u64,
    pub offset: u32,
    /// Bytes of the body.
    pub length: u32,
}

pub(super) fn segment_name(segment: u64) -> String {
    format!("{SEGMENT_PREFIX}{segment:08}")
}

/// Whether a file of this name belongs to the log.
pub(crate) fn is_log_file(name: &str) -> bool {
    name.starts_with(SEGMENT_PREFIX) || name == NEW_SEGMENT || name == votes::VOTE_FILE
}

/// The ids of all segments that there are, ascending.
pub(super) fn segments<D: Disk>(disk: &D) -> Result<Vec<u64>, LogError> {
    let names = disk.list()?;
    let id = |name: &String| -> Option<u64> {
        let id = name.strip_prefix(SEGMENT_PREFIX)?.parse().ok()?;
        // A file that somebody else named like a segment must not be able to use up the numbers.
        (segment_name(id) == *name && id < u64::MAX / 2).then_some(id)
    };
    let mut ids: Vec<u64> = names.iter().filter_map(id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// What a new segment is made with.
pub(super) struct First {
    /// `Mark`, or `Opened` if the sequence jumps here.
    pub kind: RecordKind,
    pub sequence: u64,
    pub synced: u64,
    /// Its `made` is filled in.
    pub state: State,
}

/// Makes a segment of `len` bytes that begins with this record, and with `entries` right behind it, durable with its name.
///
/// The entries' sequence numbers follow on the first record's, and their places are handed back.
pub(super) fn make_segment<D: Disk>(
    disk: &D,
    home: Home,
    len: u64,
    first: &First,
    entries: &[Entry],
) -> Result<(D::File, Vec<Place>, u64), LogError> {
    if disk.list()?.iter().any(|name| name == NEW_SEGMENT) {
        disk.delete(NEW_SEGMENT)?;
    }
    let file = disk.create(NEW_SEGMENT, len)?;
    let mut bytes = Vec::new();
    let state = State { made: len, ..first.state };
    push(&mut bytes, home, first.kind, first.sequence, first.synced, &Body::State(state));
    let (mut sequence, mut places, mut written) = (first.sequence, Vec::new(), 0);
    for entry in entries {
        if bytes.len() > 1 << 20 {
            file.write_at(written, &bytes)?;
            written += bytes.len() as u64;
            bytes.clear();
        }
        sequence += 1;
        let body = Body::Entry(entry);
        let offset = (written + bytes.len() as u64) as u32;
        push(&mut bytes, home, RecordKind::Entry, sequence, first.sequence, &body);
        places.push(Place { segment: home.segment, offset, length: body.len() as u32 });
    }
    file.write_at(written, &bytes)?;
    file.sync()?;
    disk.rename(NEW_SEGMENT, &segment_name(home.segment))?;
    disk.sync_dir()?;
    Ok((file, places, written + bytes.len() as u64))
}

/// Deletes the segments below `first`.
///
/// Whatever a crash brings back of them is deleted at the next opening: the state says that they are not needed.
pub(super) fn delete_below<D: Disk>(disk: &D, first: u64) -> Result<(), LogError> {
    for id in segments(disk)?.into_iter().take_while(|id| *id < first) {
        disk.delete(&segment_name(id))?;
    }
    Ok(())
}

/// Reads the entry `index` at its place.
///
/// # Errors
/// [`LogError::Rot`] when it is not as it was written.
pub(super) fn read_entry<F: DiskFile>(file: &F, salt: u64, place: Place, index: Index) -> Result<Entry, LogError> {
    let home = Home::new(salt, place.segment);
    let mut bytes = vec![0; HEAD + place.length as usize];
    file.read_at(u64::from(place.offset), &mut bytes)?;
    let (head, body) = bytes.split_at(HEAD);
    let whole = Head::parse(head, home).is_some_and(|head| head.kind == RecordKind::Entry && head.body_is_whole(body, home));
    let entry = parse_entry(body).filter(|entry| whole && entry.index == index);
    entry.ok_or_else(|| rot(place.segment, u64::from(place.offset), "an entry is not as it was written"))
}

/// Reads the entries at these places, the first of which is `from`, cut after the one that reaches `max_bytes` of payload.
pub(super) fn read_entries<D: Disk>(
    disk: &D,
    salt: u64,
    from: Index,
    places: impl Iterator<Item = Place>,
    max_bytes: u64,
) -> Result<Vec<Entry>, LogError> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut open: Option<(u64, D::File)> = None;
    for (index, place) in (from..).zip(places) {
        let file = match open.take() {
            Some((segment, file)) if segment == place.segment => file,
            _ => disk.open(&segment_name(place.segment))?,
        };
        let entry = read_entry(&file, salt, place, index)?;
        open = Some((place.segment, file));
        bytes += entry.payload.len() as u64;
        entries.push(entry);
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(entries)
}

pub(super) fn rot(segment: u64, offset: u64, what: &'static str) -> LogError {
    LogError::Rot { file: segment_name(segment), offset, what: what.into() }
}
