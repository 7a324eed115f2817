use super::*;
use tertulia_protocol::contract::Position;
use tertulia_protocol::ids::Boot;

const SECOND: u64 = 1_000_000;
const BOUNDS: Bounds = Bounds { leader: 2 * SECOND, answer: SECOND, again: 0, reconnect: SECOND / 10, unfit: false };

/// A cluster that somebody watches; times are in milliseconds.
struct Story {
    live: Liveness,
    now: u64,
}

fn position(term: Term, index: Index) -> Position {
    Position { index, term, chain: 1 }
}

impl Story {
    /// So many voters that run from the beginning, with a log of one entry that names them all, and one client.
    fn of(voters: usize) -> Story {
        let mut story = Story { live: Liveness::new(voters, 1, BOUNDS), now: 0 };
        for host in 0..voters {
            story.live.runs(0, host, true);
            story =
                story.fact(host, Fact::Started { boot: Boot(1), term: 0, voted_for: None, durable: position(0, 0), applied: 0 });
            story = story.log(host, 1, 1);
        }
        let word = Word { at: 1, sets: vec![((1 << voters) - 1, voters)] };
        (0..voters).for_each(|host| story.live.says(0, host, Some(word.clone())));
        story.at(500)
    }

    fn at(mut self, millis: u64) -> Story {
        self.now = millis * 1_000;
        self
    }

    fn fact(mut self, host: usize, fact: Fact) -> Story {
        self.live.fact(self.now, host, &fact);
        self
    }

    fn log(self, host: usize, term: Term, index: Index) -> Story {
        self.fact(host, Fact::Appended { at: position(term, index) })
    }

    fn leads(self, host: usize, term: Term) -> Story {
        self.fact(host, Fact::BecameLeader { term, last: position(1, 1) })
    }

    fn steps_down(self, host: usize, term: Term) -> Story {
        self.fact(host, Fact::SteppedDown { term })
    }

    /// Only these ways are open, both ways each; hosts are counted from 1.
    fn only(self, ways: &[(usize, usize)]) -> Story {
        let both: Vec<_> = ways.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
        self.only_one_way(&both)
    }

    fn only_one_way(mut self, ways: &[(usize, usize)]) -> Story {
        let hosts = self.live.hosts.len();
        let mut blocked = Conditions::for_tests(hosts);
        let open = |from: usize, to: usize| from == to || ways.contains(&(from + 1, to + 1));
        let closed: Vec<_> =
            (0..hosts * hosts).map(|way| (way / hosts, way % hosts)).filter(|(from, to)| !open(*from, *to)).collect();
        blocked.block(&closed, true);
        self.live.conditions(self.now, &blocked);
        self
    }

    /// Everything is looked at once more, ten seconds later.
    fn ends(mut self) -> Story {
        self.now += 10 * SECOND;
        self.live.elapse(self.now);
        self
    }

    #[track_caller]
    fn holds(self) -> Tally {
        let story = self.ends();
        assert_eq!(story.live.violation().map(ToString::to_string), None);
        story.live.tally()
    }

    #[track_caller]
    fn breaks(self, rule: &str, words: &str) {
        let story = self.ends();
        let violation = story.live.violation().expect("nothing was owed");
        assert_eq!(violation.rule, rule, "{violation}");
        assert!(violation.to_string().contains(words), "{violation}");
    }
}

const RULE: &str = "progress-owed";
const STAR: [(usize, usize); 4] = [(3, 1), (3, 2), (3, 4), (3, 5)];
const BRIDGE: [(usize, usize); 6] = [(1, 2), (4, 5), (3, 1), (3, 2), (3, 4), (3, 5)];
const RING: [(usize, usize); 5] = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 1)];

#[test]
fn a_whole_cluster_owes_a_leader() {
    Story::of(3).breaks(RULE, "progress-owed at 2.100000 s: n1 exchanges messages with a majority");
    let tally = Story::of(3).leads(1, 2).holds();
    assert_eq!((tally.owed, tally.owed_in_part, tally.constrained), (1, 0, 0));
}

#[test]
fn the_middle_of_a_star_a_bridge_and_a_ring_of_majorities_owe_one_too() {
    for ways in [&STAR[..], &BRIDGE, &RING] {
        Story::of(5).leads(0, 2).steps_down(0, 2).at(1_500).only(ways).breaks(RULE, "could be elected");
        assert_eq!(Story::of(5).leads(0, 2).at(1_500).only(ways).leads(2, 3).holds().owed_in_part, 1);
    }
    // A leader at the edge of a star reaches no majority: somebody else has to lead.
    Story::of(5).leads(0, 2).at(1_500).only(&STAR).breaks(RULE, "n3 exchanges messages with a majority");
}

#[test]
fn no_side_without_a_majority_owes_anything() {
    let split = [(1, 2), (3, 4)];
    for ways in [&split[..], &[]] {
        let tally = Story::of(5).leads(0, 2).at(1_500).only(ways).holds();
        assert_eq!((tally.owed, tally.constrained), (0, 0));
    }
}

#[test]
fn a_way_that_is_open_in_one_direction_does_not_count() {
    let heard_by_all = [(1, 2), (1, 3), (2, 1)];
    assert_eq!(Story::of(3).at(1_500).only_one_way(&heard_by_all[..2]).holds().owed, 0);
    Story::of(3).at(1_500).only_one_way(&heard_by_all).breaks(RULE, "n1 with n2 ");
}

#[test]
fn who_has_a_shorter_log_than_too_many_of_those_it_reaches_cannot_be_elected() {
    let behind = || [0, 1, 3].into_iter().fold(Story::of(5), |story, host| story.log(host, 1, 9)).at(1_500).only(&STAR);
    let tally = behind().holds();
    assert_eq!((tally.owed, tally.constrained), (0, 1));
    behind().at(1_600).log(2, 1, 9).breaks(RULE, "n3 exchanges messages");
}

#[test]
fn who_is_down_paused_or_in_repair_does_not_count() {
    let two_gone = |gone: fn(&mut Liveness, usize)| {
        let mut story = Story::of(3).at(1_500);
        gone(&mut story.live, 0);
        gone(&mut story.live, 1);
        story.holds().owed
    };
    assert_eq!(two_gone(|live, host| live.runs(1_500_000, host, false)), 0);
    assert_eq!(two_gone(|live, host| live.pauses(1_500_000, host, true)), 0);
    assert_eq!(two_gone(|live, host| live.fact(1_500_000, host, &Fact::Repairing)), 0);
    let mut story = Story::of(3).at(1_500);
    story.live.runs(1_500_000, 0, false);
    story.breaks(RULE, "n2 exchanges messages");
}

#[test]
fn every_change_begins_the_bound_anew() {
    let ways = [(1, 2), (2, 3)];
    let story = (1..8).fold(Story::of(3), |story, n| story.at(n * 1_900).only(if n % 2 == 0 { &ways[..] } else { &ways[..1] }));
    story.leads(1, 2).holds();
    Story::of(3).at(1_900).only(&ways).at(3_800).log(0, 1, 1).breaks(RULE, "at 5.800000 s");
}

#[test]
fn weather_and_a_change_of_members_suspend_the_demand() {
    let mut story = Story::of(3);
    story.live.disturbed = Some("weather");
    assert_eq!(story.holds(), Tally::default());
    let mut story = Story::of(3);
    story.live.says(0, 0, Some(Word { at: 2, sets: vec![(0b111, 3), (0b110, 2)] }));
    assert_eq!(story.holds(), Tally::default());
}

#[test]
fn while_voters_change_a_majority_of_both_sets_is_needed() {
    let joint = || {
        let mut story = Story::of(5);
        let word = Word { at: 2, sets: vec![(0b00111, 3), (0b11100, 3)] };
        (0..5).for_each(|host| story.live.says(0, host, Some(word.clone())));
        story.at(1_500)
    };
    assert_eq!(joint().only(&[(1, 2), (2, 3), (1, 3)]).holds().owed, 0);
    joint().only(&[(1, 3), (3, 4)]).breaks(RULE, "n3 exchanges messages");
}

#[test]
fn a_way_that_has_just_opened_counts_once_it_is_connected() {
    let story = || Story::of(3).at(1_000).only(&[]).at(5_000).only(&[(1, 2)]);
    story().breaks(RULE, "at 7.100000 s");
    story().at(7_100).leads(0, 2).holds();
    let mut broken = Story::of(3).at(1_000);
    [(0, 1), (1, 2), (0, 2)].into_iter().for_each(|(a, b)| broken.live.resets(1_500_000, a, b));
    broken.breaks(RULE, "at 3.600000 s");
}

#[test]
fn leaders_that_change_for_ever_are_seen_and_hand_overs_are_not() {
    let flips = |handing_over: bool| {
        (2..8).fold(Story::of(3), |story, term| {
            let story = story.at(1_000 * term);
            let story = if handing_over { story.fact(0, Fact::Reached { point: "transfer.begun" }) } else { story };
            let host = term as usize % 3;
            story.leads(host, term).at(1_000 * term + 500).steps_down(host, term)
        })
    };
    flips(false).breaks("elections-bounded", "3 leaders were elected");
    flips(true).at(7_900).leads(0, 9).holds();
}

#[test]
fn a_post_at_a_node_that_reaches_the_leader_is_answered() {
    let posted = |host: usize| {
        let mut story = Story::of(5).leads(0, 2).at(1_500).only(&[(1, 2), (1, 3), (4, 5)]).at(4_000);
        story.live.sits(3_900_000, 0, Some(host));
        story.live.posts(4_000_000, 0, 7);
        story
    };
    posted(1).breaks(RULE, "Client 1 sent request 7 at 4.000000 s, is connected to n2 since 3.900000 s");
    posted(0).breaks(RULE, "at 5.000000 s");
    posted(3).holds();
    let mut answered = posted(1);
    answered.live.is_answered(4_900_000, 0, 7);
    answered.holds();
    let mut moved = posted(1);
    (1..20).for_each(|n| moved.live.sits(4_000_000 + n * 900_000, 0, Some(1)));
    moved.live.is_answered(21_500_000, 0, 7);
    moved.at(22_000).holds();
}

#[test]
fn who_lacks_much_is_not_expected_to_follow_at_once() {
    let posted = || {
        let mut story = (2..200).fold(Story::of(3).leads(0, 2), |story, index| story.log(0, 2, index).log(1, 2, index)).at(4_000);
        story.live.sits(4_000_000, 0, Some(2));
        story.live.posts(4_000_000, 0, 7);
        story
    };
    posted().holds();
    let caught_up = (2..200).fold(posted().at(6_000), |story, index| story.log(2, 2, index));
    caught_up.breaks(RULE, "at 7.000000 s");
    // Without the second one nobody could commit.
    let mut alone = (2..200).fold(Story::of(3).leads(0, 2), |story, index| story.log(0, 2, index)).at(4_000);
    alone.live.sits(4_000_000, 0, Some(0));
    alone.live.posts(4_000_000, 0, 7);
    alone.holds();
}
