//! When faults fire, whom they hit, and how they end.

use super::*;
use crate::scenario::DiskFailure;

fn plan(faults: &str) -> FaultPlan {
    let head = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 5\n[workload]\nclients = 2\nrate = \"1/s\"\nstop = \"20s\"\n";
    FaultPlan::new(&Scenario::parse("x", &format!("{head}{faults}")).unwrap(), Seed(1))
}

fn view(leader: Option<usize>) -> ClusterView<'static> {
    ClusterView { up: &[true; 5], leader, members: 0b11111, line: &[3, 4, 0, 1], seats: &[Some(0), Some(2)] }
}

fn run(plan: &mut FaultPlan, until: u64, leader: Option<usize>) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(at) = plan.next_time().filter(|at| *at <= until) {
        while let Some(some) = plan.poll(at, view(leader)) {
            actions.extend(some);
        }
    }
    actions
}

#[test]
fn a_partition_blocks_both_ways_and_ends() {
    let mut plan = plan("[[fault]]\nat = \"1s\"\npartition = [[\"leader\"], [\"rest\"]]\nfor = \"2s\"");
    run(&mut plan, 1_500_000, Some(2));
    assert!(plan.conditions().blocked(2, 0) && plan.conditions().blocked(0, 2));
    assert!(!plan.conditions().blocked(0, 1) && !plan.conditions().blocked(2, 2));
    run(&mut plan, 3_000_000, Some(2));
    assert!(!plan.conditions().blocked(2, 0));
    assert!(plan.never_fired().is_empty());
}

#[test]
fn a_target_that_is_not_there_is_waited_for() {
    let mut plan = plan("[[fault]]\nid = \"kill\"\nat = \"1s\"\ncrash = \"leader\"");
    assert!(run(&mut plan, 5_000_000, None).is_empty());
    assert_eq!(plan.never_fired(), ["fault \"kill\" (line 9) never fired: its target was never there"]);
    assert!(matches!(run(&mut plan, 6_000_000, Some(3))[..], [Action::Crash { node: 3, fate: DiskFate::Keep, .. }]));
}

#[test]
fn faults_follow_each_other() {
    let mut plan = plan(concat!(
        "[[fault]]\nid = \"a\"\nat = \"1s\"\npartition = \"halves\"\nfor = \"3s\"\n",
        "[[fault]]\nevery = \"1s\"\nduring = \"a\"\ncrash = \"random\"\nfor = \"10ms\"\n",
        "[[fault]]\nafter = \"a\"\nwait = \"500ms\"\nloss = \"5%\"\non = \"n1\"\n",
    ));
    let actions = run(&mut plan, 1_600_000, Some(0));
    assert_eq!(actions, [Action::Links]);
    assert_eq!(plan.conditions().weather(0, 3).0, 50_000);
    assert_eq!(plan.conditions().weather(1, 3).0, 0);
    let crashes = run(&mut plan, 20_000_000, Some(0)).iter().filter(|action| matches!(action, Action::Crash { .. })).count();
    assert_eq!(crashes, 2, "at 2 s and 3 s; at 4 s the split is over");
}

fn blocked(plan: &FaultPlan) -> Vec<(usize, usize)> {
    let all = (0..5).flat_map(|from| (0..5).map(move |to| (from, to)));
    all.filter(|(from, to)| plan.conditions().blocked(*from, *to)).collect()
}

#[test]
fn a_bridge_is_the_only_way_between_two_halves_and_a_star_between_all() {
    let mut bridged = plan("[[fault]]\nat = \"1s\"\nbridge = \"leader\"\nfor = \"2s\"");
    run(&mut bridged, 1_500_000, Some(2));
    assert_eq!(blocked(&bridged).len(), 8, "two and two do not see each other");
    assert!(blocked(&bridged).iter().all(|(from, to)| *from != 2 && *to != 2));
    run(&mut bridged, 4_000_000, Some(2));
    assert_eq!(blocked(&bridged), []);
    let mut star = plan("[[fault]]\nat = \"1s\"\nstar = \"n1\"");
    run(&mut star, 1_500_000, None);
    assert_eq!(blocked(&star).len(), 12, "four nodes that see nobody but n1");
}

#[test]
fn on_a_ring_of_majorities_everybody_reaches_two_others() {
    let mut plan = plan("[[fault]]\nat = \"1s\"\npartition = \"ring-of-majorities\"");
    run(&mut plan, 1_500_000, None);
    for node in 0..5 {
        assert_eq!(blocked(&plan).iter().filter(|(from, _)| *from == node).count(), 2);
    }
}

#[test]
fn a_one_way_partition_leaves_the_other_way_open() {
    let mut plan = plan("[[fault]]\nat = \"1s\"\none-way = [[\"leader\"], [\"rest\"]]");
    run(&mut plan, 1_500_000, Some(2));
    assert_eq!(blocked(&plan), [(2, 0), (2, 1), (2, 3), (2, 4)]);
}

#[test]
fn targets_may_be_in_line_or_a_minority() {
    let mut plan = plan(concat!(
        "[[fault]]\nat = \"1s\"\npause = \"successor(1)\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"3s\"\ncrash = \"minority\"\n",
        "[[fault]]\nat = \"4s\"\nreset = [\"n1\", \"n2\"]\n",
    ));
    let actions = run(&mut plan, 2_500_000, Some(2));
    assert_eq!(actions, [Action::Pause { node: 3 }, Action::Resume { node: 3 }]);
    assert_eq!(run(&mut plan, 3_500_000, Some(2)).len(), 2);
    assert_eq!(run(&mut plan, 4_500_000, Some(2)), [Action::Reset { a: 0, b: 1 }]);
}

#[test]
fn a_pause_within_a_pause_ends_with_the_longer_one() {
    let mut plan = plan(concat!(
        "[[fault]]\nat = \"1s\"\npause = \"n1\"\nfor = \"5s\"\n",
        "[[fault]]\nat = \"2s\"\npause = \"n1\"\nfor = \"1s\"\n",
    ));
    assert_eq!(run(&mut plan, 5_900_000, None), [Action::Pause { node: 0 }, Action::Pause { node: 0 }]);
    assert_eq!(run(&mut plan, 6_000_000, None), [Action::Resume { node: 0 }]);
}

#[test]
fn a_disk_that_fails_halts_its_node_once_and_works_when_it_is_started_again() {
    let mut plan = plan("[[fault]]\nid = \"bad\"\nat = \"1s\"\nfail = \"n2\"\nrestart = \"500ms\"");
    run(&mut plan, 1_000_000, None);
    assert_eq!(plan.conditions().broken_disk(1), Some(DiskFailure::Failing));
    assert_eq!(plan.never_fired().len(), 1, "nothing has been written yet");
    assert!(!plan.halted(1_200_000, 0), "that was another node");
    assert!(plan.halted(1_200_000, 1) && !plan.halted(1_200_000, 1));
    assert_eq!(plan.conditions().broken_disk(1), None);
    assert!(plan.never_fired().is_empty());
    assert_eq!(run(&mut plan, 1_700_000, None), [Action::Restart { node: 1 }]);
}

#[test]
fn a_stall_ends_when_all_faults_heal_at_the_latest() {
    let mut plan = plan("[[fault]]\nat = \"19s\"\nstall = \"leader\"\nfor = \"9s\"");
    run(&mut plan, 19_000_000, Some(4));
    assert_eq!(plan.conditions().stalled_until(4), Some(20_000_000));
    assert_eq!(plan.conditions().stalled_until(3), None);
    plan.heal(20_000_000);
    assert_eq!(plan.conditions().stalled_until(4), None);
}

#[test]
fn operators_bring_in_machines_that_stand_by_and_each_only_once() {
    let head =
        "schema = 1\nname = \"x\"\n[cluster]\nvoters = 3\nspares = 2\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"20s\"\n";
    let faults = concat!(
        "[[fault]]\nat = \"1s\"\nreplace = \"leader\"\n",
        "[[fault]]\nat = \"2s\"\nadd = 1\n",
        "[[fault]]\nid = \"late\"\nat = \"3s\"\nadd = 1\n",
    );
    let mut plan = FaultPlan::new(&Scenario::parse("x", &format!("{head}{faults}")).unwrap(), Seed(1));
    let view = ClusterView { up: &[true, true, true, false, false], leader: Some(1), members: 0b111, line: &[2, 0], seats: &[] };
    let mut actions = Vec::new();
    while let Some(at) = plan.next_time().filter(|at| *at < 4_000_000) {
        while let Some(some) = plan.poll(at, view) {
            actions.extend(some);
        }
    }
    let join = |host, replace| Action::Operator(OperatorCall::Join { host, replace });
    assert_eq!(actions, [Action::Gone { node: 1 }, join(3, Some(1)), join(4, None)]);
    assert_eq!(plan.never_fired().len(), 1, "no machine is left for the third");
}

#[test]
fn a_skew_ends_a_drift_leaves_what_it_has_done_and_a_jump_stays() {
    let mut plan = plan(concat!(
        "[[fault]]\nat = \"1s\"\nskew = \"2s\"\non = \"n1\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"1s\"\ndrift = \"10%\"\non = \"n2\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"1s\"\njump = \"-3s\"\non = \"n3\"\n",
    ));
    let off = |plan: &FaultPlan, at: u64| {
        let now = |node| plan.conditions().clock(node).now(at);
        let right = crate::workload::now(at, 0);
        let wall = |node| now(node).wall.0 as i64 - right.wall.0 as i64;
        let instant = |node: usize| now(node).instant.0 as i64 - right.instant.0 as i64;
        ((0..3).map(wall).map(|micros| micros / 10_000).collect::<Vec<_>>(), (0..3).map(instant).collect::<Vec<_>>())
    };
    assert_eq!(off(&plan, 900_000), (vec![0, 0, 0], vec![0, 0, 0]));
    assert_eq!(run(&mut plan, 1_500_000, None), [Action::Clocks; 3]);
    let (wall, instant) = off(&plan, 1_500_000);
    assert_eq!((wall[0], instant), (200, vec![0, 50_000, 0]));
    assert!(plan.conditions().clocks_drift());
    assert!(wall[1] == 5 && (-300..=-299).contains(&wall[2]), "{wall:?}");
    run(&mut plan, 2_500_000, None);
    let (wall, instant) = off(&plan, 9_000_000);
    assert_eq!((wall[0], instant), (0, vec![0, 100_000, 0]));
    assert!(!plan.conditions().clocks_drift());
    assert!(wall[1] == 10 && (-300..=-299).contains(&wall[2]), "{wall:?}");
}

#[test]
fn a_storm_breaks_all_connections_again_and_again_until_it_ends() {
    let mut plan = plan("[[fault]]\nat = \"1s\"\nretry-storm = \"all\"\nfor = \"2s\"");
    let actions = run(&mut plan, 10_000_000, None);
    let of = |client| actions.iter().filter(|action| **action == Action::Disconnect { client }).count();
    assert!(of(0) >= 7 && of(0) == of(1), "{} {}", of(0), of(1));
    assert_eq!(run(&mut plan, 20_000_000, None), []);
}

#[test]
fn clients_are_cut_off_and_read_slowly_for_a_while() {
    let mut plan = plan(concat!(
        "[[fault]]\nat = \"1s\"\ncut-clients = \"at leader\"\non = \"leader\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"1s\"\nslow-reader = 1\nrate = \"4KiB/s\"\nfor = \"2s\"\n",
        "[[fault]]\nat = \"1s\"\nslow-reader = \"all\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"5s\"\ndisconnect = \"1 drawn\"\n",
    ));
    run(&mut plan, 1_500_000, Some(2));
    assert!(plan.conditions().cut_off(1, 2) && !plan.conditions().cut_off(1, 0) && !plan.conditions().cut_off(0, 2));
    assert_eq!(plan.conditions().reading(0), Reading::Nothing);
    run(&mut plan, 2_500_000, Some(2));
    assert!(!plan.conditions().cut_off(1, 2));
    assert_eq!((plan.conditions().reading(0), plan.conditions().reading(1)), (Reading::Slowly(4_096), Reading::Freely));
    let last = run(&mut plan, 6_000_000, Some(2));
    assert!(plan.conditions().clients_are_well() && matches!(last[..], [Action::Clients, Action::Disconnect { .. }]), "{last:?}");
}

#[test]
fn weather_holds_back_and_clogs() {
    let mut plan = plan(concat!(
        "[[fault]]\nat = \"1s\"\nreorder = \"5%\"\nby = \"20ms..80ms\"\non = \"n1\"\nfor = \"1s\"\n",
        "[[fault]]\nat = \"1s\"\nclog = \"100/s\"\non = \"n2\"\nfor = \"1s\"\n",
    ));
    run(&mut plan, 1_500_000, None);
    assert_eq!(plan.conditions().held_back(3, 0).collect::<Vec<_>>(), [(50_000, crate::scenario::Span::millis(20, 80))]);
    assert_eq!(plan.conditions().held_back(3, 4).count(), 0);
    assert_eq!(plan.conditions().clog(1, 3), Some((crate::scenario::Throughput::Messages(100), 1_000_000)));
    run(&mut plan, 2_500_000, None);
    assert!(plan.conditions().is_fair() && plan.conditions().clog(1, 3).is_none());
}
