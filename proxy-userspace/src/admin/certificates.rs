//! What is asked and answered about certificates, as it stands in JSON.

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertsRequest {
    /// `GET /certs`
    List,
    /// `GET /certs/root`
    Root,
    /// `POST /certs/renew`
    Renew(Named),
    /// `POST /certs/revoke`
    Revoke(Revoke),
    /// `POST /certs/export`
    Export(Named),
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertsAnswer {
    /// To [`CertsRequest::List`].
    List(Certificates),
    /// To [`CertsRequest::Root`].
    Root(Root),
    /// To [`CertsRequest::Renew`] and [`CertsRequest::Revoke`].
    Renewed(Renewed),
    /// To [`CertsRequest::Export`].
    Exported(Exported),
}

/// Whose certificate is meant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name, as `certs list` shows it.
    pub name: String,
}

/// Whose certificate is to be revoked, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The name, as `certs list` shows it.
    pub name: String,
    /// Why.
    #[serde(default)]
    pub reason: RevokeReason,
}

/// Why a certificate is revoked (RFC 5280 §5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevokeReason {
    /// None of the others.
    #[default]
    Unspecified,
    /// Somebody else has the key.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// The name is no longer served.
    CessationOfOperation,
}

/// All certificates that are known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Certificates {
    /// By name.
    pub certificates: Vec<CertificateRow>,
}

/// A certificate, or a name that has none yet.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CertificateRow {
    /// The name; of a certificate in files: all its names.
    pub name: String,
    /// `files`, `acme` or `internal`.
    pub from: String,
    /// Who issued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Not valid after, in seconds since 1970. None: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
    /// Seconds from now until then; negative: so long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
    /// Its serial number, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SHA-256 of it, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Seconds from now until the next is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews_in: Option<u64>,
    /// A handshake asked for it; the configuration does not name it.
    #[serde(default)]
    pub on_demand: bool,
    /// False: it is in memory only.
    #[serde(default)]
    pub stored: bool,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What became of a renewal or a revocation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renewed {
    /// Whose.
    pub name: String,
    /// False: it takes long, and goes on.
    pub done: bool,
}

/// A certificate and its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// Whose.
    pub name: String,
    /// The chain, leaf first, PEM.
    pub chain: String,
    /// The key, PEM.
    pub key: String,
}

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exported({})", self.name)
    }
}

/// The root of the internal CA.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Root {
    /// PEM.
    pub root: String,
}
