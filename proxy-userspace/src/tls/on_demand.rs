//! Certificates that are got when they are first asked for: between a ClientHello and the answer to it.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::certificate::Certificate;

/// Asks whoever gets certificates. Bounded: when it is full, the handshake fails.
pub type OnDemand = tokio::sync::mpsc::Sender<Wanted>;

/// A name that a client asks for, and that has no certificate yet.
#[derive(Debug)]
pub struct Wanted {
    /// The name, canonical.
    pub name: Box<str>,
    /// Who asks.
    pub client: IpAddr,
    /// Where the certificate goes.
    pub answer: oneshot::Sender<Result<Arc<Certificate>, Denied>>,
}

/// Why there is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Denied {
    /// The permission endpoint said no, or could not be asked.
    #[error("the name is not permitted")]
    NotPermitted,
    /// Too many new names.
    #[error("too many names are being asked for")]
    TooMany,
    /// No issuer gave one (yet).
    #[error("no certificate could be got: {0}")]
    Failed(Box<str>),
}
