//! A host, or all below one.

/// A host of a route.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HostPattern {
    /// This name or address.
    Exact(Box<str>),
    /// `*.example.com`: one or more labels before `example.com`, which stands here without `*.`.
    Wildcard(Box<str>),
}
