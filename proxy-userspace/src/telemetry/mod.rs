//! What the daemon says: its log, what it counts, and text for Prometheus. Knows no other module.

/// What clients do that they may be kept out for.
pub mod abuse;
/// Where lines about requests are written.
pub mod access_log;
/// Who changed what by hand.
pub mod audit;
/// TLS handshakes, counted.
pub mod handshakes;
/// What workers decide about ClientHellos, while somebody looks on.
pub mod hellos;
/// How long something took.
pub mod histogram;
/// The log: who reads it, and in which shape.
pub mod log;
/// The text format of Prometheus.
pub mod prometheus;
/// What became of requests, counted.
pub mod requests;
/// What lines are written to.
mod sink;
/// Connections that are steered by their ClientHello, counted.
pub mod steering;
