//! A certificate's files, and what was read of them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::certificate::Certificate;
use super::certificate_error::CertificateError;
use super::facts;
use super::file_trouble::{FileFault, FileServed, FileTrouble};
use super::ocsp::{OcspFault, Staple};
use super::pem;
use crate::config::OcspConfig;

/// No chain, and no key, is larger.
const MOST_BYTES: u64 = 1 << 20;

/// Where a certificate is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) struct Pair {
    pub(super) chain: PathBuf,
    /// May be the chain's file.
    pub(super) key: PathBuf,
    /// Found in a directory: what is no pair is nobody's mistake there.
    pub(super) found: bool,
    /// A responder is asked, and its answer stapled.
    pub(super) ocsp: Option<OcspConfig>,
}

/// What a file looked like when it was read: any change of it changes one of these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    changed: [(i64, i64); 2],
}

/// What was read of a pair.
#[derive(Debug, Default)]
pub(super) struct Reading {
    stamps: Option<[Stamp; 2]>,
    /// The last good one.
    pub(super) certificate: Option<Arc<Certificate>>,
    fault: Option<(PathBuf, FileFault)>,
    open_key: Option<u32>,
    pub(super) staple: Option<Staple>,
    /// Why nobody can be asked.
    no_staple: Option<OcspFault>,
}

impl Pair {
    /// What the files look like now; none: one of them cannot be looked at.
    fn stamps(&self) -> Option<[Stamp; 2]> {
        Some([Stamp::of(&self.chain).ok()?, Stamp::of(&self.key).ok()?])
    }

    /// Whether the files are as they were when this was read.
    pub(super) fn is_as(&self, reading: &Reading) -> bool {
        reading.stamps.is_some() && reading.stamps == self.stamps()
    }

    /// Reads the files again. The old certificate stays where the new one is broken.
    pub(super) fn read(&self, old: Reading) -> Reading {
        // Looked at first: what changes while it is read is read again.
        let stamps = self.stamps();
        match self.load() {
            Ok(certificate) => {
                let mut reading = Reading { stamps, ..Reading::default() };
                reading.open_key = mode(&self.key).filter(|mode| mode & 0o004 != 0);
                reading.certificate = certificate.map(Arc::new);
                reading.take_staple(self.ocsp.as_ref(), old);
                reading
            }
            Err(fault) => Reading { stamps, fault: Some(fault), open_key: None, ..old },
        }
    }

    /// None: it is no pair, and nobody said that it was.
    fn load(&self) -> Result<Option<Certificate>, (PathBuf, FileFault)> {
        let chain = contents(&self.chain).map_err(|fault| (self.chain.clone(), fault))?;
        if self.chain != self.key {
            let key = contents(&self.key).map_err(|fault| (self.key.clone(), fault))?;
            return Certificate::from_pem(&chain, &key)
                .map(Some)
                .map_err(|error| (self.blamed(&error), FileFault::Bad(error)));
        }
        match Certificate::from_pem(&chain, &chain) {
            Err(CertificateError::NoKey) if self.found && !is_leaf(&chain) => Ok(None),
            Err(CertificateError::NoKey) if self.found => {
                Err((self.chain.clone(), FileFault::NoKeyBeside(self.chain.with_extension("key"))))
            }
            Err(error) => Err((self.chain.clone(), FileFault::Bad(error))),
            Ok(certificate) => Ok(Some(certificate)),
        }
    }

    fn blamed(&self, error: &CertificateError) -> PathBuf {
        match error {
            CertificateError::NoKey
            | CertificateError::EncryptedKey
            | CertificateError::BadKey(_)
            | CertificateError::Mismatch { .. } => self.key.clone(),
            _ => self.chain.clone(),
        }
    }

    /// What there is to say of a reading.
    pub(super) fn troubles(&self, reading: &Reading, now: SystemTime, into: &mut Vec<FileTrouble>) {
        let served = match &reading.certificate {
            Some(_) => FileServed::Old,
            None => FileServed::Nothing,
        };
        if let Some((path, fault)) = &reading.fault {
            into.push(FileTrouble { path: path.clone(), what: fault.clone(), served });
        }
        let staple = reading.no_staple.as_ref().or(reading.staple.as_ref().and_then(Staple::fault));
        into.extend(staple.map(|fault| FileTrouble {
            path: self.chain.clone(),
            what: FileFault::Ocsp(fault.clone()),
            served: FileServed::This,
        }));
        let odd =
            reading.certificate.iter().flat_map(|one| one.notes.iter().cloned().chain(one.trouble(now)));
        let served = FileServed::This;
        into.extend(odd.map(|note| FileTrouble {
            path: self.chain.clone(),
            what: FileFault::Odd(note),
            served,
        }));
        if let Some(mode) = reading.open_key {
            into.push(FileTrouble { path: self.key.clone(), what: FileFault::OpenKey(mode), served });
        }
    }
}

impl Reading {
    /// What was stapled stays with the same certificate; another one is asked about anew.
    fn take_staple(&mut self, config: Option<&OcspConfig>, old: Self) {
        let (Some(config), Some(certificate)) = (config, &self.certificate) else { return };
        let same = old.certificate.as_ref().is_some_and(|old| old.fingerprint == certificate.fingerprint);
        if same && old.staple.is_some() {
            self.certificate =
                Some(Arc::new(certificate.with_ocsp(old.certificate.and_then(|old| old.key.ocsp.clone()))));
            self.staple = old.staple;
            return;
        }
        match Staple::new(&certificate.key.cert, config) {
            Ok(staple) => self.staple = Some(staple),
            Err(fault) => self.no_staple = Some(fault),
        }
    }

    /// Serves what is stapled now. True: something else than before.
    pub(super) fn restaple(&mut self, now: SystemTime) -> bool {
        let (Some(certificate), Some(staple)) = (&self.certificate, &self.staple) else { return false };
        let answer = staple.answer(now);
        if certificate.key.ocsp.as_deref() == answer {
            return false;
        }
        self.certificate = Some(Arc::new(certificate.with_ocsp(answer.map(Into::into))));
        true
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let now = fs::metadata(path)?;
        Ok(Self {
            inode: (now.dev(), now.ino()),
            size: now.size(),
            changed: [(now.mtime(), now.mtime_nsec()), (now.ctime(), now.ctime_nsec())],
        })
    }
}

fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.mode() & 0o7777)
}

fn contents(path: &Path) -> Result<Vec<u8>, FileFault> {
    let unreadable = |error| FileFault::Unreadable(Arc::new(error));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    match bytes.len() as u64 > MOST_BYTES {
        true => Err(FileFault::TooLarge),
        false => Ok(bytes),
    }
}

/// Whether a text's first certificate is a server's, and not a CA's of a bundle.
fn is_leaf(chain: &[u8]) -> bool {
    pem::certificates(chain).is_ok_and(|chain| chain.first().is_some_and(|first| facts::is_leaf(first)))
}
