//! What is applied, as far as handing over has to know it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Backends, and the ports that connections to them leave from.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Backends of each listener, by its name: their numbers, and the address that connections to them leave from.
    pub(crate) backends: HashMap<String, HashMap<SocketAddr, (u16, IpAddr)>>,
    /// The ports that are kept for it.
    pub(crate) ports: Option<RangeInclusive<u16>>,
}
