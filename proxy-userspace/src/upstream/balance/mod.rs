//! Who gets the next request: arithmetic over weights, loads and hashes. Knows no backend and no clock.

/// Least connections: the lowest load for its weight.
pub(super) mod least;
/// Round-robin: everyone in turn, the heavy ones more often.
pub(super) mod order;
/// Power of two choices.
pub(super) mod p2c;
/// At random, by weight.
pub(super) mod random;
/// Maglev: the same key the same backend.
pub(super) mod ring;
