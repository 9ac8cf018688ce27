//! Nonces: each is good for one request (RFC 8555 §6.5).

use std::collections::{HashSet, VecDeque};

use super::token::random;

/// So many may be unused at a time; the oldest are forgotten, and their clients get another (§6.5).
const MOST_NONCES: usize = 8192;

/// Nonces that were given and not used yet.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    known: HashSet<Box<str>>,
    /// In the order in which they were given; some are used by now.
    given: VecDeque<Box<str>>,
}

impl Nonces {
    /// A new one.
    pub(super) fn give(&mut self) -> Box<str> {
        while self.given.len() >= MOST_NONCES {
            if let Some(oldest) = self.given.pop_front() {
                self.known.remove(&oldest);
            }
        }
        let nonce = random();
        self.known.insert(nonce.clone());
        self.given.push_back(nonce.clone());
        nonce
    }

    /// Whether it was given, and is used now for the first time.
    pub(super) fn take(&mut self, nonce: &str) -> bool {
        self.known.remove(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_and_only_so_many_are_kept() {
        let mut nonces = Nonces::default();
        let first = nonces.give();
        assert!(nonces.take(&first));
        assert!(!nonces.take(&first));
        assert!(!nonces.take("never given"));
        let old = nonces.give();
        for _ in 0..MOST_NONCES {
            nonces.give();
        }
        assert!(!nonces.take(&old));
        assert!(nonces.known.len() <= MOST_NONCES && nonces.given.len() <= MOST_NONCES);
    }
}
