//! What must hold, a file each. The order is that of [`RULES`]: the more fundamental rule names a violation that several see.

use crate::observed::{At, Observed};
use crate::view::View;
use tertulia_protocol::ids::NodeId;

mod acknowledged_durable;
mod acknowledged_kept;
mod append_only;
mod converged;
mod delivery_order;
mod durable_quorum;
mod durable_survives;
mod election_safety;
mod equal_state_hash;
mod exactly_once;
mod final_read;
mod leader_completeness;
mod linearizable_reads;
mod log_matching;
mod monotonic;
mod one_order;
mod repair_silent;
mod sent_once;
mod session_order;
mod session_reads;
mod state_machine_safety;
mod vote_durable;
mod vote_once;
mod vote_quorum;

/// `Err` is the evidence: what was seen and why it may not be, in sentences.
pub(crate) type Verdict = Result<(), String>;

/// One thing that must hold.
pub(crate) trait Rule: Send {
    /// Never changes: reports, campaigns and scenarios refer to it.
    fn name(&self) -> &'static str;
    /// Judges one observation; `view` is the cluster as it was before.
    fn observe(&mut self, view: &View, at: At, observed: &Observed<'_>) -> Verdict;
    /// Judges the end of a run: faults have stopped, the cluster has settled. `core` are the nodes that must be well.
    fn finish(&mut self, _view: &View, _core: &[NodeId]) -> Verdict {
        Ok(())
    }
}

macro_rules! rules {
    ($($module:ident :: $rule:ident = $name:literal,)*) => {
        /// The names of all rules, the most fundamental first.
        pub const RULES: &[&str] = &[$($name),*];
        pub(crate) fn all() -> Vec<Box<dyn Rule>> {
            vec![$(Box::new($module::$rule::default())),*]
        }
    };
}

rules! {
    // what a node owes to its own past
    durable_survives::DurableSurvives = "durable-survives",
    monotonic::Monotonic = "monotonic",
    append_only::AppendOnly = "append-only",
    repair_silent::RepairSilent = "repair-silent",
    // elections
    vote_once::VoteOnce = "vote-once",
    vote_durable::VoteDurable = "vote-durable",
    vote_quorum::VoteQuorum = "vote-quorum",
    election_safety::ElectionSafety = "election-safety",
    leader_completeness::LeaderCompleteness = "leader-completeness",
    // the log
    log_matching::LogMatching = "log-matching",
    acknowledged_durable::AcknowledgedDurable = "acknowledged-durable",
    durable_quorum::DurableQuorum = "durable-quorum",
    state_machine_safety::StateMachineSafety = "state-machine-safety",
    equal_state_hash::EqualStateHash = "equal-state-hash",
    // what people see
    exactly_once::ExactlyOnce = "exactly-once",
    acknowledged_kept::AcknowledgedKept = "acknowledged-kept",
    one_order::OneOrder = "one-order",
    sent_once::SentOnce = "sent-once",
    delivery_order::DeliveryOrder = "delivery-order",
    session_order::SessionOrder = "session-order",
    session_reads::SessionReads = "session-reads",
    linearizable_reads::LinearizableReads = "linearizable-reads",
    final_read::FinalRead = "final-read",
    converged::Converged = "converged",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_names_is_that_of_the_rules() {
        let names: Vec<&str> = all().iter().map(|rule| rule.name()).collect();
        assert_eq!(names, RULES);
    }
}
