//! CAs and certificates for listeners and clients, and openssl as a client.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use proxy_tests::netns::Namespace;
use proxy_tests::program;

/// As short as Mozilla wants it.
const LIFETIME: Duration = Duration::from_secs(80 * 24 * 3600);

/// A CA, and the folder where what it issues is put.
#[derive(Debug)]
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Ca {
    /// A new one, of this name; its certificate is `NAME.pem` in the folder, its key `NAME.key`.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(crate) fn new(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(folder.join(format!("{name}.pem")), issuer.pem())?;
        fs::write(folder.join(format!("{name}.key")), issuer.key().serialize_pem())?;
        Ok(Self { issuer, folder: folder.to_owned() })
    }

    /// A file of the folder.
    #[must_use]
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Issues a certificate for these names: `FILE.crt` and `FILE.key`.
    ///
    /// # Errors
    /// When nothing can be written.
    pub(crate) fn issue(&self, file: &str, names: &[&str]) -> Result<()> {
        let mut params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, file);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let now = now();
        params.not_before = now.into();
        params.not_after = (now + LIFETIME).into();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.path(&format!("{file}.crt")), certificate.pem())?;
        fs::write(self.path(&format!("{file}.key")), key.serialize_pem())?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "certificates are valid by the calendar")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// What `openssl s_client` says, with these words, of a server; `input` is what it sends. It ends when the server does.
///
/// # Errors
/// When openssl cannot be run.
pub(crate) fn s_client(namespace: &Namespace, to: SocketAddr, words: &[&str], input: &str) -> Result<String> {
    let to = to.to_string();
    let mut command =
        program::command(&["timeout", "10", "openssl", "s_client", "-connect", &to, "-ign_eof"]);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = namespace.enter(|| command.spawn())?.context("openssl cannot be run")?;
    if let Some(mut stdin) = child.stdin.take() {
        use std::io::Write as _;
        // A server that refuses does not listen.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}
