//! What lists in a ClientHello hold.

use super::cursor::Cursor;

/// Whether a number stands for nothing, and is sent so that nobody stumbles over what is new (RFC 8701 §2).
#[inline(always)]
pub const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// Numbers of two bytes, in the client's order: cipher suites, groups, signature algorithms, versions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Words<'a>(pub(super) &'a [u8]);

impl Words<'_> {
    /// The list without what stands for nothing.
    pub fn without_grease(self) -> impl Iterator<Item = u16> {
        self.filter(|&number| !is_grease(number))
    }
}

impl Iterator for Words<'_> {
    type Item = u16;

    #[inline(always)]
    fn next(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len() / 2, Some(self.0.len() / 2))
    }
}

impl ExactSizeIterator for Words<'_> {}

/// Protocols that a client would speak (RFC 7301 §3.1), the dearest first.
#[derive(Clone, Copy, Debug)]
pub struct Protocols<'a>(pub(super) Cursor<'a>);

impl<'a> Iterator for Protocols<'a> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.short()
    }
}

/// A key that a client has made for a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyShare<'a> {
    /// The group.
    pub group: u16,
    /// The public key.
    pub key: &'a [u8],
}

/// Keys that a client has made (RFC 8446 §4.2.8), the dearest first.
#[derive(Clone, Copy, Debug)]
pub struct KeyShares<'a>(pub(super) Cursor<'a>);

impl<'a> Iterator for KeyShares<'a> {
    type Item = KeyShare<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<KeyShare<'a>> {
        let mut ahead = self.0;
        let group = ahead.word()?;
        let key = ahead.long()?;
        self.0 = ahead;
        Some(KeyShare { group, key })
    }
}
