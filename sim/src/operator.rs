//! The operator of a simulated cluster: asks any node that runs, and asks another one when no answer comes, until what it wants is so.
//!
//! Calls are idempotent by content, so that asking twice does no harm. Both engines drive this one; how a call reaches a node is theirs.

use crate::plan::OperatorCall;
use crate::roster::Roster;
use tertulia_protocol::ids::{Incarnation, NodeId};
use tertulia_protocol::node::{Admin, AdminOutcome};
use tertulia_protocol::raft::{Change, Member};
use tertulia_protocol::succession::Policy;

/// How long an answer is waited for before another node is asked.
const PATIENCE: u64 = 1_000_000;
/// When nobody is there to be asked, or a call was refused for now.
const PAUSE: u64 = 100_000;

/// A call that is not done yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    ticket: u64,
    call: OperatorCall,
    due: u64,
    tries: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Operator {
    open: Vec<Open>,
    tickets: u64,
}

impl Operator {
    /// Something is to be done, beginning now.
    ///
    /// Whoever wants another leader no longer wants the one before: two that are both asked for until they lead would take turns for ever.
    pub fn want(&mut self, now: u64, call: OperatorCall) {
        if matches!(call, OperatorCall::Transfer { .. }) {
            self.open.retain(|open| !matches!(open.call, OperatorCall::Transfer { .. }));
        }
        self.tickets += 1;
        self.open.push(Open { ticket: self.tickets, call, due: now, tries: self.tickets as usize });
    }

    /// When [`Operator::poll`] has something to do.
    pub fn next_time(&self) -> Option<u64> {
        self.open.iter().map(|open| open.due).min()
    }

    /// A call to make now: its ticket, the host to ask, and what.
    pub fn poll(&mut self, now: u64, up: &[bool]) -> Option<(u64, usize, OperatorCall)> {
        let open = self.open.iter_mut().find(|open| open.due <= now)?;
        let hosts: Vec<usize> = (0..up.len()).filter(|host| up[*host]).collect();
        if hosts.is_empty() {
            open.due = now + PAUSE;
            return None;
        }
        open.due = now + PATIENCE;
        open.tries += 1;
        Some((open.ticket, hosts[open.tries % hosts.len()], open.call))
    }

    /// A node has answered: it is so, or it was refused for now. The call that is done by it.
    pub fn answered(&mut self, now: u64, ticket: u64, done: bool) -> Option<OperatorCall> {
        let place = self.open.iter().position(|open| open.ticket == ticket)?;
        if done {
            return Some(self.open.remove(place).call);
        }
        self.open[place].due = now + PAUSE;
        None
    }

    /// There is nothing left that could be asked: what was to lead, or to leave, is a member no more.
    pub fn withdraw(&mut self, ticket: u64) {
        self.open.retain(|open| open.ticket != ticket);
    }

    /// What is not done yet.
    pub fn waits_for(&self) -> Option<OperatorCall> {
        self.open.first().map(|open| open.call)
    }
}

/// An empty folder that waits to be let in: where it would be reached, and which it is.
#[derive(Clone, Debug)]
pub struct Folder {
    pub peer_address: String,
    pub client_address: String,
    pub incarnation: Incarnation,
}

/// What a node is asked; `None` if there is nothing to ask for any more. `folder_of`: the folder on a machine.
pub fn admin(call: OperatorCall, roster: &Roster, folder_of: impl Fn(usize) -> Folder) -> Option<Admin> {
    Some(match call {
        OperatorCall::Transfer { to } if !roster.is_member(to) => return None,
        OperatorCall::Transfer { to } => Admin::Transfer { to: roster.id(to)? },
        OperatorCall::Succession { central } => {
            Admin::Succession { policy: if central { Policy::Central } else { Policy::Ring } }
        }
        OperatorCall::Remove { node } => Admin::Change(Change::Remove { node: roster.id(node)? }),
        OperatorCall::Voters { count } => Admin::Change(Change::WantVoters { count: count as u16 }),
        OperatorCall::Join { host, replace } => {
            let Folder { peer_address, client_address, incarnation } = folder_of(host);
            let replace = replace.and_then(|lost| roster.id(lost));
            Admin::Change(Change::Join { peer_address, client_address, incarnation, replace })
        }
    })
}

/// What an engine has to do once a call is done.
#[derive(Clone, Debug)]
pub enum Then {
    Nothing,
    /// The process on this machine is started as this node, which knows these members.
    Start {
        host: usize,
        id: NodeId,
        members: Vec<Member>,
    },
    /// The process on this machine ends; what it was is a member no more.
    End {
        host: usize,
    },
}

/// What follows from a call that is done.
pub fn then(call: OperatorCall, outcome: &AdminOutcome) -> Then {
    match (call, outcome) {
        (OperatorCall::Join { host, .. }, AdminOutcome::Done { node: Some(id), configuration }) => {
            let members = configuration.members().iter().filter(|member| member.id != *id).cloned().collect();
            Then::Start { host, id: *id, members }
        }
        (OperatorCall::Remove { node }, _) => Then::End { host: node },
        _ => Then::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_repeated_on_another_node_until_it_is_done() {
        let mut operator = Operator::default();
        let call = OperatorCall::Remove { node: 1 };
        operator.want(10, call);
        let up = [true, false, true];
        let (ticket, first, _) = operator.poll(10, &up).unwrap();
        assert_eq!(operator.poll(11, &up), None, "an answer is waited for");
        let (again, second, _) = operator.poll(10 + PATIENCE, &up).unwrap();
        assert_eq!((ticket, first != second, up[first] && up[second]), (again, true, true));
        assert_eq!(operator.answered(2_000_000, ticket, false), None);
        assert_eq!(operator.next_time(), Some(2_000_000 + PAUSE));
        assert_eq!(operator.answered(2_000_000, ticket, true), Some(call));
        assert_eq!((operator.waits_for(), operator.answered(2_000_000, ticket, true)), (None, None));
    }

    #[test]
    fn what_is_gone_is_not_asked_to_lead_and_a_newcomer_is_asked_for_under_its_id() {
        let head =
            "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\nspares = 1\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"1s\"";
        let mut roster = Roster::new(&crate::scenario::Scenario::parse("x", head).unwrap().cluster);
        let folder = |_| Folder { peer_address: "a:1".into(), client_address: "http://a:2".into(), incarnation: Incarnation(9) };
        let transfer = |roster: &Roster, to| admin(OperatorCall::Transfer { to }, roster, folder);
        roster.left(0);
        roster.joined(3, NodeId(7));
        assert_eq!(transfer(&roster, 0), None);
        assert_eq!(transfer(&roster, 3), Some(Admin::Transfer { to: NodeId(7) }));
        let join = admin(OperatorCall::Join { host: 2, replace: Some(2) }, &roster, folder);
        assert!(matches!(join, Some(Admin::Change(Change::Join { replace: Some(NodeId(3)), incarnation: Incarnation(9), .. }))));
        let mut operator = Operator::default();
        operator.want(0, OperatorCall::Transfer { to: 0 });
        let (ticket, ..) = operator.poll(0, &[true]).unwrap();
        operator.withdraw(ticket);
        assert_eq!(operator.waits_for(), None);
    }

    #[test]
    fn of_two_that_shall_lead_the_last_one_is_asked_for() {
        let mut operator = Operator::default();
        operator.want(0, OperatorCall::Transfer { to: 2 });
        operator.want(1, OperatorCall::Remove { node: 0 });
        operator.want(2, OperatorCall::Transfer { to: 1 });
        let calls: Vec<OperatorCall> = operator.open.iter().map(|open| open.call).collect();
        assert_eq!(calls, [OperatorCall::Remove { node: 0 }, OperatorCall::Transfer { to: 1 }]);
    }

    #[test]
    fn nobody_is_asked_when_nobody_runs() {
        let mut operator = Operator::default();
        operator.want(0, OperatorCall::Voters { count: 5 });
        assert_eq!(operator.poll(0, &[false; 3]), None);
        assert_eq!(operator.next_time(), Some(PAUSE));
    }
}
