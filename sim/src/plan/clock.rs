//! The two clocks of one machine, as functions of simulated time.
//!
//! The monotonic clock runs at its rate and never goes back; a change of the rate begins where it stands. The wall clock is the monotonic one moved
//! by what it is off: a drift moves both, continuously; a skew or a jump moves the wall clock only.

use crate::workload;
use tertulia_protocol::contract::Now;
use tertulia_protocol::time::{Instant, Timestamp};

const MILLION: u128 = 1_000_000;
/// No clock stands still, however many drifts come together: at least a tenth of the true rate.
const SLOWEST: i64 = -900_000;

/// A machine's clocks. They go on while its process is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeClock {
    /// Simulated time from which on the present rate holds.
    since: u64,
    /// What the monotonic clock had counted by then.
    passed: u64,
    /// How much faster than simulated time it runs, in millionths.
    drift_ppm: i64,
    /// How far the wall clock is ahead of a right one that began with the monotonic clock, in microseconds.
    ahead: i64,
}

impl NodeClock {
    pub fn new(ahead: i64, drift_ppm: i64) -> NodeClock {
        NodeClock { since: 0, passed: 0, drift_ppm: drift_ppm.max(SLOWEST), ahead }
    }

    /// What this machine reads at a simulated time, which is not before the last change of its rate.
    pub fn now(&self, at: u64) -> Now {
        let now = workload::now(self.elapsed(at), 0);
        Now { wall: Timestamp(now.wall.0.saturating_add_signed(self.ahead)), ..now }
    }

    /// The first simulated time at which the monotonic clock reads `instant` or more, if its rate stays. Not before the last change of the rate.
    pub fn time_of(&self, instant: Instant) -> u64 {
        let left = workload::time_of(instant).saturating_sub(self.passed);
        if self.drift_ppm == 0 {
            return self.since + left;
        }
        self.since.saturating_add(u64::try_from((u128::from(left) * MILLION).div_ceil(self.rate())).unwrap_or(u64::MAX))
    }

    /// How long simulated time takes while the monotonic clock goes on by so much.
    pub fn takes(&self, micros: u64) -> u64 {
        if self.drift_ppm == 0 { micros } else { (u128::from(micros) * MILLION).div_ceil(self.rate()) as u64 }
    }

    /// From now on it runs at another rate.
    pub(super) fn set_drift(&mut self, at: u64, drift_ppm: i64) {
        *self = NodeClock { since: at, passed: self.elapsed(at), drift_ppm: drift_ppm.max(SLOWEST), ..*self };
    }

    /// The wall clock moves by so much at once.
    pub(super) fn shift(&mut self, micros: i64) {
        self.ahead = self.ahead.saturating_add(micros);
    }

    fn rate(&self) -> u128 {
        (MILLION as i64 + self.drift_ppm) as u128
    }

    fn elapsed(&self, at: u64) -> u64 {
        let passed = at.saturating_sub(self.since);
        if self.drift_ppm == 0 {
            return self.passed + passed;
        }
        self.passed + (u128::from(passed) * self.rate() / MILLION) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_right_reads_simulated_time() {
        let clock = NodeClock::new(0, 0);
        assert_eq!(clock.now(5_000), workload::now(5_000, 0));
        assert_eq!(clock.time_of(clock.now(5_000).instant), 5_000);
    }

    #[test]
    fn a_deadline_is_met_at_the_first_moment_at_which_the_drifting_clock_reads_it() {
        for drift in [-100_000, -7, 3, 333_333] {
            let mut clock = NodeClock::new(0, drift);
            clock.set_drift(1_234_567, drift * 2);
            for wait in [1, 999, 50_000, 3_600_000_000] {
                let deadline = Instant(clock.now(1_234_567).instant.0 + wait);
                let at = clock.time_of(deadline);
                assert!(clock.now(at).instant >= deadline && clock.now(at - 1).instant < deadline, "{drift} {wait}");
            }
        }
    }

    #[test]
    fn a_change_of_rate_is_continuous_and_the_monotonic_clock_never_goes_back() {
        let mut clock = NodeClock::new(0, 0);
        let mut last = clock.now(0);
        for (nth, drift) in [50_000, -50_000, 500_000, -900_000, -2_000_000, 0].into_iter().enumerate() {
            let at = 1_000_000 * (nth as u64 + 1);
            let before = clock.now(at);
            clock.set_drift(at, drift);
            assert_eq!(clock.now(at), before);
            assert!(before.instant > last.instant && before.wall > last.wall);
            last = before;
        }
    }

    #[test]
    fn a_jump_moves_the_wall_clock_alone() {
        let mut clock = NodeClock::new(1_000, 0);
        let before = clock.now(7_000);
        clock.shift(-3_000_000);
        assert_eq!((clock.now(7_000).instant, clock.now(7_000).wall.0 + 3_000_000), (before.instant, before.wall.0));
    }
}
