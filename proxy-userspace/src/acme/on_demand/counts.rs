//! What is counted of names that came without a certificate.

/// Since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Asked for and got.
    pub issued: u64,
    /// Permitted, and no issuer gave one.
    pub failed: u64,
    /// Not permitted, now or a while ago, or no name that could be.
    pub refused: u64,
    /// Too many at once.
    pub too_many: u64,
    /// Questions to the permission endpoint that it did not answer.
    pub unanswered: u64,
}
