//! Reads a log from its first byte and judges it: whole, torn, or rotten.
//!
//! Rules:
//! - records count in the order of their sequence numbers, without a gap; only an `Opened` record may jump, and only from where the log
//!   was then known to be synced;
//! - every whole head is a witness: its mark says through where the log was durable when it was written. So the scan goes on behind damage;
//! - no mark says that what is lost above the greatest mark was synced: a torn tail. What is lost at or below it may have been acknowledged: rot;
//! - a segment is as long as it was made before it has its name, for good. One that is shorter was cut by something else, and what it lost may
//!   have been acknowledged, whatever the marks say: rot.

use super::record::{HEAD, Head, Home, RecordKind, parse_index, parse_made, parse_vote, record_len};
use super::votes::later;
use super::{LogError, segment_name};
use tertulia_protocol::contract::Vote;
use tertulia_protocol::ids::Index;

/// Where an entry's record stands. 16 bytes, because there is one in memory for each entry of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub segment: u64,
    pub offset: u32,
    /// Bytes of the body.
    pub length: u32,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// The places of entries 1, 2, ….
    pub places: Vec<Place>,
    pub vote: Vote,
    /// The sequence number of the last good record.
    pub last: u64,
    /// The last one of them that is a vote or an entry.
    pub last_content: u64,
    /// The greatest sequence number in any whole head, good or cut off.
    pub greatest: u64,
    /// The greatest synced-through mark in any whole head.
    pub mark: u64,
    /// Right behind the last good record: segment and offset.
    pub tail: (u64, u64),
    trouble: Option<Trouble>,
}

/// The first thing that is not as it was written.
#[derive(Clone, Debug)]
struct Trouble {
    segment: u64,
    offset: usize,
    what: &'static str,
    /// A record is lost for sure. Otherwise these are bytes where a record may or may not have been; the next sequence number tells.
    lost: bool,
}

impl Trouble {
    fn rot(&self) -> LogError {
        rot(self.segment, self.offset, self.what)
    }
}

impl Scan {
    /// Takes the next segment, whole.
    ///
    /// # Errors
    /// A segment that does not begin with a good record is rotten: it got its name only after that record was durable.
    pub fn segment(&mut self, home: Home, bytes: &[u8]) -> Result<(), LogError> {
        if bytes.len() < HEAD {
            return self.check_start(home, 0);
        }
        let mut at = 0;
        while at + HEAD <= bytes.len() {
            let Some(head) = Head::parse(&bytes[at..], home) else {
                // A head never begins with eight zeros: its kind is not 0.
                if bytes[at..at + 8] != [0; 8] {
                    self.trouble(home, at, "unreadable bytes", false);
                }
                self.check_start(home, at)?;
                at += 8;
                continue;
            };
            self.mark = self.mark.max(head.synced_through);
            self.greatest = self.greatest.max(head.sequence);
            let body = bytes.get(at + HEAD..at + HEAD + head.length).unwrap_or_default();
            if head.body_is_whole(body, home) {
                if at == 0 {
                    check_length(home, bytes, body)?;
                }
                self.record(home, at, &head, body)?;
            } else {
                self.trouble(home, at, "a record whose content does not match its checksum", true);
            }
            self.check_start(home, at)?;
            at += record_len(head.length);
        }
        Ok(())
    }

    /// Where a segment begins, all before it is durable and so is its first record. What is missing here is rot, whatever the marks say.
    fn check_start(&self, home: Home, at: usize) -> Result<(), LogError> {
        if at > 0 || self.tail.0 == home.segment {
            return Ok(());
        }
        let here =
            Trouble { segment: home.segment, offset: 0, what: "the segment does not begin with a whole record", lost: true };
        Err(self.trouble.clone().unwrap_or(here).rot())
    }

    fn trouble(&mut self, home: Home, offset: usize, what: &'static str, lost: bool) {
        let first = self.trouble.get_or_insert(Trouble { segment: home.segment, offset, what, lost });
        first.lost |= lost;
    }

    /// Takes a whole record if it is the next one.
    fn record(&mut self, home: Home, at: usize, head: &Head, body: &[u8]) -> Result<(), LogError> {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.lost) {
            return Ok(());
        }
        let next = head.sequence == self.last + 1;
        let reopened = head.kind == RecordKind::Opened && head.sequence > self.last && head.synced_through == self.last;
        if !next && !reopened {
            self.trouble(home, at, "a record is missing before this one", true);
            return Ok(());
        }
        self.trouble = None;
        self.last = head.sequence;
        self.tail = (home.segment, (at + record_len(head.length)) as u64);
        let nonsense = || rot(home.segment, at, "a record that no version of this program writes");
        match head.kind {
            RecordKind::Vote => {
                self.vote = later(self.vote, parse_vote(body).ok_or_else(nonsense)?);
                self.last_content = head.sequence;
            }
            RecordKind::Entry => {
                let index = parse_index(body).ok_or_else(nonsense)?;
                if index == 0 || index > self.places.len() as Index + 1 {
                    return Err(nonsense());
                }
                self.places.truncate(index as usize - 1);
                self.places.push(Place { segment: home.segment, offset: at as u32, length: head.length as u32 });
                self.last_content = head.sequence;
            }
            RecordKind::Mark | RecordKind::Opened => {}
        }
        Ok(())
    }

    /// The verdict, with a mark known from elsewhere: the log is good up to its tail, and what lies behind may be cut.
    ///
    /// # Errors
    /// [`LogError::Rot`] when something durable is lost.
    pub fn judge(&mut self, mark: u64) -> Result<(), LogError> {
        self.mark = self.mark.max(mark);
        if self.mark <= self.last {
            return Ok(());
        }
        let end = Trouble { segment: self.tail.0, offset: self.tail.1 as usize, what: "the log ends too early", lost: true };
        Err(self.trouble.clone().unwrap_or(end).rot())
    }
}

/// Whether a segment with this first record is as long as it was made.
fn check_length(home: Home, bytes: &[u8], first: &[u8]) -> Result<(), LogError> {
    let made = parse_made(first).ok_or_else(|| rot(home.segment, 0, "a record that no version of this program writes"))?;
    if (bytes.len() as u64) < made {
        return Err(rot(home.segment, bytes.len(), "the file is shorter than it was made: something cut it"));
    }
    Ok(())
}

pub(super) fn rot(segment: u64, offset: usize, what: &'static str) -> LogError {
    LogError::Rot { file: segment_name(segment), offset: offset as u64, what: what.into() }
}
