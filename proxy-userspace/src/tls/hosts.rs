//! The names of one listener, and what each asks for.

use std::collections::HashMap;

use crate::config::{CertificateFrom, HostPattern};

/// What a name asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Host {
    /// Where its certificate comes from.
    pub(super) from: CertificateFrom,
    /// Which of the listener's variants: by what is asked of clients.
    pub(super) variant: usize,
}

/// The names of a listener.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Host>,
    /// By what stands after `*.`; empty: everything.
    below: HashMap<Box<str>, Host>,
}

impl Hosts {
    pub(super) fn insert(&mut self, pattern: &HostPattern, host: Host) {
        match pattern {
            HostPattern::Exact(name) => self.exact.insert(name.clone(), host),
            HostPattern::Wildcard(name) => self.below.insert(name.clone(), host),
        };
    }

    /// What a name (canonical) asks for: itself, then the nearest pattern above it.
    pub(super) fn find(&self, name: &str) -> Option<&Host> {
        if let Some(host) = self.exact.get(name) {
            return Some(host);
        }
        if self.below.is_empty() {
            return None;
        }
        let parents = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        parents.chain([""]).find_map(|parent| self.below.get(parent))
    }
}
