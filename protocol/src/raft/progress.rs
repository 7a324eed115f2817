//! What a leader believes of one follower.

use super::log::cost;
use super::message::Entry;
use crate::ids::*;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// How entries go to a follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// Where its log agrees is being looked for: one append at a time, repeated at each heartbeat.
    Probe { waiting: bool },
    /// It follows: appends are pipelined within a byte budget.
    Replicate,
    /// Entries that it needs are being read from disk.
    Load(LoadId),
}

/// Invariant: `matched < next`, and all up to `matched` is the leader's log, durable on the follower that runs as `boot`.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) matched: Index,
    pub(super) next: Index,
    pub(super) flow: Flow,
    /// Under way: the last index and the bytes of each append, oldest first.
    inflight: VecDeque<(Index, usize)>,
    inflight_bytes: usize,
    pub(super) boot: Option<Boot>,
    /// The greatest round that it answered.
    pub(super) round: u64,
    /// When it last answered in this term.
    pub(super) heard: Instant,
}

impl Progress {
    pub(super) fn new(last: Index, now: Instant) -> Progress {
        Progress {
            matched: 0,
            next: last + 1,
            flow: Flow::Probe { waiting: false },
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            boot: None,
            round: 0,
            heard: now,
        }
    }

    pub(super) fn probe_from(&mut self, next: Index) {
        self.next = next.max(self.matched + 1);
        self.flow = Flow::Probe { waiting: false };
        self.inflight.clear();
        self.inflight_bytes = 0;
    }

    /// What was under way may be lost, so it is looked for again. Nothing is learned of where the logs agree: a search goes on where it is.
    pub(super) fn link_broke(&mut self) {
        let next = if self.flow == Flow::Replicate { self.matched + 1 } else { self.next };
        self.probe_from(next);
    }

    /// A new boot may have lost what the old one had not been asked to keep: nothing is believed until it says so itself.
    /// True if this was news.
    pub(super) fn see_boot(&mut self, boot: Boot, last: Index) -> bool {
        match self.boot.replace(boot) {
            Some(old) if old != boot => {
                self.matched = 0;
                self.round = 0;
                self.probe_from(last + 1);
                true
            }
            _ => false,
        }
    }

    pub(super) fn sent(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let bytes = entries.iter().map(cost).sum();
        match self.flow {
            Flow::Replicate => {
                self.next = last.index + 1;
                self.inflight.push_back((last.index, bytes));
                self.inflight_bytes += bytes;
            }
            Flow::Probe { .. } | Flow::Load(_) => self.flow = Flow::Probe { waiting: true },
        }
    }

    /// The follower holds all up to `matched`. True if that was news.
    pub(super) fn matched(&mut self, matched: Index) -> bool {
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        if matched + 1 >= self.next && matches!(self.flow, Flow::Probe { .. }) {
            self.flow = Flow::Replicate;
        }
        self.next = self.next.max(self.matched + 1);
        while let Some((index, bytes)) = self.inflight.front() {
            if *index > self.matched {
                break;
            }
            self.inflight_bytes -= bytes;
            self.inflight.pop_front();
        }
        news
    }

    pub(super) fn may_send(&self, budget: usize) -> bool {
        match self.flow {
            Flow::Probe { waiting } => !waiting,
            Flow::Replicate => self.inflight_bytes < budget,
            Flow::Load(_) => false,
        }
    }
}
