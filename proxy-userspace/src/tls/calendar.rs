//! The calendar.

use std::time::SystemTime;

/// What the calendar says.
#[expect(
    clippy::disallowed_methods,
    reason = "certificates are valid, and shared keys are used, by the calendar"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}
