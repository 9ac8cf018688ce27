//! Facts about rings.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Backends as a listener would have them: number, weight, address in text.
fn backends(weights: &[u32]) -> Vec<(u16, u32, String)> {
    weights
        .iter()
        .enumerate()
        .map(|(i, w)| (i as u16, *w, format!("10.{}.{}.1:80", i / 250, i % 250)))
        .collect()
}

fn ring(backends: &[(u16, u32, String)]) -> Box<Ring> {
    let candidates: Vec<_> = backends
        .iter()
        .map(|(id, weight, who)| Candidate { id: BackendId(*id), weight: *weight, identity: who.as_bytes() })
        .collect();
    fill(&candidates)
}

fn counts(ring: &Ring) -> HashMap<u16, u32> {
    let mut counts = HashMap::new();
    for slot in ring.slots {
        *counts.entry(slot).or_default() += 1;
    }
    counts
}

/// Slots that `leaver` did not have, and how many of them changed hands.
fn moved(before: &Ring, after: &Ring, leaver: u16) -> (u32, u32) {
    let others = before.slots.iter().zip(&after.slots).filter(|(b, _)| **b != leaver);
    others.fold((0, 0), |(all, moved), (b, a)| (all + 1, moved + u32::from(a != b)))
}

#[test]
fn a_ring_of_nobody_holds_nobody() {
    assert_eq!(fill(&[]).slots, Ring::EMPTY.slots);
    assert_eq!(ring(&backends(&[0, 0])).slots, Ring::EMPTY.slots);
}

#[test]
fn one_backend_has_every_slot() {
    assert!(ring(&backends(&[0, 3, 0])).slots.iter().all(|slot| *slot == 1));
}

#[test]
fn the_ring_is_the_same_on_every_machine_and_in_every_version() {
    let ring = ring(&backends(&[1, 2, 3]));
    let sum = ring.slots.iter().fold(0u64, |h, slot| mix64(h ^ u64::from(*slot)));
    assert_eq!(sum, 3_485_134_089_499_022_776, "balancers side by side would disagree during an upgrade");
}

#[test]
fn a_hundred_like_backends_differ_by_one_slot() {
    let counts = counts(&ring(&backends(&[7; 100])));
    assert!(counts.values().all(|n| (655..=656).contains(n)), "{counts:?}");
}

#[test]
fn a_light_backend_among_heavy_ones_has_a_slot() {
    let mut weights = vec![65_535; 200];
    weights.push(1);
    assert!(counts(&ring(&backends(&weights)))[&200] >= 1);
}

#[test]
fn as_many_backends_as_the_kernel_knows_all_have_a_slot() {
    assert_eq!(counts(&ring(&backends(&[1; 16_384]))).len(), 16_384);
}

#[test]
fn when_one_of_a_hundred_leaves_few_of_the_others_slots_move() {
    let all = backends(&[1; 100]);
    let before = ring(&all);
    let mut worst = 0.0f64;
    for leaver in 0..100usize {
        let mut rest = all.clone();
        rest.remove(leaver);
        let (others, moved) = moved(&before, &ring(&rest), leaver as u16);
        worst = worst.max(f64::from(moved) / f64::from(others));
    }
    assert!(worst <= 0.02, "{:.2} % moved", worst * 100.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_backends_does_not_matter(
        weights in prop::collection::vec(0u32..=65_535, 1..40), seed in any::<u64>()
    ) {
        let given = backends(&weights);
        let mut shuffled = given.clone();
        shuffled.sort_by_key(|(id, ..)| mix64(seed ^ u64::from(*id)));
        prop_assert_eq!(ring(&given).slots, ring(&shuffled).slots);
    }

    #[test]
    fn shares_are_the_weights_within_a_percent(weights in prop::collection::vec(1u32..=100, 1..=100)) {
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let counts = counts(&ring(&backends(&weights)));
        let mut distinct = weights.clone();
        distinct.sort_unstable();
        distinct.dedup();
        for (id, weight) in weights.iter().enumerate() {
            let exact = f64::from(RING_SLOTS) * f64::from(*weight) / total;
            let got = f64::from(counts.get(&(id as u16)).copied().unwrap_or(0));
            // Of the whole ring, never a percent; of the share itself, a percent or what rounding leaves.
            prop_assert!((got - exact).abs() <= f64::from(RING_SLOTS) * 0.01);
            prop_assert!((got - exact).abs() <= (exact * 0.01).max(2.0), "{got} slots instead of {exact:.1}");
        }
    }

    #[test]
    fn whoever_of_a_hundred_leaves_few_of_the_others_slots_move(
        weights in prop::collection::vec(1u32..=100, 100), leaver in 0usize..100
    ) {
        let all = backends(&weights);
        let mut rest = all.clone();
        rest.remove(leaver);
        let (others, moved) = moved(&ring(&all), &ring(&rest), leaver as u16);
        prop_assert!(f64::from(moved) <= f64::from(others) * 0.02, "{moved} of {others} moved");
    }
}
