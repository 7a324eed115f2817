//! The node's outbox: what goes into it, what a leader makes of it, and what members are told.

use super::*;
use crate::chat::Command;
use crate::gateway::TentativePost;
use crate::outbox::{self, Offered, Order, OutboxMessage, Reach};
use crate::replica::{Executed, Slot};
use crate::time::Duration;

/// Entries that are proposed before anything else is done.
const PART: usize = 256;
/// How long a leader waits before it proposes again what its log could not take.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes of committed log entries of one message.
const COMMITTED: usize = 256 << 10;

/// The outbox, with what earlier starts have kept.
pub(super) fn restore(config: &Config, restored: &Restored, replica: &Replica<Chat>, now: Now) -> Result<Outbox, RestoreError> {
    let (boot, kept) = (restored.boot, &restored.kept[..]);
    #[cfg(feature = "zoo")]
    let boot = if config.bug == Some(crate::zoo::Bug::ReuseOutbox) { Boot(0) } else { boot };
    #[cfg(feature = "zoo")]
    let kept = if config.bug == Some(crate::zoo::Bug::ForgetTentativeAtRestart) { &[] } else { kept };
    let outbox = Outbox::new(config.node, boot, &config.limits, now);
    #[cfg(feature = "zoo")]
    let outbox = outbox.with_bug(config.bug);
    let mut outbox = outbox;
    outbox.restore(kept, restored.damage.kept).map_err(|error| RestoreError {
        message: format!("what the outbox holds cannot be read: {error}; run the release that wrote it, or a newer one"),
    })?;
    outbox.review(replica.applied(), |session, slot| replica.is_settled(session, slot));
    Ok(outbox)
}

impl Node {
    /// Whom this node reaches, by now.
    fn reach(&self) -> Reach {
        let raft = self.replica.raft();
        match raft.leader() {
            Some(leader) if raft.leader_answers(self.now) => {
                if leader == raft.node() {
                    Reach::Leads
                } else {
                    Reach::Leader(leader)
                }
            }
            _ => Reach::Nobody,
        }
    }

    /// What the outbox must know of the rest before it goes on.
    fn tell_outbox(&mut self) {
        self.outbox.see_reach(self.now, self.reach());
        self.outbox.see_seals(self.replica.machine().seals());
        if let Some(commit) = self.replica.raft().committed() {
            self.outbox.see_commit(commit);
        }
    }

    pub(super) fn handle_outbox(&mut self, from: NodeId, message: OutboxMessage) {
        self.tell_outbox();
        match &message {
            OutboxMessage::Committed { entries } => return self.replica.take_committed(self.now, entries.clone()),
            OutboxMessage::Digest { commit, leaderless: true, .. } => {
                let entries = self.replica.raft().committed_after(*commit, COMMITTED);
                if !entries.is_empty() {
                    let body = Body::Outbox(Box::new(OutboxMessage::Committed { entries }));
                    let message = Message { group: GROUP, body };
                    self.outputs.push_back(Output::Send { to: from, class: Class::Data, message });
                }
            }
            _ => {}
        }
        let replica = &self.replica;
        self.outbox.handle_message(self.now, from, message, |session, slot| replica.is_settled(session, slot));
    }

    pub(super) fn handle_outbox_timeout(&mut self) {
        if self.propose_at.is_some_and(|at| at <= self.now.instant) {
            self.propose_at = None;
        }
        if !self.outbox.is_empty() {
            self.tell_outbox();
        }
        self.outbox.handle_timeout(self.now);
    }

    /// True if something was done about what is tentative, or is to become so.
    #[inline]
    pub(super) fn see_tentative(&mut self) -> bool {
        let idle = !self.outbox.has_output() && self.outbox.is_empty() && !self.gateway.wants_outbox();
        !idle && self.go_on_with_tentative()
    }

    fn go_on_with_tentative(&mut self) -> bool {
        // What has become durable is told before anybody is told that it is accepted.
        let told = self.drain_outbox();
        if self.gateway.wants_outbox() || !self.outbox.is_empty() {
            self.tell_outbox();
            self.accept_tentative();
            self.propose_tentative();
        }
        self.drain_outbox() || told
    }

    fn drain_outbox(&mut self) -> bool {
        if !self.outbox.has_output() {
            return false;
        }
        let mut done = false;
        for fact in self.outbox.take_facts() {
            self.replica.tell(|| fact);
        }
        while let Some(output) = self.outbox.poll_output() {
            self.take_outbox(output);
            done = true;
        }
        done
    }

    /// Puts into the outbox what clients have asked for and no leader answers: of each session in the order of its numbers, none without its predecessors.
    fn accept_tentative(&mut self) {
        let wanting: Vec<RequestKey> = self.gateway.wanting().collect();
        for key in wanting {
            let Some(request @ (session, slot)) = Gateway::request(key) else { continue };
            if self.outbox.holds(&request) {
                self.tell_accepted(request);
                continue;
            }
            let next = self.outbox.next_number(session).max(self.replica.next_number(session));
            // What the client has acknowledged is executed, even if the state here has not come to it. A lower number that is not held was executed elsewhere, and is
            // only left over here: behind its successors it would be shown out of its turn.
            let in_order = |offered: &Offered| match slot {
                Slot::Number(number) => next.max(Some(offered.first_unacked)) == Some(number),
                Slot::Key(_) => true,
            };
            // While a leader answers only what stands behind something tentative goes this way, and is not written down here.
            let offered = self.gateway.offered(key).filter(|offered| in_order(offered));
            if let Some(offered) = offered
                && let Err(full) = self.outbox.accept(self.now, self.replica.applied(), offered)
            {
                self.gateway.refuse_full(key, full.limit);
            }
        }
    }

    /// Tells a client that its request is accepted, if it is on enough disks.
    fn tell_accepted(&mut self, request: (SessionId, Slot)) {
        let key = RequestKey::Execute(request.0, request.1);
        if !self.gateway.is_wanting(key) {
            return;
        }
        let copies = self.outbox.copies(&request);
        if copies > 0
            && let Some((identity, several)) = self.gateway.accepted(key, copies)
        {
            self.replica.tell(|| Fact::Accepted { session: request.0, identity, copies });
            if several {
                self.replica.tell(|| Fact::Reached { point: crate::point!("outbox.copies_reached") });
            }
        }
    }

    /// As the leader, proposes what is held, in order.
    fn propose_tentative(&mut self) {
        let raft = self.replica.raft();
        let ready = raft.opened_by().is_some_and(|opened_by| self.replica.applied() >= opened_by);
        if !ready || self.outbox.reach() != Reach::Leads || self.propose_at.is_some() {
            return;
        }
        let term = raft.term();
        loop {
            let due = self.outbox.due_proposals(term, PART);
            if due.is_empty() {
                return;
            }
            for order in due {
                let Some(entry) = self.outbox.entry(&order) else { continue };
                let (request, submission) = (entry.request(), entry.submission());
                #[cfg(feature = "zoo")]
                let submission = self.outbox.spoil_submission(submission, &order);
                match self.replica.offer(self.now, submission) {
                    // One of a newer version than this leader's waits for another leader.
                    Offer::Taken | Offer::Foreign => self.outbox.proposed(&order),
                    Offer::Known => self.outbox.settle(request, self.replica.applied()),
                    Offer::NotNow | Offer::Busy => return self.propose_at = Some(self.now.instant + AGAIN),
                }
            }
        }
    }

    /// Whether a node that is to be removed has entries that this one does not know to be settled, and can bring them.
    pub(super) fn drains_first(&self, node: NodeId) -> bool {
        let raft = self.replica.raft();
        raft.is_linked(node) && raft.configuration().is_member(node) && self.outbox.undrained(node) > 0
    }

    pub(super) fn settle_tentative(&mut self, executed: &Executed) {
        if self.outbox.is_empty() {
            return;
        }
        let Some(request) = Gateway::request(executed.request).filter(|request| self.outbox.holds(request)) else { return };
        // A session that has expired refuses what comes straight to a leader, and not what was accepted before.
        let settled = executed.outcome.is_ok() || executed.withdrawn || self.replica.is_settled(request.0, request.1);
        if !settled {
            // Its predecessor was not where it should be: another time.
            self.outbox.propose_again(&request);
            self.propose_at = Some(self.now.instant + AGAIN);
            return;
        }
        self.outbox.settle(request, self.replica.applied());
        if self.gateway.settle_tentative(&self.replica, executed) {
            self.replica.tell(|| Fact::Reached { point: crate::point!("outbox.refused_late") });
        }
    }

    /// The state has jumped: what became of entries meanwhile, only the session table says.
    pub(super) fn review_tentative(&mut self) {
        let replica = &self.replica;
        self.outbox.review(replica.applied(), |session, slot| replica.is_settled(session, slot));
        let open: alloc::collections::BTreeSet<MessageId> = self.outbox.shown().map(|(_, entry)| entry.id()).collect();
        self.gateway.retain_tentative(|id| open.contains(id));
    }

    fn take_outbox(&mut self, output: outbox::Output) {
        match output {
            outbox::Output::Send { to, class, message } => {
                let message = Message { group: GROUP, body: Body::Outbox(Box::new(message)) };
                self.outputs.push_back(Output::Send { to, class, message });
            }
            outbox::Output::Keep { id, keep } => self.outputs.push_back(Output::Keep { id, keep }),
            outbox::Output::Show { order } => self.show_tentative(order),
            outbox::Output::Durable { request } => {
                self.tell_accepted(request);
                let copies = self.outbox.copies(&request);
                let id = replica::message_id(request.0, request.1);
                self.gateway.see_copies(&self.replica, id, copies);
            }
        }
    }

    fn show_tentative(&mut self, order: Order) {
        // It may have been settled since it was to be shown.
        let Some(entry) = self.outbox.entry(&order).filter(|_| self.outbox.is_open(&order)) else { return };
        let copies = self.outbox.copies(&entry.request());
        let Ok(command) = Command::decode(&entry.command) else { return };
        let chat = self.replica.machine();
        let post = match self.replica.late_owner(entry.session) {
            Some(owner) => chat.tentative_post_of(UserId(owner), entry.id(), &command, entry.written_at),
            None => chat.tentative_post(entry.session, entry.id(), &command),
        };
        if let Some((room, post)) = post {
            let post = TentativePost { order, copies, written_at: entry.written_at, ..post };
            self.gateway.show_tentative(&self.replica, room, post);
        }
    }
}
