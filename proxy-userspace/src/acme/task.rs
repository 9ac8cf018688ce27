//! What is to be done for a name, and what came of it.

use super::held::Held;
use super::solver::Presented;
use super::status::Kind;
use super::storage::Guard;

/// What is to be done for a name.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) on_demand: bool,
    /// What is served now.
    pub(super) held: Option<Held>,
    /// Somebody wants another one, whatever the age of this one, and whatever failed before.
    pub(super) forced: bool,
    /// Somebody else had the name: tells that one that we wait.
    pub(super) waits: Option<Guard>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    /// This is to be served.
    Serve(Held),
    /// What there is stays; its moment of renewal may be another.
    Stay(Held),
    /// Somebody else is at it. What that one wants to be seen is shown here meanwhile.
    Busy { shown: Option<Presented>, waits: Option<Guard> },
    /// There is none, or no new one; it is tried again then, in seconds since 1970.
    Failed { cause: Box<str>, again: u64 },
}
