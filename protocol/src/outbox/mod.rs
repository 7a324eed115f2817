//! What a node accepts while it can reach no leader, and how that spreads.

mod entry;
mod message;

pub use entry::Entry;
pub use message::{Extent, OutboxMessage};
