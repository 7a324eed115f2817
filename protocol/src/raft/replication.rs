//! Appends, on the leader's side and on the follower's (thesis 3.5, 3.6.2, 10.2.1).

use super::progress::Flow;
use super::*;
use crate::sometimes;

/// Log bytes that a lagging follower is sent from disk at a time.
const LOAD_BYTES: u32 = 256 << 10;

impl Raft {
    // ---- leader -------------------------------------------------------------------------------------------------------------------------

    /// Appends an entry of this term to the own log.
    pub(super) fn append_own(&mut self, now: Now, payload: Bytes) -> Position {
        if let Role::Leader(leading) = &mut self.role {
            leading.uncommitted_bytes += payload.len();
        }
        let at = Timestamp::next(self.log.last_at(), now.wall);
        self.append_entry(Entry::after(self.log.last(), self.vote.term, at, payload))
    }

    fn append_entry(&mut self, entry: Entry) -> Position {
        let at = entry.position();
        let (configuration, succession) = (configuration_in(&entry), succession_in(&entry));
        self.extent.appended(&entry, self.limits.log_bytes);
        self.log.push(entry);
        self.facts.tell(|| Fact::Appended { at });
        if let Some(succession) = succession {
            self.placing.push(at.index, succession, self.commit);
        }
        if let Some(configuration) = configuration {
            self.facts.tell(|| configuration.told(at));
            self.configurations.push(at.index, configuration);
            self.configuration_changed();
        }
        at
    }

    /// Says that the leader is there, or finds that it has lost its quorum and falls silent (CheckQuorum, 6.2).
    pub(super) fn heartbeat(&mut self, now: Now) {
        let heard = self.reached_by_quorum(now.instant, |progress| progress.heard);
        if now.instant.since(heard) >= self.timing.detection {
            sometimes!(self.facts, "leader.quorum_lost");
            return self.become_follower(now, None);
        }
        self.go_on_with_transfer(now);
        self.say_farewell(now);
        self.promote_learners(now);
        let last = self.log.last().index;
        #[cfg(feature = "zoo")]
        let told_once = self.has(Bug::SnapshotToldOnce);
        let Role::Leader(leading) = &mut self.role else { return };
        leading.last_at_heartbeat = last;
        leading.heartbeat_at = now.instant + self.timing.heartbeat;
        leading.broadcast = true;
        for progress in leading.progress.values_mut() {
            #[cfg(feature = "zoo")]
            if told_once && matches!(progress.flow, Flow::Snapshot { .. }) {
                continue;
            }
            if let Flow::Probe { waiting: once } | Flow::Snapshot { told: once } = &mut progress.flow {
                *once = false;
            }
        }
    }

    /// The greatest value that a quorum has reached: `own` here, `of` what is believed of each other voter whose word counts.
    pub(super) fn reached_by_quorum<T: Ord + Copy + Default>(&self, own: T, of: impl Fn(&Progress) -> T) -> T {
        let Role::Leader(leading) = &self.role else { return T::default() };
        quorum::reached(self.configuration().majorities(), |id| match leading.progress.get(&id) {
            _ if id == self.node => own,
            Some(progress) if progress.counts() => of(progress),
            #[cfg(feature = "zoo")]
            Some(progress) if self.has(Bug::CountDamaged) => of(progress),
            _ => T::default(),
        })
    }

    /// Sends whatever each follower may be sent now; a heartbeat where there is nothing else and a broadcast is owed.
    pub(super) fn replicate(&mut self) {
        let Role::Leader(leading) = &mut self.role else { return };
        let broadcast = core::mem::take(&mut leading.broadcast);
        if broadcast {
            leading.round += 1;
            if self.timing.lease_drift_ppm.is_some() {
                leading.lease.sent(leading.round, self.now.instant);
            }
        }
        let last = self.log.last().index;
        let behind = |progress: &Progress| broadcast || progress.next <= last;
        if !leading.progress.values().any(behind) {
            return self.confirm_reads();
        }
        let peers: Vec<NodeId> =
            leading.progress.iter().filter(|(_, progress)| behind(progress)).map(|(peer, _)| *peer).collect();
        for peer in peers {
            let sent = self.send_entries(peer);
            if broadcast && !sent {
                self.send_heartbeat(peer);
            }
        }
        self.confirm_reads();
    }

    fn send_entries(&mut self, peer: NodeId) -> bool {
        let (term, commit, last) = (self.vote.term, self.commit, self.log.last().index);
        let mut sent = false;
        loop {
            let Role::Leader(leading) = &mut self.role else { return sent };
            let Some(progress) = leading.progress.get_mut(&peer) else { return sent };
            if progress.next > last || !progress.may_send(self.limits.inflight_bytes as usize) {
                return sent;
            }
            let Some(previous) = self.log.position(progress.next - 1) else {
                let start = self.extent.start().index;
                if progress.next <= start {
                    progress.flow = Flow::Snapshot { told: false };
                    return sent;
                }
                // Older than memory: read it from disk, with the entry before it for its term.
                self.loads_made += 1;
                let id = LoadId(self.loads_made * 4);
                progress.flow = Flow::Load(id);
                let from = progress.next.saturating_sub(1).max(start + 1);
                // An entry that alone is greater than a load comes together with the one before it: without that it could not be sent.
                let through = if progress.big { from + 1 } else { self.log.start().index.max(from) };
                let max_bytes = if core::mem::take(&mut progress.big) { u32::MAX } else { LOAD_BYTES };
                self.loads.insert(id, peer);
                self.outputs.push_back(Output::Load { id, query: Query::Log { from, through, max_bytes } });
                return sent;
            };
            let entries = self.log.slice(progress.next, self.limits.append_bytes as usize);
            progress.sent(&entries);
            let round = leading.round;
            self.send(peer, Class::Data, RaftMessage::Append { term, previous, entries, commit, round });
            sent = true;
        }
    }

    /// An empty append after what was sent last, so that a lost append, or a log that does not agree, is noticed. While entries are read from disk it only says that
    /// the leader is there.
    fn send_heartbeat(&mut self, peer: NodeId) {
        let Role::Leader(leading) = &self.role else { return };
        let Some(progress) = leading.progress.get(&peer) else { return };
        let place = match progress.flow {
            Flow::Load(_) | Flow::Snapshot { .. } => None,
            Flow::Probe { .. } | Flow::Replicate => self.log.position(progress.next - 1),
        };
        let snapshot = progress.flow == Flow::Snapshot { told: false };
        let previous = place.unwrap_or_default();
        let (term, commit, round) = (self.vote.term, self.commit, leading.round);
        self.send(peer, Class::Control, RaftMessage::Append { term, previous, entries: Vec::new(), commit, round });
        if snapshot {
            let start = self.extent.start().index;
            self.send(peer, Class::Control, RaftMessage::NeedSnapshot { term, start });
            if let Role::Leader(leading) = &mut self.role
                && let Some(progress) = leading.progress.get_mut(&peer)
            {
                progress.flow = Flow::Snapshot { told: true };
            }
        }
    }

    /// Entries that a lagging follower needs have come from disk.
    pub fn handle_loaded(&mut self, load: LoadId, loaded: Result<Loaded, StoreError>) {
        let Some(peer) = self.loads.remove(&load) else { return };
        let entries = match loaded {
            Ok(Loaded::Entries(entries)) => entries,
            Ok(_) => return,
            Err(error) => return self.halt(HaltReason::Store { message: error.message }),
        };
        let (term, commit) = (self.vote.term, self.commit);
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(progress) = leading.progress.get_mut(&peer).filter(|progress| progress.flow == Flow::Load(load)) else { return };
        progress.probe_from(progress.next);
        let start = self.extent.start();
        let (previous, entries) = match entries.split_first() {
            Some((first, [])) if first.index + 1 == progress.next => return progress.big = true,
            Some((first, rest)) if first.index + 1 == progress.next => (first.position(), rest.to_vec()),
            Some((first, _)) if first.index == progress.next && start.index + 1 == first.index => (start, entries),
            _ => return,
        };
        progress.sent(&entries);
        progress.flow = Flow::Probe { waiting: true };
        let round = leading.round;
        self.send(peer, Class::Data, RaftMessage::Append { term, previous, entries, commit, round });
    }

    /// Takes note that a follower answered; false if the answer is not for this leader's term, or comes from a run that is over.
    pub(super) fn heard_answer(&mut self, now: Now, from: NodeId, term: Term, answer: Answer) -> bool {
        if term > self.vote.term {
            self.enter_term(now, term);
            return false;
        }
        let last = self.log.last().index;
        let Role::Leader(leading) = &mut self.role else { return false };
        let leading_round = leading.round;
        let Some(progress) = leading.progress.get_mut(&from).filter(|_| term == self.vote.term) else { return false };
        if !progress.hears(answer.boot, answer.round, leading_round, last) {
            return false;
        }
        let whole_again = !progress.counts() && !answer.repairing;
        progress.see_repair(answer.repairing);
        progress.heard = now.instant;
        progress.round = progress.round.max(answer.round.min(leading_round));
        self.confirm_reads();
        if whole_again {
            // What it was known to hold counts from now on.
            self.advance_commit(now);
        }
        self.is_leader()
    }

    pub(super) fn handle_appended(&mut self, now: Now, from: NodeId, matched: Index) {
        let last = self.log.last().index;
        #[cfg(feature = "zoo")]
        let matched = if self.has(Bug::CreditLeadersLast) && matched > 0 { last } else { matched };
        let Role::Leader(leading) = &mut self.role else { return };
        // Nobody can hold more of this log than there is.
        let Some(progress) = leading.progress.get_mut(&from).filter(|_| matched <= last) else { return };
        let news = progress.matched(matched);
        if matches!(progress.flow, Flow::Snapshot { .. }) && progress.matched >= self.extent.start().index {
            // It has got its snapshot: what follows is in the log.
            progress.probe_from(progress.matched + 1);
        }
        if news {
            if leading.transfer.is_some() {
                self.go_on_with_transfer(now);
            }
            self.advance_commit(now);
        }
    }

    pub(super) fn handle_refused(&mut self, from: NodeId, previous: Index, hint: Position) {
        #[cfg(feature = "zoo")]
        let stays = self.has(Bug::RejectNeverMovesBack);
        let Role::Leader(leading) = &mut self.role else { return };
        let Some(progress) = leading.progress.get_mut(&from) else { return };
        let stale = match progress.flow {
            Flow::Replicate => previous <= progress.matched,
            Flow::Probe { .. } => previous + 1 != progress.next,
            Flow::Load(_) | Flow::Snapshot { .. } => true,
        };
        if stale {
            return;
        }
        #[cfg(feature = "zoo")]
        if stays {
            return progress.probe_from(previous + 1);
        }
        let agree_at = self.log.last_not_above(hint).map_or(hint.index, |position| position.index);
        progress.probe_from(agree_at.min(previous.saturating_sub(1)) + 1);
    }

    /// Commits what a majority holds durably: only entries of this term by counting, older ones with them (3.6.2).
    pub(super) fn advance_commit(&mut self, now: Now) {
        let index = self.reached_by_quorum(self.writing.durable, |progress| progress.matched);
        #[cfg(feature = "zoo")]
        let index = self.counted_wrongly().unwrap_or(index);
        if index <= self.commit {
            return;
        }
        let Some(through) = self.log.position(index) else { return };
        let counts = through.term == self.vote.term;
        #[cfg(feature = "zoo")]
        let counts = counts || self.has(Bug::CountOldTerms);
        if !counts {
            sometimes!(self.facts, "commit.older_term_held_back");
            return;
        }
        let bytes: usize =
            (self.commit + 1..=index).filter_map(|index| self.log.get(index)).map(|entry| entry.payload.len()).sum();
        let Role::Leader(leading) = &mut self.role else { return };
        leading.uncommitted_bytes = leading.uncommitted_bytes.saturating_sub(bytes);
        // Followers hear of it at once: their clients wait for it.
        leading.broadcast = true;
        self.commit = index;
        self.facts.tell(|| Fact::Committed { through, as_leader: true });
        if self.configuration().is_joint() {
            sometimes!(self.facts, "commit.in_joint");
        }
        self.start_reads();
        if self.configurations.commit(index) {
            self.configuration_committed(now);
        }
        self.go_on_with_change(now);
    }

    // ---- follower -----------------------------------------------------------------------------------------------------------------------

    /// `from` is the leader of this term, and this node follows it.
    pub(super) fn handle_append(
        &mut self,
        now: Now,
        from: NodeId,
        previous: Position,
        mut entries: Vec<Entry>,
        commit: Index,
        round: u64,
    ) {
        self.round = self.round.max(round);
        let through = previous.index + entries.len() as Index;
        let start = self.log.start();
        if previous.index > self.log.last().index {
            let hint = self.log.last();
            sometimes!(self.facts, "append.hole_refused");
            return self.refuse(from, previous.index, hint);
        }
        if previous.index >= start.index {
            match self.log.position(previous.index) {
                Some(ours) if ours == previous => {}
                #[cfg(feature = "zoo")]
                Some(_) if self.has(Bug::NoPreviousCheck) => {}
                Some(ours) if ours.term == previous.term => return self.halt(HaltReason::Diverged { index: previous.index }),
                _ => {
                    let below = Position { index: previous.index.saturating_sub(1), ..previous };
                    let hint = self.log.last_not_above(below).unwrap_or(start);
                    sometimes!(self.facts, "append.conflict_refused");
                    return self.refuse(from, previous.index, hint);
                }
            }
        } else {
            // All up to `start` is committed here, so any leader has it too.
            entries.retain(|entry| entry.index > start.index);
        }
        #[cfg(feature = "zoo")]
        if entries.is_empty() && self.has(Bug::HeartbeatTruncates) {
            self.truncate_wrongly(previous.index + 1);
        }
        let appended = match self.take_entries(entries) {
            Ok(appended) => appended,
            Err(index) => return self.halt(HaltReason::Diverged { index }),
        };
        self.agreed = self.agreed.max(through);
        self.owes_answer = true;
        self.finish_repair();
        if !appended {
            self.answer_leader();
        }
        self.learn_commit(now, commit);
    }

    /// Takes entries that begin at or below the end of the log; true if the log changed. `Err`: they contradict what is committed here, or each other.
    pub(super) fn take_entries(&mut self, entries: Vec<Entry>) -> Result<bool, Index> {
        let mut appended = false;
        for entry in entries {
            match self.log.position(entry.index) {
                Some(ours) if ours == entry.position() => continue,
                #[cfg(feature = "zoo")]
                Some(_) if self.has(Bug::KeepConflicting) => continue,
                Some(ours) if ours.term == entry.term || entry.index <= self.commit => return Err(entry.index),
                Some(_) => {
                    sometimes!(self.facts, "log.replaced");
                    self.truncate_from(entry.index);
                }
                None => {}
            }
            let follows = entry.follows(self.log.last());
            #[cfg(feature = "zoo")]
            let follows = follows || self.has(Bug::NoPreviousCheck) || self.has(Bug::KeepConflicting);
            if !follows {
                return Err(entry.index);
            }
            self.append_entry(entry);
            appended = true;
        }
        Ok(appended)
    }

    /// What stands at `index` and above makes way for another leader's entries.
    pub(super) fn truncate_from(&mut self, index: Index) {
        self.log.truncate_from(index);
        #[cfg(feature = "zoo")]
        let durable = self.writing.durable;
        self.writing.replaced_from(index);
        #[cfg(feature = "zoo")]
        if self.has(Bug::CreditReplaced) {
            self.writing.durable = durable;
        }
        self.placing.truncate_from(index);
        self.extent.replaced_from(index);
        #[cfg(feature = "zoo")]
        if self.has(Bug::KeepTruncatedConfiguration) {
            return;
        }
        if self.configurations.truncate_from(index) {
            sometimes!(self.facts, "configuration.reverted");
            self.configuration_changed();
        }
    }

    fn learn_commit(&mut self, now: Now, commit: Index) {
        let agreed = self.agreed;
        #[cfg(feature = "zoo")]
        let agreed = if self.has(Bug::CommitUnverified) { self.log.last().index } else { agreed };
        let commit = commit.min(agreed);
        if commit > self.commit {
            self.commit = commit;
            if let Some(through) = self.log.position(commit) {
                self.facts.tell(|| Fact::Committed { through, as_leader: false });
            }
            if self.configurations.commit(commit) {
                self.configuration_committed(now);
            }
        }
    }

    fn refuse(&mut self, to: NodeId, previous: Index, hint: Position) {
        let (term, answer) = (self.vote.term, self.answer());
        self.send(to, Class::Control, RaftMessage::Refused { term, previous, hint, answer });
    }

    /// Tells the leader how much of its log is durable here.
    pub(super) fn answer_leader(&mut self) {
        let Some(leader) = self.leader.filter(|leader| *leader != self.node) else { return };
        self.owes_answer = false;
        let matched = self.agreed.min(self.writing.durable);
        #[cfg(feature = "zoo")]
        let matched = match self.bug {
            Some(Bug::AckBeforeDurable) => self.agreed,
            Some(Bug::AckOwnLast) => self.writing.durable,
            _ => matched,
        };
        let (term, answer) = (self.vote.term, self.answer());
        if let Some(through) = self.log.position(matched).filter(|_| !answer.repairing) {
            self.facts.tell(|| Fact::Acknowledged { term, through });
        }
        self.send(leader, Class::Control, RaftMessage::Appended { term, matched, answer });
    }
}
