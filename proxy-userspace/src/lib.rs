//! The daemon and command line of proxy-now, in layers: a module uses lower ones only.
//!
//! 5 `cli` · 4 `control` · 3 `l4`, `admin` · 2 `upstream` · 1 `config` · 0 `net`, `telemetry`

/// Layer 1: what `proxy.toml` says and what it means.
pub mod config;
