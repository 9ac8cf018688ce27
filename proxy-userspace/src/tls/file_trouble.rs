//! What is wrong, or odd, about files of certificates.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::certificate_error::{CertificateError, CertificateNote};
use super::ocsp::OcspFault;

/// What is wrong, or odd, about a file of certificates: one sentence.
#[derive(Clone, Debug)]
pub struct FileTrouble {
    /// Which file: a chain, a key or a directory.
    pub path: PathBuf,
    /// What.
    pub what: FileFault,
    /// What is served for it.
    pub served: FileServed,
}

/// What may be wrong with a file.
#[derive(Clone, Debug)]
pub enum FileFault {
    /// It cannot be read.
    Unreadable(Arc<io::Error>),
    /// It is no file of ours.
    TooLarge,
    /// The directory has more.
    TooMany(usize),
    /// It cannot be served.
    Bad(CertificateError),
    /// A leaf in a directory, and no key.
    NoKeyBeside(PathBuf),
    /// It can be served, and yet.
    Odd(CertificateNote),
    /// Nothing is stapled, or soon nothing will be.
    Ocsp(OcspFault),
    /// Everybody on this machine may read the key: its mode.
    OpenKey(u32),
}

/// What is served of a file that has trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileServed {
    /// What it holds.
    This,
    /// What it held when it was last read well.
    Old,
    /// Nothing.
    Nothing,
}

impl fmt::Display for FileTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)?;
        match self.served {
            FileServed::This => Ok(()),
            FileServed::Old => f.write_str("; the certificate that was there before is still served"),
            FileServed::Nothing => f.write_str("; it is not served"),
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "it cannot be read: {error}"),
            Self::TooLarge => f.write_str("it is larger than a megabyte"),
            Self::TooMany(most) => write!(f, "more than {most} certificates: the rest is not read"),
            Self::Bad(error) => error.fmt(f),
            Self::NoKeyBeside(key) => write!(f, "there is no key in it, and no {} beside it", key.display()),
            Self::Odd(note) => note.fmt(f),
            Self::Ocsp(fault) => fault.fmt(f),
            Self::OpenKey(mode) => {
                write!(f, "everybody on this machine may read the key (mode {mode:04o}): `chmod o-r` it")
            }
        }
    }
}
