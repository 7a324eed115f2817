//! A node's log as the judge knows it: places without payloads.

use tertulia_protocol::contract::Position;
use tertulia_protocol::ids::{Index, Term};

/// Everything up to `base` is unknown (0: nothing is); above it the places are dense.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    base: Index,
    places: Vec<(Term, u64)>,
}

impl Log {
    /// The index of its last entry.
    pub(crate) fn end(&self) -> Index {
        self.base + self.places.len() as Index
    }

    /// What stands at `index`: `None` when it is beyond the end or not known.
    pub(crate) fn at(&self, index: Index) -> Option<Position> {
        if index == 0 {
            return Some(Position::default());
        }
        let offset = usize::try_from(index.checked_sub(self.base + 1)?).ok()?;
        self.places.get(offset).map(|&(term, chain)| Position { index, term, chain })
    }

    /// Whether this log contains `place`, and with it all before it. `None`: the judge does not know.
    pub(crate) fn holds(&self, place: Position) -> Option<bool> {
        match self.at(place.index) {
            Some(held) => Some(place.index == 0 || held == place),
            None if place.index > self.end() => Some(false),
            None => None,
        }
    }

    /// Removes everything at and above `index`.
    pub(crate) fn cut(&mut self, index: Index) {
        if index <= self.base {
            self.base = index.saturating_sub(1);
            self.places.clear();
        } else if let Ok(keep) = usize::try_from(index - self.base - 1) {
            self.places.truncate(keep);
        }
    }

    /// Puts `place` at the end, after removing what stood at or above it. Beyond a hole nothing below is known any more.
    pub(crate) fn put(&mut self, place: Position) {
        if place.index == 0 {
            return;
        }
        self.cut(place.index);
        if place.index > self.end() + 1 {
            self.base = place.index - 1;
            self.places.clear();
        }
        self.places.push((place.term, place.chain));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::log as place;

    #[test]
    fn a_rewritten_log_forgets_what_stood_above() {
        let mut log = Log::default();
        for n in 1..=4 {
            log.put(place(&[1; 4][..n]));
        }
        assert_eq!(log.holds(place(&[1, 1, 1])), Some(true));
        log.put(place(&[1, 2]));
        assert_eq!((log.end(), log.holds(place(&[1, 1]))), (2, Some(false)));
        assert_eq!(log.holds(place(&[1, 1, 1])), Some(false));
        assert_eq!(log.holds(place(&[1])), Some(true));
    }

    #[test]
    fn below_a_hole_nothing_is_known() {
        let mut log = Log::default();
        log.put(place(&[1, 1, 1]));
        assert_eq!((log.end(), log.holds(place(&[1, 1])), log.holds(place(&[1, 1, 1]))), (3, None, Some(true)));
        log.cut(2);
        assert_eq!((log.end(), log.holds(place(&[1]))), (1, None));
    }
}
