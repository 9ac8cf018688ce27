//! TLS with clients: certificates, who finds them, and what handshakes go by. No socket, no clock but what is handed in.
//!
//! [`Store`] is the one place where certificates that may be served are: files, our own CA and ACME put theirs in it,
//! handshakes find them there without a lock and without touching a disk.

/// A certificate with its key, ready to be served.
mod certificate;
/// What proves to a CA that a name is ours.
mod challenge;
/// Certificates that are got when they are first asked for.
mod on_demand;
/// Where certificates are found.
mod store;

pub use certificate::Certificate;
pub use challenge::Challenges;
pub use on_demand::{Denied, OnDemand, Wanted};
pub use store::{Origin, Store};
