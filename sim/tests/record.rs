//! A recorded run is the run that it would have been, and what it keeps is what happened.

use std::path::PathBuf;
use tertulia_sim::engine::{self, Engine, Options};
use tertulia_sim::html::{self, Played};
use tertulia_sim::record::{Kind, Recording, Window};
use tertulia_sim::scenario::Scenario;

fn load(name: &str) -> Scenario {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name);
    Scenario::load(path.to_str().expect("a path in UTF-8")).unwrap_or_else(|error| panic!("{error}"))
}

/// Plays a seed with and without a recorder; both must be the same run.
fn recorded(engine: Engine, name: &str) -> Recording {
    let scenario = load(name);
    let plain = engine::run(engine, &scenario, 1, Options::default()).unwrap_or_else(|error| panic!("{error}"));
    let (outcome, recording) =
        engine::record(engine, &scenario, 1, Options::default(), Window::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome, plain, "{name} on {}", engine.name());
    recording
}

fn count(recording: &Recording, kind: Kind) -> usize {
    recording.turns.iter().chain(&recording.details).filter(|row| row.kind == kind).count()
}

#[test]
fn recording_changes_nothing_on_the_fast_engine() {
    for name in ["leader-crash.toml", "lossy-network.toml", "snapshot.toml", "churn.toml"] {
        let recording = recorded(Engine::Fast, name);
        assert!(!recording.faults.is_empty() && count(&recording, Kind::Leader) > 0, "{name}");
        let arrived = recording.details.iter().filter_map(|row| row.flight).filter(|flight| flight.arrived.is_some());
        assert!(arrived.count() > 1_000, "{name}");
    }
}

#[test]
fn recording_changes_nothing_on_turmoil() {
    for name in ["leader-crash.toml", "lossy-network.toml"] {
        let recording = recorded(Engine::Turmoil, name);
        assert!(!recording.faults.is_empty() && count(&recording, Kind::Leader) > 0, "{name}");
        let flights = || recording.details.iter().filter_map(|row| row.flight);
        let (all, arrived) = (flights().count(), flights().filter(|flight| flight.arrived.is_some()).count());
        assert!(arrived * 10 > all * 7, "{name}: of {all} messages {arrived} arrived");
    }
}

#[test]
fn what_the_weather_loses_and_doubles_is_in_the_recording() {
    let recording = recorded(Engine::Fast, "lossy-network.toml");
    let flights = || recording.details.iter().filter_map(|row| row.flight);
    assert!(flights().any(|flight| flight.lost && flight.arrived.is_none()));
    assert!(flights().any(|flight| flight.again.is_some()));
    assert!(flights().all(|flight| flight.arrived.is_none() || !flight.lost));
}

#[test]
fn every_fault_that_fired_is_marked_with_its_nodes_and_its_end() {
    let recording = recorded(Engine::Fast, "leader-crash.toml");
    let crash = recording.faults.iter().find(|mark| mark.class == "crash").expect("a crash");
    assert_eq!(crash.nodes.count_ones(), 1);
    assert!(crash.to.is_some_and(|to| to > crash.from), "{crash:?}");
    let node = crash.nodes.trailing_zeros() as usize;
    let dies = recording.turns.iter().find(|row| row.kind == Kind::Crashed).expect("somebody dies");
    assert_eq!((dies.lane, dies.at), (node, crash.from));
}

/// The page of a run, and what stands in its element of data.
fn page(scenario: &Scenario, bug: Option<&str>, options: Options) -> (String, String) {
    let (outcome, recording) =
        engine::record(Engine::Fast, scenario, 0, options, Window::default()).unwrap_or_else(|error| panic!("{error}"));
    let (outcome, recording, command) = (&outcome, &recording, "cargo sim run x".to_owned());
    let page = html::page(&Played { scenario, seed: 0, engine: Engine::Fast, bug, command, outcome, recording });
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"run\">").expect("the page has data");
    let data = data.split_once("</script>").expect("the data ends").0.to_owned();
    (page, data)
}

#[test]
fn the_page_is_whole_holds_the_run_and_asks_nobody_for_anything() {
    let (page, data) = page(&load("leader-crash.toml"), None, Options::default());
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    // The name of a namespace is no address.
    let asks = page.replace("http://www.w3.org/2000/svg", "");
    assert!(["{{", "http://", "https://", " src=", "url(", "@import", "fetch("].iter().all(|word| !asks.contains(word)));
    assert!(page.contains("default-src 'none'") && page.contains("script-src 'sha256-"));
    let data: serde_json::Value = serde_json::from_str(&data).expect("the data is JSON");
    let (head, rows) = (&data["head"], data["rows"].as_array().expect("rows"));
    assert_eq!((head["verdict"].as_str(), head["hosts"].as_u64()), (Some("ok"), Some(3)));
    assert!(rows.len() > 10_000 && head["faults"].as_array().is_some_and(|faults| faults.len() == 2));
    let kinds = head["kinds"].as_array().expect("kinds");
    assert!(rows.iter().all(|row| row[1].as_u64().is_some_and(|kind| (kind as usize) < kinds.len())));
}

#[test]
fn what_a_scenario_says_cannot_end_the_script() {
    let mut scenario = load("leader-crash.toml");
    scenario.name = "</script><script>alert(1)</script> & {{script}}".to_owned();
    scenario.about = "<!-- <script> ]]> \u{2028}\" onload=".to_owned();
    let (page, data) = page(&scenario, None, Options::default());
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"), "the title is escaped");
    let data: serde_json::Value = serde_json::from_str(&data).expect("the data is JSON");
    assert_eq!(data["head"]["name"].as_str(), Some(&*scenario.name));
    assert_eq!(data["head"]["about"].as_str(), Some(&*scenario.about));
}

#[test]
#[cfg(feature = "zoo")]
fn a_failures_page_says_what_the_rule_says() {
    use tertulia_protocol::zoo::Bug;
    let options = Options { bug: Some(Bug::VoteBeforeDurable), ..Options::default() };
    let (_, data) = page(&load("restart-storm.toml"), Some("vote-before-durable"), options);
    let data: serde_json::Value = serde_json::from_str(&data).expect("the data is JSON");
    let head = &data["head"];
    assert_eq!((head["verdict"].as_str(), head["rule"].as_str()), (Some("failed"), Some("vote-durable")));
    assert!(head["ruleAbout"].as_str().is_some_and(|about| about.starts_with("A vote is on disk before it is sent.")));
    assert!(head["violated"].as_u64().is_some() && head["bug"]["about"].as_str().is_some());
}
