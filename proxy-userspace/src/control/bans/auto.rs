//! Automatic bans: hears what clients do, counts, and bans at once. A thread of its own: what the supervisor is busy with
//! must not keep an attacker in.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use proxy_common::ban::By;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::desk::{Bans, Shared};
use super::sessions::Sessions;
use crate::ban::{Earned, Watch};
use crate::config::AutoBanConfig;
use crate::config::format_duration;
use crate::telemetry::abuse::Events;
use crate::telemetry::audit::{self, Audited};

/// How often workers are told what time it is, and what has ended is forgotten.
const TICK: Duration = Duration::from_millis(100);
/// Clients whose sparing was said: of more it is said again.
const SPARED: usize = 1024;

/// Who counts. The thread ends when this is dropped.
#[derive(Debug)]
pub(in crate::control) struct AutoBan {
    watch: Arc<Mutex<Watch>>,
}

impl AutoBan {
    /// Hears from now on.
    pub(in crate::control) fn start(bans: Bans, mut events: Events) -> io::Result<Self> {
        let watch = Arc::new(Mutex::new(Watch::new(&[], Instant::now())));
        let weak = Arc::downgrade(&watch);
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let hear = move || runtime.block_on(run(&mut events, &weak, &bans));
        thread::Builder::new().name("bans".into()).spawn(hear)?;
        Ok(Self { watch })
    }

    /// Goes by these rules.
    pub(in crate::control) fn configure(&self, rules: &[AutoBanConfig]) {
        lock(&self.watch).set_rules(rules);
    }
}

fn lock(watch: &Mutex<Watch>) -> std::sync::MutexGuard<'_, Watch> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn run(events: &mut Events, watch: &Weak<Mutex<Watch>>, bans: &Bans) {
    let (mut spared, mut ticked) = (HashSet::new(), Instant::now());
    let mut sessions = Sessions::default();
    loop {
        let event = timeout(TICK.saturating_sub(ticked.elapsed()), events.next()).await;
        let Some(watch) = watch.upgrade() else { return };
        match event {
            Ok(Some(event)) => {
                let earned = lock(&watch).see(&event, Instant::now());
                for earned in earned {
                    let sessions = sessions.now();
                    ban(&mut bans.lock(), &earned, sessions, &mut spared);
                }
            }
            Ok(None) => return,
            Err(_) => {}
        }
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            if let Err(error) = bans.lock().book.tick() {
                tracing::debug!("the clock of bans could not be read: {error}");
            }
        }
    }
}

/// Why a prefix is not banned.
fn spare(shared: &Shared, sessions: &BTreeSet<IpAddr>, prefix: &IpNet) -> Option<String> {
    let allowed = shared.book.allowed(prefix).map(|allow| format!("{allow} is allowed"));
    let needed = || shared.guard.objections(prefix, None).into_iter().next();
    let session = || sessions.iter().find(|session| prefix.contains(*session));
    let logged_in = || session().map(|session| format!("an operator is logged in from {session}"));
    allowed.or_else(needed).or_else(logged_in)
}

/// Bans whoever has earned it, unless they are never kept out.
fn ban(shared: &mut Shared, earned: &Earned, sessions: &BTreeSet<IpAddr>, spared: &mut HashSet<IpNet>) {
    let Earned { prefix, client, time, why } = earned;
    // Where the network has somebody who is needed, the client alone is banned.
    let (prefix, spare) = match (spare(shared, sessions, prefix), spare(shared, sessions, client)) {
        (Some(_), None) => (client, None),
        (spare, _) => (prefix, spare),
    };
    if let Some(spare) = spare {
        if spared.len() >= SPARED {
            spared.clear();
        }
        if spared.insert(*prefix) {
            tracing::warn!(client = %prefix, "not banned for {why}: {spare}");
        }
        return;
    }
    match shared.book.add(*prefix, Some(*time), By::Rule, 0, why) {
        Ok(()) => {
            let (name, to) = (prefix.to_string(), format!("for {}: {why}", format_duration(*time)));
            let by = audit::By::Rule;
            let change = Audited { what: "ban add", name: &name, from: "", to: &to, by };
            audit::audit(shared.guard.audit_log.as_deref(), &change);
        }
        Err(error) => tracing::error!(client = %prefix, "not banned for {why}: {error}"),
    }
}
