//! The two phases of a run: faults and posts, then neither; and what must hold at the end.
//!
//! Liveness phase: all faults have healed. Within `heal_within` every command must be settled, all nodes equal, every client delivered all that was
//! acknowledged to anybody; then all clients read all rooms from the beginning, which must end in the same time; then the judge's last rules.

use super::World;
use super::event::Event;
use crate::engine::Verdict;
use crate::plan::{Action, ClusterView};
use crate::scenario::Rot;
use tertulia_protocol::gateway::Status;

/// How often it is looked whether everything has settled.
const CHECK: u64 = 20_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Posts and faults.
    Safety,
    /// Neither any more.
    Settling,
    /// All clients read everything.
    Reading,
}

impl World<'_> {
    /// Makes sure that the plan is asked when its next step is due.
    pub(super) fn schedule_plan(&mut self) {
        if let Some(at) = self.plan.next_time().map(|at| at.max(self.now)).filter(|at| *at < self.plan_due) {
            self.plan_due = at;
            self.queue.push(at, Event::Plan);
        }
    }

    pub(super) fn follow_plan(&mut self) {
        if self.plan_due <= self.now {
            self.plan_due = u64::MAX;
        }
        loop {
            let (line, seats) = (self.witness.line(), self.seats_taken());
            let view = ClusterView { seats: &seats, ..self.witness.view(&line) };
            let Some(actions) = self.plan.poll(self.now, view) else { break };
            self.carry_out(actions);
        }
        self.witness.conditions(self.now, self.plan.conditions());
        self.schedule_plan();
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Crash { node, fate, torn, rot } => {
                    self.crash(node, fate, torn);
                    if let Some((rot, drawn)) = rot
                        && self.hosts[node].disk.rot(rot, drawn)
                    {
                        self.plan.note_rotten();
                        if rot == Rot::Log {
                            self.witness.damaged(self.now, node);
                        }
                    }
                }
                Action::Restart { node } => self.start(node),
                Action::Gone { node } => self.gone(node),
                Action::Pause { node } => self.pause(node),
                Action::Resume { node } => self.resume(node),
                Action::Reset { a, b } => {
                    self.witness.reset(self.now, a, b);
                    self.reset(a, b);
                }
                Action::Operator(call) => self.want(call),
                Action::Links => self.review_all_links(),
                Action::Clocks => self.set_clocks(),
                Action::Disconnect { client } => self.disconnect(client),
                Action::Clients => self.review_clients(),
            }
        }
    }

    /// Posts stop by themselves; faults heal here.
    pub(super) fn stop(&mut self) {
        let actions = self.plan.heal(self.now);
        self.carry_out(actions);
        self.witness.conditions(self.now, self.plan.conditions());
        self.phase = Phase::Settling;
        self.queue.push(self.now + CHECK, Event::Check);
    }

    pub(super) fn check(&mut self) {
        if self.phase == Phase::Settling && self.unsettled().is_none() {
            self.phase = Phase::Reading;
            for client in 0..self.seats.len() {
                if let Some(actor) = &mut self.seats[client].actor {
                    actor.read_all(self.now);
                }
                self.pump(client);
            }
        }
        let all_read = self.seats.iter().all(|seat| seat.actor.as_ref().is_some_and(|actor| actor.has_read_all()));
        // What was settled may be in motion again: leaders measure and hand over whether anybody posts or not.
        let well = self.phase == Phase::Reading && all_read && self.unsettled().is_none();
        let open = if well { self.left_open() } else { None };
        if well && open.is_none() {
            return self.finish();
        }
        if self.now >= self.scenario.workload.stop + self.scenario.expect.heal_within {
            return match open {
                Some(open) => self.fail(Verdict::failed("nothing-left-open", open)),
                None => self.not_healed(),
            };
        }
        self.queue.push(self.now + CHECK, Event::Check);
    }

    /// What a node still holds of requests and reads although nobody waits for anything: a leak, if it stays.
    fn left_open(&self) -> Option<String> {
        let members = (0..self.hosts.len()).filter(|host| self.witness.roster.is_member(*host));
        let open = |host: usize| self.hosts[host].machine.as_ref().map(|machine| (host, machine.open_work()));
        let (host, work) = members.filter_map(open).find(|(_, work)| !work.is_nothing())?;
        Some(format!("all clients have all their outcomes and answers, and n{} still holds {work:?}", host + 1))
    }

    fn statuses(&self) -> Vec<Option<Status>> {
        self.hosts.iter().map(|host| host.machine.as_ref().map(|machine| machine.status())).collect()
    }

    /// What is not as it must be at the end, or `None`.
    fn unsettled(&self) -> Option<String> {
        for (client, seat) in self.seats.iter().enumerate() {
            let Some(actor) = &seat.actor else { return Some(format!("client {} has not begun", client + 1)) };
            if let Some(waits) = actor.waits_for(&self.witness.acked) {
                return Some(waits);
            }
        }
        if let Some(call) = self.operator.waits_for() {
            return Some(format!("the operator still waits for {call:?}"));
        }
        if let Some(why) = self.witness.not_yet(&self.scenario.expect) {
            return Some(why);
        }
        let all = self.statuses().into_iter().enumerate();
        let statuses: Vec<_> = all.filter(|(host, _)| self.witness.roster.is_member(*host)).map(|(_, status)| status).collect();
        let committed = self.witness.committed();
        let first = statuses.first().and_then(Option::as_ref);
        let equal = |status: &Option<Status>| {
            let (Some(a), Some(b)) = (status, first) else { return false };
            a.applied == committed && a.state_hash == b.state_hash
        };
        (!statuses.iter().all(equal)).then(|| "the nodes are not equal".to_owned())
    }

    fn not_healed(&mut self) {
        let mut evidence = vec![format!("{} us after all faults healed it is not well", self.scenario.expect.heal_within)];
        evidence.push(self.unsettled().unwrap_or_else(|| "not all clients could read everything".to_owned()));
        for (node, status) in self.statuses().into_iter().enumerate() {
            if !self.witness.roster.is_member(node) {
                continue;
            }
            evidence.push(match status {
                None => format!("n{} is down", node + 1),
                Some(status) => format!(
                    "n{}: term {} leader {:?} commit {} applied {} state {:016x}",
                    node + 1,
                    status.term,
                    status.leader,
                    status.commit,
                    status.applied,
                    status.state_hash
                ),
            });
        }
        self.fail(Verdict::Failed { rule: "liveness".to_owned(), evidence });
    }

    /// Everything has settled: the last rules, and whether the run proves anything.
    fn finish(&mut self) {
        let tally = &mut self.witness.counts;
        (tally.touched, tally.held_back) = (self.network.touched, self.network.held_back);
        tally.queued = self.clogged.queued;
        (tally.disconnected, tally.kept_waiting) = (self.disconnected, self.kept_waiting);
        self.witness.finish(self.now);
        if let Some(violation) = self.witness.violation() {
            let verdict = Verdict::failed(violation.rule, violation.to_string());
            return self.fail(verdict);
        }
        let verdict = crate::engine::judge_the_whole(self.scenario, &self.plan, &self.witness);
        self.fail(verdict);
    }
}
