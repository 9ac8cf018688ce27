//! A CA of the harness, and what it signs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A CA whose root is a file, and a certificate of it for servers at 127.0.0.1.
#[derive(Debug)]
pub(super) struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes it, in a folder.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "harness");
        let key = KeyPair::generate()?;
        let authority = Self { folder: folder.to_owned() };
        fs::write(authority.root(), root.clone().self_signed(&key)?.pem())?;
        let issuer = Issuer::new(root, key);
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()])?;
        leaf.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        fs::write(authority.chain(), leaf.signed_by(&key, &issuer)?.pem())?;
        fs::write(authority.key(), key.serialize_pem())?;
        Ok(authority)
    }

    /// The root, PEM.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// The servers' certificate, PEM.
    pub(super) fn chain(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// Its key, PEM.
    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// A server with this certificate, that speaks HTTP/1.1.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_file_iter(self.chain())?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(self.key())?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("the harness's own certificate")?;
        Ok(Arc::new(config))
    }
}
