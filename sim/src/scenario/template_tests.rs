//! What may be left to the seed, and how a file is refused that leaves too much to it.

use super::super::{Scenario, Span, Trigger, Verb};
use super::*;

const HEAD: &str = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\n[workload]\nclients = 2\nrate = \"10/s\"\nstop = \"20s\"\n";

fn template(text: &str) -> Template {
    Template::parse("x.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> String {
    Template::parse("x.toml", text).expect_err("refused").to_string()
}

fn play(template: &Template, seed: u64) -> Scenario {
    template.scenario(seed).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_file_without_draws_is_the_same_for_every_seed() {
    let text = format!("{HEAD}[[fault]]\nat = \"2s\"\ncrash = \"leader\"\n");
    let template = template(&text);
    assert_eq!(play(&template, 1), play(&template, 2));
    assert_eq!(play(&template, 1), Scenario::parse("x.toml", &text).unwrap());
    assert_eq!(template.drawn(1), Ok(Vec::new()));
}

#[test]
fn every_kind_of_value_may_be_drawn_and_reaches_both_ends() {
    let text = HEAD
        .replace("voters = 3", "voters = { draw = \"1..5\" }\nheartbeat = { draw = \"20ms..30ms\" }\nlog = { draw = \"16KiB..17KiB\" }\nlease_drift = { draw = \"0.1%..0.3%\" }\nlinks = { default = { draw = [\"1ms..2ms\", \"40ms\"], weights = [3, 1] } }\ndisk = { sync = { span = \"1ms..9ms\" } }")
        .replace("rate = \"10/s\"", "rate = { draw = \"10/s..20/s\" }");
    let template = template(&text);
    let all: Vec<Scenario> = (0..400).map(|seed| play(&template, seed)).collect();
    let voters: BTreeSet<usize> = all.iter().map(|scenario| scenario.cluster.voters).collect();
    assert_eq!(voters, (1..=5).collect());
    assert!(all.iter().all(|scenario| (50_000..=100_000).contains(&scenario.workload.gap)));
    let link = |span: Span| all.iter().filter(|scenario| scenario.cluster.link == span).count();
    let (near, far) = (link(Span::millis(1, 2)), link(Span::millis(40, 40)));
    assert_eq!(near + far, 400);
    assert!((260..340).contains(&near), "three quarters of 400: {near}");
    let syncs: BTreeSet<(u64, u64)> = all.iter().map(|scenario| (scenario.cluster.sync.from, scenario.cluster.sync.to)).collect();
    assert!(syncs.len() > 390 && syncs.iter().all(|(from, to)| 1_000 <= *from && from <= to && *to <= 9_000));
    let timing =
        all.iter().map(|scenario| (scenario.cluster.timing.heartbeat.as_micros(), scenario.cluster.timing.lease_drift_ppm));
    assert!(timing.clone().all(|(beat, drift)| (20_000..=30_000).contains(&beat) && (1_000..=3_000).contains(&drift.unwrap())));
    assert!(all.iter().all(|scenario| (16 << 10..=17 << 10).contains(&scenario.cluster.limits.log_bytes)));
}

#[test]
fn one_key_more_leaves_the_other_draws_as_they_were() {
    let fault = "[[fault]]\nid = \"a\"\nat = { draw = \"1s..19s\" }\ncrash = { draw = [\"leader\", \"follower\", \"n3\"] }\n";
    let before = template(&format!("{HEAD}{fault}"));
    let more = "[[fault]]\nid = \"b\"\nchance = \"50%\"\nat = { draw = \"1s..19s\" }\npause = \"leader\"\n";
    let keyed = fault.replace("crash", "for = { draw = \"1s..2s\" }\ncrash");
    let after = template(&format!("{}{more}{keyed}", HEAD.replace("voters = 3", "voters = { draw = \"3..5\" }")));
    for seed in 0..50 {
        let (before, after) = (play(&before, seed), play(&after, seed));
        let same = after.faults.iter().find(|fault| fault.id == "a").expect("there");
        assert_eq!((&same.trigger, &same.verb), (&before.faults[0].trigger, &before.faults[0].verb));
    }
}

#[test]
fn values_that_are_drawn_with_each_other_are_at_the_same_place_of_their_ranges() {
    let text = HEAD.replace(
        "voters = 3",
        "voters = 3\nheartbeat = { draw = \"10ms..100ms\", with = \"pace\" }\ndetection = { draw = \"100ms..1s\", with = \"pace\" }",
    );
    let template = template(&text);
    for seed in 0..50 {
        let timing = play(&template, seed).cluster.timing;
        assert!((timing.heartbeat * 10).abs_diff(timing.detection).as_micros() <= 10, "{timing:?}");
    }
}

#[test]
fn a_fault_has_a_chance_and_copies_and_takes_along_what_waits_for_it() {
    let faults = "[[fault]]\nid = \"a\"\nchance = \"30%\"\nat = \"1s\"\ncrash = \"leader\"\n[[fault]]\nid = \"b\"\nafter = \"a\"\npause = \"leader\"\n[[fault]]\nid = \"c\"\nevery = \"1s\"\nduring = \"b\"\nreset = \"leader\"\n[[fault]]\nid = \"d\"\ncopies = { draw = \"0..3\" }\nat = { draw = \"1s..9s\" }\nstall = \"leader\"\n";
    let template = template(&format!("{HEAD}{faults}"));
    let (mut there, mut counts) = (0, BTreeSet::new());
    for seed in 0..400 {
        let faults = play(&template, seed).faults;
        let named = |id: &str| faults.iter().any(|fault| fault.id == id);
        assert!(named("a") == named("b") && named("b") == named("c"));
        there += u32::from(named("a"));
        let copies: Vec<&Trigger> =
            faults.iter().filter(|fault| matches!(fault.verb, Verb::Stall { .. })).map(|fault| &fault.trigger).collect();
        counts.insert(copies.len());
        assert!(copies.len() < 2 || copies[0] != copies[1], "each copy has draws of its own");
        assert_eq!(named("d #2"), copies.len() >= 2);
    }
    assert!((90..150).contains(&there), "30 of 100: {there} of 400");
    assert_eq!(counts, (0..=3).collect());
}

#[test]
fn a_range_that_reaches_too_far_is_refused_with_its_line_before_any_run() {
    let error = refusal(&HEAD.replace("voters = 3", "voters = { draw = \"3..20\" }"));
    assert_eq!(error, "x.toml:4: voters = 20 is out of range: 1 to 15 (when all is drawn at its most)");
    let fault = "[[fault]]\nat = \"1s\"\ncrash = { draw = [\"leader\", \"leadr\"] }\n";
    let error = refusal(&format!("{HEAD}{fault}"));
    assert!(error.starts_with("x.toml:11: unknown target \"leadr\"; did you mean `leader`?"), "{error}");
    // Only the fewest voters do not fit.
    let fault = "[[fault]]\nchance = \"1%\"\nat = \"1s\"\ncrash = \"n3\"\n";
    let error = refusal(&format!("{}{fault}", HEAD.replace("voters = 3", "voters = { draw = \"2..3\" }")));
    assert!(error.starts_with("x.toml:12: there is no node \"n3\""), "{error}");
}

#[test]
fn an_optional_fault_may_ask_for_what_is_not_there() {
    let faults = "[[fault]]\noptional = true\nat = \"1s\"\nbridge = \"n5\"\n[[fault]]\noptional = true\nat = \"1s\"\nreplace = \"leader\"\n[[fault]]\noptional = true\nat = \"1s\"\npause = \"successor(7)\"\n";
    let scenario = play(&template(&format!("{HEAD}{faults}")), 0);
    assert!(scenario.faults.len() == 3 && scenario.faults.iter().all(|fault| fault.optional));
    let typo = faults.replace("n5", "m5");
    assert!(refusal(&format!("{HEAD}{typo}")).contains("unknown target \"m5\""));
}

#[test]
fn mistakes_in_draws_are_named_with_their_line() {
    let with = |value: &str| refusal(&HEAD.replace("voters = 3", &format!("voters = {value}")));
    assert_eq!(with("{ draw = \"3..1\" }"), "x.toml:4: \"3..1\" runs backwards: write the smaller end first");
    assert!(with("{ draw = \"3\" }").starts_with("x.toml:4: \"3\" is not a range to draw from"));
    assert!(
        with("{ draw = \"3..5\", wih = \"a\" }")
            .starts_with("x.toml:4: unknown key `wih` of a drawn value; did you mean `with`?")
    );
    assert!(with("{ draw = [1, 2], weights = [1] }").contains("as many numbers as there are values, here 2"));
    assert!(with("{ draw = [] }").contains("nothing to draw from"));
    assert!(with("{ draw = \"1..2\", span = \"1..2\" }").contains("either `draw` or `span`"));
    assert!(with("{ draw = \"1..99999\" }").contains("at most 10000"));
    let error = Scenario::parse("x.toml", &HEAD.replace("voters = 3", "voters = { draw = \"3..5\" }")).unwrap_err();
    assert_eq!(error.to_string(), "x.toml: is another scenario for every seed: say for which one");
}

#[test]
fn what_was_drawn_can_be_told() {
    let fault = "[[fault]]\nid = \"a\"\nchance = \"50%\"\nat = { draw = \"1s..2s\" }\ncrash = \"n1\"\n";
    let template = template(&format!("{}{fault}", HEAD.replace("voters = 3", "voters = { draw = \"3..5\" }")));
    let told: Vec<Vec<Drawn>> = (0..8).map(|seed| template.drawn(seed).unwrap()).collect();
    for (seed, told) in told.iter().enumerate() {
        let there = play(&template, seed as u64).faults.len() == 1;
        assert_eq!(told[0].what, "cluster.voters");
        assert_eq!(told[0].value, play(&template, seed as u64).cluster.voters.to_string());
        assert_eq!(told[1], Drawn { what: "fault \"a\"".into(), value: if there { "there" } else { "not there" }.into() });
        assert_eq!(told.len(), if there { 3 } else { 2 });
    }
}

#[test]
fn a_key_that_is_drawn_as_false_is_not_there() {
    let template = template(&HEAD.replace("stop", "pages = { draw = [false, \"1s..2s\"] }\nstop"));
    let pages: BTreeSet<bool> = (0..20).map(|seed| play(&template, seed).workload.pages.is_some()).collect();
    assert_eq!(pages.len(), 2);
}

#[test]
fn a_fault_may_pick_its_verb() {
    let fault = "[[fault]]\ncopies = 2\nat = { draw = \"1s..9s\" }\npick = { draw = [{ crash = \"leader\", disk = { draw = [\"torn\", \"keep\"] } }, { loss = { draw = \"1%..2%\" } }] }\n";
    let template = template(&format!("{HEAD}{fault}"));
    let crashes = |seed| play(&template, seed).faults.iter().filter(|fault| matches!(fault.verb, Verb::Crash { .. })).count();
    let counts: BTreeSet<usize> = (0..50).map(crashes).collect();
    assert_eq!(counts, (0..=2).collect());
    assert!(refusal(&format!("{HEAD}[[fault]]\nat = \"1s\"\npick = \"crash\"\n")).contains("x.toml:11: pick is one of several"));
    let wrong = fault.replace("\"torn\", \"keep\"", "\"torn\", \"kep\"");
    assert!(
        refusal(&format!("{HEAD}{wrong}")).starts_with("x.toml:12: unknown outcome \"kep\" of a crash; did you mean `keep`?")
    );
}

#[test]
fn a_fault_is_left_out_of_a_cluster_that_is_too_small_for_it() {
    let fault = "[[fault]]\nneeds_voters = 3\nat = \"1s\"\ncrash = \"n3\"\n";
    let template = template(&format!("{}{fault}", HEAD.replace("voters = 3", "voters = { draw = \"1..4\" }")));
    for seed in 0..20 {
        let scenario = play(&template, seed);
        assert_eq!(scenario.faults.len() == 1, scenario.cluster.voters >= 3);
    }
}
