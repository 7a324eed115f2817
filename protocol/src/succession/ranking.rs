//! How well placed each voter is to lead, from measured ways. Pure and in whole numbers: every node would come to the same result.
//!
//! What counts is the **quorum latency**: how long until a majority has confirmed a write, over the direct links that a leader uses. A mean asks about
//! all voters, also those that no write waits for: a node amid a minority can have the better mean and the slower writes. Shortest paths, closeness
//! centrality (Bavelas 1950) and the mean are computed beside it, for people to look at.
//!
//! Voters come as a slice of configurations: one, or two while the membership changes and both majorities must confirm (thesis 4.3). Time on disk is
//! not in it: that is the same whoever leads, unless the disks differ.

use super::latency::{Ways, plausible};
use crate::ids::NodeId;
use crate::raft::quorum::majority;
use crate::time::Duration;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How long until a majority of each configuration has confirmed what `leader` wrote, in µs: the slower one of the configurations. `leader` itself
/// counts at once, the others after their direct round trip, unknown ones never. `None`: there is no majority within what is known.
pub fn quorum_latency(ways: &Ways, voters: &[&[NodeId]], leader: NodeId) -> Option<u64> {
    let of = |voters: &&[NodeId]| {
        let mut confirmed: Vec<u64> = voters.iter().filter_map(|voter| ways.round_trip(leader, *voter)).collect();
        confirmed.sort_unstable();
        confirmed.get(majority(voters.len()) - 1).copied()
    };
    voters.iter().filter(|voters| !voters.is_empty()).map(of).reduce(|a, b| Some(a?.max(b?)))?
}

/// All voters of all configurations, once each, ascending.
fn all(voters: &[&[NodeId]]) -> Vec<NodeId> {
    voters.iter().flat_map(|voters| voters.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Shortest ways between some nodes, through each other.
#[derive(Clone, Debug, Hash)]
pub struct Paths {
    /// Ascending.
    nodes: Vec<NodeId>,
    /// Row by row, as measured: with the difference of the two ends' clocks in it.
    ways: Vec<Option<i64>>,
}

impl Paths {
    /// Floyd and Warshall's algorithm. The clocks' differences make single ways negative and leave the choice of paths as it is (see
    /// [`super::latency`]). What noise can make negative is a cycle; so whenever a way is entered, it is raised to where the round trip with the
    /// way back that is known then is 0. Without negative cycles this never happens; with them no path gains from going round in circles.
    /// Neither the test nor the raise depends on the clocks.
    pub fn shortest(ways: &Ways, nodes: &[NodeId]) -> Paths {
        let nodes = all(&[nodes]);
        let n = nodes.len();
        let mut paths = Paths { ways: vec![None; n * n], nodes };
        for i in 0..n {
            for j in 0..n {
                let direct = if i == j { Some(0) } else { ways.measured(paths.nodes[i], paths.nodes[j]) };
                paths.offer(i, j, direct);
            }
        }
        for through in 0..n {
            for i in (0..n).filter(|i| *i != through) {
                for j in (0..n).filter(|j| *j != through && *j != i) {
                    let out = paths.ways[i * n + through];
                    let on = paths.ways[through * n + j];
                    paths.offer(i, j, out.and_then(|out| Some(out.saturating_add(on?))));
                }
            }
        }
        paths
    }

    /// Takes `way` from `i` to `j` if it is shorter than what is known.
    fn offer(&mut self, i: usize, j: usize, way: Option<i64>) {
        let n = self.nodes.len();
        let Some(way) = way else { return };
        let least = self.ways[j * n + i].map_or(i64::MIN, |back| back.saturating_neg());
        let way = way.max(least);
        let known = &mut self.ways[i * n + j];
        *known = Some(known.map_or(way, |known| known.min(way)));
    }

    /// The shortest measured way in µs, with the difference of the two clocks in it.
    pub fn way(&self, from: NodeId, to: NodeId) -> Option<i64> {
        let (i, j) = (self.nodes.binary_search(&from).ok()?, self.nodes.binary_search(&to).ok()?);
        self.ways[i * self.nodes.len() + j]
    }

    /// The shortest way there and the shortest way back together, in µs; exact.
    pub fn round_trip(&self, a: NodeId, b: NodeId) -> Option<u64> {
        plausible(self.way(a, b)?, self.way(b, a)?)
    }

    /// Closeness centrality of `node` in thousandths per second: how many others there are, divided by the sum of their distances, a distance being
    /// half of the shortest way out and the shortest way back together. `None` if there is no other node or one cannot be reached.
    pub fn closeness(&self, node: NodeId) -> Option<u64> {
        let (others, sum) = sum_over_others(&self.nodes, node, |other| self.round_trip(node, other))?;
        Some(others * 2_000_000_000 / sum.max(1))
    }
}

/// How many of `nodes` are not `node`, and the sum of what `of` says of them. `None` if there is none, or one without a value.
fn sum_over_others(nodes: &[NodeId], node: NodeId, of: impl Fn(NodeId) -> Option<u64>) -> Option<(u64, u64)> {
    let mut total = (0, 0);
    for other in nodes.iter().filter(|other| **other != node) {
        total = (total.0 + 1, total.1 + of(*other)?);
    }
    (total.0 > 0).then_some(total)
}

/// Why a voter stands where it stands. Only `quorum_us` decides; the rest is for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub struct Reason {
    pub node: NodeId,
    /// How long a majority takes to confirm what it writes, in µs. `None`: not known to reach a majority.
    pub quorum_us: Option<u64>,
    /// The mean of its direct round trips to the other voters, in µs. `None`: one is unknown.
    pub mean_us: Option<u64>,
    /// [`Paths::closeness`], in thousandths per second.
    pub closeness_milli: Option<u64>,
}

impl Reason {
    /// What is compared: whole steps of `resolution`, then the id; the unknown comes last. Steps, since "less than so much apart" would not be an
    /// order: a chain of small differences would tie its two ends.
    pub fn rank(&self, resolution: Duration) -> (u64, NodeId) {
        let step = (resolution.as_micros() as u64).max(1);
        (self.quorum_us.map_or(u64::MAX, |quorum| quorum / step), self.node)
    }
}

/// All voters, best placed first ([`Reason::rank`]), each with its reasons.
pub fn reasons(ways: &Ways, voters: &[&[NodeId]], resolution: Duration) -> Vec<Reason> {
    let nodes = all(voters);
    let paths = Paths::shortest(ways, &nodes);
    let reason = |node: &NodeId| Reason {
        node: *node,
        quorum_us: quorum_latency(ways, voters, *node),
        mean_us: sum_over_others(&nodes, *node, |other| ways.round_trip(*node, other)).map(|(others, sum)| sum / others),
        closeness_milli: paths.closeness(*node),
    };
    let mut reasons: Vec<Reason> = nodes.iter().map(reason).collect();
    reasons.sort_unstable_by_key(|reason| reason.rank(resolution));
    reasons
}

/// The voters ranked by quorum latency, best first: a permutation of them.
pub fn central_order(ways: &Ways, voters: &[&[NodeId]], resolution: Duration) -> Vec<NodeId> {
    reasons(ways, voters, resolution).iter().map(|reason| reason.node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STEP: Duration = Duration::from_micros(100);

    fn ids(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }

    /// Round trips in ms between nodes, halved into ways.
    fn links(round_trips: &[(u64, u64, i64)]) -> Ways {
        let both = |(a, b, ms): &(u64, u64, i64)| {
            let (a, b) = (NodeId(*a), NodeId(*b));
            [((a, b), ms * 500), ((b, a), ms * 500)]
        };
        round_trips.iter().flat_map(both).collect()
    }

    /// Three nodes 20 ms apart, and two side by side, 26 ms from each of the three.
    fn two_towns() -> Ways {
        let within = [(1, 2, 20), (1, 3, 20), (2, 3, 20), (4, 5, 2)];
        let between = [(4, 1, 26), (4, 2, 26), (4, 3, 26), (5, 1, 28), (5, 2, 28), (5, 3, 28)];
        links(&[&within[..], &between[..]].concat())
    }

    #[test]
    fn the_mean_and_closeness_prefer_the_hub_of_a_minority_and_writes_are_faster_elsewhere() {
        let voters = ids(&[1, 2, 3, 4, 5]);
        let reasons = reasons(&two_towns(), &[&voters], STEP);
        let of = |id| *reasons.iter().find(|reason| reason.node == NodeId(id)).unwrap();
        assert_eq!((of(1).quorum_us, of(1).mean_us), (Some(20_000), Some(23_500)));
        assert_eq!((of(4).quorum_us, of(4).mean_us), (Some(26_000), Some(20_000)));
        assert_eq!((of(1).closeness_milli, of(4).closeness_milli), (Some(85_106), Some(100_000)), "1/11.75 ms and 1/10 ms");
        let by_mean = reasons.iter().min_by_key(|reason| reason.mean_us).unwrap();
        let by_closeness = reasons.iter().max_by_key(|reason| reason.closeness_milli).unwrap();
        assert_eq!((by_mean.node, by_closeness.node), (NodeId(4), NodeId(4)));
        assert_eq!(central_order(&two_towns(), &[&voters], STEP), ids(&[1, 2, 3, 4, 5]));
    }

    #[test]
    fn while_the_membership_changes_both_majorities_are_waited_for() {
        let (old, new) = (ids(&[1, 2, 3]), ids(&[3, 4, 5]));
        let quorum = |voters: &[&[NodeId]], id| quorum_latency(&two_towns(), voters, NodeId(id));
        assert_eq!((quorum(&[&old], 4), quorum(&[&new], 4)), (Some(26_000), Some(2_000)));
        assert_eq!(quorum(&[&old, &new], 4), Some(26_000), "it is no voter of the old one: two others must confirm");
        assert_eq!((quorum(&[&old], 1), quorum(&[&old, &new], 1)), (Some(20_000), Some(26_000)));
        assert_eq!(quorum(&[&[], &new], 4), Some(2_000), "an empty configuration asks for nothing");
        assert_eq!((quorum(&[], 4), quorum(&[&[]], 4)), (None, None));
        assert_eq!(quorum(&[&ids(&[4])], 4), Some(0), "alone, nobody is waited for");
    }

    #[test]
    fn who_reaches_no_majority_comes_last() {
        let voters = ids(&[1, 2, 3, 4, 5]);
        let ways = links(&[(1, 2, 1), (3, 4, 200), (4, 5, 200)]);
        assert_eq!(central_order(&ways, &[&voters], STEP), ids(&[4, 1, 2, 3, 5]));
        let first = reasons(&ways, &[&voters], STEP)[0];
        assert_eq!(first, Reason { node: NodeId(4), quorum_us: Some(200_000), mean_us: None, closeness_milli: None });
        assert_eq!(central_order(&Ways::default(), &[&voters], STEP), voters, "nothing measured: by id");
    }

    #[test]
    fn a_chain_of_small_differences_is_still_one_order() {
        let rank =
            |id, quorum| Reason { node: NodeId(id), quorum_us: Some(quorum), mean_us: None, closeness_milli: None }.rank(STEP);
        assert!(rank(1, 1_090) < rank(2, 1_010), "the same step: by id");
        assert!(rank(2, 1_010) < rank(1, 1_170));
        assert!(rank(3, 1_010) < rank(2, 1_110) && rank(2, 1_110) < rank(1, 1_210));
        let none = Reason { node: NodeId(1), quorum_us: None, mean_us: None, closeness_milli: None };
        assert!(rank(2, 60_000_000) < none.rank(STEP));
        assert_eq!(none.rank(Duration::ZERO), (u64::MAX, NodeId(1)), "a resolution of nothing is a microsecond");
    }

    #[test]
    fn a_way_around_is_taken_in_the_direction_in_which_it_is_shorter() {
        let (a, b, c) = (NodeId(1), NodeId(2), NodeId(3));
        let ways: Ways =
            [((a, b), 90), ((b, a), 10), ((a, c), 20), ((c, b), 30), ((c, a), 70), ((b, c), 5)].into_iter().collect();
        let paths = Paths::shortest(&ways, &[a, b, c]);
        assert_eq!((paths.way(a, b), paths.way(b, a), paths.way(c, a)), (Some(50), Some(10), Some(40)));
        assert_eq!((paths.round_trip(a, b), paths.way(a, NodeId(9))), (Some(60), None));
    }

    #[test]
    fn a_link_that_works_one_way_only_is_of_use_to_paths_and_not_to_a_leader() {
        let (a, b, c) = (NodeId(1), NodeId(2), NodeId(3));
        let ways: Ways = [((a, b), 1_000), ((b, c), 1_000), ((c, a), 1_000)].into_iter().collect();
        assert_eq!(Paths::shortest(&ways, &[a, b, c]).round_trip(a, b), Some(3_000));
        assert_eq!(quorum_latency(&ways, &[&[a, b, c]], a), None);
    }

    /// Every simple path from `i` to `j`, tried.
    fn brute(delay: &dyn Fn(usize, usize) -> Option<i64>, n: usize, i: usize, j: usize, seen: u32) -> Option<i64> {
        if i == j {
            return Some(0);
        }
        let on = |k: usize| Some(delay(i, k)? + brute(delay, n, k, j, seen | 1 << k)?);
        (0..n).filter(|k| seen & 1 << k == 0).filter_map(on).min()
    }

    /// `n`, delays with holes, and clocks.
    fn maps(least: i64) -> impl Strategy<Value = (usize, Vec<Option<i64>>, Vec<i64>)> {
        let delay = prop_oneof![1 => Just(None), 5 => (least..200_000i64).prop_map(Some), 2 => (least..300i64).prop_map(Some)];
        (1..6usize).prop_flat_map(move |n| {
            (Just(n), prop::collection::vec(delay.clone(), n * n), prop::collection::vec(-(1i64 << 50)..1 << 50, n))
        })
    }

    fn ways_of(n: usize, delays: &[Option<i64>], clocks: &[i64]) -> Ways {
        let way =
            |(i, j): (usize, usize)| Some(((NodeId(i as u64), NodeId(j as u64)), delays[i * n + j]? + clocks[j] - clocks[i]));
        (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter_map(way).collect()
    }

    proptest! {
        #[test]
        fn shortest_paths_are_those_that_trying_all_of_them_finds((n, delays, clocks) in maps(0)) {
            let paths = Paths::shortest(&ways_of(n, &delays, &clocks), &(0..n as u64).map(NodeId).collect::<Vec<_>>());
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let best = brute(&|i, j| delays[i * n + j], n, i, j, 1 << i);
                let found = paths.way(NodeId(i as u64), NodeId(j as u64));
                prop_assert_eq!(found, best.map(|best| best + clocks[j] - clocks[i]));
            }
        }

        /// Also where noise has made cycles negative.
        #[test]
        fn clocks_change_nothing((n, delays, clocks) in maps(-700), split in 0usize..6) {
            let voters: Vec<NodeId> = (0..n as u64).map(NodeId).collect();
            let joint = [&voters[..split.min(n)], &voters[split.min(n) / 2..]];
            let measured = reasons(&ways_of(n, &delays, &clocks), &joint, STEP);
            let ideal = reasons(&ways_of(n, &delays, &vec![0; n]), &joint, STEP);
            prop_assert_eq!(&measured, &ideal);
            let mut order: Vec<NodeId> = measured.iter().map(|reason| reason.node).collect();
            order.sort_unstable();
            prop_assert_eq!(order, voters, "a permutation");
        }

        #[test]
        fn noise_makes_no_round_trip_negative_and_no_path_endless((n, delays, clocks) in maps(-700)) {
            let ways = ways_of(n, &delays, &clocks);
            let paths = Paths::shortest(&ways, &(0..n as u64).map(NodeId).collect::<Vec<_>>());
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let (i, j) = (NodeId(i as u64), NodeId(j as u64));
                if let (Some(out), Some(back)) = (paths.way(i, j), paths.way(j, i)) {
                    prop_assert!((0..=5 * 200_000 * 2).contains(&(out + back)));
                }
                prop_assert!(ways.measured(i, j).is_none() || paths.way(i, j).is_some());
            }
        }

        /// The smallest, over all majorities, of the time until the last of it has confirmed.
        #[test]
        fn quorum_latency_is_that_of_the_fastest_majority((n, delays, clocks) in maps(0), leader in 0usize..6, split in 0usize..6) {
            let voters: Vec<NodeId> = (0..n as u64).map(NodeId).collect();
            let ways = ways_of(n, &delays, &clocks);
            let leader = leader.min(n - 1);
            let round = |v: usize| if v == leader { Some(0) } else { Some(delays[leader * n + v]? + delays[v * n + leader]?) };
            let fastest = |from: usize, through: usize| {
                let size = through - from;
                let majorities = (0u32..1 << size).filter(|set| set.count_ones() as usize * 2 > size);
                let last = |set: u32| {
                    let members = (0..size).filter(|v| set & 1 << v != 0);
                    members.map(|v| round(from + v)).try_fold(0, |slowest, round| Some(slowest.max(round?)))
                };
                majorities.filter_map(last).min().map(|us| us as u64)
            };
            prop_assert_eq!(quorum_latency(&ways, &[&voters], NodeId(leader as u64)), fastest(0, n));
            let split = split.min(n - 1);
            let both = fastest(split, n).and_then(|part| Some(part.max(fastest(0, n)?)));
            prop_assert_eq!(quorum_latency(&ways, &[&voters, &voters[split..]], NodeId(leader as u64)), both);
        }
    }
}
