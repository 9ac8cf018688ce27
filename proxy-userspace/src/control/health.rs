//! What the checks have found.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::{BackendAddr, Config, Endpoint, HealthConfig, Probe};
use crate::net::stream::Target;
use crate::upstream::health::{Check, CheckKey, Health, Report};

/// What the checks have found, by backend.
#[derive(Clone, Default, Debug)]
pub(super) struct Findings {
    found: HashMap<CheckKey, Finding>,
}

/// What the checks of one backend have found.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) health: Health,
    pub(super) since: Instant,
    pub(super) took: Option<Duration>,
}

impl Findings {
    /// What is known of a backend.
    pub(super) fn of(&self, key: &CheckKey) -> Option<&Finding> {
        self.found.get(key)
    }

    /// Whether new flows may go there.
    pub(super) fn serves(&self, key: &CheckKey) -> bool {
        self.found.get(key).is_none_or(|finding| finding.health.serves())
    }

    /// Sets what was known before the daemon started.
    pub(super) fn remember(&mut self, key: CheckKey, health: Health) {
        self.found.insert(key, Finding { health, since: Instant::now(), took: None });
    }

    /// Takes a report in. True if the rings change by it.
    pub(super) fn take(&mut self, report: Report) -> bool {
        let served = self.serves(&report.key);
        let since = match self.found.get(&report.key) {
            Some(finding) if !report.changed => finding.since,
            _ => Instant::now(),
        };
        if report.changed {
            log(&report);
        }
        let finding = Finding { health: report.health, since, took: Some(report.took) };
        let serves = finding.health.serves();
        self.found.insert(report.key, finding);
        served != serves
    }

    /// Forgets backends that are not checked any more.
    pub(super) fn retain(&mut self, checks: &HashMap<CheckKey, Check>) {
        self.found.retain(|key, _| checks.contains_key(key));
    }
}

fn log(report: &Report) {
    let CheckKey { pool, backend } = &report.key;
    match &report.health {
        Health::Down(why) => tracing::warn!(%pool, %backend, "backend is down: {why}"),
        _ => tracing::info!(%pool, %backend, "backend is up"),
    }
}

/// The checks that a configuration wants.
pub(super) fn checks(config: &Config) -> HashMap<CheckKey, Check> {
    let mut checks = HashMap::new();
    for pool in &config.pools {
        let Some(health) = &pool.health else { continue };
        for backend in &pool.backends {
            let key = CheckKey { pool: pool.name.clone(), backend: backend.endpoint.clone() };
            let target = match health.target(backend) {
                Endpoint::Ip(BackendAddr { ip, port: Some(port) }) => Target::Tcp(SocketAddr::new(ip, port)),
                Endpoint::Unix(path) => Target::Unix(path),
                // Names are not checked yet: they are taken to be well.
                Endpoint::Ip(_) | Endpoint::Name { .. } => continue,
            };
            checks.insert(key, Check { target, config: health.clone() });
        }
    }
    checks
}

/// How a pool is checked, in a few words.
pub(super) fn describe(health: &HealthConfig) -> String {
    let what = match &health.probe {
        Probe::Tcp => "tcp".to_owned(),
        Probe::Http(http) if http.tls.is_some() => format!("https {}", http.path),
        Probe::Http(http) => format!("http {}", http.path),
    };
    format!("{what} every {:?}", health.interval)
}
