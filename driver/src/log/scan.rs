//! Reads a log from its first byte and judges it: whole, torn, or damaged.
//!
//! Rules:
//! - records count in the order of their sequence numbers, without a gap; only an `Opened` record may jump, and only from the record behind
//!   which its own mark says that everything was cut;
//! - every whole head is a witness: its mark says through where the log was durable when it was written. So the scan goes on behind damage;
//! - no mark says that what is lost above the greatest mark was synced: a torn tail. What is lost at or below it may have been acknowledged: damage;
//! - a segment is as long as it was made before it has its name, for good, and all before it is durable. One that is missing, that is shorter,
//!   or that does not begin with a whole record is damage whatever the marks say, unless the records go on behind it without a gap;
//! - what an opening has cut never counts again, even if its bytes are there and can be read: a scan that is misled by them is done again;
//! - what stands behind damage is kept apart, as a second view: with what the rows contain it may turn out that nothing that counts is lost.

use super::LogError;
use super::record::{HEAD, Head, Home, RecordKind, State, record_len};
use super::segment::rot;
use super::view::{Nonsense, View};
use std::collections::BTreeMap;

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// What the records before the first damage say; `None` before the first one.
    pub good: Option<View>,
    /// What all whole records say, those behind the damage too.
    beyond: Option<View>,
    /// The newest state in any whole record, by its sequence number.
    newest: Option<(u64, State)>,
    /// The greatest sequence number in any whole head, good or cut off.
    pub greatest: u64,
    /// The greatest synced-through mark in any whole head.
    pub mark: u64,
    /// Right behind the last good record: segment and offset.
    pub tail: (u64, u64),
    /// The last segment that was taken.
    segment: Option<u64>,
    /// What `Opened` records say was cut: the records below the key and above the value, both sequence numbers.
    cuts: BTreeMap<u64, u64>,
    /// A record was taken that a later one says was cut.
    misled: bool,
    trouble: Option<Trouble>,
}

/// The first thing that is not as it was written.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    segment: u64,
    offset: u64,
    what: &'static str,
    /// A record is lost for sure. Otherwise these are bytes where a record may or may not have been; the next sequence number tells.
    lost: bool,
    /// It is damage even if no mark says so.
    sure: bool,
}

impl Trouble {
    pub fn as_error(&self) -> LogError {
        rot(self.segment, self.offset, self.what)
    }
}

impl Scan {
    /// A scan of the same segments that knows what was cut, if this one did not, and it matters.
    pub fn better_informed(&self) -> Option<Scan> {
        let matters = self.misled || self.beyond.is_some();
        (matters && !self.cuts.is_empty()).then(|| Scan { cuts: self.cuts.clone(), ..Scan::default() })
    }

    /// Takes the next segment, whole.
    pub fn segment(&mut self, home: Home, bytes: &[u8]) {
        if let Some(before) = self.segment.filter(|before| before + 1 != home.segment) {
            self.trouble(before + 1, 0, "the file is missing", true, true);
        }
        self.segment = Some(home.segment);
        let mut made = None;
        let mut at = 0;
        while at + HEAD <= bytes.len() {
            let Some(head) = Head::parse(&bytes[at..], home) else {
                // A head never begins with eight zeros: its kind is not 0.
                if bytes[at..at + 8] != [0; 8] {
                    self.trouble(home.segment, at, "unreadable bytes", false, false);
                }
                self.check_start(home, at);
                at += 8;
                continue;
            };
            self.mark = self.mark.max(head.synced_through);
            self.greatest = self.greatest.max(head.sequence);
            let body = bytes.get(at + HEAD..at + HEAD + head.length).unwrap_or_default();
            if head.body_is_whole(body, home) {
                let state = State::parse(body).filter(|_| head.kind.has_state(at));
                if head.kind == RecordKind::Opened {
                    self.note_cut(head.synced_through, head.sequence);
                }
                if let Some(state) = state.filter(|_| self.newest.is_none_or(|(sequence, _)| sequence < head.sequence)) {
                    self.newest = Some((head.sequence, state));
                }
                if at == 0 {
                    made = state.map(|state| state.made);
                }
                if !self.cuts.range(head.sequence + 1..).any(|(_, above)| *above < head.sequence) {
                    self.record(home, at, &head, body, state);
                }
            } else {
                self.trouble(home.segment, at, "a record whose content does not match its checksum", true, false);
            }
            self.check_start(home, at);
            at += record_len(head.length);
        }
        if bytes.len() < HEAD {
            self.check_start(home, 0);
        }
        if made.is_some_and(|made| (bytes.len() as u64) < made) {
            self.trouble(home.segment, bytes.len(), "the file is shorter than it was made: something cut it", false, true);
        }
    }

    fn note_cut(&mut self, above: u64, below: u64) {
        if above + 1 < below && self.cuts.insert(below, above).is_none() {
            self.misled |= self.good.as_ref().is_some_and(|good| good.last > above && good.last < below);
        }
    }

    /// Where a segment begins, all before it is durable and so is its first record. What is missing here is lost, whatever the marks say.
    fn check_start(&mut self, home: Home, at: usize) {
        if at == 0 && self.tail.0 != home.segment {
            self.trouble(home.segment, 0, "the segment does not begin with a whole record", true, true);
        }
    }

    fn trouble(&mut self, segment: u64, offset: usize, what: &'static str, lost: bool, sure: bool) {
        let first = self.trouble.get_or_insert(Trouble { segment, offset: offset as u64, what, lost, sure });
        first.lost |= lost;
        first.sure |= sure;
        if sure {
            self.beyond.get_or_insert_with(|| self.good.clone().unwrap_or_default()).miss(segment);
        }
    }

    /// Takes a whole record if it is the next one, and otherwise puts it to what stands behind the damage.
    fn record(&mut self, home: Home, at: usize, head: &Head, body: &[u8], state: Option<State>) {
        let lost = self.trouble.as_ref().is_some_and(|trouble| trouble.lost);
        let taken = match &mut self.good {
            None => match state.filter(|_| at == 0 && !lost) {
                Some(state) => {
                    self.good = Some(View::begin(home.segment, head.sequence, &state));
                    Some(Ok(()))
                }
                None => None,
            },
            Some(good) => {
                let next = head.sequence == good.last + 1;
                // Whatever stands between was cut when the log was opened then, even if its bytes are still there.
                let reopened = head.kind == RecordKind::Opened && head.sequence > good.last && head.synced_through == good.last;
                (next && !lost || reopened).then(|| good.take(home.segment, at, head, body))
            }
        };
        match taken {
            Some(Ok(())) => {
                (self.trouble, self.beyond) = (None, None);
                self.tail = (home.segment, (at + record_len(head.length)) as u64);
                return;
            }
            Some(Err(Nonsense)) => self.trouble(home.segment, at, "a record that no version of this program writes", true, true),
            None => self.trouble(home.segment, at, "a record is missing before this one", true, false),
        }
        let beyond = self.beyond.get_or_insert_with(|| self.good.clone().unwrap_or_default());
        beyond.take_loosely(home.segment, at, head, body);
    }

    /// The verdict, with a mark known from elsewhere: what was durable and is not as it was written, or `None`. What lies behind the last good
    /// record may be cut then.
    pub fn damage(&mut self, mark: u64) -> Option<Trouble> {
        self.mark = self.mark.max(mark);
        let (segment, offset) = self.tail;
        let here = |what| Trouble { segment: segment.max(1), offset, what, lost: true, sure: true };
        let Some(good) = &self.good else { return Some(self.trouble.clone().unwrap_or(here("the file is missing"))) };
        if !good.is_complete() {
            return Some(self.trouble.clone().unwrap_or(here("an earlier file is missing")));
        }
        let sure = self.trouble.as_ref().is_some_and(|trouble| trouble.sure);
        if good.last >= self.mark && !sure && Some(segment) == self.segment {
            return None;
        }
        Some(self.trouble.clone().unwrap_or(here("the log ends too early")))
    }

    /// The log before the first damage, if it is known from its beginning.
    pub fn prefix(&self) -> Option<&View> {
        self.good.as_ref().filter(|good| good.is_complete())
    }

    /// The log with what stands behind the damage, if it is known where it ends.
    pub fn salvage(&self) -> Option<&View> {
        let view = self.beyond.as_ref().or(self.good.as_ref())?;
        (view.is_certain() && view.last >= self.mark).then_some(view)
    }

    /// The newest state that any whole record tells.
    pub fn newest(&self) -> Option<State> {
        self.newest.map(|(_, state)| state)
    }
}
