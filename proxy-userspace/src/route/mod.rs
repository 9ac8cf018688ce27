//! Which request goes where: routes compile to an immutable graph. Pure: no socket, no clock.

/// The canonical form of a path.
mod canonical;
/// What a request must be beside its host and path.
mod condition;
/// A route under one host pattern.
mod entry;
/// The one form of a host that everything compares.
mod host;
/// The routes of one host pattern.
mod paths;
/// What is asked of the router.
mod query;
/// Which route wins when several match.
mod rank;
/// The router graph.
mod router;
/// What a path must be, compiled.
mod rule;
/// The one form of a request's path that everything compares and sends on.
mod target;
/// Many paths in one tree.
mod tree;

pub use canonical::BadTarget;
pub use host::{BadHost, Host};
pub use query::Query;
pub use router::{CompileError, Match, Router};
pub use target::RequestTarget;

/// Which route wins.
#[cfg(test)]
mod router_tests;
