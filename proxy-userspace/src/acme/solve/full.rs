//! What is said where nothing more fits.

/// [`crate::tls::Challenges`] has no room.
#[derive(Debug, thiserror::Error)]
#[error("too many proofs are open at once; it is tried again later")]
pub(super) struct Full;
