//! Maps as typed tables. Knows sizes and names, not what the entries mean.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use proxy_common::maglev::Ring;
use proxy_common::pod::Pod;

use super::sys::{CURSOR, RawMap, SharedArray, bytes_of, from_bytes, map_by_id};

/// A map refused a request.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the map {map}: {cause}")]
pub struct MapError {
    /// Its name.
    pub map: &'static str,
    /// What was asked of it.
    pub action: Action,
    /// What the kernel said.
    #[source]
    pub cause: io::Error,
}

/// What is done to a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Look at its sizes.
    Open,
    /// Look an entry up.
    Read,
    /// Write an entry.
    Write,
    /// Remove an entry.
    Remove,
    /// Walk over all entries.
    Walk,
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write to",
            Self::Remove => "remove from",
            Self::Walk => "walk over",
        })
    }
}

/// The kernel has another type of map under this name.
fn wrong_shape() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its entries have another size than this version's")
}

/// A map of `K` to `V`: an array (then `K` is `u32`) or a hash table.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    name: &'static str,
    raw: RawMap,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    /// Takes a map over, if its entries have the right size.
    pub(super) fn new(name: &'static str, fd: OwnedFd) -> Result<Self, MapError> {
        Self::of(name, fd, 1).map_err(|cause| MapError { map: name, action: Action::Open, cause })
    }

    fn of(name: &'static str, fd: OwnedFd, cpus: usize) -> io::Result<Self> {
        let raw = RawMap::new(fd, cpus)?;
        if raw.info().key_size as usize != size_of::<K>() || raw.info().value_size as usize != size_of::<V>()
        {
            return Err(wrong_shape());
        }
        Ok(Self { name, raw, types: PhantomData })
    }

    fn failed(&self, action: Action) -> impl Fn(io::Error) -> MapError + use<K, V> {
        let map = self.name;
        move |cause| MapError { map, action, cause }
    }

    /// Its capacity.
    pub(super) fn capacity(&self) -> u32 {
        self.raw.info().max_entries
    }

    /// An entry.
    pub(super) fn get(&self, key: &K) -> Result<Option<V>, MapError> {
        let mut value = vec![0; size_of::<V>()];
        let there = self.raw.lookup(bytes_of(key), &mut value).map_err(self.failed(Action::Read))?;
        Ok(there.then(|| from_bytes(&value)))
    }

    /// Writes an entry.
    pub(super) fn put(&self, key: &K, value: &V) -> Result<(), MapError> {
        self.raw.update(bytes_of(key), bytes_of(value)).map_err(self.failed(Action::Write))
    }

    /// Removes an entry; `false`: there was none.
    pub(super) fn remove(&self, key: &K) -> Result<bool, MapError> {
        self.raw.delete(bytes_of(key)).map_err(self.failed(Action::Remove))
    }

    /// Begins a walk over all entries.
    pub(super) fn walk(&self) -> Walk<K, V> {
        Walk { cursor: None, keys: Vec::new(), values: Vec::new(), room: 1024, types: PhantomData }
    }

    /// All entries.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        let (mut walk, mut all) = (self.walk(), Vec::new());
        while walk.step(self, |key, value| all.push((key, value)))? {}
        Ok(all)
    }
}

/// A walk over a table, a batch at a time. Entries that come or go meanwhile may be seen or not; all others are seen
/// exactly once.
#[derive(Debug)]
pub(super) struct Walk<K, V> {
    cursor: Option<[u8; CURSOR]>,
    keys: Vec<u8>,
    values: Vec<u8>,
    room: usize,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Pod, V: Pod> Walk<K, V> {
    /// Reads a batch; `false`: it was the last one.
    pub(super) fn step(&mut self, table: &Table<K, V>, mut each: impl FnMut(K, V)) -> Result<bool, MapError> {
        let (key_size, value_size) = (size_of::<K>(), size_of::<V>());
        let batch = loop {
            self.keys.resize(self.room * key_size, 0);
            self.values.resize(self.room * value_size, 0);
            match table.raw.lookup_batch(&mut self.cursor, &mut self.keys, &mut self.values) {
                // One bucket of a hash table holds more than there is room for.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && self.room < 1 << 22 => {
                    self.room *= 2;
                }
                result => break result.map_err(table.failed(Action::Walk))?,
            }
        };
        let keys = self.keys.chunks_exact(key_size);
        for (key, value) in keys.zip(self.values.chunks_exact(value_size)).take(batch.count) {
            each(from_bytes(key), from_bytes(value));
        }
        Ok(!batch.done)
    }
}

/// An array with a value for each CPU.
#[derive(Debug)]
pub(super) struct PerCpu<V>(Table<u32, V>);

impl<V: Pod> PerCpu<V> {
    /// Takes a map over, if its entries have the right size.
    pub(super) fn new(name: &'static str, fd: OwnedFd, cpus: usize) -> Result<Self, MapError> {
        let table = Table::of(name, fd, cpus);
        table.map(Self).map_err(|cause| MapError { map: name, action: Action::Open, cause })
    }

    /// The values of all CPUs.
    pub(super) fn get(&self, index: u32) -> Result<Vec<V>, MapError> {
        let Self(table) = self;
        let mut values = vec![0; table.raw.stride()];
        table.raw.lookup(bytes_of(&index), &mut values).map_err(table.failed(Action::Read))?;
        let stride = size_of::<V>().next_multiple_of(8);
        Ok(values.chunks_exact(stride).map(|chunk| from_bytes(&chunk[..size_of::<V>()])).collect())
    }

    /// Sets the values of all CPUs to zero.
    pub(super) fn clear(&self, index: u32) -> Result<(), MapError> {
        let Self(table) = self;
        let zero = vec![0; table.raw.stride()];
        table.raw.update(bytes_of(&index), &zero).map_err(table.failed(Action::Write))
    }
}

/// An array of words in this process's memory: the kernel's programs read and write it at the same time.
#[derive(Debug)]
pub(super) struct SharedWords(SharedArray);

impl SharedWords {
    /// Maps an array of words.
    pub(super) fn new(name: &'static str, fd: OwnedFd) -> Result<Self, MapError> {
        let open = |fd| {
            let map = RawMap::new(fd, 1)?;
            if map.info().value_size as usize != size_of::<u64>() {
                return Err(wrong_shape());
            }
            SharedArray::map(&map)
        };
        open(fd).map(Self).map_err(|cause| MapError { map: name, action: Action::Open, cause })
    }

    /// All of them.
    pub(super) fn words(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

/// The rings: an array of maps, each of which holds one ring.
#[derive(Debug)]
pub(super) struct Rings(Table<u32, u32>);

impl Rings {
    /// Takes a map over, if it is one of maps.
    pub(super) fn new(name: &'static str, fd: OwnedFd) -> Result<Self, MapError> {
        Table::new(name, fd).map(Self)
    }

    /// Puts a ring in place, whole: a packet meets the old one or the new one. Returns when no CPU reads the old one
    /// any more.
    pub(super) fn put(&self, listener: u32, ring: &Ring) -> Result<(), MapError> {
        let Self(table) = self;
        let inner = RawMap::create_array("ring", bytes_of(ring)).map_err(table.failed(Action::Write))?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&inner.as_fd());
        table.put(&listener, &(fd as u32))
    }

    /// A listener's ring.
    pub(super) fn get(&self, listener: u32) -> Result<Option<Box<Ring>>, MapError> {
        let Self(table) = self;
        let Some(id) = table.get(&listener)? else { return Ok(None) };
        let read = || {
            let inner = RawMap::new(map_by_id(id)?, 1)?;
            if inner.stride() != size_of::<Ring>() {
                return Err(wrong_shape());
            }
            let mut bytes = vec![0; inner.stride()];
            inner.lookup(bytes_of(&0u32), &mut bytes)?;
            Ok(Some(Box::new(from_bytes(&bytes))))
        };
        read().map_err(table.failed(Action::Read))
    }

    /// Removes a listener's ring.
    pub(super) fn remove(&self, listener: u32) -> Result<bool, MapError> {
        self.0.remove(&listener)
    }
}
