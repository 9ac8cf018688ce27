//! At random, by weight.

/// Each weight and all before it, added up.
pub(in super::super) fn sums(weights: impl Iterator<Item = u32>) -> Box<[u64]> {
    weights
        .scan(0, |sum, weight| {
            *sum += u64::from(weight);
            Some(*sum)
        })
        .collect()
}

/// The index that `random` falls on, all of its values being equally likely. None if there is no weight.
pub(in super::super) fn weighted(sums: &[u64], random: u64) -> Option<usize> {
    let total = *sums.last()?;
    // Multiply and shift (Lemire): no division, and no bias that anyone could see.
    let at = ((u128::from(random) * u128::from(total)) >> 64) as u64;
    Some(sums.partition_point(|&sum| sum <= at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_weights_share_of_all_values() {
        let sums = sums([1, 0, 3].into_iter());
        let of = |part: u64| weighted(&sums, u64::MAX / 8 * part);
        assert_eq!([of(0), of(1), of(3), of(5), of(7)], [Some(0), Some(0), Some(2), Some(2), Some(2)]);
        assert_eq!(weighted(&sums, u64::MAX), Some(2));
        assert_eq!(weighted(&[], 1), None);
    }
}
