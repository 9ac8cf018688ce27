//! Certificates that come by themselves: from CAs by ACME (RFC 8555) and from our own.
//!
//! [`Manager`] runs on a thread of its own. It is told the configuration, puts what it gets into the
//! [store](crate::tls::Store) that handshakes find certificates in, and what proves our names into the
//! [challenges](crate::tls::Challenges) that the listeners answer with. It opens no socket to be reached at.
//!
//! Storage is the truth, memory a cache: whatever is begun with a CA is written down before, so that whoever starts
//! after a crash goes on from there.

/// What time it is.
mod clock;
/// How others ask the manager.
mod handle;
/// The one HTTP client.
pub mod http;
/// Our own CA.
pub mod internal;
/// The thread that gets certificates and keeps them.
mod manager;
/// Certificates at the first handshake.
pub mod on_demand;
/// How names are proved to CAs.
pub mod solve;
/// What the ways to prove a name have in common.
pub mod solver;
/// What is said of certificates.
mod status;
/// Where everything is kept.
pub mod storage;

pub use clock::{Clock, from_unix, unix};
pub use handle::{AskError, Handle, Reason};
pub use manager::{Manager, Settings};
pub use status::{CertificateStatus, Issuance, Kind, Metrics};
