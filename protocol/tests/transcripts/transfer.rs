//! Handing leadership over (thesis 3.10).

use crate::stage::play;

transcript!(
    /// Thesis 3.10: no proposals are taken, the target is brought up to date, told to stand, and its votes pass the gate although the leader was just heard.
    a_transfer_waits_until_the_target_has_everything,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    transfer 1 2
    propose 1 y
    deliver 1>2
    store 2
    # It holds x now, and is told to stand.
    deliver 2>1
    deliver 1>2
    store 1
    store 2
    deliver
    store 3
    store 1
    deliver
    store 2
    show 2
    "
);

transcript!(
    /// Thesis 3.10: a transfer that has come to nothing ends after an election's time, and the leader goes on.
    a_transfer_that_fails_ends_and_the_leader_goes_on,
    "cluster 3
    timeout 1
    settle
    propose 1 x
    transfer 1 2
    cut 1|2
    drop 1>2
    propose 1 y
    run 400
    propose 1 y
    show 1
    "
);

transcript!(
    /// Thesis 3.10: who does not vote, does not answer or is far behind is refused, with what to do.
    a_transfer_to_nobody_who_could_lead_is_refused,
    "cluster 3 spares 1
    timeout 1
    settle
    change 1 join 4
    settle
    transfer 1 4
    transfer 1 9
    crash 2
    run 250
    transfer 1 2
    transfer 3 1
    "
);

transcript!(
    /// A leader that is asked to stop hands over to the first in line that can have it.
    a_leader_that_stops_hands_over_to_the_first_in_line_that_is_there,
    "cluster 4
    timeout 1
    settle
    crash 2
    run 250
    hand over 1
    run 100
    show 3
    show 1
    "
);

transcript!(
    /// Changes of members wait until the transfer is over.
    no_change_of_members_during_a_transfer,
    "cluster 3
    timeout 1
    settle
    cut 1>2
    transfer 1 2
    change 1 remove 3
    run 350
    change 1 remove 3
    "
);
