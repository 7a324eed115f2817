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

#[test]
fn messages_are_held_back_and_overtaken() {
    on_both("[[fault]]\nat = \"3s\"\nreorder = \"20%\"\nby = \"20ms..80ms\"\nfor = \"2s\"", |outcome| {
        outcome.tally.held_back > 20
    });
}

#[test]
fn messages_wait_on_a_clogged_link_and_when_too_many_do_its_connection_breaks() {
    let narrow =
        |rate: &str, queue: &str| format!("[[fault]]\nat = \"3s\"\nclog = \"{rate}\"\nqueue = \"{queue}\"\nfor = \"3s\"");
    // Two hundred milliseconds for each message, three nodes: nothing commits fast enough, and posts are accepted without it.
    on_both(&narrow("5/s", "10s"), |outcome| outcome.tally.queued > 10 && outcome.tally.accepted > 20);
    on_both(&narrow("4KiB/s", "200ms"), |outcome| outcome.tally.queued > 50);
}

#[test]
fn a_leader_whose_clock_runs_slow_is_replaced_by_followers_whose_clocks_run_fast() {
    // A heartbeat comes every 100 ms instead of 50, and a detection of 300 ms is over after 200.
    let drifts = "[[fault]]\nat = \"3s\"\ndrift = \"-50%\"\non = \"leader\"\nfor = \"4s\"\n[[fault]]\nat = \"3s\"\ndrift = \"50%\"\non = \"follower\"\nfor = \"4s\"";
    for engine in [Engine::Fast, Engine::Turmoil] {
        let (plain, drifting) = (play(engine, ""), play(engine, drifts));
        assert_ne!(plain.trace, drifting.trace);
        assert!(drifting.story.iter().any(|(_, told)| told.contains("clocks drift: n") && told.contains("-500000 ppm")));
    }
}

#[test]
fn a_disk_that_misreads_halts_its_node_and_that_is_no_violation() {
    on_both("[[fault]]\nat = \"3s\"\nmisread = \"leader\"\nrestart = \"1s\"", |outcome| {
        outcome.tally.crashes == 1 && outcome.story.iter().any(|(_, told)| told.contains("halts, its disk has failed"))
    });
}

#[test]
fn clients_lose_their_connections_and_come_back() {
    on_both("[[fault]]\nat = \"3s\"\ndisconnect = \"all\"", |outcome| outcome.tally.disconnected == 4);
    on_both("[[fault]]\nat = \"3s\"\nretry-storm = \"50%\"\nfor = \"2s\"", |outcome| outcome.tally.disconnected >= 8);
}

#[test]
fn clients_that_are_cut_off_are_not_answered() {
    let faults = "[[fault]]\nat = \"3s\"\ncut-clients = \"all\"\nfor = \"2s\"";
    on_both(faults, |outcome| outcome.tally.longest_wait >= 1_800_000 && outcome.tally.kept_waiting > 0);
    // Who is cut off from one node only moves.
    for engine in [Engine::Fast, Engine::Turmoil] {
        let outcome = play(engine, "[[fault]]\nat = \"3s\"\ncut-clients = \"at leader\"\non = \"leader\"");
        assert!(outcome.tally.kept_waiting > 0 && outcome.tally.longest_wait < 1_000_000, "{:?}", outcome.tally);
    }
}

#[test]
fn a_slow_reader_leaves_the_live_audience_and_comes_back() {
    let text = CLUSTER.replace("voters = 3\n", "voters = 3\nreader = \"1KiB\"\n");
    let slow = "[[fault]]\nat = \"3s\"\nslow-reader = [1]\nfor = \"800ms\"\n";
    for engine in [Engine::Fast, Engine::Turmoil] {
        let behind = |faults: &str| {
            let scenario = Scenario::parse("x", &format!("{text}{faults}")).unwrap();
            let outcome = engine::run(engine, &scenario, 3, Options::default()).unwrap();
            assert_eq!(outcome.verdict, Verdict::Ok, "{} engine", engine.name());
            outcome.points.iter().any(|(point, _)| *point == "reader.fell_behind")
        };
        assert!(!behind("") && behind(slow), "{} engine", engine.name());
    }
}
