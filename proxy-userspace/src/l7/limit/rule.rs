//! One measure of a limit, where it holds: whose traffic it counts together, and what happens to what is too much.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_common::gcra::Charged;

use super::desk::Desk;
use super::live::{Fate, Live};
use super::whose::{Caller, Whose};
use crate::config::{LimitAction, LimitConfig, ListenerName};
use crate::l7::ranges::Ranges;
use crate::limit::Key;

/// One measure of a limit.
#[derive(Debug)]
pub struct Rule {
    pub(super) live: Arc<Live>,
    pub(super) desk: Arc<Desk>,
    pub(super) whose: Whose,
    pub(super) action: LimitAction,
    exempt: Ranges,
    /// Empty: all.
    listeners: Box<[ListenerName]>,
}

impl Rule {
    /// Of a limit.
    pub(super) fn new(limit: &LimitConfig, live: Arc<Live>, desk: &Arc<Desk>) -> Self {
        Self {
            live,
            desk: Arc::clone(desk),
            whose: Whose::new(&limit.per),
            action: limit.action,
            exempt: Ranges::new(&limit.exempt),
            listeners: limit.listeners.clone().into(),
        }
    }

    /// Whether it holds for a listener.
    pub(super) fn is_of(&self, listener: &ListenerName) -> bool {
        self.listeners.is_empty() || self.listeners.contains(listener)
    }

    /// Whether it only counts.
    pub(super) fn observes(&self) -> bool {
        self.action == LimitAction::Observe
    }

    /// Whether it does not hold for a client; counted.
    pub(super) fn exempts(&self, client: IpAddr, worker: usize) -> bool {
        let exempt = !self.exempt.is_empty() && self.exempt.contains(client);
        if exempt {
            self.live.count(worker, Fate::Exempt, 1);
        }
        exempt
    }

    /// The key of who comes.
    pub(super) fn key(&self, caller: &Caller<'_>) -> Key {
        self.whose.key(&self.desk, &self.live, caller)
    }

    /// Whether one more would pass.
    ///
    /// # Errors
    /// So many fractions to wait.
    pub(super) fn peek(&self, key: &Key) -> Result<(), u64> {
        self.desk.peek(key, &self.live.numbers().gcra, 1)
    }

    /// Charges one more; what passes is counted, and nothing else.
    pub(super) fn charge(&self, key: &Key, worker: usize) -> Charged {
        let charged = self.desk.charge(key, &self.live.numbers().gcra, 1);
        if matches!(charged, Charged::Passed(_)) {
            self.live.count(worker, Fate::Passed, 1);
        }
        charged
    }

    /// It is too much: counted, and said now and then.
    pub(super) fn exceeded(&self, key: &Key, caller: &Caller<'_>, worker: usize) {
        let fate = if self.observes() { Fate::Observed } else { Fate::Refused };
        self.live.count(worker, fate, 1);
        if let Some(silent) = self.desk.refused(key) {
            let text = self.whose.text(caller);
            // Whatever a client says must end no line, and fill no log.
            let shown = text[..text.len().min(64)].escape_ascii();
            tracing::warn!(
                target: "limit",
                limit = %self.live.name,
                measure = self.live.measure.name(),
                key = %shown,
                listener = caller.listener,
                client = %caller.client.to_canonical(),
                observed = self.observes(),
                others_unsaid = silent,
                "limit exceeded"
            );
        }
    }
}
