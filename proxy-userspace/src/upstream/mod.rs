//! Backends: who gets which share, and who answers. Knows no listener and no map.

/// Whether backends answer: checks that run by themselves and report.
pub mod health;
/// Maglev look-up tables: who gets which slot of a ring.
pub mod maglev;
