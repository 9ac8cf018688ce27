//! Writing a table, and reading all of it. One writer at a time; readers at any.

use super::entry::{Compared, Family};
use super::line::{Lines, PROBES, lives};
use super::shape::Shape;

/// There is no room: the table is to be made anew, and larger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// What came of an insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// It is there now.
    New,
    /// It was there, and ends at another moment now.
    Changed,
}

/// An entry of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<A> {
    /// The prefix's first address.
    pub address: A,
    /// Its length.
    pub length: u8,
    /// The moment it ends; [`FOR_EVER`]: never.
    pub until: u32,
    /// How often it was met.
    pub hits: u32,
    /// Who wants it.
    pub source: u16,
}

/// Lines that a table of this shape has.
pub const fn length_of<A: Family>(shape: Shape) -> u32 {
    A::REGION_LINES + shape.lines()
}

/// Makes lines of zeroes an empty table.
pub fn prepare<A: Family, L: Lines + ?Sized>(lines: &L, shape: Shape) {
    A::write_shape(lines, shape);
}

/// The place of a key: where it is, or else where it would be. `None`: all its places are taken.
fn spot<'a, A: Family, L: Lines + ?Sized>(lines: &'a L, key: &A::Key) -> Option<(Compared, &'a A::Entry)> {
    let shape = A::read_shape(lines)?;
    let hash = A::spread(key, shape);
    let mut line = shape.first(hash);
    for _ in 0..PROBES {
        for place in A::entries(lines.line(A::REGION_LINES + line)?) {
            match A::compare(place, key) {
                Compared::Other => {}
                compared => return Some((compared, place)),
            }
        }
        line = shape.next(hash, line);
    }
    None
}

/// Enters a prefix, or changes when it ends and who wants it. What was counted is kept.
///
/// # Errors
/// There is no room.
pub fn insert<A: Family, L: Lines + ?Sized>(lines: &L, entry: &Entry<A>) -> Result<Inserted, Full> {
    let key = A::key(&entry.address, entry.length);
    let life = |hits: u32| (entry.until as u64) << 32 | hits as u64;
    let (compared, place) = spot::<A, L>(lines, &key).ok_or(Full)?;
    if compared == Compared::Lives {
        A::write(place, &key, entry.source, life(A::life(place).load() as u32));
        return Ok(Inserted::Changed);
    }
    A::write(place, &key, entry.source, life(entry.hits));
    A::mark(lines, &entry.address, entry.length);
    Ok(Inserted::New)
}

/// A prefix's entry, also when it has ended.
pub fn get<A: Family, L: Lines + ?Sized>(lines: &L, address: &A, length: u8) -> Option<Entry<A>> {
    match spot::<A, L>(lines, &A::key(address, length))? {
        (Compared::Lives, place) => entry(place),
        _ => None,
    }
}

/// Removes a prefix; `None`: it was not there.
pub fn remove<A: Family, L: Lines + ?Sized>(lines: &L, address: &A, length: u8) -> Option<Entry<A>> {
    match spot::<A, L>(lines, &A::key(address, length))? {
        (Compared::Lives, place) => {
            let removed = entry(place);
            A::kill(place);
            removed
        }
        _ => None,
    }
}

fn entry<A: Family>(place: &A::Entry) -> Option<Entry<A>> {
    let (address, length, alive) = A::read(place)?;
    let life = A::life(place).load();
    let (until, hits) = ((life >> 32) as u32, life as u32);
    alive.then(|| Entry { address, length, until, hits, source: A::source(place) })
}

/// All entries that have not ended. Those that come or go meanwhile may be seen or not.
pub fn each<A: Family, L: Lines + ?Sized>(lines: &L, now: u32, mut see: impl FnMut(Entry<A>)) {
    let Some(shape) = A::read_shape(lines) else { return };
    for line in (0..shape.lines()).filter_map(|line| lines.line(A::REGION_LINES + line)) {
        let alive = A::entries(line).iter().filter_map(entry::<A>);
        alive.filter(|entry| lives((entry.until as u64) << 32, now)).for_each(&mut see);
    }
}
