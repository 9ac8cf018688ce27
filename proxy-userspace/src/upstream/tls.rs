//! TLS to backends: what a pool says of it, read once for each configuration and ready for handshakes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::{ClientConnection, Resumption, WantsClientCert};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::anything::Anything;
use crate::config::{CertificateFiles, Endpoint, PoolTlsConfig, UpstreamProtocol};

/// Who a backend behind a Unix socket is taken to be if nobody says.
const LOCAL: &str = "localhost";
/// Sessions that are kept of each backend, to be gone on with.
const SESSIONS: usize = 8;

/// Why a pool's backends cannot be spoken to by TLS as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// There is no certificate in it.
    #[error("{} has no certificate (PEM)", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key in it that can be used.
    #[error("{} has no private key that can be used (PEM, not encrypted)", .0.display())]
    NoKey(PathBuf),
    /// A certificate cannot be trusted as a root.
    #[error("certificate {number} of {} is no root: {error}", .path.display())]
    NoRoot {
        /// The file.
        path: PathBuf,
        /// Which one of it, counted from 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        error: rustls::Error,
    },
    /// This machine trusts nobody.
    #[error("this machine has no trusted root certificates: install ca-certificates, or name a `ca`")]
    NoRoots,
    /// Certificate and key do not belong together.
    #[error("{} and {} cannot be shown to backends: {error}", .chain.display(), .key.display())]
    Client {
        /// The certificate.
        chain: PathBuf,
        /// Its key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        error: rustls::Error,
    },
    /// No certificate is for such a name.
    #[error("{0:?} is neither a DNS name nor an address: no certificate can be for it")]
    Name(Box<str>),
    /// What was chosen does not go together.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// TLS to the backends of a pool.
#[derive(Clone, Debug)]
pub struct PoolTls {
    config: ClientConfig,
    name: Option<ServerName<'static>>,
    /// Of all that the handshake depends on, but for the backend's name.
    fingerprint: [u8; 32],
}

/// TLS to one backend, or to one check of it.
#[derive(Clone, Debug)]
pub struct BackendTls {
    config: Arc<ClientConfig>,
    /// The same for connections that must not become HTTP/2.
    http1: Arc<ClientConfig>,
    identity: Identity,
}

/// What tells TLS to a backend from TLS to another one, or as another configuration has it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Identity {
    fingerprint: [u8; 32],
    name: ServerName<'static>,
}

impl PoolTls {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// A file is not there, or not what it should be.
    pub fn load(tls: &PoolTlsConfig, protocol: UpstreamProtocol) -> Result<Self, TlsError> {
        let mut seen = digest::Context::new(&digest::SHA256);
        let builder = if tls.verify {
            let roots = match &tls.ca {
                Some(path) => named_roots(path, &mut seen)?,
                None => system_roots(&mut seen)?,
            };
            builder()?.with_root_certificates(roots)
        } else {
            seen.update(b"anybody");
            trusting()?
        };
        let mut config = match &tls.client {
            Some(files) => show(builder, files, &mut seen)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match protocol {
            UpstreamProtocol::Http1 => vec![b"http/1.1".to_vec()],
            UpstreamProtocol::H2c => vec![b"h2".to_vec()],
            UpstreamProtocol::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        config.alpn_protocols.iter().for_each(|name| seen.update(name));
        let name = tls.sni.as_deref().map(server_name).transpose()?;
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(seen.finish().as_ref());
        Ok(Self { config, name, fingerprint })
    }

    /// TLS to one backend. Sessions are its own: another backend could not go on with them.
    ///
    /// # Errors
    /// No certificate could be for it.
    pub fn backend(&self, endpoint: &Endpoint) -> Result<BackendTls, TlsError> {
        let identity = self.identity(endpoint)?;
        let mut config = self.config.clone();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let mut http1 = config.clone();
        http1.alpn_protocols.retain(|name| name != b"h2");
        Ok(BackendTls { config: Arc::new(config), http1: Arc::new(http1), identity })
    }

    /// The same for checks, which speak HTTP/1.1.
    ///
    /// # Errors
    /// No certificate could be for it.
    pub fn check(&self, endpoint: &Endpoint) -> Result<BackendTls, TlsError> {
        let mut tls = self.backend(endpoint)?;
        let mut config = (*tls.http1).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.config = Arc::new(config);
        Ok(tls)
    }

    fn identity(&self, endpoint: &Endpoint) -> Result<Identity, TlsError> {
        let name = match (&self.name, endpoint) {
            (Some(name), _) => name.clone(),
            (None, Endpoint::Ip(address)) => ServerName::from(address.ip),
            (None, Endpoint::Name { host, .. }) => server_name(host)?,
            (None, Endpoint::Unix(_)) => server_name(LOCAL)?,
        };
        Ok(Identity { fingerprint: self.fingerprint, name })
    }
}

impl BackendTls {
    /// A connection that has not said anything yet.
    ///
    /// # Errors
    /// rustls refuses, which it has no reason to.
    pub fn connect(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.config), self.identity.name.clone())
    }

    /// The same, and it does not become HTTP/2 where there is a choice.
    ///
    /// # Errors
    /// As [`BackendTls::connect`].
    pub fn connect_http1(&self) -> Result<ClientConnection, rustls::Error> {
        ClientConnection::new(Arc::clone(&self.http1), self.identity.name.clone())
    }

    /// What it is done with.
    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Who the certificate must be for.
    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.identity.name
    }

    /// What tells it from others.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The same to the same backend.
impl PartialEq for BackendTls {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

/// What every handshake with backends has in common.
fn builder() -> Result<ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()
}

/// For whoever answers.
fn trusting() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let verifier = Arc::new(Anything { algorithms: provider().signature_verification_algorithms });
    Ok(builder()?.dangerous().with_custom_certificate_verifier(verifier))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Roots of a file: each must be one.
fn named_roots(path: &Path, seen: &mut digest::Context) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(path, seen)?.into_iter().enumerate() {
        let wrong = |error| TlsError::NoRoot { path: path.to_owned(), number: number + 1, error };
        roots.add(certificate).map_err(wrong)?;
    }
    Ok(roots)
}

/// Roots of this machine: those that can be used.
fn system_roots(seen: &mut digest::Context) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let there = rustls_native_certs::load_native_certs().certs;
    there.iter().for_each(|certificate| seen.update(certificate));
    roots.add_parsable_certificates(there);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// What we show to who asks.
fn show(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    files: &CertificateFiles,
    seen: &mut digest::Context,
) -> Result<ClientConfig, TlsError> {
    let chain = certificates(&files.chain, seen)?;
    let pem = read(&files.key, seen)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| TlsError::NoKey(files.key.clone()))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Client {
        chain: files.chain.clone(),
        key: files.key.clone(),
        error,
    })
}

fn certificates(path: &Path, seen: &mut digest::Context) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path, seen)?;
    let none = || TlsError::NoCertificate(path.to_owned());
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| none())?;
    if certificates.is_empty() { Err(none()) } else { Ok(certificates) }
}

fn read(path: &Path, seen: &mut digest::Context) -> Result<Vec<u8>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| TlsError::Read { path: path.to_owned(), error })?;
    // With its length: where one file ends and the next begins must make a difference.
    seen.update(&bytes.len().to_le_bytes());
    seen.update(&bytes);
    Ok(bytes)
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.into()))
}

/// TLS for checks of backends that are not spoken to by TLS otherwise: `https = "/healthz"`.
///
/// # Errors
/// Certificates are to be verified, and this machine has nothing to verify them by.
pub(super) fn for_checks(verify: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let tls = PoolTlsConfig { verify, ca: None, sni: None, client: None };
    PoolTls::load(&tls, UpstreamProtocol::Http1).map(|tls| Arc::new(tls.config))
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
