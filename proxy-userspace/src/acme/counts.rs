//! What is counted while certificates are got.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use super::status::Issuance;

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Of the storage.
    pub(super) failures: Arc<AtomicU64>,
    issued: Mutex<BTreeMap<(Box<str>, &'static str), u64>>,
}

impl Counts {
    /// An issuer gave a certificate, or did not.
    pub(super) fn ended(&self, issuer: &str, result: &'static str) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        *issued.entry((issuer.into(), result)).or_default() += 1;
    }

    /// How often, so far.
    pub(super) fn issued(&self) -> Vec<Issuance> {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |((issuer, result), count): (&(Box<str>, &'static str), &u64)| Issuance {
            issuer: issuer.clone(),
            result,
            count: *count,
        };
        issued.iter().map(entry).collect()
    }
}
