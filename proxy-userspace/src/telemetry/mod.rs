//! What the daemon says: its log, and text for Prometheus. Knows no other module.
