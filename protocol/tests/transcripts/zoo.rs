//! Bugs that these transcripts show: each plays out otherwise with the bug than without.

use crate::stage::play;

/// What is said with the bug and without.
fn both(bug: &str, cluster: &str, script: &str) -> (String, String) {
    (play(&format!("{cluster} bug {bug}\n{script}")), play(&format!("{cluster}\n{script}")))
}

#[test]
fn a_lease_that_is_kept_after_somebody_was_told_to_stand_answers_reads() {
    let script = "timeout 1\nsettle\nrun 100\ntransfer 1 2\ndrop\nread 1 1";
    let (with, without) = both("keep-lease", "cluster 3 lease 0", script);
    assert!(with.contains("may answer read 1") && !without.contains("may answer read 1"));
}

#[test]
fn a_follower_that_stands_under_a_lease_leads_while_it_holds() {
    let script = "timeout 1\nsettle\ncut 1|3\nrun 280\ncut 1|2\nlink 2>1 down\nrun 10\nread 1 1";
    let (with, without) = both("stand-under-lease", "cluster 3 lease 0", script);
    assert!(with.contains("n2 leads t2") && with.contains("n1 may answer read 1"), "a read that misses what n2 commits");
    assert!(!without.contains("n2 leads t2") && without.contains("n1 may answer read 1"));
}

#[test]
fn a_damaged_log_that_is_counted_commits() {
    let script = "timeout 1\nsettle\ncrash 3\ndamage 3 from 1\nstart 3\nlink 1>3 up\ncut 1|2\npropose 1 x\nrun 250";
    let (with, without) = both("count-damaged", "cluster 3", script);
    assert!(with.contains("n1 commits through 2@t1") && !without.contains("n1 commits through 2@t1"));
}
