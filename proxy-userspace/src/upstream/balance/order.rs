//! Round-robin: everyone in turn, the heavy ones more often.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No order is longer. Weights that would make it longer are rounded.
pub(in super::super) const LONGEST: u64 = 16_384;

/// Indices of `weights`, each as often as its weight says (their common divisor taken out), spread evenly: who walks
/// through it again and again serves all in turn. Weights are at least 1.
pub(in super::super) fn smooth(weights: &[u32]) -> Box<[u16]> {
    let weights = shortened(weights);
    let total: u64 = weights.iter().sum();
    let mut order = Vec::with_capacity(total as usize);
    // Backend i of n has its k-th turn at the time (k + (i + ½) / n) / weight: those of like weight stand in file
    // order, and they are spread over the whole round.
    let n = weights.len() as u64;
    let turn = |k: u64, i: usize| ((2 * (k * n + i as u64) + 1) << 24) / (2 * n * weights[i]);
    let mut next: BinaryHeap<_> = (0..weights.len()).map(|i| Reverse((turn(0, i), i, 0u64))).collect();
    while (order.len() as u64) < total {
        let Some(Reverse((_, i, k))) = next.pop() else { break };
        order.push(i as u16);
        if k + 1 < weights[i] {
            next.push(Reverse((turn(k + 1, i), i, k + 1)));
        }
    }
    order.into()
}

/// Without their common divisor, and with a sum that is not too large.
fn shortened(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, &b| common_divisor(a, u64::from(b))).max(1);
    let weights: Vec<_> = weights.iter().map(|&weight| u64::from(weight) / divisor).collect();
    let total: u64 = weights.iter().sum();
    if total <= LONGEST.max(weights.len() as u64) {
        return weights;
    }
    weights.iter().map(|&weight| (weight * LONGEST / total).max(1)).collect()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_weights_stand_in_file_order() {
        assert_eq!(*smooth(&[7, 7, 7]), [0, 1, 2]);
        assert_eq!(*smooth(&[1]), [0]);
        assert!(smooth(&[]).is_empty());
    }

    #[test]
    fn a_heavy_one_does_not_have_its_turns_in_a_row() {
        assert_eq!(*smooth(&[3, 1, 1]), [0, 0, 1, 0, 2]);
        let mut weights = vec![100];
        weights.extend([1; 100]);
        let order = smooth(&weights);
        let longest = order.chunk_by(|a, b| (*a == 0) == (*b == 0)).map(<[_]>::len).max();
        assert!(longest <= Some(2), "{longest:?}");
    }

    #[test]
    fn huge_weights_make_no_huge_order() {
        let order = smooth(&[u32::MAX, 1, u32::MAX - 2]);
        assert!(order.len() as u64 <= LONGEST + 3);
        assert_eq!(order.iter().filter(|&&i| i == 1).count(), 1);
    }

    proptest! {
        #[test]
        fn everyone_has_its_share_of_a_round_and_waits_no_longer_than_that(
            weights in proptest::collection::vec(1u32..60, 1..40)
        ) {
            let order = smooth(&weights);
            let total: u32 = weights.iter().sum();
            let rounds = order.len() as f64 / f64::from(total);
            for (i, &weight) in weights.iter().enumerate() {
                let turns: Vec<_> = (0..order.len()).filter(|&at| usize::from(order[at]) == i).collect();
                prop_assert_eq!(turns.len() as f64, f64::from(weight) * rounds);
                // A wait of a whole interval more than its share would be a turn lost.
                let share = order.len() as f64 / turns.len() as f64;
                for pair in turns.windows(2) {
                    prop_assert!((pair[1] - pair[0]) as f64 <= 2.0 * share + weights.len() as f64);
                }
            }
        }
    }
}
