//! What must hold, a file each. The order is that of [`RULES`]: the more fundamental rule names a violation that several see.

use crate::observed::{At, Observed};
use crate::topics::Topics;
use crate::view::View;
use tertulia_protocol::ids::NodeId;

mod accepted_durable;
mod accepted_settles;
mod acknowledged_durable;
mod acknowledged_kept;
mod append_only;
mod causality;
mod configuration_steps;
mod converged;
mod delivery_order;
mod device_limit;
mod durable_quorum;
mod durable_survives;
mod election_safety;
mod equal_state_hash;
mod exactly_once;
mod final_read;
mod friends;
mod history_rules;
mod history_window;
mod leader_completeness;
mod lease_exclusive;
mod linearizable_reads;
mod log_matching;
mod monotonic;
mod no_divergence;
mod one_order;
mod refused_final;
mod removed_see_nothing;
mod repair_silent;
mod revisions;
mod sent_once;
mod session_order;
mod session_reads;
mod signs_of_life;
mod stamps;
mod state_machine_safety;
mod strict_rooms;
mod tentative_identity;
mod tentative_order;
mod unread;
mod vote_durable;
mod vote_once;
mod vote_quorum;

/// `Err` is the evidence: what was seen and why it may not be, in sentences.
pub(crate) type Verdict = Result<(), String>;

/// By whose word a rule judges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// By what clients did and saw alone: a history is enough.
    ClientVisible,
    /// By facts from inside the nodes; without them it is silent.
    Internal,
    /// By clients alone, and by more where nodes are heard.
    Both,
}

/// One thing that must hold. With all that it remembers it can be copied: a run may go on in several ways from one moment.
pub(crate) trait Rule: Send + Copied {
    /// Never changes: reports, campaigns and scenarios refer to it.
    fn name(&self) -> &'static str;
    /// By whose word it judges.
    fn kind(&self) -> Kind;
    /// What it is asked about; it is told of nothing else.
    fn hears(&self) -> Topics {
        Topics::ALL
    }
    /// Judges one observation; `view` is the cluster as it was before.
    fn observe(&mut self, view: &View, at: At, observed: &Observed<'_>) -> Verdict;
    /// Judges the end of a run: faults have stopped, the cluster has settled. `core` are the nodes that must be well.
    fn finish(&mut self, _view: &View, _core: &[NodeId]) -> Verdict {
        Ok(())
    }
}

/// What every rule that is `Clone` can do.
pub(crate) trait Copied {
    fn copied(&self) -> Box<dyn Rule>;
}

impl<R: Rule + Clone + 'static> Copied for R {
    fn copied(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Rule> {
    fn clone(&self) -> Self {
        (**self).copied()
    }
}

macro_rules! rules {
    ($($module:ident :: $rule:ident = $name:literal,)*) => {
        /// The names of all rules, the most fundamental first.
        pub const RULES: &[&str] = &[$($name),*];
        pub(crate) fn all() -> Vec<Box<dyn Rule>> {
            vec![$(Box::new($module::$rule::default())),*]
        }
        /// The file of a rule.
        fn source(name: &str) -> Option<&'static str> {
            match name {
                $($name => Some(include_str!(concat!(stringify!($module), ".rs"))),)*
                _ => None,
            }
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
    lease_exclusive::LeaseExclusive = "lease-exclusive",
    // the log
    log_matching::LogMatching = "log-matching",
    acknowledged_durable::AcknowledgedDurable = "acknowledged-durable",
    configuration_steps::ConfigurationSteps = "configuration-steps",
    durable_quorum::DurableQuorum = "durable-quorum",
    state_machine_safety::StateMachineSafety = "state-machine-safety",
    equal_state_hash::EqualStateHash = "equal-state-hash",
    no_divergence::NoDivergence = "no-divergence",
    // what is accepted without a leader
    accepted_durable::AcceptedDurable = "accepted-durable",
    accepted_settles::AcceptedSettles = "accepted-settles",
    // what people see
    exactly_once::ExactlyOnce = "exactly-once",
    refused_final::RefusedFinal = "refused-final",
    acknowledged_kept::AcknowledgedKept = "acknowledged-kept",
    one_order::OneOrder = "one-order",
    sent_once::SentOnce = "sent-once",
    delivery_order::DeliveryOrder = "delivery-order",
    session_order::SessionOrder = "session-order",
    causality::Causality = "causality",
    tentative_identity::TentativeIdentity = "tentative-identity",
    tentative_order::TentativeOrder = "tentative-order",
    strict_rooms::StrictRooms = "strict-rooms",
    stamps::Stamps = "stamps",
    history_window::HistoryWindow = "history-window",
    // the chat's own rules
    device_limit::DeviceLimit = "device-limit",
    signs_of_life::SignsOfLife = "signs-of-life",
    history_rules::HistoryRules = "history-rules",
    removed_see_nothing::RemovedSeeNothing = "removed-see-nothing",
    revisions::Revisions = "revisions",
    friends::Friends = "friends",
    unread::Unread = "unread",
    session_reads::SessionReads = "session-reads",
    linearizable_reads::LinearizableReads = "linearizable-reads",
    final_read::FinalRead = "final-read",
    converged::Converged = "converged",
}

/// What a rule says, where it comes from, what it verifies and what it does not: the lines at the head of its file. `None`: there is no such rule.
pub fn about(name: &str) -> Option<String> {
    let head = source(name)?.lines().map_while(|line| line.strip_prefix("//!"));
    Some(head.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_states_what_it_verifies_and_is_shown_to_object_and_to_be_silent() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/rules");
        let mut files = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().is_some_and(|name| name == "mod.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in ["//! Source: ", "//! Verifies: ", "//! Does *not* verify: ", ".breaks(RULE", ".holds()"] {
                assert!(text.contains(part), "{} has no {part:?}", path.display());
            }
            files += 1;
        }
        assert_eq!(files, RULES.len());
    }

    #[test]
    fn the_list_of_names_is_that_of_the_rules() {
        let names: Vec<&str> = all().iter().map(|rule| rule.name()).collect();
        assert_eq!(names, RULES);
    }

    #[test]
    fn every_rule_says_what_it_is_about() {
        for name in RULES {
            let about = about(name).unwrap_or_default();
            assert!(about.contains("Verifies:") && about.contains("Source:") && !about.contains("//!"), "{name}: {about}");
        }
        assert_eq!(about("no-such-rule"), None);
    }
}
