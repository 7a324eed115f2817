//! What the clients do, the same on both engines.
//!
//! An [`Actor`] is a client machine with a script around it: sign in, make and join rooms, follow them, post at the workload's rate, read pages, and
//! at the end read everything. An engine moves what [`Actor::poll`] returns to a node and hands back what comes; it calls [`Actor::act`] when
//! [`Actor::next_act`] says so. What the client saw is told as [`ClientFact`]s, in the order that the judge asks for.

mod chatter;
mod script;
mod sessions;
mod tails;

pub use script::{Actor, Wire};

use crate::scenario::Scenario;
use tertulia_protocol::contract::Now;
use tertulia_protocol::time::{Instant, Timestamp};

/// The monotonic clock's reading at the start of a run: not 0, so that nothing is saved by saturation.
const START: u64 = 10_000_000;
/// The wall clock's reading at the start of a run: 2026-01-01, in microseconds.
const EPOCH: u64 = 1_767_225_600_000_000;

/// What a machine whose wall clock is `ahead` microseconds ahead reads at a simulated time.
pub fn now(at: u64, ahead: u64) -> Now {
    Now { instant: Instant(START + at), wall: Timestamp(EPOCH + at + ahead) }
}

/// The simulated time of a machine's deadline.
pub fn time_of(instant: Instant) -> u64 {
    instant.0.saturating_sub(START)
}

/// How many clients a scenario has, late joiners included.
pub fn actors(scenario: &Scenario) -> u32 {
    scenario.workload.clients + u32::from(scenario.workload.joiner.is_some())
}

/// The name of a user, from its number.
pub fn user_name(user: u32) -> String {
    format!("client {}", user + 1)
}

/// The name of a room, from its number.
pub fn room_name(room: usize) -> String {
    format!("room {}", room + 1)
}
