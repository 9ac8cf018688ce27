//! Power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"): of two at random, the
//! one that costs less. As good as looking at all of them, nearly, and nobody is the one whom all run to.

/// Two different indices below `count`, each pair equally likely. `count` is at least 2.
pub(in super::super) fn two(count: usize, random: u64) -> (usize, usize) {
    let pick = |random: u32, count: usize| ((u64::from(random) * count as u64) >> 32) as usize;
    let first = pick(random as u32, count);
    let second = pick((random >> 32) as u32, count - 1);
    (first, if second >= first { second + 1 } else { second })
}

/// The cheaper of the two.
pub(in super::super) fn cheaper(count: usize, random: u64, cost: impl Fn(usize) -> f32) -> Option<usize> {
    if count < 2 {
        return count.checked_sub(1);
    }
    let (first, second) = two(count, random);
    Some(if cost(second) < cost(first) { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_are_different_and_every_pair_comes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut seen = [[0u32; 5]; 5];
        for _ in 0..20_000 {
            let (a, b) = two(5, random.u64(..));
            assert_ne!(a, b);
            seen[a][b] += 1;
        }
        let pairs = (0..5).flat_map(|a| (0..5).map(move |b| (a, b))).filter(|(a, b)| a != b);
        for (a, b) in pairs {
            assert!((850..1150).contains(&seen[a][b]), "{a} {b}: {}", seen[a][b]);
        }
    }

    #[test]
    fn the_dearest_of_all_is_never_chosen() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            assert_ne!(cheaper(3, random.u64(..), |i| [1.0, 9.0, 2.0][i]), Some(1));
        }
        assert_eq!(cheaper(1, 5, |_| 1.0), Some(0));
        assert_eq!(cheaper(0, 5, |_| 1.0), None);
    }
}
