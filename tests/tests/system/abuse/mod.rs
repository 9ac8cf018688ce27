//! What is done about abuse: limits, how exact they are and who is told of them; bans that last.

/// Bans that last.
pub(crate) mod bans_kept;
/// What clients do that earns a ban, and who is spared.
pub(crate) mod deeds;
/// How soon a change is obeyed.
pub(crate) mod effect;
/// What is told of limits that are exceeded.
pub(crate) mod limit_events;
/// How exact limits are.
pub(crate) mod limits_exact;
