//! What each fault does to a cluster, on both engines: a fault that did nothing would make every scenario with it worthless.

use tertulia_sim::engine::{self, Engine, Options, Outcome, Verdict};
use tertulia_sim::scenario::Scenario;

const CLUSTER: &str = concat!(
    "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\n",
    "[workload]\nclients = 4\nrate = \"60/s\"\nstop = \"9s\"\npages = \"200ms..400ms\"\n",
);

/// A run of three nodes with these faults; it must go well.
fn play(engine: Engine, faults: &str) -> Outcome {
    let scenario = Scenario::parse("x", &format!("{CLUSTER}{faults}")).unwrap_or_else(|error| panic!("{error}"));
    let outcome = engine::run(engine, &scenario, 3, Options::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.verdict, Verdict::Ok, "{} engine: {faults}", engine.name());
    outcome
}

fn on_both(faults: &str, what: impl Fn(&Outcome) -> bool) {
    for engine in [Engine::Fast, Engine::Turmoil] {
        let (plain, outcome) = (play(engine, ""), play(engine, faults));
        assert!(!what(&plain), "{} engine: it is so without the fault as well: {:?}", engine.name(), plain.tally);
        assert!(what(&outcome), "{} engine: {:?}", engine.name(), outcome.tally);
    }
}

#[test]
fn a_leader_that_is_paused_is_replaced_and_its_process_lives_on() {
    let faults = "[[fault]]\nat = \"3s\"\npause = \"leader\"\nfor = \"3s\"";
    on_both(faults, |outcome| outcome.tally.elections >= 2 && outcome.tally.crashes == 0);
}

#[test]
fn when_all_are_paused_nobody_is_answered() {
    on_both("[[fault]]\nat = \"3s\"\npause = \"all\"\nfor = \"2s\"", |outcome| outcome.tally.longest_wait >= 1_900_000);
}

#[test]
fn when_all_disks_stand_still_nothing_is_acknowledged() {
    on_both("[[fault]]\nat = \"3s\"\nstall = \"all\"\nfor = \"2s\"", |outcome| outcome.tally.longest_wait >= 1_900_000);
}

#[test]
fn slow_disks_make_everybody_wait() {
    let faults = "[[fault]]\nat = \"3s\"\nslow-disk = \"300ms\"\non = \"all\"\nfor = \"2s\"";
    on_both(faults, |outcome| outcome.tally.longest_wait >= 290_000);
}

#[test]
fn a_disk_that_fails_halts_its_node_and_that_is_no_violation() {
    on_both("[[fault]]\nat = \"3s\"\nfail = \"leader\"\nrestart = \"1s\"", |outcome| {
        outcome.tally.crashes == 1 && outcome.story.iter().any(|(_, told)| told.contains("halts, its disk has failed"))
    });
}

#[test]
fn rows_that_rot_are_built_again() {
    let faults = "[[fault]]\nat = \"3s\"\ncrash = \"leader\"\ndisk = \"keep\"\nrot = \"rows\"\nfor = \"500ms\"";
    on_both(faults, |outcome| outcome.tally.crashes == 1);
}

#[test]
fn other_delays_of_links_are_felt_and_end() {
    let all = ["1->2", "2->1", "1->3", "3->1", "2->3", "3->2"].map(|link| format!("\"{link}\" = \"150ms\"")).join(", ");
    let faults = format!("[[fault]]\nat = \"3s\"\nlinks = {{ {all} }}\nfor = \"2s\"");
    // Every other page asks no leader, and is answered as soon as it has come.
    on_both(&faults, |outcome| outcome.tally.longest_wait >= 140_000);
}

#[test]
fn an_isolated_leader_is_replaced_and_a_leader_on_a_bridge_is_not() {
    let isolated = "[[fault]]\nat = \"3s\"\nisolate = \"leader\"\nfor = \"3s\"";
    on_both(isolated, |outcome| outcome.tally.elections >= 2);
    for engine in [Engine::Fast, Engine::Turmoil] {
        let outcome = play(engine, "[[fault]]\nat = \"3s\"\nbridge = \"leader\"\nfor = \"3s\"");
        assert_eq!(outcome.tally.elections, 1);
    }
}

#[test]
fn a_connection_that_breaks_is_made_again() {
    for engine in [Engine::Fast, Engine::Turmoil] {
        let plain = play(engine, "");
        let broken = play(engine, "[[fault]]\nevery = \"500ms\"\nfrom = \"2s\"\nreset = \"all\"");
        assert_ne!(plain.trace, broken.trace);
        let breaks = broken.story.iter().filter(|(_, told)| told.contains("connections of n1 n2 n3 break")).count();
        assert!(breaks >= 10, "{breaks}");
    }
}

#[test]
fn a_spare_machine_that_nobody_brings_in_changes_nothing_for_the_others() {
    for engine in [Engine::Fast, Engine::Turmoil] {
        let text = CLUSTER.replace("voters = 3\n", "voters = 3\nspares = 2\n");
        let crash = "[[fault]]\nat = \"3s\"\ncrash = \"successor(1)\"\nfor = \"1s\"";
        let scenario = Scenario::parse("x", &format!("{text}{crash}")).unwrap();
        let outcome = engine::run(engine, &scenario, 3, Options::default()).unwrap();
        assert_eq!((outcome.verdict, outcome.tally.crashes), (Verdict::Ok, 1));
    }
}

#[test]
fn links_that_differ_by_direction_are_refused_by_name_on_turmoil() {
    let faults = "[[fault]]\nid = \"road\"\nat = \"3s\"\nlinks = { \"1->2\" = \"80ms\" }\nfor = \"1s\"";
    let scenario = Scenario::parse("x", &format!("{CLUSTER}{faults}")).unwrap();
    let refused = engine::run(Engine::Turmoil, &scenario, 0, Options::default()).unwrap_err();
    assert!(
        refused.message.starts_with("fault \"road\" (line 10): the turmoil engine has the same delay both ways"),
        "{refused}"
    );
    play(Engine::Fast, faults);
}
