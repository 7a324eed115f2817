//! Disks that lose what was acknowledged, and disks that do not write.

use crate::stage::play;

transcript!(
    /// A damaged voter gives no vote and its acknowledgements count for nothing, until the log is whole through a read index in whose majority it is not (FAST 2018,
    /// Alagappan et al., "Protocol-Aware Recovery").
    a_damaged_log_is_repaired_before_it_has_a_say,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    propose 1 y
    settle
    crash 3
    damage 3 from 2
    start 3
    link 1>3 up
    timeout 1
    deliver 1>3
    store 3
    # It asks how far anything can have been committed with its help; what it holds so far is for finding what to send.
    deliver 3>1
    deliver 1>3
    store 3
    deliver 3>1
    show 3
    # n2 confirms the index. Only then is it known, and what n3 says counts.
    deliver 1>2
    deliver 2>1
    deliver 1>3
    store 3
    deliver
    show 3
    "
);

transcript!(
    /// The one that knows of a committed entry is down, and the other has lost it: nobody may lead, or the entry would be forgotten.
    a_damaged_voter_elects_nobody_who_may_lack_what_it_lost,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    deliver 1>2
    store 1
    store 2
    deliver 2>1
    crash 1
    drop
    crash 2
    damage 2 from 2
    start 2
    run 5000
    show 2
    show 3
    # n1 has it, and with n3 it can lead: x is still there.
    start 1
    run 5000
    show 1
    show 2
    show 3
    "
);

transcript!(
    /// The answer of the last run, on its way while the log was damaged, says what is true no more: it commits nothing.
    an_old_answer_of_a_damaged_voter_counts_for_nothing,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    deliver 1>2
    store 1
    store 2
    # That answer is late. The new run is heard of first.
    crash 2
    damage 2 from 2
    start 2
    link 1>2 up
    deliver 2>1
    show 1
    "
);

transcript!(
    /// What a repaired voter was known to hold counts from the moment in which it is whole, without another entry.
    what_a_repaired_voter_holds_is_committed_at_once,
    "cluster 5
    timeout 1
    settle
    crash 2
    damage 2 from 1
    start 2
    link 1>2 up
    deliver 1>2
    deliver 2>1
    # n4 and n5 confirm the read index of the repair and are gone; their answers are late.
    deliver 1>4
    deliver 1>5
    crash 4
    crash 5
    propose 1 x
    store 1
    deliver 1>2
    store 2
    deliver 2>1
    deliver 1>2
    store 2
    deliver 2>1
    deliver 1>3
    store 3
    deliver 3>1
    # x is on three disks of five, and that of n2 does not count yet.
    show 1
    show 2
    deliver 4>1
    deliver 5>1
    deliver 1>2
    store 2
    timeout 1
    deliver 1>2
    deliver 2>1
    show 2
    "
);

transcript!(
    /// The log may rot, and the vote is on the disk twice: whoever has voted does not vote for another one in the same term.
    rot_in_the_log_does_not_make_a_voter_vote_twice,
    "cluster 3
    timeout 1
    settle
    crash 1
    wait 1000
    timeout 2
    deliver
    store 3
    crash 3
    damage 3 from 1
    start 3
    drop
    start 1
    run 3000
    show 1
    show 2
    show 3
    "
);

transcript!(
    /// A leader whose disk owes a batch for a second hands over: nobody else can see what is wrong with it.
    a_leader_whose_disk_stalls_hands_over,
    "cluster 3
    timeout 1
    settle
    stall 1
    propose 1 x
    run 2000
    show 1
    show 2
    "
);

transcript!(
    /// A follower whose disk has stalled says so, and does not stand when the leader goes; it is not in the way of one that can.
    a_follower_whose_disk_stalls_does_not_stand,
    "cluster 3
    timeout 1
    settle
    stall 2
    propose 1 x
    run 1200
    crash 1
    start 1
    cut 1|2 3
    run 2000
    show 2
    recover 2
    run 1000
    show 2
    show 3
    "
);
