//! Runs a node machine over a network, a store and a clock that are given to it. It moves bytes; it decides nothing that the protocol could decide.

pub mod disk;
mod folder;
mod handle;
pub mod log;
pub mod rows;
pub mod sim_disk;
pub mod store;

pub use handle::{Connection, Handle, Incoming};
