//! What the bytes of an outbox file hold: what is good, what is a torn tail, and whether something is lost.

use super::KeptError;
use super::record::{FORMAT, HEAD, Head, Kind, parse_beginning, record_len};
use std::ops::Range;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the bodies of the good records stand, oldest first.
    pub records: Vec<Range<usize>>,
    /// The sequence number of the last good record.
    pub last: u64,
    /// The greatest synced-through mark in any whole head.
    pub mark: u64,
    /// The greatest one in a good record: what is left of them when the tail is cut.
    pub marked: u64,
    /// The greatest sequence number of which anything tells.
    pub greatest: u64,
    /// Right behind the last good record. What follows is torn, unless something is lost.
    pub end: usize,
    /// Something that was durable is missing.
    pub lost: bool,
    /// An earlier start found that something was.
    pub was_damaged: bool,
}

impl Scan {
    /// # Errors
    /// [`KeptError::OtherFormat`].
    pub fn of(bytes: &[u8], seed: u64) -> Result<Scan, KeptError> {
        let mut scan = Scan::default();
        let whole = scan.find(bytes, seed);
        let mut whole = whole.into_iter().peekable();
        // A file has its name when its first record is durable: one without was hurt.
        match whole.next_if(|(at, head)| *at == 0 && head.kind == Kind::Beginning) {
            Some((_, head)) => {
                let (format, damaged) = parse_beginning(&bytes[HEAD..HEAD + head.length]).unwrap_or_default();
                if format != FORMAT {
                    return Err(KeptError::OtherFormat { found: format });
                }
                (scan.was_damaged, scan.last, scan.marked) = (damaged, head.sequence, head.synced_through);
                scan.end = record_len(head.length);
            }
            None => {
                scan.lost = true;
                scan.last =
                    whole.peek().map_or(0, |(_, head)| head.sequence.saturating_sub(u64::from(head.kind == Kind::Record)));
            }
        }
        for (at, head) in whole {
            let counted = u64::from(head.kind == Kind::Record);
            // Stale: nothing writes such a one behind what was taken.
            if head.sequence < scan.last + counted {
                continue;
            }
            let missing_through = head.sequence - counted;
            if missing_through > scan.last {
                if missing_through > scan.mark {
                    // What is missing above the mark was not synced, and so neither was anything behind it.
                    break;
                }
                scan.lost = true;
            }
            scan.last = head.sequence;
            scan.marked = scan.marked.max(head.synced_through);
            scan.end = at + record_len(head.length);
            if head.kind == Kind::Record {
                scan.records.push(at + HEAD..at + HEAD + head.length);
            }
        }
        scan.lost |= scan.last < scan.mark;
        Ok(scan)
    }

    /// The whole records, wherever they stand. What whole heads tell is taken down, whatever became of their bodies.
    fn find(&mut self, bytes: &[u8], seed: u64) -> Vec<(usize, Head)> {
        let mut whole = Vec::new();
        let mut at = 0;
        while at + HEAD <= bytes.len() {
            let Some(head) = Head::parse(&bytes[at..], seed) else {
                at += 8;
                continue;
            };
            self.mark = self.mark.max(head.synced_through);
            self.greatest = self.greatest.max(head.sequence).max(head.synced_through);
            let body = bytes.get(at + HEAD..at + HEAD + head.length).unwrap_or_default();
            if head.body_is_whole(body, seed) {
                whole.push((at, head));
            }
            at += record_len(head.length);
        }
        whole
    }
}
