//! The rules of replication as transcripts: each shows one rule at work, from commands to what every node says, writes and knows.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "../common/mod.rs"]
mod common;

use common::stage::play;

macro_rules! transcript {
    ($(#[$doc:meta])* $name:ident, $script:literal) => {
        $(#[$doc])*
        #[test]
        fn $name() {
            insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
                insta::assert_snapshot!(stringify!($name), play($script));
            });
        }
    };
}

transcript!(
    /// Thesis 3.4, 3.8: a vote is told when it is durable, a candidate counts its own the same way, and the first leader of a cluster needs everybody.
    the_first_election_needs_every_voter,
    "cluster 3
    timeout 1
    # n3 cannot be reached: a majority is not enough before the log says who the voters are.
    drop 1>3
    deliver
    timeout 1
    deliver
    # Votes are asked for; each is told only after it is written.
    store 1
    store 2
    deliver
    store 3
    deliver
    store 1
    deliver
    store 2
    deliver
    "
);

transcript!(
    /// Thesis 9.6 and the one vote gate: whoever heard a leader within detect_min gives no vote, and its term does not move.
    a_vote_is_refused_while_a_leader_is_heard,
    "cluster 3
    timeout 1
    settle
    # n3 hears nothing for so long that it stands.
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 1
    drop 1>3
    settle
    timeout 3
    deliver
    "
);

transcript!(
    /// Thesis 3.6.2, figure 3.7: an entry of an older term is not committed by counting, only together with one of the leader's own.
    an_entry_of_an_older_term_is_committed_only_with_a_newer_one,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    deliver 1>2
    store 2
    # n1 dies before it hears that n2 has it; n2 leads with an entry of t1 that is not committed.
    crash 1
    drop
    wait 1000
    timeout 2
    deliver
    store 2
    store 3
    deliver
    # Its own t2 entry is not durable anywhere else yet, the old one is on a majority as soon as n3 writes: nothing is committed.
    store 3
    deliver
    store 2
    deliver
    "
);

transcript!(
    /// The completion of a write credits (index, term) only if the log still holds it.
    a_late_completion_of_replaced_entries_credits_nothing,
    "cluster 5
    timeout 1
    settle
    # n2 leads a second term; its last entry reaches n3 alone, which begins to write it.
    crash 1
    wait 1000
    timeout 2
    settle
    propose 2 lost
    drop 2>4
    drop 2>5
    deliver 2>3
    crash 2
    start 1
    # n4 leads a third term without that entry, and has n3 replace what it is still writing.
    wait 1000
    timeout 4
    deliver
    store 4
    store 5
    store 1
    deliver
    # The first write completes: it credits nothing, because the log no longer holds 3@t2. Only the second one does.
    store 3 b5
    store 3 b7
    deliver 3>4
    "
);

transcript!(
    /// Thesis 6.2: a leader that a majority does not answer steps down, and says nothing more.
    a_leader_without_a_quorum_falls_silent,
    "cluster 3
    timeout 1
    settle
    timeout 1
    drop
    timeout 1
    drop
    timeout 1
    drop
    timeout 1
    drop
    timeout 1
    drop
    timeout 1
    drop
    timeout 1
    propose 1 x
    "
);

transcript!(
    /// Thesis 6.4: a read waits until a majority has answered a round that began after it was asked.
    a_read_is_confirmed_by_a_round_of_heartbeats,
    "cluster 3
    timeout 1
    settle
    read 1 7
    read 3 8
    deliver 3>1
    deliver 1>2
    deliver 2>1
    deliver 1>3
    "
);

transcript!(
    /// Thesis 3.5: a lost append is noticed by the next one, and the leader looks for where the logs agree.
    a_lost_append_is_sent_again,
    "cluster 3
    timeout 1
    settle
    timeout 1
    settle
    propose 1 a
    drop 1>2
    propose 1 b
    deliver 1>2
    deliver 2>1
    deliver 1>2
    store 2
    deliver 2>1
    "
);

transcript!(
    /// A follower that starts again is believed only what it says itself: its match is cleared by its new boot.
    a_new_boot_voids_what_was_believed_of_the_old_one,
    "cluster 3
    timeout 1
    settle
    propose 1 a
    settle
    crash 2
    start 2
    link 1>2 up
    deliver 1>2
    deliver 2>1
    "
);

transcript!(
    /// A vote asked twice across a restart is given once: what was durable binds the next run.
    a_vote_binds_the_next_run_of_the_voter,
    "cluster 3
    timeout 1
    settle
    crash 1
    wait 1000
    timeout 2
    deliver
    # n3 has voted for n2 in t2 and written it; n3 and n2 die before anybody hears of it.
    store 3
    drop
    crash 3
    crash 2
    start 3
    start 1
    wait 1000
    timeout 1
    deliver
    "
);

transcript!(
    /// Found by the rule `vote-durable` (scenario power-cut, seed 298): two others' votes are a majority of three, and still its own must be durable first.
    a_candidate_does_not_lead_before_its_own_vote_is_durable,
    "cluster 3
    timeout 1
    deliver
    store 2
    store 3
    deliver
    # Everybody else has voted for n1 and it has not written its term yet: a crash now would make it forget that it led.
    store 1
    "
);

transcript!(
    /// Read ids begin anew with each run of the asker: an answer to the run before must not let a read see an older state than it may (6.4).
    an_answer_to_a_read_of_an_earlier_run_is_not_taken_for_one_of_this_run,
    "cluster 3
    timeout 1
    settle
    read 3 1
    deliver 3>1
    # n3 dies with its question under way and starts again; meanwhile x is committed by n1 and n2.
    crash 3
    start 3
    drop 1>3
    propose 1 x
    deliver 1>2
    store 2
    store 1
    deliver 2>1
    # What n3 is told now was confirmed before x; whoever asks it as read 1 today must see x.
    deliver 1>3
    "
);

transcript!(
    /// A link that breaks before its follower has answered says nothing about where the logs agree: the search goes on where it was, not at entry 1.
    a_broken_link_does_not_make_a_new_leader_begin_at_the_first_entry,
    "cluster 3
    timeout 1
    settle
    propose 1 a
    settle
    propose 1 b
    settle
    crash 1
    wait 1000
    timeout 2
    # n2 is elected with the vote of n3, which has all that n2 has.
    deliver
    store 3
    deliver
    store 2
    link 2>3 down
    link 2>3 up
    deliver 3>2
    "
);

transcript!(
    /// Whoever gives a vote gives it time to win, also when it was about to stand itself.
    a_voter_that_was_about_to_stand_lets_the_candidate_win,
    "cluster 5
    timeout 1
    settle
    crash 1
    wait 1000
    # n2 is a candidate in t2, and its request for n3's vote is late.
    timeout 2
    deliver 2>4
    deliver 2>5
    deliver 4>2
    deliver 5>2
    drop 2>5
    deliver 2>4
    # n3 learns of t2 from n4, before it learns whose term it is, and asks for t3.
    timeout 3
    deliver 3>4
    deliver 4>3
    timeout 3
    # Now it does, and gives its vote: a moment later it does not ask for t3 again.
    deliver 2>3
    store 3
    wait 50
    wake 3
    "
);
