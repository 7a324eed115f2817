//! Who stands first: the order of succession (DESIGN 3). All of it is timing; the votes decide.

use crate::stage::play;

transcript!(
    /// Under `ring` the next id after the leader stands first, and the ring closes.
    under_ring_the_next_id_after_the_leader_stands_first,
    "cluster 5
    timeout 1
    settle
    transfer 1 4
    run 500
    rank 4
    crash 4
    run 1000
    crash 5
    run 1000
    rank 1
    "
);

transcript!(
    /// Under `central` the quorum latency decides. n1 has the smallest mean of all, and yet its writes wait longer than those of n3: two of the others are near to n3,
    /// while to n1 all are at a middling distance.
    under_central_the_best_mean_is_the_wrong_choice,
    "cluster 5 policy central measured
    delay 1 2 20
    delay 1 3 20
    delay 1 4 20
    delay 1 5 20
    delay 2 3 60
    delay 2 4 60
    delay 2 5 60
    delay 3 4 5
    delay 3 5 5
    delay 4 5 60
    run 9000
    rank 1
    run 9000
    rank 3
    "
);

transcript!(
    /// Voters in the same place are ranked by id.
    equal_places_are_ranked_by_id,
    "cluster 3 policy central measured
    delay 1 2 10
    delay 1 3 10
    delay 2 3 10
    run 12000
    rank 1
    "
);

transcript!(
    /// Under `fixed` the first named that is there leads. With both preferred ones down the next by id does, and hands over when one comes back.
    under_fixed_the_first_named_that_is_there_leads,
    "cluster 5 policy fixed:4,2 measured
    run 20000
    rank 4
    crash 4
    crash 2
    run 5000
    rank 1
    start 2
    run 30000
    rank 2
    "
);

transcript!(
    /// A gain that is small or does not last moves nobody.
    a_small_gain_and_a_short_one_move_nobody,
    "cluster 3 policy central measured
    delay 1 2 10
    delay 1 3 10
    delay 2 3 9
    run 30000
    rank 1
    # For a moment n2 is much better placed than n1.
    delay 1 2 40
    delay 1 3 40
    run 500
    delay 1 2 10
    delay 1 3 10
    run 10000
    rank 1
    "
);

transcript!(
    /// A policy that was cut off the log was never chosen: its asker is not told that it was.
    a_policy_that_is_cut_off_the_log_is_not_in_force,
    "cluster 3
    timeout 1
    settle
    cut 1|2 3
    policy 1 fixed:3
    settle
    run 3000
    heal
    run 2000
    rank 1
    transfer 2 1
    run 1000
    policy 1 fixed:3
    settle
    policy 1 fixed:3
    "
);
