//! SipHash-2-4 (Aumasson, Bernstein 2012): a short hash that nobody without the key can foretell.

/// The state of a hash over whole 64-bit words.
#[derive(Clone, Copy, Debug)]
pub struct SipHash {
    v: [u64; 4],
    bytes: u64,
}

impl SipHash {
    /// Begins under a key.
    #[inline(always)]
    pub const fn new(key: [u64; 2]) -> Self {
        let [k0, k1] = key;
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, bytes: 0 }
    }

    /// Takes eight bytes in, the first one lowest.
    #[inline(always)]
    pub const fn word(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
        self.bytes += 8;
    }

    /// The hash.
    #[inline(always)]
    pub const fn finish(mut self) -> u64 {
        self.word(self.bytes << 56);
        self.v[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.round();
        self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3]
    }

    #[inline(always)]
    const fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_reference() {
        // vectors_sip64 of the reference implementation: key 00 01 .. 0f, input 00 01 02 .., here of whole words.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let vectors = [
            (0, 0x726f_db47_dd0e_0e31),
            (1, 0x93f5_f579_9a93_2462),
            (2, 0x3f2a_cc7f_57c2_9bdb),
            (3, 0xb8ad_50c6_f649_af94),
        ];
        for (words, expected) in vectors {
            let mut hash = SipHash::new(key);
            (0..words).for_each(|word| {
                hash.word(u64::from_le_bytes(core::array::from_fn(|byte| (word * 8 + byte) as u8)));
            });
            assert_eq!(hash.finish(), expected, "{words} words");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_standard_library_for_inputs_of_any_words() {
        #[expect(deprecated, reason = "it is SipHash-2-4, and nothing else in the standard library is")]
        use core::hash::{Hasher as _, SipHasher};
        for words in 0..20u64 {
            let key = [words.wrapping_mul(0x9e37_79b9_7f4a_7c15), !words];
            let mut hash = SipHash::new(key);
            #[expect(deprecated, reason = "as above")]
            let mut other = SipHasher::new_with_keys(key[0], key[1]);
            for word in 0..words {
                let word = crate::hash::mix64(word);
                hash.word(word);
                other.write(&word.to_le_bytes());
            }
            assert_eq!(hash.finish(), other.finish());
        }
    }
}
