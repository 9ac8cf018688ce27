//! What the daemon says: its log, and text for Prometheus. Knows no other module.

/// The log: who reads it, and in which shape.
pub mod log;
/// The text format of Prometheus.
pub mod prometheus;
