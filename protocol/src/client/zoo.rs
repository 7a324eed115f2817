//! What the bugs of the zoo do in a client, as far as it does not fit a line beside the right one.

use super::*;

/// A bug, and what it has to remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoiled {
    bug: Option<Bug>,
    /// By the number that a command carries now, the one that it was submitted under.
    submitted: BTreeMap<u64, u64>,
}

impl Spoiled {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The number that whoever submitted a command knows it by.
    pub(super) fn as_submitted(&mut self, number: u64) -> u64 {
        self.submitted.remove(&number).unwrap_or(number)
    }
}

impl Client {
    /// This client has a bug from now on. Not in [`Config`], which other crates write out whole.
    pub fn set_bug(&mut self, bug: Option<Bug>) {
        self.zoo.bug = bug;
    }

    /// Gives everything unsettled new numbers, from the one that the server takes for the next.
    pub(super) fn renumber(&mut self, next: u64) {
        if !self.zoo.has(Bug::TrustNextNumber) {
            return;
        }
        let unsettled = core::mem::take(&mut self.commands);
        let mut submitted = BTreeMap::new();
        let mut number = next;
        for (old, command) in unsettled {
            submitted.insert(number, self.zoo.as_submitted(old));
            self.commands.insert(number, command);
            number += 1;
        }
        self.zoo.submitted = submitted;
        self.next_number = self.next_number.max(number);
    }

    /// What was under way on a connection that is gone is given up.
    pub(super) fn forget_what_was_sent(&mut self) {
        if self.zoo.has(Bug::ForgetQueue) {
            self.commands.retain(|_, (_, stage)| *stage != Stage::Sent);
        }
    }

    /// What waits on a connection that is being given up is said to be refused.
    pub(super) fn refuse_what_is_late(&mut self) {
        if !self.zoo.has(Bug::TimeoutIsRefusal) {
            return;
        }
        let sent: Vec<u64> =
            self.commands.iter().filter(|(_, (_, stage))| *stage == Stage::Sent).map(|(number, _)| *number).collect();
        for number in sent {
            self.commands.remove(&number);
            let refusal = Refusal::BadRequest { why: "it took too long".into() };
            self.outputs.push_back(Output::Settled { number, result: Err(refusal) });
        }
    }
}
