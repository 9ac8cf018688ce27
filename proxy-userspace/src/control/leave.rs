//! Leaving: no more clients are taken, and those who are in are served to their end, for as long as the grace lasts.

use std::time::Instant;

use super::leaving::Leaving;
use super::supervisor::Supervisor;

impl Supervisor {
    /// Takes no more clients. True if nobody is in: it can end at once.
    pub(super) fn leave(&mut self, who: &'static str) -> bool {
        let grace = self.config.server.grace;
        let now = Instant::now();
        self.leaving = Some(Leaving { who, since: now, until: now + grace });
        self.certs.leave();
        self.web.leave(self.handed_over);
        if self.web.workers().is_none() {
            return true;
        }
        tracing::info!("no more clients are taken ({who}); those who are in have {grace:?} to end");
        false
    }

    /// Who said that the daemon should end, once nobody is in any more, or the grace is over.
    pub(super) fn has_left(&self) -> Option<&'static str> {
        let Leaving { who, since, until } = self.leaving?;
        let workers = self.web.workers()?;
        if workers.are_idle() {
            tracing::info!("the last connection has ended after {:?}", since.elapsed());
        } else if Instant::now() >= until {
            tracing::warn!("{} connections are cut: the grace is over", workers.connections());
        } else {
            return None;
        }
        Some(who)
    }
}
