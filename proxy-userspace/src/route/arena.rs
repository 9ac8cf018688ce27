//! Records in one piece of memory: what a look-up reads of a host stands side by side, so that it costs few cache
//! misses among very many routes.

use std::hint::black_box;

/// Writes records.
#[derive(Default, Debug)]
pub(super) struct Writer(Vec<u8>);

/// Reads a record that a [`Writer`] has written; it panics on anything else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

/// A length below this takes one byte.
const LONG: u8 = u8::MAX;

/// Begins to fetch a record. Where a part of it stands is known only by what stands before: without this its cache
/// lines would be waited for one after the other.
pub(super) fn expect(records: &[u8], at: u32) {
    const LINE: usize = 64;
    for line in 1..3 {
        black_box(records.get(at as usize + line * LINE).copied());
    }
}

impl Writer {
    /// Where the next record begins.
    pub(super) fn at(&self) -> u32 {
        self.0.len() as u32
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn number(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    /// A text with its length.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.length(text.len());
        self.0.extend(text);
    }

    /// Numbers with their count.
    pub(super) fn list(&mut self, numbers: impl ExactSizeIterator<Item = u32>) {
        self.length(numbers.len());
        numbers.for_each(|number| self.number(number));
    }

    /// Writes a number over the one at `at`.
    pub(super) fn patch(&mut self, at: u32, number: u32) {
        self.0[at as usize..at as usize + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// All records.
    pub(super) fn finish(self) -> Box<[u8]> {
        self.0.into()
    }

    fn length(&mut self, length: usize) {
        match u8::try_from(length) {
            Ok(short) if short < LONG => self.byte(short),
            _ => {
                self.byte(LONG);
                self.number(length as u32);
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// The record at `at`.
    pub(super) fn new(records: &'a [u8], at: u32) -> Self {
        Self(&records[at as usize..])
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.bytes(1)[0]
    }

    pub(super) fn number(&mut self) -> u32 {
        number(self.bytes(4))
    }

    pub(super) fn text(&mut self) -> &'a [u8] {
        let length = self.length();
        self.bytes(length)
    }

    pub(super) fn list(&mut self) -> List<'a> {
        let length = self.length();
        List(self.bytes(length * 4))
    }

    /// The number at `index` of those that come next.
    pub(super) fn number_at(&self, index: usize) -> u32 {
        number(&self.0[index * 4..index * 4 + 4])
    }

    fn length(&mut self) -> usize {
        match self.byte() {
            LONG => self.number() as usize,
            short => usize::from(short),
        }
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }
}

/// Numbers of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = u32> + 'a {
        self.0.chunks_exact(4).map(number)
    }
}

/// Four bytes.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
