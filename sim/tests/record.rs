//! A recorded run is the run that it would have been, and what it keeps is what happened.

use std::path::PathBuf;
use tertulia_sim::engine::{self, Engine, Options};
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
