//! What the file says: every value read and in its range, with its place, and nothing compared with anything yet.

/// `health = { … }`.
mod health;
/// `[kernel]` and `[admin]`.
mod kernel;
/// `[listener.NAME]`.
mod listener;
/// `[pool.NAME]`.
mod pool;
/// The file's outermost tables.
mod root;

pub(super) use kernel::{FileAdmin, FileKernel};
pub(super) use listener::FileListener;
pub(super) use pool::{FileBackend, FilePool};
pub(super) use root::File;
