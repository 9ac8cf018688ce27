//! What the host has.

use crate::config::Config;
use crate::net::link::Link;

/// The configuration, and the devices.
pub(super) struct Around<'a> {
    pub(super) config: Option<&'a Config>,
    pub(super) links: &'a [Link],
}

impl Around<'_> {
    pub(super) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    pub(super) fn by_index(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// Whether any listener is of this family.
    pub(super) fn balances(&self, v6: bool) -> bool {
        self.config.is_some_and(|config| config.listeners.iter().any(|l| l.is_ipv6() == v6))
    }
}
