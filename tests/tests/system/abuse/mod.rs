//! What is done about abuse: limits, how exact they are and who is told of them; bans that last.

/// Bans that last.
pub(crate) mod bans_kept;
/// What is told of limits that are exceeded.
pub(crate) mod limit_events;
/// How exact limits are.
pub(crate) mod limits_exact;
