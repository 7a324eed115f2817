//! Bugs of reads and leases.

use super::{both, only_with};

#[test]
fn a_lease_that_is_kept_after_somebody_was_told_to_stand_answers_reads() {
    let script = "timeout 1\nsettle\nrun 100\ntransfer 1 2\ndrop\nread 1 1";
    only_with("keep-lease", "cluster 3 lease 0", script, "may answer read 1");
}

#[test]
fn a_follower_that_stands_under_a_lease_leads_while_it_holds() {
    let script = "timeout 1\nsettle\ncut 1|3\nrun 280\ncut 1|2\nlink 2>1 down\nrun 10\nread 1 1";
    let (with, without) = both("stand-under-lease", "cluster 3 lease 0", script);
    assert!(with.contains("n2 leads t2") && with.contains("n1 may answer read 1"), "a read that misses what n2 commits");
    assert!(!without.contains("n2 leads t2") && without.contains("n1 may answer read 1"));
}

#[test]
fn a_voter_that_hears_its_leader_elects_another_one() {
    let script = "timeout 1\nsettle\nrun 100\ncut 1|3\nrun 1000";
    only_with("no-vote-gate", "cluster 3 lease 0", script, "n3 leads t2");
}

#[test]
fn a_voter_that_starts_again_elects_another_one_while_the_lease_holds_that_it_confirmed() {
    let script = "timeout 1\nsettle\ncut 1|3\nrun 420\ncut 1|2\ncrash 2\nstart 2\nrun 60\nread 1 1";
    let (with, without) = both("open-gate-after-restart", "cluster 3 lease 0", script);
    assert!(with.contains("n3 leads t2") && with.contains("n1 may answer read 1"), "{with}");
    assert!(!without.contains("n3 leads t2") && without.contains("n1 may answer read 1"), "{without}");
}

#[test]
fn a_lease_that_begins_with_a_late_answer_lasts_too_long() {
    let script = "timeout 1\nsettle\ndelay 1 2 90\ndelay 1 3 90\nrun 400\ncut 1|2 3\nwait 100\nread 1 1";
    only_with("lease-from-answer", "cluster 3 lease 0", script, "may answer read 1");
}

#[test]
fn a_leader_that_is_cut_off_answers_reads() {
    let script = "timeout 1\nsettle\ncut 1|2 3\nread 1 1";
    only_with("read-unconfirmed", "cluster 3", script, "may answer read 1");
}

#[test]
fn a_new_leader_reads_what_it_knows_to_be_committed_which_is_too_little() {
    let x = "timeout 1\nsettle\npropose 1 x\ndeliver 1>2\nstore 1\nstore 2\ndeliver 2>1\ncrash 1\ndrop";
    let leads = "timeout 2\ndeliver 2>3\ndeliver 3>2\nstore 2\ndeliver 2>3\nstore 3\ndeliver 3>2";
    let script = format!("{x}\n{leads}\nread 2 1\ndeliver 2>3\ndeliver 3>2");
    only_with("read-before-noop", "cluster 3", &script, "n2 may answer read 1 from the state at 1");
}

#[test]
fn a_read_is_answered_from_any_state() {
    only_with(
        "read-before-applied",
        "cluster 3",
        "timeout 1\nsettle\npropose 1 x\nsettle\nread 3 8\ndeliver",
        "read 8 from the state at 0",
    );
}
