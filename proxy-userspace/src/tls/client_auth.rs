//! Certificates that clients show (RFC 8446 §4.3.2): who issued them, and which were revoked.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::certificate_error::CertificateError;
use super::pem;
use super::tickets::Scope;
use crate::config::ClientAuthConfig;

/// What is asked of clients, read from its files.
pub(super) struct ClientAuth {
    /// Who checks.
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// A digest of it all: whatever changes, what was shown before does not count any more.
    pub(super) scope: Scope,
}

/// Why clients' certificates cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum ClientAuthError {
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Unreadable {
        /// Which.
        path: Box<str>,
        /// Why.
        error: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {error}")]
    Bad {
        /// Which.
        path: Box<str>,
        /// What is wrong.
        error: CertificateError,
    },
    /// A certificate of the bundle cannot vouch for others.
    #[error("{path}: certificate {number} cannot be a root of trust: {why}")]
    NotARoot {
        /// The bundle.
        path: Box<str>,
        /// Which, from 1.
        number: usize,
        /// Why.
        why: Box<str>,
    },
    /// A revocation list is none.
    #[error(
        "{path}: it holds no revocation list that can be read{why} (PEM `-----BEGIN X509 CRL-----`, or DER)"
    )]
    BadRevocations {
        /// Its file.
        path: Box<str>,
        /// Why, after a colon.
        why: Box<str>,
    },
}

impl ClientAuth {
    /// Nothing is asked.
    pub(super) fn none() -> Self {
        Self { verifier: WebPkiClientVerifier::no_client_auth(), scope: Scope::default() }
    }

    /// Reads roots and revocation lists. Of a CA that has no list, no certificate counts as revoked; an old list
    /// counts until a newer one is there.
    pub(super) fn load(
        config: &ClientAuthConfig,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, ClientAuthError> {
        let mut digest = Context::new(&SHA256);
        digest.update(&[1, u8::from(config.optional)]);
        let roots = roots(&config.ca, &mut digest)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .allow_unknown_revocation_status();
        if config.optional {
            builder = builder.allow_unauthenticated();
        }
        let crl = config.crl.as_deref();
        if let Some(path) = crl {
            builder = builder.with_crls(revocations(path, &mut digest)?);
        }
        let verifier = builder.build().map_err(|error| ClientAuthError::BadRevocations {
            path: shown(crl.unwrap_or(&config.ca)),
            why: format!(": {error}").into(),
        })?;
        let mut scope = Scope::default();
        scope.copy_from_slice(digest.finish().as_ref());
        Ok(Self { verifier, scope })
    }
}

fn roots(path: &Path, digest: &mut Context) -> Result<RootCertStore, ClientAuthError> {
    let bad = |error| ClientAuthError::Bad { path: shown(path), error };
    let bundle = pem::certificates(&read(path)?).map_err(bad)?;
    if bundle.is_empty() {
        return Err(bad(CertificateError::NoCertificate));
    }
    let mut roots = RootCertStore::empty();
    for (i, root) in bundle.into_iter().enumerate() {
        add(digest, &root);
        roots.add(root).map_err(|error| ClientAuthError::NotARoot {
            path: shown(path),
            number: i + 1,
            why: error.to_string().into(),
        })?;
    }
    Ok(roots)
}

fn revocations(
    path: &Path,
    digest: &mut Context,
) -> Result<Vec<rustls::pki_types::CertificateRevocationListDer<'static>>, ClientAuthError> {
    let lists = pem::revocation_lists(&read(path)?)
        .map_err(|error| ClientAuthError::Bad { path: shown(path), error })?;
    if lists.is_empty() {
        return Err(ClientAuthError::BadRevocations { path: shown(path), why: "".into() });
    }
    lists.iter().for_each(|list| add(digest, list));
    Ok(lists)
}

/// With its length, so that no two lists of things look alike.
fn add(digest: &mut Context, what: &[u8]) {
    digest.update(&(what.len() as u64).to_be_bytes());
    digest.update(what);
}

fn read(path: &Path) -> Result<Vec<u8>, ClientAuthError> {
    fs::read(path).map_err(|error| ClientAuthError::Unreadable { path: shown(path), error })
}

fn shown(path: &Path) -> Box<str> {
    path.display().to_string().into()
}
