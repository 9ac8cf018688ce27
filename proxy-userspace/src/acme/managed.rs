//! Which names are managed, and by whom.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::status::Kind;
use crate::config::{CertificateFrom, Config, HostPattern, is_public};
use crate::tls::Store;

/// Names that need a certificate of ours: those of https listeners that no file covers at this moment.
pub(super) fn managed(config: &Config, store: &Store, now: SystemTime) -> BTreeMap<Box<str>, Kind> {
    let covered = |name: &str| {
        let found = store.find_from(name, CertificateFrom::Files, now);
        found.is_some_and(|certificate| certificate.is_valid(now))
    };
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertificateParams, KeyPair};
    use time::OffsetDateTime;

    use super::super::clock::from_unix;
    use super::*;
    use crate::config::HostTlsConfig;
    use crate::tls::{Certificate, Origin};

    fn config(hosts: &[(HostPattern, CertificateFrom)]) -> Config {
        let mut config = crate::config::parse("", "proxy.toml").unwrap();
        for (host, from) in hosts {
            let tls = HostTlsConfig { listeners: Vec::new(), from: *from, client_auth: None };
            config.tls.hosts.insert(host.clone(), tls);
        }
        config
    }

    fn exact(name: &str) -> HostPattern {
        HostPattern::Exact(name.into())
    }

    fn below(name: &str) -> HostPattern {
        HostPattern::Wildcard(name.into())
    }

    #[test]
    fn public_names_are_for_cas_and_others_for_ours_unless_a_file_covers_them() {
        let key = KeyPair::generate().unwrap();
        let names = ["*.files.example.com", "files.example.com"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = OffsetDateTime::from_unix_timestamp(1000).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(2000).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let file = Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let store = Store::default();
        store.put(Origin::Files, vec![Arc::new(file)]);
        let auto = CertificateFrom::Auto;
        let config = config(&[
            (exact("app.example.com"), auto),
            (exact("vault.internal"), auto),
            (below("example.com"), auto),
            (exact("files.example.com"), auto),
            (exact("a.files.example.com"), auto),
            (below("files.example.com"), auto),
            (exact("forced.files.example.com"), CertificateFrom::Acme),
            (exact("own.example.com"), CertificateFrom::Internal),
            (exact("manual.example.com"), CertificateFrom::Files),
            (below("customers.example"), CertificateFrom::OnDemand),
        ]);
        let managed_at = |unix| managed(&config, &store, from_unix(unix));
        let expected: Vec<(Box<str>, Kind)> = [
            ("*.example.com", Kind::Acme),
            ("app.example.com", Kind::Acme),
            ("forced.files.example.com", Kind::Acme),
            ("own.example.com", Kind::Internal),
            ("vault.internal", Kind::Internal),
        ]
        .map(|(name, kind)| (name.into(), kind))
        .to_vec();
        assert_eq!(managed_at(1500).into_iter().collect::<Vec<_>>(), expected);
        let later = managed_at(2500);
        for name in ["files.example.com", "a.files.example.com", "*.files.example.com"] {
            assert_eq!(later.get(name), Some(&Kind::Acme), "{name}: its file has expired");
        }
    }

    #[test]
    fn a_name_is_of_its_nearest_pattern() {
        let demanded = config(&[
            (below("example.com"), CertificateFrom::OnDemand),
            (below("own.example.com"), CertificateFrom::Internal),
            (exact("x.own.example.com"), CertificateFrom::OnDemand),
        ]);
        assert!(on_demand(&demanded, "a.example.com"));
        assert!(on_demand(&demanded, "a.b.example.com"));
        assert!(!on_demand(&demanded, "a.own.example.com"));
        assert!(on_demand(&demanded, "x.own.example.com"));
        assert!(!on_demand(&demanded, "example.org"));
        assert!(on_demand(&config(&[(below(""), CertificateFrom::OnDemand)]), "example.org"));
    }
}
