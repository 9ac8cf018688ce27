//! What a connection may cost without getting on (CVE-2023-44487, CVE-2025-8671, CVE-2019-9512 and kin).

use std::time::Duration;

use crate::config::{H2_WINDOW, WebLimits};

use super::error::{ConnectionError, ErrorCode, broken};

/// What is left of a connection's budgets in this window of [`H2_WINDOW`].
#[derive(Debug)]
pub struct Budget {
    resets: u32,
    most_resets: u32,
    idle: u32,
    most_idle: u32,
    age: Duration,
}

impl Budget {
    /// A piece of work that was done earns this many frames that are none: window updates and pings follow from it.
    const EARNED: u32 = 4;
    /// A piece of a body below this is hardly progress: who sends single bytes, or opens windows by them, earns little.
    const WORTH: usize = 256;

    /// A whole one.
    pub fn new(limits: &WebLimits) -> Self {
        Self {
            resets: limits.h2_resets,
            most_resets: limits.h2_resets,
            idle: limits.h2_idle_frames,
            most_idle: limits.h2_idle_frames,
            age: Duration::ZERO,
        }
    }

    /// A stream was reset: by the peer, or because of it.
    ///
    /// # Errors
    /// It was one too many.
    pub fn reset(&mut self) -> Result<(), ConnectionError> {
        match self.resets.checked_sub(1) {
            Some(left) => self.resets = left,
            None => return broken(ErrorCode::EnhanceYourCalm, "too many streams were reset"),
        }
        Ok(())
    }

    /// A frame that is no progress.
    ///
    /// # Errors
    /// It was one too many.
    pub fn idle(&mut self) -> Result<(), ConnectionError> {
        match self.idle.checked_sub(1) {
            Some(left) => self.idle = left,
            None => return broken(ErrorCode::EnhanceYourCalm, "too many frames without progress"),
        }
        Ok(())
    }

    /// There was progress: these many bytes of a body.
    pub fn earn(&mut self, bytes: usize) {
        let earned = if bytes >= Self::WORTH { Self::EARNED } else { 1 };
        self.idle = (self.idle + earned).min(self.most_idle);
    }

    /// There was progress: an answer is whole.
    pub fn earn_answer(&mut self) {
        self.idle = (self.idle + Self::EARNED).min(self.most_idle);
    }

    /// Time has passed.
    pub fn tick(&mut self, elapsed: Duration) {
        self.age += elapsed;
        if self.age >= H2_WINDOW {
            self.age = Duration::ZERO;
            (self.resets, self.idle) = (self.most_resets, self.most_idle);
        }
    }
}
