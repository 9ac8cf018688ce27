//! A certificate with its key, ready to be served.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::CertifiedKey;

/// A certificate with its key, ready to be served. Immutable: a renewed one is another.
pub struct Certificate {
    /// Chain and key, as rustls serves them; with an OCSP answer, if there is one.
    pub key: Arc<CertifiedKey>,
    /// The names it is for, in lower case: DNS names, `*.` patterns, addresses.
    pub names: Vec<Box<str>>,
    /// Not valid before.
    pub not_before: SystemTime,
    /// Not valid after.
    pub not_after: SystemTime,
    /// The issuer's name (RFC 4514 or its CN).
    pub issuer: Box<str>,
    /// The serial number, hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: Box<str>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, serial {})", self.names.join(", "), self.serial)
    }
}

impl Certificate {
    /// Whether it is for this name (canonical, no trailing dot): a pattern covers one label (RFC 6125 §6.4.3).
    pub fn covers(&self, name: &str) -> bool {
        let below = name.split_once('.').map(|(_, below)| below);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(parent) => below == Some(parent),
            None => **own == *name,
        })
    }
}
