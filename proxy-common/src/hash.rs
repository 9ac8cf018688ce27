//! The hash of a flow: the same on every balancer that has the same seed, so that several of them behind one router
//! send a flow to the same backend.

use crate::addr::Address;
use crate::flow::FlowKey;

/// Scrambles 64 bits; every output bit depends on every input bit (the finalizer of SplitMix64, Steele et al. 2014).
#[inline(always)]
pub const fn mix64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Before the first word of a text of so many bytes: see [`text_word`].
#[inline(always)]
pub const fn text_begin(seed: u64, length: u64) -> u64 {
    mix64(seed ^ length)
}

/// Takes in a word of a text: eight bytes, the first one lowest, the last word padded with zeroes.
#[inline(always)]
pub const fn text_word(hash: u64, seed: u64, word: u64) -> u64 {
    mix64(hash ^ word).wrapping_add(seed)
}

/// The hash of a 5-tuple under a seed.
#[inline(always)]
pub fn flow_hash<A: Address>(key: &FlowKey<A>, seed: u64) -> u64 {
    let ports = (key.source_port.raw() as u64)
        | (key.destination_port.raw() as u64) << 16
        | (key.protocol as u64) << 32;
    // By itself: whoever chooses both could make up for other ports with another address.
    let mut h = mix64(seed ^ ports);
    let (source, destination) = (key.source.words(), key.destination.words());
    let (source, destination) = (source.as_ref(), destination.as_ref());
    for i in 0..source.len() {
        h = mix64(h ^ (source[i] as u64) ^ (destination[i] as u64) << 32);
    }
    h
}

/// Picks one of `n` by a hash, without bias and without a division (Lemire 2019).
#[inline(always)]
pub const fn one_of(hash: u64, n: u32) -> u32 {
    (((hash >> 32) * n as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Be16, Be32, Ip4, Ip6};

    fn hash<A: Address>(source: A, destination: A, ports: u32, seed: u64) -> u64 {
        let mut key = FlowKey::default();
        let (from, to) = (Be16::from_raw(ports as u16), Be16::from_raw((ports >> 16) as u16));
        key.set(&source, &destination, from, to, 6);
        flow_hash(&key, seed)
    }

    #[test]
    fn who_chooses_address_and_port_does_not_choose_the_hash() {
        let v4 = |raw: u32| Ip4(Be32::from_raw(raw));
        let v6 = |raw: u32| Ip6([raw, 2, 3, 4].map(Be32::from_raw));
        for seed in [0, 7, u64::MAX, 0x0123_4567_89ab_cdef] {
            for other in [1, 0x100, 0x4321] {
                let (ports, address) = (0x0050_1000, 0x0a00_0001);
                let (one, another) = ((address, ports), (address ^ other, ports ^ other));
                let [a, b] = [one, another].map(|(from, ports)| hash(v4(from), v4(9), ports, seed));
                assert_ne!(a, b, "{seed} {other}");
                let [a, b] = [one, another].map(|(from, ports)| hash(v6(from), v6(9), ports, seed));
                assert_ne!(a, b, "{seed} {other}");
            }
        }
    }
}
