//! A host, or all below one.

use std::fmt;

/// A host of a route.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HostPattern {
    /// This name or address.
    Exact(Box<str>),
    /// `*.example.com`: one or more labels before `example.com`, which stands here without `*.`.
    Wildcard(Box<str>),
}

impl HostPattern {
    /// Every name. No route says it; a route without a host means it.
    pub fn every() -> Self {
        Self::Wildcard("".into())
    }
}

/// As it is written in the file; every name is `*`.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(parent) if parent.is_empty() => f.write_str("*"),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}
