//! Orders, and what they need of a CA (RFC 8555): each step is kept before it is taken.

/// Accounts.
pub(super) mod account;
/// What a CA suggests when to renew.
pub(super) mod ari;
/// Authorizations, one at a time.
mod authorization;
/// What a CA offers, and where.
pub(super) mod directory;
/// Why there is no certificate.
pub(super) mod failure;
/// An order that a CA has, and we do not know of.
mod find;
/// An order that is under way, as it is kept.
pub(super) mod journal;
/// Signed requests.
mod jws;
/// Leads an order to its certificate.
pub(super) mod order;
/// How often a CA is asked how far it is.
pub(super) mod pace;
/// Proves the names of an order.
pub(super) mod prove;
/// Proofs that are open, for other daemons.
pub(super) mod shared;
/// The head of a CA's last answer.
mod tap;
