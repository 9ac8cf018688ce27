//! What proves to a CA that a name is ours, while it asks. Put here by `acme`, shown by `l7`.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

/// No more proofs of a kind are open at a time.
const MOST_CHALLENGES: usize = 4096;

/// Proofs that are open.
#[derive(Debug, Default)]
pub struct Challenges {
    http: ArcSwap<HashMap<Box<str>, Box<str>>>,
    alpn: ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// Answers `GET /.well-known/acme-challenge/TOKEN` with this (RFC 8555 §8.3), until [`Challenges::remove_http`].
    /// False: there are too many.
    pub fn put_http(&self, token: &str, key_authorization: &str) -> bool {
        put(&self.http, token, key_authorization.into())
    }

    /// No longer.
    pub fn remove_http(&self, token: &str) {
        remove(&self.http, token);
    }

    /// The answer to a token.
    pub fn http(&self, token: &str) -> Option<Box<str>> {
        self.http.load().get(token).cloned()
    }

    /// Shows this certificate to who asks for this name by `acme-tls/1` (RFC 8737). An address stands by its
    /// reverse name (RFC 8738 §6). False: there are too many.
    pub fn put_alpn(&self, name: &str, key: Arc<CertifiedKey>) -> bool {
        put(&self.alpn, name, key)
    }

    /// No longer.
    pub fn remove_alpn(&self, name: &str) {
        remove(&self.alpn, name);
    }

    /// The certificate for a name, if one is being proved.
    pub fn alpn(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.alpn.load().get(name).cloned()
    }
}

fn put<T: Clone>(to: &ArcSwap<HashMap<Box<str>, T>>, key: &str, value: T) -> bool {
    let mut taken = false;
    to.rcu(|now| {
        let mut next = HashMap::clone(now);
        taken = next.len() < MOST_CHALLENGES || next.contains_key(key);
        if taken {
            next.insert(key.into(), value.clone());
        }
        next
    });
    taken
}

fn remove<T: Clone>(from: &ArcSwap<HashMap<Box<str>, T>>, key: &str) {
    from.rcu(|now| {
        let mut next = HashMap::clone(now);
        next.remove(key);
        next
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_there_until_they_are_removed_and_never_too_many() {
        let open = Challenges::default();
        for i in 0..MOST_CHALLENGES {
            assert!(open.put_http(&i.to_string(), "yes"));
        }
        assert!(!open.put_http("one more", "no"));
        assert!(open.put_http("7", "again"));
        assert_eq!(open.http("7").as_deref(), Some("again"));
        open.remove_http("7");
        assert_eq!(open.http("7"), None);
        assert!(open.put_http("one more", "now"));
    }
}
