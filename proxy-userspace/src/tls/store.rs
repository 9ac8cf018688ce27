//! Where certificates are found: by name, without a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use super::certificate::Certificate;

/// Whose certificates they are. Where two are for the same name, the earlier origin's is served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// Files that the configuration names.
    Files,
    /// ACME.
    Acme,
    /// Our own CA.
    Internal,
}

/// Certificates that may be served.
#[derive(Debug, Default)]
pub struct Store {
    /// Who puts certificates in. Handshakes never look at it.
    parts: Mutex<HashMap<Origin, Vec<Arc<Certificate>>>>,
    names: ArcSwap<Names>,
}

/// Which certificate a name has.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By what stands after `*.`.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
    first: Option<Arc<Certificate>>,
}

impl Store {
    /// These are all of this origin from now on.
    pub fn put(&self, origin: Origin, certificates: Vec<Arc<Certificate>>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(origin, certificates);
        self.names.store(Arc::new(Names::of(&parts)));
    }

    /// This one more, or in place of those of this origin that are for the same names.
    pub fn add(&self, origin: Origin, certificate: Arc<Certificate>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.entry(origin).or_default();
        part.retain(|old| old.names != certificate.names);
        part.push(certificate);
        self.names.store(Arc::new(Names::of(&parts)));
    }

    /// The certificate for a name (canonical): exact, then by pattern.
    pub fn find(&self, name: &str) -> Option<Arc<Certificate>> {
        self.names.load().find(name).cloned()
    }

    /// The first certificate there is: of the first origin, in its order.
    pub fn first(&self) -> Option<Arc<Certificate>> {
        self.names.load().first.clone()
    }

    /// All names, as they are now.
    pub fn names(&self) -> Guard<Arc<Names>> {
        self.names.load()
    }
}

impl Names {
    fn of(parts: &HashMap<Origin, Vec<Arc<Certificate>>>) -> Self {
        let mut names = Self::default();
        for origin in [Origin::Files, Origin::Acme, Origin::Internal] {
            for certificate in parts.get(&origin).into_iter().flatten() {
                names.first.get_or_insert_with(|| Arc::clone(certificate));
                for name in &certificate.names {
                    let (map, key) = match name.strip_prefix("*.") {
                        Some(parent) => (&mut names.wildcard, parent),
                        None => (&mut names.exact, &**name),
                    };
                    map.entry(key.into()).or_insert_with(|| Arc::clone(certificate));
                }
            }
        }
        names
    }

    /// The certificate for a name (canonical): exact, then by pattern.
    pub fn find(&self, name: &str) -> Option<&Arc<Certificate>> {
        self.exact.get(name).or_else(|| self.wildcard.get(name.split_once('.')?.1))
    }
}
