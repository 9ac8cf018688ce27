//! Where tables are.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use proxy_common::ban::{LINE_WORDS, LIST_NAMES, Line, Note, NoteKey};
use proxy_common::cell::Cell64;

/// The memory of a table.
pub trait Memory: Debug + Send + Sync {
    /// Its lines.
    fn lines(&self) -> &[Line];
    /// The map that it is of, if it is one's.
    fn map(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Where tables are, and what is remembered beside them.
pub trait Place: Debug + Send + Sync {
    /// Makes a table of zeroes that nobody looks into yet.
    ///
    /// # Errors
    /// There is no memory for it.
    fn make(&self, lines: u32) -> io::Result<Arc<dyn Memory>>;
    /// Puts a table in the place of another, whole; `None`: nothing is in it.
    ///
    /// # Errors
    /// The kernel refuses it: the old one stays.
    fn put(&self, table: u32, memory: Option<&Arc<dyn Memory>>) -> io::Result<()>;
    /// The table that is there.
    ///
    /// # Errors
    /// It cannot be opened.
    fn present(&self, table: u32) -> io::Result<Option<Arc<dyn Memory>>>;
    /// All notes.
    ///
    /// # Errors
    /// They cannot be read.
    fn notes(&self) -> io::Result<Vec<(NoteKey, Note)>>;
    /// Writes a note.
    ///
    /// # Errors
    /// There is no room.
    fn put_note(&self, key: &NoteKey, note: &Note) -> io::Result<()>;
    /// Removes a note, if it is there.
    ///
    /// # Errors
    /// The kernel says no.
    fn remove_note(&self, key: &NoteKey) -> io::Result<()>;
    /// The names of lists, by number.
    ///
    /// # Errors
    /// They cannot be read.
    fn list_names(&self) -> io::Result<Vec<String>>;
    /// Writes them.
    ///
    /// # Errors
    /// The kernel says no.
    fn put_list_names(&self, names: &[String]) -> io::Result<()>;
    /// The clock by which bans end: 64-bit jiffies.
    ///
    /// # Errors
    /// It cannot be read.
    fn ticks(&self) -> io::Result<u64>;
    /// How many of them a second has.
    fn hz(&self) -> u32;
}

/// Ticks a second of a clock of one's own.
const HZ: u32 = 1000;
/// What that clock begins with: the kernel's is never near 0 either.
const FIRST_TICK: u64 = 1 << 32;

/// Tables on the heap: they end with the process.
#[derive(Debug)]
pub struct Heap {
    began: Instant,
    notes: Mutex<HashMap<NoteKey, Note>>,
}

impl Default for Heap {
    fn default() -> Self {
        Self { began: Instant::now(), notes: Mutex::default() }
    }
}

#[derive(Debug)]
struct HeapMemory(Box<[Line]>);

impl Memory for HeapMemory {
    fn lines(&self) -> &[Line] {
        &self.0
    }
}

impl Place for Heap {
    fn make(&self, lines: u32) -> io::Result<Arc<dyn Memory>> {
        let line = || [(); LINE_WORDS].map(|()| Cell64::new(0));
        Ok(Arc::new(HeapMemory((0..lines).map(|_| line()).collect())))
    }
    fn put(&self, _table: u32, _memory: Option<&Arc<dyn Memory>>) -> io::Result<()> {
        Ok(())
    }
    fn present(&self, _table: u32) -> io::Result<Option<Arc<dyn Memory>>> {
        Ok(None)
    }
    fn notes(&self) -> io::Result<Vec<(NoteKey, Note)>> {
        Ok(self.lock().iter().map(|(key, note)| (*key, *note)).collect())
    }
    fn put_note(&self, key: &NoteKey, note: &Note) -> io::Result<()> {
        self.lock().insert(*key, *note);
        Ok(())
    }
    fn remove_note(&self, key: &NoteKey) -> io::Result<()> {
        self.lock().remove(key);
        Ok(())
    }
    fn list_names(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn put_list_names(&self, names: &[String]) -> io::Result<()> {
        debug_assert!(names.len() <= LIST_NAMES as usize);
        Ok(())
    }
    fn ticks(&self) -> io::Result<u64> {
        Ok(FIRST_TICK + self.began.elapsed().as_millis() as u64 * u64::from(HZ) / 1000)
    }
    fn hz(&self) -> u32 {
        HZ
    }
}

impl Heap {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NoteKey, Note>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
