//! What is wanted of a key, and what came of it.

use crate::gcra::Gcra;

/// Whether an absent key gets an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Make {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// What a charge came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charge {
    /// It may pass; so many fractions of the tolerance are left.
    Passed(u64),
    /// It is too much; after so many fractions it would not be.
    Refused(u64),
    /// The key has no entry, and was to get none.
    Absent,
    /// The key has no entry, and there is no place for one.
    Full,
}

/// What an entrance came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enter {
    /// It is in: so many are there now.
    Entered(u32),
    /// As many are there as may be.
    Refused,
    /// The key has no entry, and there is no place for one.
    Full,
}

/// What a key's entry is wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wish {
    /// To be charged.
    #[default]
    Charge,
    /// To count one more, unless there are `units`.
    Enter,
    /// To be there.
    Plant,
}

/// Whose place an entry gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Right {
    /// Any that is dead, or lent.
    #[default]
    Own,
    /// One of a client that may be made up: a dead one in the second half of its sets. Whoever has a right of his own may take it.
    Lent,
}

/// A wish, whole: a function of the BPF target takes five arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// What for.
    pub wish: Wish,
    /// The rate.
    pub gcra: Gcra,
    /// What is charged, or the most there may be.
    pub units: u32,
    /// The clock in fractions.
    pub now: u64,
    /// The state that a new entry begins with.
    pub begin: u64,
    /// What place it gets.
    pub right: Right,
}

/// What came of a wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It was charged.
    Charged(Charge),
    /// It was counted, or not.
    Entered(Enter),
    /// It is there.
    Planted,
    /// There is no place for it.
    Full,
}
