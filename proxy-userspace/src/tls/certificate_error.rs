//! What may be wrong with a certificate.

use std::fmt;
use std::time::SystemTime;

/// Why a certificate cannot be served.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// No `BEGIN CERTIFICATE`.
    #[error("there is no certificate in it (no `-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// More than anybody's chain has.
    #[error("it holds {0} certificates: a chain has 10 at the most")]
    TooLong(usize),
    /// Not PEM, though it looks like it.
    #[error("it is not PEM: {0}")]
    BadPem(Box<str>),
    /// Not X.509.
    #[error("certificate {number} of the chain cannot be read: {why}")]
    Unreadable {
        /// Which, from 1.
        number: usize,
        /// Why.
        why: Box<str>,
    },
    /// No key at all.
    #[error("there is no private key in it (no `-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// A key with a passphrase.
    #[error("the key is encrypted: write it without a passphrase (`openssl pkey -in KEY -out KEY`)")]
    EncryptedKey,
    /// Not a key, or of a kind that is not served.
    #[error("the key cannot be used: {0} (RSA from 2048 bits, ECDSA P-256, P-384 or P-521, Ed25519)")]
    BadKey(Box<str>),
    /// Of another certificate.
    #[error("the key is not this certificate's ({names}): give the key that it was issued for")]
    Mismatch {
        /// Whose it is not.
        names: Box<str>,
    },
    /// For nothing.
    #[error("it is for no name: it has no subject alternative name (DNS or IP)")]
    NoNames,
}

/// What is odd about a certificate that can be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateNote {
    /// Put in order: the leaf first, and each followed by its issuer.
    WrongOrder,
    /// So many issued nothing of the chain, and are not sent.
    LeftOut(usize),
    /// Its name is in the subject's common name alone.
    NoSubjectAltName,
    /// It has expired.
    Expired(SystemTime),
    /// It is not valid yet.
    NotYetValid(SystemTime),
}

impl fmt::Display for CertificateNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongOrder => f.write_str("its chain was in the wrong order (leaf first, then who issued it): it is sent in the right one"),
            Self::LeftOut(1) => f.write_str("one certificate of its file issued none of the chain: it is not sent"),
            Self::LeftOut(n) => write!(f, "{n} certificates of its file issued none of the chain: they are not sent"),
            Self::NoSubjectAltName => f.write_str("it has no subject alternative name: most clients refuse it"),
            Self::Expired(at) => write!(f, "it expired on {}: clients refuse it", Day(*at)),
            Self::NotYetValid(at) => write!(f, "it is not valid before {}: clients refuse it (or the clock is wrong)", Day(*at)),
        }
    }
}

/// A moment, to the second, UTC.
struct Day(SystemTime);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::try_from(self.0) {
            Ok(at) => write!(f, "{}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
            Err(_) => f.write_str("a day beyond the calendar"),
        }
    }
}
