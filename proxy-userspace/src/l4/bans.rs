//! The tables of bans in the kernel's maps: a [`Place`]. Also without a daemon: whoever holds the folder of pins may
//! change them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_common::ban::{LINE_WORDS, LIST_NAMES, Line, ListName, Note, NoteKey, PlainLine};
use proxy_common::names;

use super::clock::Clock;
use super::maps::{MapError, Table};
use super::object::PROGRAM_CLOCK;
use super::pins::Pins;
use super::sys::{RawMap, SharedArray, map_by_id, open_pin};
use crate::ban::{Memory, Place};

/// The tables of bans, as they are pinned.
#[derive(Debug)]
pub struct BanMaps {
    outer: Table<u32, u32>,
    notes: Table<NoteKey, Note>,
    names: Table<u32, ListName>,
    clock: Clock,
    /// Held while no daemon runs.
    _lock: Option<File>,
}

/// Why they cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum PinnedError {
    /// A daemon has them, and does not answer on its socket.
    #[error("a daemon has the kernel part of {}: ask it (is --socket right?)", .0.display())]
    Busy(PathBuf),
    /// The folder cannot be held.
    #[error("cannot hold {}: {cause}", path.display())]
    Hold {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// A map cannot be opened.
    #[error(transparent)]
    Map(#[from] MapError),
    /// The clock cannot be read.
    #[error("cannot read the kernel's clock: {0}")]
    Clock(#[source] io::Error),
}

impl BanMaps {
    /// Those of a kernel part that no daemon has; none: nothing is loaded. Until this is dropped no daemon starts.
    ///
    /// # Errors
    /// A daemon has it, or the maps cannot be opened.
    pub fn alone(pin_dir: &Path) -> Result<Option<Self>, PinnedError> {
        let pins = Pins::under(pin_dir);
        if !pins.object(names::BANS).exists() {
            return Ok(None);
        }
        let held = pins.lock().map_err(|cause| PinnedError::Hold { path: pin_dir.to_owned(), cause })?;
        let lock = held.ok_or_else(|| PinnedError::Busy(pin_dir.to_owned()))?;
        Self::open(&pins, Some(lock)).map(Some)
    }

    /// Those of a folder of pins.
    pub(super) fn open(pins: &Pins, lock: Option<File>) -> Result<Self, PinnedError> {
        fn table<K: proxy_common::pod::Pod, V: proxy_common::pod::Pod>(
            pins: &Pins,
            name: &'static str,
        ) -> Result<Table<K, V>, MapError> {
            let action = super::maps::Action::Open;
            let fd = open_pin(&pins.object(name)).map_err(|cause| MapError { map: name, action, cause })?;
            Table::new(name, fd)
        }
        let clock = open_pin(&pins.object(PROGRAM_CLOCK)).and_then(Clock::new).map_err(PinnedError::Clock)?;
        Ok(Self {
            outer: table(pins, names::BANS)?,
            notes: table(pins, names::BAN_NOTES)?,
            names: table(pins, names::BAN_LISTS)?,
            clock,
            _lock: lock,
        })
    }
}

/// A table in an array that kernel and process share.
#[derive(Debug)]
struct MapMemory {
    words: SharedArray,
    fd: OwnedFd,
}

impl MapMemory {
    fn of(map: &RawMap) -> io::Result<Self> {
        if map.info().value_size as usize != size_of::<PlainLine>() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its lines have another length"));
        }
        Ok(Self { words: SharedArray::map(map)?, fd: map.as_fd().try_clone_to_owned()? })
    }
}

impl Memory for MapMemory {
    fn lines(&self) -> &[Line] {
        self.words.cells().as_chunks::<LINE_WORDS>().0
    }
    fn map(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

fn told(error: MapError) -> io::Error {
    io::Error::other(error)
}

impl Place for BanMaps {
    fn make(&self, lines: u32) -> io::Result<Arc<dyn Memory>> {
        let map = RawMap::create_shared("bans", size_of::<PlainLine>() as u32, lines)?;
        Ok(Arc::new(MapMemory::of(&map)?))
    }

    fn put(&self, table: u32, memory: Option<&Arc<dyn Memory>>) -> io::Result<()> {
        match memory.and_then(|memory| memory.map()) {
            Some(map) => self.outer.put(&table, &(map.as_raw_fd() as u32)).map_err(told),
            None => self.outer.remove(&table).map(drop).map_err(told),
        }
    }

    fn present(&self, table: u32) -> io::Result<Option<Arc<dyn Memory>>> {
        let Some(id) = self.outer.get(&table).map_err(told)? else { return Ok(None) };
        Ok(Some(Arc::new(MapMemory::of(&RawMap::new(map_by_id(id)?, 1)?)?)))
    }

    fn notes(&self) -> io::Result<Vec<(NoteKey, Note)>> {
        self.notes.entries().map_err(told)
    }

    fn put_note(&self, key: &NoteKey, note: &Note) -> io::Result<()> {
        self.notes.put(key, note).map_err(told)
    }

    fn remove_note(&self, key: &NoteKey) -> io::Result<()> {
        self.notes.remove(key).map(drop).map_err(told)
    }

    fn list_names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for number in 0..LIST_NAMES {
            let name = self.names.get(&number).map_err(told)?.unwrap_or(ListName([0; 128]));
            let end = name.0.iter().position(|byte| *byte == 0).unwrap_or(name.0.len());
            if end == 0 {
                break;
            }
            names.push(String::from_utf8_lossy(&name.0[..end]).into_owned());
        }
        Ok(names)
    }

    fn put_list_names(&self, names: &[String]) -> io::Result<()> {
        for (number, name) in (0..LIST_NAMES).zip(names.iter().map(String::as_str).chain([""])) {
            let mut bytes = [0; 128];
            let end = (0..=name.len().min(128)).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
            bytes[..end].copy_from_slice(&name.as_bytes()[..end]);
            self.names.put(&number, &ListName(bytes)).map_err(told)?;
        }
        Ok(())
    }

    fn ticks(&self) -> io::Result<u64> {
        self.clock.now64()
    }

    fn hz(&self) -> u32 {
        self.clock.hz()
    }
}
