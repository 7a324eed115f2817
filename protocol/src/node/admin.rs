//! What an operator asks of the cluster: changes of membership and transfers. Any node takes it; the leader does it.
//!
//! - A call is the same call by its content, so it may be made again on any node: who joins is known by its data folder, who is removed by its id. The node that
//!   took it asks the leader again and again until it is done or refused; the leader keeps nothing of it.
//! - A change is done when it is committed and final (no joint configuration is left of it).

use super::*;
use crate::chat::{Housekeeping, Settings};
use crate::raft::{Change, Changing, Configuration};
use crate::succession::Policy;
use crate::time::Duration;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What can be asked for.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Admin {
    Change(Change),
    /// This voter shall lead.
    Transfer {
        to: NodeId,
    },
    /// Who should lead next.
    Succession {
        policy: Policy,
    },
    /// What holds for the chat of the whole cluster.
    Configure {
        settings: Box<Settings>,
    },
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum AdminOutcome {
    /// It is so. `node`: who joined, or leads. `configuration`: the members now.
    Done { node: Option<NodeId>, configuration: Box<Configuration> },
    /// It will not be done. The text says why and what to do.
    Refused { why: String },
    /// Not done within the time that a call may take; it may still come about. Ask again, here or elsewhere.
    Pending { why: String },
}

impl fmt::Display for AdminOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminOutcome::Done { .. } => f.write_str("done"),
            AdminOutcome::Refused { why } | AdminOutcome::Pending { why } => f.write_str(why),
        }
    }
}

/// Calls that may wait on one node. More are answered "ask again" at once.
const MOST_CALLS: usize = 64;
/// How often the leader is asked how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Call {
    admin: Admin,
    ask_at: Instant,
    until: Instant,
    /// The last that was heard of it.
    why: String,
}

/// The calls that wait on this node.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    calls: BTreeMap<u64, Call>,
}

impl Calls {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.calls.values().map(|call| call.ask_at.min(call.until)).min()
    }
}

impl Node {
    /// An operator asks for something; [`Output::Admin`] with the same ticket follows. Whoever hands this over has made sure that it is an operator who asks.
    pub fn handle_admin(&mut self, now: Now, ticket: u64, admin: Admin) {
        self.tick(now);
        if self.calls.calls.len() >= MOST_CALLS {
            let why = "too many operators' calls wait on this node: ask again".into();
            return self.outputs.push_back(Output::Admin { ticket, outcome: AdminOutcome::Pending { why } });
        }
        let call = Call { admin, ask_at: now.instant, until: now.instant + PATIENCE, why: "there is no leader".into() };
        self.calls.calls.insert(ticket, call);
        self.go_on_with_calls();
    }

    /// The node shall stop: a leader hands over first. True if there is something to wait for; it is over once [`Node::status`] says that another one leads.
    pub fn handle_stop(&mut self, now: Now) -> bool {
        self.tick(now);
        self.replica.hand_over(now)
    }

    pub(super) fn go_on_with_calls(&mut self) {
        let now = self.now.instant;
        let due: Vec<u64> =
            self.calls.calls.iter().filter(|(_, call)| now >= call.ask_at.min(call.until)).map(|(ticket, _)| *ticket).collect();
        for ticket in due {
            let Some(call) = self.calls.calls.get_mut(&ticket) else { continue };
            if now >= call.until {
                let why = format!(
                    "{}: not done within {} s; it may still come about, and asking again does no harm",
                    call.why,
                    PATIENCE.as_secs()
                );
                self.settle_call(ticket, AdminOutcome::Pending { why });
                continue;
            }
            call.ask_at = now + ASK_AGAIN;
            let admin = call.admin.clone();
            let me = self.replica.raft().node();
            match self.replica.raft().leader() {
                Some(leader) if leader == me => {
                    let answer = self.advance_admin(&admin);
                    self.hear_of_call(ticket, answer);
                }
                Some(leader) => {
                    let body = Body::Admin { ticket, boot: self.replica.raft().boot(), admin: Box::new(admin) };
                    self.outputs.push_back(Output::Send {
                        to: leader,
                        class: Class::Control,
                        message: Message { group: GROUP, body },
                    });
                }
                None => {}
            }
        }
    }

    fn settle_call(&mut self, ticket: u64, outcome: AdminOutcome) {
        if self.calls.calls.remove(&ticket).is_some() {
            self.outputs.push_back(Output::Admin { ticket, outcome });
        }
    }

    fn hear_of_call(&mut self, ticket: u64, answer: AdminOutcome) {
        match answer {
            AdminOutcome::Pending { why } => {
                if let Some(call) = self.calls.calls.get_mut(&ticket) {
                    call.why = why;
                }
            }
            settled => self.settle_call(ticket, settled),
        }
    }

    pub(super) fn handle_admin_asked(&mut self, from: NodeId, ticket: u64, boot: Boot, admin: &Admin) {
        if self.replica.raft().is_leader() {
            let outcome = self.advance_admin(admin);
            let message = Message { group: GROUP, body: Body::Administered { ticket, boot, outcome } };
            self.outputs.push_back(Output::Send { to: from, class: Class::Control, message });
        }
    }

    pub(super) fn handle_administered(&mut self, ticket: u64, boot: Boot, outcome: AdminOutcome) {
        if boot == self.replica.raft().boot() {
            self.hear_of_call(ticket, outcome);
        }
    }

    /// Does, as the leader, what there is to do for a call now.
    fn advance_admin(&mut self, admin: &Admin) -> AdminOutcome {
        let done = |node: &Node, who| AdminOutcome::Done {
            node: who,
            configuration: Box::new(node.replica.raft().committed_configuration().clone()),
        };
        match admin {
            // What it has accepted comes here first, as long as it can be reached.
            Admin::Change(Change::Remove { node }) if self.drains_first(*node) => {
                let left = self.outbox.undrained(*node);
                let why = format!("node {} holds {left} messages that are being put in order first", node.0);
                self.replica.tell(|| Fact::Reached { point: crate::point!("outbox.drained_before_removal") });
                AdminOutcome::Pending { why }
            }
            Admin::Change(change) => match self.replica.change(self.now, change) {
                Err(refusal) => AdminOutcome::Refused { why: refusal.to_string() },
                Ok(Changing::Done) => {
                    let configuration = self.replica.raft().committed_configuration();
                    let joined = match change {
                        Change::Join { incarnation, .. } => configuration.member_with(*incarnation).map(|member| member.id),
                        _ => None,
                    };
                    done(self, joined)
                }
                Ok(Changing::CatchingUp { matched, last }) => {
                    AdminOutcome::Pending { why: format!("the learner holds {matched} of {last} log entries") }
                }
                Ok(Changing::Pending) => AdminOutcome::Pending { why: "the change, or one before it, is under way".into() },
                Ok(Changing::NotLeader) => AdminOutcome::Pending { why: "there is no leader".into() },
            },
            Admin::Succession { policy: Policy::Fixed(order) }
                if !order.iter().any(|id| self.replica.raft().configuration().is_voter(*id)) =>
            {
                let why = "none of these nodes votes: `node status` shows who does".into();
                AdminOutcome::Refused { why }
            }
            Admin::Succession { policy } => match self.replica.set_policy(self.now, policy) {
                Changing::Done => done(self, None),
                _ => AdminOutcome::Pending { why: "the order of succession is being changed".into() },
            },
            Admin::Configure { settings } if self.replica.machine().settings() == **settings => done(self, None),
            Admin::Configure { settings } => match self.replica.machine().check_settings(settings) {
                Err(refusal) => AdminOutcome::Refused { why: refusal.to_string() },
                Ok(()) => {
                    let command = Housekeeping::Configure { settings: (**settings).clone(), founding: false }.encode();
                    self.replica.offer(self.now, Submission::House { command });
                    AdminOutcome::Pending { why: "the settings are on their way into the log".into() }
                }
            },
            Admin::Transfer { to } if *to == self.replica.raft().node() => done(self, Some(*to)),
            Admin::Transfer { to } => match self.replica.transfer(self.now, *to) {
                Err(refusal) => AdminOutcome::Refused { why: refusal.to_string() },
                Ok(_) => AdminOutcome::Pending { why: format!("leadership is on its way to node {}", to.0) },
            },
        }
    }
}
