//! A check that is wanted.

use std::sync::Arc;

use crate::config::{Endpoint, HealthConfig, PoolName};
use crate::net::stream::Target;
use crate::upstream::tls::BackendTls;

/// Whose health it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CheckKey {
    /// The pool.
    pub pool: PoolName,
    /// The backend, as the configuration has it; of a name, one of its addresses.
    pub backend: Endpoint,
}

/// A check that is wanted.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    /// Where to ask.
    pub target: Target,
    /// What, and how often.
    pub config: HealthConfig,
    /// TLS as requests of the pool have it; none: as the configuration of the check says.
    pub tls: Option<Arc<BackendTls>>,
}
