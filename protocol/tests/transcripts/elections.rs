//! Who leads: votes, pre-votes, the gate, and networks that are neither whole nor split (thesis 3.4, 3.6.1, 6.2, 9.6).

use crate::stage::play;

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

transcript!(
    /// Thesis 3.4: four voters are no safer than three. A split in halves commits nothing on either side, and three of four are needed.
    four_voters_split_in_halves_commit_nothing_until_three_meet,
    "cluster 4
    timeout 1
    settle
    cut 1 2|3 4
    propose 1 x
    run 3000
    show 1
    show 3
    # One more on a side, and that side goes on.
    heal
    cut 4|1 2 3
    run 1000
    show 1
    show 2
    show 3
    "
);

transcript!(
    /// A bridge: n3 sees both sides, which do not see each other. Whoever leads has a majority through it, and pre-votes (9.6) keep the other side from disturbing.
    /// The stalls of real systems in such networks: Jensen, Howard and Mortier, "Examining Raft's behaviour during partial network failures" (HAOC 2021).
    a_bridge_between_two_sides_does_not_make_endless_elections,
    "cluster 5
    timeout 1
    settle
    cut 1 2|4 5
    run 10000
    show 1
    show 4
    propose 1 x
    run 100
    show 3
    show 5
    "
);

transcript!(
    /// A ring in which each sees its two neighbours only: every node is the middle of a majority, and the first leader stays.
    a_ring_of_majorities_does_not_make_endless_elections,
    "cluster 5
    timeout 1
    settle
    cut 1|3 4
    cut 2|4 5
    cut 3|5
    run 10000
    show 1
    show 3
    show 4
    "
);

transcript!(
    /// Of a star only the middle can lead: n3 falls silent (6.2) and n1, which sees everybody, is elected once.
    a_leader_that_only_the_middle_of_a_star_hears_gives_way_to_the_middle,
    "cluster 5
    timeout 1
    settle
    transfer 1 3
    run 200
    cut 2|3 4 5
    cut 3|4 5
    cut 4|5
    run 10000
    show 1
    show 2
    show 5
    "
);

transcript!(
    /// Thesis 3.6.1: a candidate whose log is short is refused by whoever has more.
    a_candidate_with_a_short_log_is_refused,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    deliver 1>2
    store 2
    store 1
    deliver 2>1
    # x is committed. n3 has not heard of it, and nobody has told n2 that it is committed.
    crash 1
    drop
    wait 1000
    timeout 3
    deliver
    timeout 2
    deliver
    show 3
    "
);

transcript!(
    /// Thesis 9.6: a node that was cut off comes back in the term that it left, and disturbs nobody.
    a_node_that_was_cut_off_does_not_disturb_when_it_comes_back,
    "cluster 3
    timeout 1
    settle
    cut 3|1 2
    run 10000
    show 3
    heal
    run 1000
    show 1
    show 3
    "
);

transcript!(
    /// Thesis 6.2: a leader that is heard and hears nobody falls silent, so that the others may choose one.
    a_leader_that_hears_nobody_falls_silent_although_it_is_heard,
    "cluster 3
    timeout 1
    settle
    cut 2>1
    cut 3>1
    run 2000
    show 2
    show 3
    "
);

transcript!(
    /// A follower that the leader does not reach cannot depose it while the others hear it (4.2.3, 9.6).
    a_follower_that_hears_nobody_does_not_depose_the_leader,
    "cluster 3
    timeout 1
    settle
    cut 1>3
    run 5000
    show 1
    show 3
    "
);

transcript!(
    /// A broken link is a sign that comes before silence: the first in line stands a moment later, the others a stagger after one another, and no gate holds them up.
    the_first_in_line_stands_soon_after_the_leaders_link_breaks,
    "cluster 5
    timeout 1
    settle
    run 1000
    crash 1
    link 2>1 down
    link 3>1 down
    link 4>1 down
    link 5>1 down
    run 300
    "
);

transcript!(
    /// If the first in line is gone with the leader, the second stands after its stagger.
    the_second_in_line_stands_after_a_stagger,
    "cluster 5
    timeout 1
    settle
    run 1000
    crash 1
    crash 2
    link 3>1 down
    link 4>1 down
    link 5>1 down
    run 300
    "
);

transcript!(
    /// A link that breaks while the leader lives is no reason to elect another one: the others hear it.
    a_broken_link_alone_deposes_nobody,
    "cluster 3
    timeout 1
    settle
    cut 1|2
    link 2>1 down
    run 3000
    show 1
    "
);
