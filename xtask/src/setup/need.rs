//! What a machine is needed for.

/// Each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// To build the kernel programs and the daemon.
    Build,
    /// To run the daemon and the demonstration.
    Run,
    /// To run the tests, whose clients and backends are other people's programs.
    Test,
    /// To run every check.
    Ci,
}
