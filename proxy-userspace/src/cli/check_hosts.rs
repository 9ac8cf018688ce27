//! Hosts and their certificates, as `check` shows them.

use serde_json::{Value as Json, json};

use super::output::{Table, left};
use crate::control::{CertificatesJudged, HostJudged};

/// Hosts that are shown to people; programs get all.
const SHOWN: usize = 100;

/// The table of hosts, and how many are not in it.
pub(super) fn table(judged: &CertificatesJudged) -> (Table, usize) {
    let mut table = Table::new([left("HOST"), left("LISTENER"), left("CERTIFICATE"), left("CLIENT AUTH")]);
    for host in judged.hosts.iter().take(SHOWN) {
        let listeners: Vec<_> = host.listeners.iter().map(ToString::to_string).collect();
        table.row([
            host.host.clone(),
            listeners.join(", "),
            host.certificate.clone(),
            host.client_auth.unwrap_or("-").to_owned(),
        ]);
    }
    (table, judged.hosts.len().saturating_sub(SHOWN))
}

/// A host for programs.
pub(super) fn host_json(host: &HostJudged) -> Json {
    json!({
        "host": host.host,
        "listeners": host.listeners,
        "certificate": host.certificate,
        "client_auth": host.client_auth,
    })
}
