//! Least connections: the lowest load for its weight.

/// The index of the one with the fewest requests in flight for its weight, this one counted. Of equals the first from
/// `start` on, so that not always the same is loaded.
pub(in super::super) fn least(
    count: usize,
    start: usize,
    of: impl Fn(usize) -> Option<(u32, u32)>,
) -> Option<usize> {
    let mut best: Option<(usize, u64, u64)> = None;
    for step in 0..count {
        let index = (start + step) % count;
        let Some((in_flight, weight)) = of(index) else { continue };
        let (load, weight) = (u64::from(in_flight) + 1, u64::from(weight.max(1)));
        // load / weight < best load / best weight, without dividing.
        if best.is_none_or(|(_, best_load, best_weight)| load * best_weight < best_load * weight) {
            best = Some((index, load, weight));
        }
    }
    best.map(|(index, ..)| index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_loaded_for_its_weight_is_next() {
        let loads = [(4, 1), (5, 2), (9, 4)];
        assert_eq!(least(3, 0, |i| Some(loads[i])), Some(2));
        assert_eq!(least(3, 0, |i| (i != 2).then_some(loads[i])), Some(1));
        assert_eq!(least(0, 0, |_| None), None);
    }

    #[test]
    fn of_equals_the_first_from_the_start_is_next() {
        for start in 0..3 {
            assert_eq!(least(3, start, |_| Some((0, 1))), Some(start));
        }
    }

    proptest! {
        #[test]
        fn requests_that_never_end_are_spread_by_weight(weights in proptest::collection::vec(1u32..20, 1..10)) {
            let mut in_flight = vec![0; weights.len()];
            let total: u32 = weights.iter().sum();
            for turn in 0..total * 10 {
                let next = least(weights.len(), turn as usize % weights.len(), |i| Some((in_flight[i], weights[i])));
                in_flight[next.unwrap()] += 1;
            }
            for (flying, weight) in in_flight.iter().zip(&weights) {
                prop_assert!(flying.abs_diff(weight * 10) <= 2, "{in_flight:?} {weights:?}");
            }
        }
    }
}
