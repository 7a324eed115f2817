#![no_std]
//! Leader election, replication, ordering and group chat as state machines that do no I/O.
extern crate alloc;

pub mod chat;
pub mod client;
pub mod contract;
pub mod dice;
pub mod facts;
pub mod gateway;
pub mod ids;
pub mod node;
pub mod outbox;
pub mod points;
pub mod raft;
pub mod replica;
pub mod succession;
pub mod time;
pub mod wire;
#[cfg(feature = "zoo")]
pub mod zoo;
