//! What a run of records says about the log: where it begins, which entries it holds, who was voted for.
//!
//! Rules:
//! - an entry's record says that the log ended with it then: what was known at its index and above is replaced;
//! - where a record is missing the view goes on, but knows that it does not know where the log ends, until a record says that.

use super::record::{Head, RecordKind, State, parse_index, parse_vote};
use super::segment::Place;
use super::votes::later;
use std::collections::VecDeque;
use tertulia_protocol::contract::{Position, Vote};
use tertulia_protocol::ids::Index;

/// What no version of this program writes.
pub(super) struct Nonsense;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// The log begins after this place.
    pub start: Position,
    /// Segments below this one are not needed.
    pub first: u64,
    pub damaged: bool,
    pub vote: Vote,
    /// The entries whose places are known are dense and begin above this index. `Index::MAX`: none is known.
    pub base: Index,
    pub places: VecDeque<Place>,
    /// The sequence number of the last record taken.
    pub last: u64,
    /// The last one of them that is worth a mark of its own.
    pub last_content: u64,
    /// Records are missing, the last of them in this segment or before it, and nothing since has said where the log ends.
    unknown: Option<u64>,
}

impl Default for View {
    fn default() -> Self {
        View {
            start: Position::default(),
            first: 0,
            damaged: false,
            vote: Vote::default(),
            base: Index::MAX,
            places: VecDeque::new(),
            last: 0,
            last_content: 0,
            unknown: Some(0),
        }
    }
}

impl View {
    /// A view that begins with the first record of `segment`.
    pub fn begin(segment: u64, sequence: u64, state: &State) -> View {
        let mut view = View { last: sequence, base: state.start.index, unknown: None, ..View::default() };
        if state.first < segment {
            // Segments before this one were needed when it was made. A later state may say that they no longer are.
            view.unknown = Some(segment - 1);
        }
        view.take_state(state);
        view
    }

    /// A view of a segment that was made with these entries.
    pub fn made(segment: u64, last: u64, state: &State, places: Vec<Place>) -> View {
        View { places: places.into(), last, last_content: last, ..View::begin(segment, last, state) }
    }

    /// The index of the last entry that is known.
    pub fn end(&self) -> Index {
        if self.base == Index::MAX { self.start.index } else { self.base + self.places.len() as Index }
    }

    /// Whether it is known where the log ends.
    pub fn is_certain(&self) -> bool {
        self.unknown.is_none()
    }

    /// Whether the log is known from its beginning to its end.
    pub fn is_complete(&self) -> bool {
        self.is_certain() && self.base == self.start.index
    }

    /// Records are missing here.
    pub fn miss(&mut self, segment: u64) {
        self.unknown = Some(segment);
    }

    /// Gives up all entries.
    fn forget(&mut self, segment: u64) {
        self.base = Index::MAX;
        self.places.clear();
        self.miss(segment);
    }

    /// Takes a whole record although the one before it may be missing. One that is older than what was taken is stale.
    pub fn take_loosely(&mut self, segment: u64, at: usize, head: &Head, body: &[u8]) {
        if head.sequence <= self.last {
            return;
        }
        let follows = head.sequence == self.last + 1 || head.kind == RecordKind::Opened && head.synced_through == self.last;
        if !follows {
            self.miss(segment);
        }
        if self.take(segment, at, head, body).is_err() {
            self.forget(segment);
        }
    }

    /// Takes the next record.
    pub fn take(&mut self, segment: u64, at: usize, head: &Head, body: &[u8]) -> Result<(), Nonsense> {
        match head.kind {
            RecordKind::Vote => {
                self.vote = later(self.vote, parse_vote(body).ok_or(Nonsense)?);
                self.last_content = head.sequence;
            }
            RecordKind::Entry => {
                let index = parse_index(body).filter(|index| *index > 0 && *index < Index::MAX).ok_or(Nonsense)?;
                self.take_entry(index, Place { segment, offset: at as u32, length: head.length as u32 });
                self.last_content = head.sequence;
            }
            RecordKind::Mark if at > 0 => {}
            RecordKind::Mark | RecordKind::Opened | RecordKind::State => {
                self.take_state(&State::parse(body).ok_or(Nonsense)?);
                if head.kind == RecordKind::State {
                    self.last_content = head.sequence;
                }
            }
        }
        self.last = head.sequence;
        Ok(())
    }

    fn take_entry(&mut self, index: Index, place: Place) {
        let known = self.base != Index::MAX && index > self.base && index <= self.end() + 1;
        if known {
            self.places.truncate((index - self.base - 1) as usize);
        } else {
            // What lies between is in segments that were deleted, or lost. If it is above the start, the view is not complete.
            self.base = index - 1;
            self.places.clear();
        }
        self.places.push_back(place);
        self.unknown = None;
    }

    fn take_state(&mut self, state: &State) {
        self.start = state.start;
        self.first = state.first;
        self.damaged = state.damaged;
        self.vote = later(self.vote, state.vote);
        if state.reset {
            self.base = state.start.index;
            self.places.clear();
            self.unknown = None;
        }
        // What is missing lies where nothing is needed: the entries above the start are all in later segments.
        if self.unknown.is_some_and(|hole| hole < state.first) {
            self.unknown = None;
            if self.places.is_empty() {
                self.base = state.start.index;
            }
        }
        if self.base < state.start.index {
            let below = (state.start.index - self.base).min(self.places.len() as Index);
            self.places.drain(..below as usize);
            self.base = state.start.index;
        }
    }
}
