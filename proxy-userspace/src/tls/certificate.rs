//! A certificate with its key, ready to be served.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::sign::{CertifiedKey, SigningKey};

use super::certificate_error::{CertificateError, CertificateNote};
use super::chain::in_order;
use super::facts::Facts;
use super::pem;

/// A certificate with its key, ready to be served. Immutable: a renewed one is another.
#[derive(Clone)]
pub struct Certificate {
    /// Chain and key, as rustls serves them; with an OCSP answer, if there is one.
    pub key: Arc<CertifiedKey>,
    /// The names it is for, in lower case: DNS names, `*.` patterns, addresses.
    pub names: Vec<Box<str>>,
    /// Not valid before.
    pub not_before: SystemTime,
    /// Not valid after.
    pub not_after: SystemTime,
    /// The issuer's common name, else its whole name.
    pub issuer: Box<str>,
    /// The serial number, hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: Box<str>,
    /// What is odd about it, though it can be served.
    pub notes: Vec<CertificateNote>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.names.join(", "), self.serial)
    }
}

impl Certificate {
    /// From a chain and its key, PEM both; they may be the same text. The key says which certificate is the leaf: a
    /// chain in the wrong order is put right, and that is noted. One that has expired, or is not valid yet, can be
    /// loaded: [`Certificate::trouble`] says so.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let key = pem::key(key)?;
        Self::from_der(pem::chain(chain)?, key)
    }

    /// The same of what was read already.
    pub fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: Arc<dyn SigningKey>,
    ) -> Result<Self, CertificateError> {
        let (chain, mut notes) = in_order(chain, &*key)?;
        let Some(leaf) = chain.first() else { return Err(CertificateError::NoCertificate) };
        let facts = Facts::of(leaf)?;
        if facts.by_common_name {
            notes.push(CertificateNote::NoSubjectAltName);
        }
        Ok(Self {
            names: facts.names,
            not_before: facts.not_before,
            not_after: facts.not_after,
            issuer: facts.issuer,
            serial: facts.serial,
            fingerprint: facts.fingerprint,
            notes,
            key: Arc::new(CertifiedKey::new(chain, key)),
        })
    }

    /// The same, with an OCSP answer to be stapled (RFC 6066 §8), or without.
    pub fn with_ocsp(&self, answer: Option<Vec<u8>>) -> Self {
        let mut key = CertifiedKey::clone(&self.key);
        key.ocsp = answer;
        Self { key: Arc::new(key), ..self.clone() }
    }

    /// Whether it is for this name (canonical, no trailing dot): a pattern covers one label (RFC 6125 §6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        let below = name.split_once('.').map(|(_, below)| below);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(parent) => below == Some(parent),
            None => **own == *name,
        })
    }

    /// Whether it is valid at this moment.
    pub fn is_valid(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Why clients refuse it at this moment, if they do.
    pub fn trouble(&self, now: SystemTime) -> Option<CertificateNote> {
        if now > self.not_after {
            Some(CertificateNote::Expired(self.not_after))
        } else if now < self.not_before {
            Some(CertificateNote::NotYetValid(self.not_before))
        } else {
            None
        }
    }

    /// The leaf, DER.
    pub fn leaf(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |leaf| leaf.as_ref())
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
