//! What the supervisor is told to do, and by whom.

/// An order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// Put the configuration on disk in force.
    Reload(&'static str),
    /// Start the program anew, hand everything over to it, and stop.
    Upgrade(&'static str),
    /// Stop; the kernel part goes on.
    Stop(&'static str),
}
