//! Time comes from outside. Safety depends on neither clock.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A reading of a monotonic clock: microseconds since some moment before the node started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// Time passed since `earlier`, zero if that lies ahead.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, by: Duration) -> Instant {
        Instant(self.0.saturating_add(by.as_micros() as u64))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, by: Duration) -> Instant {
        Instant(self.0.saturating_sub(by.as_micros() as u64))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A hybrid logical clock reading (Kulkarni et al. 2014): microseconds since 1970-01-01 UTC, never decreasing along the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The stamp of the next entry: the wall clock, or just after `last` when the wall clock is behind it.
    pub fn next(last: Timestamp, wall: Timestamp) -> Timestamp {
        wall.max(Timestamp(last.0.saturating_add(1)))
    }

    /// So many milliseconds later; the greatest stamp there is, if that is beyond it.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// Time passed since `earlier`, zero if that lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}us", self.0)
    }
}

/// What time it is, on both clocks. Every input of a machine takes one; `instant` never goes back between two inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Now {
    /// Monotonic: for timeouts.
    pub instant: Instant,
    /// Wall clock: for stamps that people read.
    pub wall: Timestamp,
}
