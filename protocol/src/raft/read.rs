//! Reads that see everything committed before they were asked, without a log entry (thesis 6.4).
//!
//! - **ReadIndex**: the leader notes its commit index once it has committed an entry of its own term, makes sure by one round of heartbeats that it still led
//!   after the read was asked, and lets the read see the state at that index.
//! - **Lease** (6.4.1): where a bound on the drift of clocks is configured, a round that a quorum answered stands for a while: nobody of that quorum opens its vote
//!   gate before `detect_min` has passed on its own clock since it heard of the round, which was after the round was sent. So the lease begins when the round was
//!   *sent*, and lasts `detect_min / (1 + drift)^2`, for both clocks may be off. It is given up for the rest of the term before another node is told to stand.

use super::*;
use crate::sometimes;
use crate::time::Duration;

/// Reads that may wait at one leader. More are dropped, and asked again by whoever waits for them.
const MOST_READS: usize = 16_384;
/// Rounds under way whose sending is remembered. A lost one only shortens the lease.
const MOST_ROUNDS: usize = 256;

#[derive(Clone, Debug, Hash)]
pub(super) struct WaitingRead {
    asker: NodeId,
    /// The run of the asker that `id` belongs to.
    boot: Boot,
    id: u64,
    /// Its read index and the round that must be answered; `None` until an entry of this term is committed.
    confirm: Option<(Index, u64)>,
}

/// Until when a leader knows that nobody else leads, by the clock alone.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Lease {
    /// Rounds and when they were sent, oldest first.
    sent: VecDeque<(u64, Instant)>,
    since: Option<Instant>,
    #[cfg(feature = "zoo")]
    answered: u64,
}

impl Lease {
    pub(super) fn sent(&mut self, round: u64, at: Instant) {
        if self.sent.len() == MOST_ROUNDS {
            self.sent.pop_front();
        }
        self.sent.push_back((round, at));
    }

    /// A quorum has answered this round.
    fn confirmed(&mut self, round: u64) {
        while let Some((_, at)) = self.sent.pop_front_if(|(sent, _)| *sent <= round) {
            self.since = Some(at);
        }
    }

    #[cfg(feature = "zoo")]
    fn prolong_wrongly(&mut self, round: u64, now: Option<Instant>) {
        if now.is_some() && self.answered < round {
            (self.answered, self.since) = (round, now);
        }
    }

    fn holds(&self, now: Instant, lasts: Duration) -> bool {
        self.since.is_some_and(|since| now.since(since) < lasts)
    }
}

/// How long a lease may be relied on: by a clock that may be slow, against one that may be fast. A clock that is slow by a part shows that part less of the time, and not
/// the other way round: `1 - drift`, which is less than `1 / (1 + drift)`.
fn lease_lasts(detect_min: Duration, drift_ppm: u32) -> Duration {
    let million = 1_000_000u128;
    let (slow, fast) = (million.saturating_sub(drift_ppm.into()), million + u128::from(drift_ppm));
    Duration::from_micros((detect_min.as_micros() * slow / fast) as u64)
}

impl Raft {
    /// Asks for a read; [`Output::ReadReady`] with the same `id` follows if a leader can confirm it. Nothing follows if a message is lost or the leader changes:
    /// ask again. False when no leader is known. `id` is below [`u64::MAX`].
    pub fn read(&mut self, now: Now, id: u64) -> bool {
        self.now = now;
        if self.is_leader() {
            self.handle_ask_read(now, self.node, self.boot, id, false);
            return true;
        }
        let Some(leader) = self.leader else { return false };
        let (term, boot) = (self.vote.term, self.boot);
        self.send(leader, Class::Control, RaftMessage::AskRead { term, id, boot, repair: false });
        true
    }

    /// `repair`: the asker's log has lost something; it must not be among those who confirm this read, nor what its last run said be believed.
    pub(super) fn handle_ask_read(&mut self, now: Now, asker: NodeId, boot: Boot, id: u64, repair: bool) {
        let holds = self.lease_holds(now);
        #[cfg(feature = "zoo")]
        let wrongly = self.reads_wrongly(now);
        let (commit, last) = (self.commit, self.log.last().index);
        let Role::Leader(leading) = &mut self.role else { return };
        let read = WaitingRead { asker, boot, id, confirm: None };
        let at_once = holds && commit >= leading.opened_by;
        #[cfg(feature = "zoo")]
        let at_once = at_once || wrongly;
        if repair {
            let Some(progress) = leading.progress.get_mut(&asker) else { return };
            // A question does not tell whether its run is the last one. Answers do, and it is asked again until it is answered.
            if progress.boot.is_some_and(|known| known != boot) {
                return;
            }
            progress.see_boot(boot, leading.round, last);
            progress.see_repair(true);
            leading.repair_reads.retain(|waiting| waiting.asker != asker);
            leading.repair_reads.push_back(read);
            self.start_reads();
        } else if at_once {
            sometimes!(self.facts, "read.by_lease");
            self.let_read(&WaitingRead { confirm: Some((commit, 0)), ..read });
        } else if leading.reads.len() < MOST_READS {
            leading.reads.push_back(read);
            if commit < leading.opened_by {
                sometimes!(self.facts, "read.held");
            }
            self.start_reads();
        }
    }

    pub(super) fn lease_holds(&self, now: Now) -> bool {
        let (Some(drift), Role::Leader(leading)) = (self.timing.lease_drift_ppm, &self.role) else { return false };
        let given_up = leading.lease_given_up;
        #[cfg(feature = "zoo")]
        let given_up = given_up && !self.has(Bug::KeepLease);
        !given_up && leading.lease.holds(now.instant, lease_lasts(self.timing.detect_min, drift))
    }

    /// Gives waiting reads their index and the next round, once this term has committed something.
    pub(super) fn start_reads(&mut self) {
        let commit = self.commit;
        #[cfg(feature = "zoo")]
        let early = self.has(Bug::ReadBeforeNoop);
        let Role::Leader(leading) = &mut self.role else { return };
        let opened = commit >= leading.opened_by;
        #[cfg(feature = "zoo")]
        let opened = opened || early;
        if !opened {
            return;
        }
        let round = leading.round + 1;
        let waiting = leading.reads.iter_mut().rev().take_while(|read| read.confirm.is_none());
        for read in waiting.chain(leading.repair_reads.iter_mut().filter(|read| read.confirm.is_none())) {
            read.confirm = Some((commit, round));
            leading.broadcast = true;
        }
    }

    /// Lets reads go whose round a quorum has answered.
    pub(super) fn confirm_reads(&mut self) {
        let Role::Leader(leading) = &self.role else { return };
        let leases = self.timing.lease_drift_ppm.is_some();
        if leading.reads.is_empty() && leading.repair_reads.is_empty() && !leases {
            return;
        }
        // A voter that repairs its log has no say here, and so cannot confirm its own read.
        let confirmed = self.reached_by_quorum(leading.round, |progress| progress.round);
        #[cfg(feature = "zoo")]
        let from_answer = self.has(Bug::LeaseFromAnswer).then_some(self.now.instant);
        let Role::Leader(leading) = &mut self.role else { return };
        leading.lease.confirmed(confirmed);
        #[cfg(feature = "zoo")]
        leading.lease.prolong_wrongly(confirmed, from_answer);
        let done = |read: &mut WaitingRead| read.confirm.is_some_and(|(_, round)| round <= confirmed);
        let mut ready = Vec::new();
        while let Some(read) = leading.reads.pop_front_if(done).or_else(|| leading.repair_reads.pop_front_if(done)) {
            ready.push(read);
        }
        for read in ready {
            sometimes!(self.facts, "read.by_round");
            self.let_read(&read);
        }
    }

    fn let_read(&mut self, read: &WaitingRead) {
        let (boot, id, index) = (read.boot, read.id, read.confirm.map_or(0, |(index, _)| index));
        #[cfg(feature = "zoo")]
        let index = if self.has(Bug::ReadBeforeApplied) && id != repair::REPAIR_READ { 0 } else { index };
        self.outputs.push_back(if read.asker == self.node {
            Output::ReadReady { id, index }
        } else {
            let message = RaftMessage::Read { term: self.vote.term, id, boot, index };
            Output::Send { to: read.asker, class: Class::Control, message }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_shorter_than_the_gate_by_the_drift_of_both_clocks() {
        let gate = Duration::from_millis(200);
        assert_eq!(lease_lasts(gate, 0), gate);
        // A leader's clock that is slow by 1 % against a voter's that is fast by 1 %.
        let lasts = lease_lasts(gate, 10_000);
        let (until_it_is_over, until_somebody_may_stand) = (lasts.as_micros() * 100 / 99, gate.as_micros() * 100 / 101);
        assert!(until_it_is_over <= until_somebody_may_stand, "{until_it_is_over} {until_somebody_may_stand}");
        assert!(lasts > Duration::from_millis(196));
        let lasts = lease_lasts(gate, 100_000);
        assert!(lasts.as_micros() * 100 / 90 <= gate.as_micros() * 100 / 110, "{lasts:?}");
    }

    #[test]
    fn a_lease_begins_when_the_round_was_sent() {
        let mut lease = Lease::default();
        lease.sent(1, Instant(100));
        lease.sent(2, Instant(200));
        lease.confirmed(1);
        assert!(lease.holds(Instant(149), Duration::from_micros(50)));
        assert!(!lease.holds(Instant(150), Duration::from_micros(50)));
        lease.confirmed(1);
        assert!(!lease.holds(Instant(200), Duration::from_micros(50)), "what is confirmed again is no longer than it was");
        lease.confirmed(2);
        assert!(lease.holds(Instant(249), Duration::from_micros(50)));
    }
}
