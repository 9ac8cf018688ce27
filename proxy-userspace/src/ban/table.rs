//! Tables made from what the book holds: beside the old ones, and without a lock on the book.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use ipnet::IpNet;
use proxy_common::addr::{Ip4, Ip6};
use proxy_common::ban::{
    Entry, FOR_EVER, Family, Inserted, Note, Shape, TABLES, get, insert, length_of, prepare, source, table,
};

use super::place::{Memory, Place};
use super::view::Tables;

/// Entries beyond those that are known, so that bans have room.
const SPARE: u64 = 1024;
/// How often a table that came out too small is tried again, twice as large.
const TRIES: u32 = 4;

/// What stands in the configuration, and in lists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Content {
    /// `[ban] deny`.
    pub deny: Vec<IpNet>,
    /// `[ban] allow`.
    pub allow: Vec<IpNet>,
    /// What the configuration itself needs.
    pub needed: Vec<IpNet>,
    /// Lists.
    pub lists: Vec<Arc<List>>,
}

/// A list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub prefixes: Vec<IpNet>,
}

/// Makes tables. Holds all that it needs: the book may go on meanwhile.
#[derive(Debug)]
pub struct Builder {
    pub(super) place: Arc<dyn Place>,
    pub(super) content: Arc<Content>,
    pub(super) notes: HashMap<IpNet, Note>,
    pub(super) old: Tables,
    pub(super) seed: u32,
}

/// Tables that were made.
#[derive(Debug)]
pub struct Built {
    pub(super) tables: Tables,
    pub(super) content: Arc<Content>,
    /// The notes that they have.
    pub(super) notes: HashMap<IpNet, Note>,
}

/// An entry that is wanted.
pub(super) struct Wanted {
    pub(super) prefix: IpNet,
    pub(super) until: u32,
    pub(super) source: u16,
}

/// When a ban ends, as tables have it: a step late rather than early.
pub(super) fn moment_of(until: u64) -> u32 {
    use proxy_common::ban::{MOMENT, moment};
    if until == Note::FOR_EVER { FOR_EVER } else { moment(until.saturating_add((1 << MOMENT) - 1)) }
}

impl Builder {
    /// Makes all tables.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn build(self) -> io::Result<Built> {
        let mut tables = self.old.clone();
        for number in 0..TABLES {
            tables[number as usize] = self.table(number)?;
        }
        Ok(Built { tables, content: self.content, notes: self.notes })
    }

    /// Makes one table; `None`: nothing would be in it.
    pub(super) fn table(&self, number: u32) -> io::Result<Option<Arc<dyn Memory>>> {
        if number & 1 == 0 { self.fill::<Ip4>(number) } else { self.fill::<Ip6>(number) }
    }

    fn wanted(&self, allow: bool) -> impl Iterator<Item = Wanted> {
        let Content { deny, allow: allowed, needed, lists } = &*self.content;
        let always = |prefixes: &[IpNet], source: u16| {
            let entry = move |prefix: &IpNet| Wanted { prefix: *prefix, until: FOR_EVER, source };
            prefixes.iter().map(entry).collect::<Vec<_>>().into_iter()
        };
        let (deny, allowed, needed) = if allow {
            (always(&[], 0), always(allowed, source::ALLOW), always(needed, source::NEEDED))
        } else {
            (always(deny, source::DENY), always(&[], 0), always(&[], 0))
        };
        let lists = lists.iter().enumerate().filter(move |_| !allow).flat_map(|(number, list)| {
            let entry = move |prefix: &IpNet| Wanted {
                prefix: *prefix,
                until: FOR_EVER,
                source: source::LISTS + number as u16,
            };
            list.prefixes.iter().map(entry)
        });
        let notes = self.notes.iter().filter(move |_| !allow).map(|(prefix, note)| Wanted {
            prefix: *prefix,
            until: moment_of(note.until),
            source: source::NOTED,
        });
        // What is for ever comes last: it takes the place of what ends.
        notes.chain(lists).chain(deny).chain(allowed).chain(needed)
    }

    fn fill<A: Of>(&self, number: u32) -> io::Result<Option<Arc<dyn Memory>>> {
        let allow = number == table(A::FAMILY, true);
        let count = self.wanted(allow).filter(|wanted| A::of(&wanted.prefix).is_some()).count() as u64;
        if count == 0 {
            return Ok(None);
        }
        let old = self.old[number as usize].as_ref();
        let mut room = count + count / 8 + SPARE;
        for turn in 0..TRIES {
            let shape = Shape::of(room, A::SPREAD, self.seed.wrapping_add(turn)).ok_or_else(too_many)?;
            let memory = self.place.make(length_of::<A>(shape))?;
            prepare::<A, _>(memory.lines(), shape);
            let mut entries = self.wanted(allow).filter_map(|wanted| entry::<A>(&wanted));
            let fits = entries.all(|mut entry| {
                let before = old.and_then(|old| get(old.lines(), &entry.address, entry.length));
                entry.hits = before.map_or(0, |before| before.hits);
                insert(memory.lines(), &entry).is_ok()
            });
            if fits {
                return Ok(Some(memory));
            }
            room *= 2;
        }
        Err(too_many())
    }
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::OutOfMemory, "there are too many prefixes for a table")
}

/// A family's part of both families' prefixes.
pub(super) trait Of: Family {
    /// The first address and the length; `None`: it is of the other family.
    fn of(prefix: &IpNet) -> Option<(Self, u8)>;
    /// The reverse.
    fn net(self, length: u8) -> Option<IpNet>;
}

impl Of for Ip4 {
    fn of(prefix: &IpNet) -> Option<(Self, u8)> {
        let IpNet::V4(net) = prefix else { return None };
        Some((net.network().into(), net.prefix_len()))
    }
    fn net(self, length: u8) -> Option<IpNet> {
        IpNet::new(self.into(), length).ok()
    }
}

impl Of for Ip6 {
    fn of(prefix: &IpNet) -> Option<(Self, u8)> {
        let IpNet::V6(net) = prefix else { return None };
        Some((net.network().into(), net.prefix_len()))
    }
    fn net(self, length: u8) -> Option<IpNet> {
        IpNet::new(self.into(), length).ok()
    }
}

fn entry<A: Of>(wanted: &Wanted) -> Option<Entry<A>> {
    let (address, length) = A::of(&wanted.prefix)?;
    Some(Entry { address, length, until: wanted.until, hits: 0, source: wanted.source })
}

/// Enters a prefix into a table that is in use; `false`: it has no room.
pub(super) fn enter(memory: &dyn Memory, wanted: &Wanted) -> bool {
    fn one<A: Of>(memory: &dyn Memory, wanted: &Wanted) -> Option<bool> {
        let done: Result<Inserted, _> = insert(memory.lines(), &entry::<A>(wanted)?);
        Some(done.is_ok())
    }
    one::<Ip4>(memory, wanted).or_else(|| one::<Ip6>(memory, wanted)).unwrap_or(false)
}

/// A prefix's entry in a table: when it ends, how often it was met, and who wants it.
pub(super) fn look(memory: &dyn Memory, prefix: &IpNet) -> Option<(u32, u32, u16)> {
    fn one<A: Of>(memory: &dyn Memory, prefix: &IpNet) -> Option<(u32, u32, u16)> {
        let (address, length) = A::of(prefix)?;
        get(memory.lines(), &address, length).map(|found| (found.until, found.hits, found.source))
    }
    one::<Ip4>(memory, prefix).or_else(|| one::<Ip6>(memory, prefix))
}

/// Removes a prefix from a table that is in use.
pub(super) fn take_out(memory: &dyn Memory, prefix: &IpNet) {
    if let Some((address, length)) = Ip4::of(prefix) {
        proxy_common::ban::remove(memory.lines(), &address, length);
    } else if let Some((address, length)) = Ip6::of(prefix) {
        proxy_common::ban::remove(memory.lines(), &address, length);
    }
}

/// All entries of a table: prefix, when it ends, how often it was met, who wants it.
pub(super) fn all(number: u32, memory: &dyn Memory, now: u32, mut see: impl FnMut(IpNet, u32, u32, u16)) {
    fn of<A: Of>(memory: &dyn Memory, now: u32, see: &mut impl FnMut(IpNet, u32, u32, u16)) {
        proxy_common::ban::each::<A, _>(memory.lines(), now, |entry| {
            if let Some(net) = entry.address.net(entry.length) {
                see(net, entry.until, entry.hits, entry.source);
            }
        });
    }
    if number & 1 == 0 { of::<Ip4>(memory, now, &mut see) } else { of::<Ip6>(memory, now, &mut see) }
}
