//! What time it is. The monotonic reading is tokio's, so that paused and simulated time work; only the wall clock differs.

use std::time::{Duration, UNIX_EPOCH};
use tertulia_protocol::contract::Now;
use tertulia_protocol::time::{Instant, Timestamp};

/// Both clocks of one node.
pub trait Clock: Clone + Send + Sync + 'static {
    /// The monotonic reading never goes back, and runs about as fast as tokio's timers.
    fn now(&self) -> Now;

    /// How long tokio's timers run while this clock goes on by so much: just as long, except in a simulation of clocks that drift.
    fn timer(&self, wait: Duration) -> Duration {
        wait
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: tokio::time::Instant,
}

impl SystemClock {
    pub fn new() -> SystemClock {
        SystemClock { start: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "somebody has to ask what time it is, and it is here")]
    fn now(&self) -> Now {
        let wall = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { instant: since(self.start), wall: Timestamp(wall.as_micros() as u64) }
    }
}

/// A wall clock that began at a given moment and goes on with tokio's time: the same in every run of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct EpochClock {
    start: tokio::time::Instant,
    epoch: Timestamp,
}

impl EpochClock {
    /// It is `epoch` now.
    pub fn starting_at(epoch: Timestamp) -> EpochClock {
        EpochClock { start: tokio::time::Instant::now(), epoch }
    }
}

impl Clock for EpochClock {
    fn now(&self) -> Now {
        let instant = since(self.start);
        Now { instant, wall: Timestamp(self.epoch.0 + instant.0) }
    }
}

fn since(start: tokio::time::Instant) -> Instant {
    Instant(start.elapsed().as_micros() as u64)
}
