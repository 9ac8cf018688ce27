//! Where certificates are found: by name, without a lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

use super::calendar;
use super::certificate::Certificate;
use crate::config::CertificateFrom;

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

/// In the order of preference.
const ORIGINS: [Origin; 3] = [Origin::Files, Origin::Acme, Origin::Internal];

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
    exact: HashMap<Box<str>, Candidates>,
    /// By what stands after `*.`.
    wildcard: HashMap<Box<str>, Candidates>,
    first: Option<Arc<Certificate>>,
}

/// The certificates of a name, of each origin the one that is valid the longest.
type Candidates = [Option<Arc<Certificate>>; ORIGINS.len()];

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

    /// The certificate for a name (canonical), whosever it is: [`Store::find_from`] with [`CertificateFrom::Auto`].
    pub fn find(&self, name: &str) -> Option<Arc<Certificate>> {
        self.find_from(name, CertificateFrom::Auto, calendar::now())
    }

    /// The certificate for a name (canonical): exact, then by pattern. Of the origin that the name asks for if it can,
    /// and never an expired one where another is valid.
    pub fn find_from(&self, name: &str, from: CertificateFrom, now: SystemTime) -> Option<Arc<Certificate>> {
        self.names.load().find(name, from, now).cloned()
    }

    /// The first certificate there is: of the first origin, in its order.
    pub fn first(&self) -> Option<Arc<Certificate>> {
        self.names.load().first.clone()
    }

    /// All certificates of an origin, in its order.
    pub fn all(&self, origin: Origin) -> Vec<Arc<Certificate>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).get(&origin).cloned().unwrap_or_default()
    }

    /// All names, as they are now.
    pub fn names(&self) -> Guard<Arc<Names>> {
        self.names.load()
    }
}

impl Names {
    fn of(parts: &HashMap<Origin, Vec<Arc<Certificate>>>) -> Self {
        let mut names = Self::default();
        for (i, origin) in ORIGINS.iter().enumerate() {
            for certificate in parts.get(origin).into_iter().flatten() {
                names.first.get_or_insert_with(|| Arc::clone(certificate));
                for name in &certificate.names {
                    let (map, key) = match name.strip_prefix("*.") {
                        Some(parent) => (&mut names.wildcard, parent),
                        None => (&mut names.exact, &**name),
                    };
                    let seat = match map.get_mut(key) {
                        Some(candidates) => &mut candidates[i],
                        None => &mut map.entry(key.into()).or_default()[i],
                    };
                    if seat.as_ref().is_none_or(|sitting| sitting.not_after < certificate.not_after) {
                        *seat = Some(Arc::clone(certificate));
                    }
                }
            }
        }
        names
    }

    /// The certificate for a name (canonical): exact, then by pattern; a valid one if any is.
    pub fn find(&self, name: &str, from: CertificateFrom, now: SystemTime) -> Option<&Arc<Certificate>> {
        let exact = self.exact.get(name);
        let found = exact.and_then(|candidates| best(candidates, from, now));
        if found.is_some_and(|found| found.is_valid(now)) {
            return found;
        }
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let wider = parent.and_then(|parent| self.wildcard.get(parent));
        let wider = wider.and_then(|candidates| best(candidates, from, now));
        match wider {
            Some(wider) if found.is_none() || wider.is_valid(now) => Some(wider),
            _ => found,
        }
    }
}

/// The first valid one in the order of a name's wishes; else the first.
fn best(candidates: &Candidates, from: CertificateFrom, now: SystemTime) -> Option<&Arc<Certificate>> {
    let wanted = || order(from).iter().filter_map(|i| candidates[*i].as_ref());
    wanted().find(|certificate| certificate.is_valid(now)).or_else(|| wanted().next())
}

/// Indices into [`ORIGINS`], by preference. Where a certificate is not there yet, one of another origin is better than
/// none; but who says `files` means it.
fn order(from: CertificateFrom) -> &'static [usize] {
    match from {
        CertificateFrom::Auto => &[0, 1, 2],
        CertificateFrom::Acme | CertificateFrom::OnDemand => &[1, 0, 2],
        CertificateFrom::Internal => &[2, 0, 1],
        CertificateFrom::Files => &[0],
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
