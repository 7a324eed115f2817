//! Majorities, alone and joint (thesis 4.3).

use crate::ids::NodeId;
use alloc::vec::Vec;

/// How many of `voters` are a majority.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest value that a majority has reached. `values` has one for each voter.
pub fn reached_by_majority<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    majority_of(&mut values)
}

fn majority_of<T: Ord + Copy + Default>(values: &mut [T]) -> T {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(majority(values.len()) - 1).copied().unwrap_or_default()
}

/// The greatest value that a majority of each set has reached. The default value if there is no set.
pub fn reached<'a, T: Ord + Copy + Default>(sets: impl Iterator<Item = &'a [NodeId]>, value: impl Fn(NodeId) -> T) -> T {
    let of = |set: &[NodeId]| {
        // Asked for with every answer of a follower: sets of this size need no allocation.
        let mut few = [T::default(); 9];
        match few.get_mut(..set.len()) {
            Some(values) => {
                values.iter_mut().zip(set).for_each(|(slot, id)| *slot = value(*id));
                majority_of(values)
            }
            None => reached_by_majority(set.iter().map(|id| value(*id)).collect()),
        }
    };
    sets.map(of).min().unwrap_or_default()
}

/// Whether those that `says` yes are a majority of each set.
pub fn agree<'a>(sets: impl Iterator<Item = &'a [NodeId]>, says: impl Fn(NodeId) -> bool) -> bool {
    reached(sets, says)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn a_majority_of_four_is_three() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn what_a_majority_reached_is_the_median_or_just_below_it() {
        assert_eq!(reached_by_majority(vec![5, 1, 9]), 5);
        assert_eq!(reached_by_majority(vec![5, 1, 9, 7]), 5);
        assert_eq!(reached_by_majority(vec![3]), 3);
    }

    #[test]
    fn nobody_agrees_on_behalf_of_no_set() {
        assert!(!agree([].into_iter(), |_| true));
        assert_eq!(reached([].into_iter(), |_| 7u64), 0);
    }

    /// By the definition: try every value, count by hand.
    fn brute_force(sets: &[Vec<NodeId>], value: impl Fn(NodeId) -> u64) -> u64 {
        let enough = |set: &Vec<NodeId>, at: u64| 2 * set.iter().filter(|id| value(**id) >= at).count() > set.len();
        (0..=10).rev().find(|at| sets.iter().all(|set| enough(set, *at))).unwrap_or(0)
    }

    proptest! {
        #[test]
        fn what_each_majority_reached_is_what_counting_by_hand_says(
            values in prop::collection::vec(0u64..10, 9),
            voters in prop::sample::subsequence((0..9u64).collect::<Vec<_>>(), 1..=7),
            outgoing in prop::sample::subsequence((0..9u64).collect::<Vec<_>>(), 0..=7),
        ) {
            let ids = |set: &Vec<u64>| set.iter().map(|id| NodeId(*id)).collect::<Vec<_>>();
            let sets: Vec<_> = [ids(&voters), ids(&outgoing)].into_iter().filter(|set| !set.is_empty()).collect();
            let value = |id: NodeId| values[id.0 as usize];
            prop_assert_eq!(reached(sets.iter().map(Vec::as_slice), value), brute_force(&sets, value));
            let yes = |id: NodeId| value(id) >= 5;
            prop_assert_eq!(agree(sets.iter().map(Vec::as_slice), yes), brute_force(&sets, |id| u64::from(yes(id))) == 1);
        }
    }
}
