//! A place in bytes that are read from front to back. Whatever is not there is `None`, and nothing is taken.

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline(always)]
    pub(super) fn word(&mut self) -> Option<u16> {
        let (first, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*first))
    }

    #[inline(always)]
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(first)
    }

    /// A vector with its length in one byte before it (RFC 8446 §3.4).
    #[inline(always)]
    pub(super) fn short(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.byte()?;
        let content = ahead.take(usize::from(length))?;
        *self = ahead;
        Some(content)
    }

    /// A vector with its length in two bytes before it.
    #[inline(always)]
    pub(super) fn long(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let length = ahead.word()?;
        let content = ahead.take(usize::from(length))?;
        *self = ahead;
        Some(content)
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// All of `bytes`, if they are one vector with its length in one byte before it.
#[inline(always)]
pub(super) fn only_short(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(bytes);
    cursor.short().filter(|_| cursor.is_empty())
}

/// Likewise with its length in two bytes.
#[inline(always)]
pub(super) fn only_long(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor(bytes);
    cursor.long().filter(|_| cursor.is_empty())
}
