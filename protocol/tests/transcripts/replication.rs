//! Entries on their way to a majority (thesis 3.5, 3.6.2, 3.8).

use crate::stage::play;

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
    /// Thesis 3.6.2, figure 3.7, (a) to (d): an entry of an older term that stands on a majority of servers is replaced, so it must not have counted as committed.
    figure_8_an_entry_on_a_majority_is_replaced,
    "cluster 5 single
    timeout 1
    settle
    # (a) n1 leads, and x reaches n2 alone.
    propose 1 x
    deliver 1>2
    store 1
    store 2
    crash 1
    drop
    # (b) n5 leads t2 with the votes of n3 and n4, and writes another entry at the same place.
    wait 1000
    timeout 5
    deliver
    store 3
    store 4
    deliver 3>5
    deliver 4>5
    store 5
    store 5
    crash 5
    drop
    # (c) n1 leads t3, and x goes on to n3: it is on three of five.
    start 1
    wait 1000
    timeout 1
    deliver
    timeout 1
    deliver
    store 2
    store 3
    deliver 2>1
    deliver 3>1
    store 1
    drop 1>4
    drop 1>5
    deliver 1>2
    store 2
    deliver 2>1
    deliver 1>3
    deliver 3>1
    deliver 1>3
    store 3
    deliver 3>1
    # (d) n1 dies before its own entry is on its disk. n5 leads with its entry of t2, and x is gone.
    crash 1
    drop
    start 5
    wait 1000
    timeout 5
    deliver
    timeout 5
    deliver
    run 100
    show 5
    show 2
    show 3
    "
);

transcript!(
    /// Thesis 3.6.2, figure 3.7, (e): once an entry of the leader's own term is on a majority, all before it is committed, and n5 cannot win any more.
    figure_8_an_entry_is_safe_once_a_newer_one_is_on_a_majority,
    "cluster 5 single
    timeout 1
    settle
    propose 1 x
    deliver 1>2
    store 1
    store 2
    crash 1
    drop
    wait 1000
    timeout 5
    deliver
    store 3
    store 4
    deliver 3>5
    deliver 4>5
    store 5
    store 5
    crash 5
    drop
    cut 1|4
    start 1
    wait 1000
    timeout 1
    deliver
    timeout 1
    settle
    show 1
    show 3
    show 4
    # n1 dies. n5 has an entry of t2 where the others have x of t1, and the others have an entry of a later term: it is refused.
    crash 1
    start 5
    wait 1000
    timeout 5
    deliver
    timeout 5
    deliver
    run 1000
    show 5
    "
);

transcript!(
    /// Found by a test with a random network: a late answer of a run that the leader had not heard of was taken for a new run's, and the one that runs was never heard again.
    /// Boots have no order; rounds have one.
    a_late_answer_of_a_run_that_is_over_does_not_silence_the_one_that_runs,
    "cluster 3
    timeout 1
    settle
    crash 2
    start 2
    timeout 1
    # This run of n2 answers once, late, and is over; the leader hears of the next one first.
    deliver 1>2
    crash 2
    start 2
    link 1>2 up
    deliver 2>1
    # Only n2 is left to commit with, and it is heard.
    cut 1|3
    propose 1 x
    run 200
    show 1
    show 2
    "
);

transcript!(
    /// An entry that alone is greater than one read of the log reaches a follower that has to be sent old entries from disk.
    an_entry_larger_than_a_load_reaches_a_lagging_follower,
    "cluster 3
    timeout 1
    settle
    cut 1|3
    propose 1 small
    propose 1 great 300000
    propose 1 small
    settle
    trim 1
    heal
    run 200
    show 3
    "
);
