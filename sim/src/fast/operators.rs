//! What an operator asks of the cluster in the fast engine.

use super::World;
use super::event::Event;
use crate::engine::Verdict;
use crate::plan::OperatorCall;

impl World<'_> {
    pub(super) fn want(&mut self, call: OperatorCall) {
        self.operator.want(self.now, call);
        self.queue.push(self.now, Event::Operate);
    }

    /// Asks what is to be asked now.
    pub(super) fn operate(&mut self) {
        while let Some((ticket, host, call)) = self.operator.poll(self.now, &self.witness.up) {
            self.ask_node(host, ticket, call);
        }
        if let Some(at) = self.operator.next_time() {
            self.queue.push(at.max(self.now + 1), Event::Operate);
        }
    }

    /// Makes a call on a node. The one place that waits for nodes to take calls: until then [`crate::operator::check`] refuses such scenarios.
    fn ask_node(&mut self, host: usize, ticket: u64, call: OperatorCall) {
        let told = format!("n{} takes no operator's calls yet: {call:?}, ticket {ticket}", host + 1);
        self.fail(Verdict::failed("engine", told));
    }
}
