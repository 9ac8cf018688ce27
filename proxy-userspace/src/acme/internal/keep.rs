//! Where the keys of the CA are kept: a folder that only its owner may read. A key and its certificate stand in one
//! file, so that they are replaced together.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The root and its key.
const ROOT: &str = "root.key.pem";
/// The intermediate and its key.
const INTERMEDIATE: &str = "intermediate.key.pem";
/// The root alone, for whoever shall trust it.
const PUBLIC: &str = "root.pem";

/// Why the CA's keys cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The system says no.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is there and cannot be used.
    #[error(
        "{} does not hold a certificate and its key in PEM: put it back from a backup, or move it away and a new one is made",
        .0.display()
    )]
    Broken(PathBuf),
}

/// A certificate that signs, and its key.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Keep(PathBuf);

impl Keep {
    /// Makes the folder if it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, KeepError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| KeepError::File { path: folder.to_owned(), error })?;
        Ok(Self(folder.to_owned()))
    }

    /// The root, if there is one.
    pub(super) fn root(&self) -> Result<Option<Signer>, KeepError> {
        read(&self.0.join(ROOT))
    }

    /// The intermediate, if there is one.
    pub(super) fn intermediate(&self) -> Result<Option<Signer>, KeepError> {
        read(&self.0.join(INTERMEDIATE))
    }

    /// Keeps a root. Another daemon on this folder may have made one meanwhile: then that one stays.
    pub(super) fn keep_root(&self, root: &Signer) -> Result<(), KeepError> {
        let (path, aside) = (self.0.join(ROOT), self.aside(ROOT));
        self.write_aside(&aside, &text(root))?;
        let linked = fs::hard_link(&aside, &path);
        let removed = fs::remove_file(&aside);
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(KeepError::File { path, error });
            }
            _ => removed.map_err(|error| KeepError::File { path: aside, error })?,
        }
        self.sync()
    }

    /// Keeps a root in place of one that is over.
    pub(super) fn replace_root(&self, root: &Signer) -> Result<(), KeepError> {
        self.replace(ROOT, &text(root))
    }

    /// Keeps an intermediate, in place of the one before.
    pub(super) fn keep_intermediate(&self, intermediate: &Signer) -> Result<(), KeepError> {
        self.replace(INTERMEDIATE, &text(intermediate))
    }

    /// Puts the root where those find it who shall trust it.
    pub(super) fn publish(&self, root_pem: &str) -> Result<(), KeepError> {
        match fs::read_to_string(self.0.join(PUBLIC)) {
            Ok(text) if text == root_pem => Ok(()),
            _ => self.replace(PUBLIC, root_pem),
        }
    }

    /// What the ACME server has written down; none: nothing yet.
    pub(super) fn document(&self, name: &str) -> Result<Option<String>, KeepError> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(KeepError::File { path, error }),
        }
    }

    /// Writes something down for the ACME server, whole or not at all.
    pub(super) fn keep_document(&self, name: &str, text: &str) -> Result<(), KeepError> {
        self.replace(name, text)
    }

    fn replace(&self, name: &str, text: &str) -> Result<(), KeepError> {
        let (path, aside) = (self.0.join(name), self.aside(name));
        self.write_aside(&aside, text)?;
        fs::rename(&aside, &path).map_err(|error| KeepError::File { path, error })?;
        self.sync()
    }

    /// A name that nobody else writes to.
    fn aside(&self, name: &str) -> PathBuf {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        self.0.join(format!("{name}.{}-{number}.new", std::process::id()))
    }

    fn write_aside(&self, aside: &Path, text: &str) -> Result<(), KeepError> {
        let failed = |error| KeepError::File { path: aside.to_owned(), error };
        // What a process of this number left when it was killed.
        match fs::remove_file(aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(aside);
        let mut file = file.map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    fn sync(&self) -> Result<(), KeepError> {
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(|error| KeepError::File { path: self.0.clone(), error })
    }
}

fn text(signer: &Signer) -> String {
    signer.key.serialize_pem() + &pem(&signer.certificate)
}

/// A certificate in PEM (RFC 7468).
pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines = body.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

fn read(path: &Path) -> Result<Option<Signer>, KeepError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeepError::File { path: path.to_owned(), error }),
    };
    let broken = || KeepError::Broken(path.to_owned());
    let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| broken())?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| broken())?;
    let key = KeyPair::try_from(&key).map_err(|_| broken())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| broken())?;
    if parsed.public_key().raw != key.subject_public_key_info() {
        return Err(broken());
    }
    Ok(Some(Signer { certificate, key }))
}
