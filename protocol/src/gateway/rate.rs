//! How often something may be done: the generic cell rate algorithm (ATM Forum TM 4.0, section 4.4.2) on this node's own clock.
//!
//! Each key keeps one moment: when all that it has done would be worked off at its rate. It may do more while that lies no further ahead than its burst.

use crate::chat::Rate;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// Keys that are held at one time. Those whose work is done go first; with more, whoever is new waits.
const MOST_KEYS: usize = 16_384;

/// One rate for many keys.
#[derive(Clone, Debug)]
pub(super) struct Rates<K> {
    due: BTreeMap<K, Instant>,
}

impl<K: Ord + Copy> Rates<K> {
    pub(super) fn new() -> Rates<K> {
        Rates { due: BTreeMap::new() }
    }

    /// Takes one, or says how long to wait for it.
    pub(super) fn take(&mut self, now: Instant, rate: Rate, key: K) -> Result<(), Duration> {
        if rate.per_second == 0 {
            return Ok(());
        }
        let each = Duration::from_micros((1_000_000 / u64::from(rate.per_second)).max(1));
        let burst = each * rate.burst.max(1);
        if !self.due.contains_key(&key) && self.due.len() >= MOST_KEYS {
            self.due.retain(|_, due| *due > now);
            if self.due.len() >= MOST_KEYS {
                return Err(burst);
            }
        }
        let due = self.due.get(&key).copied().unwrap_or(now).max(now) + each;
        let ahead = due.since(now);
        if ahead > burst {
            return Err(ahead - burst);
        }
        self.due.insert(key, due);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let rate = Rate { per_second: 10, burst: 3 };
        let at = |ms: u64| Instant(ms * 1_000);
        let mut rates = Rates::new();
        for _ in 0..3 {
            assert_eq!(rates.take(at(0), rate, 1), Ok(()));
        }
        assert_eq!(rates.take(at(0), rate, 1), Err(Duration::from_millis(100)));
        assert_eq!(rates.take(at(0), rate, 2), Ok(()), "another key is another matter");
        assert_eq!(rates.take(at(60), rate, 1), Err(Duration::from_millis(40)), "what is refused costs nothing");
        assert_eq!(rates.take(at(100), rate, 1), Ok(()));
        assert_eq!(rates.take(at(5_000), rate, 1), Ok(()));
        assert_eq!(rates.take(at(5_000), Rate::default(), 1), Ok(()), "no rate is no limit");
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_idle_ones_make_room() {
        let rate = Rate { per_second: 1, burst: 1 };
        let mut rates = Rates::new();
        for key in 0..MOST_KEYS {
            assert_eq!(rates.take(Instant(0), rate, key), Ok(()));
        }
        assert!(rates.take(Instant(0), rate, MOST_KEYS).is_err());
        assert_eq!(rates.take(Instant(2_000_000), rate, MOST_KEYS), Ok(()));
        assert_eq!(rates.due.len(), 1);
    }
}
