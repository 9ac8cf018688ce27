//! Backends: who gets which share, and who answers. Knows no listener and no map.

/// `verify = false`.
mod anything;
/// One backend: what is known of it, its connections, and the right to send it a request.
mod backend;
/// Who gets the next request: arithmetic.
mod balance;
/// How many retries a pool may have under way.
mod budget;
/// The addresses behind names.
pub mod discovery;
/// Backends that fail again and again are left alone for a while.
mod eject;
/// Whether backends answer: checks that run by themselves and report.
pub mod health;
/// How long a backend takes to answer.
mod latency;
/// Maglev look-up tables: who gets which slot of a ring.
pub mod maglev;
/// A pool as one configuration has it.
mod pool;
/// Those who wait for a place.
mod queue;
/// What is known of pools and backends, across reloads.
mod registry;
/// Those of a pool that can serve now, and how one of them is chosen.
mod selection;
/// Connections that nobody uses just now.
mod shelf;
/// What is spoken with a backend.
mod spoken;
/// A connection to a backend, in clear or by TLS.
mod stream;
/// A CA for tests.
#[cfg(test)]
pub(crate) mod test_ca;
/// TLS to backends.
mod tls;

pub use backend::{Backend, Permit, Slot, Wire};
pub use balance::ring::key;
pub use pool::{BackendView, NoPlace, Pool, STREAMS};
pub use registry::Registry;
pub use selection::Ask;
pub use spoken::Spoken;
pub use stream::BackendStream;
pub use tls::{BackendTls, PoolTls, TlsError};
