//! The configuration: from what the file says to what it means. Nothing here runs anything: no socket, no map, no
//! clock. What runs is made by `control` from a [`Config`].
//!
//! Every mistake of a file is found in one go, and each is a [`Diagnostic`] with its line, the value and what would
//! be right.

/// The address of a backend, as people write it.
mod address;
/// A mistake, with the place where it was made.
mod diagnostic;
/// What the configuration means.
mod model;

pub use address::{BackendAddr, NotAnAddress};
pub use diagnostic::{ConfigErrors, Diagnostic, Diagnostics, Fact, Severity};
pub use model::{
    AdminConfig, AttachMode, BackendConfig, Config, Forward, HealthConfig, HttpProbe, KernelConfig,
    ListenerConfig, ListenerName, PoolConfig, PoolName, Probe, ProbeTls, Protocol,
};
