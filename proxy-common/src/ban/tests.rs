//! The table against a plain model.

use std::boxed::Box;
use std::collections::HashMap;
use std::fmt::Debug;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::addr::{Ip4, Ip6};
use crate::cell::Cell64;

/// A table on the heap.
struct Heap(Box<[Line]>);

impl Lines for Heap {
    fn line(&self, index: u32) -> Option<&Line> {
        self.0.get(index as usize)
    }
}

impl Heap {
    fn new<A: Family>(entries: u64) -> Self {
        let shape = Shape::of(entries, A::SPREAD, 0xa5_1234).unwrap();
        let line = || core::array::from_fn(|_| Cell64::new(0));
        let heap = Self((0..length_of::<A>(shape)).map(|_| line()).collect());
        prepare::<A, _>(&heap, shape);
        heap
    }
}

fn entry<A>(address: A, length: u8, until: u32) -> Entry<A> {
    Entry { address, length, until, hits: 0, source: 7 }
}

fn v4(bits: u32) -> Ip4 {
    Ip4::from_octets(bits.to_be_bytes())
}

fn v6(bits: u128) -> Ip6 {
    Ip6::from_octets(bits.to_be_bytes())
}

/// Addresses that often have prefixes in common.
fn near_v4() -> impl Strategy<Value = u32> + Clone {
    (0u32..3, 0u32..4, any::<u8>()).prop_map(|(a, b, c)| a << 30 | b << 15 | b << 20 | u32::from(c))
}

fn near_v6() -> impl Strategy<Value = u128> + Clone {
    (0u128..3, 0u128..4, 0u128..4, any::<u8>()).prop_map(|(a, b, c, d)| {
        0x2001_0db8 << 96 ^ a << 126 ^ a << 90 ^ b << 64 ^ b << 62 ^ c << 40 ^ u128::from(d)
    })
}

#[derive(Clone, Debug)]
enum Step<B> {
    Insert(B, u8, u32),
    Remove(B, u8),
}

fn steps<B: Debug + Clone>(
    bits: impl Strategy<Value = B> + Clone,
    most: u8,
) -> impl Strategy<Value = Vec<Step<B>>> {
    let until = prop_oneof![Just(FOR_EVER), 0u32..100];
    let insert = (bits.clone(), 0..=most, until).prop_map(|(b, l, u)| Step::Insert(b, l, u));
    let remove = (bits, 0..=most).prop_map(|(b, l)| Step::Remove(b, l));
    prop::collection::vec(prop_oneof![3 => insert, 1 => remove], 0..60)
}

macro_rules! agrees {
    ($family:ty, $bits:ty, $of:ident, $steps:expr, $asked:expr, $now:expr) => {{
        let heap = Heap::new::<$family>(100);
        let most = <$family as Family>::BITS;
        let cut = |bits: $bits, length: u8| {
            if length == 0 { 0 } else { bits >> (most - length) << (most - length) }
        };
        let mut model: HashMap<($bits, u8), u32> = HashMap::new();
        for step in $steps {
            match step {
                Step::Insert(bits, length, until) => {
                    let there = model.insert((cut(bits, length), length), until).is_some();
                    let said = insert(&heap, &entry($of(bits), length, until)).unwrap();
                    prop_assert_eq!(said == Inserted::Changed, there);
                }
                Step::Remove(bits, length) => {
                    let there = model.remove(&(cut(bits, length), length));
                    let said = remove(&heap, &$of(bits), length);
                    prop_assert_eq!(said.map(|entry| entry.until), there);
                    if let Some(entry) = said {
                        prop_assert_eq!((entry.address, entry.length), ($of(cut(bits, length)), length));
                    }
                }
            }
        }
        let live = |until: u32| until > $now || until == FOR_EVER;
        for asked in $asked {
            let wanted = (0..=most).any(|l| model.get(&(cut(asked, l), l)).is_some_and(|until| live(*until)));
            prop_assert_eq!(find(&heap, &$of(asked), $now).is_some(), wanted, "{:?}", $of(asked));
        }
        let mut seen = HashMap::new();
        each::<$family, _>(&heap, $now, |entry| {
            assert_eq!(entry.source, 7);
            assert!(seen.insert((entry.address, entry.length), entry.until).is_none());
        });
        let wanted: HashMap<_, _> = model
            .into_iter()
            .filter(|(_, until)| live(*until))
            .map(|((bits, length), until)| (($of(bits), length), until))
            .collect();
        prop_assert_eq!(seen, wanted);
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn ipv4_is_found_as_a_plain_list_finds_it(
        steps in steps(near_v4(), 32), asked in prop::collection::vec(near_v4(), 40), now in 0u32..100
    ) {
        agrees!(Ip4, u32, v4, steps, asked, now);
    }

    #[test]
    fn ipv6_is_found_as_a_plain_list_finds_it(
        steps in steps(near_v6(), 128), asked in prop::collection::vec(near_v6(), 40), now in 0u32..100
    ) {
        agrees!(Ip6, u128, v6, steps, asked, now);
    }

    #[test]
    fn every_prefix_comes_back_as_it_was(bits in any::<u128>(), length in 0u8..=128) {
        let heap = Heap::new::<Ip6>(10);
        let cut = if length == 0 { 0 } else { bits >> (128 - length) << (128 - length) };
        insert(&heap, &entry(v6(bits), length, 5)).unwrap();
        let mut all = Vec::new();
        each::<Ip6, _>(&heap, 4, |entry| all.push((entry.address, entry.length)));
        prop_assert_eq!(all, [(v6(cut), length)]);
    }
}

#[test]
fn what_has_ended_lets_in_again_and_may_begin_anew() {
    let heap = Heap::new::<Ip4>(10);
    let bad = v4(0x0a00_0001);
    insert(&heap, &entry(bad, 32, 50)).unwrap();
    assert!(find(&heap, &bad, 49).is_some());
    assert!(find(&heap, &bad, 50).is_none());
    insert(&heap, &entry(bad, 32, 80)).unwrap();
    assert!(find(&heap, &bad, 50).is_some());
    remove(&heap, &bad, 32).unwrap();
    assert!(find(&heap, &bad, 50).is_none());
    assert_eq!(remove(&heap, &bad, 32), None);
    assert_eq!(insert(&heap, &entry(bad, 32, FOR_EVER)), Ok(Inserted::New));
    assert!(find(&heap, &bad, FOR_EVER - 1).is_some());
}

#[test]
fn who_is_met_is_counted_and_a_change_keeps_the_count() {
    let heap = Heap::new::<Ip4>(10);
    insert(&heap, &entry(v4(0x0a00_0000), 8, FOR_EVER)).unwrap();
    for host in 0..5 {
        find(&heap, &v4(0x0a01_0000 + host), 1).unwrap().hit();
    }
    insert(&heap, &entry(v4(0x0a00_0000), 8, 9)).unwrap();
    assert_eq!(remove(&heap, &v4(0x0a00_0000), 8).map(|entry| (entry.hits, entry.until)), Some((5, 9)));
}

#[test]
fn a_million_prefixes_have_room_in_a_table_made_for_them() {
    let heap = Heap::new::<Ip4>(1_000_000);
    let spread = |i: u32| v4(i.wrapping_mul(0x9e37_79b1));
    for i in 0..1_000_000 {
        insert(&heap, &entry(spread(i), if i % 4 == 0 { 24 } else { 32 }, FOR_EVER)).unwrap();
    }
    assert!((0..1_000_000).all(|i| find(&heap, &spread(i), 1).is_some()));
}

#[test]
fn a_table_that_is_full_says_so() {
    let heap = Heap::new::<Ip6>(1);
    let full = (0..10_000).find(|i| insert(&heap, &entry(v6(1 << 100 | i), 128, 9)).is_err());
    assert!((64..256).contains(&full.unwrap()));
}

#[test]
fn tables_have_numbers_of_their_own() {
    let all = [table(2, false), table(10, false), table(2, true), table(10, true)];
    assert_eq!(all, [0, 1, 2, 3]);
    assert_eq!(all.len() as u32, TABLES);
}
