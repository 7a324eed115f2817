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
fn points_are_known_ones() {
    let wrong = refusal("when = \"configuration.join\"\ncrash = \"n1\"");
    assert_eq!(wrong, "x.toml:10: no machine tells the point \"configuration.join\"; did you mean `configuration.joint`?");
    let wrong = refusal("at = \"1s\"\ncrash = \"n1\"\n[expect]\nreached = [\"log.replaced\", \"crash.in_join\"]");
    assert_eq!(wrong, "x.toml:13: no point is named \"crash.in_join\"; did you mean `crash.in_joint`?");
}

#[test]
fn clocks_are_off_from_the_beginning_or_for_a_while() {
    let verb = |fault: &str| parse(&format!("at = \"1s\"\n{fault}")).unwrap().faults[0].verb.clone();
    let leader = vec![Target::Leader];
    assert_eq!(verb("skew = \"-2s\"\non = \"leader\""), Verb::Skew { by: Signed::fixed(-2_000_000), on: leader.clone() });
    assert_eq!(verb("drift = \"-1%..1%\""), Verb::Drift { ppm: Signed { from: -10_000, to: 10_000 }, on: vec![Target::All] });
    assert_eq!(verb("jump = \"1m\"\non = \"leader\""), Verb::Jump { by: Signed::fixed(60_000_000), on: leader });
    assert!(refusal("at = \"1s\"\nskew = \"n1\"").starts_with("x.toml:11: \"n1\" is not a duration"));
    assert!(refusal("at = \"1s\"\ndrift = \"0%\"").contains("a `drift` of nothing changes no clock"));
    assert!(refusal("at = \"1s\"\njump = \"1s\"\nfor = \"1s\"").contains("over at once"));
    let cluster = |clocks: &str| {
        let text = HEAD.replace("voters = 3\n", &format!("voters = 3\nclocks = {clocks}\n")).replace("[[fault]]\n", "");
        Scenario::parse("x.toml", &text).map(|scenario| scenario.cluster).map_err(|error| error.to_string())
    };
    let given = cluster("{ default = { skew = \"1ms\", drift = \"5ppm\" }, n2 = { drift = \"-1%\" } }").unwrap();
    assert_eq!(given.clock(1), Clock { skew: Some(Signed::fixed(1_000)), drift: Some(Signed::fixed(-10_000)) });
    assert_eq!(given.clock(2), given.clock);
    assert!(
        cluster("{ n4 = { drift = \"1%\" } }")
            .unwrap_err()
            .contains("x.toml:5: \"n4\" has no clock: write \"default\", or n1 to n3")
    );
    assert!(cluster("{ n1 = { } }").unwrap_err().contains("give `skew`, `drift` or both"));
    assert!(cluster("{ n1 = { drft = \"1%\" } }").unwrap_err().contains("unknown key `drft`; did you mean `drift`?"));
}

#[test]
fn links_are_clogged_and_messages_overtake() {
    let verb = |fault: &str| parse(&format!("at = \"1s\"\n{fault}")).unwrap().faults[0].verb.clone();
    let all = vec![Target::All];
    let clog = Verb::Clog { rate: Throughput::Bytes(64 << 10), queue: 500_000, on: all.clone() };
    assert_eq!(verb("clog = \"64KiB/s\"\nqueue = \"500ms\""), clog);
    assert_eq!(verb("reorder = \"5%\"\nby = \"20ms\""), Verb::Reorder { ppm: 50_000, by: Span::fixed(20_000), on: all });
    assert!(refusal("at = \"1s\"\nclog = \"64KiB\"").starts_with("x.toml:11: \"64KiB\" is not a throughput"));
    assert!(refusal("at = \"1s\"\nclog = \"9/s\"\nqueue = \"2m\"").starts_with("x.toml:12: `queue` is the longest"));
    assert!(refusal("at = \"1s\"\nreorder = \"5%\"").starts_with("x.toml:11: messages that are reordered are held back"));
    assert!(refusal("at = \"1s\"\nloss = \"5%\"\nby = \"1s\"").contains("`by` goes only with reorder"));
}

#[test]
fn clients_are_named_by_number_by_lot_or_by_their_node() {
    let clients = |value: &str| match parse(&format!("at = \"1s\"\ndisconnect = {value}"))
        .map(|scenario| scenario.faults[0].verb.clone())
    {
        Ok(Verb::Disconnect { clients }) => Ok(clients),
        Ok(verb) => panic!("{verb:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(clients("\"all\""), Ok(Clients::All));
    assert_eq!(clients("[2, 1, 2]"), Ok(Clients::Numbers(vec![0, 1])));
    assert_eq!(clients("2"), Ok(Clients::Numbers(vec![1])));
    assert_eq!(clients("\"50%\""), Ok(Clients::Part(500_000)));
    assert_eq!(clients("\"2 drawn\""), Ok(Clients::Drawn(2)));
    assert_eq!(clients("\"at leader\""), Ok(Clients::At(vec![Target::Leader])));
    assert_eq!(clients("3"), Err("x.toml:11: there is no client 3: the workload has 1 to 2".to_owned()));
    assert!(clients("\"at leadr\"").unwrap_err().contains("did you mean `leader`?"));
    assert!(clients("\"al\"").unwrap_err().starts_with("x.toml:11: unknown clients \"al\"; did you mean `all`?"));
    assert!(clients("\"leader\"").unwrap_err().contains("or \"at leader\" for those"));
    assert!(clients("\"0%\"").unwrap_err().contains("none"));
    assert!(refusal("at = \"1s\"\nslow-reader = \"all\"\nrate = \"5/s\"").contains("a reader takes bytes"));
    assert!(refusal("at = \"1s\"\ncrash = \"n1\"\nrate = \"5KiB/s\"").contains("`rate` goes only with slow-reader"));
}

#[test]
fn sectors_and_readers_have_sizes_that_there_are() {
    let cluster = |keys: &str| {
        let text = HEAD.replace("voters = 3\n", &format!("voters = 3\n{keys}\n")).replace("[[fault]]\n", "");
        Scenario::parse("x.toml", &text).map(|scenario| scenario.cluster).map_err(|error| error.to_string())
    };
    assert_eq!(cluster("disk = { sector = \"4KiB\" }").unwrap().sector, Some(4_096));
    assert_eq!(cluster("reader = \"8KiB\"").unwrap().limits.reader_bytes, 8_192);
    assert!(cluster("disk = { sector = \"1000B\" }").unwrap_err().contains("x.toml:5: a disk has no sectors of 1000 bytes"));
    assert_eq!(cluster("outbox = \"2KiB\"").unwrap().limits.outbox_bytes, 2_048);
    assert!(cluster("outbox = \"8B\"").unwrap_err().contains("x.toml:5: an outbox of 8 bytes is too small"));
    assert!(cluster("reader = \"8B\"").unwrap_err().contains("x.toml:5: 8 bytes are out of range for `reader`"));
}

#[test]
fn partitions_have_shapes() {
    let verb = |fault: &str| parse(&format!("at = \"1s\"\n{fault}")).unwrap().faults[0].verb.clone();
    assert_eq!(verb("bridge = \"leader\""), Verb::Partition(Split::Bridge(Target::Leader)));
    assert_eq!(verb("isolate = [\"n1\", \"n2\"]"), Verb::Partition(Split::Isolate(vec![Target::Node(0), Target::Node(1)])));
    let one_way = Split::OneWay(vec![Target::Rest], vec![Target::Successor(1)]);
    assert_eq!(verb("one-way = [[\"rest\"], [\"successor(1)\"]]"), Verb::Partition(one_way));
    assert!(refusal("at = \"1s\"\npartition = \"bridge\"").contains("\"bridge\" is a verb of its own: write bridge = …"));
    assert!(refusal("at = \"1s\"\npartition = \"ring-of-majorites\"").contains("did you mean `ring-of-majorities`?"));
    assert!(refusal("at = \"1s\"\npartition = \"ring-of-majorities\"").contains("cuts nothing with fewer than 4 voters"));
    assert!(refusal("at = \"1s\"\nstar = \"all\"").starts_with("x.toml:11: expected one node"));
    assert!(refusal("at = \"1s\"\nstar = \"successor(3)\"").contains("successor(2) the last"));
    assert!(refusal("at = \"1s\"\none-way = [[\"n1\"]]").contains("one-way is two groups, from and to"));
    assert!(refusal("at = \"1s\"\none-way = [[\"rest\"], [\"rest\"]]").contains("in one group of one-way"));
}

#[test]
fn what_belongs_to_one_verb_is_refused_beside_another() {
    let line = |key: &str| refusal(&format!("at = \"1s\"\npause = \"n1\"\n{key}"));
    assert_eq!(line("disk = \"keep\""), "x.toml:12: `disk` goes only with crash");
    assert_eq!(line("rot = \"log\""), "x.toml:12: `rot` goes only with crash");
    assert_eq!(line("restart = \"1s\""), "x.toml:12: `restart` goes only with fail, full, misread");
    assert_eq!(
        line("on = \"n1\""),
        "x.toml:12: `on` goes only with loss, delay, duplicate, slow-disk, skew, drift, jump, reorder, clog, cut-clients"
    );
    assert!(refusal("at = \"1s\"\nreset = \"n1\"\nfor = \"1s\"").contains("`for` does not go with a verb that is over at once"));
    assert!(refusal("at = \"1s\"\nfail = \"n1\"").contains("with `restart`"));
    assert!(refusal("at = \"1s\"\ncrash = \"n1\"\nrot = \"vots\"").contains("did you mean `vote`?"));
    assert!(refusal("at = \"1s\"\ncrash = \"n1\"\ndisk = \"wipe\"\nrot = \"log\"").contains("nothing can rot"));
    assert!(refusal("at = \"1s\"\nlinks = { \"1->4\" = \"8ms\" }").contains("\"1->4\" is not a link"));
    assert!(refusal("at = \"1s\"\nadd = 1").contains("give [cluster] `spares`"));
    assert!(refusal("at = \"1s\"\nvoters = 4").contains("out of range: 1 to 3"));
}

#[test]
fn a_cluster_may_have_spares_and_a_policy_of_succession() {
    let cluster = |keys: &str| {
        let text = HEAD.replace("voters = 3\n", &format!("voters = 3\n{keys}\n")) + "at = \"1s\"\nreplace = \"n1\"";
        Scenario::parse("x.toml", &text).map(|scenario| scenario.cluster).map_err(|error| error.to_string())
    };
    let fixed = cluster("spares = 2\nsuccession = { policy = \"fixed\", order = [3, 1] }").unwrap();
    assert_eq!((fixed.hosts(), fixed.succession), (5, Succession::Fixed(vec![2, 0])));
    assert_eq!(cluster("spares = 1\nsuccession = { policy = \"central\" }").unwrap().succession, Succession::Central);
    let refused = |keys: &str| cluster(keys).unwrap_err();
    assert!(
        refused("succession = { policy = \"centrl\" }").contains("x.toml:5: unknown policy \"centrl\"; did you mean `central`?")
    );
    assert!(refused("succession = { policy = \"fixed\", order = [1, 4] }").contains("nodes from 1 to 3"));
    assert!(refused("succession = { policy = \"fixed\", order = [1, 1] }").contains("each at most once"));
    assert!(refused("succession = { policy = \"fixed\" }").contains("needs `order`"));
    assert!(refused("succession = { policy = \"ring\", order = [1] }").contains("goes only with policy = \"fixed\""));
}

#[test]
fn a_schema_that_is_not_known_is_refused() {
    let error = Scenario::parse("x.toml", "schema = 2\nname = \"x\"").unwrap_err();
    assert_eq!(error.to_string(), "x.toml:1: schema 2 is unknown to this release: it reads schema = 1");
}

#[test]
fn the_end_is_expected_by_names_that_exist() {
    let with = |cluster: &str, expect: &str| {
        let head = HEAD.replace("voters = 3\n", &format!("voters = 3\n{cluster}")).replace("[[fault]]\n", "");
        Scenario::parse("x.toml", &format!("{head}[expect]\n{expect}")).map_err(|error| error.to_string())
    };
    let scenario = with("spares = 1\n", "leader = \"n4\"\nmembers = [\"n4\", \"n1\"]\nvoters = 2\ntransfers_max = 3").unwrap();
    let expect = &scenario.expect;
    assert_eq!(
        (expect.leader, expect.members.clone(), expect.voters, expect.transfers_max),
        (Some(3), Some(vec![0, 3]), Some(2), Some(3))
    );
    assert!(with("", "leader = \"n4\"").unwrap_err().contains("\"n4\" is not a node: the cluster has n1 to n3"));
    assert!(with("", "members = [\"1\"]").unwrap_err().contains("is not a node"));
    assert!(with("", "voters = 4").unwrap_err().contains("voters = 4 is out of range: 1 to 3"));
}

#[test]
fn a_cluster_says_how_its_leaders_are_chosen_and_how_far_its_clocks_drift() {
    let head = HEAD.replace(
        "voters = 3\n",
        "voters = 3\nlease_drift = \"0.1%\"\ndisk_stall = \"700ms\"\nsuccession = { policy = \"central\", tenure = \"2s\" }\n",
    );
    let cluster = Scenario::parse("x.toml", &head.replace("[[fault]]\n", "")).unwrap().cluster;
    assert_eq!(cluster.timing.lease_drift_ppm, Some(1_000));
    assert_eq!(cluster.timing.disk_stall.as_millis(), 700);
    assert_eq!((cluster.succession_timing.tenure.as_millis(), cluster.policy()), (2_000, Policy::Central));
}

/// Fifteen mistakes that people make, and what they are told.
#[test]
fn typical_mistakes_and_what_they_are_told() {
    let head = HEAD.replace("[[fault]]\n", "");
    let whole = [
        ("a section misspelt", head.replace("[cluster]", "[clutser]")),
        ("a number without its unit", head.replace("\"20s\"", "\"20\"")),
        ("a number without quotes", head.replace("\"20s\"", "20")),
        ("a string where a number belongs", head.replace("voters = 3", "voters = \"3\"")),
        ("no workload", head.split("[workload]").next().unwrap_or_default().to_owned()),
        ("a quote forgotten", head.replace("\"20s\"", "\"20s")),
    ];
    let faults = [
        ("a key misspelt", "at = \"1s\"\ncrash = \"leader\"\ndsik = \"torn\""),
        ("a target misspelt", "at = \"1s\"\ncrash = \"leadr\""),
        ("a value misspelt", "at = \"1s\"\ncrash = \"leader\"\ndisk = \"tron\""),
        ("nothing that goes wrong", "at = \"1s\"\nfor = \"2s\""),
        ("two things at once", "at = \"1s\"\ncrash = \"leader\"\nloss = \"5%\""),
        ("no time", "crash = \"leader\""),
        ("a node that is not there", "at = \"1s\"\ncrash = \"n9\""),
        ("a range backwards", "at = \"9s..2s\"\ncrash = \"leader\""),
        ("a key at another verb", "at = \"1s\"\npause = \"leader\"\ndisk = \"torn\""),
        ("a table where a value belongs", "at = { drwa = \"1s..2s\" }\ncrash = \"leader\""),
        ("after the end", "at = \"30s\"\ncrash = \"leader\""),
    ];
    let whole = whole.into_iter().chain(faults.map(|(what, lines)| (what, format!("{HEAD}{lines}\n"))));
    let told: Vec<String> = whole
        .map(|(what, text)| {
            let error = Template::parse("mine.toml", &text).expect_err(what);
            let line = text.lines().nth(error.line.saturating_sub(1)).unwrap_or_default();
            format!("{what}\n    {}\n    {error}\n", if error.line == 0 { "(the whole file)" } else { line })
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}
