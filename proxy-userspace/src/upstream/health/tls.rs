//! TLS for checks.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use tokio_rustls::TlsConnector;

use crate::config::ProbeTls;
use crate::upstream::tls::for_checks;

/// What a check connects with that has no pool's TLS to go by. None: certificates are to be verified, and there is
/// nothing to verify them by.
pub(super) fn connector(trust: ProbeTls) -> Option<TlsConnector> {
    static VERIFY: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    static ANYTHING: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = match trust {
        ProbeTls::Verify => VERIFY.get_or_init(|| for_checks(true).ok()),
        ProbeTls::Trust => ANYTHING.get_or_init(|| for_checks(false).ok()),
    };
    config.clone().map(TlsConnector::from)
}
