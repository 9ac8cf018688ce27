//! Which request goes where: routes compile to an immutable graph. Pure: no socket, no clock.

/// The one form of a request's path that everything compares and sends on.
mod target;

pub use target::{BadTarget, RequestTarget};
