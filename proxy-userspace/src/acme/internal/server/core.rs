//! The server's state, and who may ask it: requests are verified here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::super::clock::Clock;
use super::super::authority::Authority;
use super::jwk::Jwk;
use super::jws::Jws;
use super::nonces::Nonces;
use super::problem::{Kind, Problem};
use super::prove::Prover;
use super::tables::{Account, Tables};
use crate::config::HostPattern;

/// Where accounts are written down.
const ACCOUNTS: &str = "acme-accounts.json";

/// The server, without its sockets.
#[derive(Debug)]
pub(super) struct Core {
    /// `https://HOST[:PORT]`: how its addresses begin.
    pub(super) base: String,
    pub(super) authority: Arc<Authority>,
    /// What may be ordered.
    pub(super) names: Vec<HostPattern>,
    pub(super) clock: Clock,
    pub(super) prover: Prover,
    tables: Mutex<Tables>,
    nonces: Mutex<Nonces>,
}

/// A request that was verified.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) jws: Jws,
    /// The key it was signed with.
    pub(super) key: Jwk,
    /// The account, if it was named; it is not deactivated.
    pub(super) account: Option<Box<str>>,
}

impl Asked {
    /// The account.
    pub(super) fn account(&self) -> Result<&str, Problem> {
        self.account.as_deref().ok_or(Problem::malformed("this must be signed with kid, not jwk"))
    }
}

impl Core {
    pub(super) fn new(
        base: String,
        authority: Arc<Authority>,
        names: Vec<HostPattern>,
        prover: Prover,
        clock: Clock,
    ) -> Self {
        let tables = Mutex::new(Tables::with(known_accounts(&authority)));
        Self { base, authority, names, clock, prover, tables, nonces: Mutex::default() }
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A nonce for the next request.
    pub(super) fn nonce(&self) -> Box<str> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).give()
    }

    /// Verifies a request to `path` (RFC 8555 §6).
    pub(super) fn verify(&self, path: &str, body: &[u8]) -> Result<Asked, Problem> {
        let jws = Jws::parse(body)?;
        if jws.header.url.strip_prefix(&self.base) != Some(path) {
            return Err(Problem::new(Kind::Unauthorized, "the JWS is for another URL"));
        }
        let nonce = jws.header.nonce.as_deref().unwrap_or_default();
        if !self.nonces.lock().unwrap_or_else(PoisonError::into_inner).take(nonce) {
            return Err(Problem::new(Kind::BadNonce, "the nonce is not known, or was used already"));
        }
        let (key, account) = match (&jws.header.jwk, &jws.header.kid) {
            (Some(key), _) => (key.clone(), None),
            (None, kid) => {
                let (id, key) = self.account(kid.as_deref().unwrap_or_default())?;
                (key, Some(id))
            }
        };
        jws.verify(&key)?;
        Ok(Asked { jws, key, account })
    }

    fn account(&self, kid: &str) -> Result<(Box<str>, Jwk), Problem> {
        let id = kid.strip_prefix(&self.base).and_then(|path| path.strip_prefix("/account/"));
        let tables = self.tables();
        let known = id.and_then(|id| tables.accounts.get_key_value(id));
        let (id, account) = known.ok_or_else(|| {
            Problem::new(Kind::AccountDoesNotExist, "there is no such account here: make one with newAccount")
        })?;
        if account.deactivated {
            return Err(Problem::new(Kind::Unauthorized, "the account is deactivated"));
        }
        Ok((id.clone(), account.key.clone()))
    }

    /// Writes accounts down. What cannot be written holds until the server ends.
    pub(super) fn keep_accounts(&self) {
        let text = serde_json::to_string(&self.tables().accounts).unwrap_or_default();
        if let Err(error) = self.authority.keep().keep_document(ACCOUNTS, &text) {
            tracing::warn!("accounts at the internal CA are in memory alone: {error}");
        }
    }
}

/// Accounts of before. What cannot be read is nobody's: its clients make new ones.
fn known_accounts(authority: &Authority) -> HashMap<Box<str>, Account> {
    match authority.keep().document(ACCOUNTS) {
        Ok(text) => text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        Err(error) => {
            tracing::warn!("accounts at the internal CA are forgotten: {error}");
            HashMap::new()
        }
    }
}
