//! What the links cost, measured without clocks that agree.
//!
//! A message carries the sender's monotonic clock. `received - sent`, on two clocks, is the one-way delay plus the unknown difference of the clocks:
//! with `o(x)` for what `x`'s clock is ahead of some common one, a measured way is
//!
//! ```text
//! m(i,j) = d(i,j) + o(j) - o(i)
//! ```
//!
//! The unknown part is the difference of a *potential*, so along any path it telescopes to `o(end) - o(start)`. Three things follow, for delays as
//! asymmetric as they like:
//! - on a cycle nothing of it is left: **round trips are exact**, and so is any sum of a way out and a way back, whichever nodes they lead through;
//! - all paths from `i` to `j` are off by the same `o(j) - o(i)`: **which one is shortest is unaffected**;
//! - a single way may be negative, a cycle may not, except by noise: what is smoothed at different times, clocks that drift while it is.
//!
//! What cannot be known is how a round trip divides into there and back, and nothing here depends on it.
//!
//! The potential must be the same for all that is added up: a node that starts again has another clock, and everything measured with the old one
//! goes ([`Latencies::forget`], [`Matrix::forget`]). Where a node has not noticed yet, old and new are mixed in one cycle and its sum is absurd;
//! [`Ways::round_trip`] calls that unknown instead of very good.

use crate::ids::NodeId;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// More nodes than this are not measured. Voters are far fewer.
pub const MAX_NODES: usize = 64;
/// The weight of a sample among those before it is `1/WEIGHT` (Jacobson's, RFC 6298).
pub const WEIGHT: i64 = 8;
/// A sample moves the estimate as if it were at most so far from it, in µs: a stall counts as a bad sample, not as a bad link.
pub const CLAMP: i64 = 10_000;
/// So many clamped samples in a row, all on one side, are no stall: the route or a clock has changed, and the estimate begins anew.
pub const STRAYS: i32 = 16;
/// A round trip below zero by up to so many µs is noise (100 ppm of drift over ten seconds) and counts as 0.
pub const NOISE: i64 = 1_000;
/// A round trip of more µs than this was not measured on one pair of clocks.
pub const LONGEST: i64 = 60_000_000;

/// No node's clock reads more µs than this (285 years): bounds every sum far within `i64`.
const CLOCK_BOUND: u64 = 1 << 53;
/// Estimates are kept in 1/256 µs, so that small changes are not lost to rounding.
const FINE: i64 = 256;

#[derive(Clone, Copy, Debug, Hash)]
struct Estimate {
    /// In 1/256 µs.
    fine: i64,
    /// Samples behind it, at most [`WEIGHT`].
    samples: i64,
    /// Clamped samples in a row: positive for late ones, negative for early ones.
    strays: i32,
    heard: Instant,
}

impl Estimate {
    fn first(sample: i64, heard: Instant) -> Estimate {
        Estimate { fine: sample * FINE, samples: 1, strays: 0, heard }
    }

    fn add(&mut self, sample: i64, heard: Instant) {
        self.heard = heard;
        let off = sample * FINE - self.fine;
        if self.samples < WEIGHT {
            self.samples += 1;
            self.fine += off / self.samples;
            return;
        }
        let clamped = off.clamp(-CLAMP * FINE, CLAMP * FINE);
        let side = (off - clamped).signum() as i32;
        self.strays = if side != 0 && side == self.strays.signum() { self.strays + side } else { side };
        if self.strays.abs() >= STRAYS {
            *self = Estimate::first(sample, heard);
        } else {
            self.fine += clamped / WEIGHT;
        }
    }
}

/// What one node knows of the links *to* it.
///
/// The first eight samples of a link are averaged as they are; from then on each weighs an eighth and is taken as at most [`CLAMP`] away, and
/// [`STRAYS`] clamped ones in a row on one side begin anew. None of this depends on the clocks' difference.
#[derive(Clone, Debug, Default, Hash)]
pub struct Latencies {
    from: BTreeMap<NodeId, Estimate>,
}

impl Latencies {
    /// A message from `from` came at `received` on our clock, stamped `sent` (µs) on its sender's. Stamps that no clock shows are ignored, and so
    /// is a node beyond [`MAX_NODES`].
    pub fn heard(&mut self, from: NodeId, sent: u64, received: Instant) {
        if sent >= CLOCK_BOUND || received.0 >= CLOCK_BOUND {
            return;
        }
        let sample = received.0 as i64 - sent as i64;
        if let Some(estimate) = self.from.get_mut(&from) {
            estimate.add(sample, received);
        } else if self.from.len() < MAX_NODES {
            self.from.insert(from, Estimate::first(sample, received));
        }
    }

    /// To report to the leader: the measured way from each node, in µs, ascending by node. Links on which nothing came for `max_age` are left out:
    /// what they cost now is not known.
    pub fn column(&self, now: Instant, max_age: Duration) -> Vec<(NodeId, i64)> {
        let fresh = self.from.iter().filter(|(_, estimate)| now.since(estimate.heard) <= max_age);
        fresh.map(|(from, estimate)| (*from, estimate.fine.div_euclid(FINE))).collect()
    }

    /// `node` has started again: its clock is another one.
    pub fn forget(&mut self, node: NodeId) {
        self.from.remove(&node);
    }

    /// Forgets all but `nodes`.
    pub fn retain(&mut self, nodes: &[NodeId]) {
        self.from.retain(|node, _| nodes.contains(node));
    }
}

#[derive(Clone, Debug, Hash)]
struct Column {
    reported: Instant,
    from: BTreeMap<NodeId, i64>,
}

/// The leader's view: the last column that each node reported.
#[derive(Clone, Debug, Default, Hash)]
pub struct Matrix {
    to: BTreeMap<NodeId, Column>,
}

impl Matrix {
    /// `to` reports (the leader too, of itself) what it measured: the whole of its column, as [`Latencies::column`] gives it. What is not in it any
    /// more is unknown from now on. At most [`MAX_NODES`] columns of as many entries are kept; entries that no two clocks can give are ignored.
    pub fn report(&mut self, to: NodeId, column: &[(NodeId, i64)], now: Instant) {
        if self.to.len() >= MAX_NODES && !self.to.contains_key(&to) {
            return;
        }
        let possible = column.iter().filter(|(from, way)| *from != to && way.unsigned_abs() < CLOCK_BOUND);
        self.to.insert(to, Column { reported: now, from: possible.take(MAX_NODES).copied().collect() });
    }

    /// `node` has started again: what it measured, and what was measured of it, went by another clock.
    pub fn forget(&mut self, node: NodeId) {
        self.to.remove(&node);
        for column in self.to.values_mut() {
            column.from.remove(&node);
        }
    }

    /// Forgets all but `nodes`.
    pub fn retain(&mut self, nodes: &[NodeId]) {
        self.to.retain(|node, _| nodes.contains(node));
        for column in self.to.values_mut() {
            column.from.retain(|node, _| nodes.contains(node));
        }
    }

    /// The measured way from `from` to `to` in µs, and when it was reported.
    pub fn entry(&self, from: NodeId, to: NodeId) -> Option<(i64, Instant)> {
        let column = self.to.get(&to)?;
        Some((*column.from.get(&from)?, column.reported))
    }

    /// What is known at `now`: all that was reported within `max_age`.
    pub fn ways(&self, now: Instant, max_age: Duration) -> Ways {
        let mut ways = Ways::default();
        for (to, column) in self.to.iter().filter(|(_, column)| now.since(column.reported) <= max_age) {
            for (from, way) in &column.from {
                ways.0.insert((*from, *to), *way);
            }
        }
        ways
    }
}

/// Measured ways of one moment, `(from, to)` in µs, each with its two clocks' difference in it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct Ways(BTreeMap<(NodeId, NodeId), i64>);

impl Ways {
    /// The direct way as it was measured, unless it and the way back cannot have been measured on one pair of clocks.
    pub fn measured(&self, from: NodeId, to: NodeId) -> Option<i64> {
        let out = self.0.get(&(from, to)).copied()?;
        let back = self.0.get(&(to, from)).copied();
        back.is_none_or(|back| plausible(out, back).is_some()).then_some(out)
    }

    /// The direct round trip in µs: exact, since the clocks cancel. Unknown when a way is, or when the sum is absurd (see the module); what noise
    /// makes of a very short one is 0.
    pub fn round_trip(&self, a: NodeId, b: NodeId) -> Option<u64> {
        if a == b {
            return Some(0);
        }
        plausible(*self.0.get(&(a, b))?, *self.0.get(&(b, a))?)
    }
}

/// What a way out and a way back add up to, if they belong together.
pub(super) fn plausible(out: i64, back: i64) -> Option<u64> {
    let sum = out.saturating_add(back);
    (-NOISE..=LONGEST).contains(&sum).then_some(sum.max(0) as u64)
}

impl FromIterator<((NodeId, NodeId), i64)> for Ways {
    /// From `((from, to), µs)`; ways that no two clocks can give are left out.
    fn from_iter<I: IntoIterator<Item = ((NodeId, NodeId), i64)>>(ways: I) -> Ways {
        Ways(ways.into_iter().filter(|((from, to), way)| from != to && way.unsigned_abs() < CLOCK_BOUND).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const AGE: Duration = Duration::from_secs(5);

    /// Sends one message a tick of 50 ms over a link, each with its own delay; both clocks start where they are told.
    fn measured(delays: &[i64], sender: u64, receiver: u64) -> i64 {
        let mut latencies = Latencies::default();
        let mut now = 0;
        for delay in delays {
            now += 50_000;
            latencies.heard(NodeId(1), sender + now, Instant(receiver + now + *delay as u64));
        }
        latencies.column(Instant(receiver + now), AGE)[0].1
    }

    #[test]
    fn the_first_samples_are_averaged_and_later_ones_weigh_an_eighth() {
        assert_eq!(measured(&[4_000], 0, 0), 4_000);
        assert_eq!(measured(&[4_000, 6_000, 8_000], 0, 0), 6_000);
        let mut delays = vec![4_000; 20];
        delays.push(4_800);
        assert_eq!(measured(&delays, 0, 0), 4_100);
    }

    #[test]
    fn a_stall_moves_the_estimate_a_little_and_a_new_route_replaces_it() {
        let mut delays = vec![4_000; 20];
        delays.push(2_000_000);
        assert_eq!(measured(&delays, 0, 0), 4_000 + CLAMP / WEIGHT);
        delays.extend([4_000; 40]);
        assert!((4_000..4_010).contains(&measured(&delays, 0, 0)), "and it is forgotten");
        delays.extend([180_000; STRAYS as usize]);
        assert_eq!(measured(&delays, 0, 0), 180_000);
        delays.extend([180_000; WEIGHT as usize]);
        delays.extend([4_000; STRAYS as usize + WEIGHT as usize]);
        assert_eq!(measured(&delays, 0, 0), 4_000, "a better route too");
    }

    #[test]
    fn strays_on_both_sides_are_noise_and_do_not_begin_anew() {
        let mut delays = vec![100_000; 20];
        for _ in 0..STRAYS {
            delays.extend([40_000, 160_000]);
        }
        assert!((99_000..101_500).contains(&measured(&delays, 0, 0)));
    }

    #[test]
    fn stalls_with_an_early_sample_between_them_are_not_one_row() {
        let mut delays = vec![100_000; 20];
        delays.extend([1_000_000; STRAYS as usize - 1]);
        delays.push(1_000);
        delays.extend([1_000_000; STRAYS as usize - 1]);
        assert!(measured(&delays, 0, 0) <= 100_000 + 30 * CLAMP / WEIGHT);
    }

    #[test]
    fn a_clock_that_is_another_one_is_noticed_even_when_nobody_says_so() {
        let mut latencies = Latencies::default();
        for tick in 0..20u64 {
            latencies.heard(NodeId(1), 9_000_000_000 + tick * 50_000, Instant(1_000_000 + tick * 50_000));
        }
        for tick in 20..20 + STRAYS as u64 {
            latencies.heard(NodeId(1), tick * 50_000, Instant(1_000_000 + tick * 50_000));
        }
        assert_eq!(latencies.column(Instant(3_000_000), AGE), [(NodeId(1), 1_000_000)]);
    }

    #[test]
    fn what_is_silent_gone_or_forged_is_not_reported() {
        let mut latencies = Latencies::default();
        latencies.heard(NodeId(1), u64::MAX, Instant(10));
        latencies.heard(NodeId(1), 0, Instant(u64::MAX));
        assert_eq!(latencies.column(Instant(10), AGE), []);
        for id in 1..=3 {
            latencies.heard(NodeId(id), 0, Instant(id * 3_000_000));
        }
        assert_eq!(latencies.column(Instant(9_000_000), AGE), [(NodeId(2), 6_000_000), (NodeId(3), 9_000_000)], "1 is silent");
        latencies.retain(&[NodeId(1), NodeId(3)]);
        assert_eq!(latencies.column(Instant(9_000_000), AGE), [(NodeId(3), 9_000_000)]);
        latencies.forget(NodeId(3));
        assert_eq!(latencies.column(Instant(9_000_000), AGE), []);
    }

    #[test]
    fn there_is_room_for_sixty_four_and_no_more() {
        let mut latencies = Latencies::default();
        let mut matrix = Matrix::default();
        for id in 0..100 {
            latencies.heard(NodeId(id), 0, Instant(5));
            let column: Vec<_> = (200..400).map(|from| (NodeId(from), 1)).collect();
            matrix.report(NodeId(id), &column, Instant(5));
        }
        assert_eq!(latencies.column(Instant(5), AGE).len(), MAX_NODES);
        assert_eq!(matrix.ways(Instant(5), AGE).0.len(), MAX_NODES * MAX_NODES);
        latencies.forget(NodeId(7));
        latencies.heard(NodeId(99), 0, Instant(5));
        assert!(latencies.column(Instant(5), AGE).contains(&(NodeId(99), 5)), "a place that is free is taken");
    }

    #[test]
    fn a_report_replaces_the_one_before_and_an_old_one_says_nothing() {
        let (a, b, c) = (NodeId(1), NodeId(2), NodeId(3));
        let mut matrix = Matrix::default();
        matrix.report(a, &[(b, 700), (c, 900), (a, 5)], Instant(0));
        assert_eq!(matrix.entry(a, a), None, "nobody is away from itself");
        matrix.report(a, &[(b, 800)], Instant(1_000_000));
        assert_eq!((matrix.entry(b, a), matrix.entry(c, a)), (Some((800, Instant(1_000_000))), None));
        matrix.report(b, &[(a, -300)], Instant(4_000_000));
        assert_eq!(matrix.ways(Instant(6_000_000), AGE).round_trip(a, b), Some(500));
        let later = matrix.ways(Instant(6_000_001), AGE);
        assert_eq!((later.measured(b, a), later.measured(a, b), later.round_trip(a, b)), (None, Some(-300), None));
    }

    #[test]
    fn a_node_that_started_again_is_unknown_until_it_is_measured_anew() {
        let (a, b, c) = (NodeId(1), NodeId(2), NodeId(3));
        let mut matrix = Matrix::default();
        matrix.report(a, &[(b, 700), (c, 900)], Instant(0));
        matrix.report(b, &[(a, 700), (c, 900)], Instant(0));
        matrix.forget(a);
        let ways = matrix.ways(Instant(0), AGE);
        assert_eq!((ways.measured(b, a), ways.measured(a, b), ways.measured(c, b)), (None, None, Some(900)));
        matrix.retain(&[b]);
        assert_eq!(matrix.ways(Instant(0), AGE), Ways::default());
    }

    #[test]
    fn two_clocks_of_one_node_in_one_round_trip_are_not_taken_for_a_fast_link() {
        let hour = 3_600_000_000;
        let both = |out, back| {
            let ways: Ways = [((NodeId(1), NodeId(2)), out), ((NodeId(2), NodeId(1)), back)].into_iter().collect();
            assert_eq!(ways.measured(NodeId(1), NodeId(2)).is_some(), ways.round_trip(NodeId(1), NodeId(2)).is_some());
            ways.round_trip(NodeId(1), NodeId(2))
        };
        assert_eq!(both(hour + 2_000, -hour + 1_000), Some(3_000));
        assert_eq!(both(2_000, -hour), None, "an hour too good to be true");
        assert_eq!(both(2_000, hour), None);
        assert_eq!(both(-200, 150), Some(0), "noise");
    }

    proptest! {
        /// d(i,j) + o(j) - o(i), summed over a cycle, is the sum of d alone: measured with whole clocks, through both machines.
        #[test]
        fn on_a_cycle_the_clocks_cancel(
            clocks in prop::collection::vec(0u64..1 << 50, 2..6),
            delays in prop::collection::vec(1i64..300_000, 36),
        ) {
            let n = clocks.len();
            let mut matrix = Matrix::default();
            for to in 0..n {
                let mut latencies = Latencies::default();
                for from in (0..n).filter(|from| *from != to) {
                    for tick in 0..10u64 {
                        let (sent, took) = (clocks[from] + tick * 50_000, delays[from * 6 + to] as u64);
                        latencies.heard(NodeId(from as u64), sent, Instant(clocks[to] + tick * 50_000 + took));
                    }
                }
                let now = Instant(clocks[to] + 450_000);
                matrix.report(NodeId(to as u64), &latencies.column(now, AGE), Instant(0));
            }
            let ways = matrix.ways(Instant(0), AGE);
            let way = |from: usize, to: usize| ways.measured(NodeId(from as u64), NodeId(to as u64)).unwrap();
            let around: i64 = (0..n).map(|i| way(i, (i + 1) % n)).sum();
            prop_assert_eq!(around, (0..n).map(|i| delays[i * 6 + (i + 1) % n]).sum::<i64>());
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j) {
                let round = ways.round_trip(NodeId(i as u64), NodeId(j as u64));
                prop_assert_eq!(round, Some((delays[i * 6 + j] + delays[j * 6 + i]) as u64));
            }
        }

        /// Averages, clamps and new beginnings see differences of samples only.
        #[test]
        fn smoothing_does_not_see_the_clocks(
            delays in prop::collection::vec(prop_oneof![3 => 1_000i64..9_000, 1 => 1i64..400_000], 1..120),
            (sender, receiver) in (0u64..1 << 50, 0u64..1 << 50),
        ) {
            prop_assert_eq!(measured(&delays, sender, receiver), measured(&delays, 0, 0) + receiver as i64 - sender as i64);
            let within = *delays.iter().min().unwrap()..=*delays.iter().max().unwrap();
            prop_assert!(within.contains(&measured(&delays, 0, 0)), "nor anything that was not measured");
        }

        #[test]
        fn any_stamps_and_any_reports_are_survived(
            stamps in prop::collection::vec((0u64..4, any::<u64>(), any::<u64>()), 0..60),
            reports in prop::collection::vec((0u64..4, 0u64..4, any::<i64>()), 0..60),
        ) {
            let (mut latencies, mut matrix) = (Latencies::default(), Matrix::default());
            for (from, sent, received) in stamps {
                latencies.heard(NodeId(from), sent, Instant(received));
                latencies.heard(NodeId(from), sent >> 11, Instant(received >> 11));
            }
            for (to, from, way) in reports {
                matrix.report(NodeId(to), &[(NodeId(from), way)], Instant(0));
            }
            matrix.report(NodeId(9), &latencies.column(Instant(0), AGE), Instant(0));
            for ((from, to), way) in matrix.ways(Instant(0), AGE).0 {
                prop_assert!(from != to && way.unsigned_abs() < CLOCK_BOUND);
            }
        }
    }
}
