//! What is said of certificates: to `certs list`, and to who counts.

use std::time::SystemTime;

use serde::Serialize;

/// Where a name's certificate comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A CA, by ACME.
    Acme,
    /// Our own CA.
    Internal,
}

/// A name that is managed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateStatus {
    /// The name, as handshakes ask for it, or with `*.` in front.
    pub name: Box<str>,
    /// Who is asked.
    pub kind: Kind,
    /// It was asked for by a handshake; the configuration does not name it.
    pub on_demand: bool,
    /// The issuer by its name in the configuration, if there is a certificate.
    pub issuer: Option<Box<str>>,
    /// Not valid after, if there is a certificate.
    pub not_after: Option<SystemTime>,
    /// Its serial number, hexadecimal.
    pub serial: Option<Box<str>>,
    /// SHA-256 of the leaf, hexadecimal.
    pub fingerprint: Option<Box<str>>,
    /// When the next one will be asked for; while there is none, when it is tried again.
    pub next_renewal: Option<SystemTime>,
    /// Why there is none yet, or no new one. Cleared by success.
    pub last_error: Option<Box<str>>,
    /// False: the storage failed, and it is in memory only.
    pub stored: bool,
}

/// What is counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// Orders that ended, since the start.
    pub issued: Vec<Issuance>,
    /// Names that are being worked on.
    pub in_flight: u64,
    /// Reads and writes of the storage that failed, since the start.
    pub storage_failures: u64,
    /// Certificates that are in memory only.
    pub unstored: u64,
}

/// How often an issuer gave a certificate, or did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Issuance {
    /// Its name in the configuration; `internal`: our own CA.
    pub issuer: Box<str>,
    /// `issued`, `refused` (the CA says no), `unproved` (it did not see the proof), `limited` (too many requests),
    /// `unreachable` (no answer, or none that makes sense), `storage`.
    pub result: &'static str,
    /// How often.
    pub count: u64,
}
