//! The named points of the protocol: rare courses of events that a sweep of simulated runs must reach, each at least once.
//!
//! A test that never comes to where a bug could be says nothing about it. So the code marks such places by [`sometimes!`](crate::sometimes), in
//! contrast to an assertion, which says what holds *always* (the idea is that of "sometimes assertions" in FoundationDB's and Antithesis' testing).
//! A place tells [`Fact::Reached`](crate::facts::Fact::Reached) when it is come to; scenarios fire faults at it (`when = "…"`) and demand it
//! (`reached = ["…"]`), and a sweep reports the points that it never came to. The table is checked when the code is compiled: a point that is not
//! in it cannot be told, and one that nothing tells is found by the sweep.

/// A point's name and what has happened when it is reached.
pub type Point = (&'static str, &'static str);

/// All points that the machines tell, by name.
pub const POINTS: &[Point] = &[
    ("append.conflict_refused", "a follower's log contradicts what the leader builds upon, and says so"),
    ("append.hole_refused", "a follower lacks what the leader builds upon, and says so"),
    ("candidate.again", "a candidate neither won nor heard a leader, and stands again"),
    ("commit.in_joint", "a leader commits by two majorities"),
    (
        "commit.older_term_held_back",
        "an entry of an older term is on a majority, and is not committed by that alone (thesis 3.6.2)",
    ),
    ("configuration.changed", "a new configuration is committed"),
    ("configuration.joint", "a joint configuration is committed"),
    ("configuration.reverted", "a configuration was cut off the log with what was not committed"),
    ("disk.stalled", "a leader's disk has stalled, and it hands over"),
    ("leader.better_placed", "a leader hands over to a node that is placed better"),
    ("leader.heard_late", "a message of a leader whose link has broken arrives after that"),
    ("leader.in_joint", "a leader is elected by two majorities"),
    ("leader.link_lost", "a follower's link to its leader breaks, and it does not wait for the silence"),
    ("leader.quorum_lost", "a leader has not heard a majority for too long, and steps down"),
    ("leader.removed", "a leader has committed its own removal, and steps aside"),
    ("leader.uncommitted_tail", "a leader begins with entries that it does not know to be committed"),
    ("learner.promoted", "a learner has caught up and becomes a voter"),
    ("log.repaired", "a log that had lost something is whole again"),
    ("log.replaced", "a follower's entries are replaced by the leader's"),
    ("log.trimmed", "a log lets go of its beginning"),
    ("outbox.accepted", "a node that reaches no leader accepts a request"),
    ("outbox.behind_tentative", "a post goes behind what is tentative on its author's node, though a leader answers"),
    ("outbox.copies_reached", "an accepted request has come to as many nodes as its room wants"),
    ("outbox.drained_before_removal", "a node is to be removed, and its outbox is emptied first"),
    ("outbox.full", "a node holds as many tentative entries as it may, and refuses one"),
    ("outbox.held_for_seen", "a tentative entry has come before what it depends on, and is not taken yet"),
    ("outbox.hole", "a tentative entry has come before its predecessor, and is not taken yet"),
    ("outbox.proposed", "a leader proposes what an outbox has carried"),
    ("outbox.refused_late", "what an outbox has carried is refused when it is its turn"),
    ("outbox.relayed", "a node holds tentative entries for its leader that another one cannot bring there"),
    ("outbox.restored", "a node starts with tentative entries that it kept"),
    ("outbox.sealed", "the log says through where the outboxes of a removed node are known"),
    ("outbox.settled", "what an outbox has carried is committed"),
    ("outbox.taken_from_peer", "a node without a leader takes another one's tentative entry"),
    ("raft.committed_by_peer", "a node that no leader reaches hears from a peer of what is committed"),
    ("read.by_lease", "a read is confirmed by the leader's lease"),
    ("read.by_round", "a read is confirmed by a round of heartbeats"),
    ("read.held", "a read waits until the leader's term has committed something (thesis 6.4)"),
    ("reader.fell_behind", "a live reader does not keep up, and catches up from the store"),
    ("session.number_held", "a request has come before its predecessor, and waits for it"),
    ("snapshot.abandoned", "a snapshot was begun and is given up"),
    ("snapshot.begun", "the first part of a snapshot has come"),
    ("snapshot.installed", "a snapshot has taken the place of the rows"),
    ("snapshot.part_same", "a part of a snapshot is here already, and is not sent again"),
    ("snapshot.resumed_elsewhere", "a snapshot that one node began to send comes from another from now on"),
    ("snapshot.wrong_hash", "a snapshot is complete, and not what it should be"),
    ("succession.revised", "a leader commits another line of succession"),
    ("transfer.begun", "a leader has begun to hand over"),
    ("transfer.failed", "a hand-over came to nothing, and the leader goes on"),
    ("vote.gate_shut", "a vote is refused because a leader was heard just now"),
    ("vote.given_already", "a vote is refused because another candidate has it"),
    ("vote.log_too_old", "a vote is refused because the candidate's log lacks something (thesis 3.6.1)"),
];

/// Whether the table has this name.
pub const fn is_known(name: &str) -> bool {
    let mut nth = 0;
    while nth < POINTS.len() {
        if equal(POINTS[nth].0.as_bytes(), name.as_bytes()) {
            return true;
        }
        nth += 1;
    }
    false
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut nth = 0;
    while nth < a.len() {
        if a[nth] != b[nth] {
            return false;
        }
        nth += 1;
    }
    true
}

/// A point's name, checked against the table when it is compiled.
#[macro_export]
macro_rules! point {
    ($name:literal) => {{
        const { assert!($crate::points::is_known($name), "the table in protocol/src/points.rs lacks this point") };
        $name
    }};
}

/// Tells that a named point was reached, to whatever has a `tell` for facts.
///
/// ```
/// use tertulia_protocol::facts::{Fact, Facts};
///
/// let mut facts = Facts::new(true);
/// tertulia_protocol::sometimes!(facts, "log.replaced");
/// assert_eq!(facts.take(), [Fact::Reached { point: "log.replaced" }]);
/// ```
#[macro_export]
macro_rules! sometimes {
    ($facts:expr, $name:literal) => {{
        let point = $crate::point!($name);
        $facts.tell(|| $crate::facts::Fact::Reached { point })
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_no_point_twice() {
        assert!(POINTS.is_sorted_by(|(a, _), (b, _)| a < b));
    }

    #[test]
    fn only_what_stands_in_the_table_is_known() {
        assert!(is_known("log.replaced") && !is_known("log.replace") && !is_known("log.replaced "));
    }
}
