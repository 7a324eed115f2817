//! Majorities.

use alloc::vec::Vec;

/// How many of `voters` are a majority.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// The greatest value that a majority has reached. `values` has one for each voter.
pub fn reached_by_majority<T: Ord + Copy + Default>(mut values: Vec<T>) -> T {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(majority(values.len()) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

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
}
