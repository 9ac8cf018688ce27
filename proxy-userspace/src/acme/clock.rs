//! What time it is, by the wall: certificates and the answers of CAs go by that.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// The system's.
    #[expect(
        clippy::disallowed_methods,
        reason = "certificates are valid by the wall clock; nothing that is waited for here goes wrong when it steps"
    )]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    /// Another one.
    pub fn from_fn(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Stands still.
    pub fn fixed(now: SystemTime) -> Self {
        Self::from_fn(move || now)
    }

    /// Now.
    pub fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Now, in seconds since 1970. Before that: 0.
    pub fn unix(&self) -> u64 {
        unix(self.now())
    }

    /// How long until then; zero if that has passed.
    pub fn until(&self, then: SystemTime) -> Duration {
        then.duration_since(self.now()).unwrap_or_default()
    }
}

/// Seconds since 1970; before that: 0.
pub fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time of a number of seconds since 1970. What no clock can say is the last moment that one can.
pub fn from_unix(seconds: u64) -> SystemTime {
    /// The end of the year 9999: the last that a certificate can name (RFC 5280 §4.1.2.5).
    const LAST: u64 = 253_402_300_799;
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.unix())
    }
}
