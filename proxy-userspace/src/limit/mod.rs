//! Limits, as far as kernel and workers share them: the clock that they go by, the table of what keys have used up, and
//! rates by that clock.

/// The clock that states are compared with.
mod clock;
/// Numbers of limits, by name.
mod ids;
/// Rates and masks by the clock and by numbers.
mod rule;
/// How much is said of refusals.
mod said;
/// What each key of each limit has used up.
mod table;

pub use clock::Clock;
pub use ids::{Ids, LIMITS};
pub use proxy_common::bucket::{Charge, Enter, Entry, Key, Make, State, Who};
pub use proxy_common::gcra::{Gcra, Impossible};
pub use rule::{gcra, masked, measure, number};
pub use said::Said;
pub use table::{Heap, Sets, Table, address, text_hash, who};
