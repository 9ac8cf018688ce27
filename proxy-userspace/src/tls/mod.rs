//! TLS with clients: certificates, who finds them, and what handshakes go by. No socket.
//!
//! [`Store`] is the one place where certificates that may be served are: files, our own CA and ACME put theirs in it,
//! handshakes find them there without a lock and without touching a disk. [`ListenerTls`] says what each ClientHello
//! is answered with.

/// What a ClientHello is answered with.
mod answer;
/// The calendar.
mod calendar;
/// A certificate with its key, ready to be served.
mod certificate;
/// What may be wrong with a certificate.
mod certificate_error;
/// The order of a chain.
mod chain;
/// What proves to a CA that a name is ours.
mod challenge;
/// Certificates that clients show.
mod client_auth;
/// Certificates made smaller on their way.
mod compress;
/// A directory of certificates.
mod directory;
/// What a certificate says of itself.
mod facts;
/// Why handshakes fail, in few words.
mod failure;
/// What is wrong, or odd, about files of certificates.
mod file_trouble;
/// Certificates out of files.
mod files;
/// What kind of client says so, by its ClientHello.
pub mod fingerprint;
/// The names of a listener, and what each asks for.
mod hosts;
/// What handshakes of a listener go by.
mod listener;
/// Distinguished names as text.
mod name;
/// OCSP.
mod ocsp;
/// Certificates that are got when they are first asked for.
mod on_demand;
/// A certificate's files, and what was read of them.
mod pair;
/// What a client's certificate says.
mod peer;
/// Chains, keys and lists out of PEM.
mod pem;
/// Versions, ciphers and groups by name.
mod policy;
/// Which certificate a name gets.
mod resolver;
/// Where certificates are found.
mod store;
/// CAs and handshakes for tests.
#[cfg(test)]
mod testing;
/// A key of session tickets.
mod ticket_key;
/// Session tickets.
mod tickets;

pub use answer::{Answer, Chosen, Refusal, Served};
pub use certificate::Certificate;
pub use certificate_error::{CertificateError, CertificateNote};
pub use challenge::Challenges;
pub use client_auth::ClientAuthError;
pub use failure::failure;
pub use file_trouble::{FileFault, FileServed, FileTrouble};
pub use files::{Files, Loaded, OcspQuestion};
pub use listener::{ListenerTls, TlsError};
pub use ocsp::OcspFault;
pub use on_demand::{Denied, OnDemand, Wanted};
pub use peer::PeerCertificate;
pub use resolver::canonical;
pub use store::{Origin, Store};
pub use tickets::{Tickets, TicketsError};
