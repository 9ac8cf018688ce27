//! Connections to backends: where requests are sent to, and answers come from.

/// How a connection comes about.
mod connect;
/// One worker's side of them.
mod origins;

pub(super) use connect::Unconnected;
pub use origins::Origins;
