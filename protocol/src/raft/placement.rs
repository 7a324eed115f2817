//! Who should lead next, as far as it touches the log: measuring, ranking, committing the order, and handing over to whoever is better placed.
//!
//! All of it is timing (DESIGN 3, "Succession"): an order that is wrong, old or cut off the log costs time at an election and nothing else. What is decided
//! stands in [`crate::succession`]; here it meets messages, timers and entries.

use super::*;
use crate::sometimes;
use crate::succession::{
    Latencies, Matrix, Placement, Policy, Reason, Succession, SuccessionTiming, order_of, preference, reasons,
};

/// What every replica keeps for it.
#[derive(Clone, Debug)]
pub(super) struct Placing {
    /// By the log, committed or not.
    pub(super) succession: Succession,
    /// Where it stands in the log; 0 when it came with the rows.
    at: Index,
    /// What counts again if it is cut off the log, oldest first, each with where it stands: the last committed one and those after it.
    before: Vec<(Index, Succession)>,
    /// What the first leader of a cluster commits, when the log says nothing.
    configured: Policy,
    timing: SuccessionTiming,
    latencies: Latencies,
    placement: Placement,
    probe_at: Instant,
    report_at: Instant,
}

/// What a leader keeps for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    matrix: Matrix,
    since: Instant,
    reasons: Vec<Reason>,
    /// An order that is not the committed one, and in how many evaluations in a row it has come out.
    wanted: Option<(Vec<NodeId>, u32)>,
}

impl Ranking {
    pub(super) fn new(since: Instant) -> Ranking {
        Ranking { since, ..Ranking::default() }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.matrix.forget(node);
    }
}

impl Placing {
    pub(super) fn new(config: &Config, succession: Option<Succession>, now: Instant) -> Placing {
        Placing {
            succession: succession.unwrap_or_default(),
            at: 0,
            before: Vec::new(),
            configured: config.succession.clone(),
            timing: config.succession_timing,
            latencies: Latencies::default(),
            placement: Placement::new(config.succession_timing),
            probe_at: now + config.succession_timing.probe,
            report_at: now + config.succession_timing.evaluation,
        }
    }

    /// Another one stands in the log at `index`; entries through `commit` are committed.
    pub(super) fn push(&mut self, index: Index, succession: Succession, commit: Index) {
        self.before.push((self.at, core::mem::replace(&mut self.succession, succession)));
        self.at = index;
        let committed = self.before.iter().take_while(|(at, _)| *at <= commit).count();
        self.before.drain(..committed.saturating_sub(1));
    }

    /// What stands at `index` and above is cut off the log.
    pub(super) fn truncate_from(&mut self, index: Index) {
        while self.at >= index
            && let Some(before) = self.before.pop()
        {
            (self.at, self.succession) = before;
        }
    }

    /// A snapshot says what is committed through `index`. What stands in the log behind it counts on, if the log is `kept`.
    pub(super) fn installed(&mut self, index: Index, committed: Succession, kept: bool) {
        if kept && self.at > index {
            self.before.retain(|(at, _)| *at > index);
            self.before.insert(0, (0, committed));
        } else {
            (self.succession, self.at) = (committed, 0);
            self.before.clear();
        }
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.probe_at.min(self.report_at)
    }

    /// Another run of a node has another clock.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.latencies.forget(node);
    }
}

impl Raft {
    /// Who leads next, in order; the present leader comes last.
    pub fn succession(&self) -> Vec<NodeId> {
        let Succession { policy, order, .. } = &self.placing.succession;
        order_of(policy, self.configuration().voters(), self.leader.or(self.last_leader), order)
    }

    /// The policy and the order by the log.
    pub fn succession_by_log(&self) -> &Succession {
        &self.placing.succession
    }

    /// What a leader has measured of each voter, best-placed first; empty when this node does not lead.
    pub fn placement_reasons(&self) -> &[Reason] {
        if let Role::Leader(leading) = &self.role { &leading.ranking.reasons } else { &[] }
    }

    /// The round trips between members that a leader knows, in µs.
    pub fn round_trips(&self) -> Vec<(NodeId, NodeId, u64)> {
        let Role::Leader(leading) = &self.role else { return Vec::new() };
        let ways = leading.ranking.matrix.ways(self.now.instant, self.placing.timing.max_age);
        let ids: Vec<NodeId> = self.configuration().members().iter().map(|member| member.id).collect();
        let pairs = ids.iter().enumerate().flat_map(|(nth, a)| ids[nth + 1..].iter().map(move |b| (*a, *b)));
        pairs.filter_map(|(a, b)| Some((a, b, ways.round_trip(a, b)?))).collect()
    }

    /// Asks for another policy; done once it stands committed, like [`Raft::change`].
    pub fn set_policy(&mut self, now: Now, policy: &Policy) -> Changing {
        let Role::Leader(leading) = &self.role else { return Changing::NotLeader };
        if leading.transfer.is_some() {
            return Changing::Pending;
        }
        if self.placing.succession.epoch > 0 && self.placing.succession.policy == *policy {
            return if self.placing.at <= self.commit { Changing::Done } else { Changing::Pending };
        }
        let order = preference(policy, self.configuration().voters(), &self.placing.succession.order);
        self.commit_succession(now, policy.clone(), order);
        Changing::Pending
    }

    fn commit_succession(&mut self, now: Now, policy: Policy, order: Vec<NodeId>) {
        if let Some(succession) = self.placing.succession.revised(&policy, order) {
            self.append_own(now, crate::wire::seal(Kind::Succession, &succession));
        }
    }

    /// Lets others measure, and tells the leader what was measured here.
    pub(super) fn measure(&mut self, now: Now) {
        if now.instant >= self.placing.probe_at {
            self.placing.probe_at = now.instant + self.placing.timing.probe;
            let peers: Vec<NodeId> =
                self.configuration().members().iter().map(|member| member.id).filter(|id| *id != self.node).collect();
            for peer in peers {
                self.send(peer, Class::Control, RaftMessage::Probe { sent: now.instant.0 });
            }
        }
        if now.instant >= self.placing.report_at {
            self.placing.report_at = now.instant + self.placing.timing.evaluation;
            let column = self.placing.latencies.column(now.instant, self.placing.timing.max_age);
            match (&mut self.role, self.leader) {
                (Role::Leader(leading), _) => {
                    leading.ranking.matrix.report(self.node, &column, now.instant);
                    self.rank(now);
                }
                (_, Some(leader)) => {
                    let (term, boot) = (self.vote.term, self.boot);
                    self.send(leader, Class::Control, RaftMessage::Report { term, boot, column });
                }
                (_, None) => {}
            }
        }
    }

    pub(super) fn handle_probe(&mut self, now: Now, from: NodeId, sent: u64) {
        if self.configuration().is_member(from) {
            self.placing.latencies.heard(from, sent, now.instant);
        }
    }

    pub(super) fn handle_report(&mut self, now: Now, from: NodeId, boot: Boot, column: &[(NodeId, i64)]) {
        let Role::Leader(leading) = &mut self.role else { return };
        if leading.progress.get(&from).is_some_and(|progress| progress.boot.is_none_or(|known| known == boot)) {
            leading.ranking.matrix.report(from, column, now.instant);
        }
    }

    /// Ranks the voters anew, commits the order when it has held, and hands over if another voter is clearly better placed.
    fn rank(&mut self, now: Now) {
        let timing = self.placing.timing;
        let members: Vec<NodeId> = self.configuration().members().iter().map(|member| member.id).collect();
        self.placing.latencies.retain(&members);
        let sets: Vec<&[NodeId]> = self.configurations.current().majorities().collect();
        let Role::Leader(leading) = &mut self.role else { return };
        leading.ranking.matrix.retain(&members);
        let ways = leading.ranking.matrix.ways(now.instant, timing.max_age);
        leading.ranking.reasons = reasons(&ways, &sets, timing.resolution);
        if self.commit < leading.opened_by || leading.transfer.is_some() {
            return;
        }
        self.revise_order(now);
        self.go_where_it_is_better(now);
    }

    fn revise_order(&mut self, now: Now) {
        let Succession { epoch, policy, order } = &self.placing.succession;
        let policy = if *epoch == 0 { self.placing.configured.clone() } else { policy.clone() };
        let voters = self.configurations.current().voters();
        let Role::Leader(leading) = &mut self.role else { return };
        // A ring needs nobody to say it, unless something else was said before.
        if policy == Policy::Ring && (*epoch == 0 || order.is_empty()) {
            return;
        }
        let ranked: Vec<NodeId> = leading.ranking.reasons.iter().map(|reason| reason.node).collect();
        let all_known = leading.ranking.reasons.iter().all(|reason| reason.quorum_us.is_some());
        let wanted = preference(&policy, voters, &ranked);
        // What is not measured yet says nothing about where a voter stands; voters that are down keep their place while others can be told apart.
        let premature = policy == Policy::Central && *epoch == 0 && !all_known;
        if *order == wanted || premature {
            leading.ranking.wanted = None;
            return;
        }
        let before = leading.ranking.wanted.take().filter(|(order, _)| *order == wanted).map_or(0, |(_, times)| times);
        if before + 1 >= self.placing.timing.in_a_row {
            sometimes!(self.facts, "succession.revised");
            self.commit_succession(now, policy, wanted);
        } else {
            leading.ranking.wanted = Some((wanted, before + 1));
        }
    }

    fn go_where_it_is_better(&mut self, now: Now) {
        let ready: BTreeSet<NodeId> = self.successors().into_iter().collect();
        let Role::Leader(leading) = &self.role else { return };
        let view = crate::succession::View {
            node: self.node,
            leading_since: leading.ranking.since,
            policy: &self.placing.succession.policy,
            reasons: &leading.ranking.reasons,
            ready: &ready,
        };
        if let Some(to) = self.placing.placement.evaluate(now.instant, view) {
            sometimes!(self.facts, "leader.better_placed");
            // A target that has just gone is no harm: the next try is a cooldown away.
            let _ = self.transfer(now, to);
        }
    }
}

/// The succession in an entry.
pub(crate) fn succession_in(entry: &Entry) -> Option<Succession> {
    let envelope = Envelope::parse(&entry.payload).ok()?;
    (envelope.kind == Kind::Succession).then(|| envelope.decode().ok()).flatten()
}
