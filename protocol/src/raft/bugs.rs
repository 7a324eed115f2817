//! What bugs of the zoo do where the right code has no line that could be bent a little. Compiled only with `feature = "zoo"`; see [`crate::zoo`].

use super::election::Ballot;
use super::*;

impl Raft {
    /// Whether this bug is switched on.
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    // ---- votes --------------------------------------------------------------------------------------------------------------------------

    /// What a node has forgotten when it starts.
    pub(super) fn start_wrongly(&mut self) {
        match self.bug {
            Some(Bug::ForgetVote) => self.vote.voted_for = None,
            Some(Bug::OpenGateAfterRestart) => {
                self.heard = Instant(self.heard.0.saturating_sub(self.timing.detect_min.as_micros() as u64));
            }
            _ => {}
        }
    }

    /// A candidate that counts its own vote and does not write it down.
    pub(super) fn stand_wrongly(&mut self) {
        let own = (self.boot, self.incarnation);
        if self.has(Bug::OwnVoteNotSaved)
            && self.is_configured()
            && let Role::Candidate { ballot } = &mut self.role
        {
            ballot.granted.insert(self.node, own);
            self.vote.voted_for = None;
            let (term, candidate) = (self.vote.term, self.node);
            self.facts.tell(|| Fact::Voted { term, candidate });
        }
    }

    /// Who is asked for a vote, other than the voters.
    pub(super) fn asked_wrongly(&self) -> Option<Vec<NodeId>> {
        self.has(Bug::CountLearnerVotes).then(|| self.member_ids())
    }

    /// Whether an answer counts for a candidate that should not.
    pub(super) fn counts_wrongly(&self, pre: bool, term: Term) -> bool {
        match self.bug {
            Some(Bug::CountPreVotes) => pre && term == self.vote.term,
            Some(Bug::CountStaleVotes) => !pre && term < self.vote.term,
            _ => false,
        }
    }

    /// Whether too few votes make a leader.
    pub(super) fn is_elected_wrongly(&self, ballot: &Ballot) -> Option<bool> {
        if !self.is_configured() {
            return None;
        }
        let granted = |set: &[NodeId]| set.iter().filter(|id| ballot.granted.contains_key(id)).count();
        let mut sets = self.configuration().majorities();
        match self.bug? {
            Bug::HalfIsMajority => Some(sets.all(|set| granted(set) >= set.len().div_ceil(2))),
            Bug::CountVotesTwice => Some(sets.all(|set| granted(set) + ballot.again >= quorum::majority(set.len()))),
            Bug::CountLearnerVotes => {
                let members = self.member_ids();
                Some(granted(&members) >= quorum::majority(members.len()))
            }
            _ => None,
        }
    }

    // ---- what is committed --------------------------------------------------------------------------------------------------------------

    /// What is durable on a majority, by those bugs that count the wrong ones.
    pub(super) fn counted_wrongly(&self) -> Option<Index> {
        let Role::Leader(leading) = &self.role else { return None };
        let matched = |id: NodeId| leading.progress.get(&id).map_or(self.writing.durable, |progress| progress.matched);
        let members = self.member_ids();
        let set = match self.bug? {
            Bug::CommitByNewMajority => self.configuration().voters(),
            // As many as the voters' majority, whoever they are.
            Bug::CountLearners => {
                let mut values: Vec<Index> = members.iter().map(|id| matched(*id)).collect();
                values.sort_unstable_by(|a, b| b.cmp(a));
                return values.get(quorum::majority(self.configuration().voters().len()) - 1).copied();
            }
            Bug::CommitOwnUndurable => return Some(self.reached_by_quorum(self.log.last().index, |progress| progress.matched)),
            Bug::RemovedLeaderCounts => {
                let reached = |set: &[NodeId]| {
                    let mut values: Vec<Index> = set.iter().map(|id| matched(*id)).collect();
                    if !set.contains(&self.node) {
                        values.push(self.writing.durable);
                    }
                    values.sort_unstable_by(|a, b| b.cmp(a));
                    values.get(quorum::majority(set.len()) - 1).copied().unwrap_or_default()
                };
                return self.configuration().majorities().map(reached).min();
            }
            _ => return None,
        };
        Some(quorum::reached([set].into_iter(), matched))
    }

    /// Cuts off what nobody has replaced.
    pub(super) fn truncate_wrongly(&mut self, index: Index) {
        if index > self.commit && index > self.log.start().index && index <= self.log.last().index {
            self.truncate_from(index);
            self.agreed = self.agreed.min(index - 1);
        }
    }

    // ---- snapshots and reads ------------------------------------------------------------------------------------------------------------

    /// Tells the leader of a snapshot that is not in use yet.
    pub(crate) fn acknowledge_wrongly(&mut self, through: Position) {
        if let Some(leader) = self.leader.filter(|_| self.has(Bug::AckSnapshotEarly)) {
            let (term, answer) = (self.vote.term, self.answer());
            self.facts.tell(|| Fact::Acknowledged { term, through });
            self.send(leader, Class::Control, RaftMessage::Appended { term, matched: through.index, answer });
        }
    }

    /// Whether a read is answered at once that should wait for a round, or for an entry of this term.
    pub(super) fn reads_wrongly(&self, now: Now) -> bool {
        match self.bug {
            Some(Bug::ReadUnconfirmed) => self.opened_by().is_some_and(|opened_by| self.commit >= opened_by),
            Some(Bug::ReadBeforeNoop) => self.lease_holds(now),
            _ => false,
        }
    }

    fn member_ids(&self) -> Vec<NodeId> {
        self.configuration().members().iter().map(|member| member.id).collect()
    }
}
