//! Reads without an entry: ReadIndex and leases (thesis 6.4).

use crate::stage::play;

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
    /// Thesis 6.4.1: under a lease a read is answered without a round; once the lease has run out it needs one.
    a_lease_answers_reads_without_a_round_until_it_runs_out,
    "cluster 3 lease 0
    timeout 1
    settle
    run 100
    read 1 1
    read 2 2
    deliver 2>1
    drop
    wait 200
    read 1 3
    drop
    "
);

transcript!(
    /// Thesis 6.4.1: clocks that may run apart by a tenth make the lease shorter by a fifth.
    a_lease_is_shorter_where_clocks_may_drift,
    "cluster 3 lease 100000
    timeout 1
    settle
    run 50
    wait 165
    read 1 1
    drop
    wait 1
    read 1 2
    "
);

transcript!(
    /// Thesis 6.4.1: before another one is told to stand the lease is given up, for the rest of the term: also when the transfer fails.
    a_lease_is_given_up_before_a_transfer_and_stays_so,
    "cluster 3 lease 0
    timeout 1
    settle
    run 100
    read 1 1
    transfer 1 2
    drop 1>2
    read 1 2
    deliver 1>3
    deliver 3>1
    cut 1>2
    run 400
    heal
    run 100
    read 1 3
    settle
    read 1 4
    "
);

transcript!(
    /// A voter that starts again counts as having just heard a leader: its last run may have confirmed a lease. Without this n3 and the new n2 would elect another
    /// leader while n1 answers reads.
    a_restarted_voter_keeps_its_gate_shut_as_long_as_a_lease_may_last,
    "cluster 3 lease 0
    timeout 1
    settle
    # n3 hears nobody for long; n2 alone confirms the lease of n1.
    cut 3|1
    run 340
    crash 2
    start 2
    cut 2|1
    drop
    wake 3
    timeout 3
    read 1 1
    deliver 3>2
    deliver 2>3
    drop
    show 3
    # n1 has a lease no longer once n2 gives its vote.
    wait 200
    timeout 3
    read 1 2
    drop 1>2
    drop 1>3
    deliver
    "
);

transcript!(
    /// Without leases a broken link opens the gate at once: no clock matters for safety, and an election is the sooner over.
    a_broken_link_opens_the_gate_where_there_are_no_leases,
    "cluster 3
    timeout 1
    settle
    run 100
    cut 1|2 3
    link 2>1 down
    link 3>1 down
    run 50
    show 2
    "
);

transcript!(
    /// Thesis 6.4.1: whose answer holds up a lease does not stand, either, before its own gate is open: n3, which heard no leader for long, would elect it at once.
    under_leases_a_broken_link_makes_nobody_stand_early,
    "cluster 3 lease 0
    timeout 1
    settle
    cut 1|3
    run 280
    # n2 has just confirmed the lease of n1, and its link breaks.
    cut 1|2
    link 2>1 down
    run 10
    read 1 1
    show 2
    run 400
    show 2
    read 1 2
    "
);
