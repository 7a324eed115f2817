//! Delta debugging: the fewest of many things that still do it.
//!
//! The algorithm is `ddmin` of Zeller and Hildebrandt (Simplifying and isolating failure-inducing input, IEEE TSE 2002). What it ends with is
//! 1-minimal: without any single one of the things that are left it is not so any more. It is not the smallest set that there is.

/// The fewest of `items`, in their order, with which it is still so. It must be so with all of them. `first` is asked about several choices
/// at once, so that they can be tried in parallel; it answers with the place of the first one with which it is so.
pub fn ddmin<T: Clone>(items: &[T], mut first: impl FnMut(&[Vec<T>]) -> Option<usize>) -> Vec<T> {
    let mut items = items.to_vec();
    if items.is_empty() || first(&[Vec::new()]).is_some() {
        return Vec::new();
    }
    let mut pieces = 2;
    while items.len() >= 2 {
        let chunks: Vec<Vec<T>> = items.chunks(items.len().div_ceil(pieces)).map(<[T]>::to_vec).collect();
        let without = |place: usize| chunks.iter().enumerate().filter(move |(other, _)| *other != place);
        // With two pieces, one without the other is the other.
        let complements = if chunks.len() > 2 { chunks.len() } else { 0 };
        let complements = (0..complements).map(|place| without(place).flat_map(|(_, chunk)| chunk.clone()).collect());
        let choices: Vec<Vec<T>> = chunks.iter().cloned().chain(complements).collect();
        match first(&choices) {
            Some(place) if place < chunks.len() => (items, pieces) = (choices[place].clone(), 2),
            Some(place) => (items, pieces) = (choices[place].clone(), (chunks.len() - 1).max(2)),
            None if pieces >= items.len() => break,
            None => pieces = (pieces * 2).min(items.len()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is left of 0..`of` when all of `needed` must be there, and how many choices were asked about.
    fn left(of: u32, needed: &[u32]) -> (Vec<u32>, usize) {
        let mut asked = 0;
        let all: Vec<u32> = (0..of).collect();
        let left = ddmin(&all, |choices| {
            asked += choices.len();
            choices.iter().position(|choice| needed.iter().all(|one| choice.contains(one)))
        });
        (left, asked)
    }

    #[test]
    fn what_is_needed_is_left_in_its_order() {
        assert_eq!(left(8, &[7]).0, [7]);
        assert_eq!(left(64, &[50, 3, 17]).0, [3, 17, 50]);
        assert_eq!(left(5, &[0, 1, 2, 3, 4]).0, [0, 1, 2, 3, 4]);
        assert!(left(9, &[]).0.is_empty());
        assert_eq!(left(1, &[0]).0, [0]);
        assert!(left(0, &[]).0.is_empty());
    }

    #[test]
    fn one_of_many_is_found_by_halving() {
        let (left, asked) = left(1_024, &[700]);
        assert_eq!(left, [700]);
        assert!(asked <= 25, "{asked}");
    }

    #[test]
    fn what_is_left_is_minimal_also_where_more_would_be_less() {
        // Any two neighbours do it.
        let all: Vec<u32> = (0..32).collect();
        let does = |choice: &Vec<u32>| choice.windows(2).any(|pair| pair[1] == pair[0] + 1);
        let left = ddmin(&all, |choices| choices.iter().position(does));
        assert!(left.len() == 2 && does(&left), "{left:?}");
    }

    proptest! {
        #[test]
        fn without_any_one_of_what_is_left_it_is_not_so(of in 1u32..80, needed in proptest::collection::btree_set(0u32..80, 0..6)) {
            let needed: Vec<u32> = needed.into_iter().filter(|one| *one < of).collect();
            prop_assert_eq!(left(of, &needed).0, needed);
        }
    }
}
