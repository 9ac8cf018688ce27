//! What the supervisor reaches for: a configuration, the kernel part, the allocator.

use std::path::Path;

use crate::config::{Config, ConfigErrors, KernelConfig};

use super::dataplane::{Dataplane, DataplaneError};

/// Reads a configuration.
type Load = dyn Fn(&Path) -> Result<Config, ConfigErrors>;
/// Loads the kernel part, or adopts it if it is loaded.
type Open = dyn Fn(&KernelConfig) -> Result<Box<dyn Dataplane>, DataplaneError>;

/// How a configuration is loaded, and how the kernel part is opened: what tests do otherwise.
pub(super) struct Outside {
    pub(super) load: Box<Load>,
    pub(super) open: Box<Open>,
    /// Gives unused memory back to the system.
    pub(super) give_back: fn(),
}
