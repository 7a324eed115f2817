//! What a leader believes of one follower.

use super::log::cost;
use super::message::Entry;
use crate::ids::*;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// How entries go to a follower.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(super) enum Flow {
    /// Where its log agrees is being looked for: one append at a time, repeated at each heartbeat.
    Probe { waiting: bool },
    /// It follows: appends are pipelined within a byte budget.
    Replicate,
    /// Entries that it needs are being read from disk.
    Load(LoadId),
    /// Entries that it needs are gone: it asks for a snapshot, and is told so once a heartbeat.
    Snapshot { told: bool },
}

/// Invariant: `matched < next`, and all up to `matched` is the leader's log, durable on the follower that runs as `boot`.
#[derive(Clone, Debug, Hash)]
pub(super) struct Progress {
    pub(super) matched: Index,
    pub(super) next: Index,
    pub(super) flow: Flow,
    /// Under way: the last index and the bytes of each append, oldest first.
    inflight: VecDeque<(Index, usize)>,
    inflight_bytes: usize,
    pub(super) boot: Option<Boot>,
    /// The run `boot` must answer this round or a later one to be believed. That is 0 once it has answered in time.
    own_from: u64,
    /// So must any other run: what has heard of a round that began after `boot` was known cannot be over for longer than `boot` is.
    others_from: u64,
    /// The follower's log has lost what it may have acknowledged: what it holds is known for sending, and counts for nothing.
    repairing: bool,
    /// The next load must reach beyond the entry before the one that is needed.
    pub(super) big: bool,
    /// It is no member since the entry at this index, and is let go of at this moment.
    pub(super) leaving: Option<(Index, Instant)>,
    /// The greatest round that it answered.
    pub(super) round: u64,
    /// When it last answered in this term.
    pub(super) heard: Instant,
    #[cfg(feature = "zoo")]
    bug: Option<crate::zoo::Bug>,
}

impl Progress {
    /// `boot`: what is known of the run of the follower, by its link; `round`: that of the leader's last broadcast.
    pub(super) fn new(last: Index, now: Instant, boot: Option<Boot>, round: u64) -> Progress {
        let from = boot.map_or(0, |_| round + 1);
        Progress {
            matched: 0,
            next: last + 1,
            flow: Flow::Probe { waiting: false },
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            boot,
            own_from: from,
            others_from: from,
            repairing: false,
            big: false,
            leaving: None,
            round: 0,
            heard: now,
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }

    #[cfg(feature = "zoo")]
    pub(super) fn set_bug(&mut self, bug: Option<crate::zoo::Bug>) {
        self.bug = bug;
    }

    pub(super) fn probe_from(&mut self, next: Index) {
        self.next = next.max(self.matched + 1);
        self.flow = Flow::Probe { waiting: false };
        self.inflight.clear();
        #[cfg(feature = "zoo")]
        if self.bug == Some(crate::zoo::Bug::LeakWindow) {
            return;
        }
        self.inflight_bytes = 0;
    }

    /// What was under way may be lost, so it is looked for again. Nothing is learned of where the logs agree: a search goes on where it is.
    pub(super) fn link_broke(&mut self) {
        let next = if self.flow == Flow::Replicate { self.matched + 1 } else { self.next };
        self.probe_from(next);
    }

    /// A link, or a question, says that the follower runs as `boot`. Nothing is believed until that run answers a round that begins now or later: the hint itself may
    /// be old, and what that run said may be under way for longer than it lived.
    pub(super) fn see_boot(&mut self, boot: Boot, round: u64, last: Index) {
        if self.boot != Some(boot) {
            self.begin_run(boot, round, last);
            self.own_from = round + 1;
        }
    }

    /// The run `boot` has answered the round `answered`. Boots have no order, so rounds tell which of two is over; false if it is this one: what it said comes too late.
    pub(super) fn hears(&mut self, boot: Boot, answered: u64, round: u64, last: Index) -> bool {
        if self.boot == Some(boot) {
            return answered >= self.own_from;
        }
        if answered < self.others_from {
            return false;
        }
        self.begin_run(boot, round, last);
        self.own_from = 0;
        true
    }

    /// A new run may have lost what the old one had not been asked to keep: nothing is believed until it says so itself.
    fn begin_run(&mut self, boot: Boot, round: u64, last: Index) {
        if self.boot.replace(boot).is_some() {
            #[cfg(feature = "zoo")]
            if self.bug == Some(crate::zoo::Bug::KeepMatchedAfterRestart) {
                return self.others_from = round + 1;
            }
            self.matched = 0;
            self.round = 0;
            self.probe_from(last + 1);
        }
        self.others_from = round + 1;
    }

    pub(super) fn see_repair(&mut self, repairing: bool) {
        self.repairing = repairing;
    }

    /// Whether its acknowledgements have a say.
    pub(super) fn counts(&self) -> bool {
        !self.repairing
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
            Flow::Probe { .. } | Flow::Load(_) | Flow::Snapshot { .. } => self.flow = Flow::Probe { waiting: true },
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
            Flow::Load(_) | Flow::Snapshot { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Position;
    use crate::time::Timestamp;
    use alloc::vec::Vec;
    use bytes::Bytes;

    const BUDGET: usize = 1_000;

    /// Entries of 100 bytes each: `from..=through`.
    fn entries(from: Index, through: Index) -> Vec<Entry> {
        let payload = Bytes::from_static(&[0; 100]);
        let entry = |index| Entry::after(Position { index: index - 1, term: 1, chain: 0 }, 1, Timestamp(1), payload.clone());
        (from..=through).map(entry).collect()
    }

    /// A follower of a leader whose log ends at 10.
    fn fresh() -> Progress {
        Progress::new(10, Instant(0), None, 0)
    }

    #[test]
    fn a_probe_is_one_append_at_a_time_until_the_logs_agree() {
        let mut progress = fresh();
        assert!(progress.may_send(BUDGET));
        progress.sent(&entries(11, 12));
        assert_eq!((progress.flow, progress.next), (Flow::Probe { waiting: true }, 11), "nothing is taken for granted");
        assert!(!progress.may_send(BUDGET));
        // What it holds so far is short of where the probe stands: the search is not over.
        assert!(progress.matched(4));
        assert_eq!(progress.flow, Flow::Probe { waiting: true });
        assert!(progress.matched(12));
        assert_eq!((progress.flow, progress.next), (Flow::Replicate, 13));
    }

    #[test]
    fn appends_are_pipelined_within_the_budget() {
        let mut progress = fresh();
        progress.matched(10);
        for nth in 0..4 {
            assert!(progress.may_send(BUDGET));
            progress.sent(&entries(11 + 2 * nth, 12 + 2 * nth));
        }
        assert_eq!((progress.next, progress.may_send(BUDGET)), (19, false));
        // An answer for half of an append frees nothing; one for the whole of it does.
        progress.matched(11);
        assert!(!progress.may_send(BUDGET));
        progress.matched(12);
        assert!(progress.may_send(BUDGET));
        assert!(!progress.matched(5), "an old answer is no news");
        assert_eq!(progress.matched, 12);
    }

    #[test]
    fn a_search_never_goes_below_what_is_matched() {
        let mut progress = fresh();
        progress.matched(10);
        progress.sent(&entries(11, 18));
        progress.probe_from(3);
        assert_eq!((progress.flow, progress.next), (Flow::Probe { waiting: false }, 11));
        assert_eq!(progress.inflight_bytes, 0, "what was under way is not waited for");
    }

    #[test]
    fn a_broken_link_looks_again_for_what_was_under_way_and_only_for_that() {
        let mut progress = fresh();
        progress.link_broke();
        assert_eq!(progress.next, 11);
        progress.flow = Flow::Load(LoadId(4));
        progress.link_broke();
        assert_eq!((progress.flow, progress.next), (Flow::Probe { waiting: false }, 11), "what is being read is not waited for");
        progress.matched(10);
        progress.sent(&entries(11, 14));
        progress.link_broke();
        assert_eq!(progress.next, 11);
    }

    #[test]
    fn what_is_read_from_disk_is_waited_for_whatever_is_answered_meanwhile() {
        let mut progress = fresh();
        progress.flow = Flow::Load(LoadId(4));
        assert!(!progress.may_send(BUDGET));
        progress.matched(10);
        assert_eq!((progress.flow, progress.next), (Flow::Load(LoadId(4)), 11));
    }

    #[test]
    fn a_new_boot_voids_what_is_known_and_an_old_one_is_not_heard_again() {
        let mut progress = fresh();
        assert!(progress.hears(Boot(1), 1, 1, 10), "the first one says nothing about an earlier one");
        progress.matched(10);
        assert!(progress.hears(Boot(1), 1, 1, 10));
        assert_eq!(progress.matched, 10);
        progress.see_boot(Boot(2), 5, 20);
        assert_eq!((progress.matched, progress.next, progress.flow), (0, 21, Flow::Probe { waiting: false }));
        assert!(!progress.hears(Boot(2), 5, 5, 20), "that it ran once is no proof that it runs");
        assert!(progress.hears(Boot(2), 6, 6, 20));
        progress.matched(20);
        assert!(!progress.hears(Boot(1), 5, 7, 20), "an answer that was under way while its sender started again");
        assert_eq!((progress.matched, progress.boot), (20, Some(Boot(2))));
    }

    #[test]
    fn a_run_that_nobody_knew_to_be_over_does_not_silence_the_one_that_runs() {
        let mut progress = fresh();
        progress.see_boot(Boot(3), 4, 10);
        assert!(
            !progress.hears(Boot(2), 4, 8, 10),
            "never heard of before, and yet over: it answers a round from before boot 3 was known"
        );
        assert!(progress.hears(Boot(3), 5, 8, 10));
        progress.matched(10);
        assert!(progress.hears(Boot(4), 9, 9, 10), "one that has heard of a later round runs now");
        assert_eq!(progress.matched, 0);
    }
}
