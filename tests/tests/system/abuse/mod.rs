//! What is done about abuse: limits, how exact they are and who is told of them; bans that last.

/// Answers that would flood somebody else.
pub(crate) mod amplify;
/// Bans that last.
pub(crate) mod bans_kept;
/// What clients do that earns a ban, and who is spared.
pub(crate) mod deeds;
/// Each measure, protocol, family and action.
pub(crate) mod each_limit;
/// How soon a change is obeyed.
pub(crate) mod effect;
/// What is told of limits that are exceeded.
pub(crate) mod limit_events;
/// How exact limits are.
pub(crate) mod limits_exact;
/// A list of a million prefixes.
pub(crate) mod prefixes;

use proxy_tests::runner::Fact;

/// All of them.
pub(crate) const ALL: &[&[Fact]] = &[
    amplify::FACTS,
    bans_kept::FACTS,
    deeds::FACTS,
    each_limit::FACTS,
    limit_events::FACTS,
    limit_events::ALONE,
    limits_exact::FACTS,
    limits_exact::ALONE,
    effect::ALONE,
    prefixes::ALONE,
];
