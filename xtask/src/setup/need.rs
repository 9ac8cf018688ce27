//! What a machine is needed for.

/// Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// To build the kernel programs and the daemon.
    Build,
    /// To run the daemon, the demonstration and the tests.
    Run,
    /// To run every check.
    Ci,
}
