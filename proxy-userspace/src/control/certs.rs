//! Certificates: where they are found, and what proves names to CAs. Made once: it lives through reloads.

use std::sync::Arc;

use crate::tls::{Challenges, Store};

/// What handshakes go by, whatever the configuration.
#[derive(Debug, Default)]
pub(super) struct Certs {
    /// Certificates that may be served.
    pub(super) store: Arc<Store>,
    /// Names that are being proved.
    pub(super) challenges: Arc<Challenges>,
}
