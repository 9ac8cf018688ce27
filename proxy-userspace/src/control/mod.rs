//! The supervisor: compiles the configuration, applies it, keeps it applied, and answers the admin socket. It alone
//! brings the kernel part, the checks and the admin socket together.

/// Who is kept out.
pub mod bans;
/// Certificates out of files.
mod cert_files;
/// Certificates, and what keeps them as the configuration wants.
mod certs;
/// What is answered to those who ask about certificates.
mod certs_calls;
/// What `check` says of certificates.
mod certs_judge;
/// What is told of certificates.
mod certs_list;
/// What the supervisor asks of the kernel part.
mod dataplane;
/// What is different between two configurations.
mod difference;
/// Backends that the operator drained by hand.
mod drain;
/// What one daemon hands over to the next.
mod handover;
/// What the checks have found.
mod health;
/// What only those find who compile a configuration.
mod judge;
/// The kernel part as it is, behind that trait; and without a daemon.
mod kernel;
/// Leaving: who is in is served to the end.
mod leave;
/// That the daemon is about to end.
mod leaving;
/// Limits: what is in force, and what operators change of it.
pub mod limits;
/// Whether files have changed.
mod marks;
/// Text for Prometheus.
mod metrics;
/// What the kernel part wants an operator to know.
mod notes;
/// Addresses of listeners on which a socket of this host waits.
mod occupied;
/// What the supervisor is told to do.
mod order;
/// What the supervisor reaches for.
mod outside;
/// How many requests may be in flight.
mod overload;
/// A new configuration: loaded, compiled, applied; or refused.
mod reload;
/// The access log as the configuration wants it.
mod requests_log;
/// Starting: what is made, and in which order.
mod run;
/// From a configuration to what workers serve by.
mod serve;
/// Signals, and what the service manager is told.
mod signal;
/// From a configuration to what the kernel part should do.
mod snapshot;
/// What is told to those who ask.
mod status;
/// The loop: what happens, and what is done about it.
mod supervisor;
/// Hands over to the program on disk.
mod upgrade;
/// Notices that the configuration's file has changed.
mod watch;
/// Sockets and workers of the part that serves HTTP.
mod web;

pub use certs_judge::{CertificatesJudged, HostJudged, judge_certificates};
pub use judge::judge;
pub use kernel::status_without_daemon;
pub use occupied::Occupied;
pub use run::{RunError, RunOptions, run};
pub use serve::ServeError;
pub use web::WebError;

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;

/// Listeners that come, change and go.
#[cfg(test)]
mod web_tests;
