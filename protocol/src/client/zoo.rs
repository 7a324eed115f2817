//! What the bugs of the zoo do in a client, as far as it does not fit a line beside the right one.

use super::*;

/// A bug.
#[derive(Clone, Debug, Default)]
pub(super) struct Spoiled {
    bug: Option<Bug>,
}

impl Spoiled {
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
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
        let mut wire = next;
        for held in self.commands.values_mut() {
            held.wire = Some(wire);
            held.stage = Stage::Due { at: self.now };
            wire += 1;
        }
        self.next_wire = self.next_wire.max(wire);
    }

    /// What was under way on a connection that is gone is given up.
    pub(super) fn forget_what_was_sent(&mut self) {
        if self.zoo.has(Bug::ForgetQueue) {
            self.commands.retain(|_, held| held.stage != Stage::Sent);
        }
    }

    /// What waits on a connection that is being given up is said to be refused.
    pub(super) fn refuse_what_is_late(&mut self) {
        if !self.zoo.has(Bug::TimeoutIsRefusal) {
            return;
        }
        let sent: Vec<u64> =
            self.commands.iter().filter(|(_, held)| held.stage == Stage::Sent).map(|(number, _)| *number).collect();
        for number in sent {
            self.commands.remove(&number);
            let refusal = Refusal::BadRequest { why: "it took too long".into() };
            self.outputs.push_back(Output::Settled { number, result: Err(refusal) });
        }
    }
}
