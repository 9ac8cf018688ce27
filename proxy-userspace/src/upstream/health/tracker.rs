//! What a row of results amounts to: a state machine without a clock or a socket.

use std::sync::Arc;

use super::Failure;

/// What is known of a backend.
#[derive(Clone, Debug, Default)]
pub enum Health {
    /// No check has ended yet, or there are none. Taken to be well.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down(Arc<Failure>),
}

impl Health {
    /// Whether new flows may go there.
    pub const fn serves(&self) -> bool {
        !matches!(self, Self::Down(_))
    }

    /// The word for it, in status, metrics and log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down(_) => "down",
        }
    }
}

/// Counts results in a row.
///
/// | is | and then | becomes |
/// |---|---|---|
/// | unknown | one success | up |
/// | unknown, up | `fall` failures in a row | down |
/// | down | `rise` successes in a row | up |
#[derive(Clone, Debug)]
pub struct Tracker {
    rise: u32,
    fall: u32,
    health: Health,
    /// Results in a row that speak against `health`.
    against: u32,
}

impl Tracker {
    /// Begins with what was known before, if anything was.
    pub fn new(rise: u32, fall: u32, known: Health) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), health: known, against: 0 }
    }

    /// What is known now.
    pub const fn health(&self) -> &Health {
        &self.health
    }

    /// Takes a result in. True if it changed what is known; another reason for being down is no change.
    pub fn observe(&mut self, result: Result<(), Failure>) -> bool {
        match (&self.health, result) {
            (Health::Unknown, Ok(())) => self.become_(Health::Up),
            (Health::Up, Ok(())) => self.agree(),
            (Health::Down(_), Ok(())) => self.disagree(self.rise, Health::Up),
            (Health::Down(_), Err(failure)) => {
                self.health = Health::Down(Arc::new(failure));
                self.agree()
            }
            (_, Err(failure)) => self.disagree(self.fall, Health::Down(Arc::new(failure))),
        }
    }

    fn agree(&mut self) -> bool {
        self.against = 0;
        false
    }

    fn disagree(&mut self, needed: u32, other: Health) -> bool {
        self.against += 1;
        self.against >= needed && self.become_(other)
    }

    fn become_(&mut self, health: Health) -> bool {
        self.health = health;
        self.against = 0;
        true
    }
}
