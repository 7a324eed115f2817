//! One node of the cluster: its machine while it runs, its disk always, and the chain of all that went in and out.

use super::disk::Disk;
use super::event::Input;
use crate::plan::NodeClock;
use crate::scenario::DiskFailure;
use crate::trace::{Chain, digest};
use std::collections::BTreeSet;
use tertulia_protocol::contract::{Now, StoreError};
use tertulia_protocol::ids::{BatchId, Boot, ConnectionId, LoadId, NodeId};
use tertulia_protocol::node::Node;
use tertulia_protocol::raft::Member;

#[derive(Clone)]
pub(super) struct Host {
    /// `None` while the process is down.
    pub machine: Option<Node>,
    pub disk: Disk,
    /// The members that the process is told of when it starts.
    pub knows: Vec<Member>,
    /// Whom it dials.
    pub peers: BTreeSet<NodeId>,
    /// Of the present process, or of the last one.
    pub boot: Boot,
    /// This machine's clocks, as the fault plan has them.
    pub clock: NodeClock,
    pub chain: Chain,
    /// What has come while the node was busy. Not empty: a wake-up is scheduled, or the node is paused.
    pub inbox: Vec<Input>,
    /// Stopped as if by SIGSTOP: inputs wait in the inbox, and no wake-up is scheduled.
    pub paused: bool,
    /// When the earliest scheduled timer event is due.
    pub timer: u64,
    /// Bytes written to clients since the last time that credit was given back. Not empty: an event is scheduled.
    pub written: Vec<(ConnectionId, u32)>,
}

impl Host {
    pub fn new(disk: Disk, clock: NodeClock, knows: Vec<Member>) -> Host {
        Host {
            machine: None,
            disk,
            knows,
            peers: BTreeSet::new(),
            boot: Boot(0),
            clock,
            chain: Chain::default(),
            inbox: Vec::new(),
            paused: false,
            timer: u64::MAX,
            written: Vec::new(),
        }
    }

    /// Whether this very process runs.
    pub fn runs(&self, boot: Boot) -> bool {
        self.boot == boot && self.machine.is_some()
    }

    pub fn now(&self, at: u64) -> Now {
        self.clock.now(at)
    }

    /// A write has failed.
    pub fn fail_store(&mut self, at: u64, batch: BatchId, how: DiskFailure) {
        let now = self.now(at);
        if let Some(node) = &mut self.machine {
            node.handle_store_failed(now, batch, write_error(how));
            self.chain.input(at, 11);
        }
    }

    /// A write of the outbox has failed.
    pub fn fail_keep(&mut self, at: u64, how: DiskFailure) {
        let now = self.now(at);
        if let Some(node) = &mut self.machine {
            node.handle_keep_failed(now, write_error(how));
            self.chain.input(at, 15);
        }
    }

    /// What was read is not what was written, and its checksum says so.
    pub fn fail_load(&mut self, at: u64, load: LoadId) {
        let now = self.now(at);
        if let Some(node) = &mut self.machine {
            node.handle_loaded(now, load, Err(StoreError { message: "a bad checksum (simulated)".to_owned() }));
            self.chain.input(at, 14);
        }
    }

    /// Hands over one input.
    pub fn hand(&mut self, at: u64, input: Input) {
        let now = self.now(at);
        let Some(node) = &mut self.machine else { return };
        let told = match input {
            Input::Message { from, message, digest: told } => {
                node.handle_message(now, from, message);
                digest(&(1u8, from, told))
            }
            Input::Link { peer, link } => {
                node.handle_link(now, peer, link);
                digest(&(2u8, peer, link))
            }
            Input::Refused { by, refusal } => {
                let told = digest(&(3u8, by, &refusal));
                node.handle_refused(now, by, refusal);
                told
            }
            Input::Met { peer, address } => {
                let told = digest(&(12u8, peer, &address));
                node.handle_met(now, peer, address);
                told
            }
            Input::Admin { ticket, admin } => {
                let told = digest(&(13u8, ticket, &admin));
                node.handle_admin(now, ticket, admin);
                told
            }
            Input::Connected { connection, hello } => {
                let told = digest(&(4u8, connection, &hello));
                node.handle_connected(now, connection, hello);
                told
            }
            Input::Request { connection, request } => {
                let told = digest(&(5u8, connection, &request));
                node.handle_request(now, connection, request);
                told
            }
            Input::Drained { connection, bytes } => {
                node.handle_drained(now, connection, bytes);
                digest(&(6u8, connection, bytes))
            }
            Input::Disconnected { connection } => {
                node.handle_disconnected(now, connection);
                digest(&(7u8, connection))
            }
            Input::Stored { up_to } => {
                node.handle_stored(now, up_to);
                digest(&(8u8, up_to))
            }
            Input::Loaded { id, loaded } => {
                let told = digest(&(9u8, id, &loaded));
                node.handle_loaded(now, id, Ok(loaded));
                told
            }
            Input::Installed => {
                node.handle_installed(now, Ok(()));
                11
            }
            Input::Kept { up_to } => {
                node.handle_kept(now, up_to);
                digest(&(15u8, up_to))
            }
            Input::Derived { id, key } => {
                node.handle_derived(now, id, key);
                digest(&(14u8, id, key))
            }
            Input::Timeout => {
                node.handle_timeout(now);
                10
            }
        };
        self.chain.input(at, told);
    }
}

fn write_error(how: DiskFailure) -> StoreError {
    let message = match how {
        DiskFailure::Full => "no space left on device (simulated)",
        DiskFailure::Failing | DiskFailure::Misread => "input/output error (simulated)",
    };
    StoreError { message: message.to_owned() }
}
