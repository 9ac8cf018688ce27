//! HTTP: connections of clients, requests on their way to backends, answers on their way back.
//! Runs on workers: one thread each, nothing shared but snapshots and counters.

/// A body on its way.
pub mod body;
/// Why a body ended before its end.
pub mod cut;
/// What answers requests, as what serves a connection sees it.
pub mod handler;
/// The end of a listener, as its connections learn of it.
pub mod leave;
/// A request and its answer, whatever version of HTTP they came in.
pub mod request;
/// Bytes both ways, without HTTP.
pub mod tunnel;

pub use body::Body;
pub use cut::BodyError;
pub use handler::Handler;
pub use leave::{Leave, Watch};
pub use request::{Authority, Connection, Interim, Record, Request, Response};
pub use tunnel::Tunnel;
