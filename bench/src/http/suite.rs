//! What belongs together: cases, the peers they are measured with, and what is promised of them.

use super::case::Case;
use super::peer::Peer;
use super::promise::Promise;

/// A suite.
#[derive(Debug)]
pub(crate) struct Suite {
    /// What is measured: the list is the whole policy.
    pub(super) cases: &'static [Case],
    /// Who is measured: the list is the whole policy.
    pub(super) peers: &'static [Peer],
    /// CPU time, beside that of others.
    pub(super) promises: &'static [Promise],
    /// The cases whose memory is promised.
    pub(super) memory: &'static [&'static str],
}
