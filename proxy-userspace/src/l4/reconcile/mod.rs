//! From what the tables hold to what is wanted: numbers are given, the difference is made into ordered steps, and the
//! steps are taken or taken back. Everything here is pure but for [`store`].

/// Listeners as the tables have them.
mod bound;
/// What differs, as ordered steps.
mod diff;
/// What is wanted, with numbers given.
mod goal;
/// What the tables hold.
mod present;
/// Takes steps, in the kernel's tables.
mod store;
/// Takes steps one after the other: all of them, or none.
mod take;

#[cfg(test)]
mod tests;

pub(super) use diff::{difference, forget};
pub(super) use goal::{Constants, Goal, plan};
pub use goal::{PlanError, Unroutable};
pub(super) use present::{BackendEntry, Present, SourceIndex, Step};
pub(super) use store::recover;
pub(super) use take::take_all;
pub use take::{ApplyError, Failed};
