//! What all writers together have seen.

use hdrhistogram::Histogram;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest latency that is told apart, in microseconds; longer ones count as this.
const LONGEST_US: u64 = 600_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Counts while it is told to. All writers run in one thread: its lock is never waited for.
#[derive(Default)]
pub struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    window: Option<(Instant, Instant)>,
    /// In microseconds.
    latencies: Option<Histogram<u64>>,
    acks: u64,
    errors: u64,
    last_ack: Option<Instant>,
    longest_gap: Duration,
    /// Why the last attempt failed.
    trouble: Option<String>,
}

/// The figures of one run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    pub acks: u64,
    /// Attempts that ended without an acknowledgement: refused, lost with their connection, given up in silence.
    pub errors: u64,
    pub acks_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// The longest time between two acknowledgements, whoever's; also from the last one to the end.
    pub longest_gap_ms: f64,
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens in this time counts; nothing before it.
    pub fn count_from(&self, begin: Instant, end: Instant) {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).ok();
        *self.lock() = Inner { window: Some((begin, end)), latencies, ..Inner::default() };
    }

    /// A message posted at `begun` is committed.
    pub fn acknowledged(&self, begun: Instant, now: Instant) {
        let mut inner = self.lock();
        let Some((begin, end)) = inner.window else { return };
        if now < begin || now >= end {
            return;
        }
        inner.acks += 1;
        let since = inner.last_ack.replace(now).unwrap_or(begin);
        inner.longest_gap = inner.longest_gap.max(now.saturating_duration_since(since));
        if let Some(latencies) = &mut inner.latencies {
            latencies.saturating_record((now - begun).as_micros() as u64);
        }
    }

    /// An attempt came to nothing.
    pub fn failed(&self, why: &str) {
        let mut inner = self.lock();
        inner.trouble = Some(why.into());
        if inner.window.is_none_or(|(begin, _)| Instant::now() >= begin) {
            inner.errors += 1;
        }
    }

    /// What to add to a message about failure: `; the last trouble: …`, or nothing.
    pub fn trouble(&self) -> String {
        self.lock().trouble.as_ref().map_or_else(String::new, |trouble| format!("; the last trouble: {trouble}"))
    }

    /// The figures of a window of this length.
    pub fn report(&self, length: Duration) -> Report {
        let inner = self.lock();
        let Some((begin, end)) = inner.window else { return Report::default() };
        let quantile = |q: f64| inner.latencies.as_ref().map_or(0.0, |all| all.value_at_quantile(q) as f64 / 1_000.0);
        let to_the_end = end.saturating_duration_since(inner.last_ack.unwrap_or(begin));
        Report {
            acks: inner.acks,
            errors: inner.errors,
            acks_per_s: inner.acks as f64 / length.as_secs_f64(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: inner.latencies.as_ref().map_or(0.0, |all| all.max() as f64 / 1_000.0),
            longest_gap_ms: inner.longest_gap.max(to_the_end).as_secs_f64() * 1_000.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_acknowledged_in_the_window_counts_and_silence_counts_to_its_end() {
        let (tally, second) = (Tally::default(), Duration::from_secs(1));
        let begin = Instant::now() + second;
        tally.count_from(begin, begin + 10 * second);
        tally.acknowledged(begin - second, begin - second / 2);
        for (begun, acknowledged) in [(0, 1), (1, 2), (2, 5)] {
            tally.acknowledged(begin + begun * second, begin + acknowledged * second);
        }
        tally.acknowledged(begin, begin + 10 * second);
        let report = tally.report(10 * second);
        assert_eq!((report.acks, report.errors, report.acks_per_s), (3, 0, 0.3));
        assert!((report.p50_ms - 1_000.0).abs() < 2.0, "{report:?}");
        assert!((report.max_ms - 3_000.0).abs() < 4.0, "{report:?}");
        assert_eq!(report.longest_gap_ms, 5_000.0);
    }
}
