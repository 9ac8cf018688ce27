//! Looking an address up.

use crate::cell::Cell64;

use super::entry::{Compared, Family};
use super::line::{Lines, PROBES, lives};
use super::shape::Shape;

/// What keeps an address out.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// When it ends, and how often it was met.
    pub life: &'a Cell64,
    /// Who wants it: a number of the daemon's.
    pub source: u16,
}

impl Found<'_> {
    /// Counts that it was met. Where CPUs meet it at once, some are not counted: nobody waits for that.
    #[inline(always)]
    pub fn hit(&self) {
        if self.life.load() as u32 != u32::MAX {
            self.life.count();
        }
    }
}

/// Looks an address up: any prefix that covers it and has not ended.
#[inline(always)]
pub fn find<'a, A: Family, L: Lines + ?Sized>(lines: &'a L, address: &A, now: u32) -> Option<Found<'a>> {
    let suspect = A::suspect(lines, address)?;
    search::<A, L>(lines, address, suspect, now)
}

/// Looks into the hash table, where [`Family::suspect`] has said that there may be something.
#[inline(always)]
fn search<'a, A: Family, L: Lines + ?Sized>(
    lines: &'a L,
    address: &A,
    mut suspect: A::Suspect,
    now: u32,
) -> Option<Found<'a>> {
    let shape = A::shape(&suspect);
    while let Some(key) = A::next(address, &mut suspect) {
        let found = probe::<A, L>(lines, &key, shape, now);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Looks for one prefix that has not ended.
#[inline(always)]
pub fn probe<'a, A: Family, L: Lines + ?Sized>(
    lines: &'a L,
    key: &A::Key,
    shape: Shape,
    now: u32,
) -> Option<Found<'a>> {
    let hash = A::spread(key, shape);
    let mut line = shape.first(hash);
    for _ in 0..PROBES {
        for entry in A::entries(lines.line(A::REGION_LINES + line)?) {
            match A::compare(entry, key) {
                Compared::Empty | Compared::Dead => return None,
                Compared::Lives if lives(A::life(entry).load(), now) => {
                    return Some(Found { life: A::life(entry), source: A::source(entry) });
                }
                Compared::Lives => return None,
                Compared::Other => {}
            }
        }
        line = shape.next(hash, line);
    }
    None
}
