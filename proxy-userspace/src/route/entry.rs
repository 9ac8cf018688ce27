//! A route under one host pattern.

use super::rule::PathRule;

/// A route under one host pattern.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its place among the routes of the host pattern: the least that matches wins.
    pub(super) place: u32,
    /// Which route.
    pub(super) route: RouteRef,
    /// What the path must be.
    pub(super) path: PathRule,
}

/// The index of a route, and whether it has further conditions: those that have none are not looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RouteRef(u32);

impl RouteRef {
    const CONDITIONAL: u32 = 1 << 31;

    pub(super) fn new(index: u32, conditional: bool) -> Self {
        Self(if conditional { index | Self::CONDITIONAL } else { index })
    }

    /// As it stands in a record.
    pub(super) fn raw(self) -> u32 {
        self.0
    }

    pub(super) fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    pub(super) fn index(self) -> u32 {
        self.0 & !Self::CONDITIONAL
    }

    pub(super) fn is_conditional(self) -> bool {
        self.0 & Self::CONDITIONAL != 0
    }
}
