//! Numbers with units, as people write them.

/// Numbers of bytes.
mod bytes;
/// Durations.
mod duration;
/// Rates.
mod rate;

pub(super) use bytes::{format_bytes, parse_bytes};
pub use duration::{NotADuration, format_duration, parse_duration};
pub use rate::{
    NotARate, amount_text, check_rate, format_count, format_rate, parse_amount, parse_burst, parse_rate,
};
