//! What the ways to prove a name have in common.

use std::error::Error;
use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::config::ChallengeType;

/// What a CA wants to see, of one name.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof {
    /// The name or address, canonical, without `*.`.
    pub name: Box<str>,
    /// It is all names below that are proved.
    pub wildcard: bool,
    /// Which challenge.
    pub token: Box<str>,
    /// Token and account (RFC 8555 §8.1): the answer by HTTP.
    pub key_authorization: Box<str>,
    /// Its SHA-256, base64url: the value of the record.
    pub dns_value: Box<str>,
    /// Its SHA-256: in the certificate.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proof({}{})", if self.wildcard { "*." } else { "" }, self.name)
    }
}

/// What is shown, and has to be taken away again. Kept with an order, so that a crash leaves nothing behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presented {
    /// An answer at `/.well-known/acme-challenge/`.
    Http {
        /// Under this name.
        token: Box<str>,
    },
    /// A certificate of `acme-tls/1`.
    Alpn {
        /// For who asks for this name.
        name: Box<str>,
    },
    /// A TXT record.
    Record {
        /// Its name, absolute, after all CNAMEs; no trailing dot.
        fqdn: Box<str>,
        /// Its value.
        value: Box<str>,
        /// Where its provider has it: a zone, a record's number.
        handle: Option<Box<str>>,
    },
}

/// Shows what a CA wants to see.
pub trait Solver: Send + Sync {
    /// How.
    fn kind(&self) -> ChallengeType;
    /// Shows it; when this is done, the CA may look.
    fn present(&self, proof: &Proof) -> impl Future<Output = Result<Presented, SolveError>> + Send;
    /// Takes it away. Of what is no longer there this says nothing.
    fn cleanup(&self, presented: Presented) -> impl Future<Output = Result<(), SolveError>> + Send;
}

/// Why it cannot be shown, or taken away.
#[derive(Debug, thiserror::Error)]
#[error("{by}: {cause}")]
pub struct SolveError {
    /// Who failed: `http-01`, `dns-01 by cloudflare`, ...
    pub by: &'static str,
    /// Of what.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

impl SolveError {
    /// It failed of this.
    pub fn new(by: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { by, cause: cause.into() }
    }
}
