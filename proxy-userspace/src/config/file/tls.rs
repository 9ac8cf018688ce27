//! `[tls]`, and what listeners and routes say of TLS.

use std::fmt;

use crate::config::diagnostic::Fact;
use crate::config::host_pattern::HostPattern;
use crate::config::keys::tls as keys;
use crate::config::keys::tls::AuthMode;
use crate::config::nested::Nested;
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::Key;
use crate::config::tls::{
    CertificateFiles, CertificateFrom, ClientAuthConfig, HstsConfig, ListenerTlsConfig, TicketsConfig,
    TlsConfig,
};

/// What a route says of its hosts' TLS.
#[derive(Debug)]
pub(in crate::config) struct FileRouteTls {
    pub(in crate::config) from: Option<CertificateFrom>,
    pub(in crate::config) client_auth: Option<ClientAuthConfig>,
}

/// Reads `[tls]`: everything but the hosts.
pub(super) fn read_tls(entries: &Entries, report: &mut Report<'_>) -> Result<TlsConfig, Reported> {
    let certificates = entries.find(&keys::CERTIFICATE, report).and_then(|list| {
        let read = |table: At<Entries>| read_certificate(&table.value, report);
        let list = list.map_or_else(Vec::new, |list| list.value);
        // Collected twice, so that every entry is read though the first was wrong.
        list.into_iter().map(read).collect::<Vec<_>>().into_iter().collect()
    });
    let directories = entries.find(&keys::DIRECTORY, report);
    let tickets = entries.find(&keys::TICKETS, report).and_then(|table| match table {
        Some(table) => read_tickets(&table.value, report),
        None => Ok(TicketsConfig::default()),
    });
    let directories = directories?.map_or_else(Vec::new, |list| list.value);
    Ok(TlsConfig {
        certificates: certificates?,
        directories: directories.into_iter().map(|directory| directory.value).collect(),
        tickets: tickets?,
        ..TlsConfig::default()
    })
}

fn read_certificate(entries: &Entries, report: &mut Report<'_>) -> Result<CertificateFiles, Reported> {
    let chain = entries.get(&keys::CERT, report);
    let key = entries.find(&keys::KEY, report);
    let ocsp = entries.find(&keys::OCSP, report);
    let chain = chain?.value;
    let key = key?.map_or_else(|| chain.clone(), |key| key.value);
    Ok(CertificateFiles { chain, key, ocsp: ocsp?.and_then(|ocsp| ocsp.value) })
}

fn read_tickets(entries: &Entries, report: &mut Report<'_>) -> Result<TicketsConfig, Reported> {
    let rotate = entries.get(&keys::ROTATE, report);
    let key_file = entries.find(&keys::KEY_FILE, report);
    Ok(TicketsConfig { rotate: rotate?.value, key_file: key_file?.map(|file| file.value) })
}

/// Reads what an `https` listener says: `tls` and `hsts`.
pub(super) fn read_listener_tls(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<ListenerTlsConfig, Reported> {
    let tls = entries.find(&keys::LISTENER_TLS, report).and_then(|table| match table {
        Some(table) => read_listener_table(&table.value, report),
        None => Ok(ListenerTlsConfig::default()),
    });
    let hsts = entries.find(&keys::HSTS, report).and_then(|hsts| match hsts.map(|hsts| hsts.value) {
        Some(Short::Table(table)) => read_hsts(&table, report).map(Some),
        Some(Short::One(true)) => Ok(Some(HstsConfig::default())),
        Some(Short::One(false)) | None => Ok(None),
    });
    Ok(ListenerTlsConfig { hsts: hsts?, ..tls? })
}

fn read_listener_table(entries: &Entries, report: &mut Report<'_>) -> Result<ListenerTlsConfig, Reported> {
    let policy = entries.get(&keys::POLICY, report);
    let strict_sni = entries.get(&keys::STRICT_SNI, report);
    let default = entries.find(&keys::DEFAULT, report);
    let client_auth = read_client_auth(entries, &keys::CLIENT_AUTH, report);
    if let (Ok(At { value: true, .. }), Ok(Some(default))) = (&strict_sni, &default) {
        return Err(report.error(&default.span, &DefaultAndStrict));
    }
    Ok(ListenerTlsConfig {
        policy: policy?.value,
        strict_sni: strict_sni?.value,
        default: default?.map(|default| match default.value {
            HostPattern::Exact(name) => name,
            HostPattern::Wildcard(parent) => format!("*.{parent}").into(),
        }),
        client_auth: client_auth?,
        hsts: None,
    })
}

fn read_client_auth(
    entries: &Entries,
    key: &'static Key<Nested>,
    report: &mut Report<'_>,
) -> Result<Option<ClientAuthConfig>, Reported> {
    let Some(At { value: entries, .. }) = entries.find(key, report)? else {
        return Ok(None);
    };
    let ca = entries.get(&keys::CLIENT_CA, report);
    let mode = entries.get(&keys::AUTH_MODE, report);
    let crl = entries.find(&keys::CRL, report);
    let headers = entries.get(&keys::HEADERS, report);
    Ok(Some(ClientAuthConfig {
        ca: ca?.value,
        optional: mode?.value == AuthMode::Optional,
        crl: crl?.map(|crl| crl.value),
        headers: headers?.value,
    }))
}

fn read_hsts(entries: &Entries, report: &mut Report<'_>) -> Result<HstsConfig, Reported> {
    let max_age = entries.get(&keys::MAX_AGE, report);
    let include_subdomains = entries.get(&keys::INCLUDE_SUBDOMAINS, report);
    let preload = entries.get(&keys::PRELOAD, report);
    let hsts = HstsConfig {
        max_age: max_age?.value,
        include_subdomains: include_subdomains?.value,
        preload: preload?.value,
    };
    if hsts.preload && !(hsts.include_subdomains && hsts.max_age >= HstsConfig::default().max_age) {
        return Err(report.error(&entries.span_of(&keys::PRELOAD), &NotForPreload));
    }
    Ok(hsts)
}

/// Reads what a route says.
pub(super) fn read_route_tls(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<Option<Box<At<FileRouteTls>>>, Reported> {
    let Some(At { value, span }) = entries.find(&keys::ROUTE_TLS, report)? else {
        return Ok(None);
    };
    let value = match value {
        Short::One(from) => FileRouteTls { from: Some(from), client_auth: None },
        Short::Table(table) => {
            let from = table.find(&keys::FROM, report);
            let client_auth = read_client_auth(&table, &keys::HOST_CLIENT_AUTH, report);
            FileRouteTls { from: from?.map(|from| from.value), client_auth: client_auth? }
        }
    };
    Ok(Some(Box::new(At { value, span })))
}

struct DefaultAndStrict;

impl fmt::Display for DefaultAndStrict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("with strict_sni nobody is shown a default certificate")
    }
}

impl Fact for DefaultAndStrict {
    fn help(&self) -> Option<String> {
        Some("remove default, or strict_sni".to_owned())
    }
}

struct NotForPreload;

impl fmt::Display for NotForPreload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "browsers' lists take only hosts with include_subdomains and a max_age of at least 365 days",
        )
    }
}

impl Fact for NotForPreload {
    fn help(&self) -> Option<String> {
        Some("write it as: { max_age = \"730d\", include_subdomains = true, preload = true }".to_owned())
    }
}
