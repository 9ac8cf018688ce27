//! As much DER (X.690) as OCSP needs.

/// Tags.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;

/// A context-specific tag, constructed (X.690 §8.1.2).
pub(super) const fn explicit(number: u8) -> u8 {
    0xa0 | number
}

/// A context-specific tag of something simple.
pub(super) const fn implicit(number: u8) -> u8 {
    0x80 | number
}

/// What stands one after another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With tag and length.
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next value, whatever it is.
    pub(super) fn any(&mut self) -> Option<Value<'a>> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            // Two bytes of length are 64 KiB: no answer has more.
            0x81 => (usize::from(*rest.first()?), &rest[1..]),
            0x82 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), &rest[2..]),
            _ => return None,
        };
        let (content, after) = rest.split_at_checked(len)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Some(Value { tag: *tag, content, whole })
    }

    /// The next value, which has to be this.
    pub(super) fn take(&mut self, tag: u8) -> Option<Value<'a>> {
        self.any().filter(|value| value.tag == tag)
    }

    /// What stands in the next value, which has to be this.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.take(tag).map(|value| Reader(value.content))
    }

    /// The next value if it is this.
    pub(super) fn maybe(&mut self, tag: u8) -> Option<Value<'a>> {
        let mut ahead = *self;
        let value = ahead.take(tag)?;
        *self = ahead;
        Some(value)
    }
}

/// A value.
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut value = vec![tag];
    match u16::try_from(len).unwrap_or(u16::MAX) {
        short @ 0..=0x7f => value.push(short as u8),
        middle @ 0x80..=0xff => value.extend([0x81, middle as u8]),
        long => {
            value.push(0x82);
            value.extend(long.to_be_bytes());
        }
    }
    parts.iter().for_each(|part| value.extend_from_slice(part));
    value
}
