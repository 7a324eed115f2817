//! Bugs of changes of members.

use super::only_with;

/// n4 is a learner, and all know it.
const LEARNER: &str = "timeout 1\nsettle\nchange 1 join 4\nsettle\nrun 100";

#[test]
fn a_majority_of_the_old_voters_commits_who_the_new_ones_are() {
    let script = format!("{LEARNER}\nchange 1 promote 4\ndeliver 1>2\nstore 1\nstore 2\ndeliver 2>1");
    only_with("membership-at-commit", "cluster 3 spares 1", &script, "n1 commits through 3@t1");
}

#[test]
fn a_change_that_is_cut_off_the_log_counts_on() {
    let script = "timeout 1\nsettle\ncut 1|2 3\nchange 1 join 4\nrun 1500\nheal\nrun 500\nshow 1";
    let (with, without) = super::both("keep-truncated-configuration", "cluster 3 spares 1", script);
    let last = |told: &str| told.lines().last().unwrap().to_owned();
    assert!(last(&with).contains("learning: 4") && !last(&without).contains("learning"), "{with}\n{without}");
}

#[test]
fn a_second_change_stands_in_the_log_before_the_first_is_committed() {
    let script = "timeout 1\nsettle\nchange 1 join 4\nchange 1 join 5\nshow 1";
    only_with("two-changes-at-once", "cluster 3 spares 2", script, "log ends 3@t1");
}

#[test]
fn a_joint_configuration_is_left_when_something_else_is_committed() {
    let script = format!(
        "{LEARNER}\npropose 1 x\ndeliver 1>2\ndeliver 1>3\ndeliver 1>4\nstore 2\nstore 3\nstore 4\nstore 1\nchange 1 promote 4\n\
         deliver 2>1\ndeliver 3>1\ndeliver 4>1\nshow 1"
    );
    only_with("leave-joint-early", "cluster 3 spares 1", &script, "log ends 5@t1");
}

#[test]
fn a_leader_that_is_to_go_counts_itself_among_those_who_stay() {
    let script = "timeout 1\nsettle\nchange 1 remove 1\ndeliver 1>2\nstore 1\nstore 2\ndeliver 2>1";
    only_with("removed-leader-counts", "cluster 3", script, "n1 commits through 2@t1");
}
