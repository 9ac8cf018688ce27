//! Backends: who gets which share, and who answers. Knows no listener, no map and no configuration file.

/// Maglev look-up tables: who gets which slot of a ring.
pub mod maglev;
