//! Bugs of votes, and of logs that have lost something.

use super::only_with;

#[test]
fn a_vote_without_a_look_at_the_log_makes_a_leader_that_lacks_what_is_committed() {
    let script = "timeout 1\nsettle\ncut 3|1 2\npropose 1 x\nsettle\nheal\ncrash 1\ntimeout 3\nrun 20";
    only_with("vote-without-log-check", "cluster 3", script, "n3 leads t2");
}

#[test]
fn one_voter_that_is_counted_twice_makes_a_leader_of_five() {
    let stands = "timeout 1\nsettle\ncrash 1\ncut 2|4 5\ntimeout 2\ndeliver 2>3\nduplicate 3>2\ndeliver 3>2";
    let script = format!("{stands}\nstore 2\ndeliver 2>3\nstore 3\nduplicate 3>2\ndeliver 3>2");
    only_with("count-votes-twice", "cluster 5", &script, "n2 leads t2");
}

#[test]
fn two_of_four_make_a_leader_beside_another_one() {
    only_with("half-is-majority", "cluster 4", "timeout 1\nsettle\ncut 1 2|3 4\ntimeout 3\nrun 30", "n3 leads t2");
}

#[test]
fn learners_make_a_leader_where_voters_are_no_majority() {
    let joined = "timeout 1\nsettle\nchange 1 join 4\nsettle\nchange 1 join 5\nsettle\nrun 100";
    let script = format!("{joined}\ncrash 1\ncut 2|3\ntimeout 2\nrun 30");
    only_with("count-learner-votes", "cluster 3 spares 2", &script, "n2 leads t2");
}

#[test]
fn a_pre_vote_that_comes_twice_is_a_vote() {
    let script = "timeout 1\nsettle\ncrash 1\ntimeout 2\ndeliver 2>3\nduplicate 3>2\nstore 2\ndeliver 3>2";
    only_with("count-pre-votes", "cluster 3", script, "n2 leads t2");
}

#[test]
fn a_vote_of_the_term_before_makes_a_leader_of_this_one() {
    let first = "timeout 1\nsettle\ncrash 1\ntimeout 2\ndeliver 2>3\ndeliver 3>2\ndeliver 2>3\nstore 3";
    let script = format!("{first}\ntimeout 2\ndeliver 2>3\nduplicate 3>2\nstore 2\ndeliver 3>2");
    only_with("count-stale-votes", "cluster 3", &script, "n2 leads t3");
}

#[test]
fn a_candidate_that_does_not_write_down_whom_it_votes_for_is_free_to_vote_for_another_one() {
    let script = "timeout 1\nsettle\ncrash 1\ntimeout 2\ndeliver 2>3\ndeliver 3>2";
    only_with("own-vote-not-saved", "cluster 3", script, "n2 writes b3: term t2");
}

#[test]
fn a_voter_that_forgets_its_vote_votes_for_another_one_in_the_same_term() {
    let asked = "timeout 1\nsettle\ncrash 1\ntimeout 2\ntimeout 3\ndeliver 2>4\ndeliver 2>5\ndeliver 3>4\ndeliver 3>5";
    let first = format!("{asked}\ndeliver 4>2\ndeliver 5>2\ndeliver 2>4\nstore 4\ncrash 4\nstart 4\nwait 250");
    let script = format!("{first}\n# n3 stands in the term in which n4 has voted for n2.\ndeliver 4>3\ndeliver 5>3\ndeliver 3>4");
    only_with("forget-vote", "cluster 5", &script, "n4 writes b2: vote t2 for n3");
}

#[test]
fn a_follower_that_forgets_its_vote_for_its_leader_writes_so() {
    let script = "timeout 1\ndeliver\nstore 1\nstore 2\nstore 3\ndeliver";
    only_with("reset-vote-in-term", "cluster 3", script, "term t1");
}

#[test]
fn a_log_that_has_lost_something_elects_a_leader() {
    let script = "timeout 1\nsettle\npropose 1 x\nsettle\ncrash 3\ndamage 3 from 2\nstart 3\ncrash 1\nrun 1500";
    only_with("vote-while-repairing", "cluster 3", script, "n2 leads t2");
}

#[test]
fn a_leader_that_believes_what_an_earlier_run_had_never_repairs_the_next_one() {
    let script = "timeout 1\nsettle\npropose 1 x\nsettle\ncrash 3\ndamage 3 from 2\nstart 3\nlink 1>3 up\nrun 1000\nshow 3";
    only_with("keep-matched-after-restart", "cluster 3", script, "log ends 1@t1");
}

#[test]
fn a_damaged_log_that_is_counted_commits() {
    let script = "timeout 1\nsettle\ncrash 3\ndamage 3 from 1\nstart 3\nlink 1>3 up\ncut 1|2\npropose 1 x\nrun 250";
    only_with("count-damaged", "cluster 3", script, "n1 commits through 2@t1");
}
