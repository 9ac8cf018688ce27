//! Where keys, certificates, accounts and orders are kept. It is the truth: several daemons may share one.

/// Files that appear whole, or not at all.
mod atomic;
/// Folders and files of one machine.
mod file;
/// The storage, as facts.
#[cfg(test)]
mod file_tests;
/// What is kept.
mod model;
/// Which name of a file belongs to a name.
mod place;

pub use file::FileStorage;
pub use model::{Document, Generation, GenerationId, Guard, Meta, Storage, StorageError};
