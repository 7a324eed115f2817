//! A run of many faults ends as a story of few.

use super::*;
use std::path::PathBuf;

fn storm(bug: &str) -> (Scenario, u64, Options) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/restart-storm.toml");
    let scenario = Scenario::load(path.to_str().expect("a path in UTF-8")).expect("a scenario");
    let options = Options::with_bug(Some(bug), None).expect("a bug");
    let fails = |seed: &u64| {
        let outcome = engine::run(Engine::Fast, &scenario, *seed, options).expect("playable");
        matches!(outcome.verdict, Verdict::Failed { .. })
    };
    let seed = (0..100).find(fails).expect("a seed that fails");
    (scenario, seed, options)
}

fn small(scenario: &Scenario, seed: u64, options: Options, jobs: usize) -> Shrunk {
    let mut tell = |_: &str| {};
    let job = Job { scenario: scenario.clone(), seed, engine: Engine::Fast, options, jobs, over: &|| false, tell: &mut tell };
    shrink(job).expect("a failure")
}

#[test]
fn a_storm_becomes_a_story_of_a_few_faults_with_the_same_rule() {
    let (scenario, seed, options) = storm("vote-before-durable");
    let shrunk = small(&scenario, seed, options, 2);
    let few = &shrunk.failure.scenario;
    assert!(few.faults.len() <= 3 && few.cluster.hosts() <= 5, "{}", size(few));
    let outcome = engine::run(Engine::Fast, few, shrunk.failure.seed, options).expect("playable");
    assert!(matches!(&outcome.verdict, Verdict::Failed { rule, .. } if *rule == shrunk.rule), "{:?}", outcome.verdict);
    assert_eq!(outcome, shrunk.failure.outcome);
    assert!(!shrunk.cut && shrunk.hits >= 1);
    let alone = small(&scenario, seed, options, 1);
    assert_eq!((alone.failure.scenario, alone.failure.seed), (few.clone(), shrunk.failure.seed), "for any number of jobs");
}

#[test]
fn when_time_is_over_what_is_left_still_fails() {
    let (scenario, seed, options) = storm("vote-before-durable");
    let runs = std::sync::atomic::AtomicU32::new(0);
    let over = || runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 20;
    let mut tell = |_: &str| {};
    let job = Job { scenario, seed, engine: Engine::Fast, options, jobs: 2, over: &over, tell: &mut tell };
    let shrunk = shrink(job).expect("a failure");
    let Failure { scenario, seed, .. } = &shrunk.failure;
    let outcome = engine::run(Engine::Fast, scenario, *seed, options).expect("playable");
    assert!(shrunk.cut && matches!(&outcome.verdict, Verdict::Failed { rule, .. } if *rule == shrunk.rule));
}

#[test]
fn a_run_that_goes_well_is_not_shrunk() {
    let (scenario, seed, _) = storm("vote-before-durable");
    let mut tell = |_: &str| {};
    let options = Options::default();
    let job = Job { scenario, seed, engine: Engine::Fast, options, jobs: 1, over: &|| false, tell: &mut tell };
    let refused = shrink(job).map(|_| ()).expect_err("nothing to shrink");
    assert!(refused.contains("goes well"), "{refused}");
}
