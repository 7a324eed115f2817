//! Whether a leader that is not the best-placed voter should hand over, and to whom.
//!
//! A hand-over costs writes about a round trip, so the bar is high and what a flapping link can cause is bounded: a target must be clearly better
//! several times in a row, the leader must have led for a while, and no node begins two hand-overs within a cooldown. Whoever was handed to starts a
//! tenure of its own, so a whole cluster has at most one hand-over a tenure.

use super::policy::{Policy, preference};
use super::ranking::Reason;
use super::timing::SuccessionTiming;
use crate::ids::NodeId;
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// What a leader knows when it evaluates.
#[derive(Clone, Copy, Debug, Hash)]
pub struct View<'a> {
    pub node: NodeId,
    /// When it became leader.
    pub leading_since: Instant,
    pub policy: &'a Policy,
    /// All voters with what was measured of them, from [`super::reasons`]. Under `fixed` only who they are counts.
    pub reasons: &'a [Reason],
    /// Who could take over now: voters with a link whose log is that of the leader, or nearly.
    pub ready: &'a BTreeSet<NodeId>,
}

/// Decides about hand-overs. Lives as long as the node runs, also while another one leads: the cooldown counts from its last attempt.
#[derive(Clone, Debug, Hash)]
pub struct Placement {
    timing: SuccessionTiming,
    evaluated: Option<Instant>,
    streak: Option<Streak>,
    /// When it last said that leadership should go to another one.
    attempted: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Streak {
    target: NodeId,
    leading_since: Instant,
    /// Evaluations in a row that agreed.
    length: u32,
}

impl Placement {
    pub fn new(timing: SuccessionTiming) -> Placement {
        Placement { timing, evaluated: None, streak: None, attempted: None }
    }

    /// To be called by a leader each [`SuccessionTiming::evaluation`]; a call that comes earlier after the last one counted is ignored, so that
    /// calling more often does not make three in a row out of one.
    ///
    /// `Some(target)`: hand over now. Whatever comes of it, the next answer of that kind is a cooldown away.
    pub fn evaluate(&mut self, now: Instant, view: View) -> Option<NodeId> {
        if self.evaluated.is_some_and(|last| now < last + self.timing.evaluation) {
            return None;
        }
        self.evaluated = Some(now);
        let before = self.streak.take().filter(|streak| streak.leading_since == view.leading_since);
        let target = match view.policy {
            Policy::Ring => None,
            Policy::Central => self.better_placed(&view, before.map(|streak| streak.target)),
            Policy::Fixed(_) => preferred(&view),
        }?;
        let length = before.filter(|streak| streak.target == target).map_or(0, |streak| streak.length).saturating_add(1);
        let settled = now.since(view.leading_since) >= self.timing.tenure;
        let cool = self.attempted.is_none_or(|last| now.since(last) >= self.timing.cooldown);
        if length >= self.timing.in_a_row && settled && cool {
            self.attempted = Some(now);
            return Some(target);
        }
        self.streak = Some(Streak { target, leading_since: view.leading_since, length });
        None
    }

    /// The best-placed voter that is ready, if that is another one and clearly better. The target of the streak so far stays the target as long as it
    /// is ready and clearly better than the leader, and no other one is clearly better than it: two good places that noise swaps must not keep
    /// leadership in a bad one.
    fn better_placed(&self, view: &View, streak: Option<NodeId>) -> Option<NodeId> {
        let of = |node: NodeId| view.reasons.iter().find(|reason| reason.node == node);
        let own = of(view.node)?;
        let can = |reason: &&Reason| reason.node == view.node || view.ready.contains(&reason.node);
        let best = view.reasons.iter().filter(can).min_by_key(|reason| reason.rank(self.timing.resolution))?;
        if best.node == view.node || !self.gains(own, best) {
            return None;
        }
        let kept = streak.and_then(of).filter(|kept| can(kept) && self.gains(own, kept) && !self.gains(kept, best));
        Some(kept.unwrap_or(best).node)
    }

    /// Whether `to` is better than `from` by more than `gain` and more than `gain_percent`. What is not known is no reason.
    fn gains(&self, from: &Reason, to: &Reason) -> bool {
        let (Some(from), Some(to)) = (from.quorum_us, to.quorum_us) else { return false };
        let gain = from.saturating_sub(to);
        let enough = self.timing.gain.as_micros() as u64;
        gain > enough && u128::from(gain) * 100 > u128::from(from) * u128::from(self.timing.gain_percent)
    }
}

/// The first of the order that is ready, if that is another one.
fn preferred(view: &View) -> Option<NodeId> {
    let voters: Vec<NodeId> = view.reasons.iter().map(|reason| reason.node).collect();
    let order = preference(view.policy, &voters, &[]);
    let first = order.into_iter().find(|node| *node == view.node || view.ready.contains(node))?;
    (first != view.node).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    fn reasons(quorums: &[(u64, Option<u64>)]) -> Vec<Reason> {
        let reason = |(id, quorum): &(u64, Option<u64>)| Reason {
            node: NodeId(*id),
            quorum_us: *quorum,
            mean_us: None,
            closeness_milli: None,
        };
        quorums.iter().map(reason).collect()
    }

    /// A leader n1 since 0 s, asked once a second.
    struct Leader {
        placement: Placement,
        policy: Policy,
        second: u64,
        leading_since: Instant,
        ready: BTreeSet<NodeId>,
    }

    impl Leader {
        fn under(policy: &str) -> Leader {
            Leader {
                placement: Placement::new(SuccessionTiming::default()),
                policy: policy.parse().unwrap(),
                second: 0,
                leading_since: Instant(0),
                ready: [2, 3].map(NodeId).into(),
            }
        }

        /// The next second's answer, with these quorum latencies in ms of n1, n2 and n3.
        fn next(&mut self, quorums: [Option<u64>; 3]) -> Option<u64> {
            self.second += 1;
            self.ask(quorums)
        }

        fn ask(&mut self, quorums: [Option<u64>; 3]) -> Option<u64> {
            let reasons = reasons(&[1, 2, 3].map(|id| (id, quorums[id as usize - 1].map(|ms| ms * 1_000))));
            let view = View {
                node: NodeId(1),
                leading_since: self.leading_since,
                policy: &self.policy,
                reasons: &reasons,
                ready: &self.ready,
            };
            self.placement.evaluate(Instant(self.second * SECOND), view).map(|node| node.0)
        }

        /// The answers of so many seconds, with the second of each.
        fn run(&mut self, seconds: u64, quorums: [Option<u64>; 3]) -> Vec<(u64, u64)> {
            (0..seconds).filter_map(|_| self.next(quorums).map(|target| (self.second, target))).collect()
        }
    }

    const FAR: [Option<u64>; 3] = [Some(50), Some(40), Some(20)];

    #[test]
    fn a_badly_placed_leader_hands_over_after_its_tenure_and_not_again_before_the_cooldown() {
        let mut leader = Leader::under("central");
        assert_eq!(leader.run(75, FAR), [(10, 3), (40, 3), (70, 3)], "each attempt failed: it leads on");
    }

    #[test]
    fn three_in_a_row_is_three_in_a_row() {
        let mut leader = Leader::under("central");
        leader.second = 20;
        let fine = [Some(20), Some(40), Some(20)];
        for _ in 0..5 {
            assert_eq!(leader.run(2, FAR), []);
            assert_eq!(leader.next(fine), None);
        }
        assert_eq!(leader.run(2, FAR), []);
        assert_eq!(leader.ask(FAR), None, "asked twice in a second is asked once");
        assert_eq!(leader.next(FAR), Some(3));
    }

    #[test]
    fn a_gain_must_be_over_a_fifth_and_over_five_milliseconds() {
        let asked = |quorums| {
            let mut leader = Leader::under("central");
            leader.second = 20;
            leader.run(3, quorums)
        };
        assert_eq!(asked([Some(100), None, Some(80)]), [], "a fifth is not over a fifth");
        assert_eq!(asked([Some(100), None, Some(79)]), [(23, 3)]);
        assert_eq!(asked([Some(10), None, Some(5)]), [], "five is not over five");
        assert_eq!(asked([Some(10), None, Some(4)]), [(23, 3)]);
        assert_eq!(asked([None, Some(4), Some(4)]), [], "what is not known of the leader is no reason");
        assert_eq!(asked([Some(90), None, None]), [], "nor what is not known of the others");
    }

    #[test]
    fn only_a_voter_that_is_caught_up_is_handed_to() {
        let mut leader = Leader::under("central");
        leader.second = 20;
        leader.ready.remove(&NodeId(3));
        assert_eq!(leader.run(5, [Some(50), Some(45), Some(20)]), [], "n3 is not ready, n2 not worth it");
        assert_eq!(leader.run(3, [Some(50), Some(30), Some(20)]), [(28, 2)]);
        let mut alone = Leader::under("fixed:3,2,1");
        alone.ready.clear();
        assert_eq!(alone.run(60, FAR), []);
    }

    #[test]
    fn noise_between_two_good_places_does_not_keep_leadership_in_a_bad_one() {
        let mut leader = Leader::under("central");
        leader.second = 20;
        assert_eq!(leader.next([Some(80), Some(21), Some(20)]), None);
        assert_eq!(leader.next([Some(80), Some(20), Some(21)]), None);
        assert_eq!(leader.next([Some(80), Some(20), Some(21)]), Some(3));
        // But one that is clearly better than the target so far begins a row of its own.
        leader.second = 60;
        assert_eq!(leader.run(2, [Some(80), Some(50), Some(60)]), []);
        assert_eq!(leader.run(2, [Some(80), Some(50), Some(20)]), []);
        assert_eq!(leader.next([Some(80), Some(50), Some(20)]), Some(3));
    }

    #[test]
    fn a_new_reign_begins_a_new_row_and_a_new_tenure_but_no_new_cooldown() {
        let mut leader = Leader::under("central");
        assert_eq!(leader.run(9, FAR), []);
        leader.leading_since = Instant(10 * SECOND);
        assert_eq!(leader.run(12, FAR), [(20, 3)]);
        leader.leading_since = Instant(22 * SECOND);
        assert_eq!(leader.run(30, FAR), [(50, 3)]);
        // Also where a tenure is too short to hide it.
        let mut leader = Leader::under("central");
        leader.placement = Placement::new(SuccessionTiming { tenure: Duration::ZERO, ..SuccessionTiming::default() });
        assert_eq!(leader.run(2, FAR), []);
        leader.leading_since = Instant(2 * SECOND);
        assert_eq!(leader.run(3, FAR), [(5, 3)]);
    }

    #[test]
    fn fixed_hands_over_without_a_gain_and_only_upwards() {
        let mut leader = Leader::under("fixed:3,1,2");
        assert_eq!(leader.run(45, [Some(1), None, None]), [(10, 3), (40, 3)]);
        assert_eq!(Leader::under("fixed:1,3").run(60, FAR), [], "it is the first itself");
        let mut leader = Leader::under("fixed:9,3");
        leader.ready.insert(NodeId(9));
        assert_eq!(leader.run(10, FAR), [(10, 3)], "n9 is no voter");
    }

    #[test]
    fn ring_never_hands_over() {
        assert_eq!(Leader::under("ring").run(200, FAR), []);
    }

    /// Quorum latencies in µs of four voters and who of them is ready, at the end of so many ms.
    fn weather() -> impl Strategy<Value = Vec<(u64, [Option<u64>; 4], u8)>> {
        let quorum =
            || prop_oneof![1 => Just(None), 4 => prop_oneof![Just(1_000u64), Just(50_000), 0..200_000u64].prop_map(Some)];
        let quorums = || [quorum(), quorum(), quorum(), quorum()];
        let spell = || (1u64..3_000, quorums(), any::<u8>(), 1usize..6);
        prop::collection::vec(spell(), 1..80).prop_map(|spells| {
            let long = |(ms, quorums, ready, times)| core::iter::repeat_n((ms, quorums, ready), times);
            spells.into_iter().flat_map(long).collect()
        })
    }

    fn policies() -> impl Strategy<Value = Policy> {
        let fixed = prop::collection::vec(0u64..5, 0..5).prop_map(|named| Policy::Fixed(named.into_iter().map(NodeId).collect()));
        prop_oneof![3 => Just(Policy::Central), 1 => fixed]
    }

    /// What voter `node` answers in this weather.
    fn ask(
        placement: &mut Placement,
        now: Instant,
        node: u64,
        since: Instant,
        policy: &Policy,
        sky: ([Option<u64>; 4], u8),
    ) -> Option<NodeId> {
        let reasons = reasons(&[0, 1, 2, 3].map(|id| (id, sky.0[id as usize])));
        let ready = (0..4).filter(|id| *id != node && sky.1 & 1 << id != 0).map(NodeId).collect();
        let view = View { node: NodeId(node), leading_since: since, policy, reasons: &reasons, ready: &ready };
        placement.evaluate(now, view)
    }

    proptest! {
        #[test]
        fn a_flapping_link_causes_at_most_one_attempt_a_cooldown(weather in weather(), policy in policies()) {
            let timing = SuccessionTiming::default();
            let (mut placement, mut now, mut attempts) = (Placement::new(timing), Instant(0), 0);
            for (ms, quorums, ready) in weather {
                now += Duration::from_millis(ms);
                if let Some(target) = ask(&mut placement, now, 0, Instant(0), &policy, (quorums, ready)) {
                    attempts += 1;
                    prop_assert!(target != NodeId(0) && ready & 1 << target.0 != 0);
                    prop_assert!(now.since(Instant(0)) >= timing.tenure);
                }
                prop_assert!(attempts <= 1 + now.0 as u128 / timing.cooldown.as_micros());
            }
        }

        /// Each attempt succeeds, and the next leader has the same weather and its own doubts.
        #[test]
        fn a_cluster_in_any_weather_has_at_most_one_hand_over_a_tenure(weather in weather(), policy in policies()) {
            let timing = SuccessionTiming::default();
            let mut placements = [0, 1, 2, 3].map(|_| Placement::new(timing));
            let (mut leader, mut since, mut now, mut attempts) = (0, Instant(0), Instant(0), [0u128; 4]);
            for (ms, quorums, ready) in weather {
                now += Duration::from_millis(ms);
                let placement = &mut placements[leader as usize];
                if let Some(target) = ask(placement, now, leader, since, &policy, (quorums, ready)) {
                    attempts[leader as usize] += 1;
                    (leader, since) = (target.0, now);
                }
                prop_assert!(attempts.iter().sum::<u128>() <= now.0 as u128 / timing.tenure.as_micros());
                prop_assert!(attempts.iter().all(|one| *one <= 1 + now.0 as u128 / timing.cooldown.as_micros()));
            }
        }
    }
}
