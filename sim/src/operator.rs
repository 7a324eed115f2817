//! The operator of a simulated cluster: asks any node that runs, and asks another one when no answer comes, until what it wants is so.
//!
//! Calls are idempotent by content, so that asking twice does no harm. Both engines drive this one; how a call reaches a node is theirs.

use crate::engine::Unplayable;
use crate::plan::OperatorCall;
use crate::scenario::Scenario;

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
    pub fn want(&mut self, now: u64, call: OperatorCall) {
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

    /// What is not done yet.
    pub fn waits_for(&self) -> Option<OperatorCall> {
        self.open.first().map(|open| open.call)
    }
}

/// What both engines say of a scenario with an operator in it, as long as nodes have no ear for one.
///
/// # Errors
/// The first fault that needs an operator, by name.
pub fn check(scenario: &Scenario) -> Result<(), Unplayable> {
    let Some(fault) = scenario.faults.iter().find(|fault| fault.verb.needs_operator()) else { return Ok(()) };
    let message = format!(
        "fault \"{}\" (line {}) needs an operator ({:?}), and nodes take no operator's calls yet: no engine can play it",
        fault.id, fault.line, fault.verb
    );
    Err(Unplayable { message })
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
    fn nobody_is_asked_when_nobody_runs() {
        let mut operator = Operator::default();
        operator.want(0, OperatorCall::Voters { count: 5 });
        assert_eq!(operator.poll(0, &[false; 3]), None);
        assert_eq!(operator.next_time(), Some(PAUSE));
    }
}
