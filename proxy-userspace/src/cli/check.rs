//! `proxy-now check`: every mistake of a configuration at once, and what would be served.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};

use super::check_hosts::{self, host_json};
use super::check_routes::{listener_json, listener_row, route_json, table};
use super::context::Context;
use super::outcome::Outcome;
use super::output::{Output, Table, left, right};
use crate::config::{self, Config, Forward, HealthConfig, ListenerConfig, Probe, format_duration};
use crate::control::{CertificatesJudged, judge, judge_certificates};

/// Options of `check`.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file to check [default: the configuration]
    file: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let path = self.file.unwrap_or_else(|| context.config_path());
        let mut config = config::load(&path)?;
        config.warnings.extend(judge(&path, &Arc::new(config.clone()))?);
        let mut certificates = judge_certificates(&path, &config);
        config.warnings.append(&mut certificates.warnings);
        config.warnings.sort_by_key(|warning| warning.line);
        let summary = summary(&path, &config, &certificates);
        context.output.answer(&summary, |output| print(output, &path, &config, &certificates));
        Ok(())
    }
}

fn print(output: &Output, path: &Path, config: &Config, certificates: &CertificatesJudged) {
    for warning in &config.warnings {
        output.diagnostic(warning);
    }
    let mut listeners = Table::new([
        left("LISTENER"),
        left("BIND"),
        left("PROTOCOL"),
        left("FORWARD"),
        left("POOL"),
        right("BACKENDS"),
    ]);
    for listener in &config.listeners {
        listeners.row([
            listener.name.to_string(),
            listener.bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            listener.protocol.to_string(),
            forward(listener).to_owned(),
            listener.pool.to_string(),
            config.backends(listener).count().to_string(),
        ]);
    }
    for listener in &config.web_listeners {
        listeners.row(listener_row(config, listener));
    }
    let (routes, more) = table(config);
    let (hosts, more_hosts) = check_hosts::table(certificates);
    let mut pools = Table::new([left("POOL"), left("BACKEND"), right("WEIGHT"), left("HEALTH")]);
    for pool in &config.pools {
        for backend in &pool.backends {
            pools.row([
                pool.name.to_string(),
                backend.endpoint.to_string(),
                if backend.drain { "drain".to_owned() } else { backend.weight.to_string() },
                pool.health.as_ref().map_or_else(|| "not checked".to_owned(), health),
            ]);
        }
    }
    for table in [listeners, routes, hosts, pools].iter().filter(|table| !table.is_empty()) {
        output.table(table);
        output.line("");
    }
    if more > 0 {
        output.line(format_args!("{more} more routes: --json lists them all"));
    }
    if more_hosts > 0 {
        output.line(format_args!("{more_hosts} more hosts: --json lists them all"));
    }
    let warnings = match config.warnings.len() {
        0 => String::new(),
        1 => " (1 warning)".to_owned(),
        more => format!(" ({more} warnings)"),
    };
    output.line(format_args!("{}: no mistake{warnings}", path.display()));
}

fn forward(listener: &ListenerConfig) -> &'static str {
    match listener.forward {
        Forward::Nat => "nat",
        Forward::Dsr => "dsr",
        Forward::Local => "local",
    }
}

/// A check in a few words: `GET /healthz every 2s`.
fn health(health: &HealthConfig) -> String {
    let asked = match &health.probe {
        Probe::Tcp => "tcp".to_owned(),
        Probe::Http(probe) if probe.tls.is_some() => format!("https {}", probe.path),
        Probe::Http(probe) => format!("http {}", probe.path),
    };
    let port = health.port.map(|port| format!(" on port {port}")).unwrap_or_default();
    format!("{asked}{port} every {}", format_duration(health.interval))
}

fn summary(path: &Path, config: &Config, certificates: &CertificatesJudged) -> Json {
    let listener = |listener: &ListenerConfig| {
        json!({
            "name": listener.name,
            "bind": listener.bind,
            "protocol": listener.protocol,
            "forward": forward(listener),
            "pool": listener.pool,
            "backends": config.backends(listener).map(|(address, _)| address).collect::<Vec<_>>(),
        })
    };
    let pool = |pool: &config::PoolConfig| {
        let backend = |backend: &config::BackendConfig| {
            json!({
                "address": backend.endpoint.to_string(),
                "weight": backend.weight,
                "drain": backend.drain,
            })
        };
        json!({
            "name": pool.name,
            "backends": pool.backends.iter().map(backend).collect::<Vec<_>>(),
            "health": pool.health.as_ref().map(health),
        })
    };
    json!({
        "file": path.display().to_string(),
        "diagnostics": config.warnings,
        "interfaces": config.kernel.as_ref().map(|kernel| &kernel.interfaces),
        "listeners": config.listeners.iter().map(listener).collect::<Vec<_>>(),
        "web_listeners": config.web_listeners.iter().map(listener_json).collect::<Vec<_>>(),
        "routes": config.routes.iter().map(route_json).collect::<Vec<_>>(),
        "hosts": certificates.hosts.iter().map(host_json).collect::<Vec<_>>(),
        "pools": config.pools.iter().map(pool).collect::<Vec<_>>(),
    })
}
