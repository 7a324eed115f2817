//! Bare replicas against an adversary: whatever is delivered, lost, doubled, delayed, crashed, damaged and changed, no rule of safety is broken, and when the adversary
//! goes the cluster comes back.
//!
//! `TERTULIA_CASES=10000` plays more schedules than an ordinary run does.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod network;
mod rules;

use network::{Network, Setup, Step};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Steps that make something of a cluster are drawn more often than those that break it.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (1u8..60).prop_map(Step::Flow),
        12 => any::<u16>().prop_map(Step::Deliver),
        3 => any::<u16>().prop_map(Step::Duplicate),
        3 => any::<u16>().prop_map(Step::Drop),
        14 => any::<u8>().prop_map(Step::Timeout),
        3 => any::<u8>().prop_map(Step::Wait),
        4 => any::<(u8, u8)>().prop_map(|(id, batches)| Step::Store(id, batches)),
        3 => any::<(u8, u8)>().prop_map(|(id, written)| Step::Crash(id, written)),
        6 => any::<u8>().prop_map(Step::Start),
        2 => any::<(u8, u8)>().prop_map(|(id, lost)| Step::Damage(id, lost)),
        10 => any::<u8>().prop_map(Step::Propose),
        4 => any::<u8>().prop_map(Step::Read),
        3 => any::<u8>().prop_map(Step::Join),
        3 => any::<u8>().prop_map(Step::Promote),
        3 => any::<u8>().prop_map(Step::Remove),
        3 => any::<u8>().prop_map(Step::Transfer),
        2 => any::<(u8, u8)>().prop_map(|(id, peer)| Step::LinkUp(id, peer)),
        2 => any::<(u8, u8)>().prop_map(|(id, peer)| Step::LinkDown(id, peer)),
        2 => any::<u8>().prop_map(Step::Part),
        2 => any::<u8>().prop_map(Step::Sever),
        3 => Just(Step::Part(0)),
        1 => Just(Step::PowerCut),
    ]
}

type Reached = BTreeMap<&'static str, u64>;

/// Plays so many schedules; what was reached, or the shortest schedule found that breaks a rule.
fn sweep(cases: u32, shrink: u32, setup: impl Fn(bool) -> Setup) -> (Reached, Result<(), String>) {
    let reached = RefCell::new(Reached::new());
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrink, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let schedules = (any::<bool>(), prop::collection::vec(step(), 20..160));
    let result = runner.run(&schedules, |(leases, steps)| {
        let mut network = Network::new(setup(leases));
        for step in steps {
            network.step(step);
        }
        network.heals();
        let mut reached = reached.borrow_mut();
        for (point, times) in network.rules.reached {
            *reached.entry(point).or_default() += times;
        }
        Ok(())
    });
    (
        reached.into_inner(),
        result.map_err(|error| match error {
            TestError::Fail(reason, (leases, steps)) => format!("{reason}\nwith leases {leases}: {steps:?}"),
            TestError::Abort(reason) => reason.to_string(),
        }),
    )
}

#[test]
fn no_schedule_breaks_a_rule_and_every_cluster_comes_back() {
    let cases = std::env::var("TERTULIA_CASES").map_or(1_000, |cases| cases.parse().unwrap());
    let (reached, result) = sweep(cases, 4_000, Setup::with);
    if let Err(broken) = result {
        panic!("{broken}");
    }
    println!("{cases} schedules reached {reached:#?}");
    // A sweep that does not come to the hard places proves nothing about them.
    for point in [
        "leader",
        "committed",
        "joint",
        "configuration.changed",
        "configuration.reverted",
        "learner.promoted",
        "leader.removed",
        "removed.stopped",
        "log.replaced",
        "log.repaired",
        "commit.older_term_held_back",
        "transfer.begun",
        "transfer.failed",
        "read.answered",
        "read.by_lease",
        "leader.quorum_lost",
        "leader.link_lost",
        "end.heals",
    ] {
        assert!(reached.get(point).is_some_and(|times| *times > 0), "no schedule reached {point}: {reached:#?}");
    }
}

/// A test that cannot fail is worth nothing: bugs of each kind that replicas have are found, by a rule that they break. The others are found by whole
/// clusters (`sim zoo`), and each has a transcript.
#[cfg(feature = "zoo")]
#[test]
fn bugs_of_the_zoo_are_found() {
    use tertulia_protocol::zoo::Bug;
    let cases = std::env::var("TERTULIA_CASES").map_or(10_000, |cases| cases.parse().unwrap());
    let bugs = [
        Bug::VoteBeforeDurable,
        Bug::CompareIndexFirst,
        Bug::CountOldTerms,
        Bug::AckBeforeDurable,
        Bug::CommitByNewMajority,
        Bug::ChangeBeforeNoop,
    ];
    let mut missed = Vec::new();
    for bug in bugs {
        match sweep(cases, 0, |leases| Setup { leases, bug: Some(bug) }).1 {
            Ok(()) => missed.push(bug.name()),
            Err(broken) => println!("{}: {}", bug.name(), broken.lines().next().unwrap()),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
