//! What is written reads back as the same.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use std::path::PathBuf;

/// The places of faults aside, which are another file's.
fn without_lines(mut scenario: Scenario) -> Scenario {
    scenario.faults.iter_mut().for_each(|fault| fault.line = 0);
    scenario
}

fn reads_back(scenario: &Scenario) {
    let text = write(scenario);
    let back = Scenario::parse("written.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(without_lines(back), without_lines(scenario.clone()), "{text}");
}

#[test]
fn every_scenario_of_the_repository_is_written_and_read_back() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut count = 0;
    for place in [".", "seeds", "examples", "zoo"] {
        let Ok(files) = std::fs::read_dir(folder.join(place)) else { continue };
        for file in files.map(|file| file.expect("a file").path()) {
            if file.extension().is_some_and(|extension| extension == "toml") {
                let path = file.to_str().expect("a path in UTF-8");
                let template = Template::load(path).unwrap_or_else(|error| panic!("{error}"));
                for seed in 0..10 {
                    reads_back(&template.scenario(seed).unwrap_or_else(|error| panic!("{error}")));
                }
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn a_story_with_quotes_and_lines_reads_back() {
    let plain =
        Scenario::parse("x", "schema = 1\nname = \"x\"\n[cluster]\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"9s\"");
    let plain = plain.expect("a scenario");
    for about in ["", "one line", "two\nlines\n", "it \"ends\nin\"", "\\ and \"\"\" and\n\ttabs", "a\r\nb"] {
        reads_back(&Scenario { about: about.to_owned(), name: about.to_owned(), ..plain.clone() });
    }
}

#[test]
fn units_are_the_biggest_that_need_no_fraction() {
    assert_eq!(duration(120_000_000), "\"2m\"");
    assert_eq!(duration(1_500_000), "\"1500ms\"");
    assert_eq!(span(Span { from: 250, to: 2_000 }), "\"250us..2ms\"");
    assert_eq!(percent(5_000), "\"0.5%\"");
    assert_eq!(rate(33_333), "\"30/s\"");
    assert_eq!(rate(16_666), "\"60/s\"");
    assert_eq!(rate(2_000_000), "\"0.5/s\"");
    assert_eq!(bytes(16 << 10), "\"16KiB\"");
}

const VOTERS: usize = 5;
const HOSTS: usize = 7;

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![1_000u64..9_000_000, (1u64..9_000).prop_map(|ms| ms * 1_000), (1u64..9).prop_map(|s| s * 1_000_000)]
}

fn a_span() -> impl Strategy<Value = Span> {
    (time(), prop_oneof![Just(0), time()]).prop_map(|(from, more)| Span { from, to: (from + more).min(9_000_000).max(from) })
}

fn one() -> impl Strategy<Value = Target> {
    prop_oneof![
        Just(Target::Leader),
        Just(Target::Follower),
        Just(Target::Random),
        (1u32..5).prop_map(Target::Successor),
        (0..HOSTS).prop_map(Target::Node),
    ]
}

fn some() -> impl Strategy<Value = Vec<Target>> {
    let group = prop_oneof![Just(Target::Minority), Just(Target::Majority), Just(Target::All)];
    vec(prop_oneof![4 => one(), 1 => group], 1..4)
}

fn link_delays() -> impl Strategy<Value = BTreeMap<(usize, usize), Span>> {
    let link = (0..HOSTS, 1..HOSTS).prop_map(|(from, further)| (from, (from + further) % HOSTS));
    btree_map(link, a_span(), 1..4)
}

fn split() -> impl Strategy<Value = Split> {
    prop_oneof![
        Just(Split::Halves),
        Just(Split::RingOfMajorities),
        vec(some(), 2..4).prop_map(Split::Groups),
        some().prop_map(|group| Split::Groups(vec![group, vec![Target::Rest]])),
        some().prop_map(Split::Isolate),
        one().prop_map(Split::Bridge),
        one().prop_map(Split::Star),
        (some(), some()).prop_map(|(from, to)| Split::OneWay(from, to)),
        some().prop_map(|to| Split::OneWay(vec![Target::Rest], to)),
    ]
}

fn crash() -> impl Strategy<Value = Verb> {
    let disk = prop_oneof![Just(DiskFate::Keep), Just(DiskFate::LoseUnsynced), Just(DiskFate::Torn), Just(DiskFate::Any)];
    let rot = option::of(prop_oneof![Just(Rot::Log), Just(Rot::Rows), Just(Rot::Vote), Just(Rot::Outbox)]);
    (some(), disk, rot).prop_map(|(targets, disk, rot)| Verb::Crash { targets, disk, rot })
}

fn verb() -> impl Strategy<Value = Verb> {
    let how = prop_oneof![Just(DiskFailure::Full), Just(DiskFailure::Failing)];
    let operation = prop_oneof![
        one().prop_map(Operation::Transfer),
        one().prop_map(Operation::Remove),
        one().prop_map(Operation::Replace),
        (1u32..3).prop_map(Operation::Add),
        (1u32..7).prop_map(Operation::Voters),
    ];
    prop_oneof![
        crash(),
        some().prop_map(|targets| Verb::Crash { targets, disk: DiskFate::Wipe, rot: None }),
        some().prop_map(|targets| Verb::Pause { targets }),
        split().prop_map(Verb::Partition),
        some().prop_map(|on| Verb::Reset { on }),
        link_delays().prop_map(Verb::Links),
        (0u32..=1_000_000, some()).prop_map(|(ppm, on)| Verb::Loss { ppm, on }),
        (a_span(), some()).prop_map(|(by, on)| Verb::Delay { by, on }),
        (0u32..=1_000_000, some()).prop_map(|(ppm, on)| Verb::Duplicate { ppm, on }),
        some().prop_map(|targets| Verb::Stall { targets }),
        (a_span(), some()).prop_map(|(sync, on)| Verb::SlowDisk { sync, on }),
        (some(), how, a_span()).prop_map(|(targets, how, restart)| Verb::BreakDisk { targets, how, restart }),
        operation.prop_map(Verb::Operator),
    ]
}

/// Triggers that name another fault name the first one.
fn trigger(first: bool) -> BoxedStrategy<Trigger> {
    let another = if first { Just(None).boxed() } else { option::of(Just(0)).boxed() };
    let every = (a_span(), time(), option::of(time()), another.clone());
    let every = every.prop_map(|(gap, from, until, during)| Trigger::Every {
        gap,
        from,
        until: until.filter(|_| during.is_none()),
        during,
    });
    let point = prop_oneof![Just("transfer.begun"), Just("configuration.joint")];
    let reached = (point, 1u32..9, another, a_span());
    let reached = reached.prop_map(|(point, nth, after, wait)| Trigger::Reached { point: point.to_owned(), nth, after, wait });
    if first {
        return prop_oneof![a_span().prop_map(Trigger::At), every, reached].boxed();
    }
    let after = prop_oneof![Just(Span::fixed(0)), a_span()].prop_map(|wait| Trigger::After { fault: 0, wait });
    prop_oneof![a_span().prop_map(Trigger::At), every, after, reached].boxed()
}

fn fault(nth: usize) -> impl Strategy<Value = Fault> {
    (trigger(nth == 0), option::of(a_span()), verb(), any::<bool>()).prop_map(move |(trigger, lasts, verb, named)| {
        let id = if named { format!("f\"{nth}#2") } else { format!("fault {}", nth + 1) };
        let lasts = lasts.filter(|_| !matches!(verb, Verb::Reset { .. } | Verb::Operator(_)));
        Fault { id, line: 0, trigger, lasts, verb, optional: nth == 1 }
    })
}

fn cluster() -> impl Strategy<Value = Cluster> {
    let succession =
        prop_oneof![Just(Succession::Ring), Just(Succession::Central), Just(Succession::Fixed((0..VOTERS).rev().collect()))];
    let drift = option::of(0u32..=1_000_000);
    (succession, a_span(), option::of(link_delays()), a_span(), [time(), time(), time(), time()], drift).prop_map(
        |(succession, link, links, sync, times, lease_drift_ppm)| {
            let [heartbeat, stagger, probe, tenure] = times.map(Duration::from_micros);
            Cluster {
                voters: VOTERS,
                spares: HOSTS - VOTERS,
                succession,
                link,
                links: links.unwrap_or_default(),
                sync,
                sector: None,
                clock: Clock::default(),
                clocks: BTreeMap::new(),
                timing: Timing { heartbeat, stagger, leader_silence: heartbeat, lease_drift_ppm, ..Timing::default() },
                limits: Limits { outbox_bytes: 4 << 10, ..Limits::default() },
                succession_timing: SuccessionTiming { probe, tenure, ..SuccessionTiming::default() },
            }
        },
    )
}

fn workload() -> impl Strategy<Value = Workload> {
    let counts = (1u32..100, 1u32..10, 1u64..240_000, option::of(0u64..100));
    let times = (a_span(), option::of(a_span()), option::of(a_span()), option::of(a_span()));
    (counts, times, (1u32..100, 0u32..100), option::of((a_span(), 1u32..100))).prop_map(
        |((clients, rooms, gap, posts), (link, pages, moves, restarts), (fewest, more), joiner)| Workload {
            clients,
            rooms,
            gap,
            stop: 10_000_000,
            posts,
            text: (fewest, fewest + more),
            link,
            joiner: joiner.map(|(at, last)| Joiner { at, last }),
            pages,
            pages_back: None,
            moves,
            stay: rooms % 2 == 0,
            quits: restarts,
            restarts,
            arrivals: joiner.map(|(at, _)| at),
            devices: 1 + rooms % 3,
            acts: std::array::from_fn(|nth| pages.filter(|_| nth as u32 % 2 == rooms % 2)),
        },
    )
}

fn expect() -> impl Strategy<Value = Expect> {
    let end = (option::of(0..HOSTS), option::of(1..=HOSTS), option::of(proptest::collection::btree_set(0..HOSTS, 1..5)));
    (any::<bool>(), option::of(time()), time(), 0u64..100, option::of(0u32..100), end).prop_map(
        |(reached, unavailable_max, heal_within, min_acked, transfers_max, (leader, voters, members))| Expect {
            reached: reached.then(|| "transfer.begun".to_owned()).into_iter().collect(),
            unavailable_max,
            accepted_within: unavailable_max,
            heal_within,
            min_acked,
            transfers_max,
            leader,
            members: members.map(|members| members.into_iter().collect()),
            voters,
            proof: Proof { acked: min_acked, accepted: min_acked / 2, fired: 3 },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_generated_scenario_is_written_and_read_back(
        (cluster, workload, expect) in (cluster(), workload(), expect()),
        faults in (fault(0), fault(1), fault(2)),
        (seed, bug) in (option::of(0..=i64::MAX as u64), option::of(Just("vote-before-durable".to_owned()))),
    ) {
        let mut faults = vec![faults.0, faults.1, faults.2];
        // Only a fault with a name of its own can be waited for.
        faults[0].id = "first".to_owned();
        let (name, about) = ("generated".to_owned(), String::new());
        let chat = tertulia_protocol::chat::Settings::default();
        reads_back(&Scenario { name, about, seed, bug, cluster, chat, workload, faults, expect });
    }
}
