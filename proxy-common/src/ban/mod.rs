//! Who is kept out: a table of prefixes. The kernel programs and the workers look addresses up in it, the daemon or the
//! command line writes it, all at the same time and without a lock.
//!
//! A table is lines of eight words. First come the regions: by an address's first bits, which prefix lengths there are
//! at all, and the table's [`Shape`]. Most addresses are done with after this one line. Behind them lies a hash table of
//! the prefixes: for each length that there is, one place is looked at, and the lines behind it while they are full.
//!
//! An entry is written once: then it lives, until its moment is over or it is marked dead. Its place is given to
//! another prefix only in another table: a reader never sees half of one. So a table fills up, and is made anew then,
//! beside the old one.

/// How an entry is found in a line, and written.
mod entry;
/// Looking an address up.
mod find;
/// Lines, and moments.
mod line;
/// What is remembered of a ban beside its prefix.
mod note;
/// How many lines there are, and how prefixes are spread over them.
mod shape;
/// IPv4.
mod v4;
/// IPv6.
mod v6;
/// Writing, and reading all of it.
mod write;

pub use entry::{Compared, Family};
pub use find::{Found, find, probe};
pub use line::{FOR_EVER, LINE_WORDS, Line, Lines, MOMENT, PROBES, PlainLine, TABLES, moment, table};
pub use note::{By, LIST_NAMES, ListName, Note, NoteKey, source};
pub use shape::Shape;
pub use v6::Key as Key6;
pub use write::{Entry, Full, Inserted, each, get, insert, length_of, prepare, remove};

#[cfg(test)]
mod tests;
