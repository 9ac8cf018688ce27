//! A route under one host pattern.

use super::rule::PathRule;

/// A route under one host pattern.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place among the routes of the host pattern: the least that matches wins.
    pub(super) place: u32,
    /// Its index in the configuration.
    pub(super) route: u32,
    /// What the path must be.
    pub(super) path: PathRule,
}
