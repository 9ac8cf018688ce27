//! How a turn of an exchange ended.

/// How a turn of an exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It waits for something that wakes it.
    Waits,
    /// It waits for what is written to go out.
    Blocked,
    /// It would go on.
    Again,
    /// It is over.
    Over,
}
