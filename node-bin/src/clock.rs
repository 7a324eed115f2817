//! What time it is: the only place of this crate that asks.

use std::sync::OnceLock;
use std::time::UNIX_EPOCH;
use tertulia_protocol::contract::Now;
use tertulia_protocol::time::{Instant, Timestamp};

/// Seconds since 1970.
pub fn seconds() -> u64 {
    now().wall.0 / 1_000_000
}

/// Milliseconds since 1970, as browsers count.
pub fn milliseconds() -> u64 {
    now().wall.0 / 1_000
}

/// Both clocks, in the protocol's terms.
#[allow(clippy::disallowed_methods)] // a process has to ask somewhere, and it is here
pub fn now() -> Now {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    let since_start = START.get_or_init(std::time::Instant::now).elapsed();
    let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { instant: Instant(since_start.as_micros() as u64), wall: Timestamp(since_epoch.as_micros() as u64) }
}
