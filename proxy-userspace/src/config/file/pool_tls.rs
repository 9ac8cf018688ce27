//! What a pool says of TLS to its backends.

use crate::config::diagnostic::Fact;
use crate::config::keys::pool_tls as keys;
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{Report, Reported};
use crate::config::tls::{CertificateFiles, PoolTlsConfig};

/// Reads `tls`, if it is said.
pub(super) fn read_pool_tls(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<Option<PoolTlsConfig>, Reported> {
    match entries.find(&keys::POOL_TLS, report)?.map(|tls| tls.value) {
        None | Some(Short::One(false)) => Ok(None),
        Some(Short::One(true)) => Ok(Some(PoolTlsConfig::default())),
        Some(Short::Table(table)) => read_table(&table, report).map(Some),
    }
}

fn read_table(entries: &Entries, report: &mut Report<'_>) -> Result<PoolTlsConfig, Reported> {
    let verify = entries.get(&keys::VERIFY, report);
    let ca = entries.find(&keys::CA, report);
    let sni = entries.find(&keys::SNI, report);
    let cert = entries.find(&keys::CLIENT_CERT, report);
    let key = entries.find(&keys::CLIENT_KEY, report);
    let (verify, ca) = (verify?.value, ca?);
    if let (false, Some(_)) = (verify, &ca) {
        return Err(report.error(&entries.span_of(&keys::CA), &NothingVerified));
    }
    let client = match (cert?, key?) {
        (None, None) => None,
        (None, Some(_)) => return Err(report.error(&entries.span_of(&keys::CLIENT_KEY), &NoClientCert)),
        (Some(cert), key) => {
            let key = key.map_or_else(|| cert.value.clone(), |key| key.value);
            Some(CertificateFiles { chain: cert.value, key, ocsp: None })
        }
    };
    Ok(PoolTlsConfig { verify, ca: ca.map(|ca| ca.value), sni: sni?.map(|sni| sni.value), client })
}

#[derive(Debug, thiserror::Error)]
#[error("with verify = false no root is asked for")]
struct NothingVerified;

impl Fact for NothingVerified {
    fn help(&self) -> Option<String> {
        Some("remove verify, or ca".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is a client_key, and no client_cert")]
struct NoClientCert;

impl Fact for NoClientCert {
    fn help(&self) -> Option<String> {
        Some("add client_cert, or remove client_key".to_owned())
    }
}
