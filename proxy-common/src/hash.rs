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
    let mut h = seed ^ ports;
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
