//! The daemon and command line of proxy-now, in layers: a module uses lower ones only.
//!
//! 5 `cli` · 4 `control` · 3 `l4`, `l7`, `acme`, `admin` · 2 `route`, `upstream`, `tls`, `limit`, `ban` · 1 `config` · 0 `net`, `telemetry`

/// Layer 3: certificates that come by themselves.
pub mod acme;
/// Layer 3: the admin socket: how people and programs ask the daemon.
pub mod admin;
/// Layer 2: who is kept out.
pub mod ban;
/// Layer 5: the command line.
pub mod cli;
/// Layer 1: what `proxy.toml` says and what it means.
pub mod config;
/// Layer 4: the supervisor: composes what the lower layers do.
pub mod control;
/// Layer 3: the kernel part: programs, their tables, and what is in them.
pub mod l4;
/// Layer 3: HTTP: clients, requests, answers.
pub mod l7;
/// Layer 2: limits: the table and the clock that kernel and workers share.
pub mod limit;
/// Layer 0: what the host's network looks like.
pub mod net;
/// Layer 2: which request goes where.
pub mod route;
/// Layer 0: what the daemon says: its log, and text for Prometheus.
pub mod telemetry;
/// Layer 2: certificates, and what handshakes go by.
pub mod tls;
/// Layer 2: backends: which of them a slot belongs to, and whether they answer.
pub mod upstream;
