//! Certificates that come by themselves: from CAs by ACME (RFC 8555) and from our own.
//!
//! [`Manager`] runs on a thread of its own. It is told the configuration, puts what it gets into the
//! [store](crate::tls::Store) that handshakes find certificates in, and what proves our names into the
//! [challenges](crate::tls::Challenges) that the listeners answer with. It opens no socket to be reached at.
//!
//! Storage is the truth, memory a cache: whatever is begun with a CA is written down before, so that whoever starts
//! after a crash goes on from there.

/// What has become of asking.
mod attempts;
/// What time it is.
mod clock;
/// What all work is done with.
mod context;
/// What is counted.
mod counts;
/// A name that is managed.
mod entry;
/// How others ask the manager.
mod handle;
/// A certificate that is served.
mod held;
/// The one HTTP client.
pub mod http;
/// Our own CA.
pub mod internal;
/// A certificate from the first issuer that gives one.
mod issue;
/// The ledgers of issuers in the storage.
mod ledger;
/// What a CA allows in a time.
mod limits;
/// Which names are managed.
mod managed;
/// The thread that gets certificates and keeps them.
mod manager;
/// From a name to its certificate.
mod obtain;
/// Certificates at the first handshake.
pub mod on_demand;
/// Orders, and what they need of a CA.
mod protocol;
/// When a certificate is renewed.
mod renewal;
/// Has a certificate revoked.
mod revoke;
/// All names that are managed.
mod roster;
/// The storage, for who must not block.
mod shelf;
/// How names are proved to CAs.
pub mod solve;
/// What the ways to prove a name have in common.
pub mod solver;
/// What is said of certificates.
mod status;
/// Where everything is kept.
pub mod storage;
/// What is to be done for a name.
mod task;

pub use clock::{Clock, from_unix, unix};
pub use handle::{AskError, Handle, Reason};
pub use manager::{Manager, Settings};
pub use status::{CertificateStatus, Issuance, Kind, Metrics};
