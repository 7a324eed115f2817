//! What a scenario file may say, and how it is refused.

use super::*;

const HEAD: &str =
    "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\n[workload]\nclients = 2\nrate = \"10/s\"\nstop = \"20s\"\n[[fault]]\n";

fn parse(fault: &str) -> Result<Scenario, String> {
    Scenario::parse("x.toml", &format!("{HEAD}{fault}")).map_err(|error| error.to_string())
}

fn refusal(fault: &str) -> String {
    parse(fault).expect_err("refused")
}

#[test]
fn a_fault_is_read_with_its_units() {
    let scenario =
        parse("id = \"split\"\nat = \"4s..6s\"\npartition = [[\"leader\", \"n2\"], [\"rest\"]]\nfor = \"3s\"").unwrap();
    let fault = &scenario.faults[0];
    assert_eq!(fault.trigger, Trigger::At(Span::millis(4_000, 6_000)));
    assert_eq!(fault.lasts, Some(Span::millis(3_000, 3_000)));
    assert_eq!(fault.verb, Verb::Partition(Split::Groups(vec![vec![Target::Leader, Target::Node(1)], vec![Target::Rest]])));
    assert_eq!(scenario.workload.gap, 100_000);
}

#[test]
fn a_fault_has_exactly_one_verb() {
    assert_eq!(
        refusal("at = \"1s\"\ncrash = \"leader\"\nloss = \"5%\""),
        "x.toml:12: a fault needs exactly one verb, this one has `crash` and `loss`: make two faults of it"
    );
    assert!(refusal("at = \"1s\"").starts_with("x.toml:9: a fault needs exactly one verb"));
}

#[test]
fn mistakes_are_named_with_their_line_and_what_was_meant() {
    assert_eq!(refusal("at = \"1s\"\ncrsh = \"leader\""), "x.toml:11: unknown key `crsh`; did you mean `crash`?");
    assert_eq!(refusal("at = \"1s\"\ncrash = \"leadr\""), "x.toml:11: unknown target \"leadr\"; did you mean `leader`?");
    assert_eq!(refusal("at = \"1s\"\ncrash = \"n4\""), "x.toml:11: there is no node \"n4\": the cluster has n1 to n3");
    assert!(refusal("at = \"1\"\ncrash = \"n1\"").starts_with("x.toml:10: \"1\" is not a duration"));
    assert!(refusal("at = \"21s\"\ncrash = \"n1\"").contains("not before the workload's stop"));
    assert_eq!(
        refusal("after = \"splt\"\ncrash = \"n1\"\n[[fault]]\nid = \"split\"\nat = \"1s\"\npartition = \"halves\""),
        "x.toml:10: no fault has the id \"splt\"; did you mean `split`?"
    );
}

#[test]
fn faults_that_no_engine_plays_are_refused_by_name() {
    assert_eq!(refusal("at = \"1s\"\npause = \"n1\""), "x.toml:11: `pause` is not implemented yet: no engine can play it");
    assert!(refusal("at = \"1s\"\ncrash = \"n1\"\ndisk = \"wipe\"").contains("`disk = \"wipe\"` is not implemented yet"));
}

#[test]
fn a_schema_that_is_not_known_is_refused() {
    let error = Scenario::parse("x.toml", "schema = 2\nname = \"x\"").unwrap_err();
    assert_eq!(error.to_string(), "x.toml:1: schema 2 is unknown to this release: it reads schema = 1");
}
