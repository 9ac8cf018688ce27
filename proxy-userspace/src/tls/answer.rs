//! What a ClientHello is answered with.

use std::fmt;
use std::sync::Arc;

use rustls::{AlertDescription, ServerConfig};

use super::certificate::Certificate;
use super::tickets::Scope;

/// What a ClientHello is answered with.
#[derive(Debug)]
pub enum Answer {
    /// The handshake goes on.
    Serve(Chosen),
    /// A CA looks for its proof (RFC 8737): the handshake goes on with this, and then the connection ends.
    Challenge(Arc<ServerConfig>),
    /// This name has no certificate yet, and may get one: ask for it ([`super::OnDemand`]), then ask here again.
    Ask(Box<str>),
    /// It ends with an alert.
    Refuse(Refusal),
}

/// How a handshake goes on.
#[derive(Debug)]
pub struct Chosen {
    /// What rustls goes by.
    pub config: Arc<ServerConfig>,
    /// What the connection was served with.
    pub served: Served,
}

/// What a connection was served with, for as long as it lasts.
#[derive(Clone, Debug)]
pub struct Served {
    /// The name that the client asked for (canonical).
    pub name: Option<Box<str>>,
    /// The certificate. A resumed session does not show it again.
    pub certificate: Arc<Certificate>,
    /// Backends are told whose certificate the client showed.
    pub client_headers: bool,
    /// What was asked of the client.
    pub(super) scope: Scope,
}

/// Why a handshake ends before it begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// No certificate covers the name, and `strict_sni` is set.
    UnknownName,
    /// No name, and `strict_sni` is set.
    NoName,
    /// There is no certificate at all.
    NoCertificate,
    /// Nothing is being proved for this name.
    NoProof,
}

impl Refusal {
    /// What the client is told (RFC 8446 §6.2, RFC 6066 §3, RFC 7301 §3.2).
    pub fn alert(self) -> AlertDescription {
        match self {
            Self::UnknownName | Self::NoName => AlertDescription::UnrecognisedName,
            Self::NoCertificate => AlertDescription::InternalError,
            Self::NoProof => AlertDescription::NoApplicationProtocol,
        }
    }

    /// The alert as a record, before any encryption (RFC 8446 §5.1, §6): fatal.
    pub fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, u8::from(self.alert())]
    }

    /// One word, for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown-name",
            Self::NoName => "no-name",
            Self::NoCertificate => "no-certificate",
            Self::NoProof => "no-proof",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownName => "no certificate covers the name that the client asked for (strict_sni)",
            Self::NoName => "the client named no host (strict_sni)",
            Self::NoCertificate => "there is no certificate yet",
            Self::NoProof => "nothing is being proved to a CA for this name",
        })
    }
}
