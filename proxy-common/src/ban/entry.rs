//! How an entry is found in a line, and written: what is different between the families.

use crate::addr::Address;
use crate::cell::Cell64;

use super::line::{Line, Lines};
use super::shape::Shape;

/// What a place in a line holds, for somebody who looks for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compared {
    /// Nothing: whatever is not found by now is not there.
    Empty,
    /// Another key.
    Other,
    /// The key, marked dead.
    Dead,
    /// The key.
    Lives,
}

/// An address family, as tables hold it.
pub trait Family: Address {
    /// A place in a line.
    type Entry;
    /// A prefix, as it is compared.
    type Key: Copy + Eq;
    /// What a region says: lengths that are still to be looked at, and the shape.
    type Suspect: Copy;
    /// Bits of an address.
    const BITS: u8;
    /// Lines of regions.
    const REGION_LINES: u32;
    /// Lines for each eight entries: [`Shape::of`].
    const SPREAD: u64;

    /// What the address's region says; `None`: no prefix of any length is there.
    fn suspect<L: Lines + ?Sized>(lines: &L, address: &Self) -> Option<Self::Suspect>;
    /// The shape of the table.
    fn shape(suspect: &Self::Suspect) -> Shape;
    /// The next prefix to look for.
    fn next(address: &Self, suspect: &mut Self::Suspect) -> Option<Self::Key>;
    /// Says where a key may be.
    fn spread(key: &Self::Key, shape: Shape) -> u64;
    /// The places of a line.
    fn entries(line: &Line) -> &[Self::Entry];
    /// What is in a place.
    fn compare(entry: &Self::Entry, key: &Self::Key) -> Compared;
    /// When an entry ends (upper half), and how often it was met (lower half).
    fn life(entry: &Self::Entry) -> &Cell64;
    /// Who wants it.
    fn source(entry: &Self::Entry) -> u16;

    /// The prefix of this length, as a key. What is behind its length does not count.
    fn key(address: &Self, length: u8) -> Self::Key;
    /// Writes an entry into an empty place, or over the same key: what tells that it is there comes last.
    fn write(entry: &Self::Entry, key: &Self::Key, source: u16, life: u64);
    /// Marks an entry dead.
    fn kill(entry: &Self::Entry);
    /// The prefix in a place, and whether it lives.
    fn read(entry: &Self::Entry) -> Option<(Self, u8, bool)>;
    /// Notes in the regions that there is a prefix of this length.
    fn mark<L: Lines + ?Sized>(lines: &L, address: &Self, length: u8);
    /// Writes the shape into the regions of a table of zeroes.
    fn write_shape<L: Lines + ?Sized>(lines: &L, shape: Shape);
    /// The shape in the regions; `None`: none was written.
    fn read_shape<L: Lines + ?Sized>(lines: &L) -> Option<Shape>;
}
