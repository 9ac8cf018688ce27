//! Certificates at the first handshake that asks for a name: whoever may ask for any name must not be able to have
//! certificates ordered, memory filled or the permission endpoint drowned.
//!
//! A name that could be none is refused at once; one that was refused stays so for a while; all who want the same name
//! wait for one answer; what is permitted is ordered no faster than the configuration says.

/// What is counted.
mod counts;
/// Who may.
mod gate;
/// Whether a name could have a certificate at all.
mod name;
/// How fast.
mod rate;
/// Names that were refused.
mod refused;
/// What is under way.
mod serve;

pub use counts::Counts;
pub use gate::Gate;
pub use serve::serve;
