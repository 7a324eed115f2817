//! Members that come and go (thesis chapter 4).

use crate::stage::play;

transcript!(
    /// Thesis 4.2.1: a newcomer is a learner. It is sent everything, and what it acknowledges counts for nothing.
    the_acknowledgements_of_a_learner_count_for_nothing,
    "cluster 3 spares 1
    timeout 1
    settle
    change 1 join 4
    settle
    change 1 join 4
    cut 1|2 3
    propose 1 x
    deliver 1>4
    store 1
    store 4
    deliver 4>1
    show 1
    show 4
    "
);

transcript!(
    /// Thesis 4.2.1: a learner that has not caught up is not promoted, and its asker is told how far it is.
    a_learner_catches_up_before_it_votes,
    "cluster 3 spares 1
    timeout 1
    settle
    cut 1|4
    change 1 join 4
    settle
    propose 1 x
    settle
    change 1 promote 4
    heal
    run 200
    change 1 promote 4
    run 100
    change 1 promote 4
    show 1
    show 4
    "
);

transcript!(
    /// Thesis 4.3, message by message: the joint configuration counts once it stands in a log, is committed by both majorities, and is followed by the new one alone.
    joint_consensus_step_by_step,
    "cluster 3 spares 1
    timeout 1
    settle
    change 1 join 4 
    settle
    run 100
    change 1 promote 4
    store 1
    deliver 1>4
    store 4
    # n1 and n4 are not a majority of the old voters, nor of the new ones.
    deliver 4>1
    deliver 1>2
    store 2
    # n2 makes both, and the new configuration follows at once.
    deliver 2>1
    store 1
    deliver 1>2
    deliver 1>4
    store 2
    store 4
    deliver 2>1
    deliver 4>1
    show 1
    "
);

transcript!(
    /// Thesis 4.3: while voters change, a majority of the new ones alone decides nothing, and neither does one of the old ones.
    both_majorities_are_needed_to_commit_and_to_elect,
    "cluster 4 spares 1
    timeout 1
    settle
    change 1 remove 4
    drop
    settle
    cut 1 2|3 4
    change 1 remove 4
    propose 1 x
    run 250
    # Of 1 2 3 two hold x, of 1 2 3 4 only two as well.
    show 1
    run 3000
    show 1
    show 2
    heal
    run 2000
    show 1
    show 3
    "
);

transcript!(
    /// Thesis 4.1: a configuration that is cut off the log has never counted.
    a_change_that_is_truncated_is_reverted,
    "cluster 5
    timeout 1
    settle
    cut 1 2|3 4 5
    change 1 remove 5
    settle
    show 2
    run 3000
    heal
    run 2000
    show 1
    show 2
    "
);

transcript!(
    /// Members change on the side with both majorities, and a cut-off one learns of it when it is back.
    members_change_while_one_is_cut_off,
    "cluster 3 spares 1
    timeout 1
    settle
    cut 3|1 2 4
    change 1 join 4 replace 3
    run 1000
    show 1
    # n3 is told that it is no member any more, although it has missed everything.
    heal
    run 3000
    "
);

transcript!(
    /// One change at a time: another one waits until the first is committed and final.
    one_change_at_a_time,
    "cluster 5
    timeout 1
    settle
    change 1 remove 5
    change 1 remove 4
    change 1 remove 5
    settle
    change 1 remove 5
    change 1 remove 4
    settle
    change 1 remove 4
    show 1
    "
);

transcript!(
    /// Ongaro's message to raft-dev of 2015 on the bug of single-server changes: a leader changes nothing before it has committed an entry of its own term.
    no_change_before_an_entry_of_the_term_is_committed,
    "cluster 3
    timeout 1
    settle
    crash 1
    wait 1000
    timeout 2
    deliver
    store 3
    deliver
    store 2
    change 2 remove 1
    settle
    change 2 remove 1
    "
);

transcript!(
    /// Learners become voters by themselves up to the number that is wanted, by id, one after the other.
    learners_are_promoted_up_to_the_wanted_number,
    "cluster 3 spares 3
    timeout 1
    settle
    change 1 want 5
    settle
    change 1 join 4
    settle
    change 1 join 5
    settle
    change 1 join 6
    settle
    run 1000
    show 1
    "
);

transcript!(
    /// A replacement brings the newcomer in and the lost one out in one joint step: at no time are there fewer voters that live than before.
    a_newcomer_takes_the_place_of_a_lost_voter_in_one_step,
    "cluster 3 spares 1
    timeout 1
    settle
    crash 3
    change 1 join 4 replace 3
    run 1000
    show 1
    show 4
    # The id of n3 is never given again.
    change 1 remove 3
    change 1 promote 3
    "
);

transcript!(
    /// Thesis 4.2.2: a leader that removes itself leads until the new configuration is committed without its own acknowledgement, hands over and stops.
    a_leader_that_is_removed_hands_over_and_stops,
    "cluster 3
    timeout 1
    settle
    change 1 remove 1
    store 1
    deliver 1>2
    store 2
    # Joint: n1 and n2 of the old ones, n2 alone of the new ones.
    deliver 2>1
    deliver 1>3
    store 3
    deliver 3>1
    store 1
    # The final one stands in the log, and n1 does not count itself: n2 alone is not enough.
    deliver 1>2
    store 2
    deliver 2>1
    deliver 1>3
    store 3
    deliver 3>1
    run 1000
    show 2
    show 3
    "
);

transcript!(
    /// The one that is told to stand is one that has everything: the first in line lacks the last entry, and would be refused.
    a_removed_leader_hands_over_to_one_that_has_everything,
    "cluster 4
    timeout 1
    settle
    run 100
    change 1 remove 1
    cut 1>2
    run 30
    show 3
    "
);

transcript!(
    /// Thesis 4.2.2: n4 is not among the new voters, and is the only one with their entry that could lead: it stands, commits it, and goes.
    a_voter_that_is_left_out_leads_until_that_is_committed,
    "cluster 4
    timeout 1
    settle
    change 1 remove 4
    deliver 1>4
    deliver 1>2
    deliver 1>3
    store 1
    store 2
    store 3
    store 4
    deliver 2>1
    deliver 3>1
    deliver 4>1
    # The final configuration reaches n4 alone, and n1 dies for good.
    drop 1>2
    drop 1>3
    deliver 1>4
    store 4
    crash 1
    drop
    show 4
    run 3000
    show 2
    show 3
    "
);

transcript!(
    /// A power cut between the two steps of a change: the joint configuration is known to be committed, and its successor stands nowhere. Whoever leads next goes on.
    a_new_leader_goes_on_with_a_change_that_was_left_half,
    "cluster 3 spares 1
    timeout 1
    settle
    change 1 join 4
    settle
    run 100
    change 1 promote 4
    deliver 1>2
    store 1
    store 2
    deliver 2>1
    deliver 1>3
    store 3
    deliver 3>1
    deliver 1>2
    # n1 and n2 know that the joint one is committed, and have applied it; what follows is on no disk when the power goes.
    apply 1
    apply 2
    crash 1
    crash 2
    crash 3
    crash 4
    start 1
    start 2
    start 3
    start 4
    run 1000
    show 1
    show 4
    "
);

transcript!(
    /// Thesis 4.2.3: a removed server that was not told stands, and is not heard.
    a_removed_server_deposes_nobody,
    "cluster 4
    timeout 1
    settle
    cut 4|1 2 3
    change 1 remove 4
    run 15000
    show 1
    heal
    run 5000
    show 1
    show 4
    "
);

transcript!(
    /// A removed follower is told, and stops.
    a_removed_follower_is_told_and_stops,
    "cluster 4
    timeout 1
    settle
    change 1 remove 4
    run 500
    show 1
    "
);

transcript!(
    /// Thesis 4.1: a server goes by a leader that its own configuration does not name: n3 was away when n4 joined.
    a_leader_that_ones_configuration_does_not_name_is_followed,
    "cluster 3 spares 1
    timeout 1
    settle
    cut 3|1 2 4
    change 1 join 4
    run 200
    change 1 promote 4
    run 200
    transfer 1 4
    run 200
    # n3 votes for it, too: n1 is gone, and n2 and n4 alone are not a majority of four.
    crash 1
    crash 4
    start 4
    show 3
    heal
    wait 300
    timeout 4
    deliver
    store 2
    store 3
    deliver
    store 4
    run 500
    show 4
    show 3
    "
);
