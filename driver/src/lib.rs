//! Runs a node machine over a network, a store and a clock that are given to it. It moves bytes; it decides nothing that the protocol could decide.

mod handle;

pub use handle::{Connection, Handle, Incoming};
