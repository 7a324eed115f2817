//! Votes: the gate, pre-votes, candidates (thesis 3.4, 3.6.1, 9.6).

use super::*;
use crate::dice::{Purpose, draw, within};
use crate::sometimes;
use crate::succession::slot_of;
use crate::time::Duration;

/// Who has said what in one election. An answer counts as long as its voter has not started again.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ballot {
    pub(super) granted: BTreeMap<NodeId, (Boot, Incarnation)>,
    /// Votes that came again.
    #[cfg(feature = "zoo")]
    pub(super) again: usize,
}

impl Ballot {
    pub(super) fn see_boot(&mut self, voter: NodeId, boot: Boot) {
        if self.granted.get(&voter).is_some_and(|(counted, _)| *counted != boot) {
            self.granted.remove(&voter);
        }
    }
}

impl Raft {
    /// Starts waiting anew: the longer, the further behind in the succession.
    pub(super) fn wait_for_leader(&mut self, now: Instant) {
        self.election_at = now + self.patience();
    }

    fn patience(&self) -> Duration {
        let bound = self.timing.jitter.as_micros() as u64;
        let nth = draw(self.seed, Purpose::ElectionJitter, self.node.0, self.vote.term, self.elections);
        let Succession { policy, order, .. } = self.succession_by_log();
        let slot = slot_of(policy, self.configuration().voters(), self.leader.or(self.last_leader), order, self.node);
        succession::patience(slot, &self.timing, Duration::from_micros(within(nth, 0, bound)))
    }

    /// The vote gate: open when no leader was heard for `detect_min`. A broken link to the leader opens it at once, unless a lease may rest on it.
    fn gate_is_open(&self, now: Now) -> bool {
        let lost = self.lost_leader.is_some() && self.timing.lease_drift_ppm.is_none();
        #[cfg(feature = "zoo")]
        let lost = lost || self.has(Bug::NoVoteGate);
        !self.is_leader() && (lost || now.instant.since(self.heard) >= self.timing.detect_min)
    }

    /// Whether this node could lead: it votes, its log is whole, and its disk writes. Who is not among the new voters stands as long as they are not committed: it may be
    /// the only one with their entry, and then nobody else can lead (4.2.2).
    pub(super) fn may_stand(&self) -> bool {
        let votes = self.configuration().is_voter(self.node) || self.committed_configuration().is_voter(self.node);
        votes && !self.is_repairing() && !self.rows_lost && !self.stalled && self.leave_at.is_none()
    }

    /// The link to the leader broke: a sign of its end that comes long before silence does. The first in line asks for pre-votes after a
    /// moment; they are on their way while the others notice it too, and whoever has not is asked again. The others wait for their turn.
    pub(super) fn lost_leader(&mut self, now: Now, leader: NodeId) {
        self.lost_leader = Some((leader, now.instant));
        let mut line = self.succession();
        line.retain(|id| *id != leader);
        let slot = line.iter().position(|id| *id == self.node).unwrap_or(line.len());
        // Under leases nobody may stand, either, before its own gate is open: the leader counts on this node's silence.
        let leases = self.timing.lease_drift_ppm.is_some();
        #[cfg(feature = "zoo")]
        let leases = leases && !self.has(Bug::StandUnderLease);
        let from = if leases { self.heard + self.timing.detect_min } else { now.instant };
        let at = now.instant.max(from) + self.timing.stagger / 16 + self.timing.stagger * slot as u32;
        self.election_at = self.election_at.min(at);
        sometimes!(self.facts, "leader.link_lost");
    }

    /// Whether a log that ends at `last` holds all that ours does: compared by term, then by length (3.6.1).
    fn is_up_to_date(&self, last: Position) -> bool {
        let ours = self.log.last();
        #[cfg(feature = "zoo")]
        match self.bug {
            Some(Bug::CompareIndexFirst) => return (last.index, last.term) >= (ours.index, ours.term),
            Some(Bug::VoteWithoutLogCheck) => return true,
            _ => {}
        }
        (last.term, last.index) >= (ours.term, ours.index)
    }

    /// Whether these votes make a leader: a majority of each set, or everybody in a cluster that has no first entry yet.
    fn is_elected(&self, ballot: &Ballot) -> bool {
        #[cfg(feature = "zoo")]
        if let Some(elected) = self.is_elected_wrongly(ballot) {
            return elected;
        }
        let granted = |id| ballot.granted.contains_key(&id);
        if self.is_configured() {
            quorum::agree(self.configuration().majorities(), granted)
        } else {
            self.configuration().voters().iter().all(|id| granted(*id))
        }
    }

    /// Nobody was heard for too long: ask whether votes would be given.
    pub(super) fn stand(&mut self, now: Now) {
        self.leader = None;
        if !self.may_stand() {
            return self.wait_for_leader(now.instant);
        }
        self.elections += 1;
        if matches!(self.role, Role::Candidate { .. }) {
            sometimes!(self.facts, "candidate.again");
        }
        let term = self.vote.term;
        self.facts.tell(|| Fact::BecamePreCandidate { term });
        let mut ballot = Ballot::default();
        ballot.granted.insert(self.node, (self.boot, self.incarnation));
        self.role = Role::PreCandidate { ballot, since: now.instant, again_at: now.instant };
        self.ask_pre_votes(now);
        self.count_votes(now);
    }

    /// A refused or lost pre-vote is asked for again every half stagger.
    pub(super) fn ask_pre_votes(&mut self, now: Now) {
        let pause = (self.timing.stagger / 2).max(Duration::from_millis(1));
        let own = (self.node, (self.boot, self.incarnation));
        #[cfg(feature = "zoo")]
        let asked = self.asked_wrongly();
        let Role::PreCandidate { ballot, since, again_at } = &mut self.role else { return };
        if now.instant.since(*since) >= self.timing.detection {
            // What was promised long ago may not hold any more, and a stale majority would disturb a leader that has come back.
            *since = now.instant;
            ballot.granted = BTreeMap::from([own]);
        }
        *again_at = now.instant + pause;
        let voters = self.configurations.current().all_voters();
        #[cfg(feature = "zoo")]
        let voters = asked.unwrap_or(voters);
        let missing: Vec<NodeId> = voters.into_iter().filter(|id| !ballot.granted.contains_key(id)).collect();
        let (term, last) = (self.vote.term + 1, self.log.last());
        for peer in missing {
            self.send(peer, Class::Control, RaftMessage::AskVote { term, pre: true, forced: false, last });
        }
    }

    /// `forced`: the leader of this term has asked for it, so nobody's gate stands in the way (3.10).
    pub(super) fn become_candidate(&mut self, now: Now, forced: bool) {
        let term = self.vote.term + 1;
        self.vote = Vote { term, voted_for: Some(self.node) };
        self.facts.tell(|| Fact::TermBegan { term });
        self.facts.tell(|| Fact::BecameCandidate { term });
        self.leader = None;
        self.role = Role::Candidate { ballot: Ballot::default() };
        #[cfg(feature = "zoo")]
        self.stand_wrongly();
        self.wait_for_leader(now.instant);
        let last = self.log.last();
        let voters = self.configuration().all_voters();
        #[cfg(feature = "zoo")]
        let voters = self.asked_wrongly().unwrap_or(voters);
        for peer in voters.into_iter().filter(|id| *id != self.node).collect::<Vec<_>>() {
            self.send(peer, Class::Control, RaftMessage::AskVote { term, pre: false, forced, last });
        }
    }

    pub(super) fn handle_ask_vote(&mut self, now: Now, from: NodeId, term: Term, (pre, forced): (bool, bool), last: Position) {
        let open = self.gate_is_open(now) || forced && !pre;
        // A log that has lost something cannot tell whether the candidate's holds it.
        let whole = !self.is_repairing();
        #[cfg(feature = "zoo")]
        let whole = whole || self.has(Bug::VoteWhileRepairing);
        if !open || term < self.vote.term || !whole {
            if !open && !pre {
                sometimes!(self.facts, "vote.gate_shut");
            }
            return self.tell_vote(from, self.vote.term, pre, false);
        }
        if pre {
            let granted = term > self.vote.term && self.is_up_to_date(last);
            return self.tell_vote(from, if granted { term } else { self.vote.term }, true, granted);
        }
        if term > self.vote.term {
            self.enter_term(now, term);
        }
        let free = self.vote.voted_for.is_none() || self.vote.voted_for == Some(from);
        if !free || !self.is_up_to_date(last) {
            if free {
                sometimes!(self.facts, "vote.log_too_old");
            } else {
                sometimes!(self.facts, "vote.given_already");
            }
            return self.tell_vote(from, term, false, false);
        }
        self.vote.voted_for = Some(from);
        // Whoever gets a vote gets the time to win with it, also when this node was about to stand itself.
        self.role = Role::Follower;
        self.wait_for_leader(now.instant);
        #[cfg(feature = "zoo")]
        if self.has(Bug::VoteBeforeDurable) {
            self.facts.tell(|| Fact::Voted { term, candidate: from });
            return self.tell_vote(from, term, false, true);
        }
        self.writing.vote_to_tell = Some((from, term));
        self.vote_is_durable(now);
    }

    fn tell_vote(&mut self, to: NodeId, term: Term, pre: bool, granted: bool) {
        let (boot, incarnation) = (self.boot, self.incarnation);
        self.send(to, Class::Control, RaftMessage::Voted { term, pre, granted, boot, incarnation });
    }

    /// Tells a vote, or counts our own, once it is on disk (3.8).
    pub(super) fn vote_is_durable(&mut self, now: Now) {
        let durable = self.writing.durable_vote;
        if durable != self.vote {
            return;
        }
        if let Some((candidate, term)) =
            self.writing.vote_to_tell.take_if(|(candidate, term)| *term == durable.term && durable.voted_for == Some(*candidate))
        {
            self.facts.tell(|| Fact::Voted { term, candidate });
            self.tell_vote(candidate, term, false, true);
        }
        let own = (self.boot, self.incarnation);
        if let Role::Candidate { ballot } = &mut self.role
            && durable.voted_for == Some(self.node)
            && ballot.granted.insert(self.node, own).is_none()
        {
            let (term, candidate) = (durable.term, self.node);
            self.facts.tell(|| Fact::Voted { term, candidate });
            self.count_votes(now);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message")]
    pub(super) fn handle_voted(
        &mut self,
        now: Now,
        from: NodeId,
        term: Term,
        pre: bool,
        granted: bool,
        boot: Boot,
        incarnation: Incarnation,
    ) {
        // A granted pre-vote carries the term that it was asked for, which nobody has entered.
        let hypothetical = pre && granted;
        if term > self.vote.term && !hypothetical {
            return self.enter_term(now, term);
        }
        let counts = !pre && term == self.vote.term;
        #[cfg(feature = "zoo")]
        let counts = counts || self.counts_wrongly(pre, term);
        let ballot = match &mut self.role {
            Role::PreCandidate { ballot, .. } if pre && granted && term == self.vote.term + 1 => ballot,
            Role::Candidate { ballot } if counts && granted => ballot,
            _ => return,
        };
        #[cfg(feature = "zoo")]
        (ballot.again += usize::from(ballot.granted.contains_key(&from)));
        // A run that is known to be over has no say.
        if self.links.get(&from).is_none_or(|known| *known == boot) {
            ballot.granted.insert(from, (boot, incarnation));
            self.count_votes(now);
        }
    }

    fn count_votes(&mut self, now: Now) {
        match &self.role {
            Role::PreCandidate { ballot, .. } if self.is_elected(ballot) => self.become_candidate(now, false),
            // Our own vote must be among them: a leader whose term is not on its disk could lead the same term again after a crash, with another log.
            Role::Candidate { ballot } if ballot.granted.contains_key(&self.node) && self.is_elected(ballot) => {
                let ballot = ballot.clone();
                self.become_leader(now, &ballot);
            }
            _ => {}
        }
    }

    fn become_leader(&mut self, now: Now, ballot: &Ballot) {
        let (term, last) = (self.vote.term, self.log.last());
        self.facts.tell(|| Fact::BecameLeader { term, last });
        if self.commit < last.index {
            sometimes!(self.facts, "leader.uncommitted_tail");
        }
        if self.configuration().is_joint() {
            sometimes!(self.facts, "leader.in_joint");
        }
        self.leader = Some(self.node);
        self.last_leader = Some(self.node);
        let uncommitted = self.log.slice(self.commit + 1, usize::MAX);
        self.role = Role::Leader(Box::new(Leading {
            progress: BTreeMap::new(),
            opened_by: last.index + 1,
            heartbeat_at: now.instant + self.timing.heartbeat,
            round: 0,
            reads: VecDeque::new(),
            repair_reads: VecDeque::new(),
            lease: read::Lease::default(),
            lease_given_up: false,
            transfer: None,
            asked_in_vain: BTreeSet::new(),
            ranking: Ranking::new(now.instant),
            last_at_heartbeat: last.index,
            broadcast: true,
            uncommitted_bytes: uncommitted.iter().map(|entry| entry.payload.len()).sum(),
        }));
        self.configuration_changed();
        let payload = if self.is_configured() {
            crate::wire::seal(Kind::Noop, &())
        } else {
            // Everybody has voted, so everybody's folder is known: from here on no other folder may take a voter's place.
            let mut first = self.configuration().clone();
            first.bind(|id| ballot.granted.get(&id).map(|(_, incarnation)| *incarnation));
            crate::wire::seal(Kind::Membership, &first)
        };
        self.append_own(now, payload);
    }
}
