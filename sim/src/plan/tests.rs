//! When faults fire, whom they hit, and how they end.

use super::*;

fn plan(faults: &str) -> FaultPlan {
    let head = "schema = 1\nname = \"x\"\n[cluster]\nvoters = 5\n[workload]\nclients = 1\nrate = \"1/s\"\nstop = \"20s\"\n";
    FaultPlan::new(&Scenario::parse("x", &format!("{head}{faults}")).unwrap(), Seed(1))
}

fn run(plan: &mut FaultPlan, until: u64, leader: Option<usize>) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(at) = plan.next_time().filter(|at| *at <= until) {
        while let Some(some) = plan.poll(at, ClusterView { up: &[true; 5], leader }) {
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
