//! A hunt's result is the same however it is played.

use super::*;
use std::path::PathBuf;

fn hunt(name: &str, to: u64, part: Part, jobs: usize) -> Hunt {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name);
    let file = ScenarioFile::load(path.to_str().expect("a path in UTF-8")).expect("a scenario");
    let options = vec![Options::default()];
    Hunt {
        files: vec![file],
        may_refuse: false,
        engine: Engine::Fast,
        options,
        from: 0,
        to: Some(to),
        part,
        jobs,
        keep_going: false,
    }
}

fn play(hunt: &Hunt) -> Report {
    hunt.run(|| false, |file, seed| format!("sim run {file} --seed {seed}"), |_| {}).expect("played")
}

#[test]
fn a_part_plays_every_nth_seed() {
    let part = Part { part: 2, of: 3 };
    assert_eq!((0..4).filter_map(|nth| part.seed(0, nth)).collect::<Vec<_>>(), [1, 4, 7, 10]);
    assert_eq!((0..3).filter_map(|nth| part.seed(5, nth)).collect::<Vec<_>>(), [7, 10, 13]);
    assert_eq!((0..3).filter_map(|nth| Part::WHOLE.seed(5, nth)).collect::<Vec<_>>(), [5, 6, 7]);
    assert_eq!(hunt("leader-crash.toml", 10, part, 1).runs(), Some(3));
    assert_eq!(hunt("leader-crash.toml", 1, part, 1).runs(), Some(0));
}

#[test]
fn parts_merge_into_the_whole() {
    let whole = play(&hunt("leader-crash.toml", 5, Part::WHOLE, 2));
    let [mut first, second] = [1, 2].map(|part| play(&hunt("leader-crash.toml", 5, Part { part, of: 2 }, 2)));
    let twice = first.clone().merge(whole.clone()).expect_err("the same seeds");
    assert!(twice.contains("were played twice"), "{twice}");
    first.merge(second).expect("two parts of one hunt");
    assert_eq!(first.summary(), whole.summary());
    assert!(whole.all_well(0) && whole.summary().contains("5 runs: 5 ok"), "{}", whole.summary());
    let json = serde_json::to_string(&first).expect("JSON");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("a report"), first);
}

#[cfg(feature = "zoo")]
#[test]
fn the_first_failure_ends_a_hunt_with_the_same_summary_for_any_number_of_jobs() {
    let play_by = |jobs: usize, keep_going: bool| {
        let mut hunt = hunt("restart-storm.toml", 6, Part::WHOLE, jobs);
        hunt.options = vec![Options::with_bug(Some("vote-before-durable"), None).expect("a bug")];
        hunt.keep_going = keep_going;
        play(&hunt)
    };
    let (one, two) = (play_by(1, false), play_by(2, false));
    assert_eq!(one, two);
    let scenario = &one.scenarios[0];
    assert_eq!((scenario.failed, scenario.findings.len()), (1, 1), "{}", one.summary());
    let finding = &scenario.findings[0];
    let last = scenario.played[0].to - 1;
    assert_eq!(finding.seeds, [last], "the last one played is the one that failed");
    assert!(one.summary().contains(&format!("--seed {last}")), "{}", one.summary());
    let (one, two) = (play_by(1, true), play_by(2, true));
    assert_eq!(one, two);
    assert_eq!(one.scenarios[0].runs(), 6);
}

#[test]
fn a_hunt_that_is_stopped_tells_what_it_played() {
    let hunt = hunt("leader-crash.toml", 1_000, Part::WHOLE, 1);
    let asked = std::sync::atomic::AtomicU64::new(0);
    let report = hunt.run(|| asked.fetch_add(1, Ordering::Relaxed) >= 2, |_, _| String::new(), |_| {}).expect("played");
    assert_eq!(report.scenarios[0].runs(), 2);
}
