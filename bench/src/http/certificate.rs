//! The certificate that every peer serves: ECDSA P-256, from an intermediate as public issuers have one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// The leaf and the intermediate.
pub(super) const CHAIN: &str = "cert.pem";
/// The leaf's key.
pub(super) const KEY: &str = "key.pem";
/// All of it in one file, as HAProxy wants it.
pub(super) const BOTH: &str = "both.pem";

/// Writes all three into a folder.
pub(super) fn write(folder: &Path) -> Result<()> {
    let root = Issuer::new(authority("root"), KeyPair::generate()?);
    let key = KeyPair::generate()?;
    let intermediate = authority("intermediate").signed_by(&key, &root)?;
    let issuer = Issuer::new(authority("intermediate"), key);
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new(vec!["bench.test".to_owned()])?.signed_by(&key, &issuer)?;
    let chain = leaf.pem() + &intermediate.pem();
    let both = chain.clone() + &key.serialize_pem();
    for (name, text) in [(CHAIN, chain), (KEY, key.serialize_pem()), (BOTH, both)] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
