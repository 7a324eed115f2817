//! What an operator asks of the cluster in the fast engine.

use super::World;
use super::event::{Event, Input};
use super::nodes::{client_address, peer_address};
use crate::operator::{Folder, Then, admin, then};
use crate::plan::OperatorCall;
use crate::scenario::DiskFate;
use tertulia_protocol::node::AdminOutcome;

impl World<'_> {
    pub(super) fn want(&mut self, call: OperatorCall) {
        self.operator.want(self.now, call);
        self.schedule_operator();
    }

    /// Makes sure that the operator is asked when it has something to do next.
    fn schedule_operator(&mut self) {
        if let Some(at) = self.operator.next_time().map(|at| at.max(self.now)).filter(|at| *at < self.operator_due) {
            self.operator_due = at;
            self.queue.push(at, Event::Operate);
        }
    }

    /// Asks what is to be asked now.
    pub(super) fn operate(&mut self) {
        if self.operator_due <= self.now {
            self.operator_due = u64::MAX;
        }
        while let Some((ticket, host, call)) = self.operator.poll(self.now, &self.witness.up) {
            self.ask_node(host, ticket, call);
        }
        self.schedule_operator();
    }

    fn ask_node(&mut self, host: usize, ticket: u64, call: OperatorCall) {
        let folder_of = |host: usize| Folder {
            peer_address: peer_address(host),
            client_address: client_address(host),
            incarnation: self.hosts[host].disk.incarnation(),
        };
        match admin(call, &self.witness.roster, folder_of) {
            Some(admin) => self.input(host, Input::Admin { ticket, admin }),
            None => self.operator.withdraw(ticket),
        }
    }

    /// A node has answered the operator.
    pub(super) fn administered(&mut self, ticket: u64, outcome: &AdminOutcome) {
        let done = matches!(outcome, AdminOutcome::Done { .. });
        let call = self.operator.answered(self.now, ticket, done);
        self.schedule_operator();
        let Some(call) = call else { return };
        match then(call, outcome) {
            Then::Nothing => {}
            Then::Start { host, id, members } => {
                self.witness.joined(self.now, host, id);
                self.hosts[host].knows = members;
                self.start(host);
            }
            Then::End { host } => self.leave(host),
        }
    }

    /// What runs on this machine is a member no more.
    pub(super) fn leave(&mut self, host: usize) {
        self.witness.roster.left(host);
        self.take_facts(host);
        self.crash(host, DiskFate::Keep, 0);
    }
}
