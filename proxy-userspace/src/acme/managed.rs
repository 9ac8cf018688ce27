//! Which names are managed, and by whom.

use std::collections::BTreeMap;

use super::status::Kind;
use crate::config::{CertificateFrom, Config, HostPattern, is_public};
use crate::tls::{Certificate, Origin, Store};

/// Names that need a certificate of ours: those of https listeners that no file covers.
pub(super) fn managed(config: &Config, store: &Store) -> BTreeMap<Box<str>, Kind> {
    let files = store.all(Origin::Files);
    let covered = |name: &str| files.iter().any(|certificate| covers(certificate, name));
    let mut names = BTreeMap::new();
    for (host, tls) in &config.tls.hosts {
        let (name, below) = match host {
            HostPattern::Exact(name) => (name.clone(), name),
            HostPattern::Wildcard(parent) if parent.is_empty() => continue,
            HostPattern::Wildcard(parent) => (format!("*.{parent}").into(), parent),
        };
        let kind = match tls.from {
            CertificateFrom::Acme => Kind::Acme,
            CertificateFrom::Internal => Kind::Internal,
            CertificateFrom::Files | CertificateFrom::OnDemand => continue,
            CertificateFrom::Auto if covered(&name) => continue,
            CertificateFrom::Auto if is_public(below) => Kind::Acme,
            CertificateFrom::Auto => Kind::Internal,
        };
        names.insert(name, kind);
    }
    names
}

/// Whether a handshake may still ask for a name that one has asked for before: its host says so, the nearest pattern
/// first.
pub(super) fn on_demand(config: &Config, name: &str) -> bool {
    let hosts = &config.tls.hosts;
    if let Some(host) = hosts.get(&HostPattern::Exact(name.into())) {
        return host.from == CertificateFrom::OnDemand;
    }
    let mut rest = name;
    while let Some((_, parent)) = rest.split_once('.') {
        if let Some(host) = hosts.get(&HostPattern::Wildcard(parent.into())) {
            return host.from == CertificateFrom::OnDemand;
        }
        rest = parent;
    }
    let every = hosts.get(&HostPattern::Wildcard("".into()));
    every.is_some_and(|host| host.from == CertificateFrom::OnDemand)
}

/// A pattern is covered by the same pattern only.
fn covers(certificate: &Certificate, name: &str) -> bool {
    if name.starts_with("*.") {
        certificate.names.iter().any(|own| **own == *name)
    } else {
        certificate.covers(name)
    }
}
