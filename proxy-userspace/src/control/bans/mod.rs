//! Who is kept out: the book of bans, and all who write into it: the configuration and its lists, operators, rules.

/// Automatic bans.
mod auto;
/// The book, and who may ask for what.
mod desk;
/// Limits that are exceeded, as the kernel part tells it.
mod exceeded;
/// Whom the configuration needs.
mod guard;
/// All of it together.
mod kept_out;
/// Lists of prefixes.
mod lists;
/// From where operators are logged in.
mod sessions;

pub use desk::{AloneError, bans_without_daemon};
pub(super) use exceeded::hear;
pub(super) use kept_out::KeptOut;
