//! Bugs of what is taken, acknowledged, counted and sent again.

use super::{both, only_with};
use tertulia_protocol::contract::*;
use tertulia_protocol::dice::Seed;
use tertulia_protocol::ids::*;
use tertulia_protocol::node::Config;
use tertulia_protocol::raft::{Entry, FromRows, Member, Raft, RaftMessage};
use tertulia_protocol::time::{Instant, Timestamp};
use tertulia_protocol::wire::{Kind, seal};
use tertulia_protocol::zoo::Bug;

/// n1 leads the first term and is cut off with two entries of its own; n2 and n3 go on without it and commit others in their places.
const FORK: &str =
    "timeout 1\nsettle\ncut 1|2 3\npropose 1 y\npropose 1 z\ntimeout 2\nrun 20\npropose 2 a\nrun 20\nheal\nrun 300\nshow 1";

/// n1 is cut off with an entry of its own; n2 leads, and is alone with its first entry but for n1.
const RIVAL: &str = "timeout 1\nsettle\ncut 1|2 3\npropose 1 y\nstore 1\ntimeout 2\ndeliver 2>3\ndeliver 3>2\nstore 2\ndeliver 2>3\nstore 3\ndeliver 3>2\n\
                     drop 2>3\nstore 2\nheal\ncut 2|3";

/// How far a node that holds one entry of another leader believes things to be committed after a heartbeat of the leader of term 2 that speaks of `previous`.
fn committed_after(bug: Option<Bug>, previous: Position) -> Index {
    let now = Now { instant: Instant(1), wall: Timestamp(1) };
    let member = |id| Member { id: NodeId(id), peer_address: "".into(), client_address: "".into(), incarnation: None };
    let mut config = Config::new(NodeId(1), ClusterId(1), (1..=3).map(member).collect(), Seed(1));
    config.bug = bug;
    let own = Entry::after(Position::default(), 1, Timestamp(1), seal(Kind::Noop, &()));
    let restored = Restored { log: vec![own], ..Restored::empty(Incarnation(1), Boot(1)) };
    let mut raft = Raft::restore(&config, &restored, FromRows::default(), now);
    raft.handle_message(now, NodeId(2), RaftMessage::Append { term: 2, previous, entries: Vec::new(), commit: 5, round: 1 });
    raft.commit()
}

/// A heartbeat to a follower that needs older entries speaks of no place. By the commit index alone the follower would commit what it holds there.
#[test]
fn what_the_leader_has_committed_is_not_what_a_forked_log_holds_there() {
    let commit = |bug| committed_after(bug, Position::default());
    assert_eq!((commit(Some(Bug::CommitUnverified)), commit(None)), (1, 0));
}

#[test]
fn a_heartbeat_behind_another_entry_is_taken() {
    let commit = |bug| committed_after(bug, Position { index: 1, term: 2, chain: 7 });
    assert_eq!((commit(Some(Bug::NoPreviousCheck)), commit(None)), (1, 0));
}

#[test]
fn a_follower_that_keeps_its_own_entries_commits_them() {
    only_with("keep-conflicting", "cluster 3", FORK, "log ends 3@t1, committed 3");
}

#[test]
fn a_late_heartbeat_cuts_off_what_is_acknowledged() {
    let script = "timeout 1\nsettle\ncut 1|3\nstall 1\ndelay 1 2 30\ntimeout 1\ndelay 1 2 0\npropose 1 x\nrun 40\nshow 2\nrecover 1\nrun 5";
    let (with, without) = both("heartbeat-truncates", "cluster 3", script);
    assert!(with.contains("log ends 1@t1") && with.contains("n1 commits through 2@t1"), "{with}");
    assert!(without.contains("log ends 2@t1") && without.contains("n1 commits through 2@t1"), "{without}");
}

#[test]
fn an_entry_of_another_leader_is_acknowledged_and_counted() {
    only_with("ack-own-last", "cluster 3", &format!("{RIVAL}\nlink 2>1 up\ndeliver 2>1\ndeliver 1>2"), "n2 commits through 2@t2");
}

#[test]
fn what_was_written_of_a_replaced_entry_counts_for_the_new_one() {
    only_with("credit-replaced", "cluster 3", &format!("{RIVAL}\nstall 1\nrun 150"), "n2 commits through 2@t2");
}

#[test]
fn an_answer_is_taken_for_what_was_appended_since() {
    let script = "timeout 1\nsettle\ncut 1|3\npropose 1 a\ndeliver 1>2\nstore 2\npropose 1 b\nstore 1\ndeliver 2>1";
    only_with("credit-leaders-last", "cluster 3", script, "n1 commits through 3@t1");
}

#[test]
fn a_leader_commits_what_its_own_disk_has_not_written() {
    let script = "timeout 1\nsettle\npropose 1 x\ndeliver 1>2\nstore 2\ndeliver 2>1";
    only_with("commit-own-undurable", "cluster 3", script, "n1 commits through 2@t1");
}

#[test]
fn a_follower_that_lacks_something_is_asked_about_the_same_place_for_ever() {
    let script = "timeout 1\nsettle\ncut 3|1 2\npropose 1 x\nsettle\ncrash 1\nheal\ndelay 2 3 5\nrun 1500\nshow 3";
    only_with("reject-never-moves-back", "cluster 3", script, "log ends 1@t1");
}

#[test]
fn a_window_that_is_never_given_back_keeps_a_follower_behind() {
    let lost =
        "timeout 1\nsettle\ncut 1|3\npropose 1 a 700000\npropose 1 b 700000\npropose 1 c 9\nsettle\nlink 1>3 down\nlink 1>3 up";
    only_with("leak-window", "cluster 3", &format!("{lost}\nheal\ndelay 1 3 5\nrun 500\nshow 3"), "log ends 2@t1");
}

#[test]
fn a_follower_that_was_not_told_that_it_needs_a_snapshot_is_never_told_again() {
    let short =
        "timeout 1\nsettle\ncut 3|1 2\npropose 1 x\nsettle\napply 1\ncrash 1\nshorten 1\nstart 1\nwait 250\ntimeout 1\nsettle";
    let script = format!("{short}\nheal\ntimeout 1\ndeliver\ntimeout 1\ndrop\ntimeout 1\ndeliver");
    let (with, without) = both("snapshot-told-once", "cluster 3", &script);
    assert!(!with.contains("n3 needs a snapshot") && without.contains("n3 needs a snapshot"), "{with}\n{without}");
}
