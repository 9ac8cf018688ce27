//! Limits of what is counted here: requests, handshakes, bytes of bodies, and connections as they are accepted. The kernel
//! part charges connections in the same table. What no limit holds for pays nothing.

/// Bodies and tunnels that wait.
mod bandwidth;
/// From a configuration to what is enforced here.
mod compile;
/// Connections and handshakes.
mod connections;
/// What clients do that they may be kept out for.
pub(super) mod deeds;
/// Where keys are charged.
mod desk;
/// What clients are told.
mod fields;
/// Facts about all of it.
#[cfg(test)]
mod limit_tests;
/// A limit's numbers as they are in force, and what it came to.
mod live;
/// How much of a body may pass now.
mod meter;
/// Every limit that is in force, through all reloads.
mod registry;
/// Requests.
mod requests;
/// One measure of a limit, where it holds.
mod rule;
/// A request, until it is answered.
mod under;
/// Whose traffic is counted together.
mod whose;

pub use bandwidth::Bandwidth;
pub use compile::{BackendRules, Limits, RequestRules};
pub use connections::{ConnectionRules, HelloRules, Inside, TurnedAway};
pub use desk::Desk;
pub use fields::Fields;
pub use live::{Counts, Live};
pub use registry::{InForce, Refused, Registry};
pub use requests::{Asking, charge};
pub use rule::Rule;
pub use under::UnderLimits;
