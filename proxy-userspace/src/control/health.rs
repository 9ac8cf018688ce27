//! What the checks have found.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{BackendAddr, BackendConfig, Config, Endpoint, HealthConfig, Probe, ProbeTls};
use crate::net::stream::Target;
use crate::upstream::Pool;
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

/// The checks that a configuration wants: of a name, one for each of the addresses that are known of it. `pools`: as the
/// configuration has them, for their TLS.
pub(super) fn checks(
    config: &Config,
    addresses: impl Fn(&str) -> Vec<IpAddr>,
    pools: &[Arc<Pool>],
) -> HashMap<CheckKey, Check> {
    let mut checks = HashMap::new();
    for pool in &config.pools {
        let Some(health) = &pool.health else { continue };
        let tls = pools.iter().find(|known| *known.name() == pool.name).and_then(|known| known.tls());
        let tls = tls.filter(|_| by_tls(health));
        let mut add = |backend: Endpoint, target: Target, name: &Endpoint| {
            let tls = tls.and_then(|tls| tls.check(name).ok()).map(Arc::new);
            let key = CheckKey { pool: pool.name.clone(), backend };
            checks.insert(key, Check { target, config: health.clone(), tls });
        };
        for backend in &pool.backends {
            match health.target(backend) {
                Endpoint::Ip(BackendAddr { ip, port: Some(port) }) => {
                    add(backend.endpoint.clone(), SocketAddr::new(ip, port).into(), &backend.endpoint);
                }
                // Such a configuration is refused.
                Endpoint::Ip(BackendAddr { port: None, .. }) => {}
                Endpoint::Unix(path) => add(backend.endpoint.clone(), Target::Unix(path), &backend.endpoint),
                Endpoint::Name { host, port } => {
                    let own = backend.endpoint.port().unwrap_or(port);
                    for ip in addresses(&host) {
                        let key = SocketAddr::new(ip, own).into();
                        add(key, SocketAddr::new(ip, port).into(), &backend.endpoint);
                    }
                }
            }
        }
    }
    checks
}

/// Whether a pool's TLS is meant: where requests go, and by `https` on another port; unless nothing is to be verified.
fn by_tls(health: &HealthConfig) -> bool {
    match &health.probe {
        Probe::Tcp => false,
        Probe::Http(http) => match http.tls {
            Some(ProbeTls::Verify) => true,
            Some(ProbeTls::Trust) => false,
            None => health.port.is_none(),
        },
    }
}

/// The names that must be resolved.
pub(super) fn names(config: &Config) -> BTreeSet<Box<str>> {
    let backends = config.pools.iter().flat_map(|pool| &pool.backends);
    let name = |backend: &BackendConfig| match &backend.endpoint {
        Endpoint::Name { host, .. } => Some(host.clone()),
        Endpoint::Ip(_) | Endpoint::Unix(_) => None,
    };
    backends.filter_map(name).collect()
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
